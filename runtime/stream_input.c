/* What goes into a command. Written pieces are copied and queue in libuv up to STREAM_QUEUE_MAX; an
 * attach sends packets that conmon reads whole.
 *
 * The end of input is the closing of stdin's pipe, the terminal's own character for it, or half a
 * connection to conmon. It may be asked for before the stream is open: then it follows. */
#include "runtime/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define ATTACH_PACKET 8192 /* conmon's read size for input */

struct input {
    uv_write_t request;
    size_t len;
    char bytes[];
};

static void on_written(uv_write_t *request, int status)
{
    (void)status; /* the reader is gone: its end is reported elsewhere */
    free(CONTAINER_OF(request, struct input, request));
}

static uv_stream_t *input_of(struct runtime_stream *s)
{
    int index = s->kind == KIND_ATTACH || s->tty ? 1 : 0;

    return s->pipe_open[index] ? (uv_stream_t *)&s->pipes[index] : NULL;
}

static int write_piece(uv_stream_t *stream, struct slice bytes)
{
    struct input *in = malloc(sizeof(*in) + bytes.len);
    uv_buf_t buf;
    int rc;

    if (in == NULL)
        return -ENOMEM;
    memcpy(in->bytes, bytes.ptr, bytes.len);
    buf = uv_buf_init(in->bytes, (unsigned)bytes.len);
    rc = uv_write(&in->request, stream, &buf, 1, on_written);
    if (rc < 0)
        free(in);
    return rc;
}

int runtime_stream_write(struct runtime_stream *s, struct slice bytes)
{
    uv_stream_t *stream = input_of(s);
    size_t piece = s->kind == KIND_ATTACH ? ATTACH_PACKET : STREAM_QUEUE_MAX;

    if (s->input_shut || !s->open_stdin || s->state == STREAM_CLOSING)
        return ERR_CLOSED;
    if (s->state == STREAM_STARTING ||
        bytes.len >
            STREAM_QUEUE_MAX - MIN(uv_stream_get_write_queue_size(stream), STREAM_QUEUE_MAX))
        return ERR_FULL;
    if (stream == NULL)
        return ERR_CLOSED;
    while (bytes.len > 0) {
        struct slice now = slice_of(bytes.ptr, MIN(bytes.len, piece));
        int rc = write_piece(stream, now);

        if (rc < 0)
            return rc;
        bytes.ptr += now.len;
        bytes.len -= now.len;
    }
    return 0;
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct runtime_stream *s = request->data;

    (void)status;
    free(request);
    /* Only a pipe of its own is closed: the others carry output too. */
    if (s != NULL && s->state == STREAM_OPEN)
        stream_close_handle(s, (uv_handle_t *)&s->pipes[0], &s->pipe_open[0]);
}

void stream_shut_input(struct runtime_stream *s)
{
    uv_stream_t *stream = input_of(s);
    uv_shutdown_t *request;

    if (stream == NULL)
        return;
    if (s->tty) { /* a terminal has no half to close: this is its end of file */
        (void)!write_piece(stream, slice_of("\4", 1));
        return;
    }
    request = calloc(1, sizeof(*request));
    if (request == NULL)
        return;
    request->data = s->kind == KIND_EXEC ? s : NULL;
    if (uv_shutdown(request, stream, on_shut) < 0)
        free(request);
}

void runtime_stream_shut_input(struct runtime_stream *s)
{
    if (s->input_shut)
        return;
    s->input_shut = true;
    if (s->state == STREAM_OPEN) /* else it is shut when it opens */
        stream_shut_input(s);
}
