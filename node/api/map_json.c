#include "node/api/map_json.h"

json_t *map_json(const struct str_map *map)
{
    json_t *json = json_object();

    for (size_t i = 0; i < map->count; i++) {
        if (json_object_set_new(json, map->items[i].key, json_string(map->items[i].value)) < 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}
