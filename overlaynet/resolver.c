/* A query is answered from the table at once, or asked of the host's resolvers and answered when
 * they have. A seat goes when its handles, its connections and its questions have gone: each holds
 * a reference. Nothing queues: an answer that the socket does not take is lost (UDP; the client
 * asks again) or ends the connection (TCP). */
#include "overlaynet/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"
#include "overlaynet/resolver_answer.h"
#include "overlaynet/resolver_upstream.h"

#define TCP_PREFIX 2 /* length of a message, before it */
#define BACKLOG    16

struct resolver {
    uv_loop_t *loop;
    const struct services_table *table;
    struct prng random;
    struct upstream *upstream;
    uv_timer_t sweep;
    struct list seats;
    unsigned refs;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint8_t in[DNS_MESSAGE_MAX];
    uint8_t out[TCP_PREFIX + DNS_MESSAGE_MAX];
};

struct resolver_seat {
    struct list link;
    struct resolver *resolver;
    uv_udp_t udp;
    uv_tcp_t tcp;
    struct list connections;
    size_t connection_count, pending;
    unsigned refs;
    bool is_closing;
    size_t network_count;
    struct id networks[OVERLAY_ATTACHMENTS_MAX];
};

struct connection {
    struct list link;
    struct resolver_seat *seat;
    uv_tcp_t tcp;
    unsigned refs; /* the handle, and each question */
    bool is_closing, is_idle;
    size_t len;
    uint8_t in[TCP_PREFIX + RESOLVER_QUERY_MAX];
};

/* A query that the host's resolvers were asked. */
struct question {
    struct resolver_seat *seat;
    struct connection *connection; /* NULL: UDP */
    struct sockaddr_in from;
    struct dns_query query;
    size_t len;
    uint8_t bytes[]; /* of the query */
};

/* --- References ------------------------------------------------------------------------------ */

static void resolver_unref(struct resolver *r)
{
    if (--r->refs > 0)
        return;
    r->closed(r->closed_ctx);
    free(r);
}

static void seat_unref(struct resolver_seat *seat)
{
    struct resolver *r = seat->resolver;

    if (--seat->refs > 0)
        return;
    free(seat);
    resolver_unref(r);
}

static void connection_unref(struct connection *c)
{
    struct resolver_seat *seat = c->seat;

    if (--c->refs > 0)
        return;
    free(c);
    seat_unref(seat);
}

static void on_connection_closed(uv_handle_t *handle)
{
    connection_unref(CONTAINER_OF((uv_tcp_t *)handle, struct connection, tcp));
}

static void connection_close(struct connection *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    list_remove(&c->link);
    c->seat->connection_count--;
    uv_close((uv_handle_t *)&c->tcp, on_connection_closed);
}

/* --- Answers --------------------------------------------------------------------------------- */

/* Sends `len` bytes at r->out + TCP_PREFIX. */
static void send_reply(struct resolver_seat *seat, struct connection *c,
                       const struct sockaddr_in *to, size_t len)
{
    uint8_t *out = seat->resolver->out;
    uv_buf_t buf;

    if (c == NULL) {
        buf = uv_buf_init((char *)out + TCP_PREFIX, (unsigned)len);
        if (!seat->is_closing)
            (void)uv_udp_try_send(&seat->udp, &buf, 1, (const struct sockaddr *)to);
        return;
    }
    out[0] = (uint8_t)(len >> 8);
    out[1] = (uint8_t)len;
    buf = uv_buf_init((char *)out, (unsigned)(len + TCP_PREFIX));
    if (!c->is_closing && uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) != (int)buf.len)
        connection_close(c);
}

static void on_upstream(void *ctx, int err, struct slice reply)
{
    struct question *q = ctx;
    struct resolver_seat *seat = q->seat;
    uint8_t *out = seat->resolver->out + TCP_PREFIX;
    struct slice query = slice_of(q->bytes, q->len);
    size_t max = q->connection != NULL ? DNS_MESSAGE_MAX : resolver_udp_max(&q->query);
    size_t len;

    if (err < 0) {
        len = resolver_refuse(query, &q->query, DNS_SERVFAIL, out, max);
    } else if (reply.len > max) {
        struct dns_reply cut;

        dns_reply_start(&cut, query, &q->query, out, max);
        cut.is_truncated = true;
        len = dns_reply_finish(&cut, DNS_NOERROR);
    } else {
        memcpy(out, reply.ptr, reply.len);
        dns_set_id(out, q->query.id);
        len = reply.len;
    }
    send_reply(seat, q->connection, &q->from, len);
    if (q->connection != NULL)
        connection_unref(q->connection);
    free(q);
    seat->pending--;
    seat_unref(seat);
}

