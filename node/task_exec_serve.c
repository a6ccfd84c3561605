/* The serving end.
 *
 *     stream -> in -> command      the window is given back as the command takes its input
 *     command -> out -> stream     the command is held while the stream has no room
 *
 * A command whose asker is gone is ended, except a detached one: that ends by itself. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "node/exec_wire.h"
#include "node/task_exec.h"
#include "node/task_stream.h"

#define IN_MAX   (LINK_STREAM_WINDOW + EXEC_FRAME_LEN_MAX + EXEC_FRAME_HEADER_LEN)
#define OUT_HIGH (128 * KIB)
#define OUT_MAX  (4 * OUT_HIGH)
#define RETRY_MS 10 /* while the command does not read its input */

struct serving {
    struct task_exec_server *server; /* NULL: the asker has gone */
    struct link_stream *stream;      /* NULL: the same */
    struct runtime_stream *process;  /* NULL: ended */
    uv_timer_t retry;
    struct buf in, out;
    bool detach, held, closing;
};

static void on_retry_closed(uv_handle_t *handle)
{
    struct serving *s = handle->data;

    buf_deinit(&s->in);
    buf_deinit(&s->out);
    free(s);
}

static void free_if_over(struct serving *s)
{
    if (s->stream != NULL || s->process != NULL || s->closing)
        return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->retry, on_retry_closed);
}

/* The asker is no more, whoever ended it. */
static void let_go(struct serving *s)
{
    s->stream = NULL;
    if (s->server != NULL)
        s->server->count--;
    s->server = NULL;
    if (s->process != NULL && !s->detach)
        runtime_stream_close(s->process);
    else if (s->process != NULL)
        runtime_stream_resume(s->process); /* into the void */
    free_if_over(s);
}

/* --- Input */

static void on_retry(uv_timer_t *timer);

/* False: the command takes no more now. */
static bool give_input(struct serving *s, struct slice bytes)
{
    if (s->process == NULL || runtime_stream_write(s->process, bytes) != ERR_FULL)
        return true; /* or its input is shut: nobody wants it */
    (void)uv_timer_start(&s->retry, on_retry, RETRY_MS, 0); /* not closing, callback set */
    return false;
}

/* 1: done; 0: not now; < 0: bytes that no manager sends. */
static int take_frame(struct serving *s, const struct exec_frame *f)
{
    struct exec_window w;

    switch (f->kind) {
    case EXEC_INPUT:
        return give_input(s, f->bytes) ? 1 : 0;
    case EXEC_INPUT_END:
        if (s->process != NULL)
            runtime_stream_shut_input(s->process);
        return 1;
    case EXEC_WINDOW:
        if (fields_decode(&exec_window_type, f->bytes, &w, NULL) < 0)
            return ERR_MALFORMED;
        if (s->process != NULL)
            runtime_stream_resize(s->process, (uint16_t)w.rows, (uint16_t)w.columns);
        return 1;
    case EXEC_OUTPUT:
    case EXEC_ERRORS:
    case EXEC_RESULT:
        break;
    }
    return ERR_MALFORMED;
}

static void refuse(struct serving *s, int err)
{
    link_stream_reset(s->stream, err);
    let_go(s);
}

static void take_frames(struct serving *s)
{
    size_t at = 0;
    int rc = 1;

    while (rc > 0 && s->in.len > at) {
        struct exec_frame f;
        int len = exec_frame_take(slice_of(s->in.ptr + at, s->in.len - at), &f);

        rc = len <= 0 ? len : take_frame(s, &f);
        if (rc > 0)
            at += (size_t)len;
    }
    buf_consume(&s->in, at);
    if (s->stream == NULL)
        return;
    if (rc < 0)
        refuse(s, ERR_MALFORMED);
    else if (at > 0)
        link_stream_consume(s->stream, at);
}

static void on_retry(uv_timer_t *timer)
{
    take_frames(timer->data);
}

/* --- Output */

static void flush(struct serving *s)
{
    if (s->stream == NULL)
        return;
    if (!task_stream_flush(s->stream, &s->out)) {
        refuse(s, -ENOMEM);
        return;
    }
    if (s->held && s->out.len == 0 && s->process != NULL) {
        s->held = false;
        runtime_stream_resume(s->process);
    }
    if (s->process == NULL && s->out.len == 0)
        link_stream_finish(s->stream, 0);
}

static void on_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct serving *s = owner;
    enum exec_frame_kind kind = source == STREAM_STDERR ? EXEC_ERRORS : EXEC_OUTPUT;

    if (s->stream == NULL || s->detach)
        return;
    while (bytes.len > 0) {
        struct slice piece = slice_of(bytes.ptr, MIN(bytes.len, EXEC_FRAME_LEN_MAX));
        int rc = exec_frame_put(&s->out, kind, piece);

        if (rc < 0) { /* a hole in the output would be worse than its end */
            refuse(s, rc);
            return;
        }
        bytes = slice_of(bytes.ptr + piece.len, bytes.len - piece.len);
    }
    if (s->out.len > OUT_HIGH && !s->held) {
        s->held = true;
        runtime_stream_hold(s->process);
    }
    flush(s);
}

