/* runtime/container_spec.h - What a container is to be, in full.
 *
 * The caller has decided everything: templates are expanded, secrets are bytes, networks are a
 * namespace. What is left empty comes from the image, then from Docker's defaults. The same
 * record is what the runtime keeps on disk (docs/formats/runtime.md), so tags are forever. */
#ifndef RUNTIME_CONTAINER_SPEC_H
#define RUNTIME_CONTAINER_SPEC_H

#include "base/fields.h"

#define CONTAINER_ID_LEN_MAX     64  /* a task's 25 base-36 characters, or 64 hex digits */
#define CONTAINER_NAME_LEN_MAX   253 /* [a-zA-Z0-9][a-zA-Z0-9_.-]* */
#define CONTAINER_PATH_LEN_MAX   4095
#define CONTAINER_FILE_BYTES_MAX (1000 * 1024) /* a config; Docker's limit */

/* Bounds and meaning of one table row stand beside it. Paths in the container are absolute. */

#define CONTAINER_MOUNT_KIND_ENUM(X)       \
    X(CONTAINER_MOUNT_BIND, 1, "bind")     \
    X(CONTAINER_MOUNT_VOLUME, 2, "volume") \
    X(CONTAINER_MOUNT_TMPFS, 3, "tmpfs")
FIELDS_ENUM(container_mount_kind, CONTAINER_MOUNT_KIND_ENUM);

#define CONTAINER_PROPAGATION_ENUM(X)    \
    X(CONTAINER_RPRIVATE, 0, "rprivate") \
    X(CONTAINER_PRIVATE, 1, "private")   \
    X(CONTAINER_RSHARED, 2, "rshared")   \
    X(CONTAINER_SHARED, 3, "shared")     \
    X(CONTAINER_RSLAVE, 4, "rslave")     \
    X(CONTAINER_SLAVE, 5, "slave")
FIELDS_ENUM(container_propagation, CONTAINER_PROPAGATION_ENUM);

/* Rows of one kind only say so. */
#define CONTAINER_MOUNT_FIELDS(X, S)                                                              \
    X(S, 1, ENUM, container_mount_kind, kind, "Type", REQUIRED)                                   \
    X(S, 2, STR, LEN(1, CONTAINER_PATH_LEN_MAX), target, "Target", REQUIRED)                      \
    /* bind: absolute path on the host; volume: its name, "" = anonymous */                       \
    X(S, 3, STR, LEN(CONTAINER_PATH_LEN_MAX), source, "Source", OPTIONAL)                         \
    X(S, 4, BOOL, ANY, read_only, "ReadOnly", OPTIONAL)                                           \
    X(S, 5, ENUM, container_propagation, propagation, "Propagation", OPTIONAL) /* bind */         \
    X(S, 6, BOOL, ANY, non_recursive, "NonRecursive", OPTIONAL)                /* bind */         \
    X(S, 7, BOOL, ANY, create_mountpoint, "CreateMountpoint", OPTIONAL) /* bind: mkdir -p */      \
    X(S, 8, BOOL, ANY, no_copy, "NoCopy", OPTIONAL) /* volume: do not fill from the image */      \
    X(S, 9, STR, LEN(CONTAINER_PATH_LEN_MAX), subpath, "Subpath", OPTIONAL) /* volume */          \
    X(S, 10, MAP_STR, COUNT(128), labels, "Labels", OPTIONAL)          /* volume, when created */ \
    X(S, 11, MAP_STR, COUNT(128), driver_options, "Options", OPTIONAL) /* volume, when created */ \
    X(S, 12, U64, ANY, size_bytes, "SizeBytes", OPTIONAL)  /* tmpfs; 0 = half of memory */        \
    X(S, 13, U32, RANGE(0, 07777), mode, "Mode", OPTIONAL) /* tmpfs; 0 = 01777 */                 \
    X(S, 14, LIST_STR, COUNT(32), options, "TmpfsOptions", OPTIONAL) /* "exec", "uid=5" .. */     \
    X(S, 15, BOOL, ANY, read_only_non_recursive, "ReadOnlyNonRecursive", OPTIONAL) /* bind */
FIELDS_STRUCT(container_mount, CONTAINER_MOUNT_FIELDS);

/* A secret or a config. Secret bytes live on a tmpfs of their own and are mounted read-only. */
#define CONTAINER_FILE_FIELDS(X, S)                                          \
    X(S, 1, STR, LEN(1, CONTAINER_PATH_LEN_MAX), target, "Target", REQUIRED) \
    X(S, 2, U32, ANY, uid, "UID", OPTIONAL)                                  \
    X(S, 3, U32, ANY, gid, "GID", OPTIONAL)                                  \
    X(S, 4, U32, RANGE(0, 07777), mode, "Mode", OPTIONAL)                    \
    X(S, 5, BYTES, LEN(CONTAINER_FILE_BYTES_MAX), bytes, "Bytes", SECRET(OPTIONAL))
