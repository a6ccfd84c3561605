/* One struct pipe per stream. The core has one frame in flight; the link takes it at once or, when
 * its buffer is full, the pipe keeps it until there is room. */
#include "node/cluster/gossip_driver_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"

struct pipe {
    struct list link;
    struct gossip_link *owner;
    struct link_stream *stream;
    uint64_t number;
    uint8_t *held; /* a frame that the link had no room for; NULL = none */
    size_t held_len;
    bool ending; /* CLOSE came: finish once nothing is held */
    bool finished;
};

struct gossip_link {
    struct links *links;
    struct gossip_driver *driver; /* NULL: nobody listens */
    struct list pipes;
};

static void finish(struct pipe *p)
{
    if (p->finished)
        return;
    p->finished = true;
    link_stream_finish(p->stream, 0);
}

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct pipe *p = ctx;

    if (p->owner->driver != NULL && !p->ending)
        gossip_driver_stream_data(p->owner->driver, p->number, data);
    link_stream_consume(s, data.len);
}

/* 0, or what link_stream_write() says; ERR_FULL is not an end. */
static int write_frame(struct pipe *p, struct slice bytes)
{
    int rc = link_stream_write(p->stream, bytes);

    if (rc == 0 && p->owner->driver != NULL)
        gossip_driver_stream_writable(p->owner->driver, p->number);
    return rc;
}

static void on_writable(void *ctx, struct link_stream *s)
{
    struct pipe *p = ctx;

    (void)s;
    if (p->held == NULL || write_frame(p, slice_of(p->held, p->held_len)) == ERR_FULL)
        return;
    free(p->held); /* written, or the stream is over and will say so */
    p->held = NULL;
    if (p->ending)
        finish(p);
}

/* The other side has said all and waits for nothing more: so have we. */
static void on_finish(void *ctx, struct link_stream *s, int status)
{
    (void)s;
    (void)status; /* an exchange cut short leaves no half state */
    finish(ctx);
}

static void on_closed(void *ctx, struct link_stream *s, int reason)
{
    struct pipe *p = ctx;

    (void)s;
    (void)reason;
    if (p->owner->driver != NULL)
        gossip_driver_stream_closed(p->owner->driver, p->number);
    list_remove(&p->link);
    free(p->held);
    free(p);
}

static const struct link_stream_callbacks callbacks = {
    .on_data = on_data,
    .on_writable = on_writable,
    .on_finish = on_finish,
    .on_closed = on_closed,
};

static struct pipe *pipe_new(struct gossip_link *gl)
{
    struct pipe *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->owner = gl;
    list_init(&p->link);
    list_push_back(&gl->pipes, &p->link);
    return p;
}

static void pipe_free(struct pipe *p)
{
    list_remove(&p->link);
    free(p);
}

static struct pipe *find(struct gossip_link *gl, uint64_t number)
{
    LIST_EACH(it, &gl->pipes)
    {
        struct pipe *p = CONTAINER_OF(it, struct pipe, link);

        if (p->number == number)
            return p;
    }
    return NULL;
}

static int open_pipe(void *ctx, uint64_t stream, const struct id *peer,
                     const struct gossip_addr *addr)
{
    struct gossip_link *gl = ctx;
    struct pipe *p;
    int rc;

    (void)addr; /* links know where their nodes are */
    if (id_is_none(peer))
        return ERR_UNAVAILABLE;
    p = pipe_new(gl);
    if (p == NULL)
        return -ENOMEM;
    p->number = stream;
    rc = link_stream_open(gl->links, peer, LINK_GOSSIP, (struct slice){ 0 }, &callbacks, p,
                          &p->stream);
    if (rc < 0) {
        pipe_free(p);
        return rc;
    }
    if (gl->driver != NULL)
        gossip_driver_stream_writable(gl->driver, stream);
    return 0;
}

static int send_frame(void *ctx, uint64_t stream, struct slice bytes)
{
    struct pipe *p = find(ctx, stream);

    if (p == NULL || p->ending || p->finished)
        return 0;           /* its end is being reported */
    CHECK(p->held == NULL); /* one frame at a time */
    if (write_frame(p, bytes) != ERR_FULL)
        return 0; /* written; or over, and on_closed comes */
    p->held = malloc(bytes.len);
    if (p->held == NULL) {
        finish(p);
        return 0;
    }
    memcpy(p->held, bytes.ptr, bytes.len);
    p->held_len = bytes.len;
    return 0;
}

static void close_pipe(void *ctx, uint64_t stream)
{
    struct pipe *p = find(ctx, stream);

    if (p == NULL)
        return;
    p->ending = true;
    if (p->held == NULL)
        finish(p);
}

static int accept_pipe(void *ctx, const struct link_peer *from, enum link_channel channel,
                       struct slice header, struct link_stream *stream)
{
    struct gossip_link *gl = ctx;
    struct pipe *p;

    (void)from; /* the frames say who speaks, and records are signed */
    (void)channel;
    (void)header;
    if (gl->driver == NULL)
        return ERR_UNAVAILABLE;
    p = pipe_new(gl);
    if (p == NULL)
        return -ENOMEM;
    p->stream = stream;
    p->number = gossip_driver_stream_inbound(gl->driver);
    link_stream_accept(stream, &callbacks, p);
    return 0;
}

int gossip_link_new(struct links *links, struct gossip_link **out)
{
    struct gossip_link *gl = calloc(1, sizeof(*gl));

    if (gl == NULL)
        return -ENOMEM;
    gl->links = links;
    list_init(&gl->pipes);
    links_handle(links, LINK_GOSSIP, &(struct link_handler){ .ctx = gl, .on_stream = accept_pipe });
    *out = gl;
    return 0;
}

struct gossip_transport gossip_link_transport(struct gossip_link *gl)
{
    return (struct gossip_transport){
        .ctx = gl, .open = open_pipe, .send = send_frame, .close = close_pipe
    };
}

void gossip_link_attach(struct gossip_link *gl, struct gossip_driver *d)
{
    gl->driver = d;
}

void gossip_link_free(struct gossip_link *gl)
{
    if (gl == NULL)
        return;
    CHECK(list_is_empty(&gl->pipes));
    free(gl);
}
