/* Two small flows on streams: ask and answer. Each is on a list of its struct forward, so that
 * forward_close() finds what is still under way. */
#include "node/manager/forward.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"

#define REQUEST_LEN_MAX (8 * MIB)
#define REPLY_LEN_MAX   1024

FIELDS_DEFINE(forward_reply, FORWARD_REPLY_FIELDS);

struct forward {
    struct links *links;
    void (*propose)(void *ctx, struct forward_request *request, struct slice bytes);
    void *ctx;
    struct list asking;   /* struct asking: without a reply */
    struct list requests; /* struct forward_request: not proposed yet */
};

/* --- Asking */

struct asking {
    struct list link;
    struct link_stream *stream;
    struct buf out, in;
    size_t written;
    forward_done done;
    void *owner;
};

static void finish_asking(struct asking *a, int err)
{
    struct forward_reply reply = { 0 };

    list_remove(&a->link);
    if (err == 0 && fields_decode(&forward_reply_type, buf_slice(&a->in), &reply, NULL) < 0)
        err = ERR_UNKNOWN_OUTCOME;
    if (err < 0)
        a->done(a->owner, err, err_text(err), 0);
    else
        a->done(a->owner, (int)reply.err, reply.why == NULL ? "" : reply.why, reply.index);
    fields_deinit(&forward_reply_type, &reply);
    buf_deinit(&a->out);
    buf_deinit(&a->in);
    free(a);
}

static void write_more(struct asking *a, struct link_stream *s)
{
    while (a->written < a->out.len) {
        size_t len = MIN(a->out.len - a->written, link_stream_room(s));

        if (len == 0 || link_stream_write(s, slice_of(a->out.ptr + a->written, len)) < 0)
            return; /* on_writable, or on_closed, comes */
        a->written += len;
    }
    link_stream_finish(s, 0);
}

static void on_asking_writable(void *ctx, struct link_stream *s)
{
    write_more(ctx, s);
}

static void on_asking_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct asking *a = ctx;

    if (buf_append_slice(&a->in, data) < 0)
        buf_clear(&a->in); /* too long to be a reply: it will not decode */
    link_stream_consume(s, data.len);
}

static void on_asking_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)s;
    (void)status; /* on_closed follows */
}

static void on_asking_closed(void *ctx, struct link_stream *s, int reason)
{
    (void)s;
    finish_asking(ctx, reason == 0 ? 0 : ERR_UNKNOWN_OUTCOME);
}

void forward_propose(struct forward *f, const struct id *leader, struct slice bytes,
                     forward_done done, void *owner)
{
    static const struct link_stream_callbacks callbacks = {
        .on_data = on_asking_data,
        .on_writable = on_asking_writable,
        .on_finish = on_asking_finish,
        .on_closed = on_asking_closed,
    };
    struct asking *a = calloc(1, sizeof(*a));
    int rc = a == NULL ? -ENOMEM : 0;

    if (a != NULL) {
        a->done = done;
        a->owner = owner;
        list_init(&a->link);
        buf_init(&a->out, REQUEST_LEN_MAX);
        buf_init(&a->in, REPLY_LEN_MAX);
        rc = buf_append_slice(&a->out, bytes);
    }
    if (rc == 0)
        rc = link_stream_open(f->links, leader, LINK_FORWARD, slice_of_str("propose"), &callbacks,
                              a, &a->stream);
    if (rc < 0) {
        if (a != NULL) {
            buf_deinit(&a->out);
            buf_deinit(&a->in);
        }
        free(a);
        done(owner, rc, err_text(rc), 0);
        return;
    }
    list_push_back(&f->asking, &a->link);
    write_more(a, a->stream);
}

/* --- Answering */

struct forward_request {
    struct list link;
    struct forward *forward;
    struct link_stream *stream; /* NULL: the asker has gone */
    struct buf in;
    bool proposed;
};

static void free_request(struct forward_request *r)
{
    list_remove(&r->link);
    buf_deinit(&r->in);
    free(r);
}

static void on_request_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct forward_request *r = ctx;

    if (buf_append_slice(&r->in, data) < 0) {
        link_stream_reset(s, ERR_TOO_LARGE);
        free_request(r);
        return;
    }
    link_stream_consume(s, data.len);
}

static void on_request_finish(void *ctx, struct link_stream *s, int status)
{
    struct forward_request *r = ctx;

    (void)s;
    (void)status;
    r->proposed = true;
    list_remove(&r->link);
    r->forward->propose(r->forward->ctx, r, buf_slice(&r->in));
}

static void on_request_closed(void *ctx, struct link_stream *s, int reason)
{
    struct forward_request *r = ctx;

    (void)s;
    (void)reason;
    r->stream = NULL;
    if (!r->proposed)
        free_request(r);
}

static int on_stream(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *stream)
{
    static const struct link_stream_callbacks callbacks = {
        .on_data = on_request_data,
        .on_finish = on_request_finish,
        .on_closed = on_request_closed,
    };
    struct forward *f = ctx;
    struct forward_request *r;

    (void)from; /* the link admits managers only */
    (void)channel;
    if (!slice_equal(header, slice_of_str("propose")))
        return ERR_UNSUPPORTED;
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    r->forward = f;
    r->stream = stream;
    list_init(&r->link);
    list_push_back(&f->requests, &r->link);
    buf_init(&r->in, REQUEST_LEN_MAX);
    link_stream_accept(stream, &callbacks, r);
    return 0;
}

int forward_open(struct links *links,
                 void (*propose)(void *ctx, struct forward_request *request, struct slice bytes),
                 void *ctx, struct forward **out)
{
    struct forward *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -ENOMEM;
    *f = (struct forward){ .links = links, .propose = propose, .ctx = ctx };
    list_init(&f->asking);
    list_init(&f->requests);
    links_handle(links, LINK_FORWARD, &(struct link_handler){ .ctx = f, .on_stream = on_stream });
    *out = f;
    return 0;
}

void forward_close(struct forward *f)
{
    if (f == NULL)
        return;
    links_handle(f->links, LINK_FORWARD, &(struct link_handler){ 0 });
    while (!list_is_empty(&f->requests)) {
        struct forward_request *r =
            CONTAINER_OF(list_first(&f->requests), struct forward_request, link);

        link_stream_reset(r->stream, ERR_UNAVAILABLE);
        free_request(r);
    }
    while (!list_is_empty(&f->asking)) {
        struct asking *a = CONTAINER_OF(list_first(&f->asking), struct asking, link);

        link_stream_reset(a->stream, ERR_CLOSED);
        finish_asking(a, ERR_UNKNOWN_OUTCOME);
    }
    free(f);
}

void forward_answer(struct forward_request *r, int err, const char *why, uint64_t index)
{
    union {
        const char *shared;
        char *member; /* only encoded from */
    } text = { .shared = why };
    struct forward_reply reply = { .err = err, .why = text.member, .index = index };
    struct buf out;

    buf_init(&out, REPLY_LEN_MAX);
    if (r->stream != NULL) {
        if (fields_encode(&forward_reply_type, &reply, &out, NULL) == 0 &&
            link_stream_write(r->stream, buf_slice(&out)) == 0) {
            link_stream_finish(r->stream, 0);
        } else {
            link_stream_reset(r->stream, ERR_UNKNOWN_OUTCOME);
            r->stream = NULL; /* no callback follows */
        }
    }
    buf_deinit(&out);
    if (r->stream == NULL) {
        free_request(r);
    } else {
        r->proposed = false; /* on_closed frees it */
    }
}
