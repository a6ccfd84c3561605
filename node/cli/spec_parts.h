/* node/cli/spec_parts.h - Values of several parts: "type=volume,source=data,target=/data". Pure.
 *
 * What `--mount`, `--network`, `--secret`, `--config` and `--publish` take. Each part is
 * NAME=VALUE, or NAME alone where it is a switch; a table says where each goes. */
#ifndef NODE_CLI_SPEC_PARTS_H
#define NODE_CLI_SPEC_PARTS_H

#include "node/cli/spec_value.h"

/* Puts each part of `text` into `object`. `rows` has a row for each name of a part and ends with a
 * NULL one.  ERR_INVALID: it has been printed why */
NODISCARD int spec_parts_read(const char *option, const char *text, const struct spec_row *rows,
                              json_t *object);

#endif /* NODE_CLI_SPEC_PARTS_H */
