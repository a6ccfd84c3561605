/* Bytes in, bytes out. Nothing here knows what a message means. */
#include "gossip/wire.h"

#include <sodium.h>
#include <string.h>

#include "base/check.h"

struct reader reader_of(struct slice bytes)
{
    return (struct reader){ .ptr = bytes.ptr, .left = bytes.len };
}

struct slice read_bytes(struct reader *r, size_t len)
{
    struct slice out = { 0 };

    if (r->bad || len > r->left) {
        r->bad = true;
        return out;
    }
    out = slice_of(r->ptr, len);
    if (len > 0) {
        r->ptr += len;
        r->left -= len;
    }
    return out;
}

struct slice read_rest(struct reader *r)
{
    return read_bytes(r, r->bad ? 0 : r->left);
}

static uint64_t read_be(struct reader *r, size_t len)
{
    struct slice bytes = read_bytes(r, len);
    uint64_t v = 0;

    for (size_t i = 0; i < bytes.len; i++)
        v = v << 8 | bytes.ptr[i];
    return v;
}

uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_be(r, 1);
}

uint16_t read_u16(struct reader *r)
{
    return (uint16_t)read_be(r, 2);
}

uint32_t read_u32(struct reader *r)
{
    return (uint32_t)read_be(r, 4);
}

uint64_t read_u64(struct reader *r)
{
    return read_be(r, 8);
}

struct writer writer_of(uint8_t *ptr, size_t cap)
{
    return (struct writer){ .ptr = ptr, .cap = cap };
}

size_t writer_room(const struct writer *w)
{
    return w->cap - w->len;
}

void write_bytes(struct writer *w, struct slice bytes)
{
    if (w->full || bytes.len > writer_room(w)) {
        w->full = true;
        return;
    }
    if (bytes.len > 0)
        memcpy(w->ptr + w->len, bytes.ptr, bytes.len);
    w->len += bytes.len;
}

static void write_be(struct writer *w, uint64_t v, size_t len)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
    write_bytes(w, slice_of(bytes, len));
}

void write_u8(struct writer *w, uint8_t v)
{
    write_be(w, v, 1);
}

void write_u16(struct writer *w, uint16_t v)
{
    write_be(w, v, 2);
}

void write_u32(struct writer *w, uint32_t v)
{
    write_be(w, v, 4);
}

void write_u64(struct writer *w, uint64_t v)
{
    write_be(w, v, 8);
}

bool write_message(struct writer *w, enum message_type type, struct slice a, struct slice b)
{
    size_t len = a.len + b.len;

    CHECK(len <= UINT16_MAX);
    if (MESSAGE_HEADER_LEN + len > writer_room(w))
        return false;
    write_u8(w, (uint8_t)type);
    write_u16(w, (uint16_t)len);
    write_bytes(w, a);
    write_bytes(w, b);
    return true;
}

bool read_message(struct reader *r, uint8_t *out_type, struct slice *out_body)
{
    if (r->bad || r->left == 0)
        return false;
    *out_type = read_u8(r);
    *out_body = read_bytes(r, read_u16(r));
    return !r->bad;
}

/* Bodies of fixed width; what a later version appends is ignored. */
#define MESSAGE_WRITE_MEMBER(kind, member) write_##kind(&body, m->member);
#define MESSAGE_READ_MEMBER(kind, member)  m.member = read_##kind(&r);
#define MESSAGE_DEFINE(name, type, fields)                                           \
    void write_##name(struct writer *w, const struct message_##name *m)              \
    {                                                                                \
        uint8_t bytes[sizeof(*m)];                                                   \
        struct writer body = writer_of(bytes, sizeof(bytes));                        \
                                                                                     \
        fields(MESSAGE_WRITE_MEMBER);                                                \
        if (!write_message(w, type, slice_of(bytes, body.len), (struct slice){ 0 })) \
            w->full = true;                                                          \
    }                                                                                \
    bool read_##name(struct slice bytes, struct message_##name *out)                 \
    {                                                                                \
        struct reader r = reader_of(bytes);                                          \
        struct message_##name m;                                                     \
                                                                                     \
        fields(MESSAGE_READ_MEMBER);                                                 \
        if (r.bad)                                                                   \
            return false;                                                            \
        *out = m;                                                                    \
        return true;                                                                 \
    }
MESSAGES(MESSAGE_DEFINE)

node_ref node_ref_of(const struct id *id)
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    struct reader r = reader_of(slice_of(hash, sizeof(hash)));
    node_ref ref;

    (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)id->text, ID_LEN, NULL,
                             0); /* fails only for lengths that are not these */
    ref = read_u64(&r);
    return ref == 0 ? 1 : ref;
}
