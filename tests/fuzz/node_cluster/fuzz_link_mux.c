/* A whole conversation with a hostile peer: each input is a series of records { length u16, frame
 * }, fed to a multiplexer whose owner echoes, keeps, refuses and resets by the first byte of what
 * it gets. Whatever comes, limits hold, every stream ends once, and what is sent is well formed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_mux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t opened, closed;

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    (void)ctx;
    switch (data.ptr[0] % 5) {
    case 0:
        CHECK(link_stream_write(s, data) <= 0); /* it may be full */
        link_stream_consume(s, data.len);
        break;
    case 1:
        link_stream_finish(s, data.ptr[0]);
        break;
    case 2:
        link_stream_reset(s, ERR_CLOSED);
        closed++; /* no callback follows */
        break;
    case 3:
        link_stream_consume(s, data.len);
        break;
    default:
        break; /* keeps it: the window stays smaller */
    }
}

static void on_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    link_stream_finish(s, status);
}

static void on_closed(void *ctx, struct link_stream *s, int reason)
{
    (void)ctx;
    (void)s;
    (void)reason;
    closed++;
}

static const struct link_stream_callbacks callbacks = { .on_data = on_data,
                                                        .on_finish = on_finish,
                                                        .on_closed = on_closed };

static int on_message(void *ctx, enum link_channel channel, struct slice message)
{
    struct link_mux *m = *(struct link_mux **)ctx;

    CHECK(message.len <= LINK_MESSAGE_LEN_MAX);
    return message.len < 64 ? link_mux_send(m, channel, message) : 0;
}

static int on_stream(void *ctx, enum link_channel channel, struct slice header,
                     struct link_stream *stream)
{
    struct link_mux *m = *(struct link_mux **)ctx;

    if (header.len > 0 && header.ptr[0] % 4 == 0)
        return ERR_FORBIDDEN;
    link_stream_accept(stream, &callbacks, NULL);
    opened++;
    if (header.len > 0 && header.ptr[0] % 4 == 1) { /* one of our own, too */
        struct link_stream *own;

        if (link_mux_open(m, channel, header, &callbacks, NULL, &own) == 0)
            opened++;
    }
    return 0;
}

static void on_sendable(void *ctx)
{
    (void)ctx;
}

static void send_all(struct link_mux *m)
{
    static uint8_t bytes[FRAME_LEN_MAX];
    struct frame f;
    size_t len;

    while ((len = link_mux_next(m, bytes)) > 0)
        CHECK(frame_decode(slice_of(bytes, len), &f) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct link_mux *m = malloc(sizeof(*m));
    const struct link_mux_events events = {
        .ctx = &m, .on_message = on_message, .on_stream = on_stream, .on_sendable = on_sendable
    };
    int rc = 0;

    CHECK(m != NULL);
    opened = closed = 0;
    link_mux_init(m, &events, &(struct hash_seed){ .key = { 1 } });
    link_mux_attach(m, len > 0 && data[0] % 2 == 0);
    for (size_t at = 1; rc == 0 && at + 2 <= len;) {
        size_t record = get_u16(data + at);
        struct frame f;

        at += 2;
        record = MIN(record, len - at);
        if (frame_decode(slice_of(data + at, record), &f) == 0 && f.channel != 0)
            rc = link_mux_receive(m, &f);
        at += record;
        if (record % 3 == 0)
            send_all(m);
    }
    CHECK(m->opened_there <= STREAMS_MAX && m->opened_here <= STREAMS_MAX);
    link_mux_abort(m, ERR_CLOSED);
    CHECK(opened == closed);
    link_mux_deinit(m);
    free(m);
    return 0;
}
