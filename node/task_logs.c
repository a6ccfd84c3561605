/* The reading side parses records out of the stream and gives the window back as they are used;
 * the serving side holds the log reader while the stream has no room. */
#include "node/task_logs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/task_stream.h"

#define RECORD_HEADER_LEN 14
#define RECORD_TEXT_MAX   (64 * KIB)

FIELDS_DEFINE(log_request, LOG_REQUEST_FIELDS);

/* --- Records */

static void put_header(uint8_t out[RECORD_HEADER_LEN], enum stream_source source, bool partial,
                       size_t len, wall_ns time)
{
    out[0] = (uint8_t)source;
    out[1] = partial;
    for (size_t i = 0; i < 4; i++)
        out[2 + i] = (uint8_t)(len >> (8 * i));
    for (size_t i = 0; i < 8; i++)
        out[6 + i] = (uint8_t)((uint64_t)time >> (8 * i));
}

static uint64_t get_number(const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* --- Reading */

struct task_logs {
    struct api_log_callbacks callbacks;
    struct link_stream *stream; /* NULL: over */
    struct buf in;
    size_t owed; /* bytes of the window that are kept back while held */
    bool held, closed, ended;
};

static void end(struct task_logs *l, int err)
{
    if (!l->ended) {
        l->ended = true;
        l->callbacks.on_end(l->callbacks.owner, err, err < 0 ? err_text(err) : "");
    }
    buf_deinit(&l->in);
    free(l);
}

/* Returns the bytes of one record at the front, 0 while it is not whole. */
static size_t take_record(struct task_logs *l, size_t at)
{
    const uint8_t *p = l->in.ptr + at;
    size_t left = l->in.len - at, len;

    if (left < RECORD_HEADER_LEN)
        return 0;
    len = (size_t)get_number(p + 2, 4);
    if (len > RECORD_TEXT_MAX || left - RECORD_HEADER_LEN < len)
        return 0;
    l->callbacks.on_record(
        l->callbacks.owner, p[0] == STREAM_STDERR ? STREAM_STDERR : STREAM_STDOUT,
        (wall_ns)get_number(p + 6, 8), slice_of(p + RECORD_HEADER_LEN, len), p[1] != 0);
    return RECORD_HEADER_LEN + len;
}

static void take_records(struct task_logs *l)
{
    size_t at = 0, len;

    while (!l->closed && !l->held && (len = take_record(l, at)) > 0)
        at += len;
    buf_consume(&l->in, at);
}

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct task_logs *l = ctx;

    if (buf_append_slice(&l->in, data) < 0) {
        link_stream_reset(s, ERR_MALFORMED);
        l->stream = NULL;
        end(l, ERR_MALFORMED);
        return;
    }
    take_records(l);
    if (l->held)
        l->owed += data.len;
    else
        link_stream_consume(s, data.len);
}

static void on_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)status;
    link_stream_finish(s, 0);
}

static void on_closed(void *ctx, struct link_stream *s, int reason)
{
    struct task_logs *l = ctx;

    (void)s;
    l->stream = NULL;
    l->held = false;
    take_records(l);
    end(l, reason);
}

struct task_logs *task_logs_open(struct links *links, const struct task *task,
                                 const struct logs_options *options,
                                 const struct api_log_callbacks *callbacks)
{
    static const struct link_stream_callbacks stream = { .on_data = on_data,
                                                         .on_finish = on_finish,
                                                         .on_closed = on_closed };
    struct log_request request = { .task_id = task->id,
                                   .out = options->out,
                                   .err = options->err,
                                   .follow = options->follow,
                                   .since = options->since,
                                   .until = options->until,
                                   .tail = options->tail };
    struct task_logs *l = calloc(1, sizeof(*l));
    struct buf header;
    int rc;

    if (l == NULL)
        return NULL;
    l->callbacks = *callbacks;
    buf_init(&l->in, 4 * (RECORD_TEXT_MAX + LINK_STREAM_WINDOW));
    buf_init(&header, LINK_HEADER_LEN_MAX);
    rc = fields_encode(&log_request_type, &request, &header, NULL);
    if (rc == 0)
        rc = link_stream_open(links, &task->node_id, LINK_LOGS, buf_slice(&header), &stream, l,
                              &l->stream);
    buf_deinit(&header);
    if (rc < 0) {
        free(l);
        return NULL;
    }
    return l;
}

void task_logs_hold(struct task_logs *l)
{
    l->held = true;
}

