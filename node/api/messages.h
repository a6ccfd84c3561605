/* node/api/messages.h - Request bodies that are no objects of the cluster. Names are Docker's. */
#ifndef NODE_API_MESSAGES_H
#define NODE_API_MESSAGES_H

#include "node/object/cluster.h"
#include "node/object/network.h"
#include "node/object/node.h"

#define SWARM_INIT_FIELDS(X, S)                                                      \
    X(S, 1, STR, LEN(256), listen_addr, "ListenAddr", OPTIONAL)                      \
    X(S, 2, STR, LEN(256), advertise_addr, "AdvertiseAddr", OPTIONAL)                \
    X(S, 3, STR, LEN(256), data_addr, "DataPathAddr", OPTIONAL)                      \
    X(S, 4, U32, RANGE(0, 65535), data_port, "DataPathPort", OPTIONAL)               \
    X(S, 5, BOOL, ANY, force_new_cluster, "ForceNewCluster", OPTIONAL)               \
    X(S, 6, STRUCT, cluster_spec, spec, "Spec", OPTIONAL)                            \
    X(S, 7, BOOL, ANY, auto_lock, "AutoLockManagers", OPTIONAL)                      \
    X(S, 8, ENUM, availability, availability, "Availability", OPTIONAL)              \
    X(S, 9, LIST_STR, COUNT_LEN(16, 64), address_pools, "DefaultAddrPool", OPTIONAL) \
    X(S, 10, U32, RANGE(0, 29), subnet_size, "SubnetSize", OPTIONAL)
FIELDS_STRUCT(swarm_init, SWARM_INIT_FIELDS);

#define SWARM_JOIN_FIELDS(X, S)                                                  \
    X(S, 1, STR, LEN(256), listen_addr, "ListenAddr", OPTIONAL)                  \
    X(S, 2, STR, LEN(256), advertise_addr, "AdvertiseAddr", OPTIONAL)            \
    X(S, 3, STR, LEN(256), data_addr, "DataPathAddr", OPTIONAL)                  \
    X(S, 4, LIST_STR, COUNT_LEN(64, 256), remote_addrs, "RemoteAddrs", REQUIRED) \
    X(S, 5, STR, LEN(1, 256), join_token, "JoinToken", SECRET(REQUIRED))         \
    X(S, 6, ENUM, availability, availability, "Availability", OPTIONAL)
FIELDS_STRUCT(swarm_join, SWARM_JOIN_FIELDS);

#define SWARM_UNLOCK_FIELDS(X, S) X(S, 1, STR, LEN(1, 256), key, "UnlockKey", SECRET(REQUIRED))
FIELDS_STRUCT(swarm_unlock, SWARM_UNLOCK_FIELDS);

#define EXEC_CREATE_FIELDS(X, S)                                \
    X(S, 1, STR, LEN(256), user, "User", OPTIONAL)              \
    X(S, 2, BOOL, ANY, tty, "Tty", OPTIONAL)                    \
    X(S, 3, BOOL, ANY, attach_stdin, "AttachStdin", OPTIONAL)   \
    X(S, 4, BOOL, ANY, attach_stdout, "AttachStdout", OPTIONAL) \
    X(S, 5, BOOL, ANY, attach_stderr, "AttachStderr", OPTIONAL) \
    X(S, 6, LIST_STR, COUNT(1024), env, "Env", OPTIONAL)        \
    X(S, 7, STR, LEN(4096), dir, "WorkingDir", OPTIONAL)        \
    X(S, 8, LIST_STR, COUNT(1024), argv, "Cmd", REQUIRED)       \
    X(S, 9, BOOL, ANY, privileged, "Privileged", OPTIONAL)      \
    X(S, 10, STR, LEN(256), detach_keys, "DetachKeys", OPTIONAL)
FIELDS_STRUCT(exec_create, EXEC_CREATE_FIELDS);

#define EXEC_START_FIELDS(X, S)                    \
    X(S, 1, BOOL, ANY, detach, "Detach", OPTIONAL) \
    X(S, 2, BOOL, ANY, tty, "Tty", OPTIONAL)
FIELDS_STRUCT(exec_start, EXEC_START_FIELDS);

#define VOLUME_CREATE_FIELDS(X, S)                                              \
    X(S, 1, STR, LEN(255), name, "Name", OPTIONAL)                              \
    X(S, 2, STR, LEN(64), driver, "Driver", OPTIONAL)                           \
    X(S, 3, MAP_STR, COUNT(OBJECT_LABELS_MAX), options, "DriverOpts", OPTIONAL) \
    X(S, 4, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", OPTIONAL)
FIELDS_STRUCT(volume_create, VOLUME_CREATE_FIELDS);

#endif /* NODE_API_MESSAGES_H */