static void forward(struct resolver_seat *seat, struct connection *c,
                    const struct sockaddr_in *from, struct slice query, const struct dns_query *q)
{
    struct question *ask = NULL;

    if (seat->pending < RESOLVER_PENDING_MAX)
        ask = malloc(sizeof(*ask) + query.len);
    if (ask == NULL)
        return; /* no answer makes the client slow down */
    *ask = (struct question){ .seat = seat, .connection = c, .query = *q, .len = query.len };
    if (from != NULL)
        ask->from = *from;
    memcpy(ask->bytes, query.ptr, query.len);
    seat->pending++;
    seat->refs++;
    if (c != NULL)
        c->refs++;
    upstream_ask(seat->resolver->upstream, query, on_upstream, ask);
}

static void answer(struct resolver_seat *seat, struct connection *c, const struct sockaddr_in *from,
                   struct slice query)
{
    const struct resolver_view view = { .table = seat->resolver->table,
                                        .networks = seat->networks,
                                        .network_count = seat->network_count };
    struct resolver *r = seat->resolver;
    struct dns_query q;
    size_t len = 0, max = DNS_MESSAGE_MAX;

    if (c == NULL) {
        if (dns_query_read(query, &q) < 0)
            return;
        max = resolver_udp_max(&q);
    }
    switch (resolver_answer(&view, query, &r->random, &q, r->out + TCP_PREFIX, max, &len)) {
    case RESOLVER_DROP:
        if (c != NULL)
            connection_close(c);
        return;
    case RESOLVER_REPLY:
        send_reply(seat, c, from, len);
        return;
    case RESOLVER_FORWARD:
        forward(seat, c, from, query, &q);
        return;
    }
}

/* --- UDP ------------------------------------------------------------------------------------- */

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct resolver_seat *seat = CONTAINER_OF((uv_udp_t *)handle, struct resolver_seat, udp);

    (void)suggested;
    *buf = uv_buf_init((char *)seat->resolver->in, sizeof(seat->resolver->in));
}

static void on_datagram(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf,
                        const struct sockaddr *from, unsigned flags)
{
    struct resolver_seat *seat = CONTAINER_OF(udp, struct resolver_seat, udp);
    struct sockaddr_in to;

    if (len <= 0 || len > RESOLVER_QUERY_MAX || from == NULL || from->sa_family != AF_INET ||
        (flags & UV_UDP_PARTIAL) != 0)
        return;
    memcpy(&to, from, sizeof(to));
    answer(seat, NULL, &to, slice_of(buf->base, (size_t)len));
}

/* --- TCP ------------------------------------------------------------------------------------- */

static void lend_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct connection *c = CONTAINER_OF((uv_tcp_t *)handle, struct connection, tcp);

    (void)suggested;
    *buf = uv_buf_init((char *)c->in + c->len, (unsigned)(sizeof(c->in) - c->len));
}

/* Answers the whole queries in c->in; false when one is too long. */
static bool take_queries(struct connection *c)
{
    size_t at = 0;

    while (!c->is_closing && c->len - at >= TCP_PREFIX) {
        size_t len = (size_t)c->in[at] << 8 | c->in[at + 1];

        if (len > RESOLVER_QUERY_MAX)
            return false;
        if (c->len - at - TCP_PREFIX < len)
            break;
        answer(c->seat, c, NULL, slice_of(c->in + at + TCP_PREFIX, len));
        at += TCP_PREFIX + len;
    }
    memmove(c->in, c->in + at, c->len - at);
    c->len -= at;
    return true;
}

static void on_bytes(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct connection *c = CONTAINER_OF((uv_tcp_t *)stream, struct connection, tcp);

    (void)buf;
    if (len < 0) {
        connection_close(c);
        return;
    }
    c->is_idle = false;
    c->len += (size_t)len;
    if (!take_queries(c))
        connection_close(c);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct resolver_seat *seat = CONTAINER_OF((uv_tcp_t *)stream, struct resolver_seat, tcp);
    struct connection *c;

    if (status < 0 || seat->is_closing)
        return;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return; /* accepted when the next one comes */
    c->seat = seat;
    (void)uv_tcp_init(seat->resolver->loop, &c->tcp); /* cannot fail */
    c->refs = 1;
    seat->refs++;
    seat->connection_count++;
    list_push_back(&seat->connections, &c->link);
    if (uv_accept(stream, (uv_stream_t *)&c->tcp) < 0 ||
        seat->connection_count > RESOLVER_CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&c->tcp, lend_room, on_bytes) < 0)
        connection_close(c);
}

static void on_sweep(uv_timer_t *timer)
{
    struct resolver *r = CONTAINER_OF(timer, struct resolver, sweep);

    LIST_EACH(seat, &r->seats)
    LIST_EACH_SAFE(it, &CONTAINER_OF(seat, struct resolver_seat, link)->connections)
    {
        struct connection *c = CONTAINER_OF(it, struct connection, link);

        if (c->is_idle)
            connection_close(c);
        else
            c->is_idle = true;
    }
}

/* --- Seats ----------------------------------------------------------------------------------- */

