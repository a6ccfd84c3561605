/* base/fields_check.c - Limits, presence and one-of rules, and the sentences about them.
 *
 * Every way into an object (bytes, JSON) and out of it (bytes) uses these checks, so what can be
 * written can be read. Zero in a field that may be absent is absent: no limit applies to it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fields_impl.h"
#include "base/utf8.h"

#define KEY_SHOWN_MAX 48 /* bytes of a map's key that an error quotes */

/* A bounded text under construction; what does not fit is cut. */
struct text {
    char *ptr;
    size_t len;
    size_t size;
};

static void PRINTF_LIKE(2, 0) text_vadd(struct text *t, const char *format, va_list args)
{
    int n = vsnprintf(t->ptr + t->len, t->size - t->len, format, args);

    if (n > 0)
        t->len = MIN(t->len + (size_t)n, t->size - 1);
}

static void PRINTF_LIKE(2, 3) text_add(struct text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vadd(t, format, args);
    va_end(args);
}

static void add_path(struct text *t, const struct field_path *at)
{
    if (at->up != NULL) {
        add_path(t, at->up);
        text_add(t, ".");
    }
    text_add(t, "%s", json_name(at->field) != NULL ? at->field->json : at->field->name);
    if (at->key != NULL)
        text_add(t, "[\"%.*s\"]", (int)MIN(at->key_len, (size_t)KEY_SHOWN_MAX), at->key);
    else if (at->index != NO_INDEX)
        text_add(t, "[%zu]", at->index);
}

/* The text quotes what strangers sent: nothing in it may steer a terminal or break a log line,
 * and a cut may not leave half a character. */
static void make_printable(struct text *t)
{
    size_t i = 0;

    while (i < t->len) {
        size_t n = utf8_sequence_len(slice_of(t->ptr + i, t->len - i));
        unsigned char c = (unsigned char)t->ptr[i];

        if (n == 0 || c < 0x20 || c == 0x7f)
            t->ptr[i] = '?';
        i += n == 0 ? 1 : n;
    }
}

int field_fail(struct field_error *err, int code, const struct field_path *at, const char *format,
               ...)
{
    struct text t;
    va_list args;

    if (err == NULL)
        return code;
    t = (struct text){ .ptr = err->text, .size = sizeof(err->text) };
    if (at != NULL) {
        add_path(&t, at);
        text_add(&t, ": ");
    }
    va_start(args, format);
    text_vadd(&t, format, args);
    va_end(args);
    make_printable(&t);
    return code;
}

/* --- Values */

/* Zero where absence is allowed. */
static bool may_be_absent(const struct field *f)
{
    return f->shape == FIELD_ONE && presence_of(f) != FIELD_REQUIRED;
}

static int fail_range(const struct field *f, const struct field_path *at, struct field_error *err)
{
    int64_t min = f->min;
    uint64_t max = f->max;

    if (f->kind == FIELD_U32 || f->kind == FIELD_U64)
        min = MAX(min, 0);
    if (f->kind == FIELD_U32)
        max = MIN(max, UINT32_MAX);
    if (f->kind == FIELD_I32) {
        min = MAX(min, INT32_MIN);
        max = MIN(max, INT32_MAX);
    }
    if (max >= INT64_MAX && min == 1)
        return field_fail(err, ERR_INVALID, at, "must be positive");
    if (max >= INT64_MAX && min == 0)
        return field_fail(err, ERR_INVALID, at, "must not be negative");
    if (max >= INT64_MAX)
        return field_fail(err, ERR_INVALID, at, "must be at least %lld", (long long)min);
    if (min == INT64_MIN)
        return field_fail(err, ERR_INVALID, at, "must be at most %llu", (unsigned long long)max);
    return field_fail(err, ERR_INVALID, at, "must be %lld to %llu", (long long)min,
                      (unsigned long long)max);
}

static int check_unsigned(const struct field *f, uint64_t v, const struct field_path *at,
                          struct field_error *err)
{
    if (unsigned_in_range(f, v) || (v == 0 && may_be_absent(f)))
        return 0;
    return fail_range(f, at, err);
}

static int check_signed(const struct field *f, int64_t v, const struct field_path *at,
                        struct field_error *err)
{
    if (signed_in_range(f, v) || (v == 0 && may_be_absent(f)))
        return 0;
    return fail_range(f, at, err);
}

