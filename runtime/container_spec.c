#include "runtime/container_spec.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "runtime/caps.h"

FIELDS_ENUM_DEFINE(container_mount_kind, CONTAINER_MOUNT_KIND_ENUM);
FIELDS_ENUM_DEFINE(container_propagation, CONTAINER_PROPAGATION_ENUM);
FIELDS_ENUM_DEFINE(container_seccomp, CONTAINER_SECCOMP_ENUM);
FIELDS_DEFINE(container_mount, CONTAINER_MOUNT_FIELDS);
FIELDS_DEFINE(container_file, CONTAINER_FILE_FIELDS);
FIELDS_DEFINE(container_ulimit, CONTAINER_ULIMIT_FIELDS);
FIELDS_DEFINE(container_health_check, CONTAINER_HEALTH_CHECK_FIELDS);
FIELDS_DEFINE(container_limits, CONTAINER_LIMITS_FIELDS);
FIELDS_DEFINE(container_spec, CONTAINER_SPEC_FIELDS);

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static int PRINTF_LIKE(2, 3) invalid(struct field_error *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args); /* cut is fine */
    va_end(args);
    return ERR_INVALID;
}

/* --- Signals: numbers of this architecture's kernel */

static const struct {
    const char *name;
    int number;
} signals[] = {
    { "HUP", SIGHUP },     { "INT", SIGINT },   { "QUIT", SIGQUIT },     { "ILL", SIGILL },
    { "TRAP", SIGTRAP },   { "ABRT", SIGABRT }, { "IOT", SIGABRT },      { "BUS", SIGBUS },
    { "FPE", SIGFPE },     { "KILL", SIGKILL }, { "USR1", SIGUSR1 },     { "SEGV", SIGSEGV },
    { "USR2", SIGUSR2 },   { "PIPE", SIGPIPE }, { "ALRM", SIGALRM },     { "TERM", SIGTERM },
    { "CHLD", SIGCHLD },   { "CLD", SIGCHLD },  { "CONT", SIGCONT },     { "STOP", SIGSTOP },
    { "TSTP", SIGTSTP },   { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },     { "URG", SIGURG },
    { "XCPU", SIGXCPU },   { "XFSZ", SIGXFSZ }, { "VTALRM", SIGVTALRM }, { "PROF", SIGPROF },
    { "WINCH", SIGWINCH }, { "POLL", SIGPOLL }, { "IO", SIGPOLL },       { "PWR", SIGPWR },
    { "SYS", SIGSYS },     { "STKFLT", 16 },
};

#define SIGNAL_RT_MIN 34 /* as libc and Docker count: 32 and 33 are libc's own */
#define SIGNAL_RT_MAX 64

static bool equal_any_case(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        char x = *a >= 'a' && *a <= 'z' ? (char)(*a - 32) : *a;

        if (x != *b)
            return false;
    }
    return *a == *b;
}

/* "RTMIN", "RTMIN+n", "RTMAX-n" */
static int parse_realtime(const char *text, int *out)
{
    bool from_min = strncmp(text, "RTMIN", 5) == 0 || strncmp(text, "rtmin", 5) == 0;
    bool from_max = strncmp(text, "RTMAX", 5) == 0 || strncmp(text, "rtmax", 5) == 0;
    long n = 0;
    char *end;

    if (!from_min && !from_max)
        return ERR_INVALID;
    if (text[5] != '\0') {
        if (text[5] != (from_min ? '+' : '-') || text[6] < '0' || text[6] > '9')
            return ERR_INVALID;
        n = strtol(text + 6, &end, 10);
        if (*end != '\0' || n < 0 || n > SIGNAL_RT_MAX - SIGNAL_RT_MIN)
            return ERR_INVALID;
    }
    *out = from_min ? SIGNAL_RT_MIN + (int)n : SIGNAL_RT_MAX - (int)n;
    return 0;
}

int container_signal_parse(const char *text, int *out)
{
    char *end;
    long n;

    if (text[0] >= '0' && text[0] <= '9') {
        n = strtol(text, &end, 10);
        if (*end != '\0' || n < 1 || n > SIGNAL_RT_MAX)
            return ERR_INVALID;
        *out = (int)n;
        return 0;
    }
    if (strncmp(text, "SIG", 3) == 0 || strncmp(text, "sig", 3) == 0)
        text += 3;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (equal_any_case(text, signals[i].name)) {
            *out = signals[i].number;
            return 0;
        }
    }
    return parse_realtime(text, out);
}

