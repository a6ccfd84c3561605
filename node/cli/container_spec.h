/* node/cli/container_spec.h - A container of its own, from options: the body of a creation. */
#ifndef NODE_CLI_CONTAINER_SPEC_H
#define NODE_CLI_CONTAINER_SPEC_H

#include <jansson.h>

#include "node/cli/args.h"

extern const struct option_def container_run_options[];

/* The first argument is the image, the others its command. NULL: it has been printed why. */
json_t *container_spec_of(const struct args *a);

#endif /* NODE_CLI_CONTAINER_SPEC_H */
