/* node/cluster/link_mux.h - Messages and streams of one peer, multiplexed into frames. Pure.
 *
 * Knows no socket, no clock and no keys: frames of the peer go in, frames for the peer come
 * out one at a time, each chosen when there is room for it (node/cluster/link_sched.h). The
 * same code runs over a sealed connection, between two of these in one process for what a
 * node sends to itself, and in tests.
 *
 *     link_mux_send(), link_mux_open()         any time
 *     link_mux_attach()                        a link exists; from now on:
 *     link_mux_receive(m, &frame)              for each frame of a channel or stream
 *     while ((len = link_mux_next(m, out)))    send it
 *     link_mux_abort(m, reason)                the link is lost, or will not come
 *
 * Callbacks come out of receive, next and abort only. None of these may be called from a callback,
 * everything else may. */
#ifndef NODE_CLUSTER_LINK_MUX_H
#define NODE_CLUSTER_LINK_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"
#include "node/cluster/link.h"
#include "node/cluster/link_frame.h"
#include "node/cluster/link_queue.h"
#include "node/cluster/link_sched.h"

struct link_mux_events {
    void *ctx;
    /* Returns < 0 to end the link. */
    int (*on_message)(void *ctx, enum link_channel channel, struct slice message);
    /* Accepts with link_stream_accept() and returns 0, or the status to reset with. */
    int (*on_stream)(void *ctx, enum link_channel channel, struct slice header,
                     struct link_stream *stream);
    /* There is something to send, for link_mux_next(). */
    void (*on_sendable)(void *ctx);
};

struct link_mux_channel {
    struct link_queue messages;
    struct list ready;    /* struct link_stream.ready: have something to send in order */
    bool is_streams_turn; /* when both wait, they alternate */
    struct buf assembly;  /* of the message now arriving in pieces */
    size_t assembly_len;  /* its whole length; 0: none is arriving */
};

struct link_mux {
    struct link_mux_events events;
    bool is_attached;
    uint32_t next_id;   /* of the next stream opened here: odd for the dialler */
    uint32_t last_id;   /* of the peer's latest stream; the other parity */
    size_t opened_here; /* streams alive, by who opened them: each <= STREAMS_MAX */
    size_t opened_there;
    struct list streams; /* struct link_stream.all */
    struct list urgent;  /* struct link_stream.urgent: credit or a reset to send */
    struct map by_id;    /* streams that the peer knows or is about to */
    struct link_sched sched;
    struct link_mux_channel channels[LINK_CHANNEL_MAX + 1]; /* [0] is unused */
};

/* Copies. `seed` keys a table of numbers that the peer chooses. */
void link_mux_init(struct link_mux *m, const struct link_mux_events *events,
                   const struct hash_seed *seed);
void link_mux_deinit(struct link_mux *m); /* nothing may be open: link_mux_abort() */

void link_mux_attach(struct link_mux *m, bool is_dialler);

/* As link_send() and link_stream_open(), without ERR_UNAVAILABLE. */
NODISCARD int link_mux_send(struct link_mux *m, enum link_channel channel, struct slice message);
NODISCARD int link_mux_open(struct link_mux *m, enum link_channel channel, struct slice header,
                            const struct link_stream_callbacks *callbacks, void *ctx,
                            struct link_stream **out);

/* One frame from the peer. Any error ends the link.
 *   ERR_MALFORMED  no honest peer sends that now
 *   ERR_FULL       more streams than STREAMS_MAX
 *   -ENOMEM, or what on_message returned */
NODISCARD int link_mux_receive(struct link_mux *m, const struct frame *f);

/* The next frame to send, into `out` with room for FRAME_LEN_MAX; 0: nothing now. */
size_t link_mux_next(struct link_mux *m, uint8_t *out);

bool link_mux_is_sendable(const struct link_mux *m);
bool link_mux_is_empty(const struct link_mux *m); /* no streams, nothing queued */

/* Ends all streams with `reason`, drops all queues, detaches. Usable again. */
void link_mux_abort(struct link_mux *m, int reason);

size_t link_mux_queued(const struct link_mux *m);  /* bytes */
size_t link_mux_streams(const struct link_mux *m); /* open here */

#endif /* NODE_CLUSTER_LINK_MUX_H */
