/* node/object/task_spec.h - What a user asks of one task: Docker's TaskTemplate. */
#ifndef NODE_OBJECT_TASK_SPEC_H
#define NODE_OBJECT_TASK_SPEC_H

#include "node/object/common.h"

/* --- Mounts */
#define MOUNT_TYPE_LIST(E)       \
    E(MOUNT_BIND, 0, "bind")     \
    E(MOUNT_VOLUME, 1, "volume") \
    E(MOUNT_TMPFS, 2, "tmpfs")
FIELDS_ENUM(mount_type, MOUNT_TYPE_LIST);

#define MOUNT_PROPAGATION_LIST(E)          \
    E(PROPAGATION_RPRIVATE, 0, "rprivate") \
    E(PROPAGATION_PRIVATE, 1, "private")   \
    E(PROPAGATION_RSHARED, 2, "rshared")   \
    E(PROPAGATION_SHARED, 3, "shared")     \
    E(PROPAGATION_RSLAVE, 4, "rslave")     \
    E(PROPAGATION_SLAVE, 5, "slave")
FIELDS_ENUM(mount_propagation, MOUNT_PROPAGATION_LIST);

#define BIND_OPTIONS_FIELDS(X, S)                                          \
    X(S, 1, ENUM, mount_propagation, propagation, "Propagation", OPTIONAL) \
    X(S, 2, BOOL, ANY, non_recursive, "NonRecursive", OPTIONAL)            \
    X(S, 3, BOOL, ANY, create_mountpoint, "CreateMountpoint", OPTIONAL)
FIELDS_STRUCT(bind_options, BIND_OPTIONS_FIELDS);

#define VOLUME_OPTIONS_FIELDS(X, S)                                        \
    X(S, 1, BOOL, ANY, no_copy, "NoCopy", OPTIONAL)                        \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", OPTIONAL) \
    X(S, 3, OPT, driver, driver_config, "DriverConfig", OPTIONAL)          \
    X(S, 4, STR, LEN(OBJECT_TEXT_LEN_MAX), subpath, "Subpath", OPTIONAL)
FIELDS_STRUCT(volume_options, VOLUME_OPTIONS_FIELDS);

#define TMPFS_OPTIONS_FIELDS(X, S)                                       \
    X(S, 1, I64, RANGE(0, INT64_MAX), size_bytes, "SizeBytes", OPTIONAL) \
    X(S, 2, U32, RANGE(0, 07777), mode, "Mode", OPTIONAL)
FIELDS_STRUCT(tmpfs_options, TMPFS_OPTIONS_FIELDS);

#define MOUNT_FIELDS(X, S)                                                  \
    X(S, 1, ENUM, mount_type, type, "Type", ALWAYS)                         \
    X(S, 2, STR, LEN(OBJECT_TEXT_LEN_MAX), source, "Source", OPTIONAL)      \
    X(S, 3, STR, LEN(OBJECT_TEXT_LEN_MAX), target, "Target", REQUIRED)      \
    X(S, 4, BOOL, ANY, read_only, "ReadOnly", OPTIONAL)                     \
    X(S, 5, OPT, bind_options, bind_options, "BindOptions", OPTIONAL)       \
    X(S, 6, OPT, volume_options, volume_options, "VolumeOptions", OPTIONAL) \
    X(S, 7, OPT, tmpfs_options, tmpfs_options, "TmpfsOptions", OPTIONAL)
FIELDS_STRUCT(mount, MOUNT_FIELDS);

/* --- Secrets and configs as files in the container */
#define FILE_TARGET_FIELDS(X, S)                                   \
    X(S, 1, STR, LEN(OBJECT_TEXT_LEN_MAX), name, "Name", REQUIRED) \
    X(S, 2, STR, LEN(32), uid, "UID", OPTIONAL)                    \
    X(S, 3, STR, LEN(32), gid, "GID", OPTIONAL)                    \
    X(S, 4, U32, ANY, mode, "Mode", OPTIONAL)
FIELDS_STRUCT(file_target, FILE_TARGET_FIELDS);

#define SECRET_REF_FIELDS(X, S)                                             \
    X(S, 1, OPT, file_target, file, "File", OPTIONAL)                       \
    X(S, 2, STR, LEN(OBJECT_NAME_LEN_MAX), secret_id, "SecretID", REQUIRED) \
    X(S, 3, STR, LEN(256), secret_name, "SecretName", OPTIONAL)
FIELDS_STRUCT(secret_ref, SECRET_REF_FIELDS);

#define CONFIG_REF_FIELDS(X, S)                                             \
    X(S, 1, OPT, file_target, file, "File", OPTIONAL)                       \
    X(S, 2, STR, LEN(OBJECT_NAME_LEN_MAX), config_id, "ConfigID", REQUIRED) \
    X(S, 3, STR, LEN(256), config_name, "ConfigName", OPTIONAL)
FIELDS_STRUCT(config_ref, CONFIG_REF_FIELDS);

