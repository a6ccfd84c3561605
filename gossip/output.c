/* Until output_finish(), a slice's ptr is not set: its bytes lie in order in the buffers. */
#include "gossip/output.h"

#include <stdlib.h>
#include <string.h>

#define PACKET_BYTES_MAX  ((size_t)GOSSIP_PACKETS_OUT_MAX * GOSSIP_PACKET_LEN_MAX)
#define STREAM_BYTES_MAX  (64 * MIB)
#define STREAM_BYTES_KEPT (64 * KIB) /* memory of a large exchange is given back */
#define NOTICES_MAX       (1u << 20)

void output_init(struct output *o)
{
    memset(o, 0, sizeof(*o));
    buf_init(&o->packet_bytes, PACKET_BYTES_MAX);
    buf_init(&o->stream_bytes, STREAM_BYTES_MAX);
}

void output_clear(struct output *o, struct gossip_pool *pool)
{
    for (size_t i = 0; i < o->notice_count; i++)
        blob_unref(pool, o->notice_meta[i]);
    o->packet_count = o->stream_count = o->notice_count = 0;
    buf_clear(&o->packet_bytes);
    buf_clear(&o->stream_bytes);
    if (o->stream_bytes.cap > STREAM_BYTES_KEPT)
        buf_deinit(&o->stream_bytes);
}

void output_deinit(struct output *o, struct gossip_pool *pool)
{
    output_clear(o, pool);
    buf_deinit(&o->packet_bytes);
    buf_deinit(&o->stream_bytes);
    free(o->streams);
    free(o->notices);
    free(o->notice_meta);
}

bool output_packet(struct output *o, const struct gossip_addr *to, struct slice bytes)
{
    if (o->packet_count == GOSSIP_PACKETS_OUT_MAX || buf_append_slice(&o->packet_bytes, bytes) < 0)
        return false;
    o->packets[o->packet_count++] =
        (struct gossip_packet){ .to = *to, .bytes = { .len = bytes.len } };
    return true;
}

bool output_stream(struct output *o, const struct gossip_stream_op *op)
{
    if (o->stream_count == o->stream_cap) {
        size_t cap = o->stream_cap == 0 ? 4 : o->stream_cap * 2;
        struct gossip_stream_op *streams = realloc(o->streams, cap * sizeof(*streams));

        if (streams == NULL)
            return false;
        o->streams = streams;
        o->stream_cap = cap;
    }
    if (op->bytes.len > 0 && buf_append_slice(&o->stream_bytes, op->bytes) < 0)
        return false;
    o->streams[o->stream_count] = *op;
    o->streams[o->stream_count++].bytes.ptr = NULL;
    return true;
}

static bool grow_notices(struct output *o)
{
    size_t cap = o->notice_cap == 0 ? 4 : o->notice_cap * 2;
    struct gossip_notice *notices = realloc(o->notices, cap * sizeof(*notices));
    struct blob **meta;

    if (notices == NULL)
        return false;
    o->notices = notices;
    meta = realloc(o->notice_meta, cap * sizeof(struct blob *));
    if (meta == NULL)
        return false;
    o->notice_meta = meta;
    o->notice_cap = cap;
    return true;
}

bool output_notice(struct output *o, const struct gossip_notice *notice, struct blob *meta)
{
    if (o->notice_count == NOTICES_MAX || (o->notice_count == o->notice_cap && !grow_notices(o)))
        return false;
    o->notices[o->notice_count] = *notice;
    o->notices[o->notice_count].meta = blob_slice(meta);
    o->notice_meta[o->notice_count++] = meta == NULL ? NULL : blob_ref(meta);
    return true;
}

void output_finish(struct output *o, mono_ns deadline, struct gossip_output *out)
{
    size_t at = 0;

    for (size_t i = 0; i < o->packet_count; i++) {
        o->packets[i].bytes.ptr = o->packet_bytes.ptr + at;
        at += o->packets[i].bytes.len;
    }
    at = 0;
    for (size_t i = 0; i < o->stream_count; i++) {
        if (o->streams[i].bytes.len > 0)
            o->streams[i].bytes.ptr = o->stream_bytes.ptr + at;
        at += o->streams[i].bytes.len;
    }
    *out = (struct gossip_output){
        .packets = o->packets,
        .packet_count = o->packet_count,
        .streams = o->streams,
        .stream_count = o->stream_count,
        .notices = o->notices,
        .notice_count = o->notice_count,
        .deadline = deadline,
    };
}
