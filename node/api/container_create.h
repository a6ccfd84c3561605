/* node/api/container_create.h - POST /containers/create: a container on its own, of no service.
 *
 * Its id has 64 hex digits, so no agent takes it for a task's. What Docker's clients send and this
 * host does not do is refused by name, never dropped: published ports, restart policies, devices,
 * more privileges. Without a cluster there is no network to attach it to either: it has only
 * loopback ("none", which is also what "default" means here) or the host's network. */
#ifndef NODE_API_CONTAINER_CREATE_H
#define NODE_API_CONTAINER_CREATE_H

#include "runtime/runtime.h"

#define CREATE_MOUNT_FIELDS(X, S)                                         \
    X(S, 1, STR, LEN(16), type, "Type", OPTIONAL)                         \
    X(S, 2, STR, LEN(CONTAINER_PATH_LEN_MAX), source, "Source", OPTIONAL) \
    X(S, 3, STR, LEN(CONTAINER_PATH_LEN_MAX), target, "Target", REQUIRED) \
    X(S, 4, BOOL, ANY, read_only, "ReadOnly", OPTIONAL)
FIELDS_STRUCT(create_mount, CREATE_MOUNT_FIELDS);

#define CREATE_LOG_FIELDS(X, S)                   \
    X(S, 1, STR, LEN(64), type, "Type", OPTIONAL) \
    X(S, 2, MAP_STR, COUNT(64), config, "Config", OPTIONAL)
FIELDS_STRUCT(create_log, CREATE_LOG_FIELDS);

#define CREATE_RESTART_FIELDS(X, S) X(S, 1, STR, LEN(64), name, "Name", OPTIONAL)
FIELDS_STRUCT(create_restart, CREATE_RESTART_FIELDS);

#define CREATE_DEVICE_FIELDS(X, S) X(S, 1, STR, LEN(4095), path, "PathOnHost", OPTIONAL)
FIELDS_STRUCT(create_device, CREATE_DEVICE_FIELDS);

#define CREATE_HOST_FIELDS(X, S)                                                   \
    X(S, 1, LIST_STR, COUNT(1024), binds, "Binds", OPTIONAL)                       \
    X(S, 2, LIST, OF(create_mount, 1024), mounts, "Mounts", OPTIONAL)              \
    X(S, 3, MAP_STR, COUNT(1024), tmpfs, "Tmpfs", OPTIONAL)                        \
    X(S, 4, STRUCT, create_log, log, "LogConfig", OPTIONAL)                        \
    X(S, 5, STR, LEN(256), network_mode, "NetworkMode", OPTIONAL)                  \
    X(S, 6, STRUCT, create_restart, restart, "RestartPolicy", OPTIONAL)            \
    X(S, 7, BOOL, ANY, auto_remove, "AutoRemove", OPTIONAL)                        \
    X(S, 8, LIST_STR, COUNT(64), cap_add, "CapAdd", OPTIONAL)                      \
    X(S, 9, LIST_STR, COUNT(64), cap_drop, "CapDrop", OPTIONAL)                    \
    X(S, 10, LIST_STR, COUNT(64), dns, "Dns", OPTIONAL)                            \
    X(S, 11, LIST_STR, COUNT(64), dns_options, "DnsOptions", OPTIONAL)             \
    X(S, 12, LIST_STR, COUNT(64), dns_search, "DnsSearch", OPTIONAL)               \
    X(S, 13, LIST_STR, COUNT(4096), extra_hosts, "ExtraHosts", OPTIONAL)           \
    X(S, 14, LIST_STR, COUNT(1024), groups, "GroupAdd", OPTIONAL)                  \
    X(S, 15, I64, RANGE(-1000, 1000), oom_score_adj, "OomScoreAdj", OPTIONAL)      \
    X(S, 16, BOOL, ANY, privileged, "Privileged", OPTIONAL)                        \
    X(S, 17, BOOL, ANY, publish_all, "PublishAllPorts", OPTIONAL)                  \
    X(S, 18, BOOL, ANY, read_only, "ReadonlyRootfs", OPTIONAL)                     \
    X(S, 19, LIST_STR, COUNT(64), security, "SecurityOpt", OPTIONAL)               \
    X(S, 20, I64, RANGE(0, INT64_MAX), shm_bytes, "ShmSize", OPTIONAL)             \
    X(S, 21, MAP_STR, COUNT(1024), sysctls, "Sysctls", OPTIONAL)                   \
    X(S, 22, I64, RANGE(0, INT64_MAX), memory, "Memory", OPTIONAL)                 \
    X(S, 23, I64, RANGE(0, INT64_MAX), reservation, "MemoryReservation", OPTIONAL) \
    X(S, 24, I64, RANGE(-1, INT64_MAX), memory_swap, "MemorySwap", OPTIONAL)       \
    X(S, 25, I64, RANGE(0, INT64_MAX), nano_cpus, "NanoCpus", OPTIONAL)            \
    X(S, 26, I64, RANGE(0, 262144), cpu_shares, "CpuShares", OPTIONAL)             \
    X(S, 27, I64, RANGE(-1, INT64_MAX), pids, "PidsLimit", OPTIONAL)               \
    X(S, 28, LIST, OF(container_ulimit, 64), ulimits, "Ulimits", OPTIONAL)         \
    X(S, 29, OPT_BOOL, ANY, init, "Init", OPTIONAL)                                \
    X(S, 30, LIST, OF(create_device, 64), devices, "Devices", OPTIONAL)
