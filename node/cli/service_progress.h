/* node/cli/service_progress.h - Waiting until a service runs as it should. */
#ifndef NODE_CLI_SERVICE_PROGRESS_H
#define NODE_CLI_SERVICE_PROGRESS_H

#include "node/cli/command.h"

/* Until all tasks of the present spec run; prints what changes. Returns the exit status. */
int service_progress_wait(struct invocation *in, const char *id);

#endif /* NODE_CLI_SERVICE_PROGRESS_H */
