/* base/fields_from_json.c - JSON to objects, as forgiving as Go's encoding/json and no more:
 * names in any case, null for absent, unknown names ignored unless the caller is strict. */
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fields_impl.h"
#include "base/time_text.h"

#define TEXT_SHOWN_MAX 40 /* bytes of a wrong text that an error quotes */

struct reader {
    unsigned flags;
    struct field_error *err;
};

static int object_from_json(const struct reader *r, const struct fields *type, json_t *json,
                            const struct field_path *at, unsigned depth, void *obj);

static const char *const kind_texts[] = {
    [FIELD_BOOL] = "must be true or false",
    [FIELD_U32] = "must be an integer",
    [FIELD_U64] = "must be an integer",
    [FIELD_I32] = "must be an integer",
    [FIELD_I64] = "must be an integer",
    [FIELD_F64] = "must be a number",
    [FIELD_TIME] = "must be a time such as \"2006-01-02T15:04:05Z\"",
    [FIELD_ENUM] = "must be a string",
    [FIELD_STR] = "must be a string",
    [FIELD_BYTES] = "must be a string of base64",
    [FIELD_FIXED] = "must be a string of hexadecimal digits",
    [FIELD_ID] = "must be a string",
    [FIELD_STRUCT] = "must be an object",
};

static int fail(const struct reader *r, const struct field_path *at, const char *reason)
{
    return field_fail(r->err, ERR_INVALID, at, "%s", reason);
}

static int fail_memory(const struct reader *r, const struct field_path *at)
{
    return field_fail(r->err, -ENOMEM, at, "out of memory");
}

/* A text that jansson has checked: UTF-8, without NUL. */
static struct slice text_of(const json_t *json)
{
    return slice_of(json_string_value(json), json_string_length(json));
}

static int str_from_json(const struct reader *r, const struct field *f, const json_t *json,
                         const struct field_path *at, char **out)
{
    struct slice text = json_is_null(json) ? slice_of("", 0) : text_of(json);
    char *copy;
    int rc = text_check(f, text, at, r->err);

    if (rc < 0 || (text.len == 0 && f->shape == FIELD_ONE))
        return rc;
    copy = malloc(text.len + 1);
    if (copy == NULL)
        return fail_memory(r, at);
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *out = copy;
    return 0;
}

static int bytes_from_json(const struct reader *r, const struct field *f, const json_t *json,
                           const struct field_path *at, struct bytes *out)
{
    struct slice text = text_of(json);
    struct bytes b = { .len = text.len / 4 * 3 };
    int rc;

    if (text.len == 0)
        return value_check(f, out, at, r->err);
    b.ptr = malloc(b.len == 0 ? 1 : b.len);
    if (b.ptr == NULL)
        return fail_memory(r, at);
    if (sodium_base642bin(b.ptr, b.len, (const char *)text.ptr, text.len, NULL, &b.len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) == 0)
        rc = value_check(f, &b, at, r->err);
    else
        rc = fail(r, at, kind_texts[f->kind]);
    if (rc < 0)
        free(b.ptr);
    else
        *out = b;
    return rc;
}

static int fixed_from_json(const struct reader *r, const struct field *f, const json_t *json,
                           const struct field_path *at, uint8_t *out)
{
    struct slice text = text_of(json);
    size_t len;

    if (text.len == 0 && presence_of(f) != FIELD_REQUIRED)
        return 0;
    if (text.len != 2 * (size_t)f->size ||
        sodium_hex2bin(out, f->size, (const char *)text.ptr, text.len, NULL, &len, NULL) != 0)
        return field_fail(r->err, ERR_INVALID, at, "must be %u hexadecimal digits", 2 * f->size);
    return 0;
}

static int id_from_json(const struct reader *r, const struct field *f, const json_t *json,
                        const struct field_path *at, struct id *out)
{
    struct slice text = text_of(json);

    if (text.len > 0 && id_parse(text, out) < 0)
        return field_fail(r->err, ERR_INVALID, at, "must be an id of %d characters 0-9a-z", ID_LEN);
    return value_check(f, out, at, r->err);
}

