/* base/fields.c - Objects by their table: zero, equality, copy, free; texts of enums. */
#include "base/fields.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fields_impl.h"

const char *fields_name(const struct fields *type)
{
    return type->name;
}

size_t fields_size(const struct fields *type)
{
    return type->size;
}

const char *enum_text(const struct enum_names *names, int value)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->rows[i].value == value)
            return names->rows[i].text;
    }
    return "";
}

int enum_parse(const struct enum_names *names, const char *text, int *out)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->rows[i].text, text) == 0) {
            *out = names->rows[i].value;
            return 0;
        }
    }
    return ERR_INVALID;
}

/* --- Zero */

bool fields_is_zero(const struct fields *type, const void *obj)
{
    for (uint32_t i = 0; i < type->count; i++) {
        if (!field_is_zero(&type->rows[i], obj))
            return false;
    }
    return true;
}

/* --- Free */

/* Wipes and frees; NULL is fine. */
static void release(const struct field *f, void *ptr, size_t len)
{
    if (ptr != NULL && is_secret(f))
        sodium_memzero(ptr, len);
    free(ptr);
}

void value_deinit(const struct field *f, void *value)
{
    if (f->kind == FIELD_STR) {
        char *text = *(char **)value;

        release(f, text, text == NULL ? 0 : strlen(text));
    } else if (f->kind == FIELD_BYTES) {
        struct bytes *b = value;

        release(f, b->ptr, b->len);
    } else if (f->kind == FIELD_STRUCT) {
        fields_deinit(f->type, value);
        return;
    }
    if (is_secret(f))
        sodium_memzero(value, f->size);
    else
        memset(value, 0, f->size);
}

static void deinit_items(const struct field *f, struct any_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (f->shape == FIELD_MAP) {
            free(*map_key(f, list, i));
            value_deinit(f, map_value(f, list, i));
        } else {
            value_deinit(f, list_item(f, list, i));
        }
    }
    free(list->items);
    *list = (struct any_list){ 0 };
}

static void deinit_field(const struct field *f, void *obj)
{
    void *member = member_of(f, obj);

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        value_deinit(f, member);
        return;
    case FIELD_POINTER: {
        void **pointer = member;

        if (*pointer != NULL)
            value_deinit(f, *pointer);
        free(*pointer);
        *pointer = NULL;
        return;
    }
    case FIELD_LIST:
    case FIELD_MAP:
        deinit_items(f, member);
        return;
    }
    UNREACHABLE("tables have no other shapes");
}

void fields_deinit(const struct fields *type, void *obj)
{
    for (uint32_t i = 0; i < type->count; i++)
        deinit_field(&type->rows[i], obj);
    memset(obj, 0, type->size); /* padding too: what is left compares and hashes as zeros */
}

/* --- Copy. Into zeros; what a failed copy has built so far is freed at the top. */

static void *duplicate(const void *bytes, size_t len)
{
    void *p = malloc(len);

    if (p != NULL)
        memcpy(p, bytes, len);
    return p;
}

static int copy_object(const struct fields *type, const void *src, void *dst);

/* A member is NULL when empty; an item of a list or map is never NULL. */
static int copy_str(const struct field *f, const char *src, char **dst)
{
    if (src == NULL)
        src = "";
    if (*src == '\0' && f->shape == FIELD_ONE)
        return 0;
    *dst = duplicate(src, strlen(src) + 1);
    return *dst == NULL ? -ENOMEM : 0;
}

static int copy_value(const struct field *f, const void *src, void *dst)
{
    if (f->kind == FIELD_STRUCT)
        return copy_object(f->type, src, dst);
    if (f->kind == FIELD_STR)
        return copy_str(f, *(char *const *)src, dst);
    if (f->kind == FIELD_BYTES)
        return bytes_set(dst, bytes_slice(src));
    memcpy(dst, src, f->size);
    return 0;
}

