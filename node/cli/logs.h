/* node/cli/logs.h - Printing Docker's framed log streams: 8 bytes of header, then text. */
#ifndef NODE_CLI_LOGS_H
#define NODE_CLI_LOGS_H

#include "node/cli/command.h"

extern const struct option_def logs_options[];

/* GET <prefix>/<argument>/logs with the options above. */
int logs_run(struct invocation *in, const char *prefix);

#endif /* NODE_CLI_LOGS_H */
