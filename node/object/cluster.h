/* node/object/cluster.h - The cluster itself: one object, its settings and its keys.
 *
 * Members marked SECRET never leave the managers except where their comment says so. */
#ifndef NODE_OBJECT_CLUSTER_H
#define NODE_OBJECT_CLUSTER_H

#include "node/object/common.h"

#define TASK_HISTORY_DEFAULT 5 /* ended tasks kept at each place */
#define ORCHESTRATION_FIELDS(X, S) \
    X(S, 1, OPT_I64, ANY, task_history, "TaskHistoryRetentionLimit", OPTIONAL)
FIELDS_STRUCT(orchestration, ORCHESTRATION_FIELDS);

#define RAFT_SPEC_FIELDS(X, S)                                                  \
    X(S, 1, U64, ANY, snapshot_interval, "SnapshotInterval", OPTIONAL)          \
    X(S, 2, OPT_U64, ANY, keep_old_snapshots, "KeepOldSnapshots", OPTIONAL)     \
    X(S, 3, U64, ANY, trailing_entries, "LogEntriesForSlowFollowers", OPTIONAL) \
    X(S, 4, I64, ANY, election_tick, "ElectionTick", ALWAYS)                    \
    X(S, 5, I64, ANY, heartbeat_tick, "HeartbeatTick", ALWAYS)
FIELDS_STRUCT(raft_spec, RAFT_SPEC_FIELDS);

#define DISPATCHER_SPEC_FIELDS(X, S) \
    X(S, 1, DURATION, RANGE(0, INT64_MAX), heartbeat_period, "HeartbeatPeriod", OPTIONAL)
FIELDS_STRUCT(dispatcher_spec, DISPATCHER_SPEC_FIELDS);

#define CA_CONFIG_FIELDS(X, S)                                                           \
    X(S, 1, DURATION, RANGE(0, INT64_MAX), node_cert_expiry, "NodeCertExpiry", OPTIONAL) \
    X(S, 2, U64, ANY, force_rotate, "ForceRotate", OPTIONAL)
FIELDS_STRUCT(ca_config, CA_CONFIG_FIELDS);

#define ENCRYPTION_CONFIG_FIELDS(X, S) X(S, 1, BOOL, ANY, auto_lock, "AutoLockManagers", ALWAYS)
FIELDS_STRUCT(encryption_config, ENCRYPTION_CONFIG_FIELDS);

#define TASK_DEFAULTS_FIELDS(X, S) X(S, 1, OPT, driver, log_driver, "LogDriver", OPTIONAL)
FIELDS_STRUCT(task_defaults, TASK_DEFAULTS_FIELDS);

#define CLUSTER_SPEC_FIELDS(X, S)                                          \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), name, "Name", OPTIONAL)         \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", ALWAYS)   \
    X(S, 3, STRUCT, orchestration, orchestration, "Orchestration", ALWAYS) \
    X(S, 4, STRUCT, raft_spec, raft, "Raft", ALWAYS)                       \
    X(S, 5, STRUCT, dispatcher_spec, dispatcher, "Dispatcher", ALWAYS)     \
    X(S, 6, STRUCT, ca_config, ca, "CAConfig", ALWAYS)                     \
    X(S, 7, STRUCT, task_defaults, task_defaults, "TaskDefaults", ALWAYS)  \
    X(S, 8, STRUCT, encryption_config, encryption, "EncryptionConfig", ALWAYS)
FIELDS_STRUCT(cluster_spec, CLUSTER_SPEC_FIELDS);

/* A certificate authority root. The newest signs; the older are trusted until every node
 * has a certificate of the newest. */
#define CLUSTER_ROOTS_MAX 4
#define CA_ROOT_FIELDS(X, S)                                                                 \
    X(S, 1, FIXED, SIZE(32), public_key, NULL, REQUIRED)        /* Ed25519 */                \
    X(S, 2, BYTES, LEN(64), secret_key, NULL, SECRET(OPTIONAL)) /* Ed25519; managers only */ \
    X(S, 3, BYTES, LEN(4096), cross_signature, NULL, OPTIONAL)  /* by the root before it */
FIELDS_STRUCT(ca_root, CA_ROOT_FIELDS);

/* Goes to every node. The first seals, the others only open: the next one before it is used, and
 * afterwards the one before it. node/control/gossip_keys.h rotates them. */
#define GOSSIP_SECRET_FIELDS(X, S)           \
    X(S, 1, U64, ANY, epoch, NULL, REQUIRED) \
    X(S, 2, BYTES, LEN(32), key, NULL, SECRET(REQUIRED))
FIELDS_STRUCT(gossip_secret, GOSSIP_SECRET_FIELDS);

#define JOIN_SECRETS_FIELDS(X, S)                           \
    X(S, 1, BYTES, LEN(16), worker, NULL, SECRET(OPTIONAL)) \
    X(S, 2, BYTES, LEN(16), manager, NULL, SECRET(OPTIONAL))
FIELDS_STRUCT(join_secrets, JOIN_SECRETS_FIELDS);

#define CLUSTER_FIELDS(X, S)                                                               \
    OBJECT_HEAD_FIELDS(X, S)                                                               \
    X(S, 5, STRUCT, cluster_spec, spec, "Spec", ALWAYS)                                    \
    X(S, 6, STRUCT, join_secrets, join, NULL, OPTIONAL)                                    \
    X(S, 7, LIST, OF(ca_root, OBJECT_LIST_MAX), roots, NULL,                               \
      OPTIONAL) /* newest first; more than one only while they rotate */                   \
    X(S, 8, LIST, OF(gossip_secret, OBJECT_LIST_MAX), gossip_keys, NULL, OPTIONAL)         \
    X(S, 9, BYTES, LEN(32), unlock_key, NULL, SECRET(OPTIONAL))                            \
    X(S, 10, LIST_STR, COUNT(16), address_pools, "DefaultAddrPool", OPTIONAL) /* CIDR */   \
    X(S, 11, U32, RANGE(0, 29), subnet_size, "SubnetSize", OPTIONAL)                       \
    X(S, 12, U32, RANGE(0, 65535), data_port, "DataPathPort", OPTIONAL)                    \
    X(S, 13, U64, ANY, epoch, NULL, OPTIONAL) /* forced new clusters raise it */           \
    X(S, 14, TIME, ANY, gossip_key_rotated_at, NULL, OPTIONAL)                             \
    X(S, 15, U64, ANY, gossip_key_index, NULL, OPTIONAL) /* of the log: newest key made */ \
    X(S, 16, DURATION, RANGE(0, INT64_MAX), gossip_key_period, NULL, OPTIONAL) /* 0: 12 h */
FIELDS_STRUCT(cluster, CLUSTER_FIELDS);

/* A node that was removed: refused until its certificate has expired. Keyed by the node's id. */
#define REMOVAL_FIELDS(X, S) \
    OBJECT_HEAD_FIELDS(X, S) \
    X(S, 5, TIME, ANY, expires_at, NULL, OPTIONAL)
FIELDS_STRUCT(removal, REMOVAL_FIELDS);

#endif /* NODE_OBJECT_CLUSTER_H */