static int time_from_json(const struct reader *r, const struct field *f, const json_t *json,
                          const struct field_path *at, wall_ns *out)
{
    int rc;

    if (json_string_length(json) == 0)
        return value_check(f, out, at, r->err);
    rc = time_parse(text_of(json), out);
    if (rc == ERR_TOO_LARGE)
        return fail(r, at, "must be a time from 1678 to 2261");
    if (rc < 0)
        return fail(r, at, kind_texts[f->kind]);
    return value_check(f, out, at, r->err);
}

static int enum_from_json(const struct reader *r, const struct field *f, const json_t *json,
                          const struct field_path *at, int *out)
{
    const char *text = json_string_value(json);
    char allowed[200] = "";
    size_t len = 0;

    if (enum_parse(f->names, text, out) == 0)
        return 0;
    if (*text == '\0' && f->shape == FIELD_ONE && presence_of(f) != FIELD_REQUIRED)
        return 0; /* *out is 0 already */
    for (size_t i = 0; i < f->names->count && len < sizeof(allowed); i++) {
        int n = snprintf(allowed + len, sizeof(allowed) - len, "%s%s", i == 0 ? "" : ", ",
                         f->names->rows[i].text);

        len += n > 0 ? (size_t)n : 0;
    }
    return field_fail(r->err, ERR_INVALID, at, "is \"%.*s\", must be one of: %s", TEXT_SHOWN_MAX,
                      text, allowed);
}

/* Digits of a number beyond what JSON libraries hold. */
static bool u64_from_text(struct slice text, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, text.ptr[i] - '0', &v))
            return false;
    }
    *out = v;
    return text.len > 0;
}

static int unsigned_from_json(const struct reader *r, const struct field *f, const json_t *json,
                              const struct field_path *at, void *out)
{
    json_int_t v = json_integer_value(json);
    uint64_t number = (uint64_t)v;

    if (f->kind == FIELD_U64 && json_is_string(json)) {
        if (!u64_from_text(text_of(json), &number))
            return fail(r, at, kind_texts[f->kind]);
    } else if (!json_is_integer(json)) {
        return fail(r, at, kind_texts[f->kind]);
    } else if (v < 0) {
        return fail(r, at, f->min >= 1 ? "must be positive" : "must not be negative");
    }
    if (f->kind == FIELD_U64) {
        *(uint64_t *)out = number;
    } else {
        if (number > UINT32_MAX)
            return field_fail(r->err, ERR_INVALID, at, "must be at most %u", UINT32_MAX);
        *(uint32_t *)out = (uint32_t)number;
    }
    return value_check(f, out, at, r->err);
}

static int signed_from_json(const struct reader *r, const struct field *f, const json_t *json,
                            const struct field_path *at, void *out)
{
    json_int_t v = json_integer_value(json);

    if (!json_is_integer(json))
        return fail(r, at, kind_texts[f->kind]);
    if (f->kind == FIELD_I32) {
        if (v < INT32_MIN || v > INT32_MAX)
            return field_fail(r->err, ERR_INVALID, at, "must be %d to %d", INT32_MIN, INT32_MAX);
        *(int32_t *)out = (int32_t)v;
    } else {
        *(int64_t *)out = v;
    }
    return value_check(f, out, at, r->err);
}

/* `json` is a string. */
static int from_string(const struct reader *r, const struct field *f, const json_t *json,
                       const struct field_path *at, void *out)
{
    if (f->kind == FIELD_STR)
        return str_from_json(r, f, json, at, out);
    if (f->kind == FIELD_BYTES)
        return bytes_from_json(r, f, json, at, out);
    if (f->kind == FIELD_FIXED)
        return fixed_from_json(r, f, json, at, out);
    if (f->kind == FIELD_ID)
        return id_from_json(r, f, json, at, out);
    if (f->kind == FIELD_TIME)
        return time_from_json(r, f, json, at, out);
    CHECK(f->kind == FIELD_ENUM);
    return enum_from_json(r, f, json, at, out);
}

