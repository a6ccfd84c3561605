/* node/object/service.h - A service: what should run, and how far an update of it has come. */
#ifndef NODE_OBJECT_SERVICE_H
#define NODE_OBJECT_SERVICE_H

#include "node/object/task_spec.h"

#define SERVICE_TASKS_MAX 65536 /* replicas, or completions of a job */

/* --- Mode: exactly one member is set; none means one replica. */
#define REPLICATED_FIELDS(X, S) X(S, 1, OPT_U64, ANY, replicas, "Replicas", OPTIONAL)
FIELDS_STRUCT(replicated, REPLICATED_FIELDS);

/* A mode without settings is still a member that is there or not. */
#define GLOBAL_FIELDS(X, S) X(S, 1, BOOL, ANY, reserved, NULL, OPTIONAL)
FIELDS_STRUCT(global, GLOBAL_FIELDS);

/* Absent: one at a time, and as many in all as at a time. */
#define REPLICATED_JOB_FIELDS(X, S)                                  \
    X(S, 1, OPT_U64, ANY, max_concurrent, "MaxConcurrent", OPTIONAL) \
    X(S, 2, OPT_U64, ANY, total_completions, "TotalCompletions", OPTIONAL)
FIELDS_STRUCT(replicated_job, REPLICATED_JOB_FIELDS);

#define SERVICE_MODE_FIELDS(X, S)                                           \
    X(S, 1, OPT, replicated, replicated, "Replicated", OPTIONAL)            \
    X(S, 2, OPT, global, global, "Global", OPTIONAL)                        \
    X(S, 3, OPT, replicated_job, replicated_job, "ReplicatedJob", OPTIONAL) \
    X(S, 4, OPT, global, global_job, "GlobalJob", OPTIONAL)
FIELDS_STRUCT(service_mode, SERVICE_MODE_FIELDS);

/* --- Updates and rollbacks */
#define FAILURE_ACTION_LIST(E)         \
    E(FAILURE_PAUSE, 0, "pause")       \
    E(FAILURE_CONTINUE, 1, "continue") \
    E(FAILURE_ROLLBACK, 2, "rollback")
FIELDS_ENUM(failure_action, FAILURE_ACTION_LIST);

#define UPDATE_ORDER_LIST(E)             \
    E(ORDER_STOP_FIRST, 0, "stop-first") \
    E(ORDER_START_FIRST, 1, "start-first")
FIELDS_ENUM(update_order, UPDATE_ORDER_LIST);

#define UPDATE_CONFIG_FIELDS(X, S)                                                             \
    X(S, 1, U64, ANY, parallelism, "Parallelism", ALWAYS) /* 0 = all at once */                \
    X(S, 2, DURATION, RANGE(0, INT64_MAX), delay, "Delay", OPTIONAL)                           \
    X(S, 3, ENUM, failure_action, failure_action, "FailureAction", ALWAYS)                     \
    X(S, 4, OPT_DURATION, RANGE(0, INT64_MAX), monitor, "Monitor", OPTIONAL) /* default 5 s */ \
    X(S, 5, F64, RANGE(0, 1), max_failure_ratio, "MaxFailureRatio", ALWAYS)                    \
    X(S, 6, ENUM, update_order, order, "Order", ALWAYS)                                        \
    X(S, 7, OPT_DURATION, RANGE(0, INT64_MAX), progress_deadline, "ProgressDeadline",          \
      OPTIONAL) /* ours; default 10 min, 0 = none */
FIELDS_STRUCT(update_config, UPDATE_CONFIG_FIELDS);

#define UPDATE_STATE_LIST(E)                          \
    E(UPDATE_NONE, 0, "")                             \
    E(UPDATE_UPDATING, 1, "updating")                 \
    E(UPDATE_PAUSED, 2, "paused")                     \
    E(UPDATE_COMPLETED, 3, "completed")               \
    E(UPDATE_ROLLBACK_STARTED, 4, "rollback_started") \
    E(UPDATE_ROLLBACK_PAUSED, 5, "rollback_paused")   \
    E(UPDATE_ROLLBACK_COMPLETED, 6, "rollback_completed")
FIELDS_ENUM(update_state, UPDATE_STATE_LIST);

#define UPDATE_STATUS_FIELDS(X, S)                                       \
    X(S, 1, ENUM, update_state, state, "State", ALWAYS)                  \
    X(S, 2, TIME, ANY, started_at, "StartedAt", OPTIONAL)                \
    X(S, 3, TIME, ANY, completed_at, "CompletedAt", OPTIONAL)            \
    X(S, 4, STR, LEN(OBJECT_TEXT_LEN_MAX), message, "Message", OPTIONAL) \
    X(S, 5, TIME, ANY, progressed_at, NULL, OPTIONAL) /* for the progress deadline */
