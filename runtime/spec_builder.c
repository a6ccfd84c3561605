/* Building a JSON tree without a check per step: the first failure is remembered, what follows it
 * is harmless, because jansson takes NULL for every object and value. */
#include "runtime/spec_builder.h"

json_t *spec_checked(struct spec_builder *b, json_t *j)
{
    if (j == NULL)
        b->failed = true;
    return j;
}

void spec_append(struct spec_builder *b, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) < 0) /* takes it, NULL too */
        b->failed = true;
}

void spec_append_str(struct spec_builder *b, json_t *array, const char *text)
{
    spec_append(b, array, json_string(text));
}

void spec_set(struct spec_builder *b, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0)
        b->failed = true;
}

json_t *spec_str_array(struct spec_builder *b, const char *const *items, size_t count)
{
    json_t *array = spec_checked(b, json_array());

    for (size_t i = 0; i < count; i++)
        spec_append_str(b, array, items[i]);
    return array;
}
