/* One struct conn per connection, in one of two states: open, or ending. Ending waits for the write
 * under way, if there is one, then closes the handle, whose callback makes the only report. */
#include "node/cluster/gossip_driver_tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/check.h"
#include "base/list.h"
#include "node/cluster/gossip_driver_addr.h"

#define CONNS_MAX 128
#define BACKLOG   32
#define READ_LEN  65536

struct conn {
    struct list link;
    struct gossip_tcp *tcp;
    uint64_t stream;
    uv_tcp_t handle;
    uv_connect_t connect;
    uv_write_t write;
    uint8_t *writing; /* bytes of the write under way; NULL = none */
    bool ending;
};

struct gossip_tcp {
    uv_loop_t *loop;
    struct gossip_driver *driver;
    uv_tcp_t listener;
    bool has_listener;
    bool closing;
    struct list conns;
    size_t conn_count;
    uint8_t *read_buf;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

int gossip_tcp_new(uv_loop_t *loop, struct gossip_tcp **out)
{
    struct gossip_tcp *tcp = calloc(1, sizeof(*tcp));

    if (tcp == NULL)
        return -ENOMEM;
    tcp->read_buf = malloc(READ_LEN);
    if (tcp->read_buf == NULL) {
        free(tcp);
        return -ENOMEM;
    }
    tcp->loop = loop;
    list_init(&tcp->conns);
    *out = tcp;
    return 0;
}

void gossip_tcp_free(struct gossip_tcp *tcp)
{
    if (tcp == NULL)
        return;
    CHECK(tcp->conn_count == 0 && !tcp->has_listener);
    free(tcp->read_buf);
    free(tcp);
}

static void finish_closing(struct gossip_tcp *tcp)
{
    if (tcp->closing && tcp->conn_count == 0 && !tcp->has_listener)
        tcp->on_closed(tcp->on_closed_ctx);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct gossip_tcp *tcp = c->tcp;

    if (!tcp->closing && tcp->driver != NULL && c->stream != 0)
        gossip_driver_stream_closed(tcp->driver, c->stream);
    list_remove(&c->link);
    tcp->conn_count--;
    free(c->writing);
    free(c);
    finish_closing(tcp);
}

static void cut(struct conn *c)
{
    c->ending = true;
    if (!uv_is_closing((uv_handle_t *)&c->handle))
        uv_close((uv_handle_t *)&c->handle, on_conn_closed);
}

static struct conn *conn_new(struct gossip_tcp *tcp)
{
    struct conn *c;

    if (tcp->conn_count >= CONNS_MAX || tcp->closing)
        return NULL;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->tcp = tcp;
    if (uv_tcp_init(tcp->loop, &c->handle) < 0) {
        free(c);
        return NULL;
    }
    c->handle.data = c;
    list_init(&c->link);
    list_push_back(&tcp->conns, &c->link);
    tcp->conn_count++;
    return c;
}

static struct conn *find(struct gossip_tcp *tcp, uint64_t stream)
{
    LIST_EACH(it, &tcp->conns)
    {
        struct conn *c = CONTAINER_OF(it, struct conn, link);

        if (c->stream == stream)
            return c;
    }
    return NULL;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)c->tcp->read_buf, READ_LEN);
}

static void on_read(uv_stream_t *handle, ssize_t len, const uv_buf_t *buf)
{
    struct conn *c = handle->data;

    if (len < 0)
        cut(c);
    else if (len > 0 && !c->ending && c->tcp->driver != NULL)
        gossip_driver_stream_data(c->tcp->driver, c->stream, slice_of(buf->base, (size_t)len));
}

static void on_connect(uv_connect_t *req, int status)
{
    struct conn *c = CONTAINER_OF(req, struct conn, connect);

    if (status < 0 || c->ending || uv_read_start((uv_stream_t *)&c->handle, on_alloc, on_read) < 0)
        cut(c);
    else
        gossip_driver_stream_writable(c->tcp->driver, c->stream);
}

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = CONTAINER_OF(req, struct conn, write);

    free(c->writing);
    c->writing = NULL;
    if (status < 0 || c->ending)
        cut(c);
    else
        gossip_driver_stream_writable(c->tcp->driver, c->stream);
}

