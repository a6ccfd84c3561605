/* base/fields_encode.c - Objects to msgpack, into a buffer or a running hash:
 * docs/formats/wire.md. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fields_impl.h"
#include "base/wire_write.h"

struct encoder {
    struct wire_writer w;
    struct field_error *err;
    uint64_t alloc; /* what decoding the result will allocate */
    bool check;     /* off for hashing: broken objects have hashes too */
};

static int encode_struct(struct encoder *e, const struct fields *type, const void *obj,
                         const struct field_path *at, unsigned depth);

static int put_text(struct encoder *e, const char *text, size_t len)
{
    int rc = wire_put_str(&e->w, len);

    return rc == 0 ? wire_append(&e->w, text, len) : rc;
}

static int put_bytes(struct encoder *e, const void *bytes, size_t len)
{
    int rc = wire_put_bin(&e->w, len);

    return rc == 0 ? wire_append(&e->w, bytes, len) : rc;
}

static int check_slowly(struct encoder *e, const struct field *f, const void *value,
                        const struct field_path *at)
{
    return e->check ? value_check(f, value, at, e->err) : 0;
}

static int encode_unsigned(struct encoder *e, const struct field *f, uint64_t v, const void *value,
                           const struct field_path *at)
{
    int rc = unsigned_in_range(f, v) ? 0 : check_slowly(e, f, value, at);

    return rc == 0 ? wire_put_uint64(&e->w, v) : rc;
}

static int encode_signed(struct encoder *e, const struct field *f, int64_t v, const void *value,
                         const struct field_path *at)
{
    int rc = signed_in_range(f, v) && f->names == NULL ? 0 : check_slowly(e, f, value, at);

    return rc == 0 ? wire_put_int64(&e->w, v) : rc;
}

static int encode_str(struct encoder *e, const struct field *f, const char *text,
                      const struct field_path *at)
{
    size_t len = text == NULL ? 0 : strlen(text);
    int rc = e->check ? text_check(f, slice_of(text, len), at, e->err) : 0;

    if (rc < 0)
        return rc;
    if (len > 0 || f->shape != FIELD_ONE)
        e->alloc += len + 1;
    return put_text(e, text == NULL ? "" : text, len);
}

static int encode_value(struct encoder *e, const struct field *f, const void *value,
                        const struct field_path *at, unsigned depth)
{
    int rc;

    switch ((enum field_kind)f->kind) {
    case FIELD_BOOL:
        return *(const bool *)value ? wire_put_true(&e->w) : wire_put_false(&e->w);
    case FIELD_U32:
        return encode_unsigned(e, f, *(const uint32_t *)value, value, at);
    case FIELD_U64:
        return encode_unsigned(e, f, *(const uint64_t *)value, value, at);
    case FIELD_I32:
    case FIELD_ENUM:
        return encode_signed(e, f, *(const int32_t *)value, value, at);
    case FIELD_I64:
    case FIELD_TIME:
        return encode_signed(e, f, *(const int64_t *)value, value, at);
    case FIELD_F64:
        rc = check_slowly(e, f, value, at);
        return rc == 0 ? wire_put_double(&e->w, *(const double *)value + 0.0) : rc; /* no -0 */
    case FIELD_STR:
        return encode_str(e, f, *(char *const *)value, at);
    case FIELD_BYTES: {
        const struct bytes *b = value;

        e->alloc += b->len;
        rc = check_slowly(e, f, value, at);
        return rc == 0 ? put_bytes(e, b->ptr, b->len) : rc;
    }
    case FIELD_FIXED:
        return put_bytes(e, value, f->size);
    case FIELD_ID:
        rc = check_slowly(e, f, value, at);
        return rc == 0 ? put_text(e, value, id_slice(value).len) : rc;
    case FIELD_STRUCT:
        return encode_struct(e, f->type, value, at, depth + 1);
    }
    UNREACHABLE("tables have no other kinds");
}

static int encode_list(struct encoder *e, const struct field *f, const struct any_list *list,
                       struct field_path *at, unsigned depth)
{
    int rc = wire_put_array(&e->w, list->count);

    for (at->index = 0; at->index < list->count && rc == 0; at->index++)
        rc = encode_value(e, f, list_item(f, list, at->index), at, depth);
    return rc;
}

