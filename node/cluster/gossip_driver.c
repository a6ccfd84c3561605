/* Callbacks note what happened in one inbox. The pump, run just before the loop sleeps, feeds the
 * notes to the core in order and acts on each output: packets, streams, notices. What the host
 * says while it is told a notice becomes a note too, and is pumped in the same turn.
 *
 * The timer only wakes the loop: the pump feeds TIMEOUT after the notes, so that datagrams that
 * are already here are read before any time-out falls. */
#include "node/cluster/gossip_driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <uv.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/units.h"
#include "node/cluster/gossip_driver_addr.h"

#define INBOX_MAX  4096       /* notes of one turn; datagrams beyond are dropped */
#define RECV_BATCH 20         /* datagrams per system call: libuv's own bound */
#define RECV_SLOT  (64 * KIB) /* what libuv asks for each */

struct note {
    struct list link;
    struct gossip_event event;
    uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN];
    size_t len;
    uint8_t bytes[]; /* whatever the event points to */
};

struct gossip_driver {
    struct gossip_transport transport;
    void *ctx;
    void (*on_notice)(void *ctx, const struct gossip_notice *notice);
    struct gossip *core;
    struct gossip_addr bound;
    int family;
    bool leaving; /* closes once the goodbye is said */
    bool closing;
    bool pumping;
    struct list inbox;
    size_t inbox_count;
    uint64_t last_inbound; /* even */
    mono_ns deadline;
    struct gossip_driver_stats stats;

    uv_udp_t udp;
    uv_timer_t timer;
    uv_prepare_t prepare;
    unsigned open_handles;
    uint8_t *recv_buf; /* RECV_BATCH slots; NULL before the first datagram */
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

/* --- notes */

/* `extra` bytes follow the note; the caller fills them and points the event there. */
static struct note *note_new(struct gossip_driver *d, const struct gossip_event *event,
                             struct slice extra)
{
    struct note *n;

    if (d->closing)
        return NULL;
    n = malloc(sizeof(*n) + extra.len);
    if (n == NULL)
        return NULL;
    n->event = *event;
    n->len = extra.len;
    if (extra.len > 0)
        memcpy(n->bytes, extra.ptr, extra.len);
    list_init(&n->link);
    list_push_back(&d->inbox, &n->link);
    d->inbox_count++;
    return n;
}

static void note_bytes(struct gossip_driver *d, const struct gossip_event *event,
                       struct slice bytes)
{
    struct note *n = note_new(d, event, bytes);