/* --- The container */
#define HEALTH_CONFIG_FIELDS(X, S)                                                \
    X(S, 1, LIST_STR, COUNT(OBJECT_LIST_MAX), test, "Test", OPTIONAL)             \
    X(S, 2, DURATION, RANGE(0, INT64_MAX), interval, "Interval", OPTIONAL)        \
    X(S, 3, DURATION, RANGE(0, INT64_MAX), timeout, "Timeout", OPTIONAL)          \
    X(S, 4, I64, RANGE(0, INT64_MAX), retries, "Retries", OPTIONAL)               \
    X(S, 5, DURATION, RANGE(0, INT64_MAX), start_period, "StartPeriod", OPTIONAL) \
    X(S, 6, DURATION, RANGE(0, INT64_MAX), start_interval, "StartInterval", OPTIONAL)
FIELDS_STRUCT(health_config, HEALTH_CONFIG_FIELDS);

#define DNS_CONFIG_FIELDS(X, S)                                        \
    X(S, 1, LIST_STR, COUNT(16), nameservers, "Nameservers", OPTIONAL) \
    X(S, 2, LIST_STR, COUNT(32), search, "Search", OPTIONAL)           \
    X(S, 3, LIST_STR, COUNT(32), options, "Options", OPTIONAL)
FIELDS_STRUCT(dns_config, DNS_CONFIG_FIELDS);

#define ULIMIT_FIELDS(X, S)                       \
    X(S, 1, STR, LEN(32), name, "Name", REQUIRED) \
    X(S, 2, I64, ANY, soft, "Soft", ALWAYS)       \
    X(S, 3, I64, ANY, hard, "Hard", ALWAYS)
FIELDS_STRUCT(ulimit, ULIMIT_FIELDS);

#define PRIVILEGES_FIELDS(X, S) X(S, 1, BOOL, ANY, no_new_privileges, "NoNewPrivileges", OPTIONAL)
FIELDS_STRUCT(privileges, PRIVILEGES_FIELDS);

#define TASK_CONTAINER_FIELDS(X, S)                                                             \
    X(S, 1, STR, LEN(1, OBJECT_TEXT_LEN_MAX), image, "Image", REQUIRED)                         \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", OPTIONAL)                      \
    X(S, 3, LIST_STR, COUNT(OBJECT_LIST_MAX), command, "Command", OPTIONAL)                     \
    X(S, 4, LIST_STR, COUNT(OBJECT_LIST_MAX), args, "Args", OPTIONAL)                           \
    X(S, 5, STR, LEN(OBJECT_TEXT_LEN_MAX), hostname, "Hostname", OPTIONAL)                      \
    X(S, 6, LIST_STR, COUNT(OBJECT_LIST_MAX), env, "Env", OPTIONAL)                             \
    X(S, 7, STR, LEN(OBJECT_TEXT_LEN_MAX), dir, "Dir", OPTIONAL)                                \
    X(S, 8, STR, LEN(256), user, "User", OPTIONAL)                                              \
    X(S, 9, LIST_STR, COUNT(64), groups, "Groups", OPTIONAL)                                    \
    X(S, 10, OPT, privileges, privileges, "Privileges", OPTIONAL)                               \
    X(S, 11, BOOL, ANY, tty, "TTY", OPTIONAL)                                                   \
    X(S, 12, BOOL, ANY, open_stdin, "OpenStdin", OPTIONAL)                                      \
    X(S, 13, BOOL, ANY, read_only, "ReadOnly", OPTIONAL)                                        \
    X(S, 14, LIST, OF(mount, OBJECT_LIST_MAX), mounts, "Mounts", OPTIONAL)                      \
    X(S, 15, STR, LEN(32), stop_signal, "StopSignal", OPTIONAL)                                 \
    X(S, 16, OPT_DURATION, RANGE(0, INT64_MAX), stop_grace_period, "StopGracePeriod", OPTIONAL) \
    X(S, 17, OPT, health_config, health, "Healthcheck", OPTIONAL)                               \
    X(S, 18, LIST_STR, COUNT(OBJECT_LIST_MAX), hosts, "Hosts", OPTIONAL)                        \
    X(S, 19, OPT, dns_config, dns, "DNSConfig", OPTIONAL)                                       \
    X(S, 20, LIST, OF(secret_ref, OBJECT_LIST_MAX), secrets, "Secrets", OPTIONAL)               \
    X(S, 21, LIST, OF(config_ref, OBJECT_LIST_MAX), configs, "Configs", OPTIONAL)               \
    X(S, 22, I64, RANGE(-1000, 1000), oom_score_adj, "OomScoreAdj", OPTIONAL)                   \
    X(S, 23, STR, LEN(16), isolation, "Isolation", OPTIONAL)                                    \
    X(S, 24, OPT_BOOL, ANY, init, "Init", OPTIONAL)                                             \
    X(S, 25, MAP_STR, COUNT(OBJECT_LABELS_MAX), sysctls, "Sysctls", OPTIONAL)                   \
    X(S, 26, LIST_STR, COUNT(64), capability_add, "CapabilityAdd", OPTIONAL)                    \
    X(S, 27, LIST_STR, COUNT(64), capability_drop, "CapabilityDrop", OPTIONAL)                  \
    X(S, 28, LIST, OF(ulimit, OBJECT_LIST_MAX), ulimits, "Ulimits", OPTIONAL)