FIELDS_STRUCT(container_file, CONTAINER_FILE_FIELDS);

#define CONTAINER_ULIMIT_FIELDS(X, S)                                             \
    X(S, 1, STR, LEN(1, 16), name, "Name", REQUIRED)         /* "nofile" */       \
    X(S, 2, I64, RANGE(-1, INT64_MAX), soft, "Soft", ALWAYS) /* -1 = unlimited */ \
    X(S, 3, I64, RANGE(-1, INT64_MAX), hard, "Hard", ALWAYS)
FIELDS_STRUCT(container_ulimit, CONTAINER_ULIMIT_FIELDS);

/* `test` as in Docker: {} = the image's, {"NONE"}, {"CMD", argv..}, {"CMD-SHELL", line}.
 * Zero durations and retries are the image's, then 30 s, 30 s, 0 s, 5 s and 3. */
#define CONTAINER_HEALTH_CHECK_FIELDS(X, S)                                           \
    X(S, 1, LIST_STR, COUNT(1024), test, "Test", OPTIONAL)                            \
    X(S, 2, DURATION, RANGE(0, INT64_MAX), interval, "Interval", OPTIONAL)            \
    X(S, 3, DURATION, RANGE(0, INT64_MAX), timeout, "Timeout", OPTIONAL)              \
    X(S, 4, DURATION, RANGE(0, INT64_MAX), start_period, "StartPeriod", OPTIONAL)     \
    X(S, 5, DURATION, RANGE(0, INT64_MAX), start_interval, "StartInterval", OPTIONAL) \
    X(S, 6, U32, RANGE(0, 1000), retries, "Retries", OPTIONAL)
FIELDS_STRUCT(container_health_check, CONTAINER_HEALTH_CHECK_FIELDS);

/* 0 = no limit. */
#define CONTAINER_LIMITS_FIELDS(X, S)                                                             \
    X(S, 1, I64, RANGE(0, INT64_MAX), nano_cpus, "NanoCPUs", OPTIONAL) /* 10^9 = one processor */ \
    X(S, 2, I64, RANGE(0, INT64_MAX), memory_bytes, "MemoryBytes", OPTIONAL)                      \
    X(S, 3, I64, RANGE(0, INT64_MAX), pids, "Pids", OPTIONAL)                                     \
    X(S, 4, I64, RANGE(0, INT64_MAX), memory_reservation_bytes, "MemoryReservation", OPTIONAL)    \
    X(S, 5, I64, RANGE(-1, INT64_MAX), memory_swap_bytes, "MemorySwap", OPTIONAL) /* with memory; \
                                                       0 = as much swap as memory, -1 = all */    \
    X(S, 6, U64, RANGE(0, 262144), cpu_shares, "CpuShares", OPTIONAL)
FIELDS_STRUCT(container_limits, CONTAINER_LIMITS_FIELDS);

#define CONTAINER_SECCOMP_ENUM(X)                    \
    X(CONTAINER_SECCOMP_DEFAULT, 0, "default")       \
    X(CONTAINER_SECCOMP_UNCONFINED, 1, "unconfined") \
    X(CONTAINER_SECCOMP_CUSTOM, 2, "custom")
FIELDS_ENUM(container_seccomp, CONTAINER_SECCOMP_ENUM);