    if (n != NULL)
        n->event.bytes = slice_of(n->bytes, n->len);
    else
        d->stats.dropped_in++;
}

static void note_plain(struct gossip_driver *d, const struct gossip_event *event)
{
    if (note_new(d, event, (struct slice){ 0 }) == NULL)
        d->stats.dropped_in++;
}

static void note_id(struct gossip_driver *d, enum gossip_event_kind kind, const struct id *id)
{
    note_plain(d, &(struct gossip_event){ .kind = kind, .id = *id });
}

/* --- the core's outputs */

static void send_packet(struct gossip_driver *d, const struct gossip_packet *p)
{
    struct sockaddr_storage to;
    uv_buf_t buf = { .len = p->bytes.len };
    int rc;

    memcpy(&buf.base, &p->bytes.ptr, sizeof(buf.base)); /* libuv does not write to it */
    gossip_addr_to_sockaddr(&p->to, d->family, &to);
    rc = uv_udp_try_send(&d->udp, &buf, 1, (const struct sockaddr *)&to);
    if (rc >= 0) {
        d->stats.datagrams_out++;
    } else if (rc == UV_EAGAIN || rc == UV_ENOBUFS || rc == UV_ENOMEM) {
        d->stats.dropped_out++;
    } else {
        d->stats.failed_out++;
        note_plain(d, &(struct gossip_event){ .kind = GOSSIP_SEND_FAILED, .addr = p->to });
    }
}

static void serve_stream(struct gossip_driver *d, const struct gossip_stream_op *op)
{
    const struct gossip_transport *t = &d->transport;
    int rc = ERR_UNSUPPORTED;

    switch (op->kind) {
    case GOSSIP_STREAM_OPEN:
        if (t->open != NULL)
            rc = t->open(t->ctx, op->stream, &op->peer, &op->addr);
        break;
    case GOSSIP_STREAM_SEND:
        if (t->send != NULL)
            rc = t->send(t->ctx, op->stream, op->bytes);
        break;
    case GOSSIP_STREAM_CLOSE:
        if (t->close != NULL) {
            t->close(t->ctx, op->stream);
            rc = 0;
        }
        break;
    }
    if (rc < 0)
        gossip_driver_stream_closed(d, op->stream);
}

static void close_handles(struct gossip_driver *d);

static void act(struct gossip_driver *d, const struct gossip_output *out)
{
    for (size_t i = 0; i < out->packet_count; i++)
        send_packet(d, &out->packets[i]);
    for (size_t i = 0; i < out->stream_count; i++)
        serve_stream(d, &out->streams[i]);
    for (size_t i = 0; i < out->notice_count && !d->leaving && !d->closing; i++) {
        if (d->on_notice != NULL)
            d->on_notice(d->ctx, &out->notices[i]);
    }
    d->deadline = out->deadline;
    if (d->leaving && !d->closing && out->deadline == MONO_NEVER)
        close_handles(d); /* the goodbye is said: the core wants nothing more */
}

/* Errors of a step are the core's refusals: of a host's word that came too late (a node trusted
 * when the table is full), or for lack of memory. The state is whole either way. */
static void step(struct gossip_driver *d, const struct gossip_event *event)
{
    struct gossip_output out;

    if (gossip_step(d->core, event, uv_hrtime(), &out) < 0)
        d->stats.refused++;
    act(d, &out);
}

static void arm_timer(struct gossip_driver *d);

static void pump(struct gossip_driver *d)
{
    struct list *link;

    CHECK(!d->pumping);
    d->pumping = true;
    for (;;) {
        while (!d->closing && (link = list_pop_front(&d->inbox)) != NULL) {
            struct note *n = CONTAINER_OF(link, struct note, link);

            d->inbox_count--;
            step(d, &n->event);
            free(n);
        }
        if (d->closing || d->deadline > uv_hrtime())
            break;
        step(d, &(struct gossip_event){ .kind = GOSSIP_TIMEOUT });
        if (d->deadline <= uv_hrtime())
            break; /* more is due: after the sockets have been read again */
    }
    d->pumping = false;
    if (!d->closing)
        arm_timer(d);
}

/* --- loop callbacks */

static void on_prepare(uv_prepare_t *prepare)
{
    pump(prepare->data);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* it only ends the loop's sleep */
}

/* Rounds up to the loop's milliseconds: early would spin. */
static void arm_timer(struct gossip_driver *d)
{
    mono_ns now = uv_hrtime();
    uint64_t ms = 0;

    if (d->deadline == MONO_NEVER) {
        (void)uv_timer_stop(&d->timer); /* an initialised timer: cannot fail */
        return;
    }
    if (d->deadline > now)
        ms = (d->deadline - now + NS_PER_MS - 1) / NS_PER_MS;
    uv_update_time(d->timer.loop);
    (void)uv_timer_start(&d->timer, on_timer, ms, 0); /* has a callback: cannot fail */
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct gossip_driver *d = handle->data;

    (void)suggested;
    if (d->recv_buf == NULL)
        d->recv_buf = malloc(RECV_BATCH * RECV_SLOT);
    *buf = uv_buf_init((char *)d->recv_buf, d->recv_buf == NULL ? 0 : RECV_BATCH * RECV_SLOT);
}

static void on_recv(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf, const struct sockaddr *from,
                    unsigned flags)
{
    struct gossip_driver *d = udp->data;
    struct gossip_event e = { .kind = GOSSIP_PACKET };

    if (len <= 0 || from == NULL || (flags & UV_UDP_PARTIAL) != 0 || d->closing)
        return; /* nothing, an error that the next datagram clears, or one too large to be ours */
    d->stats.datagrams_in++;
    if (d->inbox_count >= INBOX_MAX || len > GOSSIP_PACKET_LEN_MAX ||
        gossip_addr_from_sockaddr(from, &e.addr) < 0) {
        d->stats.dropped_in++;
        return;
    }
    note_bytes(d, &e, slice_of(buf->base, (size_t)len));
}

/* --- life */

static void on_handle_closed(uv_handle_t *handle)
{
    struct gossip_driver *d = handle->data;
    void (*on_closed)(void *ctx) = d->on_closed;
    void *ctx = d->on_closed_ctx;

    if (--d->open_handles > 0)
        return;
    gossip_free(d->core);
    free(d->recv_buf);
    free(d);
    if (on_closed != NULL)
        on_closed(ctx);
}

static void close_handles(struct gossip_driver *d)
{
    struct list *link;

    d->closing = true;
    while ((link = list_pop_front(&d->inbox)) != NULL)
        free(CONTAINER_OF(link, struct note, link));
    uv_close((uv_handle_t *)&d->udp, on_handle_closed);
    uv_close((uv_handle_t *)&d->timer, on_handle_closed);
    uv_close((uv_handle_t *)&d->prepare, on_handle_closed);
}

static int bind_socket(struct gossip_driver *d, const char *where)
{
    struct gossip_addr addr;
    struct sockaddr_storage sa;
    int len = sizeof(sa);
    int rc = gossip_addr_parse(where, &addr);

    if (rc < 0)
        return rc;
    d->family = addr.len == 4 + 2 ? AF_INET : AF_INET6;
    gossip_addr_to_sockaddr(&addr, d->family, &sa);
    rc = uv_udp_bind(&d->udp, (const struct sockaddr *)&sa, 0);
    if (rc < 0)
        return rc;
    rc = uv_udp_getsockname(&d->udp, (struct sockaddr *)&sa, &len);
    if (rc < 0)
        return rc;
    return gossip_addr_from_sockaddr((const struct sockaddr *)&sa, &d->bound);
}

static int create_core(struct gossip_driver *d, const struct gossip_config *from)
{
    struct gossip_config core = *from;
    struct gossip_addr *a = &core.addr;
    int rc;

    if (a->len == 0)
        *a = d->bound;
    else if (a->len <= GOSSIP_ADDR_LEN_MAX && a->bytes[a->len - 2] == 0 &&
             a->bytes[a->len - 1] == 0)
        memcpy(a->bytes + a->len - 2, d->bound.bytes + d->bound.len - 2, 2);
    randombytes_buf(&core.seed, sizeof(core.seed));
    randombytes_buf(&core.salt, sizeof(core.salt));
    rc = gossip_new(&core, &d->core);
    sodium_memzero(&core, sizeof(core));
    return rc;
}

static int init_handles(struct gossip_driver *d, uv_loop_t *loop)
{
    int rc = uv_udp_init_ex(loop, &d->udp, AF_UNSPEC | UV_UDP_RECVMMSG);

    if (rc < 0)
        return rc;
    (void)uv_timer_init(loop, &d->timer);     /* neither of */
    (void)uv_prepare_init(loop, &d->prepare); /* them can fail */
    d->open_handles = 3;
    d->udp.data = d->timer.data = d->prepare.data = d;
    return 0;
}

int gossip_driver_open(const struct gossip_driver_config *cfg, struct gossip_driver **out)
{
    struct gossip_driver *d = calloc(1, sizeof(*d));
    int rc;

    if (d == NULL)
        return -ENOMEM;
    d->transport = cfg->transport;
    d->ctx = cfg->ctx;
    d->on_notice = cfg->on_notice;
    d->deadline = MONO_NEVER;
    list_init(&d->inbox);
    rc = init_handles(d, cfg->loop);
    if (rc < 0) {
        free(d);
        return rc;
    }
    rc = bind_socket(d, cfg->bind);
    if (rc == 0)
        rc = create_core(d, cfg->core);
    if (rc == 0)
        rc = uv_udp_recv_start(&d->udp, on_alloc, on_recv);
    if (rc == 0)
        rc = uv_prepare_start(&d->prepare, on_prepare);
    if (rc < 0) {
        close_handles(d); /* frees it from the loop; nobody is told */
        return rc;
    }
    note_plain(d, &(struct gossip_event){ .kind = GOSSIP_START });
    *out = d;
    return 0;
}

void gossip_driver_close(struct gossip_driver *d, enum gossip_farewell farewell,
                         void (*on_closed)(void *ctx), void *ctx)
{
    CHECK(!d->closing && !d->leaving);
    d->on_closed = on_closed;
    d->on_closed_ctx = ctx;
    if (farewell == GOSSIP_VANISH) {
        close_handles(d);
        return;
    }
    if (note_new(d, &(struct gossip_event){ .kind = GOSSIP_LEAVE }, (struct slice){ 0 }) == NULL)
        close_handles(d); /* no memory for manners */
    else
        d->leaving = true;
}

/* --- the host's words */

void gossip_driver_trust(struct gossip_driver *d, const struct id *id,
                         const uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN])
{
    struct note *n =
        note_new(d, &(struct gossip_event){ .kind = GOSSIP_TRUST, .id = *id }, (struct slice){ 0 });

    if (n == NULL)
        return;
    memcpy(n->public_key, public_key, sizeof(n->public_key));
    n->event.public_key = n->public_key;
}