static int check_real(const struct field *f, double v, const struct field_path *at,
                      struct field_error *err)
{
    if (!isfinite(v))
        return field_fail(err, ERR_INVALID, at, "must be a finite number");
    if (f->min == INT64_MIN && f->max == UINT64_MAX) /* ANY */
        return 0;
    if ((v >= (double)f->min && v <= (double)f->max) || (v == 0 && may_be_absent(f)))
        return 0;
    return fail_range(f, at, err);
}

static int check_enum(const struct field *f, int v, const struct field_path *at,
                      struct field_error *err)
{
    for (size_t i = 0; i < f->names->count; i++) {
        if (f->names->rows[i].value == v)
            return 0;
    }
    if (v == 0 && may_be_absent(f))
        return 0;
    return field_fail(err, ERR_INVALID, at, "has the unknown value %d", v);
}

static int check_len(const struct field *f, size_t len, const struct field_path *at,
                     struct field_error *err)
{
    if (unsigned_in_range(f, len) || (len == 0 && may_be_absent(f)))
        return 0;
    if (len == 0)
        return field_fail(err, ERR_INVALID, at, "must not be empty");
    if (len > f->max)
        return field_fail(err, ERR_INVALID, at, "is %zu bytes long, at most %llu are allowed", len,
                          (unsigned long long)f->max);
    return field_fail(err, ERR_INVALID, at, "is %zu bytes long, at least %lld are needed", len,
                      (long long)f->min);
}

int text_check(const struct field *f, struct slice text, const struct field_path *at,
               struct field_error *err)
{
    int rc = check_len(f, text.len, at, err);

    if (rc < 0)
        return rc;
    if (!utf8_is_valid(text))
        return field_fail(err, ERR_INVALID, at, "is not valid UTF-8");
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        return field_fail(err, ERR_INVALID, at, "contains a NUL byte");
    return 0;
}

int key_check(const char *key, size_t len, const struct field_path *at, struct field_error *err)
{
    if (len > FIELDS_KEY_LEN_MAX)
        return field_fail(err, ERR_INVALID, at, "key is %zu bytes long, at most %d are allowed",
                          len, FIELDS_KEY_LEN_MAX);
    if (!utf8_is_valid(slice_of(key, len)))
        return field_fail(err, ERR_INVALID, at, "key is not valid UTF-8");
    if (len > 0 && memchr(key, '\0', len) != NULL)
        return field_fail(err, ERR_INVALID, at, "key contains a NUL byte");
    return 0;
}

int count_check(const struct field *f, size_t count, const struct field_path *at,
                struct field_error *err)
{
    if (count <= f->count_max)
        return 0;
    return field_fail(err, ERR_INVALID, at, "has %zu elements, at most %u are allowed", count,
                      f->count_max);
}

static int check_id(const struct field *f, const struct id *id, const struct field_path *at,
                    struct field_error *err)
{
    struct id same;

    if (id_is_none(id)) {
        if (may_be_absent(f))
            return 0;
        return field_fail(err, ERR_INVALID, at, "must not be empty");
    }
    if (id->text[ID_LEN] == '\0' && id_parse(slice_of(id->text, ID_LEN), &same) == 0)
        return 0;
    return field_fail(err, ERR_INVALID, at, "must be an id of %d characters 0-9a-z", ID_LEN);
}

int value_check(const struct field *f, const void *value, const struct field_path *at,
                struct field_error *err)
{
    switch ((enum field_kind)f->kind) {
    case FIELD_U32:
        return check_unsigned(f, *(const uint32_t *)value, at, err);
    case FIELD_U64:
        return check_unsigned(f, *(const uint64_t *)value, at, err);
    case FIELD_I32:
        return check_signed(f, *(const int32_t *)value, at, err);
    case FIELD_I64:
    case FIELD_TIME:
        return check_signed(f, *(const int64_t *)value, at, err);
    case FIELD_F64:
        return check_real(f, *(const double *)value, at, err);
    case FIELD_ENUM:
        return check_enum(f, *(const int *)value, at, err);
    case FIELD_STR:
        return text_check(f, slice_of_str(*(char *const *)value), at, err);
    case FIELD_BYTES:
        return check_len(f, ((const struct bytes *)value)->len, at, err);
    case FIELD_ID:
        return check_id(f, value, at, err);
    case FIELD_BOOL:
    case FIELD_FIXED:
    case FIELD_STRUCT:
        return 0;
    }
    UNREACHABLE("tables have no other kinds");
}