/* Into `out`, which is zero. */
static int value_from_json(const struct reader *r, const struct field *f, json_t *json,
                           const struct field_path *at, unsigned depth, void *out)
{
    switch ((enum field_kind)f->kind) {
    case FIELD_BOOL:
        if (!json_is_boolean(json))
            return fail(r, at, kind_texts[f->kind]);
        *(bool *)out = json_is_true(json);
        return 0;
    case FIELD_U32:
    case FIELD_U64:
        return unsigned_from_json(r, f, json, at, out);
    case FIELD_I32:
    case FIELD_I64:
        return signed_from_json(r, f, json, at, out);
    case FIELD_F64:
        if (!json_is_number(json))
            return fail(r, at, kind_texts[f->kind]);
        *(double *)out = json_number_value(json);
        return value_check(f, out, at, r->err);
    case FIELD_STR:
        if (json_is_null(json)) /* in a list or map: Go reads an empty text */
            return str_from_json(r, f, json, at, out);
        return json_is_string(json) ? from_string(r, f, json, at, out)
                                    : fail(r, at, kind_texts[f->kind]);
    case FIELD_TIME:
    case FIELD_ENUM:
    case FIELD_BYTES:
    case FIELD_FIXED:
    case FIELD_ID:
        return json_is_string(json) ? from_string(r, f, json, at, out)
                                    : fail(r, at, kind_texts[f->kind]);
    case FIELD_STRUCT:
        return object_from_json(r, f->type, json, at, depth + 1, out);
    }
    UNREACHABLE("tables have no other kinds");
}

/* Room for `count` items of zeros, which are safe to free. */
static int make_room(const struct reader *r, const struct field *f, size_t count,
                     const struct field_path *at, struct any_list *out)
{
    int rc = count_check(f, count, at, r->err);

    if (rc < 0 || count == 0)
        return rc;
    out->items = calloc(count, f->stride);
    if (out->items == NULL)
        return fail_memory(r, at);
    out->count = count;
    return 0;
}

static int list_from_json(const struct reader *r, const struct field *f, json_t *json,
                          struct field_path *at, unsigned depth, struct any_list *out)
{
    int rc;

    if (!json_is_array(json))
        return fail(r, at, "must be a list");
    rc = make_room(r, f, json_array_size(json), at, out);
    for (size_t i = 0; i < out->count && rc == 0; i++) {
        at->index = i;
        rc = value_from_json(r, f, json_array_get(json, i), at, depth, list_item(f, out, i));
    }
    return rc;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int map_from_json(const struct reader *r, const struct field *f, json_t *json,
                         struct field_path *at, unsigned depth, struct any_list *out)
{
    size_t filled = 0;
    int rc;

    if (!json_is_object(json))
        return fail(r, at, "must be an object");
    rc = make_room(r, f, json_object_size(json), at, out);
    if (rc < 0)
        return rc;
    for (void *it = json_object_iter(json); it != NULL && rc == 0;
         it = json_object_iter_next(json, it), filled++) {
        const char *key = json_object_iter_key(it);
        char **copy = map_key(f, out, filled);

        at->key = key;
        at->key_len = strlen(key);
        rc = key_check(key, at->key_len, at, r->err);
        if (rc < 0)
            return rc;
        if (str_set(copy, key) < 0)
            return fail_memory(r, at);
        if (*copy == NULL) { /* the empty key, which str_set keeps as NULL */
            *copy = calloc(1, 1);
            if (*copy == NULL)
                return fail_memory(r, at);
        }
        rc =
            value_from_json(r, f, json_object_iter_value(it), at, depth, map_value(f, out, filled));
    }
    if (rc == 0 && out->count > 1)
        qsort(out->items, out->count, f->stride, compare_keys);
    return rc;
}

static int field_from_json(const struct reader *r, const struct field *f, json_t *json,
                           const struct field_path *up, unsigned depth, void *obj)
{
    struct field_path at = { .up = up, .field = f, .index = NO_INDEX };
    void *member = member_of(f, obj);
    void *target;

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return value_from_json(r, f, json, &at, depth, member);
    case FIELD_POINTER:
        target = calloc(1, f->size);
        if (target == NULL)
            return fail_memory(r, &at);
        *(void **)member = target;
        return value_from_json(r, f, json, &at, depth, target);
    case FIELD_LIST:
        return list_from_json(r, f, json, &at, depth, member);
    case FIELD_MAP:
        return map_from_json(r, f, json, &at, depth, member);
    }
    UNREACHABLE("tables have no other shapes");
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_in_any_case(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return *a == *b; /* both at their end */
}

/* The row that JSON calls `name`, or UINT32_MAX. The exact name is preferred. */
static uint32_t find_named(const struct fields *type, const char *name)
{
    uint32_t found = UINT32_MAX;

    for (uint32_t i = 0; i < type->count; i++) {
        const char *own = json_name(&type->rows[i]);

        if (own == NULL)
            continue;
        if (strcmp(own, name) == 0)
            return i;
        if (found == UINT32_MAX && same_in_any_case(own, name))
            found = i;
    }
    return found;
}

static int check_required(const struct reader *r, const struct fields *type, uint64_t seen,
                          const struct field_path *up)
{
    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];
        struct field_path at = { .up = up, .field = f, .index = NO_INDEX };

