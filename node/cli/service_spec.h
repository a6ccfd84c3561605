/* node/cli/service_spec.h - A service's spec, as options describe it.
 *
 * Create fills a new spec. Update changes only what was given: a value is replaced, and of a list
 * NAME-add and NAME-rm change one entry, as spec_list.h says. The tables are in
 * service_options.h. Pure, but for names and files that options refer to. */
#ifndef NODE_CLI_SERVICE_SPEC_H
#define NODE_CLI_SERVICE_SPEC_H

#include "node/cli/spec_list.h"

/* Each ends with a NULL name. */
extern const struct option_def service_create_options[], service_update_options[];

/* Changes `spec` by the options that were given. On errors it may be changed in part.
 *   ERR_INVALID, ERR_NOT_FOUND, negative errno: it has been printed why */
NODISCARD int service_spec_create(const struct args *a, const struct spec_names *names,
                                  json_t *spec);
NODISCARD int service_spec_update(const struct args *a, const struct spec_names *names,
                                  json_t *spec);

#endif /* NODE_CLI_SERVICE_SPEC_H */
