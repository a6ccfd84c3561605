/* node/description.h - What this machine is: name, platform, resources, addresses. */
#ifndef NODE_DESCRIPTION_H
#define NODE_DESCRIPTION_H

#include "node/object/node.h"
#include "node/options.h"

/* Reads the machine. `address` is what others reach this node by, without port. The caller owns
 * *out (node_description_type).  -ENOMEM, negative errno */
NODISCARD int description_of_machine(const struct options *options, const char *address,
                                     struct node_description *out);

/* The only address of this machine that is neither loopback nor link-local, for an
 * advertised address that was not given. `out` has `len` bytes.
 *   ERR_NOT_FOUND (none), ERR_CONFLICT (several: `out` lists them) */
NODISCARD int description_only_address(char *out, size_t len);

#endif /* NODE_DESCRIPTION_H */