/* --- Rules */

static bool is_id(const char *id)
{
    for (const char *c = id; *c != '\0'; c++) {
        if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z'))
            return false;
    }
    return id[0] != '\0';
}

static bool is_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool alnum =
            (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');

        if (!alnum && (c == name || strchr("_.-", *c) == NULL))
            return false;
    }
    return true;
}

static bool is_hostname(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool alnum =
            (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');

        if (!alnum && *c != '-' && *c != '.' && *c != '_')
            return false;
    }
    return true;
}

/* Absolute, and without a ".." that would make two texts name one place. */
static bool is_clean_absolute(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *p = path; (p = strstr(p, "/..")) != NULL; p += 3) {
        if (p[3] == '/' || p[3] == '\0')
            return false;
    }
    return true;
}

static bool has_line_break(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

static int check_mount(const struct container_mount *m, size_t i, struct field_error *err)
{
    const char *source = text_of(m->source);

    if (!is_clean_absolute(m->target) || strspn(m->target, "/") == strlen(m->target))
        return invalid(err, "Mounts[%zu].Target: \"%.150s\": must be an absolute path below /", i,
                       m->target);
    switch (m->kind) {
    case CONTAINER_MOUNT_BIND:
        if (!is_clean_absolute(source))
            return invalid(err,
                           "Mounts[%zu].Source: \"%.150s\": must be an absolute path on the host",
                           i, source);
        return 0;
    case CONTAINER_MOUNT_VOLUME:
        if (source[0] != '\0' && (!is_name(source) || strlen(source) > CONTAINER_NAME_LEN_MAX))
            return invalid(err,
                           "Mounts[%zu].Source: \"%.150s\": a volume's name is letters, digits and "
                           "_.-, and begins with a letter or digit",
                           i, source);
        if (strstr(text_of(m->subpath), "..") != NULL)
            return invalid(err, "Mounts[%zu].Subpath: \"%.150s\": must stay inside the volume", i,
                           m->subpath);
        return 0;
    case CONTAINER_MOUNT_TMPFS:
        if (source[0] != '\0')
            return invalid(err, "Mounts[%zu].Source: \"%.150s\": a tmpfs has no source", i, source);
        for (size_t k = 0; k < m->options.count; k++) {
            if (strchr(text_of(m->options.items[k]), ',') != NULL)
                return invalid(err, "Mounts[%zu].TmpfsOptions: \"%.100s\": one option per element",
                               i, m->options.items[k]);
        }
        return 0;
    }
    return invalid(err, "Mounts[%zu].Type: unknown", i);
}

static int check_mounts(const struct container_spec *s, struct field_error *err)
{
    for (size_t i = 0; i < s->mounts.count; i++) {
        int rc = check_mount(&s->mounts.items[i], i, err);

        if (rc < 0)
            return rc;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(s->mounts.items[k].target, s->mounts.items[i].target) == 0)
                return invalid(err,
                               "Mounts[%zu].Target: \"%.150s\": is the target of Mounts[%zu] too",
                               i, s->mounts.items[i].target, k);
        }
    }
    return 0;
}

static int check_files(const struct container_file_list *files, const char *what,
                       struct field_error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        if (!is_clean_absolute(files->items[i].target))
            return invalid(err, "%s[%zu].Target: \"%.150s\": must be an absolute path", what, i,
                           files->items[i].target);
    }
    return 0;
}

static int check_names(const struct container_spec *s, struct field_error *err)
{
    if (!is_id(s->id))
        return invalid(err, "ID: \"%.80s\": must be digits and lower-case letters", s->id);
    if (!is_name(text_of(s->name)))
        return invalid(err,
                       "Name: \"%.150s\": must be letters, digits and _.-, and begin with a "
                       "letter or digit",
                       s->name);
    if (!is_hostname(text_of(s->hostname)) || strlen(text_of(s->hostname)) > 64)
        return invalid(err,
                       "Hostname: \"%.150s\": must be letters, digits, dots and dashes, at most 64",
                       s->hostname);
    if (!is_hostname(text_of(s->domainname)))
        return invalid(err, "Domainname: \"%.150s\": must be letters, digits, dots and dashes",
                       s->domainname);
    return 0;
}

