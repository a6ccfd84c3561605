/* node/api/upload.c - Request bodies of any size: bytes go on to a reader as they come.
 *
 * The reader has one end of a socket pair, we write to the other. While the pair is full the
 * connection is suspended, so the client waits and nothing is buffered here. A socket and not a
 * pipe: MSG_NOSIGNAL. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "node/api/api_impl.h"

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_poll(struct upload *u)
{
    if (u->poll == NULL)
        return;
    (void)uv_poll_stop(u->poll); /* cannot fail */
    uv_close((uv_handle_t *)u->poll, on_poll_closed);
    u->poll = NULL;
}

int upload_open(struct request *r)
{
    int fds[2] = { -1, -1 };
    int rc = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        rc = err_errno();
    if (rc == 0)
        r->upload.poll = malloc(sizeof(*r->upload.poll));
    if (rc == 0 && r->upload.poll == NULL)
        rc = -ENOMEM;
    if (rc == 0) {
        rc = uv_poll_init(r->api->cfg.loop, r->upload.poll, fds[1]); /* makes it non-blocking */
        if (rc < 0) {
            free(r->upload.poll);
            r->upload.poll = NULL;
        }
    }
    if (rc < 0) {
        if (fds[0] >= 0) {
            (void)close(fds[0]); /* nothing was written */
            (void)close(fds[1]);
        }
        reply_error(r, rc, NULL);
        return -1;
    }
    r->upload.poll->data = r;
    r->upload.fd = fds[1];
    return fds[0];
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct request *r = poll->data;

    (void)status; /* an error shows at the next write */
    (void)events;
    (void)uv_poll_stop(poll); /* cannot fail */
    r->upload.waiting = false;
    request_resume(r);
}

void upload_bytes(struct request *r, const char *bytes, size_t *len)
{
    struct upload *u = &r->upload;
    size_t sent = 0;

    while (sent < *len) {
        ssize_t n = send(u->fd, bytes + sent, *len - sent, MSG_NOSIGNAL);

        if (n > 0) {
            sent += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            if (r->api->closing || uv_poll_start(u->poll, UV_WRITABLE, on_writable) < 0) {
                upload_end(r);
                sent = *len;
                break;
            }
            u->waiting = true;
            request_suspend(r);
            break;
        } else {
            upload_end(r); /* its reader gave up and will say why; the rest is discarded */
            sent = *len;
        }
    }
    *len -= sent;
}

void upload_end(struct request *r)
{
    if (r->upload.fd < 0)
        return;
    close_poll(&r->upload);
    (void)close(r->upload.fd); /* the end of file for the reader */
    r->upload.fd = -1;
}