static int bind_any_port(int type, uint16_t *port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)inet_pton(AF_INET, OVERLAY_RESOLVER_ADDRESS, &addr.sin_addr); /* a constant */
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        int rc = -errno;

        (void)close(fd);
        return rc;
    }
    *port = ntohs(addr.sin_port);
    return fd;
}

int resolver_sockets_open(struct resolver_sockets *out)
{
    *out = (struct resolver_sockets){ .tcp = -1 };
    out->udp = bind_any_port(SOCK_DGRAM, &out->udp_port);
    if (out->udp < 0)
        return out->udp;
    out->tcp = bind_any_port(SOCK_STREAM, &out->tcp_port);
    if (out->tcp < 0) {
        int rc = out->tcp;

        resolver_sockets_close(out);
        return rc;
    }
    return 0;
}

void resolver_sockets_close(struct resolver_sockets *sockets)
{
    if (sockets->udp >= 0)
        (void)close(sockets->udp);
    if (sockets->tcp >= 0)
        (void)close(sockets->tcp);
    sockets->udp = sockets->tcp = -1;
}

int resolver_seat_new(struct resolver *r, struct resolver_sockets *sockets,
                      struct resolver_seat **out)
{
    struct resolver_seat *seat = calloc(1, sizeof(*seat));
    int rc;

    if (seat == NULL) {
        resolver_sockets_close(sockets);
        return -ENOMEM;
    }
    seat->resolver = r;
    list_init(&seat->connections);
    (void)uv_udp_init(r->loop, &seat->udp); /* neither can fail: nothing is opened yet */
    (void)uv_tcp_init(r->loop, &seat->tcp);
    seat->refs = 2;
    r->refs++;
    list_push_back(&r->seats, &seat->link);
    rc = uv_udp_open(&seat->udp, sockets->udp);
    if (rc == 0) {
        sockets->udp = -1; /* the handle's now */
        rc = uv_tcp_open(&seat->tcp, sockets->tcp);
    }
    if (rc == 0) {
        sockets->tcp = -1;
        rc = uv_udp_recv_start(&seat->udp, lend_buffer, on_datagram);
    }
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&seat->tcp, BACKLOG, on_connection);
    resolver_sockets_close(sockets); /* what no handle has */
    if (rc < 0) {
        resolver_seat_close(seat);
        return rc;
    }
    *out = seat;
    return 0;
}

void resolver_seat_set_networks(struct resolver_seat *seat, const struct id *networks, size_t count)
{
    memcpy(seat->networks, networks, count * sizeof(*networks));
    seat->network_count = count;
}

static void on_udp_closed(uv_handle_t *handle)
{
    seat_unref(CONTAINER_OF((uv_udp_t *)handle, struct resolver_seat, udp));
}

static void on_tcp_closed(uv_handle_t *handle)
{
    seat_unref(CONTAINER_OF((uv_tcp_t *)handle, struct resolver_seat, tcp));
}

void resolver_seat_close(struct resolver_seat *seat)
{
    if (seat == NULL || seat->is_closing)
        return;
    seat->is_closing = true;
    list_remove(&seat->link);
    LIST_EACH_SAFE(it, &seat->connections)
    connection_close(CONTAINER_OF(it, struct connection, link));
    uv_close((uv_handle_t *)&seat->udp, on_udp_closed);
    uv_close((uv_handle_t *)&seat->tcp, on_tcp_closed);
}

/* --- Life ------------------------------------------------------------------------------------ */

int resolver_new(uv_loop_t *loop, const struct services_table *table, struct resolver **out)
{
    struct resolver *r = calloc(1, sizeof(*r));
    uint64_t seed;
    int rc;

    if (r == NULL)
        return -ENOMEM;
    r->loop = loop;
    r->table = table;
    list_init(&r->seats);
    randombytes_buf(&seed, sizeof(seed));
    prng_init(&r->random, seed);
    rc = upstream_new(loop, &r->upstream);
    if (rc < 0) {
        free(r);
        return rc;
    }
    (void)uv_timer_init(loop, &r->sweep);
    (void)uv_timer_start(&r->sweep, on_sweep, RESOLVER_IDLE_MS, RESOLVER_IDLE_MS);
    uv_unref((uv_handle_t *)&r->sweep);
    r->refs = 2; /* the timer, the upstream */
    *out = r;
    return 0;
}

static void on_upstream_closed(void *ctx)
{
    resolver_unref(ctx);
}

static void on_sweep_closed(uv_handle_t *handle)
{
    resolver_unref(CONTAINER_OF((uv_timer_t *)handle, struct resolver, sweep));
}

void resolver_close(struct resolver *r, void (*closed)(void *ctx), void *ctx)
{
    r->closed = closed;
    r->closed_ctx = ctx;
    LIST_EACH_SAFE(it, &r->seats)
    resolver_seat_close(CONTAINER_OF(it, struct resolver_seat, link));
    upstream_close(r->upstream, on_upstream_closed, r);
    uv_close((uv_handle_t *)&r->sweep, on_sweep_closed);
}
