/* base/fields_wire.c - Objects to msgpack and back: docs/formats/wire.md.
 *
 * Writing goes through msgpack-c's packer into a sink: a buffer, or a running hash. Reading goes
 * straight from the bytes into the object, token by token (base/wire.h), so that what is allocated
 * is only the result, and every allocation is taken from a budget first. */
#include <errno.h>
#include <msgpack/pack.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fields_impl.h"
#include "base/wire.h"

static uint64_t alloc_budget(size_t encoded_len)
{
    return FIELDS_ALLOC_BASE + (uint64_t)encoded_len * FIELDS_ALLOC_FACTOR;
}

/* --- Encode */

struct encoder {
    msgpack_packer pk;
    struct field_error *err;
    uint64_t alloc; /* what decoding the result will allocate */
    bool check;     /* off for hashing: broken objects have hashes too */
};

static int encode_struct(struct encoder *e, const struct fields *type, const void *obj,
                         const struct field_path *at, unsigned depth);

static int pack_text(struct encoder *e, const char *text, size_t len)
{
    return msgpack_pack_str_with_body(&e->pk, text, len);
}

static int encode_str(struct encoder *e, const struct field *f, const char *text)
{
    size_t len = text == NULL ? 0 : strlen(text);

    if (len > 0 || f->shape != FIELD_ONE)
        e->alloc += len + 1;
    return pack_text(e, text == NULL ? "" : text, len);
}

/* Follows its check. */
static int encode_scalar(struct encoder *e, const struct field *f, const void *value)
{
    switch ((enum field_kind)f->kind) {
    case FIELD_BOOL:
        return *(const bool *)value ? msgpack_pack_true(&e->pk) : msgpack_pack_false(&e->pk);
    case FIELD_U32:
        return msgpack_pack_uint32(&e->pk, *(const uint32_t *)value);
    case FIELD_I32:
    case FIELD_ENUM:
        return msgpack_pack_int32(&e->pk, *(const int32_t *)value);
    case FIELD_U64:
        return msgpack_pack_uint64(&e->pk, *(const uint64_t *)value);
    case FIELD_I64:
    case FIELD_TIME:
        return msgpack_pack_int64(&e->pk, *(const int64_t *)value);
    case FIELD_F64:
        return msgpack_pack_double(&e->pk, *(const double *)value + 0.0); /* -0 becomes 0 */
    case FIELD_STR:
        return encode_str(e, f, *(char *const *)value);
    case FIELD_BYTES: {
        const struct bytes *b = value;

        e->alloc += b->len;
        return msgpack_pack_bin_with_body(&e->pk, b->ptr == NULL ? (const void *)"" : b->ptr,
                                          b->len);
    }
    case FIELD_FIXED:
        return msgpack_pack_bin_with_body(&e->pk, value, f->size);
    case FIELD_ID:
        return pack_text(e, value, id_slice(value).len);
    case FIELD_STRUCT:
        break;
    }
    UNREACHABLE("encode_value descends into structs");
}

static int encode_value(struct encoder *e, const struct field *f, const void *value,
                        const struct field_path *at, unsigned depth)
{
    if (f->kind == FIELD_STRUCT)
        return encode_struct(e, f->type, value, at, depth + 1);
    if (e->check) {
        int rc = value_check(f, value, at, e->err);

        if (rc < 0)
            return rc;
    }
    return encode_scalar(e, f, value);
}

static int encode_list(struct encoder *e, const struct field *f, const struct any_list *list,
                       struct field_path *at, unsigned depth)
{
    int rc = msgpack_pack_array(&e->pk, list->count);

    for (at->index = 0; at->index < list->count && rc == 0; at->index++)
        rc = encode_value(e, f, list_item(f, list, at->index), at, depth);
    return rc;
}

static int encode_map(struct encoder *e, const struct field *f, const struct any_list *map,
                      struct field_path *at, unsigned depth)
{
    const char *before = NULL;
    int rc = msgpack_pack_map(&e->pk, map->count);

    for (size_t i = 0; i < map->count && rc == 0; i++) {
        at->key = *map_key(f, map, i);
        at->key_len = strlen(at->key);
        e->alloc += at->key_len + 1;
        if (e->check) {
            if (before != NULL && strcmp(before, at->key) >= 0)
                return field_fail(e->err, ERR_INVALID, at, "keys are not in ascending order");
            rc = key_check(at->key, at->key_len, at, e->err);
            if (rc < 0)
                return rc;
        }
        before = at->key;
        rc = pack_text(e, at->key, at->key_len);
        if (rc == 0)
            rc = encode_value(e, f, map_value(f, map, i), at, depth);
    }
    return rc;
}

static int encode_items(struct encoder *e, const struct field *f, const struct any_list *list,
                        struct field_path *at, unsigned depth)
{
    if (e->check) {
        int rc = count_check(f, list->count, at, e->err);

        if (rc < 0)
            return rc;
    }
    e->alloc += (uint64_t)list->count * f->stride;
    return f->shape == FIELD_LIST ? encode_list(e, f, list, at, depth)
                                  : encode_map(e, f, list, at, depth);
}

