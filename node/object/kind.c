/* The list of kinds, expanded. */
#include "node/object/kind.h"

#include <stdlib.h>

#include "base/check.h"

const struct fields *object_kind_type(unsigned kind)
{
    switch (kind) {
#define OBJECT_KIND_CASE(KIND, number, type, text) \
    case KIND:                                     \
        return &type##_type;
        OBJECT_KIND_LIST(OBJECT_KIND_CASE)
#undef OBJECT_KIND_CASE
    default:
        return NULL;
    }
}

const char *object_kind_text(unsigned kind)
{
    switch (kind) {
#define OBJECT_KIND_CASE(KIND, number, type, text) \
    case KIND:                                     \
        return text;
        OBJECT_KIND_LIST(OBJECT_KIND_CASE)
#undef OBJECT_KIND_CASE
    default:
        return "unknown";
    }
}

const char *object_name(unsigned kind, const struct object *object)
{
    switch (kind) {
    case OBJECT_SERVICE:
        return ((const struct service *)(const void *)object)->spec.name;
    case OBJECT_NETWORK:
        return ((const struct network *)(const void *)object)->spec.name;
    case OBJECT_SECRET:
        return ((const struct secret *)(const void *)object)->spec.name;
    case OBJECT_CONFIG:
        return ((const struct config *)(const void *)object)->spec.name;
    default:
        return NULL;
    }
}

struct object *object_new(unsigned kind)
{
    const struct fields *type = object_kind_type(kind);

    CHECK(type != NULL);
    return calloc(1, fields_size(type));
}

struct object *object_copy(unsigned kind, const struct object *object)
{
    struct object *copy = object_new(kind);

    if (copy != NULL && fields_copy(object_kind_type(kind), object, copy) < 0) {
        free(copy);
        copy = NULL;
    }
    return copy;
}

void object_free(unsigned kind, struct object *object)
{
    if (object == NULL)
        return;
    fields_deinit(object_kind_type(kind), object);
    free(object);
}
