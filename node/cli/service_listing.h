/* node/cli/service_listing.h - Services and their tasks, as tables. */
#ifndef NODE_CLI_SERVICE_LISTING_H
#define NODE_CLI_SERVICE_LISTING_H

#include "node/cli/command.h"

int service_listing_run_list(struct invocation *in);  /* service ls */
int service_listing_run_tasks(struct invocation *in); /* service ps SERVICE.. */

/* As Docker's table has them: "replicated job", "1/2 (3/5 completed)". Pure. */
const char *service_mode_text(const json_t *service);
const char *service_replicas_text(const json_t *service, char *out, size_t len);

/* By id or name; NULL after an error, which has been printed. The caller owns the result. */
json_t *service_get(struct invocation *in, const char *name);

#endif /* NODE_CLI_SERVICE_LISTING_H */
