/* base/fields_decode.c - msgpack to objects: docs/formats/wire.md.
 *
 * Straight from the bytes into the object, token by token (base/wire.h), without a tree in
 * between: what is allocated is the result and nothing else, and every allocation is taken from
 * a budget first. On any error the half-built object is freed at the top. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fields_impl.h"
#include "base/wire.h"

struct decoder {
    struct wire_reader in;
    uint64_t budget; /* bytes that may still be allocated */
    struct field_error *err;
};

static const char *const kind_texts[] = {
    [FIELD_BOOL] = "must be true or false",
    [FIELD_U32] = "must be an integer of 0 or more",
    [FIELD_U64] = "must be an integer of 0 or more",
    [FIELD_I32] = "must be an integer",
    [FIELD_I64] = "must be an integer",
    [FIELD_F64] = "must be a float",
    [FIELD_TIME] = "must be an integer",
    [FIELD_ENUM] = "must be an integer",
    [FIELD_STR] = "must be a text",
    [FIELD_BYTES] = "must be binary",
    [FIELD_FIXED] = "must be binary",
    [FIELD_ID] = "must be a text",
    [FIELD_STRUCT] = "must be a map",
};

static int fail_kind(struct decoder *d, const struct field *f, const struct field_path *at)
{
    return field_fail(d->err, ERR_MALFORMED, at, "%s", kind_texts[f->kind]);
}

static int next(struct decoder *d, const struct field_path *at, struct wire_token *out)
{
    int rc = wire_next(&d->in, out);

    return rc < 0 ? field_fail(d->err, rc, at, "truncated or not msgpack") : 0;
}

/* The checks of values speak of invalid objects; here it is the bytes that are. */
static int malformed(int rc)
{
    return rc == ERR_INVALID ? ERR_MALFORMED : rc;
}

/* Zeroed, and paid for. */
static int allocate(struct decoder *d, size_t count, size_t size, const struct field_path *at,
                    void *out)
{
    uint64_t total = (uint64_t)count * size; /* counts and sizes are below 2^32 */
    void *p;

    if (total > d->budget)
        return field_fail(d->err, ERR_TOO_LARGE, at, "needs too much memory for its length");
    d->budget -= total;
    p = calloc(count, size);
    if (p == NULL)
        return field_fail(d->err, -ENOMEM, at, "out of memory");
    *(void **)out = p;
    return 0;
}

static int decode_text(struct decoder *d, struct slice text, const struct field_path *at,
                       char **out)
{
    char *copy;
    int rc;

    if (text.len >= UINT32_MAX)
        return field_fail(d->err, ERR_TOO_LARGE, at, "is too long");
    rc = allocate(d, 1, text.len + 1, at, &copy);
    if (rc < 0)
        return rc;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    *out = copy;
    return 0;
}

static int decode_str(struct decoder *d, const struct field *f, const struct wire_token *token,
                      const struct field_path *at, char **out)
{
    int rc;

    if (token->kind != WIRE_STR)
        return fail_kind(d, f, at);
    rc = text_check(f, token->bytes, at, d->err);
    if (rc < 0)
        return malformed(rc);
    if (token->bytes.len == 0 && f->shape == FIELD_ONE)
        return 0;
    return decode_text(d, token->bytes, at, out);
}

static int decode_bytes(struct decoder *d, const struct field *f, const struct wire_token *token,
                        const struct field_path *at, struct bytes *out)
{
    struct bytes borrowed = { .len = token->kind == WIRE_BIN ? token->bytes.len : 0 };
    int rc;

    if (token->kind != WIRE_BIN)
        return fail_kind(d, f, at);
    rc = value_check(f, &borrowed, at, d->err); /* before it is copied */
    if (rc < 0 || borrowed.len == 0)
        return malformed(rc);
    rc = allocate(d, 1, borrowed.len, at, &borrowed.ptr);
    if (rc < 0)
        return rc;
    memcpy(borrowed.ptr, token->bytes.ptr, borrowed.len);
    *out = borrowed;
    return 0;
}

static int decode_fixed(struct decoder *d, const struct field *f, const struct wire_token *token,
                        const struct field_path *at, void *out)
{
    if (token->kind != WIRE_BIN)
        return fail_kind(d, f, at);
    if (token->bytes.len != f->size)
        return field_fail(d->err, ERR_MALFORMED, at, "must be %u bytes", f->size);
    memcpy(out, token->bytes.ptr, f->size);
    return 0;
}

static int decode_id(struct decoder *d, const struct field *f, const struct wire_token *token,
                     const struct field_path *at, struct id *out)
{
    if (token->kind != WIRE_STR)
        return fail_kind(d, f, at);
    if (token->bytes.len == 0)
        return malformed(value_check(f, out, at, d->err)); /* *out is still none */
    if (id_parse(token->bytes, out) < 0)
        return field_fail(d->err, ERR_MALFORMED, at, "must be an id of %d characters 0-9a-z",
                          ID_LEN);
    return 0;
}

