/* node/api/map_json.h - A map of texts as a JSON object: labels, options. */
#ifndef NODE_API_MAP_JSON_H
#define NODE_API_MAP_JSON_H

#include <jansson.h>

#include "base/fields.h"

/* A new value, or NULL: out of memory. */
json_t *map_json(const struct str_map *map);

#endif /* NODE_API_MAP_JSON_H */
