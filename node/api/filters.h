/* node/api/filters.h - The "filters" parameter of lists: {"name":{"web":true}}. Pure.
 *
 * Values of one key are alternatives, keys must all hold. Old clients send lists instead of
 * maps: {"name":["web"]}. */
#ifndef NODE_API_FILTERS_H
#define NODE_API_FILTERS_H

#include "base/fields.h"

#define FILTERS_MAX          32 /* keys */
#define FILTERS_VALUES_MAX   1024
#define FILTERS_TEXT_LEN_MAX (64 * 1024)

struct filters {
    struct json_t *map; /* {"key": ["value", ..]}, or NULL: none */
};

/* `known` lists the keys that are served, NULL-terminated. NULL text is no filter.
 *   ERR_INVALID (with a sentence), -ENOMEM; *out is empty then */
NODISCARD int filters_parse(const char *text, const char *const *known, struct filters *out,
                            struct field_error *err);
void filters_deinit(struct filters *f);

bool filters_has(const struct filters *f, const char *key);
size_t filters_count(const struct filters *f, const char *key);
const char *filters_value(const struct filters *f, const char *key, size_t i); /* borrowed */

/* All are true when the key was not given. */
bool filters_exact(const struct filters *f, const char *key, const char *value);
bool filters_prefix(const struct filters *f, const char *key, const char *value);
/* Containers, images, volumes and networks: anywhere in the name. */
bool filters_part(const struct filters *f, const char *key, const char *value);
/* "label" or "label=value", and here all of them must hold. */
bool filters_labels(const struct filters *f, const char *key, const struct str_map *labels);

#endif /* NODE_API_FILTERS_H */
