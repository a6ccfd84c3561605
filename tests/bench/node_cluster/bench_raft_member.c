/* One Raft member for bench_raft.c: the driver, its log on a real disk, plain TCP to peers and
 * clients on loopback.
 *
 *     bench_node_cluster_raft_member ID PORT DIR     member i listens on PORT + i
 *
 * Frames: length (4), then for peers the sender's id (8) and a raft message, for clients a tag (8),
 * an operation (1) and its bytes. The state machine is a table of values in memory. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>
#include <uv.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/units.h"
#include "node/cluster/raft_driver.h"

#define MEMBERS         3
#define FRAME_BYTES_MAX (16 * MIB)
#define READ_BYTES      ((size_t)(256 * KIB))
#define VALUES          65536
#define VALUE_BYTES_MAX 256
#define REDIAL_MS       20
#define LINGER_MS       100 /* after it has stopped */

struct conn { /* accepted: from a peer or a client */
    uv_tcp_t tcp;
    struct member *member;
    struct buf in, out;
    struct conn *next_dirty;
    bool is_dirty, is_closing;
    unsigned open_requests; /* proposals whose outcome goes here */
};

struct peer { /* dialled: what this member says to another */
    struct member *member;
    raft_node_id id;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_timer_t redial;
    struct buf out;
    bool is_connected;
};

struct request {
    struct conn *conn;
    uint64_t tag;
};

struct member {
    uv_loop_t loop;
    raft_node_id id;
    int port;
    uv_tcp_t listener;
    uv_prepare_t flush;    /* runs after the driver's, which was started later */
    uv_timer_t checkpoint; /* at last: the end */
    uv_signal_t sigterm;
    struct raft_driver *driver; /* NULL once it has stopped */
    struct peer peers[MEMBERS];
    struct conn *dirty;
    raft_index applied;
    uint8_t (*values)[VALUE_BYTES_MAX];
};

/* --- The state machine. */

static int on_apply(void *ctx, raft_index index, raft_term term, struct slice data)
{
    struct member *m = ctx;
    uint64_t key;

    (void)term;
    m->applied = index;
    if (data.len < sizeof(key))
        return 0;
    memcpy(&key, data.ptr, sizeof(key));
    memcpy(m->values[key % VALUES], data.ptr + sizeof(key),
           MIN(data.len - sizeof(key), (size_t)VALUE_BYTES_MAX));
    return 0;
}

static void on_applied(void *ctx, raft_index index)
{
    (void)ctx;
    (void)index;
}

static int save(void *ctx, struct buf *out)
{
    struct member *m = ctx;

    return buf_append(out, m->values, VALUES * sizeof(m->values[0]));
}

static int restore(void *ctx, raft_index index, struct slice snapshot)
{
    struct member *m = ctx;

    if (snapshot.len != VALUES * sizeof(m->values[0]))
        return ERR_MALFORMED;
    memcpy(m->values, snapshot.ptr, snapshot.len);
    m->applied = index;
    return 0;
}

/* --- Sending. */

struct write {
    uv_write_t req;
    uint8_t *bytes;
};

static void on_written(uv_write_t *req, int status)
{
    struct write *w = CONTAINER_OF(req, struct write, req);

    (void)status; /* a broken connection ends its reader too */
    free(w->bytes);
    free(w);
}

/* As much as the socket takes now; the rest is queued. */
static void write_out(uv_tcp_t *tcp, struct buf *out)
{
    uv_buf_t b = uv_buf_init((char *)out->ptr, (unsigned)out->len);
    int sent = uv_try_write((uv_stream_t *)tcp, &b, 1);
    struct write *w;

    if (sent > 0)
        buf_consume(out, (size_t)sent);
    if (out->len == 0 || (sent < 0 && sent != UV_EAGAIN)) {
        buf_clear(out);
        return;
    }
    w = malloc(sizeof(*w));
    CHECK(w != NULL);
    b.len = out->len;
    w->bytes = buf_take(out, &b.len);
    b.base = (char *)w->bytes;
    if (uv_write(&w->req, (uv_stream_t *)tcp, &b, 1, on_written) < 0)
        on_written(&w->req, -1);
}

static void on_flush(uv_prepare_t *prepare)
{
    struct member *m = prepare->data;

    for (unsigned i = 0; i < MEMBERS; i++)
        if (m->peers[i].is_connected && m->peers[i].out.len > 0)
            write_out(&m->peers[i].tcp, &m->peers[i].out);
    while (m->dirty != NULL) {
        struct conn *c = m->dirty;

        m->dirty = c->next_dirty;
        c->is_dirty = false;
        if (!c->is_closing)
            write_out(&c->tcp, &c->out);
    }
}

static void send_message(void *ctx, raft_node_id to, struct slice bytes)
{
    struct member *m = ctx;
    struct peer *p = &m->peers[to - 1];
    uint32_t len = (uint32_t)(bytes.len + sizeof(m->id));

    if (!p->is_connected || p->out.len > FRAME_BYTES_MAX)
        return; /* losing one is allowed */
    CHECK(buf_append(&p->out, &len, sizeof(len)) == 0);
    CHECK(buf_append(&p->out, &m->id, sizeof(m->id)) == 0);
    CHECK(buf_append_slice(&p->out, bytes) == 0);
}

