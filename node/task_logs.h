/* node/task_logs.h - Logs of tasks, wherever they run.
 *
 * On the LOGS channel a stream's header is a LOG_REQUEST; the answer is a sequence of records:
 * source (1 byte), partial (1 byte), length (4 bytes), time (8 bytes), text; numbers little-endian.
 * A task of this node takes the same way through the links' local delivery. */
#ifndef NODE_TASK_LOGS_H
#define NODE_TASK_LOGS_H

#include "node/api/api.h"
#include "node/cluster/link.h"

#define LOG_REQUEST_FIELDS(X, S)               \
    X(S, 1, ID, ANY, task_id, NULL, REQUIRED)  \
    X(S, 2, BOOL, ANY, out, NULL, OPTIONAL)    \
    X(S, 3, BOOL, ANY, err, NULL, OPTIONAL)    \
    X(S, 4, BOOL, ANY, follow, NULL, OPTIONAL) \
    X(S, 5, TIME, ANY, since, NULL, OPTIONAL)  \
    X(S, 6, TIME, ANY, until, NULL, OPTIONAL)  \
    X(S, 7, U64, ANY, tail, NULL, OPTIONAL)
FIELDS_STRUCT(log_request, LOG_REQUEST_FIELDS);

struct task_logs;

/* Serves this node's tasks to managers. Both are borrowed until the links are closed. */
void task_logs_serve(struct links *links, struct runtime *runtime);

/* As api_backend.logs_*. */
struct task_logs *task_logs_open(struct links *links, const struct task *task,
                                 const struct logs_options *options,
                                 const struct api_log_callbacks *callbacks);
void task_logs_hold(struct task_logs *l);
void task_logs_resume(struct task_logs *l);
void task_logs_close(struct task_logs *l);

#endif /* NODE_TASK_LOGS_H */
