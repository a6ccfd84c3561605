/* node/cluster/link.h - Secure links: every byte between two nodes goes through here.
 *
 * One struct links per process keeps at most one link to each other node: TCP, inside
 * it Noise_XX_25519_ChaChaPoly_SHA256 with both certificates in the handshake, inside
 * it channels. Callers name nodes, not connections: sending to a node dials it if need
 * be, and sending to this node itself works the same way without a socket.
 *
 *     links_new(loop, &cfg, &l)
 *     links_handle(l, LINK_RAFT, &(struct link_handler){ ... })    one per channel used
 *     links_listen(l, "0.0.0.0:2377")
 *     link_set_peer(l, &id, &(struct link_peer_hint){ ... })       who is where
 *     link_send(l, &id, LINK_RAFT, bytes)
 *     link_stream_open(l, &id, LINK_BLOBS, header, &callbacks, ctx, &stream)
 *     links_close(l, on_closed, ctx)                               then links_free(l)
 *
 * Two primitives. A **message** is delivered whole, in order within its channel, at most
 * once: what was queued when a link died is lost, and nobody is told. A **stream** is an
 * ordered pipe of bytes in both directions with back-pressure, an end with a status for
 * each direction, and a last callback that always comes.
 *
 * Small things overtake large ones: everything is cut into pieces of 16 KiB, and
 * each piece is chosen anew by the weight of its channel, so that a blob of gigabytes
 * delays a heartbeat by the sending time of a few pieces.
 *
 * Who may use a channel is decided by the certificate of the one who starts: RAFT,
 * FORWARD, LOGS and EXEC serve managers only, the others every member. A manager that the cluster
 * has demoted may still use RAFT until its certificate says so too: only there does it learn that
 * it was removed. A connection without a
 * valid certificate can do nothing but ask to join or to renew (node/cluster/enroll.h).
 *
 * Callbacks run on the loop's thread, never inside a call of this header, and may call
 * anything here except links_free(). The program ignores SIGPIPE, because libuv does not.
 * Not thread-safe. Formats: docs/formats/links.md. */
#ifndef NODE_CLUSTER_LINK_H
#define NODE_CLUSTER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/id.h"
#include "base/slice.h"
#include "base/units.h"
#include "node/cluster/cert.h"
#include "node/cluster/identity.h"

#define LINK_PORT            2377
#define LINK_ADDRESS_LEN     64 /* "10.0.0.1:2377", "[fd00::1]:2377", and a NUL */
#define LINK_ADDRESSES_MAX   8  /* hints kept per node */
#define LINK_MESSAGE_LEN_MAX (4 * MIB)
#define LINK_HEADER_LEN_MAX  (16 * KIB)  /* of a stream */
#define LINK_STREAM_WINDOW   (256 * KIB) /* bytes that a stream may send ahead of its reader */

/* As on the wire: never renumbered. In order of urgency. */
enum link_channel {
    LINK_RAFT = 1,
    LINK_GOSSIP = 2,   /* exchange of member tables */
    LINK_DISPATCH = 3, /* assignments to agents, status to managers */
    LINK_FORWARD = 4,  /* API requests to the manager that can answer */
    LINK_EXEC = 5,
    LINK_LOGS = 6,
    LINK_BLOBS = 7,
};
#define LINK_CHANNEL_MAX LINK_BLOBS

struct uv_loop_s; /* uv_loop_t */
struct links;
struct link_stream;

/* The node at the other end, as known now. */
struct link_peer {
    struct id node;
    enum node_role role;                   /* what admit() granted */
    uint8_t static_key[CLUSTER_KEY_LEN];   /* X25519 */
    uint8_t identity_key[CLUSTER_KEY_LEN]; /* Ed25519 */
    char address[LINK_ADDRESS_LEN];        /* where the link comes from or goes to; "" = self */
};

/* --- The manager --- */

struct link_enrollment; /* node/cluster/enroll.h */

struct links_events {
    void *ctx;

    /* Whether the cluster's state still knows this node: asked after the certificate has
     * been checked, at each handshake and each new certificate, and then about once a second, so
     * that removal and demotion take effect on live links. Must be quick. May lower *role below the
     * certificate's. Returns 0, or what the peer is told: ERR_REMOVED, ERR_FORBIDDEN. NULL
     * admits every valid certificate. Must not call back into links. */
    int (*admit)(void *ctx, const struct cert *cert, enum node_role *role);