static void answer(struct conn *c, uint64_t tag, int err, uint64_t value)
{
    uint32_t len = 20;
    int32_t code = err;

    if (c->is_closing)
        return;
    CHECK(buf_append(&c->out, &len, sizeof(len)) == 0);
    CHECK(buf_append(&c->out, &tag, sizeof(tag)) == 0);
    CHECK(buf_append(&c->out, &code, sizeof(code)) == 0);
    CHECK(buf_append(&c->out, &value, sizeof(value)) == 0);
    if (c->is_dirty)
        return;
    c->is_dirty = true;
    c->next_dirty = c->member->dirty;
    c->member->dirty = c;
}

/* --- Receiving. */

static void free_conn(struct conn *c)
{
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    free(c);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;

    if (c->open_requests == 0 && !c->is_dirty)
        free_conn(c); /* else it is leaked: a client that left in the middle, at the bench's end */
}

static void close_conn(struct conn *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
}

static void on_done(void *owner, int err, raft_index index, int apply_result)
{
    struct request *r = owner;

    (void)apply_result;
    r->conn->open_requests--;
    answer(r->conn, r->tag, err, index);
    free(r);
}

static struct request *new_request(struct conn *c, uint64_t tag)
{
    struct request *r = malloc(sizeof(*r));

    CHECK(r != NULL);
    *r = (struct request){ .conn = c, .tag = tag };
    c->open_requests++;
    return r;
}

static void handle_client(struct conn *c, uint64_t tag, struct slice request)
{
    struct member *m = c->member;
    struct raft_status status;
    struct raft_conf_op op = { .type = RAFT_ADD_VOTER };
    const struct raft_member *found;

    switch (request.ptr[0]) {
    case 'P': /* put: key 8, value */
        raft_driver_propose(m->driver, slice_of(request.ptr + 1, request.len - 1), on_done,
                            new_request(c, tag));
        break;
    case 'A': /* add a voter */
        op.id = request.ptr[1];
        raft_driver_change(m->driver, &op, 1, on_done, new_request(c, tag));
        break;
    case 'V': /* is it a voter? */
        found = raft_conf_find(raft_driver_conf(m->driver), request.ptr[1]);
        answer(c, tag, 0,
               found != NULL && (found->flags & RAFT_VOTER) != 0 &&
                   !raft_driver_conf(m->driver)->joint);
        break;
    default: /* is it the leader? */
        raft_driver_status(m->driver, &status);
        answer(c, tag, 0, status.role == RAFT_LEADER);
        break;
    }
}

/* A frame without an operation is a peer's: its tag is the sender's id. */
static void take_frames(struct conn *c)
{
    size_t at = 0;

    while (!c->is_closing && c->in.len - at >= 12) {
        uint32_t len;
        uint64_t tag;

        memcpy(&len, c->in.ptr + at, sizeof(len));
        if (len < 9 || len > FRAME_BYTES_MAX) {
            close_conn(c);
            return;
        }
        if (c->in.len - at < 4 + (size_t)len)
            break;
        memcpy(&tag, c->in.ptr + at + 4, sizeof(tag));
        if (c->member->driver == NULL)
            answer(c, tag, ERR_UNAVAILABLE, 0);
        else if (tag >= 1 && tag <= MEMBERS)
            CHECK(raft_driver_receive(c->member->driver, tag,
                                      slice_of(c->in.ptr + at + 12, len - 8)) == 0);
        else
            handle_client(c, tag, slice_of(c->in.ptr + at + 12, len - 8));
        at += 4 + (size_t)len;
    }
    buf_consume(&c->in, at);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    static char bytes[256 * 1024]; /* consumed before the next read */

    (void)handle;
    (void)suggested;
    *out = uv_buf_init(bytes, sizeof(bytes));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = stream->data;

    if (n < 0) {
        close_conn(c);
        return;
    }
    CHECK(buf_append(&c->in, b->base, (size_t)n) == 0);
    take_frames(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct member *m = listener->data;
    struct conn *c = calloc(1, sizeof(*c));

    CHECK(status == 0 && c != NULL);
    c->member = m;
    buf_init(&c->in, 2 * FRAME_BYTES_MAX);
    buf_init(&c->out, 2 * FRAME_BYTES_MAX);
    CHECK(uv_tcp_init(&m->loop, &c->tcp) == 0);
    c->tcp.data = c;
    CHECK(uv_accept(listener, (uv_stream_t *)&c->tcp) == 0);
    CHECK(uv_tcp_nodelay(&c->tcp, 1) == 0);
    CHECK(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) == 0);
}

/* --- Dialling. */

static void dial(struct peer *p);

static void on_redial(uv_timer_t *timer)
{
    dial(timer->data);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *p = handle->data;

    CHECK(uv_timer_start(&p->redial, on_redial, REDIAL_MS, 0) == 0);
}

