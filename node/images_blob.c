/* Bytes come in pieces of a window's size at most; one write at a time; a piece is given back to
 * the window when it is written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/images_impl.h"

/* The one blob whose size nobody has announced is the manifest that announces the others'. */
#define MANIFEST_LEN_MAX (4 * MIB)

struct blob_flow {
    struct link_stream *stream; /* NULL: over */
    struct blob_ingest *ingest;
    struct buf waiting; /* arrived, not being written */
    struct buf writing;
    bool is_writing, committing, finished;
    int err;
    blob_done done;
    void *owner;
};

static void advance(struct blob_flow *f);

static void end(struct blob_flow *f)
{
    buf_deinit(&f->waiting);
    buf_deinit(&f->writing);
    f->done(f->owner, f->err);
    free(f);
}

static void on_written(void *owner, int err, const char *message)
{
    struct blob_flow *f = owner;

    (void)message;
    f->is_writing = false;
    if (err < 0 && f->err == 0)
        f->err = err;
    if (f->stream != NULL)
        link_stream_consume(f->stream, f->writing.len);
    buf_clear(&f->writing);
    advance(f);
}

static void on_committed(void *owner, int err, const char *message)
{
    struct blob_flow *f = owner;

    (void)message;
    f->committing = false;
    f->ingest = NULL;
    f->err = err;
    advance(f);
}

/* What to do with what has arrived. The stream's end is the last thing to wait for. */
static void advance(struct blob_flow *f)
{
    if (f->is_writing || f->committing)
        return;
    if (f->err < 0) {
        if (f->ingest != NULL)
            runtime_blob_abort(f->ingest);
        if (f->stream != NULL)
            link_stream_reset(f->stream, ERR_CLOSED);
        end(f);
        return;
    }
    if (f->waiting.len > 0) {
        struct buf swap = f->writing;

        f->writing = f->waiting;
        f->waiting = swap;
        f->is_writing = true;
        runtime_blob_write(f->ingest, buf_slice(&f->writing), on_written, f);
        return;
    }
    if (f->finished && f->ingest != NULL) {
        f->committing = true;
        runtime_blob_commit(f->ingest, on_committed, f);
        return;
    }
    if (f->ingest == NULL && f->stream == NULL)
        end(f);
}

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    struct blob_flow *f = ctx;

    (void)s;
    if (f->err == 0)
        f->err = buf_append_slice(&f->waiting, data);
    advance(f);
}

static void on_finish(void *ctx, struct link_stream *s, int status)
{
    struct blob_flow *f = ctx;

    f->finished = status == 0;
    if (status < 0 && f->err == 0)
        f->err = status;
    link_stream_finish(s, 0);
    advance(f);
}

static void on_closed(void *ctx, struct link_stream *s, int reason)
{
    struct blob_flow *f = ctx;

    (void)s;
    f->stream = NULL;
    if (!f->finished && f->err == 0)
        f->err = reason < 0 ? reason : ERR_CLOSED;
    advance(f);
}

int blob_fetch(struct images *im, const struct id *peer, const char *digest, uint64_t size,
               blob_done done, void *owner)
{
    static const struct link_stream_callbacks callbacks = { .on_data = on_data,
                                                            .on_finish = on_finish,
                                                            .on_closed = on_closed };
    struct blob_flow *f = calloc(1, sizeof(*f));
    char header[IMAGES_DIGEST_MAX + 8];
    int rc;

    if (f == NULL)
        return -ENOMEM;
    f->done = done;
    f->owner = owner;
    buf_init(&f->waiting, 2 * LINK_STREAM_WINDOW);
    buf_init(&f->writing, 2 * LINK_STREAM_WINDOW);
    rc = runtime_blob_begin(im->cfg.runtime, digest, size == 0 ? MANIFEST_LEN_MAX : size,
                            &f->ingest);
    if (rc < 0) {
        free(f);
        return rc;
    }
    (void)snprintf(header, sizeof(header), "blob %s", digest);
    rc = link_stream_open(im->cfg.links, peer, LINK_BLOBS, slice_of_str(header), &callbacks, f,
                          &f->stream);
    if (rc < 0) {
        runtime_blob_abort(f->ingest);
        free(f);
    }
    return rc;
}