static int decode_unsigned(struct decoder *d, const struct field *f, const struct wire_token *token,
                           const struct field_path *at, void *out)
{
    if (token->kind != WIRE_UINT)
        return fail_kind(d, f, at);
    if (f->kind == FIELD_U32) {
        if (token->uint > UINT32_MAX)
            return field_fail(d->err, ERR_MALFORMED, at, "must be at most %u", UINT32_MAX);
        *(uint32_t *)out = (uint32_t)token->uint;
    } else {
        *(uint64_t *)out = token->uint;
    }
    return unsigned_in_range(f, token->uint) ? 0 : malformed(value_check(f, out, at, d->err));
}

static int decode_signed(struct decoder *d, const struct field *f, const struct wire_token *token,
                         const struct field_path *at, void *out)
{
    int64_t v;

    if (token->kind != WIRE_UINT && token->kind != WIRE_INT)
        return fail_kind(d, f, at);
    if (token->kind == WIRE_UINT && token->uint > INT64_MAX)
        return field_fail(d->err, ERR_MALFORMED, at, "must be at most %lld", (long long)INT64_MAX);
    v = token->kind == WIRE_UINT ? (int64_t)token->uint : token->sint;
    if (f->size == sizeof(int32_t)) {
        if (v < INT32_MIN || v > INT32_MAX)
            return field_fail(d->err, ERR_MALFORMED, at, "must be %d to %d", INT32_MIN, INT32_MAX);
        *(int32_t *)out = (int32_t)v;
    } else {
        *(int64_t *)out = v;
    }
    if (signed_in_range(f, v) && f->names == NULL)
        return 0;
    return malformed(value_check(f, out, at, d->err));
}

/* Into `out`, which is zero. */
static int decode_scalar(struct decoder *d, const struct field *f, const struct field_path *at,
                         void *out)
{
    struct wire_token token;
    int rc = next(d, at, &token);

    if (rc < 0)
        return rc;
    switch ((enum field_kind)f->kind) {
    case FIELD_BOOL:
        if (token.kind != WIRE_BOOL)
            return fail_kind(d, f, at);
        *(bool *)out = token.boolean;
        return 0;
    case FIELD_U32:
    case FIELD_U64:
        return decode_unsigned(d, f, &token, at, out);
    case FIELD_I32:
    case FIELD_I64:
    case FIELD_TIME:
    case FIELD_ENUM:
        return decode_signed(d, f, &token, at, out);
    case FIELD_F64:
        if (token.kind != WIRE_FLOAT)
            return fail_kind(d, f, at);
        *(double *)out = token.real;
        return malformed(value_check(f, out, at, d->err));
    case FIELD_STR:
        return decode_str(d, f, &token, at, out);
    case FIELD_BYTES:
        return decode_bytes(d, f, &token, at, out);
    case FIELD_FIXED:
        return decode_fixed(d, f, &token, at, out);
    case FIELD_ID:
        return decode_id(d, f, &token, at, out);
    case FIELD_STRUCT:
        break;
    }
    UNREACHABLE("decode_value descends into structs");
}

static int decode_struct(struct decoder *d, const struct fields *type, void *obj,
                         const struct field_path *at, unsigned depth);

static int decode_value(struct decoder *d, const struct field *f, const struct field_path *at,
                        unsigned depth, void *out)
{
    if (f->kind == FIELD_STRUCT)
        return decode_struct(d, f->type, out, at, depth + 1);
    return decode_scalar(d, f, at, out);
}

/* `before`: the key of the item before, or NULL. */
static int decode_key(struct decoder *d, struct field_path *at, const char *before, char **out)
{
    struct wire_token token;
    int rc = next(d, at, &token);

    if (rc < 0)
        return rc;
    if (token.kind != WIRE_STR)
        return field_fail(d->err, ERR_MALFORMED, at, "key must be a text");
    rc = key_check((const char *)token.bytes.ptr, token.bytes.len, at, d->err);
    if (rc < 0)
        return malformed(rc);
    rc = decode_text(d, token.bytes, at, out);
    if (rc < 0)
        return rc;
    at->key = *out;
    at->key_len = token.bytes.len;
    if (before != NULL && strcmp(before, *out) >= 0)
        return field_fail(d->err, ERR_MALFORMED, at, "keys are not in ascending order");
    return 0;
}

