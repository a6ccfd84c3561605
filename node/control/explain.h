/* node/control/explain.h - Why a service is not as it should be. Pure.
 *
 * An answer for people and for programs, computed from what is stored by the code that decides: the
 * scheduler's filters, the restart policy, the update's progress. It needs no leader and changes
 * nothing, so any manager can give it from its own store.
 *
 * Reasons concern the service as a whole, or one place of it: a slot, or a node of a global
 * service. There is at most one for a place: what stands in its way first. */
#ifndef NODE_CONTROL_EXPLAIN_H
#define NODE_CONTROL_EXPLAIN_H

#include "node/object/common.h"
#include "node/object/task.h"
#include "node/store/store.h"

#define WHY_PLACES_MAX  256 /* that are explained; the others are counted */
#define WHY_FILTERS_MAX 64  /* of one place */

#define WHY_CODE_LIST(E)                                                                   \
    E(WHY_OTHER, 0, "other")                                                               \
    /* of places */                                                                        \
    E(WHY_WAITS_FOR_MANAGERS, 1, "waits_for_managers") /* their next decision is due */    \
    E(WHY_NO_FREE_PORT, 2, "no_free_port")             /* to publish */                    \
    E(WHY_NO_FREE_ADDRESS, 3, "no_free_address")       /* on a network */                  \
    E(WHY_NO_SUITABLE_NODE, 4, "no_suitable_node")     /* see Filters */                   \
    E(WHY_WAITS_FOR_PREDECESSOR, 5, "waits_for_predecessor")                               \
    E(WHY_WAITS_FOR_NODE, 6, "waits_for_node") /* which has the task and prepares it */    \
    E(WHY_WAITS_FOR_HEALTH, 7, "waits_for_health")                                         \
    E(WHY_IMAGE_MISSING, 8, "image_missing")                                               \
    E(WHY_BACKS_OFF, 9, "backs_off")  /* the task failed; it is tried again at Until */    \
    E(WHY_GIVEN_UP, 10, "given_up")   /* it ended, and the restart policy wants no more */ \
    E(WHY_NODE_LOST, 11, "node_lost") /* its task is replaced, or waits for the node */    \
    E(WHY_OUTDATED, 12, "outdated")   /* runs with the spec of before the update */        \
    /* of the service */                                                                   \
    E(WHY_STOPPING, 20, "stopping") /* tasks that are to end have not yet */               \
    E(WHY_UPDATING, 21, "updating")                                                        \
    E(WHY_UPDATE_MONITORED, 22, "update_monitored") /* all is new; it counts at Until */   \
    E(WHY_UPDATE_PAUSED, 23, "update_paused")                                              \
    E(WHY_ROLLING_BACK, 24, "rolling_back")                                                \
    E(WHY_ROLLBACK_PAUSED, 25, "rollback_paused")                                          \
    /* of the service, worth knowing, though it is as it should be */                      \
    E(WHY_SCALED_TO_ZERO, 30, "scaled_to_zero")                                            \
    E(WHY_ROLLED_BACK, 31, "rolled_back")
FIELDS_ENUM(why_code, WHY_CODE_LIST);

#define WHY_FILTER_KIND_LIST(E)               \
    E(WHY_FILTER_NONE, 0, "")                 \
    E(WHY_FILTER_DOWN, 1, "down")             \
    E(WHY_FILTER_DRAINED, 2, "drained")       \
    E(WHY_FILTER_PAUSED, 3, "paused")         \
    E(WHY_FILTER_CPU, 4, "cpu")               \
    E(WHY_FILTER_MEMORY, 5, "memory")         \
    E(WHY_FILTER_CONSTRAINT, 6, "constraint") \
    E(WHY_FILTER_PLATFORM, 7, "platform")     \
    E(WHY_FILTER_HOST_PORT, 8, "host_port")   \
    E(WHY_FILTER_REPLICAS, 9, "max_replicas")
FIELDS_ENUM(why_filter_kind, WHY_FILTER_KIND_LIST);