FIELDS_STRUCT(update_status, UPDATE_STATUS_FIELDS);

/* --- Endpoint: how others reach the service */
#define ENDPOINT_MODE_LIST(E) \
    E(ENDPOINT_VIP, 0, "vip") \
    E(ENDPOINT_DNSRR, 1, "dnsrr")
FIELDS_ENUM(endpoint_mode, ENDPOINT_MODE_LIST);

#define ENDPOINT_SPEC_FIELDS(X, S)                     \
    X(S, 1, ENUM, endpoint_mode, mode, "Mode", ALWAYS) \
    X(S, 2, LIST, OF(port, OBJECT_LIST_MAX), ports, "Ports", OPTIONAL)
FIELDS_STRUCT(endpoint_spec, ENDPOINT_SPEC_FIELDS);

#define VIRTUAL_IP_FIELDS(X, S)                         \
    X(S, 1, ID, ANY, network_id, "NetworkID", REQUIRED) \
    X(S, 2, STR, LEN(64), addr, "Addr", OPTIONAL) /* CIDR text: 10.0.1.2/24 */
FIELDS_STRUCT(virtual_ip, VIRTUAL_IP_FIELDS);

#define SERVICE_ENDPOINT_FIELDS(X, S)                                  \
    X(S, 1, STRUCT, endpoint_spec, spec, "Spec", ALWAYS)               \
    X(S, 2, LIST, OF(port, OBJECT_LIST_MAX), ports, "Ports", OPTIONAL) \
    X(S, 3, LIST, OF(virtual_ip, OBJECT_LIST_MAX), virtual_ips, "VirtualIPs", OPTIONAL)
FIELDS_STRUCT(service_endpoint, SERVICE_ENDPOINT_FIELDS);

#define SERVICE_SPEC_FIELDS(X, S)                                            \
    X(S, 1, STR, LEN(OBJECT_NAME_LEN_MAX), name, "Name",                     \
      OPTIONAL) /* absent: admission makes one */                            \
    X(S, 2, MAP_STR, COUNT(OBJECT_LABELS_MAX), labels, "Labels", ALWAYS)     \
    X(S, 3, STRUCT, task_spec, task, "TaskTemplate", ALWAYS)                 \
    X(S, 4, STRUCT, service_mode, mode, "Mode", ALWAYS)                      \
    X(S, 5, OPT, update_config, update, "UpdateConfig", OPTIONAL)            \
    X(S, 6, OPT, update_config, rollback, "RollbackConfig", OPTIONAL)        \
    X(S, 7, LIST, OF(network_target, OBJECT_LIST_MAX), networks, "Networks", \
      OPTIONAL) /* old clients; see TaskTemplate */                          \
    X(S, 8, OPT, endpoint_spec, endpoint, "EndpointSpec", OPTIONAL)
FIELDS_STRUCT(service_spec, SERVICE_SPEC_FIELDS);

/* A job's tasks end. Each change of the service runs it once more: the next iteration. */
#define JOB_STATUS_FIELDS(X, S)                                 \
    X(S, 1, STRUCT, version, iteration, "JobIteration", ALWAYS) \
    X(S, 2, TIME, ANY, last_execution, "LastExecution", OPTIONAL)
FIELDS_STRUCT(job_status, JOB_STATUS_FIELDS);

#define SERVICE_FIELDS(X, S)                                                             \
    OBJECT_HEAD_FIELDS(X, S)                                                             \
    X(S, 5, STRUCT, service_spec, spec, "Spec", ALWAYS)                                  \
    X(S, 6, OPT, service_spec, previous_spec, "PreviousSpec", OPTIONAL)                  \
    X(S, 7, STRUCT, service_endpoint, endpoint, "Endpoint", ALWAYS)                      \
    X(S, 8, OPT, update_status, update_status, "UpdateStatus", OPTIONAL)                 \
    X(S, 9, OPT, job_status, job_status, "JobStatus", OPTIONAL)                          \
    X(S, 10, U64, ANY, spec_version, NULL, OPTIONAL)    /* counts changes of the spec */ \
    X(S, 11, BOOL, ANY, pending_delete, NULL, OPTIONAL) /* gone when its tasks are */
FIELDS_STRUCT(service, SERVICE_FIELDS);

static inline bool service_is_job(const struct service_spec *spec)
{
    return spec->mode.replicated_job != NULL || spec->mode.global_job != NULL;
}

static inline bool service_is_global(const struct service_spec *spec)
{
    return spec->mode.global != NULL || spec->mode.global_job != NULL;
}

/* The iteration of a job; 0 for other services. */
static inline uint64_t service_iteration(const struct service *s)
{
    return s->job_status == NULL ? 0 : s->job_status->iteration.index;
}

#endif /* NODE_OBJECT_SERVICE_H */
