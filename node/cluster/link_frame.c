/* node/cluster/link_frame.c - see link_frame.h. */
#include "node/cluster/link_frame.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"

enum frame_scope { FRAME_OF_LINK, FRAME_OF_CHANNEL, FRAME_OF_STREAM };

static const struct frame_rule {
    uint8_t type;
    enum frame_scope scope;
    size_t len_min, len_max;
} rules[] = {
#define FRAME_RULE(name, number, scope, min, max) { (number), scope, min, max },
    FRAME_LIST(FRAME_RULE)
#undef FRAME_RULE
};

static const struct frame_rule *find_rule(uint8_t type)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].type == type)
            return &rules[i];
    }
    return NULL;
}

int frame_decode(struct slice bytes, struct frame *out)
{
    const struct frame_rule *rule;
    unsigned channel;
    uint32_t stream;
    size_t len;

    if (bytes.len < FRAME_HEAD_LEN)
        return ERR_MALFORMED;
    rule = find_rule(bytes.ptr[0]);
    channel = bytes.ptr[1];
    stream = get_u32(bytes.ptr + 2);
    len = bytes.len - FRAME_HEAD_LEN;
    if (rule == NULL || len < rule->len_min || len > rule->len_max)
        return ERR_MALFORMED;
    if ((rule->scope == FRAME_OF_LINK) != (channel == 0) || channel > LINK_CHANNEL_MAX)
        return ERR_MALFORMED;
    if ((rule->scope == FRAME_OF_STREAM) != (stream != 0))
        return ERR_MALFORMED;
    *out = (struct frame){ .type = (enum frame_type)rule->type,
                           .channel = channel,
                           .stream = stream,
                           .body = slice_of(bytes.ptr + FRAME_HEAD_LEN, len) };
    return 0;
}

void frame_put_head(const struct frame *f, uint8_t out[FRAME_HEAD_LEN])
{
    out[0] = (uint8_t)f->type;
    out[1] = (uint8_t)f->channel;
    put_u32(out + 2, f->stream);
}

size_t frame_encode(const struct frame *f, uint8_t *out)
{
    CHECK(f->body.len <= FRAME_BODY_LEN_MAX);
    frame_put_head(f, out);
    if (f->body.len > 0)
        memcpy(out + FRAME_HEAD_LEN, f->body.ptr, f->body.len);
    return FRAME_HEAD_LEN + f->body.len;
}

static void put_number(uint8_t *out, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
}

static uint64_t get_number(const uint8_t *in, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++)
        value = value << 8 | in[i];
    return value;
}

void put_u16(uint8_t out[2], uint16_t value)
{
    put_number(out, value, 2);
}

void put_u32(uint8_t out[4], uint32_t value)
{
    put_number(out, value, 4);
}

void put_u64(uint8_t out[8], uint64_t value)
{
    put_number(out, value, 8);
}

uint16_t get_u16(const uint8_t in[2])
{
    return (uint16_t)get_number(in, 2);
}

uint32_t get_u32(const uint8_t in[4])
{
    return (uint32_t)get_number(in, 4);
}

uint64_t get_u64(const uint8_t in[8])
{
    return get_number(in, 8);
}
