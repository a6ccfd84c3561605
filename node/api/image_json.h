/* node/api/image_json.h - Images as Docker's clients see them. */
#ifndef NODE_API_IMAGE_JSON_H
#define NODE_API_IMAGE_JSON_H

#include <jansson.h>

#include "runtime/runtime.h"

/* "web:1" of "docker.io/library/web:1": what people write. Borrows. */
const char *image_familiar_name(const char *full);

/* Each returns a new value, or NULL: out of memory. */
json_t *image_names_json(const char *const *names);
json_t *image_summary_json(const struct image_info *image);
json_t *image_detail_json(const struct image_info *image);
json_t *image_history_json(const struct image_info *image);

#endif /* NODE_API_IMAGE_JSON_H */
