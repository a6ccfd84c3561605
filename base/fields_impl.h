/* base/fields_impl.h - What the files of the field tables share; private to them.
 *
 * Members are reached by address: a row says where a member lies, of which shape it is, and of
 * which kind its values are. The erased forms below have the layout of the typed ones that
 * FIELDS_STRUCT declares. */
#ifndef BASE_FIELDS_IMPL_H
#define BASE_FIELDS_IMPL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/fields.h"

/* Any x_list or x_map. A map's item is a `char *` key, then the value. */
struct any_list {
    char *items;
    size_t count;
};

static inline const void *member_const(const struct field *f, const void *obj)
{
    return (const char *)obj + f->offset;
}

static inline void *member_of(const struct field *f, void *obj)
{
    return (char *)obj + f->offset;
}

static inline void *list_item(const struct field *f, const struct any_list *list, size_t i)
{
    return list->items + i * f->stride;
}

static inline char **map_key(const struct field *f, const struct any_list *map, size_t i)
{
    return list_item(f, map, i);
}

static inline void *map_value(const struct field *f, const struct any_list *map, size_t i)
{
    return (char *)list_item(f, map, i) + sizeof(char *);
}

static inline enum field_presence presence_of(const struct field *f)
{
    return f->presence & FIELD_PRESENCE_MASK;
}

static inline bool is_secret(const struct field *f)
{
    return (f->presence & FIELD_IS_SECRET) != 0;
}

/* NULL when the field has no place in JSON. */
static inline const char *json_name(const struct field *f)
{
    return f->json == NULL || (f->json[0] == '-' && f->json[1] == '\0') ? NULL : f->json;
}

/* What reading `encoded_len` bytes may allocate. */
static inline uint64_t fields_alloc_budget(size_t encoded_len)
{
    return FIELDS_ALLOC_BASE + (uint64_t)encoded_len * FIELDS_ALLOC_FACTOR;
}

/* The common case of value_check() for integers. */
static inline bool unsigned_in_range(const struct field *f, uint64_t v)
{
    return v <= f->max && (f->min <= 0 || v >= (uint64_t)f->min);
}

static inline bool signed_in_range(const struct field *f, int64_t v)
{
    return v >= f->min && (v < 0 || (uint64_t)v <= f->max);
}

/* --- Zero; inline because encoding asks it of every field */

static inline bool all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

static inline bool value_is_zero(const struct field *f, const void *value)
{
    switch ((enum field_kind)f->kind) {
    case FIELD_BOOL:
        return !*(const bool *)value;
    case FIELD_U32:
    case FIELD_I32:
    case FIELD_ENUM:
        return *(const uint32_t *)value == 0;
    case FIELD_U64:
    case FIELD_I64:
    case FIELD_TIME:
        return *(const uint64_t *)value == 0;
    case FIELD_F64:
        return *(const double *)value == 0; /* -0 too */
    case FIELD_STR:
        return *(char *const *)value == NULL || **(char *const *)value == '\0';
    case FIELD_BYTES:
        return ((const struct bytes *)value)->len == 0;
    case FIELD_FIXED:
        return all_zero(value, f->size);
    case FIELD_ID:
        return id_is_none(value);
    case FIELD_STRUCT:
        return fields_is_zero(f->type, value);
    }
    UNREACHABLE("tables have no other kinds");
}

static inline bool field_is_zero(const struct field *f, const void *obj)
{
    const void *member = member_const(f, obj);

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return value_is_zero(f, member);
    case FIELD_POINTER:
        return *(void *const *)member == NULL;
    case FIELD_LIST:
    case FIELD_MAP:
        return ((const struct any_list *)member)->count == 0;
    }
    UNREACHABLE("tables have no other shapes");
}

/* Where in an object an error is: a chain on the stack, outermost last. */
struct field_path {
    const struct field_path *up; /* NULL at the top */
    const struct field *field;
    const char *key; /* of a map's item, or NULL */
    size_t key_len;
    size_t index; /* of a list's item, or NO_INDEX */
};
#define NO_INDEX SIZE_MAX

/* Writes "path: reason" and returns `code`. `err` may be NULL, as may `at`: the whole object. */
int field_fail(struct field_error *err, int code, const struct field_path *at, const char *format,
               ...) PRINTF_LIKE(4, 5);

/* Whether a value keeps the limits of its row, and a text is UTF-8 without NUL bytes.
 * STRUCT values are the caller's to descend into. ERR_INVALID */
NODISCARD int value_check(const struct field *f, const void *value, const struct field_path *at,
                          struct field_error *err);
NODISCARD int text_check(const struct field *f, struct slice text, const struct field_path *at,
                         struct field_error *err);
NODISCARD int key_check(const char *key, size_t len, const struct field_path *at,
                        struct field_error *err);
NODISCARD int count_check(const struct field *f, size_t count, const struct field_path *at,
                          struct field_error *err);

/* What presence and the type's rule demand of the object itself, not of what is inside. */
NODISCARD int struct_check(const struct fields *type, const void *obj, const struct field_path *at,
                           struct field_error *err);

/* Frees what one value points to and zeroes it. */
void value_deinit(const struct field *f, void *value);

#endif /* BASE_FIELDS_IMPL_H */