static int encode_field(struct encoder *e, const struct field *f, const void *obj,
                        const struct field_path *up, unsigned depth)
{
    struct field_path at = { .up = up, .field = f, .index = NO_INDEX };
    const void *member = member_const(f, obj);

    switch ((enum field_shape)f->shape) {
    case FIELD_ONE:
        return encode_value(e, f, member, &at, depth);
    case FIELD_POINTER:
        e->alloc += f->size;
        member = *(void *const *)member;
        /* A REQUIRED one that is missing fails its check; a hash goes on without it. */
        return member == NULL ? msgpack_pack_nil(&e->pk) : encode_value(e, f, member, &at, depth);
    case FIELD_LIST:
    case FIELD_MAP:
        return encode_items(e, f, member, &at, depth);
    }
    UNREACHABLE("tables have no other shapes");
}

static int encode_struct(struct encoder *e, const struct fields *type, const void *obj,
                         const struct field_path *at, unsigned depth)
{
    uint64_t present = 0; /* bit i: row i */
    int rc = 0;

    if (depth > FIELDS_DEPTH_MAX)
        return field_fail(e->err, ERR_TOO_LARGE, at, "is nested more than %d deep",
                          FIELDS_DEPTH_MAX);
    if (e->check)
        rc = struct_check(type, obj, at, e->err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];

        if (presence_of(f) == FIELD_REQUIRED || !field_is_zero(f, obj))
            present |= UINT64_C(1) << i;
    }
    rc = msgpack_pack_map(&e->pk, (size_t)__builtin_popcountll(present));
    for (; present != 0 && rc == 0; present &= present - 1) {
        const struct field *f = &type->rows[__builtin_ctzll(present)];

        rc = msgpack_pack_uint16(&e->pk, f->tag);
        if (rc == 0)
            rc = encode_field(e, f, obj, at, depth);
    }
    return rc;
}

static int write_to_buf(void *data, const char *bytes, size_t len)
{
    return buf_append(data, bytes, len);
}

int fields_encode(const struct fields *type, const void *obj, struct buf *out,
                  struct field_error *err)
{
    size_t before = out->len;
    struct encoder e = { .err = err, .check = true };
    int rc;

    msgpack_packer_init(&e.pk, out, write_to_buf);
    if (err != NULL)
        err->text[0] = '\0';
    rc = encode_struct(&e, type, obj, NULL, 1);
    if (rc == 0 && e.alloc > alloc_budget(out->len - before))
        rc = ERR_TOO_LARGE;
    if (rc == 0)
        return 0;
    if (err != NULL && err->text[0] == '\0')
        (void)field_fail(err, rc, NULL, "%s: %s", type->name,
                         rc == ERR_TOO_LARGE ? "is too large to be encoded" : err_text(rc));
    if (out->len > before) { /* a part of the object may hold secrets */
        sodium_memzero(out->ptr + before, out->len - before);
        out->len = before;
    }
    return rc;
}

/* FNV-1a, 64 bits. */
static int write_to_hash(void *data, const char *bytes, size_t len)
{
    uint64_t *hash = data;

    for (size_t i = 0; i < len; i++)
        *hash = (*hash ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3);
    return 0;
}

uint64_t fields_hash(const struct fields *type, const void *obj)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    struct encoder e = { .check = false };

    msgpack_packer_init(&e.pk, &hash, write_to_hash);
    (void)encode_struct(&e, type, obj, NULL, 1); /* too deep: the hash of what is not */
    return hash;
}

/* --- Decode */

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
    return malformed(value_check(f, out, at, d->err));
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

static int check_required(struct decoder *d, const struct fields *type, uint64_t seen,
                          const struct field_path *up)
{
    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];
        struct field_path at = { .up = up, .field = f, .index = NO_INDEX };

        if (presence_of(f) == FIELD_REQUIRED && (seen >> i & 1) == 0)
            return field_fail(d->err, ERR_MALFORMED, &at, "is required");
    }
    return 0;
}

static int decode_struct(struct decoder *d, const struct fields *type, void *obj,
                         const struct field_path *at, unsigned depth)
{
    uint64_t seen = 0; /* bit i: row i */
    uint32_t hint = 0;
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
        hint = row + 1;
        rc = decode_field(d, &type->rows[row], at, depth, obj);
        if (rc < 0)
            return rc;
    }
    rc = check_required(d, type, seen, at);
    return rc < 0 ? rc : malformed(struct_check(type, obj, at, d->err));
}

int fields_decode(const struct fields *type, struct slice bytes, void *obj, struct field_error *err)
{
    struct decoder d = { .in = wire_reader_of(bytes),
                         .budget = alloc_budget(bytes.len),
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
