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

bool value_is_zero(const struct field *f, const void *value);
bool field_is_zero(const struct field *f, const void *obj);

/* Frees what one value points to and zeroes it. */
void value_deinit(const struct field *f, void *value);

#endif /* BASE_FIELDS_IMPL_H */
