/* node/api/container_json.h - Containers as Docker's clients see them. */
#ifndef NODE_API_CONTAINER_JSON_H
#define NODE_API_CONTAINER_JSON_H

#include <jansson.h>

#include "runtime/runtime.h"

#define CONTAINER_STATUS_MAX 64

/* "running", "exited", .. as in filters. Static. */
const char *container_state_text(const struct container_info *info);

/* "Up 3 minutes (healthy)", "Exited (1) 2 hours ago". */
void container_status_text(const struct container_info *info, wall_ns now,
                           char out[CONTAINER_STATUS_MAX]);

/* Each returns a new value, or NULL: out of memory. */
json_t *container_summary_json(const struct container_info *info, wall_ns now);
json_t *container_detail_json(const struct container_info *info);
json_t *container_stats_json(const struct container_info *info, const struct container_stats *now,
                             const struct container_stats *before);

#endif /* NODE_API_CONTAINER_JSON_H */