#define CONTAINER_SPEC_FIELDS(X, S)                                                                \
    X(S, 1, STR, LEN(1, CONTAINER_ID_LEN_MAX), id, "ID", REQUIRED) /* [0-9a-z]+; never reused */   \
    X(S, 2, STR, LEN(CONTAINER_NAME_LEN_MAX), name, "Name", OPTIONAL) /* unique; "" = none */      \
    X(S, 3, STR, LEN(1, 4096), image, "Image", REQUIRED)              /* reference, or image id */ \
    /* process: command replaces the image's entrypoint (and its cmd), args its cmd */             \
    X(S, 10, LIST_STR, COUNT(4096), command, "Command", OPTIONAL)                                  \
    X(S, 11, LIST_STR, COUNT(65536), args, "Args", OPTIONAL)                                       \
    X(S, 12, LIST_STR, COUNT(65536), env, "Env",                                                   \
      OPTIONAL) /* "K=V"; "K" takes the image's K away */                                          \
    X(S, 13, STR, LEN(CONTAINER_PATH_LEN_MAX), dir, "Dir", OPTIONAL)                               \
    X(S, 14, STR, LEN(256), user, "User", OPTIONAL)             /* "name|uid[:group|gid]" */       \
    X(S, 15, LIST_STR, COUNT(1024), groups, "Groups", OPTIONAL) /* more groups: names or gids */   \
    X(S, 16, BOOL, ANY, tty, "TTY", OPTIONAL)                                                      \
    X(S, 17, BOOL, ANY, open_stdin, "OpenStdin", OPTIONAL)                                         \
    X(S, 18, BOOL, ANY, init, "Init", OPTIONAL)                 /* a reaper as process 1 */        \
    X(S, 19, STR, LEN(32), stop_signal, "StopSignal", OPTIONAL) /* "SIGTERM", "TERM" or "15" */    \
    X(S, 20, OPT_DURATION, RANGE(0, INT64_MAX), stop_grace, "StopGracePeriod", OPTIONAL)           \
    X(S, 21, OPT, container_health_check, health_check, "Healthcheck", OPTIONAL)                   \
    X(S, 22, MAP_STR, COUNT(65536), labels, "Labels", OPTIONAL)                                    \
    X(S, 23, BOOL, ANY, stdin_once, "StdinOnce",                                                   \
      OPTIONAL) /* its input ends when an attached stream's does */                                \
    /* names */                                                                                    \
    X(S, 30, STR, LEN(253), hostname, "Hostname", OPTIONAL) /* "" = first 12 characters of id */   \
    X(S, 31, STR, LEN(253), domainname, "Domainname", OPTIONAL)                                    \
    X(S, 32, LIST_STR, COUNT(4096), hosts, "Hosts",                                                \
      OPTIONAL) /* lines of /etc/hosts: "IP name.." */                                             \
    X(S, 33, LIST_STR, COUNT(64), dns_servers, "DNSServers", OPTIONAL) /* {} = the host's */       \
    X(S, 34, LIST_STR, COUNT(64), dns_search, "DNSSearch", OPTIONAL)                               \
    X(S, 35, LIST_STR, COUNT(64), dns_options, "DNSOptions", OPTIONAL)                             \
    /* a namespace made beforehand: its path; "" = a new one with only loopback; "host" */         \
    X(S, 36, STR, LEN(CONTAINER_PATH_LEN_MAX), netns_path, "NetNS", OPTIONAL)                      \
    /* data */                                                                                     \
    X(S, 40, LIST, OF(container_mount, 1024), mounts, "Mounts", OPTIONAL)                          \
    X(S, 41, LIST, OF(container_file, 1024), secrets, "Secrets", OPTIONAL)                         \
    X(S, 42, LIST, OF(container_file, 1024), configs, "Configs", OPTIONAL)                         \
    X(S, 43, BOOL, ANY, read_only, "ReadonlyRootfs", OPTIONAL)                                     \
    X(S, 44, U64, ANY, shm_bytes, "ShmSize", OPTIONAL) /* 0 = 64 MiB */                            \
    /* limits and rights */                                                                        \
    X(S, 50, STRUCT, container_limits, limits, "Limits", OPTIONAL)                                 \
    X(S, 51, LIST, OF(container_ulimit, 64), ulimits, "Ulimits", OPTIONAL)                         \
    X(S, 52, MAP_STR, COUNT(1024), sysctls, "Sysctls", OPTIONAL)                                   \
    X(S, 53, LIST_STR, COUNT(64), cap_add, "CapAdd",                                               \
      OPTIONAL) /* "NET_ADMIN", "ALL"; CAP_ may lead */                                            \
    X(S, 54, LIST_STR, COUNT(64), cap_drop, "CapDrop", OPTIONAL)                                   \
    X(S, 55, BOOL, ANY, no_new_privileges, "NoNewPrivileges", OPTIONAL)                            \
    X(S, 56, ENUM, container_seccomp, seccomp, "Seccomp", OPTIONAL)                                \
    X(S, 57, STR, LEN(1024 * 1024), seccomp_profile, "SeccompProfile",                             \
      OPTIONAL) /* JSON, custom */                                                                 \
    X(S, 58, I64, RANGE(-1000, 1000), oom_score_adj, "OomScoreAdj", OPTIONAL)                      \
    X(S, 59, STR, LEN(1024), cgroup_parent, "CgroupParent", OPTIONAL) /* "" = the runtime's */     \
    /* logs; 0 = the runtime's */                                                                  \
    X(S, 60, BOOL, ANY, log_none, "LogNone", OPTIONAL) /* keep no logs */                          \
    X(S, 61, U64, ANY, log_file_bytes_max, "LogMaxSize", OPTIONAL)                                 \
    X(S, 62, U32, RANGE(0, 1000), log_file_count_max, "LogMaxFile", OPTIONAL)
FIELDS_STRUCT(container_spec, CONTAINER_SPEC_FIELDS);

/* Rules that the table cannot state: characters of id and name, absolute paths, no two mounts on
 * one target, known signal, ulimits, capabilities, "IP name" hosts. Runs fields_validate() too.
 *   ERR_INVALID: `err` names the field and the value */
NODISCARD int container_spec_validate(const struct container_spec *spec, struct field_error *err);

/* 1..64 for "SIGTERM", "term", "15", "SIGRTMIN+3"; ERR_INVALID */
NODISCARD int container_signal_parse(const char *text, int *out);

#endif /* RUNTIME_CONTAINER_SPEC_H */