    /* A link is usable; it no longer is. Strictly alternating per node. `reason` is a code of
     * base/err.h. A role that changes on a live link is reported as up again, without a down.
     * Borrow `peer` for the call. May be NULL. */
    void (*on_peer_up)(void *ctx, const struct link_peer *peer);
    void (*on_peer_down)(void *ctx, const struct link_peer *peer, int reason);

    /* A node wants to join or to renew its certificate. Answer now or later with
     * link_enrollment_grant() or link_enrollment_refuse(), exactly once. NULL refuses all. */
    void (*on_enroll)(void *ctx, const struct link_enrollment *request);

    /* A connection was refused or dropped for what its peer did: for the log, which the
     * caller must rate-limit. `address` may be "". May be NULL. */
    void (*on_refused)(void *ctx, const char *address, int reason, const char *what);
};

struct links_config {
    const struct identity *identity; /* copied: keys, certificate, trusted roots */
    struct links_events events;
    size_t link_count_max;      /* 0 = 16384: established links, both directions */
    uint64_t rekey_len;         /* 0 = 1 GiB: bytes sent under one key; also after an hour */
    size_t handshake_count_max; /* 0 = 256: connections that have not proved themselves yet */
};

/* Creates the manager of a node that has an identity. Owned by the caller: links_close(), then
 * links_free().  ERR_INVALID (the identity has no certificate), -ENOMEM */
NODISCARD int links_new(struct uv_loop_s *loop, const struct links_config *cfg, struct links **out);

/* Accepts links at `address` ("0.0.0.0:2377"; port 0 = any).  ERR_INVALID, -EADDRINUSE, ... */
NODISCARD int links_listen(struct links *l, const char *address);

/* The address as bound, with its real port; "" before links_listen(). Borrowed from `l`. */
const char *links_address(const struct links *l);

/* Ends every link and stream (reason ERR_CLOSED), then calls on_closed once. */
void links_close(struct links *l, void (*on_closed)(void *ctx), void *ctx);
void links_free(struct links *l); /* after on_closed; accepts NULL */

/* A renewed certificate, a new role, other roots: copied, shown to every live peer, and the
 * existing links are checked again against the new roots.  ERR_INVALID (another node's) */
NODISCARD int links_set_identity(struct links *l, const struct identity *identity);

/* --- Peers --- */

enum link_want {
    LINK_ON_DEMAND, /* dialled when something is sent; closed by its dialler after a minute idle */
    LINK_WANTED,    /* dialled now and for ever, with back-off */
};

struct link_peer_hint {
    const char *const *addresses; /* numeric, best first; replaces what was known, if count > 0 */
    size_t address_count;         /* <= LINK_ADDRESSES_MAX */
    enum link_want want;
};

/* States where a node may be and whether to keep a link. Copies `hint`. This node itself is
 * ignored.  ERR_INVALID (an address that cannot be parsed), ERR_FULL, -ENOMEM */
NODISCARD int link_set_peer(struct links *l, const struct id *node,
                            const struct link_peer_hint *hint);

/* Adds one address to try first, from gossip or an incoming link; keeps the rest. Unparsable
 * hints are ignored: they are hints. */
void link_learn(struct links *l, const struct id *node, const char *address);

/* Forgets the node, its addresses and its link (on_peer_down says ERR_REMOVED). It may come back
 * only if admit() lets it. */
void link_forget(struct links *l, const struct id *node);

/* Ends the link, if there is one; a wanted peer is dialled again, and admit() asked again: after
 * a demotion, for example. */
void link_drop(struct links *l, const struct id *node, int reason);

/* Whether a link is usable now. This node's own always is. */
bool link_is_up(const struct links *l, const struct id *node);

struct link_info {
    struct link_peer peer;
    mono_ns rtt;   /* smoothed; 0 = not measured yet */
    mono_ns since; /* up since, on uv_hrtime()'s clock */
    uint64_t bytes_in, bytes_out;
    size_t queued;  /* bytes waiting to be sent */
    size_t streams; /* open */
};

/*   ERR_UNAVAILABLE (no link) */
NODISCARD int link_get_info(const struct links *l, const struct id *node, struct link_info *out);

/* Calls `each` for every link that is up, in order of node id. `each` must not change links. */
void links_each(const struct links *l, void (*each)(void *ctx, const struct link_info *info),
                void *ctx);

/* --- Channels --- */

struct link_handler {
    void *ctx;