        if (presence_of(f) == FIELD_REQUIRED && json_name(f) != NULL && (seen >> i & 1) == 0)
            return fail(r, &at, "is required");
    }
    return 0;
}

static int object_from_json(const struct reader *r, const struct fields *type, json_t *json,
                            const struct field_path *at, unsigned depth, void *obj)
{
    uint64_t seen = 0; /* bit i: row i */
    int rc;

    if (depth > FIELDS_DEPTH_MAX)
        return field_fail(r->err, ERR_TOO_LARGE, at, "is nested more than %d deep",
                          FIELDS_DEPTH_MAX);
    if (!json_is_object(json))
        return fail(r, at, kind_texts[FIELD_STRUCT]);
    for (void *it = json_object_iter(json); it != NULL; it = json_object_iter_next(json, it)) {
        const char *name = json_object_iter_key(it);
        json_t *value = json_object_iter_value(it);
        uint32_t row = find_named(type, name);

        if (row == UINT32_MAX) {
            if ((r->flags & FIELDS_JSON_STRICT) != 0)
                return field_fail(r->err, ERR_INVALID, at, "has no field \"%.*s\"", TEXT_SHOWN_MAX,
                                  name);
            continue;
        }
        if (json_is_null(value))
            continue;
        if ((seen >> row & 1) != 0)
            return fail(
                r, &(struct field_path){ .up = at, .field = &type->rows[row], .index = NO_INDEX },
                "is given twice");
        seen |= UINT64_C(1) << row;
        rc = field_from_json(r, &type->rows[row], value, at, depth, obj);
        if (rc < 0)
            return rc;
    }
    rc = check_required(r, type, seen, at);
    return rc < 0 ? rc : struct_check(type, obj, at, r->err);
}

int fields_from_json(const struct fields *type, struct json_t *json, unsigned flags, void *obj,
                     struct field_error *err)
{
    struct reader r = { .flags = flags, .err = err };
    int rc;

    memset(obj, 0, type->size);
    rc = object_from_json(&r, type, json, NULL, 1, obj);
    if (rc < 0)
        fields_deinit(type, obj);
    return rc;
}

int fields_from_json_text(const struct fields *type, struct slice text, unsigned flags, void *obj,
                          struct field_error *err)
{
    json_error_t why;
    json_t *json = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
    int rc;

    memset(obj, 0, type->size);
    if (json == NULL) {
        if (json_error_code(&why) == json_error_out_of_memory)
            return field_fail(err, -ENOMEM, NULL, "out of memory");
        return field_fail(err, ERR_MALFORMED, NULL, "not JSON: line %d, column %d: %s", why.line,
                          why.column, why.text);
    }
    rc = fields_from_json(type, json, flags, obj, err);
    json_decref(json);
    return rc;
}
