/* node/cli/spec_caps.h - Capabilities that a service's containers have more or less than usual. */
#ifndef NODE_CLI_SPEC_CAPS_H
#define NODE_CLI_SPEC_CAPS_H

#include "node/cli/spec_value.h"

/* `--cap-add` and `--cap-drop`, which mean the same in create and in update: what is added is
 * dropped no longer, what is dropped is added no longer, and all others stay as they are. Given
 * both, it is added. RESET takes away what the list had.  ERR_INVALID: it has been printed why */
NODISCARD int spec_caps_apply(const struct args *a, json_t *container);

#endif /* NODE_CLI_SPEC_CAPS_H */
