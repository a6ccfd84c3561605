/* node/object/dispatch.h - The conversation between the managers and a node's agent.
 *
 * On the dispatch channel of the node's link. The agent opens it:
 *     agent   -> manager   HELLO   { version it has, description of the node }
 *     manager -> agent     ASSIGN  { base, version, objects that changed, ids that are gone }
 *     agent   -> manager   REPORT  { task statuses that changed }, again until acknowledged
 *     manager -> agent     ACK     { highest report sequence that is in the log }
 * An ASSIGN whose base is 0 replaces everything; any other applies only to an agent that is
 * at exactly that base, which then is at `version`. The agent persists it before acting.
 * A node follows one manager at a time, the leader; another says REDIRECT. */
#ifndef NODE_OBJECT_DISPATCH_H
#define NODE_OBJECT_DISPATCH_H

#include "node/object/kind.h"

#define DISPATCH_KIND_LIST(E)       \
    E(DISPATCH_HELLO, 1, "hello")   \
    E(DISPATCH_ASSIGN, 2, "assign") \
    E(DISPATCH_REPORT, 3, "report") \
    E(DISPATCH_ACK, 4, "ack")       \
    E(DISPATCH_REDIRECT, 5, "redirect")
FIELDS_ENUM(dispatch_kind, DISPATCH_KIND_LIST);

/* --- What an agent is told. Each row is keyed by (kind, id) and carries its version. */

/* An endpoint of a network: a task's or gateway's address and where it lives. The agent
 * needs those of every network that it takes part in. Names and readiness serve the
 * resolver and the virtual IPs. Keyed by task (or node) id and network id. */
#define ENDPOINT_FIELDS(X, S)                                                                   \
    X(S, 1, ID, ANY, id, NULL, REQUIRED) /* of the task, or of the node for a gateway */        \
    X(S, 2, ID, ANY, network_id, NULL, REQUIRED)                                                \
    X(S, 3, ID, ANY, node_id, NULL, REQUIRED)                                                   \
    X(S, 4, STR, LEN(64), addr, NULL, OPTIONAL)                                                 \
    X(S, 5, STR, LEN(64), addr6, NULL, OPTIONAL)                                                \
    X(S, 6, U64, ANY, generation, NULL, OPTIONAL)                                               \
    X(S, 7, ID, ANY, service_id, NULL, OPTIONAL)                                                \
    X(S, 8, U64, ANY, slot, NULL, OPTIONAL)                                                     \
    X(S, 9, STR, LEN(256), task_name, NULL, OPTIONAL) /* web.3.<task id> */                     \
    X(S, 10, BOOL, ANY, ready, NULL, OPTIONAL)        /* may receive new connections */         \
    X(S, 11, BOOL, ANY, gateway, NULL, OPTIONAL)      /* a node's own address on the network */ \
    X(S, 12, LIST_STR, COUNT(64), aliases, NULL, OPTIONAL)
FIELDS_STRUCT(endpoint, ENDPOINT_FIELDS);

/* A service as others on a network see it. Keyed by service id and network id. */
#define SERVICE_RECORD_FIELDS(X, S)                                                           \
    X(S, 1, ID, ANY, service_id, NULL, REQUIRED)                                              \
    X(S, 2, ID, ANY, network_id, NULL, REQUIRED)                                              \
    X(S, 3, STR, LEN(OBJECT_NAME_LEN_MAX), name, NULL, REQUIRED)                              \
    X(S, 4, LIST_STR, COUNT(64), aliases, NULL, OPTIONAL)                                     \
    X(S, 5, ENUM, endpoint_mode, mode, NULL, OPTIONAL)                                        \
    X(S, 6, STR, LEN(64), vip, NULL, OPTIONAL) /* address text without prefix; NULL = none */ \
    X(S, 7, LIST, OF(port, OBJECT_LIST_MAX), ports, NULL,                                     \
      OPTIONAL) /* published, on the ingress network only */
FIELDS_STRUCT(service_record, SERVICE_RECORD_FIELDS);

/* Another node, as far as the data path and image fetching need it. */
#define PEER_FIELDS(X, S)                                   \
    X(S, 1, ID, ANY, id, NULL, REQUIRED)                    \
    X(S, 2, STR, LEN(256), hostname, NULL, OPTIONAL)        \
    X(S, 3, FIXED, SIZE(32), identity_key, NULL, OPTIONAL)  \
    X(S, 4, FIXED, SIZE(32), static_key, NULL, OPTIONAL)    \
    X(S, 5, LIST_STR, COUNT(8), link_addrs, NULL, OPTIONAL) \
    X(S, 6, STR, LEN(64), gossip_addr, NULL, OPTIONAL)      \
    X(S, 7, LIST_STR, COUNT(8), data_addrs, NULL, OPTIONAL) \
    X(S, 8, ENUM, node_role, role, NULL, OPTIONAL)          \
    X(S, 9, BOOL, ANY, reachable, NULL, OPTIONAL)
FIELDS_STRUCT(peer, PEER_FIELDS);