static void on_peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct peer *p = stream->data;

    (void)b;
    if (n >= 0 || !p->is_connected)
        return;
    p->is_connected = false;
    buf_clear(&p->out);
    if (p->member->driver != NULL)
        raft_driver_unreachable(p->member->driver, p->id);
    uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct peer *p = CONTAINER_OF(req, struct peer, connect);

    if (status < 0) {
        uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
        return;
    }
    p->is_connected = true;
    CHECK(uv_tcp_nodelay(&p->tcp, 1) == 0);
    CHECK(uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_peer_read) == 0);
}

static void dial(struct peer *p)
{
    struct sockaddr_in address;

    CHECK(uv_ip4_addr("127.0.0.1", p->member->port + (int)p->id, &address) == 0);
    CHECK(uv_tcp_init(&p->member->loop, &p->tcp) == 0);
    p->tcp.data = p;
    if (uv_tcp_connect(&p->connect, &p->tcp, (const struct sockaddr *)&address, on_connect) < 0)
        uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
}

/* --- Life. */

static void on_failed(void *ctx, int err, const char *why)
{
    (void)ctx;
    (void)fprintf(stderr, "member failed: %s (%d)\n", why, err);
    exit(1);
}

/* The state machine is in memory only, so nothing is ever durable; but a log that is never
 * compacted is full after 256 MiB. SHOAL_BENCH_COMPACT=1 lets the log go as it would with a durable
 * copy. */
static void on_checkpoint(uv_timer_t *timer)
{
    struct member *m = timer->data;

    raft_driver_durable(m->driver, m->applied);
}

static void on_lingered(uv_timer_t *timer)
{
    (void)timer;
    exit(0);
}

/* Whoever connected at the last moment is told to ask elsewhere, not cut off without a word. */
static void on_stopped(void *ctx)
{
    struct member *m = ctx;

    m->driver = NULL;
    CHECK(uv_timer_start(&m->checkpoint, on_lingered, LINGER_MS, 0) == 0);
}

static void on_sigterm(uv_signal_t *handle, int number)
{
    struct member *m = handle->data;

    (void)number;
    raft_driver_stop(m->driver, on_stopped, m);
    (void)uv_signal_stop(handle); /* once */
}

static void start_driver(struct member *m, const char *dir)
{
    struct raft_conf conf;
    char why[256];
    struct raft_driver_config cfg = {
        .loop = &m->loop,
        .dir = dir,
        .id = m->id,
        .machine = { m, on_apply, on_applied, save, restore },
        .ctx = m,
        .send = send_message,
        .on_failed = on_failed,
    };

    CHECK(id_parse(slice_of_str("benchbenchbenchbenchbench"), &cfg.cluster) == 0);
    CHECK(raft_conf_init(&conf, m->id, (struct slice){ 0 }) == 0);
    if (m->id == 1)
        cfg.bootstrap = &conf;
    if (raft_driver_open(&cfg, &m->driver, why, sizeof(why)) < 0) {
        (void)fprintf(stderr, "member %" PRIu64 ": %s\n", m->id, why);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    struct member *m = calloc(1, sizeof(*m));

    if (argc != 4 || m == NULL) {
        (void)fprintf(stderr, "usage: %s ID PORT DIR\n", argv[0]);
        return 2;
    }
    m->id = strtoull(argv[1], NULL, 10);
    m->port = (int)strtol(argv[2], NULL, 10);
    m->values = calloc(VALUES, sizeof(m->values[0]));
    CHECK(m->values != NULL && sodium_init() >= 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK(uv_loop_init(&m->loop) == 0);
    CHECK(uv_prepare_init(&m->loop, &m->flush) == 0);
    CHECK(uv_timer_init(&m->loop, &m->checkpoint) == 0);
    CHECK(uv_signal_init(&m->loop, &m->sigterm) == 0);
    m->flush.data = m->checkpoint.data = m->sigterm.data = m;
    CHECK(uv_prepare_start(&m->flush, on_flush) == 0);
    CHECK(uv_signal_start(&m->sigterm, on_sigterm, SIGTERM) == 0);
    start_driver(m, argv[3]);
    if (getenv("SHOAL_BENCH_COMPACT") != NULL)
        CHECK(uv_timer_start(&m->checkpoint, on_checkpoint, 100, 100) == 0);
    CHECK(uv_tcp_init(&m->loop, &m->listener) == 0);
    m->listener.data = m;
    CHECK(uv_ip4_addr("127.0.0.1", m->port + (int)m->id, &address) == 0);
    CHECK(uv_tcp_bind(&m->listener, (const struct sockaddr *)&address, 0) == 0);
    CHECK(uv_listen((uv_stream_t *)&m->listener, 512, on_connection) == 0);
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct peer *p = &m->peers[i];

        *p = (struct peer){ .member = m, .id = i + 1 };
        buf_init(&p->out, 3 * FRAME_BYTES_MAX);
        CHECK(uv_timer_init(&m->loop, &p->redial) == 0);
        p->redial.data = p;
        if (p->id != m->id)
            dial(p);
    }
    return uv_run(&m->loop, UV_RUN_DEFAULT);
}