void gossip_driver_forget(struct gossip_driver *d, const struct id *id)
{
    note_id(d, GOSSIP_FORGET, id);
}

void gossip_driver_meta(struct gossip_driver *d, struct slice meta)
{
    note_bytes(d, &(struct gossip_event){ .kind = GOSSIP_SET_META }, meta);
}

void gossip_driver_address(struct gossip_driver *d, const struct gossip_addr *addr)
{
    note_plain(d, &(struct gossip_event){ .kind = GOSSIP_SET_ADDR, .addr = *addr });
}

void gossip_driver_keys(struct gossip_driver *d, const struct gossip_key *keys, size_t count)
{
    struct note *n =
        note_new(d, &(struct gossip_event){ .kind = GOSSIP_SET_KEYS, .key_count = count },
                 slice_of(keys, count * sizeof(*keys)));

    if (n != NULL)
        n->event.keys = (const void *)n->bytes; /* malloc's alignment, and the struct's is 4 */
}

void gossip_driver_contacts(struct gossip_driver *d, const struct gossip_contact *contacts,
                            size_t count)
{
    struct note *n =
        note_new(d, &(struct gossip_event){ .kind = GOSSIP_SET_CONTACTS, .contact_count = count },
                 slice_of(contacts, count * sizeof(*contacts)));

    if (n != NULL)
        n->event.contacts = (const void *)n->bytes; /* all bytes: no alignment */
}