/* What refuses some nodes, and one of them; of those that lack resources, the one with most. A node
 * is counted for the first filter that refuses it. */
#define WHY_FILTER_FIELDS(X, S)                                                             \
    X(S, 1, ENUM, why_filter_kind, kind, "Filter", ALWAYS)                                  \
    X(S, 2, U64, ANY, nodes, "Nodes", ALWAYS)                                               \
    X(S, 3, ID, ANY, node_id, "NodeID", OPTIONAL)                                           \
    X(S, 4, STR, ANY, node, "Node", OPTIONAL)                                               \
    X(S, 5, STR, ANY, constraint, "Constraint", OPTIONAL)                                   \
    X(S, 6, I64, ANY, wanted, "Wanted", OPTIONAL) /* nano CPUs, bytes, or tasks per node */ \
    X(S, 7, I64, ANY, left, "Free", OPTIONAL)                                               \
    X(S, 8, U32, ANY, port, "Port", OPTIONAL)                                               \
    X(S, 9, STR, ANY, service, "Service", OPTIONAL) /* whose task holds the port there */   \
    X(S, 10, STR, ANY, message, "Message", ALWAYS)
FIELDS_STRUCT(why_filter, WHY_FILTER_FIELDS);

#define WHY_REASON_FIELDS(X, S)                                                                 \
    X(S, 1, ENUM, why_code, code, "Code", ALWAYS)                                               \
    X(S, 2, STR, ANY, message, "Message", ALWAYS) /* one sentence for people */                 \
    X(S, 3, U64, ANY, slot, "Slot", OPTIONAL)                                                   \
    X(S, 4, ID, ANY, task_id, "TaskID", OPTIONAL)                                               \
    X(S, 5, ID, ANY, node_id, "NodeID", OPTIONAL)                                               \
    X(S, 6, STR, ANY, node, "Node", OPTIONAL)                                                   \
    X(S, 7, ENUM, task_state, state, "State", OPTIONAL)                                         \
    X(S, 8, STR, ANY, err, "Err", OPTIONAL)          /* of the task, or of the one before it */ \
    X(S, 9, TIME, ANY, since, "Since", OPTIONAL)     /* of the state */                         \
    X(S, 10, TIME, ANY, until, "Until", OPTIONAL)    /* when it goes on by itself */            \
    X(S, 11, U64, ANY, attempt, "Attempt", OPTIONAL) /* the restart that is under way or due */ \
    X(S, 12, OPT_U64, ANY, attempts_left, "AttemptsLeft",                                       \
      OPTIONAL) /* after that one; absent: any number */                                        \
    X(S, 13, LIST, OF(why_filter, WHY_FILTERS_MAX), filters, "Filters", OPTIONAL)
FIELDS_STRUCT(why_reason, WHY_REASON_FIELDS);

#define SERVICE_WHY_FIELDS(X, S)                                                                   \
    X(S, 1, ID, ANY, service_id, "ServiceID", REQUIRED)                                            \
    X(S, 2, STR, ANY, name, "Name", ALWAYS)                                                        \
    X(S, 3, BOOL, ANY, as_desired, "AsDesired", ALWAYS)                                            \
    X(S, 4, STR, ANY, message, "Message", ALWAYS)                                                  \
    X(S, 5, LIST, OF(why_reason, OBJECT_LIST_MAX), reasons, "Reasons", ALWAYS) /* the service's */ \
    X(S, 6, LIST, OF(why_reason, WHY_PLACES_MAX), places, "Places", ALWAYS)                        \
    X(S, 7, U64, ANY, places_left_out, "PlacesLeftOut", OPTIONAL)
FIELDS_STRUCT(service_why, SERVICE_WHY_FIELDS);

/* The caller owns *out (service_why_type).  ERR_NOT_FOUND, -ENOMEM */
NODISCARD int explain_service(const struct store *s, wall_ns now, const struct id *service,
                              struct service_why *out);

#endif /* NODE_CONTROL_EXPLAIN_H */