    /* One message. Borrow `message` for the call. NULL: messages are dropped and counted. */
    void (*on_message)(void *ctx, const struct link_peer *from, enum link_channel channel,
                       struct slice message);

    /* A peer opened a stream: accept it with link_stream_accept() and return 0, or return the
     * status it is reset with. Borrow `header` for the call. NULL: refuses, ERR_UNSUPPORTED. */
    int (*on_stream)(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *stream);
};

/* Sets the handler of one channel; before links_listen(), or peers may be refused. Copies. */
void links_handle(struct links *l, enum link_channel channel, const struct link_handler *handler);

/* Queues one message; copies it. Without a link, starts dialling and keeps the message for one
 * round of attempts.
 *   ERR_TOO_LARGE    over LINK_MESSAGE_LEN_MAX
 *   ERR_FULL         the queue of that channel to that node reached its cap: drop or back off
 *   ERR_UNAVAILABLE  no link, and no address, or the last attempts failed a moment ago
 *   -ENOMEM */
NODISCARD int link_send(struct links *l, const struct id *to, enum link_channel channel,
                        struct slice message);

/* --- Streams ---
 * A handle is valid from open or accept until on_closed returns or link_stream_reset() is called.
 */

struct link_stream_callbacks {
    /* Bytes from the peer, lent for the call. Return them to the window with
     * link_stream_consume(), now or when they are used up: that is the back-pressure. */
    void (*on_data)(void *ctx, struct link_stream *s, struct slice data);
    /* After a write failed with ERR_FULL: room for at least half the buffer. May be NULL. */
    void (*on_writable)(void *ctx, struct link_stream *s);
    /* The peer will send no more; `status` is what it gave to link_stream_finish(). */
    void (*on_finish)(void *ctx, struct link_stream *s, int status);
    /* Over: 0 when both sides have finished, else the peer's reset or the loss of the link.
     * Comes exactly once, as the last callback, unless link_stream_reset() ended it here. */
    void (*on_closed)(void *ctx, struct link_stream *s, int reason);
};

/* Opens a stream. Copies `header` and `callbacks`; on success *out is valid at once and may be
 * written to, before the peer has answered. Errors as link_send(). */
NODISCARD int link_stream_open(struct links *l, const struct id *to, enum link_channel channel,
                               struct slice header, const struct link_stream_callbacks *callbacks,
                               void *ctx, struct link_stream **out);

/* Inside on_stream only. */
void link_stream_accept(struct link_stream *s, const struct link_stream_callbacks *callbacks,
                        void *ctx);

/* Queues all of `data`, or nothing; copies it.
 *   ERR_FULL       more than link_stream_room(): wait for on_writable
 *   ERR_TOO_LARGE  more than LINK_STREAM_WINDOW at once
 *   ERR_CLOSED     after link_stream_finish(),  -ENOMEM */
NODISCARD int link_stream_write(struct link_stream *s, struct slice data);
size_t link_stream_room(const struct link_stream *s);

/* Lets the peer send `len` bytes more; at most what on_data delivered. */
void link_stream_consume(struct link_stream *s, size_t len);

/* Nothing more will be written; `status` follows the data. The other direction stays open. */
void link_stream_finish(struct link_stream *s, int status);

/* Ends both directions now, drops what is queued; the peer's on_closed says `status` (< 0). No
 * callback follows and the handle is gone. */
void link_stream_reset(struct link_stream *s, int status);

/* --- Counters, for metrics and tests --- */

struct links_counters {
    uint64_t accepted, dialled;   /* connections */
    uint64_t established;         /* links */
    uint64_t refused_malformed;   /* bytes that no honest peer sends */
    uint64_t refused_unauthentic; /* keys, signatures or tags do not match */
    uint64_t refused_cluster;     /* another cluster's certificate */
    uint64_t refused_expired;
    uint64_t refused_removed;   /* by admit() */
    uint64_t refused_forbidden; /* a channel that its role may not use */
    uint64_t refused_full;      /* limits of links, handshakes, attempts to join */
    uint64_t refused_slow;      /* handshake deadline */
    uint64_t unhandled;         /* messages on a channel without a handler */
    uint64_t died_silent;       /* no sign of life for three seconds */
    uint64_t enrolled, enroll_failed;
    uint64_t rekeys;
};
const struct links_counters *links_counters(const struct links *l);

#endif /* NODE_CLUSTER_LINK_H */