static int copy_items(const struct field *f, const struct any_list *src, struct any_list *dst)
{
    int rc = 0;

    if (src->count == 0)
        return 0;
    dst->items = calloc(src->count, f->stride);
    if (dst->items == NULL)
        return -ENOMEM;
    dst->count = src->count;
    for (size_t i = 0; i < src->count && rc == 0; i++) {
        if (f->shape == FIELD_LIST) {
            rc = copy_value(f, list_item(f, src, i), list_item(f, dst, i));
            continue;
        }
        *map_key(f, dst, i) = duplicate(*map_key(f, src, i), strlen(*map_key(f, src, i)) + 1);
        rc = *map_key(f, dst, i) == NULL
                 ? -ENOMEM
                 : copy_value(f, map_value(f, src, i), map_value(f, dst, i));
    }
    return rc;
}

static int copy_field(const struct field *f, const void *src_obj, void *dst_obj)
{
    const void *src = member_const(f, src_obj);
    void *dst = member_of(f, dst_obj);

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return copy_value(f, src, dst);
    case FIELD_POINTER: {
        const void *from = *(void *const *)src;
        void *to;

        if (from == NULL)
            return 0;
        to = calloc(1, f->size);
        *(void **)dst = to;
        return to == NULL ? -ENOMEM : copy_value(f, from, to);
    }
    case FIELD_LIST:
    case FIELD_MAP:
        return copy_items(f, src, dst);
    }
    UNREACHABLE("tables have no other shapes");
}

static int copy_object(const struct fields *type, const void *src, void *dst)
{
    int rc = 0;

    for (uint32_t i = 0; i < type->count && rc == 0; i++)
        rc = copy_field(&type->rows[i], src, dst);
    return rc;
}

int fields_copy(const struct fields *type, const void *src, void *dst)
{
    int rc;

    memset(dst, 0, type->size);
    rc = copy_object(type, src, dst);
    if (rc < 0)
        fields_deinit(type, dst);
    return rc;
}

/* --- Equality */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool same_value(const struct field *f, const void *a, const void *b)
{
    switch ((enum field_kind)f->kind) {
    case FIELD_F64:
        return *(const double *)a == *(const double *)b;
    case FIELD_STR:
        return same_text(*(char *const *)a, *(char *const *)b);
    case FIELD_BYTES:
        return slice_equal(bytes_slice(a), bytes_slice(b));
    case FIELD_STRUCT:
        return fields_equal(f->type, a, b);
    case FIELD_BOOL:
    case FIELD_U32:
    case FIELD_I32:
    case FIELD_U64:
    case FIELD_I64:
    case FIELD_TIME:
    case FIELD_ENUM:
    case FIELD_FIXED:
        return memcmp(a, b, f->size) == 0;
    case FIELD_ID:
        return id_equal(a, b);
    }
    UNREACHABLE("tables have no other kinds");
}

static bool same_items(const struct field *f, const struct any_list *a, const struct any_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (f->shape == FIELD_LIST) {
            if (!same_value(f, list_item(f, a, i), list_item(f, b, i)))
                return false;
        } else if (strcmp(*map_key(f, a, i), *map_key(f, b, i)) != 0 ||
                   !same_value(f, map_value(f, a, i), map_value(f, b, i))) {
            return false;
        }
    }
    return true;
}

static bool same_field(const struct field *f, const void *a_obj, const void *b_obj)
{
    const void *a = member_const(f, a_obj);
    const void *b = member_const(f, b_obj);

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return same_value(f, a, b);
    case FIELD_POINTER:
        a = *(void *const *)a;
        b = *(void *const *)b;
        return a == NULL || b == NULL ? a == b : same_value(f, a, b);
    case FIELD_LIST:
    case FIELD_MAP:
        return same_items(f, a, b);
    }
    UNREACHABLE("tables have no other shapes");
}

bool fields_equal(const struct fields *type, const void *a, const void *b)
{
    for (uint32_t i = 0; i < type->count; i++) {
        if (!same_field(&type->rows[i], a, b))
            return false;
    }
    return true;
}
