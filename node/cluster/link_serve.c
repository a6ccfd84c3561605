/* node/cluster/link_serve.c - What connections and their frames mean to struct links.
 *
 * A connection that has shown a certificate is admitted and claimed for its peer (link_peer.c); one
 * that wants to join or renew gets an enrolment (link_enroll.c). Frames of members go to their
 * multiplexer, once it is clear that their role may use the channel. */
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_hello.h"
#include "node/cluster/link_links.h"

static wall_ns wall_now(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0);
    return (wall_ns)t.tv_sec * (wall_ns)NS_PER_S + t.tv_nsec;
}

/* --- Refusals --- */

static uint64_t *refusal_counter(struct links_counters *c, int reason)
{
    switch (reason) {
    case ERR_UNAUTHENTICATED:
    case ERR_NOT_FOUND:
    case ERR_CONFLICT:
        return &c->refused_unauthentic;
    case ERR_WRONG_CLUSTER:
        return &c->refused_cluster;
    case ERR_EXPIRED:
        return &c->refused_expired;
    case ERR_REMOVED:
        return &c->refused_removed;
    case ERR_FORBIDDEN:
        return &c->refused_forbidden;
    case ERR_FULL:
        return &c->refused_full;
    case ERR_TIMEOUT:
        return &c->refused_slow;
    default:
        return &c->refused_malformed;
    }
}

void links_refused(struct links *l, const char *address, int reason, const char *what)
{
    *refusal_counter(&l->counters, reason) += 1;
    if (l->events.on_refused != NULL)
        l->events.on_refused(l->events.ctx, address, reason, what);
}

/* Whether the reason says something about the peer, not about the network or chance. */
static bool is_refusal(int reason)
{
    return reason <= ERR_MALFORMED && reason != ERR_CLOSED && reason != ERR_EXISTS &&
           reason != ERR_STALE;
}

/* --- Channels --- */

/* Who may start something on a channel: see the table at the top of link.h. */
static bool may_use(const struct conn *c, unsigned channel)
{
    const struct peer *p = c->owner;

    switch (channel) {
    case LINK_RAFT:
        /* Not the lowered role: raft itself says who is a member, and tells who is none any more.
         */
        return c->cert.role == ROLE_MANAGER;
    case LINK_FORWARD:
    case LINK_LOGS:
    case LINK_EXEC:
        return p->about.role == ROLE_MANAGER;
    default:
        return true;
    }
}

static int on_message(void *ctx, enum link_channel channel, struct slice message)
{
    struct peer *p = ctx;
    const struct link_handler *h = &p->links->handlers[channel];

    if (h->on_message == NULL) { /* a manager that was just demoted still hears of raft */
        p->links->counters.unhandled++;
        return 0;
    }
    h->on_message(h->ctx, &p->about, channel, message);
    return 0;
}

static int on_stream(void *ctx, enum link_channel channel, struct slice header,
                     struct link_stream *stream)
{
    struct peer *p = ctx;
    const struct link_handler *h = &p->links->handlers[channel];

    if (h->on_stream == NULL)
        return ERR_UNSUPPORTED;
    return h->on_stream(h->ctx, &p->about, channel, header, stream);
}

/* --- Events of connections --- */

void links_leave_handshakes(struct links *l, struct conn *c)
{
    if (!list_is_linked(&c->link))
        return;
    list_remove(&c->link);
    l->handshake_count--;
}

static int on_hello(void *ctx, struct conn *c, const struct link_hello *hello)
{
    struct links *l = ctx;
    int rc = hello_check(hello, c->static_key, &l->identity.trust, wall_now());

    if (rc < 0)
        return rc;
    if (c->is_dialler && hello->purpose != LINK_PURPOSE_MEMBER)
        return ERR_MALFORMED;
    if (hello->cert != NULL)
        rc = peer_admit(l, c, hello->cert);
    if (rc < 0)
        return rc;
    return hello->purpose == LINK_PURPOSE_MEMBER ? peer_claim(l, c) : enrollment_begin(l, c, hello);
}

static void on_open(void *ctx, struct conn *c)
{
    struct links *l = ctx;

    links_leave_handshakes(l, c);
    if (c->purpose == LINK_PURPOSE_MEMBER)
        peer_up(c);
    else
        conn_set_deadline(c, mono_after(uv_hrtime(), HANDSHAKE_NS)); /* for the request */
}

/* Asks again what the peer may be; the cluster's state may have changed under a live link. */
static int refresh_role(struct links *l, struct conn *c, const struct cert *cert)
{
    struct peer *p = c->owner;
    int rc = peer_admit(l, c, cert);

    if (rc < 0 || c->role == p->about.role)
        return rc;
    p->about.role = c->role;
    if (l->events.on_peer_up != NULL)
        l->events.on_peer_up(l->events.ctx, &p->about);
    return 0;
}

