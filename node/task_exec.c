/* The asking end. Frames of the node are handed out as they come; while the client is slow they
 * stay here and the window stays closed. The end is told once everything before it has been. */
#include "node/task_exec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/exec_wire.h"
#include "node/task_stream.h"

#define OUT_MAX        (4 * EXEC_FRAME_LEN_MAX) /* of input that waits for room */
#define IN_MAX         (LINK_STREAM_WINDOW + EXEC_FRAME_LEN_MAX + EXEC_FRAME_HEADER_LEN)
#define EXIT_CODE_LOST 255

struct task_exec {
    struct stream_callbacks callbacks;
    struct id node;
    struct link_stream *stream; /* NULL: over */
    struct buf in, out;
    bool held, closed, has_result, taking;
    int reason; /* of the stream's end */
    int err, exit_code;
    char message[512];
};

/* --- The end */

static bool is_refusal(int reason)
{
    return reason == ERR_FULL || reason == ERR_FORBIDDEN || reason == ERR_MALFORMED ||
           reason == ERR_UNSUPPORTED;
}

static void explain_loss(struct task_exec *t)
{
    t->err = t->reason < 0 ? t->reason : ERR_MALFORMED;
    t->exit_code = EXIT_CODE_LOST;
    if (t->reason == ERR_FULL)
        (void)snprintf(t->message, sizeof(t->message),
                       "node %s runs %d commands for others already: end one of them, or try again",
                       t->node.text, TASK_EXEC_SERVED_MAX);
    else if (t->err == -ENOMEM)
        (void)snprintf(t->message, sizeof(t->message),
                       "no memory is left, here or on node %s, for what goes to and from the "
                       "command: it is ended",
                       t->node.text);
    else if (is_refusal(t->err))
        (void)snprintf(t->message, sizeof(t->message), "node %s refuses the command: %s",
                       t->node.text, err_text(t->err));
    else
        (void)snprintf(t->message, sizeof(t->message),
                       "the link to node %s is lost (%s): what ran there for you is ended",
                       t->node.text, err_text(t->err));
}

static void end(struct task_exec *t)
{
    if (!t->has_result && !t->closed)
        explain_loss(t);
    t->callbacks.on_end(t->callbacks.owner, t->err, t->message, t->exit_code);
    buf_deinit(&t->in);
    buf_deinit(&t->out);
    free(t);
}

static int take_result(struct task_exec *t, struct slice bytes)
{
    struct exec_result r;
    int rc = t->has_result ? ERR_MALFORMED : fields_decode(&exec_result_type, bytes, &r, NULL);

    if (rc < 0)
        return rc;
    t->has_result = true;
    t->err = (int)r.err;
    t->exit_code = (int)r.exit_code;
    (void)snprintf(t->message, sizeof(t->message), "%s", r.message == NULL ? "" : r.message);
    fields_deinit(&exec_result_type, &r);
    if (t->stream != NULL)
        link_stream_finish(t->stream, 0);
    return 0;
}

/* --- What the node says */

/*   ERR_MALFORMED (bytes that no node sends), -ENOMEM */
static int take_frame(struct task_exec *t, const struct exec_frame *f)
{
    switch (f->kind) {
    case EXEC_OUTPUT:
        t->callbacks.on_output(t->callbacks.owner, STREAM_STDOUT, f->bytes);
        return 0;
    case EXEC_ERRORS:
        t->callbacks.on_output(t->callbacks.owner, STREAM_STDERR, f->bytes);
        return 0;
    case EXEC_RESULT:
        return take_result(t, f->bytes);
    case EXEC_INPUT:
    case EXEC_INPUT_END:
    case EXEC_WINDOW:
        break;
    }
    return ERR_MALFORMED;
}

static void give_up(struct task_exec *t, int reason)
{
    if (t->stream != NULL)
        link_stream_reset(t->stream, reason);
    t->stream = NULL;
    t->reason = reason;
    buf_clear(&t->in);
}

/* Hands out what may be handed out; may free `t`. */
static void take_frames(struct task_exec *t)
{
    size_t at = 0;

    if (t->taking)
        return; /* a callback of ours: the loop below goes on */
    t->taking = true;
    while (!t->closed && !t->held && t->in.len > at) {
        struct exec_frame f;
        int len = exec_frame_take(slice_of(t->in.ptr + at, t->in.len - at), &f);
        int rc = len > 0 ? take_frame(t, &f) : len;

        if (len == 0)
            break;
        if (rc < 0) {
            give_up(t, rc);
            break;
        }
        at += (size_t)len;
    }
    t->taking = false;
    buf_consume(&t->in, MIN(at, t->in.len)); /* a callback that gave up has cleared it */
    if (t->stream != NULL && at > 0)
        link_stream_consume(t->stream, at);
    if (t->stream == NULL && (!t->held || t->closed))
        end(t);
}

/* A gap in what is said to a command, or an end of its input that never comes, would be worse than
 * its end. May free `t`. */
static void end_for_want_of_memory(struct task_exec *t)
{
    give_up(t, -ENOMEM);
    take_frames(t);
}

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct task_exec *t = ctx;

    (void)s;
    if (buf_append_slice(&t->in, data) < 0)
        end_for_want_of_memory(t);
    else
        take_frames(t);
}

