#include "node/cli/container_spec.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "node/cli/spec_env.h"
#include "node/cli/spec_health.h"
#include "node/cli/spec_list.h"

/* One row is an option's name and help, and where its value goes. */
#define CONTAINER_VALUES(V)                                                                 \
    V("rm", 0, SWITCH, NULL, "HostConfig.AutoRemove", "remove it when it has ended")        \
    V("workdir", 'w', TEXT, "DIR", "WorkingDir", "where the command runs")                  \
    V("user", 'u', TEXT, "USER", "User", "who runs it")                                     \
    V("entrypoint", 0, MEMBER, "PROGRAM", "Entrypoint", "instead of the image's")           \
    V("hostname", 0, TEXT, "NAME", "Hostname", "what it calls itself")                      \
    V("domainname", 0, TEXT, "NAME", "Domainname", "and in which domain")                   \
    V("network", 0, TEXT, "MODE", "HostConfig.NetworkMode", "none (only loopback) or host") \
    V("memory", 'm', BYTES, "BYTES", "HostConfig.Memory", "at most")                        \
    V("memory-reservation", 0, BYTES, "BYTES", "HostConfig.MemoryReservation",              \
      "kept for it when memory runs short")                                                 \
    V("cpus", 0, CPUS, "CPUS", "HostConfig.NanoCpus", "at most")                            \
    V("cpu-shares", 'c', COUNT, "N", "HostConfig.CpuShares",                                \
      "its share of busy processors; others have 1024")                                     \
    V("pids-limit", 0, COUNT, "N", "HostConfig.PidsLimit", "at most so many processes")     \
    V("shm-size", 0, BYTES, "BYTES", "HostConfig.ShmSize", "of /dev/shm")                   \
    V("oom-score-adj", 0, INTEGER, "N", "HostConfig.OomScoreAdj",                           \
      "-1000 to 1000: higher ends first when memory runs out")                              \
    V("read-only", 0, SWITCH, NULL, "HostConfig.ReadonlyRootfs",                            \
      "the root file system cannot be written")                                             \
    V("init", 0, SWITCH, NULL, "HostConfig.Init", "a reaper as its first process")          \
    V("tty", 't', SWITCH, NULL, "Tty", "give it a terminal")                                \
    V("interactive", 'i', SWITCH, NULL, "OpenStdin", "send standard input")                 \
    V("stop-signal", 0, TEXT, "SIGNAL", "StopSignal", "that asks it to end")                \
    V("stop-timeout", 0, COUNT, "SECONDS", "StopTimeout", "before it is killed")            \
    V("log-driver", 0, TEXT, "DRIVER", "HostConfig.LogConfig.Type", "json-file, local or none")

#define CONTAINER_LISTS(L)                                                                     \
    L("env", 'e', "KEY=VALUE", NULL, &spec_env_entry, "Env",                                   \
      "set a variable; KEY alone: as it is here")                                              \
    L("label", 'l', "KEY=VALUE", NULL, NULL, "Labels", "a label")                              \
    L("volume", 'v', "SOURCE:TARGET[:ro]", NULL, &spec_text_entry, "HostConfig.Binds",         \
      "a volume, or a directory of this host")                                                 \
    L("mount", 0, "type=..,source=..,target=..", NULL, &spec_mount_entry, "HostConfig.Mounts", \
      "a volume, bind or tmpfs; also readonly")                                                \
    L("group-add", 0, "GROUP", NULL, &spec_text_entry, "HostConfig.GroupAdd",                  \
      "and in which groups besides")                                                           \
    L("add-host", 0, "NAME:ADDRESS", NULL, &spec_text_entry, "HostConfig.ExtraHosts",          \
      "a line of its /etc/hosts")                                                              \
    L("dns", 0, "ADDRESS", NULL, &spec_address_entry, "HostConfig.Dns",                        \
      "instead of the host's resolvers")                                                       \
    L("dns-option", 0, "OPTION", NULL, &spec_text_entry, "HostConfig.DnsOptions",              \
      "an option of resolving, such as ndots:1")                                               \
    L("dns-search", 0, "DOMAIN", NULL, &spec_text_entry, "HostConfig.DnsSearch",               \
      "a domain that names are looked up in")                                                  \
    L("cap-add", 0, "CAPABILITY", NULL, &spec_text_entry, "HostConfig.CapAdd",                 \
      "more than the default")                                                                 \
    L("cap-drop", 0, "CAPABILITY", NULL, &spec_text_entry, "HostConfig.CapDrop",               \
      "less than the default")                                                                 \
    L("security-opt", 0, "OPTION", NULL, &spec_text_entry, "HostConfig.SecurityOpt",           \
      "no-new-privileges, seccomp=unconfined")                                                 \
    L("sysctl", 0, "KEY=VALUE", NULL, NULL, "HostConfig.Sysctls", "a setting of the kernel")   \
    L("ulimit", 0, "NAME=SOFT[:HARD]", NULL, &spec_ulimit_entry, "HostConfig.Ulimits",         \
      "a limit of processes, such as nofile; -1: none")                                        \
    L("log-opt", 0, "KEY=VALUE", NULL, NULL, "HostConfig.LogConfig.Config",                    \
      "max-size=10m, max-file=3")

