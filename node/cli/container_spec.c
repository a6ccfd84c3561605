#include "node/cli/container_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/service_spec.h"

const struct option_def container_run_options[] = {
    { "name", 0, OPTION_TEXT, "NAME", "what it is called" },
    { "detach", 'd', OPTION_FLAG, NULL, "print its id and leave it running" },
    { "interactive", 'i', OPTION_FLAG, NULL, "send standard input" },
    { "detach-keys", 0, OPTION_TEXT, "KEYS", "that let go of a terminal (ctrl-p,ctrl-q)" },
    { "rm", 0, OPTION_FLAG, NULL, "remove it when it has ended" },
    { "env", 'e', OPTION_LIST, "KEY=VALUE", "set a variable" },
    { "volume", 'v', OPTION_LIST, "SOURCE:TARGET[:ro]", "a volume, or a directory of this host" },
    { "tmpfs", 0, OPTION_LIST, "TARGET", "a file system in memory" },
    { "workdir", 'w', OPTION_TEXT, "DIR", "where the command runs" },
    { "user", 'u', OPTION_TEXT, "USER", "who runs it" },
    { "group-add", 0, OPTION_LIST, "GROUP", "and in which groups besides" },
    { "entrypoint", 0, OPTION_TEXT, "PROGRAM", "instead of the image's" },
    { "hostname", 0, OPTION_TEXT, "NAME", "what it calls itself" },
    { "network", 0, OPTION_TEXT, "MODE", "none (only loopback) or host" },
    { "add-host", 0, OPTION_LIST, "NAME:ADDRESS", "a line of its /etc/hosts" },
    { "dns", 0, OPTION_LIST, "ADDRESS", "instead of the host's resolvers" },
    { "label", 'l', OPTION_LIST, "KEY=VALUE", "a label" },
    { "memory", 'm', OPTION_TEXT, "BYTES", "at most" },
    { "cpus", 0, OPTION_TEXT, "CPUS", "at most" },
    { "pids-limit", 0, OPTION_TEXT, "N", "at most so many processes" },
    { "read-only", 0, OPTION_FLAG, NULL, "the root file system cannot be written" },
    { "init", 0, OPTION_FLAG, NULL, "a reaper as its first process" },
    { "tty", 't', OPTION_FLAG, NULL, "give it a terminal" },
    { "cap-add", 0, OPTION_LIST, "CAPABILITY", "more than the default" },
    { "cap-drop", 0, OPTION_LIST, "CAPABILITY", "less than the default" },
    { "security-opt", 0, OPTION_LIST, "OPTION", "no-new-privileges, seccomp=unconfined" },
    { "stop-signal", 0, OPTION_TEXT, "SIGNAL", "that asks it to end" },
    { "log-opt", 0, OPTION_LIST, "KEY=VALUE", "max-size=10m, max-file=3" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static int bad(const char *option, const char *text, const char *expected)
{
    (void)fprintf(stderr, "shoal: --%s %s: %s\n", option, text, expected);
    return -1;
}

static int set_limit(const struct args *a, const char *option, json_t *host, const char *key,
                     int (*parse)(const char *text, int64_t *out), const char *expected)
{
    const char *text = args_text(a, option, NULL);
    int64_t value;

    if (text == NULL)
        return 0;
    if (parse(text, &value) < 0)
        return bad(option, text, expected);
    return json_object_set_new(host, key, json_integer(value));
}

static int parse_count(const char *text, int64_t *out)
{
    char *end;

    *out = strtoll(text, &end, 10);
    return *end != '\0' || end == text || *out < 0 ? -1 : 0;
}

static json_t *tmpfs_of(const struct str_list *list)
{
    json_t *mounts = json_object();

    for (size_t i = 0; i < list->count; i++) {
        const char *colon = strchr(list->items[i], ':');
        size_t len = colon == NULL ? strlen(list->items[i]) : (size_t)(colon - list->items[i]);
        char target[4096];

        (void)snprintf(target, sizeof(target), "%.*s", (int)MIN(len, sizeof(target) - 1),
                       list->items[i]);
        (void)json_object_set_new(mounts, target, json_string(colon == NULL ? "" : colon + 1));
    }
    return mounts;
}

static int set_host(const struct args *a, json_t *host)
{
    (void)json_object_set_new(host, "Binds", texts_of(args_list(a, "volume")));
    (void)json_object_set_new(host, "Tmpfs", tmpfs_of(args_list(a, "tmpfs")));
    (void)json_object_set_new(host, "GroupAdd", texts_of(args_list(a, "group-add")));
    (void)json_object_set_new(host, "ExtraHosts", texts_of(args_list(a, "add-host")));
    (void)json_object_set_new(host, "Dns", texts_of(args_list(a, "dns")));
    (void)json_object_set_new(host, "CapAdd", texts_of(args_list(a, "cap-add")));
    (void)json_object_set_new(host, "CapDrop", texts_of(args_list(a, "cap-drop")));
    (void)json_object_set_new(host, "SecurityOpt", texts_of(args_list(a, "security-opt")));
    (void)json_object_set_new(host, "LogConfig",
                              json_pack("{s:o}", "Config", pairs_of(args_list(a, "log-opt"))));
    (void)json_object_set_new(host, "ReadonlyRootfs", json_boolean(args_flag(a, "read-only")));
    (void)json_object_set_new(host, "Init", json_boolean(args_flag(a, "init")));
    (void)json_object_set_new(host, "AutoRemove", json_boolean(args_flag(a, "rm")));
    spec_set_text(a, "network", host, "NetworkMode");
    if (set_limit(a, "memory", host, "Memory", parse_bytes, "give bytes such as 64m") < 0 ||
        set_limit(a, "cpus", host, "NanoCpus", parse_cpus, "give processors such as 1.5") < 0)
        return -1;
    return set_limit(a, "pids-limit", host, "PidsLimit", parse_count, "give a number from 0");
}

json_t *container_spec_of(const struct invocation *in)
{
    const struct args *a = &in->args;
    json_t *body = json_object(), *args = json_array();
    const char *entrypoint = args_text(a, "entrypoint", NULL);

    for (size_t i = 1; i < a->count; i++)
        (void)json_array_append_new(args, json_string(a->positional[i]));
    (void)json_object_set_new(body, "Image", json_string(a->positional[0]));
    (void)json_object_set_new(body, "Cmd", args);
    if (entrypoint != NULL)
        (void)json_object_set_new(body, "Entrypoint", json_pack("[s]", entrypoint));
    (void)json_object_set_new(body, "Env", texts_of(args_list(a, "env")));
    (void)json_object_set_new(body, "Labels", pairs_of(args_list(a, "label")));
    (void)json_object_set_new(body, "Tty", json_boolean(args_flag(a, "tty")));
    (void)json_object_set_new(body, "OpenStdin", json_boolean(args_flag(a, "interactive")));
    (void)json_object_set_new(body, "StdinOnce",
                              json_boolean(args_flag(a, "interactive") && !args_flag(a, "detach")));
    spec_set_text(a, "workdir", body, "WorkingDir");
    spec_set_text(a, "user", body, "User");
    spec_set_text(a, "hostname", body, "Hostname");
    spec_set_text(a, "stop-signal", body, "StopSignal");
    if (set_host(a, spec_child(body, "HostConfig")) < 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}