/* The peer has a new certificate: the same node and keys, perhaps another role. */
static int change_cert(struct links *l, struct conn *c, struct slice body)
{
    struct peer *p = c->owner;
    struct link_hello hello;
    int rc = hello_decode(body, &hello);

    if (rc < 0)
        return rc;
    rc = hello.purpose == LINK_PURPOSE_MEMBER ? 0 : ERR_MALFORMED;
    if (rc == 0)
        rc = hello_check(&hello, c->static_key, &l->identity.trust, wall_now());
    if (rc == 0 && !id_equal(&hello.cert->node, &p->about.node))
        rc = ERR_UNAUTHENTICATED;
    if (rc == 0)
        rc = refresh_role(l, c, hello.cert);
    fields_deinit(&link_hello_type, &hello);
    return rc;
}

static int check_channel(struct links *l, struct conn *c, const struct frame *f)
{
    bool is_start = f->type == FRAME_MESSAGE || f->type == FRAME_OPEN;
    int rc;

    if (!is_start || may_use(c, f->channel))
        return 0;
    rc = refresh_role(l, c, &c->cert); /* it may have been promoted since */
    return rc < 0 || may_use(c, f->channel) ? rc : ERR_FORBIDDEN;
}

static int on_frame(void *ctx, struct conn *c, const struct frame *f)
{
    struct links *l = ctx;
    struct peer *p = c->owner;
    int rc;

    if (c->purpose != LINK_PURPOSE_MEMBER)
        return c->owner == NULL ? ERR_MALFORMED : enrollment_frame(l, c, f);
    if (f->type == FRAME_CERT)
        return change_cert(l, c, f->body);
    if (f->channel == 0)
        return ERR_MALFORMED;
    rc = check_channel(l, c, f);
    if (rc < 0)
        return rc;
    p->last_used = uv_hrtime();
    return link_mux_receive(&p->mux, f);
}

static size_t next_cert(struct links *l, uint8_t *out)
{
    struct buf body;
    size_t len = 0;

    buf_init(&body, FRAME_BODY_LEN_MAX);
    if (hello_encode(&l->identity, LINK_PURPOSE_MEMBER, &body) == 0)
        len = frame_encode(&(struct frame){ .type = FRAME_CERT, .body = buf_slice(&body) }, out);
    buf_deinit(&body);
    return len;
}

static size_t next_frame(void *ctx, struct conn *c, uint8_t *out)
{
    struct links *l = ctx;
    struct peer *p = c->owner;
    size_t len = 0;

    if (c->purpose != LINK_PURPOSE_MEMBER)
        return enrollment_next(l, c, out);
    if (p->is_cert_due) {
        len = next_cert(l, out);
        p->is_cert_due = len == 0; /* out of memory: next time */
    }
    return len > 0 ? len : link_mux_next(&p->mux, out);
}

static int on_tick(void *ctx, struct conn *c, mono_ns now)
{
    struct links *l = ctx;
    struct peer *p = c->owner;

    if (c->purpose != LINK_PURPOSE_MEMBER)
        return 0; /* its deadline is enough */
    if (wall_now() > c->cert.not_after)
        return ERR_EXPIRED;
    if (c->is_dialler && p->want == LINK_ON_DEMAND && link_mux_is_empty(&p->mux) &&
        now - p->last_used >= IDLE_CLOSE_NS)
        return ERR_CLOSED;
    return refresh_role(l, c, &c->cert);
}

/* Reports what the other side did, told or found. */
static void report_down(struct links *l, const struct conn *c, int reason, bool was_up)
{
    if (was_up && reason == ERR_TIMEOUT)
        l->counters.died_silent++;
    else if (c->is_dialler && !was_up && reason == ERR_TIMEOUT)
        return; /* nobody there: the business of whoever wants the peer */
    else if (is_refusal(reason))
        links_refused(l, c->address_text, reason,
                      c->is_told ? "the peer refused this node"
                                 : (c->is_dialler ? "outgoing link" : "incoming link"));
}

static void on_down(void *ctx, struct conn *c, int reason)
{
    struct links *l = ctx;
    bool is_member = c->purpose == LINK_PURPOSE_MEMBER;
    struct peer *p = is_member ? c->owner : NULL;
    bool was_up = p != NULL && p->conn == c;

    links_leave_handshakes(l, c);
    report_down(l, c, reason, was_up);
    if (!is_member)
        enrollment_gone(l, c);
    else if (was_up)
        peer_down(p, reason);
    else if (p != NULL && p->dial == c)
        peer_dial_failed(p, reason);
}

static void on_released(void *ctx, struct conn *c)
{
    struct links *l = ctx;

    links_leave_handshakes(l, c);
    if (c->purpose != LINK_PURPOSE_MEMBER)
        enrollment_gone(l, c);
    links_check_closed(l);
}

const struct conn_events links_conn_events = {
    .on_hello = on_hello,
    .on_open = on_open,
    .on_frame = on_frame,
    .next_frame = next_frame,
    .on_tick = on_tick,
    .on_down = on_down,
    .on_released = on_released,
};

const struct link_mux_events links_mux_events = { .on_message = on_message,
                                                  .on_stream = on_stream };
