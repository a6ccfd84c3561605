/* node/cli/service_why.h - What keeps a service from being as it should be. */
#ifndef NODE_CLI_SERVICE_WHY_H
#define NODE_CLI_SERVICE_WHY_H

#include "node/cli/command.h"

int service_why_run(struct invocation *in); /* service why SERVICE */

#endif /* NODE_CLI_SERVICE_WHY_H */