static int open_conn(void *ctx, uint64_t stream, const struct id *peer,
                     const struct gossip_addr *addr)
{
    struct gossip_tcp *tcp = ctx;
    struct sockaddr_storage sa;
    struct conn *c = conn_new(tcp);
    int rc;

    (void)peer; /* the address is all that TCP needs */
    if (c == NULL)
        return -ENOMEM;
    gossip_addr_to_sockaddr(addr, addr->len == 4 + 2 ? AF_INET : AF_INET6, &sa);
    rc = uv_tcp_connect(&c->connect, &c->handle, (const struct sockaddr *)&sa, on_connect);
    if (rc < 0) { /* stream is still 0: the return value is the report */
        cut(c);
        return rc;
    }
    c->stream = stream;
    return 0;
}

static int send_bytes(void *ctx, uint64_t stream, struct slice bytes)
{
    struct conn *c = find(ctx, stream);
    uv_buf_t buf;

    if (c == NULL || c->ending)
        return 0;              /* its end is being reported */
    CHECK(c->writing == NULL); /* the core sends one frame at a time */
    c->writing = malloc(bytes.len);
    if (c->writing == NULL) {
        cut(c);
        return 0;
    }
    memcpy(c->writing, bytes.ptr, bytes.len);
    buf = uv_buf_init((char *)c->writing, (unsigned)bytes.len);
    if (uv_write(&c->write, (uv_stream_t *)&c->handle, &buf, 1, on_written) < 0)
        cut(c);
    return 0;
}

static void close_conn(void *ctx, uint64_t stream)
{
    struct conn *c = find(ctx, stream);

    if (c == NULL)
        return;
    c->ending = true;
    if (c->writing == NULL)
        cut(c);
}

struct gossip_transport gossip_tcp_transport(struct gossip_tcp *tcp)
{
    return (struct gossip_transport){
        .ctx = tcp, .open = open_conn, .send = send_bytes, .close = close_conn
    };
}

static void on_dropped(uv_handle_t *handle)
{
    free(handle);
}

static void drop_connection(struct gossip_tcp *tcp, uv_stream_t *listener)
{
    uv_tcp_t *handle = malloc(sizeof(*handle));

    if (handle == NULL || uv_tcp_init(tcp->loop, handle) < 0) {
        free(handle);
        return;
    }
    (void)uv_accept(listener, (uv_stream_t *)handle); /* closed either way */
    uv_close((uv_handle_t *)handle, on_dropped);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct gossip_tcp *tcp = listener->data;
    struct conn *c;

    if (status < 0)
        return; /* out of descriptors, say: the next one may do better */
    c = conn_new(tcp);
    if (c == NULL) {
        /* Too many: accept and drop, or it would be offered again and again. */
        drop_connection(tcp, listener);
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&c->handle) < 0 ||
        uv_read_start((uv_stream_t *)&c->handle, on_alloc, on_read) < 0) {
        cut(c);
        return;
    }
    c->stream = gossip_driver_stream_inbound(tcp->driver);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct gossip_tcp *tcp = handle->data;

    tcp->has_listener = false;
    finish_closing(tcp);
}

int gossip_tcp_attach(struct gossip_tcp *tcp, struct gossip_driver *d)
{
    struct gossip_addr bound = gossip_driver_bound(d);
    struct sockaddr_storage sa;
    int rc = uv_tcp_init(tcp->loop, &tcp->listener);

    if (rc < 0)
        return rc;
    tcp->driver = d;
    tcp->has_listener = true;
    tcp->listener.data = tcp;
    gossip_addr_to_sockaddr(&bound, bound.len == 4 + 2 ? AF_INET : AF_INET6, &sa);
    rc = uv_tcp_bind(&tcp->listener, (const struct sockaddr *)&sa, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&tcp->listener, BACKLOG, on_connection);
    return rc;
}

void gossip_tcp_close(struct gossip_tcp *tcp, void (*on_closed)(void *ctx), void *ctx)
{
    CHECK(!tcp->closing);
    tcp->closing = true;
    tcp->on_closed = on_closed;
    tcp->on_closed_ctx = ctx;
    LIST_EACH(it, &tcp->conns)
    cut(CONTAINER_OF(it, struct conn, link));
    if (!tcp->has_listener) {
        /* Never attached: a handle is made only to be called back from the loop. */
        if (uv_tcp_init(tcp->loop, &tcp->listener) < 0)
            return;
        tcp->has_listener = true;
        tcp->listener.data = tcp;
    }
    uv_close((uv_handle_t *)&tcp->listener, on_listener_closed);
}