FIELDS_STRUCT(task_container, TASK_CONTAINER_FIELDS);

/* --- Resources, restarts, placement */
#define LIMIT_FIELDS(X, S)                                                   \
    X(S, 1, I64, RANGE(0, INT64_MAX), nano_cpus, "NanoCPUs", OPTIONAL)       \
    X(S, 2, I64, RANGE(0, INT64_MAX), memory_bytes, "MemoryBytes", OPTIONAL) \
    X(S, 3, I64, RANGE(0, INT64_MAX), pids, "Pids", OPTIONAL)
FIELDS_STRUCT(limit, LIMIT_FIELDS);

#define RESOURCE_REQUIREMENTS_FIELDS(X, S)          \
    X(S, 1, OPT, limit, limits, "Limits", OPTIONAL) \
    X(S, 2, OPT, resources, reservations, "Reservations", OPTIONAL)
FIELDS_STRUCT(resource_requirements, RESOURCE_REQUIREMENTS_FIELDS);

#define RESTART_CONDITION_LIST(E)          \
    E(RESTART_ANY, 0, "any")               \
    E(RESTART_ON_FAILURE, 1, "on-failure") \
    E(RESTART_NONE, 2, "none")
FIELDS_ENUM(restart_condition, RESTART_CONDITION_LIST);

#define RESTART_POLICY_FIELDS(X, S)                                                           \
    X(S, 1, ENUM, restart_condition, condition, "Condition", ALWAYS)                          \
    X(S, 2, OPT_DURATION, RANGE(0, INT64_MAX), delay, "Delay", OPTIONAL) /* default 5 s */    \
    X(S, 3, OPT_U64, ANY, max_attempts, "MaxAttempts", OPTIONAL) /* absent or 0 = no limit */ \
    X(S, 4, OPT_DURATION, RANGE(0, INT64_MAX), window, "Window", OPTIONAL)
FIELDS_STRUCT(restart_policy, RESTART_POLICY_FIELDS);

#define SPREAD_FIELDS(X, S) X(S, 1, STR, LEN(256), descriptor, "SpreadDescriptor", REQUIRED)
FIELDS_STRUCT(spread, SPREAD_FIELDS);

#define PLACEMENT_PREFERENCE_FIELDS(X, S) X(S, 1, OPT, spread, spread, "Spread", OPTIONAL)
FIELDS_STRUCT(placement_preference, PLACEMENT_PREFERENCE_FIELDS);

#define PLACEMENT_FIELDS(X, S)                                                                     \
    X(S, 1, LIST_STR, COUNT(64), constraints, "Constraints", OPTIONAL)                             \
    X(S, 2, LIST, OF(placement_preference, OBJECT_LIST_MAX), preferences, "Preferences", OPTIONAL) \
    X(S, 3, U64, ANY, max_replicas, "MaxReplicas", OPTIONAL) /* per node; 0 = no limit */          \
    X(S, 4, LIST, OF(platform, OBJECT_LIST_MAX), platforms, "Platforms", OPTIONAL)
FIELDS_STRUCT(placement, PLACEMENT_FIELDS);

/* What a node does with the task while it cannot reach any manager. */
#define DISCONNECT_FIELDS(X, S) \
    X(S, 1, DURATION, RANGE(0, INT64_MAX), stop_after, "StopAfter", OPTIONAL) /* 0 = keep it */
FIELDS_STRUCT(disconnect, DISCONNECT_FIELDS);

#define TASK_SPEC_FIELDS(X, S)                                                         \
    X(S, 1, OPT, task_container, container, "ContainerSpec", OPTIONAL)                 \
    X(S, 2, OPT, resource_requirements, resources, "Resources", OPTIONAL)              \
    X(S, 3, OPT, restart_policy, restart, "RestartPolicy", OPTIONAL)                   \
    X(S, 4, OPT, placement, placement, "Placement", OPTIONAL)                          \
    X(S, 5, LIST, OF(network_target, OBJECT_LIST_MAX), networks, "Networks", OPTIONAL) \
    X(S, 6, OPT, driver, log_driver, "LogDriver", OPTIONAL)                            \
    X(S, 7, U64, ANY, force_update, "ForceUpdate", ALWAYS)                             \
    X(S, 8, STR, LEN(32), runtime, "Runtime", OPTIONAL)                                \
    X(S, 9, OPT, disconnect, disconnect, "Disconnect", OPTIONAL) /* ours */
FIELDS_STRUCT(task_spec, TASK_SPEC_FIELDS);

#endif /* NODE_OBJECT_TASK_SPEC_H */
