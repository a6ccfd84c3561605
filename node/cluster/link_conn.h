/* node/cluster/link_conn.h - One connection: TCP, handshake, sealed records, signs of life.
 *
 * Carries frames; what they mean is its owner's business. The owner is told, in this order:
 *
 *     on_hello    the peer has shown itself: admit it, or return the error that it is told
 *     on_open     frames may go
 *     on_frame    a frame of the peer; < 0 ends the connection with that reason
 *     next_frame  room for one more frame: write it, or return 0
 *     on_tick     about once a second while open; < 0 ends the connection
 *     on_down     it is over: exactly once, whatever happened before
 *     on_released its memory goes now; nothing may touch it afterwards
 *
 * on_down may be the first of them. After conn_close() or conn_end() only on_released follows.
 * Rekeying, pings and the last goodbye are done here. */
#ifndef NODE_CLUSTER_LINK_CONN_H
#define NODE_CLUSTER_LINK_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <uv.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/noise.h"
#include "node/cluster/link_frame.h"
#include "node/cluster/link_msg.h"

struct conn;

struct conn_events {
    int (*on_hello)(void *ctx, struct conn *c, const struct link_hello *hello);
    void (*on_open)(void *ctx, struct conn *c);
    int (*on_frame)(void *ctx, struct conn *c, const struct frame *f);
    size_t (*next_frame)(void *ctx, struct conn *c, uint8_t *out);
    int (*on_tick)(void *ctx, struct conn *c, mono_ns now);
    void (*on_down)(void *ctx, struct conn *c, int reason);
    void (*on_released)(void *ctx, struct conn *c);
};

/* Buffers of all connections of one owner: only one is being read or written at any moment, so
 * an idle connection holds none. */
struct conn_scratch {
    uint8_t in[64 * KIB];
    uint8_t out[WRITE_LEN + RECORD_OVERHEAD + FRAME_LEN_MAX];
};

/* What connections of one owner have in common. Outlives them. */
struct conn_shared {
    uv_loop_t *loop;
    const struct conn_events *events;
    void *ctx;
    const struct identity *identity; /* ours; may change between calls */
    struct conn_scratch *scratch;
    uint64_t rekey_len; /* bytes sent under one key */
    uint64_t *rekey_count;
    size_t conn_count; /* not released yet */
};

enum conn_state {
    CONN_CONNECTING,      /* dialler: for TCP */
    CONN_AWAITING_OFFER,  /* responder: for message 1 */
    CONN_AWAITING_HELLO,  /* dialler: for message 2 */
    CONN_AWAITING_REPLY,  /* responder: for message 3 */
    CONN_AWAITING_ACCEPT, /* dialler: for the first record */
    CONN_OPEN,
    CONN_LINGERING, /* for the last bytes to leave */
    CONN_CLOSED,    /* for libuv to let go of the handles */
};

struct conn {
    struct conn_shared *shared;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    unsigned open_handles;
    enum conn_state state;
    bool is_dialler;
    enum link_purpose purpose; /* the dialler's */
    struct sockaddr_storage address;
    char address_text[LINK_ADDRESS_LEN];
    mono_ns deadline; /* closes with ERR_TIMEOUT then; MONO_NEVER */
    mono_ns wake;     /* when the timer should fire */
    bool is_told;     /* the reason of on_down is what the peer said */

    struct noise_handshake noise; /* until the state is past it */
    struct noise_cipher send, receive;
    uint8_t handshake_hash[NOISE_HASH_LEN];
    uint8_t static_key[NOISE_KEY_LEN]; /* the peer's, proven */

    struct buf in;  /* the beginning of a record that has not all arrived */
    struct buf out; /* what the kernel would not take yet */
    bool is_writing;

    bool accept_due, ping_due, pong_due, close_due; /* frames of our own to send */
    uint64_t pong_value;
    int32_t close_code;

    mono_ns last_received, last_ping; /* last_ping: also the value that the pong must bring */
    bool is_ping_out;
    mono_ns rtt; /* smoothed; 0 = unknown */
    mono_ns rekeyed;
    uint64_t sent_since_rekey;
    uint64_t bytes_in, bytes_out;

    /* The owner's. */
    struct list link;
    void *owner;
    struct cert cert;    /* what the peer showed, once admitted */
    enum node_role role; /* what it was granted */
};

/* Starts to connect. A failure later is reported by on_down.  Negative errno, -ENOMEM */
NODISCARD int conn_dial(struct conn_shared *shared, const struct sockaddr *address,
                        enum link_purpose purpose, struct conn **out);

/* Takes one waiting connection of `listener`. */
NODISCARD int conn_accept(struct conn_shared *shared, uv_stream_t *listener, struct conn **out);

/* There may be something to send. */
void conn_flush(struct conn *c);

/* Ends now, or after telling the peer why. No on_down follows. */
void conn_close(struct conn *c);
void conn_end(struct conn *c, int code);

void conn_set_deadline(struct conn *c, mono_ns deadline);

/* What the peer proved in the handshake, so that signatures can be bound to this connection. */
struct slice conn_handshake_hash(const struct conn *c);

#endif /* NODE_CLUSTER_LINK_CONN_H */
