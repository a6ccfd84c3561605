/* base/fields_to_json.c - Objects to JSON, as Go's encoding/json prints Docker's types. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fields_impl.h"
#include "base/time_text.h"
#include "base/utf8.h"

#define EXACT_INTEGER_MAX 9007199254740992.0 /* 2^53: a double below it holds every integer */

static int object_to_json(const struct fields *type, const void *obj, unsigned flags,
                          unsigned depth, json_t **out);

/* jansson answers NULL when it is out of memory. */
static int made(json_t *json, json_t **out)
{
    *out = json;
    return json == NULL ? -ENOMEM : 0;
}

static int text_to_json(const char *text, json_t **out)
{
    if (text == NULL)
        text = "";
    if (!utf8_is_valid(slice_of_str(text)))
        return ERR_INVALID;
    return made(json_string_nocheck(text), out);
}

static int bytes_to_json(struct slice bytes, json_t **out)
{
    size_t size = sodium_base64_ENCODED_LEN(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(size);
    int rc;

    if (text == NULL)
        return -ENOMEM;
    sodium_bin2base64(text, size, bytes.ptr, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    rc = made(json_string_nocheck(text), out);
    sodium_memzero(text, size); /* may be a secret's */
    free(text);
    return rc;
}

static int fixed_to_json(const uint8_t *bytes, size_t len, json_t **out)
{
    size_t size = 2 * len + 1;
    char *text = malloc(size);
    int rc;

    if (text == NULL)
        return -ENOMEM;
    sodium_bin2hex(text, size, bytes, len);
    rc = made(json_string_nocheck(text), out);
    sodium_memzero(text, size);
    free(text);
    return rc;
}

/* Go prints a float without a fraction as an integer. */
static int real_to_json(double v, json_t **out)
{
    if (!isfinite(v))
        return ERR_INVALID;
    if (v == trunc(v) && fabs(v) <= EXACT_INTEGER_MAX)
        return made(json_integer((json_int_t)v), out);
    return made(json_real(v), out);
}

static int u64_to_json(uint64_t v, json_t **out)
{
    char digits[24];

    if (v <= INT64_MAX)
        return made(json_integer((json_int_t)v), out);
    (void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v); /* fits: 20 digits */
    return made(json_string_nocheck(digits), out);
}

static int value_to_json(const struct field *f, const void *value, unsigned flags, unsigned depth,
                         json_t **out)
{
    char time[TIME_TEXT_MAX];

    switch ((enum field_kind)f->kind) {
    case FIELD_BOOL:
        return made(json_boolean(*(const bool *)value), out);
    case FIELD_U32:
        return made(json_integer(*(const uint32_t *)value), out);
    case FIELD_I32:
        return made(json_integer(*(const int32_t *)value), out);
    case FIELD_U64:
        return u64_to_json(*(const uint64_t *)value, out);
    case FIELD_I64:
        return made(json_integer(*(const int64_t *)value), out);
    case FIELD_F64:
        return real_to_json(*(const double *)value, out);
    case FIELD_TIME:
        time_format(*(const wall_ns *)value, time);
        return made(json_string_nocheck(time), out);
    case FIELD_ENUM:
        return text_to_json(enum_text(f->names, *(const int *)value), out);
    case FIELD_STR:
        return text_to_json(*(char *const *)value, out);
    case FIELD_BYTES:
        return bytes_to_json(bytes_slice(value), out);
    case FIELD_FIXED:
        return fixed_to_json(value, f->size, out);
    case FIELD_ID:
        return text_to_json(((const struct id *)value)->text, out);
    case FIELD_STRUCT:
        return object_to_json(f->type, value, flags, depth + 1, out);
    }
    UNREACHABLE("tables have no other kinds");
}

static int list_to_json(const struct field *f, const struct any_list *list, unsigned flags,
                        unsigned depth, json_t **out)
{
    json_t *array = json_array();
    int rc = array == NULL ? -ENOMEM : 0;

    for (size_t i = 0; i < list->count && rc == 0; i++) {
        json_t *item;

        rc = value_to_json(f, list_item(f, list, i), flags, depth, &item);
        if (rc == 0 && json_array_append_new(array, item) < 0)
            rc = -ENOMEM;
    }
    if (rc < 0)
        json_decref(array);
    else
        *out = array;
    return rc;
}

static int map_to_json(const struct field *f, const struct any_list *map, unsigned flags,
                       unsigned depth, json_t **out)
{
    json_t *object = json_object();
    int rc = object == NULL ? -ENOMEM : 0;

    for (size_t i = 0; i < map->count && rc == 0; i++) {
        const char *key = *map_key(f, map, i);
        json_t *item;

        if (!utf8_is_valid(slice_of_str(key))) {
            rc = ERR_INVALID;
            break;
        }
        rc = value_to_json(f, map_value(f, map, i), flags, depth, &item);
        if (rc == 0 && json_object_set_new_nocheck(object, key, item) < 0)
            rc = -ENOMEM;
    }
    if (rc < 0)
        json_decref(object);
    else
        *out = object;
    return rc;
}

static int field_to_json(const struct field *f, const void *obj, unsigned flags, unsigned depth,
                         json_t **out)
{
    const void *member = member_const(f, obj);

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return value_to_json(f, member, flags, depth, out);
    case FIELD_POINTER:
        member = *(void *const *)member;
        return member == NULL ? made(json_null(), out)
                              : value_to_json(f, member, flags, depth, out);
    case FIELD_LIST:
        return list_to_json(f, member, flags, depth, out);
    case FIELD_MAP:
        return map_to_json(f, member, flags, depth, out);
    }
    UNREACHABLE("tables have no other shapes");
}

static bool is_printed(const struct field *f, const void *obj, unsigned flags)
{
    if (json_name(f) == NULL || (is_secret(f) && (flags & FIELDS_JSON_SECRETS) == 0))
        return false;
    return presence_of(f) != FIELD_OPTIONAL || !field_is_zero(f, obj);
}

static int object_to_json(const struct fields *type, const void *obj, unsigned flags,
                          unsigned depth, json_t **out)
{
    json_t *object;
    int rc = 0;

    if (depth > FIELDS_DEPTH_MAX)
        return ERR_TOO_LARGE;
    object = json_object();
    if (object == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < type->count && rc == 0; i++) {
        const struct field *f = &type->rows[i];
        json_t *member;

        if (!is_printed(f, obj, flags))
            continue;
        rc = field_to_json(f, obj, flags, depth, &member);
        if (rc == 0 && json_object_set_new_nocheck(object, json_name(f), member) < 0)
            rc = -ENOMEM;
    }
    if (rc < 0)
        json_decref(object);
    else
        *out = object;
    return rc;
}

int fields_to_json(const struct fields *type, const void *obj, unsigned flags, struct json_t **out)
{
    return object_to_json(type, obj, flags, 1, out);
}

struct dump {
    struct buf *out;
    int rc;
};

static int dump_bytes(const char *bytes, size_t len, void *data)
{
    struct dump *d = data;

    d->rc = buf_append(d->out, bytes, len);
    return d->rc < 0 ? -1 : 0;
}

int fields_to_json_text(const struct fields *type, const void *obj, unsigned flags, struct buf *out)
{
    size_t before = out->len;
    struct dump d = { .out = out, .rc = -ENOMEM };
    json_t *json;
    int rc = fields_to_json(type, obj, flags, &json);

    if (rc < 0)
        return rc;
    if (json_dump_callback(json, dump_bytes, &d, JSON_COMPACT) < 0) {
        rc = d.rc < 0 ? d.rc : -ENOMEM; /* jansson's own memory, if it was not ours */
        if (out->len > before)          /* may hold secrets */
            sodium_memzero(out->ptr + before, out->len - before);
        out->len = before;
    }
    json_decref(json);
    return rc;
}
