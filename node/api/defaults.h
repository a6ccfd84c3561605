/* node/api/defaults.h - What a service's spec leaves open, as it is understood. */
#ifndef NODE_API_DEFAULTS_H
#define NODE_API_DEFAULTS_H

#include <jansson.h>

#include "base/attr.h"

/* Fills what is absent from the "Spec" of a service's JSON: GET /services/ID?insertDefaults=true,
 * from which clients print what will happen. -ENOMEM */
NODISCARD int defaults_insert(json_t *service);

#endif /* NODE_API_DEFAULTS_H */