/* What becomes a line of a file must be one line. */
static int check_lines(const struct str_list *list, const char *what, struct field_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (text_of(list->items[i])[0] == '\0' || has_line_break(list->items[i]))
            return invalid(err, "%s[%zu]: must be one line of text", what, i);
    }
    return 0;
}

static int check_process(const struct container_spec *s, struct field_error *err)
{
    int signal;

    if (text_of(s->dir)[0] != '\0' && s->dir[0] != '/')
        return invalid(err, "Dir: \"%.150s\": must be an absolute path", s->dir);
    if (text_of(s->stop_signal)[0] != '\0' && container_signal_parse(s->stop_signal, &signal) < 0)
        return invalid(err, "StopSignal: \"%.32s\": no such signal", s->stop_signal);
    for (size_t i = 0; i < s->env.count; i++) {
        if (text_of(s->env.items[i])[0] == '\0' || s->env.items[i][0] == '=')
            return invalid(err, "Env[%zu]: \"%.100s\": must be NAME=value", i,
                           text_of(s->env.items[i]));
    }
    if (s->health_check != NULL && s->health_check->test.count > 0) {
        const char *kind = text_of(s->health_check->test.items[0]);

        if (strcmp(kind, "NONE") != 0 && strcmp(kind, "CMD") != 0 && strcmp(kind, "CMD-SHELL") != 0)
            return invalid(err, "Healthcheck.Test[0]: \"%.50s\": must be NONE, CMD or CMD-SHELL",
                           kind);
    }
    return 0;
}

static int check_rights(const struct container_spec *s, struct field_error *err)
{
    static const char *const ulimits[] = { "as",     "core",   "cpu",        "data",
                                           "fsize",  "locks",  "memlock",    "msgqueue",
                                           "nice",   "nofile", "nproc",      "rss",
                                           "rtprio", "rttime", "sigpending", "stack" };
    const char *unknown = "";
    cap_set caps;

    if (cap_set_of(&s->cap_add, &s->cap_drop, &caps, &unknown) < 0)
        return invalid(err, "CapAdd, CapDrop: \"%.64s\": no such capability", unknown);
    for (size_t i = 0; i < s->ulimits.count; i++) {
        const struct container_ulimit *u = &s->ulimits.items[i];
        bool known = false;

        for (size_t k = 0; k < ARRAY_LEN(ulimits); k++)
            known |= strcmp(u->name, ulimits[k]) == 0;
        if (!known)
            return invalid(err, "Ulimits[%zu].Name: \"%.32s\": no such limit", i, u->name);
        if (u->hard >= 0 && (u->soft < 0 || u->soft > u->hard))
            return invalid(err, "Ulimits[%zu].Soft: %lld: is above the hard limit %lld", i,
                           (long long)u->soft, (long long)u->hard);
    }
    if (s->limits.memory_bytes > 0 && s->limits.memory_bytes < 4 * 1024 * 1024)
        return invalid(err, "Limits.MemoryBytes: %lld: must be at least 4 MiB",
                       (long long)s->limits.memory_bytes);
    return 0;
}

int container_spec_validate(const struct container_spec *s, struct field_error *err)
{
    int rc = fields_validate(&container_spec_type, s, err);

    if (rc == 0)
        rc = check_names(s, err);
    if (rc == 0)
        rc = check_process(s, err);
    if (rc == 0)
        rc = check_mounts(s, err);
    if (rc == 0)
        rc = check_files(&s->secrets, "Secrets", err);
    if (rc == 0)
        rc = check_files(&s->configs, "Configs", err);
    if (rc == 0)
        rc = check_lines(&s->hosts, "Hosts", err);
    if (rc == 0)
        rc = check_lines(&s->dns_servers, "DNSServers", err);
    if (rc == 0)
        rc = check_lines(&s->dns_search, "DNSSearch", err);
    if (rc == 0)
        rc = check_lines(&s->dns_options, "DNSOptions", err);
    if (rc == 0)
        rc = check_rights(s, err);
    return rc;
}