/* --- Objects */

static int check_one_of(const struct fields *type, const void *obj, const struct field_path *at,
                        struct field_error *err)
{
    struct text names;
    char buf[160] = "";
    unsigned set = 0;

    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];

        set += f->shape == FIELD_POINTER && f->kind == FIELD_STRUCT && !field_is_zero(f, obj);
    }
    if (set == 1 || (set == 0 && type->rule == FIELDS_AT_MOST_ONE_OF))
        return 0;
    names = (struct text){ .ptr = buf, .size = sizeof(buf) };
    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];

        if (f->shape == FIELD_POINTER && f->kind == FIELD_STRUCT)
            text_add(&names, "%s%s", names.len == 0 ? "" : ", ",
                     json_name(f) != NULL ? f->json : f->name);
    }
    if (set == 0)
        return field_fail(err, ERR_INVALID, at, "one of %s is required", buf);
    return field_fail(err, ERR_INVALID, at, "only one of %s may be set", buf);
}

int struct_check(const struct fields *type, const void *obj, const struct field_path *at,
                 struct field_error *err)
{
    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];
        struct field_path here = { .up = at, .field = f, .index = NO_INDEX };
        bool needs_value = f->shape == FIELD_POINTER || f->kind == FIELD_ID;

        if (presence_of(f) == FIELD_REQUIRED && needs_value && f->shape <= FIELD_POINTER &&
            field_is_zero(f, obj))
            return field_fail(err, ERR_INVALID, &here, "is required");
    }
    return type->rule == FIELDS_ALL ? 0 : check_one_of(type, obj, at, err);
}

static int check_object(const struct fields *type, const void *obj, const struct field_path *at,
                        unsigned depth, struct field_error *err);

static int check_value(const struct field *f, const void *value, const struct field_path *at,
                       unsigned depth, struct field_error *err)
{
    if (f->kind == FIELD_STRUCT)
        return check_object(f->type, value, at, depth + 1, err);
    return value_check(f, value, at, err);
}

static int check_items(const struct field *f, const struct any_list *list, struct field_path *at,
                       unsigned depth, struct field_error *err)
{
    const char *before = NULL;
    int rc = count_check(f, list->count, at, err);

    for (size_t i = 0; i < list->count && rc == 0; i++) {
        const void *value;

        if (f->shape == FIELD_MAP) {
            at->key = *map_key(f, list, i);
            at->key_len = strlen(at->key);
            if (before != NULL && strcmp(before, at->key) >= 0)
                return field_fail(err, ERR_INVALID, at, "keys are not in ascending order");
            before = at->key;
            rc = key_check(at->key, at->key_len, at, err);
            if (rc < 0)
                return rc;
            value = map_value(f, list, i);
        } else {
            at->index = i;
            value = list_item(f, list, i);
        }
        rc = check_value(f, value, at, depth, err);
    }
    return rc;
}

static int check_field(const struct field *f, const void *obj, struct field_path *at,
                       unsigned depth, struct field_error *err)
{
    const void *member = member_const(f, obj);

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        /* An absent struct need not be a valid one: its REQUIRED fields come with its presence. */
        if (f->kind == FIELD_STRUCT && may_be_absent(f) && value_is_zero(f, member))
            return 0;
        return check_value(f, member, at, depth, err);
    case FIELD_POINTER:
        member = *(void *const *)member;
        return member == NULL ? 0 : check_value(f, member, at, depth, err);
    case FIELD_LIST:
    case FIELD_MAP:
        return check_items(f, member, at, depth, err);
    }
    UNREACHABLE("tables have no other shapes");
}

static int check_object(const struct fields *type, const void *obj, const struct field_path *at,
                        unsigned depth, struct field_error *err)
{
    int rc;

    if (depth > FIELDS_DEPTH_MAX)
        return field_fail(err, ERR_TOO_LARGE, at, "is nested more than %d deep", FIELDS_DEPTH_MAX);
    rc = struct_check(type, obj, at, err);
    for (uint32_t i = 0; i < type->count && rc == 0; i++) {
        struct field_path here = { .up = at, .field = &type->rows[i], .index = NO_INDEX };

        rc = check_field(&type->rows[i], obj, &here, depth, err);
    }
    return rc;
}

int fields_validate(const struct fields *type, const void *obj, struct field_error *err)
{
    return check_object(type, obj, NULL, 1, err);
}