static void on_writable(void *ctx, struct link_stream *s)
{
    struct task_exec *t = ctx;

    if (!task_stream_flush(s, &t->out) && !t->has_result) /* after the result nobody wants it */
        end_for_want_of_memory(t);
}

static void on_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)status;
    link_stream_finish(s, 0);
}

static void on_closed(void *ctx, struct link_stream *s, int reason)
{
    struct task_exec *t = ctx;

    (void)s;
    t->stream = NULL;
    t->reason = reason;
    take_frames(t);
}

/* --- Asking */

static int encode_request(const struct api_exec *exec, struct buf *out)
{
    struct exec_request r = { .task_id = exec->task,
                              .tty = exec->spec.tty,
                              .open_stdin = exec->spec.open_stdin,
                              .detach = exec->detach };
    int rc = 0;

    for (size_t i = 0; rc == 0 && exec->spec.argv[i] != NULL; i++)
        rc = str_list_append(&r.argv, exec->spec.argv[i]);
    for (size_t i = 0; rc == 0 && exec->spec.env != NULL && exec->spec.env[i] != NULL; i++)
        rc = str_list_append(&r.env, exec->spec.env[i]);
    if (rc == 0)
        rc = str_set(&r.dir, exec->spec.dir);
    if (rc == 0)
        rc = str_set(&r.user, exec->spec.user);
    if (rc == 0)
        rc = fields_encode(&exec_request_type, &r, out, NULL);
    fields_deinit(&exec_request_type, &r);
    return rc;
}

int task_exec_open(struct links *links, const struct api_exec *exec,
                   const struct stream_callbacks *callbacks, struct task_exec **out)
{
    static const struct link_stream_callbacks stream = { .on_data = on_data,
                                                         .on_writable = on_writable,
                                                         .on_finish = on_finish,
                                                         .on_closed = on_closed };
    struct task_exec *t = calloc(1, sizeof(*t));
    struct buf header;
    int rc;

    if (t == NULL)
        return -ENOMEM;
    t->callbacks = *callbacks;
    t->node = exec->node;
    buf_init(&t->in, IN_MAX);
    buf_init(&t->out, OUT_MAX);
    buf_init(&header, LINK_HEADER_LEN_MAX);
    rc = encode_request(exec, &header);
    if (rc == 0)
        rc = link_stream_open(links, &exec->node, LINK_EXEC, buf_slice(&header), &stream, t,
                              &t->stream);
    buf_deinit(&header);
    if (rc < 0)
        free(t);
    else
        *out = t;
    return rc;
}

static int put_input(struct task_exec *t, struct slice bytes)
{
    while (bytes.len > 0) {
        struct slice piece = slice_of(bytes.ptr, MIN(bytes.len, EXEC_FRAME_LEN_MAX));
        int rc = exec_frame_put(&t->out, EXEC_INPUT, piece);

        if (rc < 0)
            return rc;
        bytes = slice_of(bytes.ptr + piece.len, bytes.len - piece.len);
    }
    return 0;
}

static int send_input(void *process, struct slice bytes)
{
    struct task_exec *t = process;
    size_t frames = bytes.len / EXEC_FRAME_LEN_MAX + 1;

    if (t->stream == NULL || t->has_result)
        return ERR_CLOSED;
    if (bytes.len + frames * EXEC_FRAME_HEADER_LEN > OUT_MAX - t->out.len)
        return ERR_FULL;
    if (put_input(t, bytes) == 0 && task_stream_flush(t->stream, &t->out))
        return 0;
    end_for_want_of_memory(t);
    return ERR_CLOSED;
}

/* What is said once and is small. May free `t`. */
static void say(struct task_exec *t, enum exec_frame_kind kind, const struct fields *type,
                const void *message)
{
    int rc;

    if (t->stream == NULL || t->has_result)
        return;
    t->out.limit += EXEC_FRAME_HEADER_LEN + 32; /* beside the input that waits */
    rc = type == NULL ? exec_frame_put(&t->out, kind, slice_of(NULL, 0))
                      : exec_frame_put_message(&t->out, kind, type, message);
    if (rc == 0 && !task_stream_flush(t->stream, &t->out))
        rc = -ENOMEM;
    t->out.limit = MAX(t->out.len, OUT_MAX);
    if (rc < 0)
        end_for_want_of_memory(t);
}

static void shut_input(void *process)
{
    say(process, EXEC_INPUT_END, NULL, NULL);
}

static void resize(void *process, uint16_t rows, uint16_t columns)
{
    say(process, EXEC_WINDOW, &exec_window_type,
        &(struct exec_window){ .rows = rows, .columns = columns });
}

static void hold(void *process)
{
    ((struct task_exec *)process)->held = true;
}

static void resume(void *process)
{
    struct task_exec *t = process;

    t->held = false;
    take_frames(t);
}

static void close_exec(void *process)
{
    struct task_exec *t = process;

    if (t->closed)
        return;
    t->closed = true;
    if (!t->has_result) {
        t->err = ERR_CLOSED;
        t->exit_code = EXIT_CODE_LOST;
    }
    give_up(t, ERR_CLOSED);
    take_frames(t);
}

const struct api_process_ops task_exec_ops = { .write = send_input,
                                               .shut_input = shut_input,
                                               .resize = resize,
                                               .hold = hold,
                                               .resume = resume,
                                               .close = close_exec };