void task_logs_resume(struct task_logs *l)
{
    l->held = false;
    take_records(l);
    if (l->stream != NULL && l->owed > 0)
        link_stream_consume(l->stream, l->owed);
    l->owed = 0;
}

void task_logs_close(struct task_logs *l)
{
    l->closed = true;
    if (l->stream != NULL)
        link_stream_reset(l->stream, ERR_CLOSED);
    l->stream = NULL;
    end(l, ERR_CLOSED);
}

/* --- Serving */

struct server {
    struct runtime *runtime;
};

struct serving {
    struct link_stream *stream; /* NULL: the asker has gone */
    struct runtime_logs *logs;  /* NULL: all is read */
    struct buf waiting;         /* what the stream had no room for */
    int err;
};

static void free_if_over(struct serving *s)
{
    if (s->stream != NULL || s->logs != NULL)
        return;
    buf_deinit(&s->waiting);
    free(s);
}

/* False: there is no memory to send what waits; the stream is cut off, so that nobody takes what
 * came for all there is. */
static bool flush(struct serving *s)
{
    if (s->stream == NULL)
        return true;
    if (!task_stream_flush(s->stream, &s->waiting)) {
        link_stream_reset(s->stream, -ENOMEM);
        return false;
    }
    if (s->waiting.len > 0 && s->logs != NULL)
        runtime_logs_hold(s->logs);
    else if (s->waiting.len == 0 && s->logs != NULL)
        runtime_logs_resume(s->logs);
    else if (s->waiting.len == 0)
        link_stream_finish(s->stream, s->err);
    return true;
}

/* Nobody reads any more. */
static void let_go(struct serving *s)
{
    s->stream = NULL;
    if (s->logs != NULL)
        runtime_logs_close(s->logs); /* on_end follows */
    else
        free_if_over(s);
}

static void on_record(void *owner, enum stream_source source, wall_ns time, struct slice text,
                      bool partial)
{
    struct serving *s = owner;
    uint8_t header[RECORD_HEADER_LEN];

    put_header(header, source, partial, text.len, time);
    if (buf_append(&s->waiting, header, sizeof(header)) == 0 &&
        buf_append_slice(&s->waiting, text) < 0)
        s->waiting.len -= sizeof(header); /* a record that does not fit is left out */
    if (!flush(s))
        let_go(s);
}

static void on_end(void *owner, int err, const char *message)
{
    struct serving *s = owner;

    (void)message;
    s->logs = NULL;
    s->err = err;
    if (!flush(s))
        s->stream = NULL;
    free_if_over(s);
}

static void on_served_data(void *ctx, struct link_stream *s, struct slice data)
{
    (void)ctx;
    link_stream_consume(s, data.len); /* nothing is expected */
}

static void on_served_writable(void *ctx, struct link_stream *s)
{
    (void)s;
    if (!flush(ctx))
        let_go(ctx);
}

static void on_served_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)s;
    (void)status;
}

static void on_served_closed(void *ctx, struct link_stream *stream, int reason)
{
    (void)stream;
    (void)reason;
    let_go(ctx);
}

static int on_stream(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *stream)
{
    static const struct link_stream_callbacks callbacks = { .on_data = on_served_data,
                                                            .on_writable = on_served_writable,
                                                            .on_finish = on_served_finish,
                                                            .on_closed = on_served_closed };
    struct server *server = ctx;
    struct log_request request;
    struct logs_options options;
    struct serving *s;

    (void)from; /* the link admits managers only */
    (void)channel;
    if (fields_decode(&log_request_type, header, &request, NULL) < 0)
        return ERR_MALFORMED;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    options = (struct logs_options){ .out = request.out,
                                     .err = request.err,
                                     .follow = request.follow,
                                     .since = request.since,
                                     .until = request.until,
                                     .tail = request.tail };
    buf_init(&s->waiting, 4 * (RECORD_TEXT_MAX + LINK_STREAM_WINDOW));
    s->stream = stream;
    link_stream_accept(stream, &callbacks, s);
    s->logs =
        runtime_logs_open(server->runtime, request.task_id.text, &options, on_record, on_end, s);
    return 0;
}

void task_logs_serve(struct links *links, struct runtime *runtime)
{
    static struct server server; /* one node per process */

    server.runtime = runtime;
    links_handle(links, LINK_LOGS,
                 &(struct link_handler){ .ctx = &server, .on_stream = on_stream });
}
