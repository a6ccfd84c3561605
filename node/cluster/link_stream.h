/* node/cluster/link_stream.h - The inside of a stream, for link_mux.c. Pure.
 *
 * Each direction ends by itself (finish) or both at once (reset). The stream leaves the
 * table when both have finished, when a reset was sent or received, or with the link. */
#ifndef NODE_CLUSTER_LINK_STREAM_H
#define NODE_CLUSTER_LINK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "node/cluster/link.h"
#include "node/cluster/link_frame.h"
#include "node/cluster/link_queue.h"

struct link_mux;

struct link_stream {
    struct link_mux *mux;
    struct list all, ready, urgent; /* in the lists of struct link_mux */
    uint32_t id;                    /* 0 until the peer is told */
    enum link_channel channel;
    bool is_opened_here;
    bool is_gone; /* the owner's handle has ended: no callback any more */
    struct link_stream_callbacks callbacks;
    void *ctx;

    /* What we send: the header (until is_open_sent), then data, then the end. */
    struct link_queue queue;
    size_t header_len;
    uint32_t credit; /* bytes that the peer has room for */
    bool is_open_sent;
    bool is_finishing;
    bool is_finish_sent;
    bool wants_room; /* a write was refused */
    int32_t finish_status;

    /* What we receive: window + lent + owed == LINK_STREAM_WINDOW */
    uint32_t window; /* the peer may still send */
    uint32_t lent;   /* delivered, not consumed */
    uint32_t owed;   /* consumed, credit not yet sent */
    bool is_finish_received;

    bool is_reset_due; /* tell the peer, then go */
    int32_t reset_status;
};

/* A stream in the lists of `mux`, or NULL: out of memory. */
struct link_stream *link_stream_new(struct link_mux *mux, enum link_channel channel,
                                    bool is_opened_here);

/* Takes the stream out of every list, tells the owner if he does not know, frees. */
void link_stream_close(struct link_stream *s, int reason);

/* The next frame of the stream in order: open, data or finish. The stream is in its `ready` list.
 * May close the stream. Returns its length; 0 when the stream could not be opened. */
size_t link_stream_next(struct link_stream *s, uint8_t *out);

/* The next frame that may overtake: credit or reset. The stream is in its `urgent` list. */
size_t link_stream_next_urgent(struct link_stream *s, uint8_t *out);

/* A frame of the peer for this stream.  ERR_MALFORMED */
NODISCARD int link_stream_receive(struct link_stream *s, const struct frame *f);

#endif /* NODE_CLUSTER_LINK_STREAM_H */
