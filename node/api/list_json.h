/* node/api/list_json.h - JSON arrays that grow one by one. */
#ifndef NODE_API_LIST_JSON_H
#define NODE_API_LIST_JSON_H

#include <jansson.h>

/* Appends `item`, which is taken. When there is no memory for it, or for `item` (NULL), the array
 * is freed and *list is NULL from then on: half a list would be taken for a whole one. */
void list_json_add(json_t **list, json_t *item);

#endif /* NODE_API_LIST_JSON_H */
