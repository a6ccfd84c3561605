/* node/cli/spec_env.h - Variables of the environment, from options and from files. */
#ifndef NODE_CLI_SPEC_ENV_H
#define NODE_CLI_SPEC_ENV_H

#include "node/cli/spec_list.h"

/* Adds the variables of each file that `--env-file` names to the list at `path`. A line is
 * KEY=VALUE, or KEY to take it from our own environment; blank ones and those that begin with '#'
 * say nothing.  ERR_INVALID, negative errno: it has been printed why */
NODISCARD int spec_env_files(const struct args *a, const char *path, json_t *spec);

#endif /* NODE_CLI_SPEC_ENV_H */
