#include "node/api/list_json.h"

void list_json_add(json_t **list, json_t *item)
{
    if (json_array_append_new(*list, item) == 0) /* which takes `item` in any case */
        return;
    json_decref(*list);
    *list = NULL;
}
