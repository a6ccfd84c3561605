/* node/object/node.h - A machine of the cluster, as the managers know it. */
#ifndef NODE_OBJECT_NODE_H
#define NODE_OBJECT_NODE_H

#include "node/object/common.h"

#define NODE_ROLE_LIST(E)       \
    E(ROLE_WORKER, 0, "worker") \
    E(ROLE_MANAGER, 1, "manager")
FIELDS_ENUM(node_role, NODE_ROLE_LIST);

#define AVAILABILITY_LIST(E)                             \
    E(AVAILABILITY_ACTIVE, 0, "active")                  \
    E(AVAILABILITY_PAUSE, 1, "pause") /* no new tasks */ \
    E(AVAILABILITY_DRAIN, 2, "drain") /* tasks move away */
FIELDS_ENUM(availability, AVAILABILITY_LIST);

#define NODE_STATE_LIST(E)                                                       \
    E(NODE_UNKNOWN, 0, "unknown") /* not heard of since this leader took over */ \
    E(NODE_DOWN, 1, "down")                                                      \
    E(NODE_READY, 2, "ready")                                                    \
    E(NODE_DISCONNECTED, 3, "disconnected") /* left, or said that it will stop */
FIELDS_ENUM(node_state, NODE_STATE_LIST);

#define REACHABILITY_LIST(E)                      \
    E(REACHABILITY_UNKNOWN, 0, "unknown")         \
    E(REACHABILITY_UNREACHABLE, 1, "unreachable") \
    E(REACHABILITY_REACHABLE, 2, "reachable")
FIELDS_ENUM(reachability, REACHABILITY_LIST);

#define NODE_SPEC_FIELDS(X, S)                                           \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), name, "Name", OPTIONAL)       \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", ALWAYS) \
    X(S, 3, ENUM, node_role, role, "Role", ALWAYS) /* desired */         \
    X(S, 4, ENUM, availability, availability, "Availability", ALWAYS)
FIELDS_STRUCT(node_spec, NODE_SPEC_FIELDS);

#define ENGINE_PLUGIN_FIELDS(X, S)                \
    X(S, 1, STR, LEN(64), type, "Type", OPTIONAL) \
    X(S, 2, STR, LEN(256), name, "Name", OPTIONAL)
FIELDS_STRUCT(engine_plugin, ENGINE_PLUGIN_FIELDS);

#define ENGINE_FIELDS(X, S)                                                \
    X(S, 1, STR, LEN(64), version, "EngineVersion", OPTIONAL)              \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", OPTIONAL) \
    X(S, 3, LIST, OF(engine_plugin, OBJECT_LIST_MAX), plugins, "Plugins", OPTIONAL)
FIELDS_STRUCT(engine, ENGINE_FIELDS);

/* What the node says about itself at join and whenever it changes. */
#define NODE_DESCRIPTION_FIELDS(X, S)                                                              \
    X(S, 1, STR, LEN(256), hostname, "Hostname", OPTIONAL)                                         \
    X(S, 2, STRUCT, platform, platform, "Platform", ALWAYS)                                        \
    X(S, 3, STRUCT, resources, resources, "Resources", ALWAYS)                                     \
    X(S, 4, STRUCT, engine, engine, "Engine", ALWAYS)                                              \
    X(S, 5, LIST_STR, COUNT(8), link_addrs, NULL, OPTIONAL) /* host:port of its link listener */   \
    X(S, 6, STR, LEN(64), gossip_addr, NULL, OPTIONAL)      /* host:port */                        \
    X(S, 7, LIST_STR, COUNT(8), data_addrs, NULL, OPTIONAL) /* host:port of sealed data */         \
    X(S, 8, U64, ANY, gossip_key, NULL, OPTIONAL)           /* epoch of the key that seals ... */  \
    X(S, 9, U64, ANY, gossip_key_newest, NULL, OPTIONAL)    /* ... and of the newest that opens */ \
    X(S, 10, FIXED, SIZE(32), issuer, NULL, OPTIONAL)       /* root that signed its certificate */
FIELDS_STRUCT(node_description, NODE_DESCRIPTION_FIELDS);

#define NODE_STATUS_FIELDS(X, S)                                         \
    X(S, 1, ENUM, node_state, state, "State", ALWAYS)                    \
    X(S, 2, STR, LEN(OBJECT_TEXT_LEN_MAX), message, "Message", OPTIONAL) \
    X(S, 3, STR, LEN(64), addr, "Addr", OPTIONAL)                        \
    X(S, 4, TIME, ANY, since, NULL, OPTIONAL) /* when this state began */
FIELDS_STRUCT(node_status, NODE_STATUS_FIELDS);

#define MANAGER_STATUS_FIELDS(X, S)                                                              \
    X(S, 1, U64, ANY, raft_id, NULL, OPTIONAL)                                                   \
    X(S, 2, BOOL, ANY, leader, "Leader", OPTIONAL) /* filled by the API from raft, not stored */ \
    X(S, 3, ENUM, reachability, reachability, "Reachability", ALWAYS)                            \
    X(S, 4, STR, LEN(64), addr, "Addr", OPTIONAL)
FIELDS_STRUCT(manager_status, MANAGER_STATUS_FIELDS);

#define NODE_FIELDS(X, S)                                                                      \
    OBJECT_HEAD_FIELDS(X, S)                                                                   \
    X(S, 5, STRUCT, node_spec, spec, "Spec", ALWAYS)                                           \
    X(S, 6, STRUCT, node_description, description, "Description", ALWAYS)                      \
    X(S, 7, STRUCT, node_status, status, "Status", ALWAYS)                                     \
    X(S, 8, OPT, manager_status, manager, "ManagerStatus", OPTIONAL)                           \
    X(S, 9, ENUM, node_role, role, NULL, OPTIONAL)          /* observed: of its certificate */ \
    X(S, 10, FIXED, SIZE(32), identity_key, NULL, OPTIONAL) /* Ed25519, public */              \
    X(S, 11, FIXED, SIZE(32), static_key, NULL, OPTIONAL)   /* X25519, public */               \
    X(S, 12, LIST, OF(attachment_ref, OBJECT_LIST_MAX), gateways, NULL,                        \
      OPTIONAL) /* its address on ingress networks */

/* The node's own address on a network: replies to published ports return through it. */
#define ATTACHMENT_REF_FIELDS(X, S)                                  \
    X(S, 1, ID, ANY, network_id, "NetworkID", REQUIRED)              \
    X(S, 2, STR, LEN(64), addr, "Address", OPTIONAL) /* CIDR text */ \
    X(S, 3, U64, ANY, generation, "Generation", OPTIONAL)            \
    X(S, 4, STR, LEN(64), addr6, "Address6", OPTIONAL) /* absent = IPv4 only */
FIELDS_STRUCT(attachment_ref, ATTACHMENT_REF_FIELDS);
FIELDS_STRUCT(node, NODE_FIELDS);

#endif /* NODE_OBJECT_NODE_H */