static void on_end(void *owner, int err, const char *message, int exit_code)
{
    struct serving *s = owner;
    struct exec_result r = { .err = err < 0 ? err : 0, .exit_code = exit_code & 0xff };
    int rc = err < 0 ? str_set(&r.message, message) : 0;

    s->process = NULL;
    (void)uv_timer_stop(&s->retry); /* cannot fail */
    if (s->stream != NULL) {
        if (rc == 0)
            rc = exec_frame_put_message(&s->out, EXEC_RESULT, &exec_result_type, &r);
        take_frames(s); /* nobody reads them any more */
        if (rc < 0 && s->stream != NULL)
            refuse(s, rc);
        else
            flush(s);
    }
    fields_deinit(&exec_result_type, &r);
    free_if_over(s);
}

/* --- The stream */

static void on_data(void *ctx, struct link_stream *stream, struct slice data)
{
    struct serving *s = ctx;

    (void)stream;
    if (buf_append_slice(&s->in, data) < 0)
        refuse(s, -ENOMEM);
    else if (uv_is_active((uv_handle_t *)&s->retry) == 0)
        take_frames(s);
}

static void on_writable(void *ctx, struct link_stream *stream)
{
    (void)stream;
    flush(ctx);
}

static void on_finish(void *ctx, struct link_stream *stream, int status)
{
    (void)ctx;
    (void)stream;
    (void)status; /* the asker has the result, or said the same with a reset */
}

static void on_closed(void *ctx, struct link_stream *stream, int reason)
{
    (void)stream;
    (void)reason;
    let_go(ctx);
}

static int run(struct serving *s, const struct exec_request *r)
{
    const struct stream_callbacks callbacks = { .owner = s,
                                                .on_output = on_output,
                                                .on_end = on_end };
    const char **argv = calloc(r->argv.count + 1, sizeof(*argv));
    const char **env = calloc(r->env.count + 1, sizeof(*env));
    int rc = argv == NULL || env == NULL ? -ENOMEM : 0;

    for (size_t i = 0; rc == 0 && i < r->argv.count; i++)
        argv[i] = r->argv.items[i];
    for (size_t i = 0; rc == 0 && i < r->env.count; i++)
        env[i] = r->env.items[i];
    if (rc == 0)
        s->process = runtime_exec(s->server->runtime, r->task_id.text,
                                  &(struct exec_spec){ .argv = argv,
                                                       .env = env,
                                                       .dir = r->dir,
                                                       .user = r->user,
                                                       .tty = r->tty,
                                                       .open_stdin = r->open_stdin },
                                  &callbacks);
    free(argv);
    free(env);
    return rc;
}

static int accept_request(struct task_exec_server *server, const struct exec_request *r,
                          struct link_stream *stream)
{
    static const struct link_stream_callbacks callbacks = { .on_data = on_data,
                                                            .on_writable = on_writable,
                                                            .on_finish = on_finish,
                                                            .on_closed = on_closed };
    struct serving *s = calloc(1, sizeof(*s));
    int rc = s == NULL ? -ENOMEM : uv_timer_init(server->loop, &s->retry);

    if (rc < 0) {
        free(s);
        return rc;
    }
    s->retry.data = s;
    s->server = server;
    s->detach = r->detach;
    buf_init(&s->in, IN_MAX);
    buf_init(&s->out, OUT_MAX);
    rc = run(s, r);
    if (rc < 0) {
        free_if_over(s);
        return rc;
    }
    s->stream = stream;
    server->count++;
    link_stream_accept(stream, &callbacks, s);
    return 0;
}

static int on_stream(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *stream)
{
    struct task_exec_server *server = ctx;
    struct exec_request r;
    int rc;

    (void)channel;
    if (from->role != ROLE_MANAGER) /* the link has looked at that too */
        return ERR_FORBIDDEN;
    if (server->count >= TASK_EXEC_SERVED_MAX)
        return ERR_FULL;
    if (fields_decode(&exec_request_type, header, &r, NULL) < 0)
        return ERR_MALFORMED;
    log_info("exec", "task %s: manager %s runs %s", r.task_id.text, from->node.text,
             r.argv.count > 0 ? r.argv.items[0] : "nothing");
    rc = accept_request(server, &r, stream);
    fields_deinit(&exec_request_type, &r);
    return rc;
}

void task_exec_serve(struct task_exec_server *s, uv_loop_t *loop, struct links *links,
                     struct runtime *runtime)
{
    *s = (struct task_exec_server){ .loop = loop, .runtime = runtime };
    links_handle(links, LINK_EXEC, &(struct link_handler){ .ctx = s, .on_stream = on_stream });
}
