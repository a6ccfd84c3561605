/* What options make of a service's spec. */
#ifndef TESTS_UNIT_NODE_CLI_SUPPORT_SPEC_H
#define TESTS_UNIT_NODE_CLI_SUPPORT_SPEC_H

#include <jansson.h>

#include "node/cli/service_spec.h"

/* A cluster that has whatever it is asked for, under the id "NAME-id", but for "nosuch". */
extern const struct spec_names support_names;

/* The spec of `before`, JSON, after `--a b --c`, which are split as a shell does. NULL: refused.
 * Owned. `update` chooses the table and the function. */
json_t *support_spec(const char *before, const char *line, bool update);

/* The same as sorted text. Owned. */
char *support_spec_text(const char *before, const char *line, bool update);

#endif /* TESTS_UNIT_NODE_CLI_SUPPORT_SPEC_H */