static int encode_map(struct encoder *e, const struct field *f, const struct any_list *map,
                      struct field_path *at, unsigned depth)
{
    const char *before = NULL;
    int rc = wire_put_map(&e->w, map->count);

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
        rc = put_text(e, at->key, at->key_len);
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
        member = *(void *const *)member;
        if (member != NULL) {
            e->alloc += f->size;
            return encode_value(e, f, member, &at, depth);
        }
        if (e->check) /* only what is REQUIRED comes here without a value */
            return field_fail(e->err, ERR_INVALID, &at, "is required");
        return wire_put_nil(&e->w);
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
    int rc;

    if (depth > FIELDS_DEPTH_MAX)
        return field_fail(e->err, ERR_TOO_LARGE, at, "is nested more than %d deep",
                          FIELDS_DEPTH_MAX);
    if (e->check && type->rule != FIELDS_ALL) {
        rc = struct_check(type, obj, at, e->err);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < type->count; i++) {
        const struct field *f = &type->rows[i];

        if (presence_of(f) == FIELD_REQUIRED || !field_is_zero(f, obj))
            present |= UINT64_C(1) << i;
    }
    rc = wire_put_map(&e->w, (size_t)__builtin_popcountll(present));
    for (; present != 0 && rc == 0; present &= present - 1) {
        const struct field *f = &type->rows[__builtin_ctzll(present)];

        rc = wire_put_uint16(&e->w, f->tag);
        if (rc == 0)
            rc = encode_field(e, f, obj, at, depth);
    }
    return rc;
}

/* --- Into a buffer: the window is what the buffer has room for. */

struct buf_encoder {
    struct encoder e;
    struct buf *out;
};

static void open_window(struct wire_writer *w, struct buf *out)
{
    w->pos = out->ptr == NULL ? NULL : out->ptr + out->len;
    w->end = out->ptr == NULL ? NULL : out->ptr + out->cap;
}

static void close_window(const struct wire_writer *w, struct buf *out)
{
    if (out->ptr != NULL)
        out->len = (size_t)(w->pos - out->ptr);
}

static int flush_to_buf(struct wire_writer *w, const void *bytes, size_t len)
{
    struct buf *out = CONTAINER_OF(w, struct buf_encoder, e.w)->out;
    int rc;

    close_window(w, out);
    rc = buf_append(out, bytes, len);
    open_window(w, out);
    return rc;
}

int fields_encode(const struct fields *type, const void *obj, struct buf *out,
                  struct field_error *err)
{
    struct buf_encoder b = { .e = { .w.flush = flush_to_buf, .err = err, .check = true },
                             .out = out };
    size_t before = out->len;
    int rc;

    if (err != NULL)
        err->text[0] = '\0';
    open_window(&b.e.w, out);
    rc = encode_struct(&b.e, type, obj, NULL, 1);
    close_window(&b.e.w, out);
    if (rc == 0 && b.e.alloc > fields_alloc_budget(out->len - before))
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

/* --- Into a hash: FNV-1a, 64 bits, of each window that was filled. */

struct hash_encoder {
    struct encoder e;
    uint64_t hash;
    uint8_t window[256];
};

static void hash_bytes_in(struct hash_encoder *h, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h->hash = (h->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static int flush_to_hash(struct wire_writer *w, const void *bytes, size_t len)
{
    struct hash_encoder *h = CONTAINER_OF(w, struct hash_encoder, e.w);

    hash_bytes_in(h, h->window, (size_t)(w->pos - h->window));
    hash_bytes_in(h, bytes, len);
    w->pos = h->window;
    return 0;
}

uint64_t fields_hash(const struct fields *type, const void *obj)
{
    struct hash_encoder h = { .e.w.flush = flush_to_hash, .hash = UINT64_C(0xcbf29ce484222325) };

    h.e.w.pos = h.window;
    h.e.w.end = h.window + sizeof(h.window);
    (void)encode_struct(&h.e, type, obj, NULL, 1); /* too deep: the hash of what is not */
    (void)flush_to_hash(&h.e.w, NULL, 0);          /* cannot fail */
    return h.hash;
}
