/* node/object/task.h - One try to run one container on one node.
 *
 * State is a clock that only goes forward: of two observations the greater is right.
 * A task's node never changes; the restart of a slot is a new task. Each source state
 * has one responsible party:
 *   NEW, PENDING                         control (allocation, scheduling)
 *   ASSIGNED .. RUNNING                  the node's agent
 *   ORPHANED                             control, of a node that is gone for good
 * Desired states used: READY, RUNNING, COMPLETE (jobs), SHUTDOWN, REMOVE; they too only
 * go forward. */
#ifndef NODE_OBJECT_TASK_H
#define NODE_OBJECT_TASK_H

#include "node/object/task_spec.h"

/* The gaps leave room for states between. */
#define TASK_STATE_LIST(E)                           \
    E(TASK_NEW, 0, "new")                            \
    E(TASK_PENDING, 64, "pending")                   \
    E(TASK_ASSIGNED, 192, "assigned")                \
    E(TASK_ACCEPTED, 256, "accepted")                \
    E(TASK_PREPARING, 320, "preparing")              \
    E(TASK_READY, 384, "ready")                      \
    E(TASK_STARTING, 448, "starting")                \
    E(TASK_RUNNING, 512, "running")                  \
    E(TASK_COMPLETE, 576, "complete")                \
    E(TASK_SHUTDOWN, 640, "shutdown")                \
    E(TASK_FAILED, 704, "failed")                    \
    E(TASK_REJECTED, 768, "rejected")                \
    E(TASK_REMOVE, 800, "remove") /* desired only */ \
    E(TASK_ORPHANED, 832, "orphaned")
FIELDS_ENUM(task_state, TASK_STATE_LIST);

#define CONTAINER_STATUS_FIELDS(X, S)                            \
    X(S, 1, STR, LEN(64), container_id, "ContainerID", OPTIONAL) \
    X(S, 2, I64, ANY, pid, "PID", OPTIONAL)                      \
    X(S, 3, I64, ANY, exit_code, "ExitCode", OPTIONAL)
FIELDS_STRUCT(container_status, CONTAINER_STATUS_FIELDS);

#define PORT_STATUS_FIELDS(X, S) X(S, 1, LIST, OF(port, OBJECT_LIST_MAX), ports, "Ports", OPTIONAL)
FIELDS_STRUCT(port_status, PORT_STATUS_FIELDS);

#define TASK_STATUS_FIELDS(X, S)                                                                 \
    X(S, 1, TIME, ANY, timestamp, "Timestamp", OPTIONAL)                                         \
    X(S, 2, ENUM, task_state, state, "State", ALWAYS)                                            \
    X(S, 3, STR, LEN(OBJECT_TEXT_LEN_MAX), message, "Message", OPTIONAL)                         \
    X(S, 4, STR, LEN(OBJECT_TEXT_LEN_MAX), err, "Err", OPTIONAL)                                 \
    X(S, 5, OPT, container_status, container, "ContainerStatus", OPTIONAL)                       \
    X(S, 6, STRUCT, port_status, ports, "PortStatus", ALWAYS)                                    \
    X(S, 7, BOOL, ANY, healthy, NULL, OPTIONAL) /* may receive traffic: running, and probes pass \
                                                 */
FIELDS_STRUCT(task_status, TASK_STATUS_FIELDS);

/* A task's place on one network; allocated with the task, released when it is terminal. */
#define ATTACHMENT_FIELDS(X, S)                                                                 \
    X(S, 1, ID, ANY, network_id, "NetworkID", REQUIRED)                                         \
    X(S, 2, STR, LEN(64), addr, "Address", OPTIONAL)      /* CIDR text, IPv4 */                 \
    X(S, 3, STR, LEN(64), addr6, "Address6", OPTIONAL)    /* CIDR text, IPv6; NULL = none */    \
    X(S, 4, U64, ANY, generation, "Generation", OPTIONAL) /* of the address; part of the MAC */ \
    X(S, 5, LIST_STR, COUNT(64), aliases, "Aliases", OPTIONAL)
FIELDS_STRUCT(attachment, ATTACHMENT_FIELDS);

#define TASK_FIELDS(X, S)                                                                     \
    OBJECT_HEAD_FIELDS(X, S)                                                                  \
    X(S, 5, STRUCT, task_spec, spec, "Spec", ALWAYS)                                          \
    X(S, 6, ID, ANY, service_id, "ServiceID", OPTIONAL)                                       \
    X(S, 7, U64, ANY, slot, "Slot", OPTIONAL) /* 0 for global services */                     \
    X(S, 8, ID, ANY, node_id, "NodeID", OPTIONAL)                                             \
    X(S, 9, STRUCT, task_status, status, "Status", ALWAYS)                                    \
    X(S, 10, ENUM, task_state, desired_state, "DesiredState", ALWAYS)                         \
    X(S, 11, LIST, OF(attachment, OBJECT_LIST_MAX), attachments, NULL, OPTIONAL)              \
    X(S, 12, STR, LEN(OBJECT_NAME_LEN_MAX), service_name, NULL, OPTIONAL)                     \
    X(S, 13, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", OPTIONAL)                   \
    X(S, 14, U64, ANY, spec_version, NULL, OPTIONAL) /* of the service when this was made */  \
    X(S, 15, LIST, OF(port, OBJECT_LIST_MAX), ports, NULL,                                    \
      OPTIONAL) /* the service's, as allocated */                                             \
    X(S, 16, TIME, ANY, start_after, NULL,                                                    \
      OPTIONAL) /* restart delay: desired RUNNING not before */                               \
    X(S, 17, U64, ANY, restart_count, NULL, OPTIONAL) /* of its slot in the current window */ \
    X(S, 18, OPT, version, job_iteration, "JobIteration", OPTIONAL)                           \
    X(S, 19, LIST, OF(generic_resource, OBJECT_LIST_MAX), assigned_generic,                   \
      "AssignedGenericResources", OPTIONAL)                                                   \
    X(S, 20, TIME, ANY, running_since, NULL, OPTIONAL)
FIELDS_STRUCT(task, TASK_FIELDS);

/* A state that a task never leaves: its container does not run any more. */
static inline bool task_state_is_terminal(enum task_state state)
{
    return state > TASK_RUNNING;
}

#endif /* NODE_OBJECT_TASK_H */
