#include "node/api/container_create.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/fields_impl.h"
#include "node/api/api_impl.h"
#include "node/object/log_options.h"

FIELDS_DEFINE(create_mount, CREATE_MOUNT_FIELDS);
FIELDS_DEFINE(create_log, CREATE_LOG_FIELDS);
FIELDS_DEFINE(create_restart, CREATE_RESTART_FIELDS);
FIELDS_DEFINE(create_device, CREATE_DEVICE_FIELDS);
FIELDS_DEFINE(create_host, CREATE_HOST_FIELDS);
FIELDS_DEFINE(container_create, CONTAINER_CREATE_FIELDS);

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static int refuse(struct field_error *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);
static int refuse(struct field_error *err, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args); /* cut is fine */
    va_end(args);
    return code;
}

/* Moves what has the same type on both sides. */
#define MOVE(to, from)                                     \
    do {                                                   \
        (to) = (from);                                     \
        memset(&(from), 0, sizeof(from)); /* owned once */ \
    } while (0)

/* --- Mounts */

static int set_mount(struct container_mount *m, const char *source, const char *target)
{
    int rc = m == NULL ? -ENOMEM : str_set(&m->source, source);

    if (rc < 0)
        return rc;
    m->kind = source[0] == '/' ? CONTAINER_MOUNT_BIND : CONTAINER_MOUNT_VOLUME;
    return str_set(&m->target, target);
}

/* One word behind the last colon of a bind. */
static bool take_bind_option(struct container_mount *m, const char *word)
{
    int value;

    if (strcmp(word, "ro") == 0)
        m->read_only = true;
    else if (strcmp(word, "nocopy") == 0)
        m->no_copy = true;
    else if (enum_parse(&container_propagation_names, word, &value) == 0)
        m->propagation = (enum container_propagation)value;
    else /* labels for SELinux, which is not asked, and what is so anyway */
        return strcmp(word, "rw") == 0 || strcmp(word, "z") == 0 || strcmp(word, "Z") == 0;
    return true;
}

/* "/target", "source:/target", "source:/target:ro,rshared": as -v of Docker's client. The source
 * is made when it is not there, which is what -v does too. */
static int add_bind(struct container_spec *spec, const char *text, struct field_error *err)
{
    char copy[2 * CONTAINER_PATH_LEN_MAX + 64], *target, *options, *save = NULL;
    struct container_mount *m;
    int rc;

    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
        return refuse(err, ERR_INVALID, "HostConfig.Binds: %.64s..: too long", text);
    target = strchr(copy, ':');
    if (target != NULL)
        *target++ = '\0';
    options = target == NULL ? NULL : strchr(target, ':');
    if (options != NULL)
        *options++ = '\0';
    m = LIST_ADD(&spec->mounts);
    rc = target == NULL ? set_mount(m, "", copy) : set_mount(m, copy, target);
    if (rc < 0)
        return rc;
    m->create_mountpoint = m->kind == CONTAINER_MOUNT_BIND;
    for (char *word = options == NULL ? NULL : strtok_r(options, ",", &save); word != NULL;
         word = strtok_r(NULL, ",", &save)) {
        if (!take_bind_option(m, word))
            return refuse(err, ERR_INVALID,
                          "HostConfig.Binds: option '%.64s': there are ro, rw, nocopy and the "
                          "names of mount propagation",
                          word);
    }
    return 0;
}

static int add_mount(struct container_spec *spec, const struct create_mount *from,
                     struct field_error *err)
{
    struct container_mount *m = LIST_ADD(&spec->mounts);
    int rc = set_mount(m, text_of(from->source), from->target), kind;

    if (rc < 0)
        return rc;
    if (enum_parse(&container_mount_kind_names, text_of(from->type), &kind) < 0)
        return refuse(err, ERR_INVALID,
                      "HostConfig.Mounts: type '%.32s': there are bind, volume and tmpfs",
                      text_of(from->type));
    m->kind = (enum container_mount_kind)kind;
    m->read_only = from->read_only;
    return 0;
}

static int add_tmpfs(struct container_spec *spec, const struct str_map_item *from)
{
    struct container_mount *m = LIST_ADD(&spec->mounts);
    char copy[1024], *save = NULL;
    int rc = set_mount(m, "", from->key);

    if (rc < 0)
        return rc;
    m->kind = CONTAINER_MOUNT_TMPFS;
    (void)snprintf(copy, sizeof(copy), "%s", from->value);
    for (char *word = strtok_r(copy, ",", &save); rc == 0 && word != NULL;
         word = strtok_r(NULL, ",", &save))
        rc = str_list_append(&m->options, word);
    return rc;
}