const struct option_def container_run_options[] = {
    { "name", 0, OPTION_TEXT, "NAME", "what it is called" },
    { "detach", 'd', OPTION_FLAG, NULL, "print its id and leave it running" },
    { "detach-keys", 0, OPTION_TEXT, "KEYS", "that let go of a terminal (ctrl-p,ctrl-q)" },
    CONTAINER_VALUES(SPEC_VALUE_OPTION) //
    { "env-file", 0, OPTION_LIST, "FILE", "of variables, a line each" },
    CONTAINER_LISTS(SPEC_LIST_OPTION) //
    { "tmpfs", 0, OPTION_LIST, "TARGET[:OPTIONS]", "a file system in memory" },
    SPEC_HEALTH_OPTIONS,
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static_assert(ARRAY_LEN(container_run_options) <= ARGS_OPTIONS_MAX, "args.h has room for them");

static const struct spec_row values[] = {
    CONTAINER_VALUES(SPEC_VALUE_ROW) //
    { NULL, SPEC_TEXT, NULL },
};

static const struct spec_list lists[] = {
    CONTAINER_LISTS(SPEC_LIST_ROW) //
    { NULL, NULL, NULL, NULL, NULL },
};

static void set_tmpfs(const struct str_list *given, json_t *body)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *text = given->items[i];
        size_t len = strcspn(text, ":");

        (void)json_object_setn_new(spec_object(body, "HostConfig.Tmpfs"), text, len,
                                   json_string(text[len] == ':' ? text + len + 1 : ""));
    }
}

/* The API takes a whole mount only of a service's container. */
static int check_mounts(const struct args *a, json_t *body)
{
    static const char *const options[] = { "BindOptions", "VolumeOptions", "TmpfsOptions" };
    json_t *mounts = spec_at(body, "HostConfig.Mounts");

    for (size_t i = 0; i < json_array_size(mounts); i++)
        for (size_t j = 0; j < ARRAY_LEN(options); j++)
            if (json_object_get(json_array_get(mounts, i), options[j]) != NULL)
                return spec_refuse("mount", args_list(a, "mount")->items[i],
                                   "a container on its own has only type, source, target and "
                                   "readonly");
    return 0;
}

static int apply(const struct args *a, json_t *body)
{
    int rc = spec_values_apply(values, a, body);

    if (rc == 0)
        rc = spec_env_files(a, "Env", body);
    if (rc == 0)
        rc = spec_lists_create(lists, NULL, a, body);
    if (rc == 0)
        rc = spec_health_apply(a, body);
    set_tmpfs(args_list(a, "tmpfs"), body);
    return rc == 0 ? check_mounts(a, body) : rc;
}

json_t *container_spec_of(const struct args *a)
{
    json_t *body = json_pack("{s:s, s:[]}", "Image", a->positional[0], "Cmd");

    for (size_t i = 1; i < a->count; i++)
        (void)json_array_append_new(spec_array(body, "Cmd"), json_string(a->positional[i]));
    spec_put(body, "StdinOnce",
             json_boolean(args_flag(a, "interactive") && !args_flag(a, "detach")));
    if (apply(a, body) == 0)
        return body;
    json_decref(body);
    return NULL;
}