void gossip_driver_link_alive(struct gossip_driver *d, const struct id *id)
{
    note_id(d, GOSSIP_LINK_ALIVE, id);
}

void gossip_driver_link_lost(struct gossip_driver *d, const struct id *id)
{
    note_id(d, GOSSIP_LINK_LOST, id);
}

/* --- the transport's */

uint64_t gossip_driver_stream_inbound(struct gossip_driver *d)
{
    d->last_inbound += 2;
    note_plain(d,
               &(struct gossip_event){ .kind = GOSSIP_STREAM_INBOUND, .stream = d->last_inbound });
    return d->last_inbound;
}

void gossip_driver_stream_data(struct gossip_driver *d, uint64_t stream, struct slice bytes)
{
    note_bytes(d, &(struct gossip_event){ .kind = GOSSIP_STREAM_DATA, .stream = stream }, bytes);
}

void gossip_driver_stream_writable(struct gossip_driver *d, uint64_t stream)
{
    note_plain(d, &(struct gossip_event){ .kind = GOSSIP_STREAM_WRITABLE, .stream = stream });
}

void gossip_driver_stream_closed(struct gossip_driver *d, uint64_t stream)
{
    note_plain(d, &(struct gossip_event){ .kind = GOSSIP_STREAM_CLOSED, .stream = stream });
}

/* --- questions */

struct gossip_addr gossip_driver_bound(const struct gossip_driver *d)
{
    return d->bound;
}

uint16_t gossip_driver_port(const struct gossip_driver *d)
{
    const uint8_t *port = d->bound.bytes + d->bound.len - 2;

    return (uint16_t)(port[0] << 8 | port[1]);
}

const struct gossip *gossip_driver_core(const struct gossip_driver *d)
{
    return d->core;
}

struct gossip_driver_stats gossip_driver_stats_get(const struct gossip_driver *d)
{
    return d->stats;
}