static int take_mounts(const struct create_host *h, struct container_spec *spec,
                       struct field_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < h->binds.count; i++)
        rc = add_bind(spec, h->binds.items[i], err);
    for (size_t i = 0; rc == 0 && i < h->mounts.count; i++)
        rc = add_mount(spec, &h->mounts.items[i], err);
    for (size_t i = 0; rc == 0 && i < h->tmpfs.count; i++)
        rc = add_tmpfs(spec, &h->tmpfs.items[i]);
    return rc;
}

/* --- Logs */

static int take_log(const struct create_log *log, struct container_spec *spec,
                    struct field_error *err)
{
    struct log_options o;
    int rc = log_options_read(log->type, &log->config, &o, err);

    spec->log_none = o.none;
    spec->log_file_bytes_max = o.file_bytes_max;
    spec->log_file_count_max = o.file_count_max;
    return rc;
}

/* --- Rights and limits */

static int take_security(const struct create_host *h, struct container_spec *spec,
                         struct field_error *err)
{
    for (size_t i = 0; i < h->security.count; i++) {
        const char *option = h->security.items[i];
        int rc = 0;

        if (strcmp(option, "no-new-privileges") == 0 ||
            strcmp(option, "no-new-privileges:true") == 0 ||
            strcmp(option, "no-new-privileges=true") == 0)
            spec->no_new_privileges = true;
        else if (strcmp(option, "seccomp=unconfined") == 0)
            spec->seccomp = CONTAINER_SECCOMP_UNCONFINED;
        else if (strncmp(option, "seccomp={", 9) == 0) {
            spec->seccomp = CONTAINER_SECCOMP_CUSTOM;
            rc = str_set(&spec->seccomp_profile, option + 8);
        } else {
            rc = refuse(err, ERR_UNSUPPORTED,
                        "HostConfig.SecurityOpt: '%.64s': there are no-new-privileges and seccomp",
                        option);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int take_network(const struct create_host *h, struct container_spec *spec,
                        struct field_error *err)
{
    const char *mode = text_of(h->network_mode);

    if (strcmp(mode, "host") == 0)
        return str_set(&spec->netns_path, "host");
    if (mode[0] == '\0' || strcmp(mode, "default") == 0 || strcmp(mode, "none") == 0)
        return 0;
    return refuse(err, ERR_UNSUPPORTED,
                  "HostConfig.NetworkMode: '%.64s': a container on its own has none or host; "
                  "networks are for services",
                  mode);
}

/* "name:address" to a line of /etc/hosts. */
static int take_hosts(const struct create_host *h, struct container_spec *spec,
                      struct field_error *err)
{
    for (size_t i = 0; i < h->extra_hosts.count; i++) {
        const char *item = h->extra_hosts.items[i], *colon = strpbrk(item, ":=");
        char line[512];
        int rc;

        if (colon == NULL)
            return refuse(err, ERR_INVALID, "HostConfig.ExtraHosts: '%.64s': give NAME:ADDRESS",
                          item);
        (void)snprintf(line, sizeof(line), "%.200s %.*s", colon + 1, (int)MIN(colon - item, 255),
                       item);
        rc = str_list_append(&spec->hosts, line);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int refuse_unsupported(const struct create_host *h, struct field_error *err)
{
    const char *policy = text_of(h->restart.name);

    if (h->privileged)
        return refuse(err, ERR_UNSUPPORTED,
                      "HostConfig.Privileged: not on this host; add what it needs with CapAdd");
    if (h->publish_all)
        return refuse(err, ERR_UNSUPPORTED,
                      "HostConfig.PublishAllPorts: a container on its own publishes no ports; use "
                      "the host's network, or a service");
    if (h->devices.count > 0)
        return refuse(err, ERR_UNSUPPORTED, "HostConfig.Devices: %.64s: not on this host",
                      text_of(h->devices.items[0].path));
    if (policy[0] != '\0' && strcmp(policy, "no") != 0)
        return refuse(err, ERR_UNSUPPORTED,
                      "HostConfig.RestartPolicy: '%.32s': a container on its own is not started "
                      "again; run a service",
                      policy);
    return 0;
}

static void take_limits(const struct create_host *h, struct container_spec *spec)
{
    spec->limits.memory_bytes = h->memory;
    spec->limits.memory_reservation_bytes = h->reservation;
    spec->limits.memory_swap_bytes = h->memory > 0 ? h->memory_swap : 0;
    spec->limits.nano_cpus = h->nano_cpus;
    spec->limits.cpu_shares = (uint64_t)h->cpu_shares;
    spec->limits.pids = MAX(h->pids, 0);
    spec->oom_score_adj = h->oom_score_adj;
    spec->shm_bytes = (uint64_t)h->shm_bytes;
    spec->read_only = h->read_only;
    spec->init = h->init != NULL && *h->init;
}

static int take_process(struct container_create *msg, struct container_spec *out)
{
    MOVE(out->image, msg->image);
    MOVE(out->command, msg->command);
    MOVE(out->args, msg->args);
    MOVE(out->env, msg->env);
    MOVE(out->dir, msg->dir);
    MOVE(out->user, msg->user);
    MOVE(out->stop_signal, msg->stop_signal);
    MOVE(out->health_check, msg->health_check);
    MOVE(out->labels, msg->labels);
    MOVE(out->hostname, msg->hostname);
    MOVE(out->domainname, msg->domainname);
    MOVE(out->groups, msg->host.groups);
    MOVE(out->cap_add, msg->host.cap_add);
    MOVE(out->cap_drop, msg->host.cap_drop);
    MOVE(out->dns_servers, msg->host.dns);
    MOVE(out->dns_options, msg->host.dns_options);
    MOVE(out->dns_search, msg->host.dns_search);
    MOVE(out->sysctls, msg->host.sysctls);
    MOVE(out->ulimits, msg->host.ulimits);
    out->tty = msg->tty;
    out->open_stdin = msg->open_stdin;
    out->stdin_once = msg->open_stdin && msg->stdin_once;
    if (msg->stop_seconds != NULL) {
        out->stop_grace = malloc(sizeof(*out->stop_grace));
        if (out->stop_grace == NULL)
            return -ENOMEM;
        *out->stop_grace = (int64_t)*msg->stop_seconds * (int64_t)NS_PER_S;
    }
    return msg->host.auto_remove ? str_map_set(&out->labels, CONTAINER_LABEL_AUTO_REMOVE, "true")
                                 : 0;
}

int container_create_spec(struct container_create *msg, const char *id, const char *name,
                          struct container_spec *out, struct field_error *err)
{
    int rc = refuse_unsupported(&msg->host, err);

    *out = (struct container_spec){ 0 };
    if (rc == 0)
        rc = str_set(&out->id, id);
    if (rc == 0)
        rc = str_set(&out->name, name);
    if (rc == 0)
        rc = take_process(msg, out);
    if (rc == 0)
        rc = take_mounts(&msg->host, out, err);
    if (rc == 0)
        rc = take_log(&msg->host.log, out, err);
    if (rc == 0)
        rc = take_security(&msg->host, out, err);
    if (rc == 0)
        rc = take_network(&msg->host, out, err);
    if (rc == 0)
        rc = take_hosts(&msg->host, out, err);
    if (rc == 0)
        take_limits(&msg->host, out);
    else
        fields_deinit(&container_spec_type, out);
    if (rc == -ENOMEM)
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
    return rc;
}

/* --- The request */

struct creation {
    char id[CONTAINER_ID_LEN_MAX + 1];
};

static void on_created(void *owner, int err, const char *message)
{
    struct request *r = owner;
    const struct creation *c = r->state;

    reply_result_json(r, err, message, MHD_HTTP_CREATED,
                      err < 0 ? NULL : json_pack("{s:s,s:[]}", "Id", c->id, "Warnings"));
}

/* Published ports are a map of lists: that there are none is all that is asked of it. */
static bool has_ports(const struct request *r)
{
    json_t *body = json_loadb((const char *)r->body.ptr, r->body.len, 0, NULL);
    const json_t *host = json_object_get(body, "HostConfig");
    bool found = json_object_size(json_object_get(host, "PortBindings")) > 0;

    json_decref(body);
    return found;
}

void handle_container_create(struct request *r)
{
    struct runtime *rt = request_runtime(r);
    struct creation *c = rt != NULL ? request_state(r, sizeof(*c)) : NULL;
    unsigned char random[CONTAINER_ID_LEN_MAX / 2];
    struct container_create msg = { 0 };
    struct container_spec spec;
    struct field_error err = { "" };
    int rc;

    if (c == NULL || !request_parse(r, &container_create_type, &msg))
        return;
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(c->id, sizeof(c->id), random, sizeof(random));
    rc = has_ports(r) ? refuse(&err, ERR_UNSUPPORTED,
                               "HostConfig.PortBindings: a container on its own publishes no "
                               "ports; use the host's network, or a service")
                      : container_create_spec(&msg, c->id, request_query(r, "name"), &spec, &err);
    fields_deinit(&container_create_type, &msg);
    if (rc < 0) {
        reply_error(r, rc, err.text);
        return;
    }
    request_hold(r);
    runtime_container_create(rt, &spec, on_created, r);
    fields_deinit(&container_spec_type, &spec);
}
