/* Answers to peers: a digest, or the bytes of a blob. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "node/images_impl.h"

#define PIECE_LEN (64 * KIB)

struct serve_flow {
    struct images *images;
    struct link_stream *stream; /* NULL: the asker has gone */
    int fd;
    uv_fs_t read;
    uint64_t offset;
    bool busy;    /* a call of the runtime or a read is under way */
    bool blocked; /* waiting for on_writable */
    uint8_t piece[PIECE_LEN];
    size_t piece_len;
};

static void end_if_over(struct serve_flow *f)
{
    if (f->busy || f->stream != NULL)
        return;
    if (f->fd >= 0)
        (void)close(f->fd); /* read only */
    free(f);
}

static void refuse(struct serve_flow *f, int err)
{
    if (f->stream != NULL)
        link_stream_reset(f->stream, err);
    f->stream = NULL;
    end_if_over(f);
}

static void on_image(void *owner, int err, const char *message, const struct image_info *image)
{
    struct serve_flow *f = owner;

    (void)message;
    f->busy = false;
    if (f->stream == NULL) {
        end_if_over(f);
        return;
    }
    if (err == 0)
        err = link_stream_write(f->stream, slice_of_str(image->manifest_digest));
    if (err < 0)
        refuse(f, err);
    else
        link_stream_finish(f->stream, 0);
}

static void read_on(struct serve_flow *f);

static void write_piece(struct serve_flow *f)
{
    int rc = link_stream_write(f->stream, slice_of(f->piece, f->piece_len));

    if (rc == ERR_FULL) {
        f->blocked = true;
        return;
    }
    if (rc < 0) {
        refuse(f, rc);
        return;
    }
    f->offset += f->piece_len;
    read_on(f);
}

static void on_read(uv_fs_t *req)
{
    struct serve_flow *f = CONTAINER_OF(req, struct serve_flow, read);
    ssize_t n = req->result;

    uv_fs_req_cleanup(req);
    f->busy = false;
    if (f->stream == NULL) {
        end_if_over(f);
    } else if (n < 0) {
        refuse(f, (int)n);
    } else if (n == 0) {
        link_stream_finish(f->stream, 0);
    } else {
        f->piece_len = (size_t)n;
        write_piece(f);
    }
}

static void read_on(struct serve_flow *f)
{
    uv_buf_t piece = uv_buf_init((char *)f->piece, PIECE_LEN);
    int rc =
        uv_fs_read(f->images->cfg.loop, &f->read, f->fd, &piece, 1, (int64_t)f->offset, on_read);

    if (rc < 0)
        refuse(f, rc);
    else
        f->busy = true;
}

static void on_blob(void *owner, int err, const char *message, int fd, uint64_t size)
{
    struct serve_flow *f = owner;

    (void)message;
    (void)size;
    f->busy = false;
    f->fd = err < 0 ? -1 : fd;
    if (f->stream == NULL)
        end_if_over(f);
    else if (err < 0)
        refuse(f, err);
    else
        read_on(f);
}

static void on_data(void *ctx, struct link_stream *s, struct slice data)
{
    (void)ctx;
    link_stream_consume(s, data.len); /* nothing is expected */
}

static void on_writable(void *ctx, struct link_stream *s)
{
    struct serve_flow *f = ctx;

    (void)s;
    if (f->blocked) {
        f->blocked = false;
        write_piece(f);
    }
}

static void on_finish(void *ctx, struct link_stream *s, int status)
{
    (void)ctx;
    (void)s;
    (void)status; /* the asker has said all it has to say */
}

static void on_closed(void *ctx, struct link_stream *s, int reason)
{
    struct serve_flow *f = ctx;

    (void)s;
    (void)reason;
    f->stream = NULL;
    end_if_over(f);
}

/* "blob sha256:.." -> the text after the word, NUL-terminated. */
static bool split(struct slice header, const char *word, char *out, size_t cap)
{
    size_t len = strlen(word);

    if (header.len <= len || header.len - len >= cap || memcmp(header.ptr, word, len) != 0 ||
        memchr(header.ptr, '\0', header.len) != NULL)
        return false;
    memcpy(out, header.ptr + len, header.len - len);
    out[header.len - len] = '\0';
    return true;
}

int images_on_stream(void *ctx, const struct link_peer *from, enum link_channel channel,
                     struct slice header, struct link_stream *stream)
{
    static const struct link_stream_callbacks callbacks = { .on_data = on_data,
                                                            .on_writable = on_writable,
                                                            .on_finish = on_finish,
                                                            .on_closed = on_closed };
    struct images *im = ctx;
    char subject[IMAGES_REFERENCE_MAX];
    bool image = split(header, "image ", subject, sizeof(subject));
    struct serve_flow *f;

    (void)from;
    (void)channel;
    if (!image && !split(header, "blob ", subject, sizeof(subject)))
        return ERR_UNSUPPORTED;
    f = calloc(1, sizeof(*f));
    if (f == NULL)
        return -ENOMEM;
    f->images = im;
    f->stream = stream;
    f->fd = -1;
    f->busy = true;
    link_stream_accept(stream, &callbacks, f);
    if (image)
        runtime_image_inspect(im->cfg.runtime, subject, on_image, f);
    else
        runtime_blob_open(im->cfg.runtime, subject, on_blob, f);
    return 0;
}