/* What every node knows of the cluster: keys of gossip, trusted roots, the node itself. */
#define CLUSTER_RECORD_FIELDS(X, S)                                                              \
    X(S, 1, ID, ANY, id, NULL, REQUIRED)                                                         \
    X(S, 2, LIST, OF(gossip_secret, OBJECT_LIST_MAX), gossip_keys, NULL, OPTIONAL)               \
    X(S, 3, LIST, OF(ca_root, OBJECT_LIST_MAX), roots, NULL,                                     \
      OPTIONAL)                                    /* without their secret keys */               \
    X(S, 4, ENUM, node_role, role, NULL, OPTIONAL) /* desired, of the node that receives this */ \
    X(S, 5, U32, RANGE(0, 65535), data_port, NULL, OPTIONAL)                                     \
    X(S, 6, U64, ANY, raft_id, NULL, OPTIONAL) /* of that node as a manager; 0 = it is none */
FIELDS_STRUCT(cluster_record, CLUSTER_RECORD_FIELDS);

/* One row. Exactly one member is set, unless `gone`. Keys sort in the order in which rows are to be
 * applied: cluster, config, network, peer, port (an endpoint), secret, service, task. */
#define ASSIGNED_FIELDS(X, S)                                                                 \
    X(S, 1, STR, LEN(1, 64), key, NULL, REQUIRED) /* "task/<id>", "port/<id>/<network>" .. */ \
    X(S, 2, BOOL, ANY, gone, NULL, OPTIONAL)                                                  \
    X(S, 3, OPT, task, task, NULL, OPTIONAL)                                                  \
    X(S, 4, OPT, secret, secret, NULL, OPTIONAL)                                              \
    X(S, 5, OPT, config, config, NULL, OPTIONAL)                                              \
    X(S, 6, OPT, network, network, NULL, OPTIONAL)                                            \
    X(S, 7, OPT, endpoint, endpoint, NULL, OPTIONAL)                                          \
    X(S, 8, OPT, service_record, service, NULL, OPTIONAL)                                     \
    X(S, 9, OPT, peer, peer, NULL, OPTIONAL)                                                  \
    X(S, 10, OPT, cluster_record, cluster, NULL, OPTIONAL)
FIELDS_STRUCT(assigned, ASSIGNED_FIELDS);

#define ASSIGNED_MAX 4096 /* rows of one message; more rows take more messages */

#define ASSIGN_FIELDS(X, S)                                                \
    X(S, 1, U64, ANY, base, NULL, OPTIONAL) /* 0 = this is all there is */ \
    X(S, 2, U64, ANY, version, NULL, REQUIRED)                             \
    X(S, 3, LIST, OF(assigned, ASSIGNED_MAX), rows, NULL, OPTIONAL)        \
    X(S, 4, BOOL, ANY, more, NULL, OPTIONAL) /* the next ASSIGN belongs to this one */
FIELDS_STRUCT(assign, ASSIGN_FIELDS);

/* --- What an agent says. */
#define REPORTED_FIELDS(X, S)                 \
    X(S, 1, ID, ANY, task_id, NULL, REQUIRED) \
    X(S, 2, STRUCT, task_status, status, NULL, REQUIRED)
FIELDS_STRUCT(reported, REPORTED_FIELDS);

#define REPORT_FIELDS(X, S)                                                               \
    X(S, 1, U64, ANY, sequence, NULL, REQUIRED)                                           \
    X(S, 2, LIST, OF(reported, ASSIGNED_MAX), tasks, NULL, OPTIONAL)                      \
    X(S, 3, OPT, node_description, description, NULL, OPTIONAL) /* when it has changed */ \
    X(S, 4, BOOL, ANY, stopping, NULL, OPTIONAL)                /* the daemon ends gracefully */
FIELDS_STRUCT(report, REPORT_FIELDS);

#define HELLO_FIELDS(X, S)                                                                \
    X(S, 1, U64, ANY, version, NULL, OPTIONAL) /* of the assignment it holds; 0 = none */ \
    X(S, 2, STRUCT, node_description, description, NULL, REQUIRED)                        \
    X(S, 3, U64, ANY, boot, NULL, OPTIONAL) /* random per start of the agent */
FIELDS_STRUCT(hello, HELLO_FIELDS);

#define ACK_FIELDS(X, S) X(S, 1, U64, ANY, sequence, NULL, REQUIRED)
FIELDS_STRUCT(ack, ACK_FIELDS);

#define REDIRECT_FIELDS(X, S)                \
    X(S, 1, ID, ANY, leader, NULL, OPTIONAL) \
    X(S, 2, LIST_STR, COUNT(8), link_addrs, NULL, OPTIONAL)
FIELDS_STRUCT(redirect, REDIRECT_FIELDS);

/* The frame: kind says which member is set. */
#define DISPATCH_FIELDS(X, S)                          \
    X(S, 1, ENUM, dispatch_kind, kind, NULL, REQUIRED) \
    X(S, 2, OPT, hello, hello, NULL, OPTIONAL)         \
    X(S, 3, OPT, assign, assign, NULL, OPTIONAL)       \
    X(S, 4, OPT, report, report, NULL, OPTIONAL)       \
    X(S, 5, OPT, ack, ack, NULL, OPTIONAL)             \
    X(S, 6, OPT, redirect, redirect, NULL, OPTIONAL)
FIELDS_STRUCT(dispatch, DISPATCH_FIELDS);

#endif /* NODE_OBJECT_DISPATCH_H */
