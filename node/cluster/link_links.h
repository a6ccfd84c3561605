/* node/cluster/link_links.h - The inside of struct links, shared by link.c, link_peer.c and
 * link_enroll.c. */
#ifndef NODE_CLUSTER_LINK_LINKS_H
#define NODE_CLUSTER_LINK_LINKS_H

#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/omap.h"
#include "base/prng.h"
#include "node/cluster/enroll.h"
#include "node/cluster/link_attempts.h"
#include "node/cluster/link_conn.h"
#include "node/cluster/link_mux.h"

/* One other node, or this one. Exists while there is a hint, a link or something to send. */
struct peer {
    struct links *links;
    struct link_peer about;

    /* Hints. */
    char addresses[LINK_ADDRESSES_MAX][LINK_ADDRESS_LEN]; /* best first */
    size_t address_count;
    enum link_want want;
    bool is_hinted; /* link_set_peer() or link_learn() named it */

    /* The link: at most one, and at most one attempt to make one. */
    struct conn *conn;
    struct conn *dial;
    mono_ns since;
    bool is_cert_due; /* our certificate has changed: show it */
    mono_ns last_used;

    /* Dialling. */
    size_t next_address; /* of this round */
    unsigned failures;   /* rounds in a row */
    struct heap_node retry;

    struct link_mux mux;
    struct list dirty; /* in links.dirty: the pump has work here */
    int drop_reason;   /* < 0: the pump must end the link */
    bool is_forgotten;
    bool is_replaced; /* its link ends because a new one begins */
};

/* A request to join or renew, from the proof to the answer. */
struct enrollment {
    struct list link; /* in links.enrollments */
    struct conn *conn;
    uint64_t ticket; /* 0: still waiting for the request */
    enum enroll_kind kind;
    struct cert cert; /* RENEW */
    uint8_t identity_key[CLUSTER_KEY_LEN];
    struct buf answer; /* body of a frame; empty until answered */
    enum frame_type answer_type;
};

struct links {
    uv_loop_t *loop;
    struct links_events events;
    struct link_handler handlers[LINK_CHANNEL_MAX + 1];
    struct identity identity;
    size_t link_count_max, handshake_count_max;

    uv_tcp_t listener;
    bool is_listening;
    char address[LINK_ADDRESS_LEN];

    struct conn_shared shared;
    struct list handshakes; /* struct conn.link: unproven, oldest first */
    size_t handshake_count;

    struct omap peers; /* by node id; this node's own too */
    size_t link_count;
    struct peer *self;
    struct link_mux echo; /* the other end of what this node sends to itself */

    struct list dirty; /* struct peer.dirty */
    uv_prepare_t pump; /* the last thing before the loop sleeps */
    uv_idle_t wakeful; /* active while `dirty` is not empty, so that the loop does not sleep */
    struct heap retries;
    uv_timer_t timer; /* for the first of them */
    struct prng jitter;
    struct hash_seed seed;

    struct list enrollments;
    size_t enrollment_count;
    uint64_t last_ticket;
    bool has_answers; /* some enrolment has been answered since the pump ran */
    struct link_attempts attempts;

    struct links_counters counters;
    bool is_closing;
    size_t open_handles; /* of this struct, not of connections */
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* --- link_serve.c --- */

extern const struct conn_events links_conn_events;
extern const struct link_mux_events links_mux_events; /* of a peer, but for ctx and on_sendable */

/* Counts a refusal under its reason and reports it. */
void links_refused(struct links *l, const char *address, int reason, const char *what);

/* The connection has proven itself, or ends. */
void links_leave_handshakes(struct links *l, struct conn *c);

/* --- link.c --- */

void links_check_closed(struct links *l); /* reports the end of links_close(), if it is that */
void links_mark_dirty(struct links *l, struct peer *p);
void links_wake(struct links *l);      /* the pump has work */
void links_arm_timer(struct links *l); /* after a change in l->retries */

/* --- link_peer.c: peers, dialling, which link to keep --- */

struct peer *peer_find(const struct links *l, const struct id *node);

/* Finds or makes.  ERR_FULL, -ENOMEM */
NODISCARD int peer_get(struct links *l, const struct id *node, struct peer **out);

void peer_on_sendable(void *peer); /* of its multiplexers: tells the pump */

/* Frees a peer that nobody needs. */
void peer_release(struct peer *p);
void peer_free(struct peer *p); /* its link is gone */

/* Whether something queued now has a chance to be sent.  ERR_UNAVAILABLE */
NODISCARD int peer_may_send(const struct peer *p);

/* Starts the next attempt, if none runs. Failures are seen to. */
void peer_dial(struct peer *p);
void peer_retry_due(struct links *l, mono_ns now);

/* Whether the cluster's state lets in the node of a checked certificate. Fills c->cert and c->role.
 */
NODISCARD int peer_admit(struct links *l, struct conn *c, const struct cert *cert);

/* A connection has proven to be c->cert's node: is it the one to keep? Sets c->owner.
 *   ERR_EXISTS (there is, or will be, a better one), ERR_NOT_FOUND (dialled another node),
 * ERR_FULL, ERR_CONFLICT (our own id), -ENOMEM */
NODISCARD int peer_claim(struct links *l, struct conn *c);
void peer_up(struct conn *c);
void peer_dial_failed(struct peer *p, int reason);
void peer_down(struct peer *p, int reason); /* its connection is closed already */
void peer_drop(struct peer *p, int reason); /* closes it, then the same */

/* --- link_enroll.c: the manager's side of node/cluster/enroll.h --- */

/* A connection for JOIN or RENEW: 0, ERR_FULL, ERR_UNSUPPORTED, -ENOMEM */
NODISCARD int enrollment_begin(struct links *l, struct conn *c, const struct link_hello *hello);
NODISCARD int enrollment_frame(struct links *l, struct conn *c, const struct frame *f);
size_t enrollment_next(struct links *l, struct conn *c, uint8_t *out);
void enrollment_gone(struct links *l, struct conn *c);

/* Sends the answers that have been given since. */
void enrollments_pump(struct links *l);

#endif /* NODE_CLUSTER_LINK_LINKS_H */