static int decode_items(struct decoder *d, const struct field *f, struct field_path *at,
                        unsigned depth, struct any_list *out)
{
    const bool is_map = f->shape == FIELD_MAP;
    struct wire_token token;
    int rc = next(d, at, &token);

    if (rc < 0)
        return rc;
    if (token.kind != (is_map ? WIRE_MAP : WIRE_ARRAY))
        return field_fail(d->err, ERR_MALFORMED, at, is_map ? "must be a map" : "must be an array");
    rc = count_check(f, token.count, at, d->err);
    if (rc < 0 || token.count == 0)
        return malformed(rc);
    rc = allocate(d, token.count, f->stride, at, &out->items);
    if (rc < 0)
        return rc;
    out->count = token.count; /* zeros so far, which are safe to free */
    for (size_t i = 0; i < out->count && rc == 0; i++) {
        if (!is_map) {
            at->index = i;
            rc = decode_value(d, f, at, depth, list_item(f, out, i));
            continue;
        }
        rc = decode_key(d, at, i == 0 ? NULL : *map_key(f, out, i - 1), map_key(f, out, i));
        if (rc == 0)
            rc = decode_value(d, f, at, depth, map_value(f, out, i));
    }
    return rc;
}

static int decode_field(struct decoder *d, const struct field *f, const struct field_path *up,
                        unsigned depth, void *obj)
{
    struct field_path at = { .up = up, .field = f, .index = NO_INDEX };
    void *member = member_of(f, obj);
    void *target;
    int rc;

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return decode_value(d, f, &at, depth, member);
    case FIELD_POINTER:
        rc = allocate(d, 1, f->size, &at, &target);
        if (rc < 0)
            return rc;
        *(void **)member = target;
        return decode_value(d, f, &at, depth, target);
    case FIELD_LIST:
    case FIELD_MAP:
        return decode_items(d, f, &at, depth, member);
    }
    UNREACHABLE("tables have no other shapes");
}

/* The row of `tag`, or UINT32_MAX. Rows come in table order, so the next one is tried first. */
static uint32_t find_row(const struct fields *type, uint64_t tag, uint32_t hint)
{
    if (hint < type->count && type->rows[hint].tag == tag)
        return hint;
    for (uint32_t i = 0; i < type->count; i++) {
        if (type->rows[i].tag == tag)
            return i;
    }
    return UINT32_MAX;
}

/* Names the first REQUIRED field that is missing; there is one. */
static int fail_required(struct decoder *d, const struct fields *type, uint64_t seen,
                         const struct field_path *up)
{
    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];
        struct field_path at = { .up = up, .field = f, .index = NO_INDEX };

        if (presence_of(f) == FIELD_REQUIRED && (seen >> i & 1) == 0)
            return field_fail(d->err, ERR_MALFORMED, &at, "is required");
    }
    UNREACHABLE("fewer were seen than the table requires");
}

static int decode_struct(struct decoder *d, const struct fields *type, void *obj,
                         const struct field_path *at, unsigned depth)
{
    uint64_t seen = 0; /* bit i: row i */
    uint32_t required = 0, hint = 0;
    struct wire_token map, tag;
    int rc;

    if (depth > FIELDS_DEPTH_MAX)
        return field_fail(d->err, ERR_TOO_LARGE, at, "is nested more than %d deep",
                          FIELDS_DEPTH_MAX);
    rc = next(d, at, &map);
    if (rc < 0)
        return rc;
    if (map.kind != WIRE_MAP)
        return field_fail(d->err, ERR_MALFORMED, at, "must be a map");
    for (size_t i = 0; i < map.count; i++) {
        uint32_t row;

        rc = next(d, at, &tag);
        if (rc < 0)
            return rc;
        if (tag.kind != WIRE_UINT)
            return field_fail(d->err, ERR_MALFORMED, at, "has a tag that is not a number");
        row = find_row(type, tag.uint, hint);
        if (row == UINT32_MAX) { /* of a newer version */
            rc = wire_skip(&d->in);
            if (rc < 0)
                return field_fail(d->err, rc, at, "unknown tag %llu: truncated or too deep",
                                  (unsigned long long)tag.uint);
            continue;
        }
        if ((seen >> row & 1) != 0)
            return field_fail(
                d->err, ERR_MALFORMED,
                &(struct field_path){ .up = at, .field = &type->rows[row], .index = NO_INDEX },
                "is given twice");
        seen |= UINT64_C(1) << row;
        required += presence_of(&type->rows[row]) == FIELD_REQUIRED;
        hint = row + 1;
        rc = decode_field(d, &type->rows[row], at, depth, obj);
        if (rc < 0)
            return rc;
    }
    if (required < type->required)
        return fail_required(d, type, seen, at);
    return type->rule == FIELDS_ALL ? 0 : malformed(struct_check(type, obj, at, d->err));
}

int fields_decode(const struct fields *type, struct slice bytes, void *obj, struct field_error *err)
{
    struct decoder d = { .in = wire_reader_of(bytes),
                         .budget = fields_alloc_budget(bytes.len),
                         .err = err };
    int rc;

    memset(obj, 0, type->size);
    rc = decode_struct(&d, type, obj, NULL, 1);
    if (rc == 0 && wire_left(&d.in) > 0)
        rc = field_fail(err, ERR_MALFORMED, NULL, "%s: %zu bytes follow its end", type->name,
                        wire_left(&d.in));
    if (rc < 0)
        fields_deinit(type, obj);
    return rc;
}
