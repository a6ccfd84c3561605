/* node/cli/logs.h - Printing Docker's framed log streams: 8 bytes of header, then text. */
#ifndef NODE_CLI_LOGS_H
#define NODE_CLI_LOGS_H

#include "node/cli/command.h"

/* GET <prefix>/<argument>/logs with the command's options follow, tail, since, timestamps. */
int logs_run(struct invocation *in, const char *prefix);

#endif /* NODE_CLI_LOGS_H */