FIELDS_STRUCT(create_host, CREATE_HOST_FIELDS);

#define CONTAINER_CREATE_FIELDS(X, S)                                            \
    X(S, 1, STR, LEN(1, 4096), image, "Image", REQUIRED)                         \
    X(S, 2, LIST_STR, COUNT(65536), args, "Cmd", OPTIONAL)                       \
    X(S, 3, LIST_STR, COUNT(4096), command, "Entrypoint", OPTIONAL)              \
    X(S, 4, LIST_STR, COUNT(65536), env, "Env", OPTIONAL)                        \
    X(S, 5, STR, LEN(CONTAINER_PATH_LEN_MAX), dir, "WorkingDir", OPTIONAL)       \
    X(S, 6, STR, LEN(256), user, "User", OPTIONAL)                               \
    X(S, 7, BOOL, ANY, tty, "Tty", OPTIONAL)                                     \
    X(S, 8, BOOL, ANY, open_stdin, "OpenStdin", OPTIONAL)                        \
    X(S, 9, STR, LEN(32), stop_signal, "StopSignal", OPTIONAL)                   \
    X(S, 10, OPT_U32, ANY, stop_seconds, "StopTimeout", OPTIONAL)                \
    X(S, 11, OPT, container_health_check, health_check, "Healthcheck", OPTIONAL) \
    X(S, 12, MAP_STR, COUNT(65536), labels, "Labels", OPTIONAL)                  \
    X(S, 13, STR, LEN(253), hostname, "Hostname", OPTIONAL)                      \
    X(S, 14, STR, LEN(253), domainname, "Domainname", OPTIONAL)                  \
    X(S, 15, STRUCT, create_host, host, "HostConfig", OPTIONAL)                  \
    X(S, 16, BOOL, ANY, stdin_once, "StdinOnce", OPTIONAL)
FIELDS_STRUCT(container_create, CONTAINER_CREATE_FIELDS);

/* A container with this label is removed when it has ended. */
#define CONTAINER_LABEL_AUTO_REMOVE "shoal.auto-remove"

/* Takes what it can out of `msg`. `name` may be NULL.
 *   ERR_INVALID, ERR_UNSUPPORTED: `err` names the field; -ENOMEM */
NODISCARD int container_create_spec(struct container_create *msg, const char *id, const char *name,
                                    struct container_spec *out, struct field_error *err);

#endif /* NODE_API_CONTAINER_CREATE_H */
