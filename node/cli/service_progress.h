/* node/cli/service_progress.h - Waiting until a service runs as it should, or a job is done. */
#ifndef NODE_CLI_SERVICE_PROGRESS_H
#define NODE_CLI_SERVICE_PROGRESS_H

#include "node/cli/command.h"

/* How far the present spec has come. Pure; borrows from both. */
struct service_progress {
    size_t done, wanted;
    const char *reached; /* "running", of jobs "completed" */
    const char *problem; /* of some task; "" */
    bool is_over;        /* nothing more is to be waited for */
};
struct service_progress service_progress_of(const json_t *service, const json_t *tasks);

/* Until it is over; prints what changes. Returns the exit status. */
int service_progress_wait(struct invocation *in, const char *id);

#endif /* NODE_CLI_SERVICE_PROGRESS_H */
