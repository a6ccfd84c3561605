#include "node/api/session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/err.h"
#include "node/api/api_impl.h"

#define OUT_MAX    (4 * MIB)
#define OUT_HIGH   (256 * KIB)
#define OUT_LOW    (64 * KIB)
#define READ_BYTES (32 * KIB)
#define RETRY_MS   10 /* while the process does not read its input */

struct session_conn {
    struct session *session;
    struct MHD_UpgradeResponseHandle *urh;
    int fd;
    uv_poll_t poll;
    uv_timer_t retry;
    unsigned open_handles;
    struct buf in, out;
    bool starting; /* inside libmicrohttpd, which does not let go of it there */
    bool input_ended, held, closing;
};

static void pump(struct session_conn *c);

/* --- Processes of this host ----------------------------------------------------------------- */

static int local_write(void *process, struct slice bytes)
{
    return runtime_stream_write(process, bytes);
}

static void local_shut_input(void *process)
{
    runtime_stream_shut_input(process);
}

static void local_resize(void *process, uint16_t rows, uint16_t columns)
{
    runtime_stream_resize(process, rows, columns);
}

static void local_hold(void *process)
{
    runtime_stream_hold(process);
}

static void local_resume(void *process)
{
    runtime_stream_resume(process);
}

static void local_close(void *process)
{
    runtime_stream_close(process);
}

const struct api_process_ops session_local_ops = { .write = local_write,
                                                   .shut_input = local_shut_input,
                                                   .resize = local_resize,
                                                   .hold = local_hold,
                                                   .resume = local_resume,
                                                   .close = local_close };

/* --- Beginning and end ---------------------------------------------------------------------- */

static void end_if_idle(struct session *s)
{
    if (s->process != NULL || s->conn != NULL || s->awaited || !s->listed)
        return;
    s->listed = false;
    list_remove(&s->link);
    if (s->on_idle != NULL)
        s->on_idle(s);
}

void session_begin(struct session *s, struct api *api)
{
    s->api = api;
    if (!s->listed)
        list_push_back(&api->sessions, &s->link);
    s->listed = true;
    api->pending++; /* until its end */
}

void session_begun(struct session *s, const struct api_process_ops *ops, void *process)
{
    s->ops = ops;
    s->process = process;
    if (s->conn == NULL)
        return;
    if (s->conn->held) /* one process after another */
        ops->hold(process);
    if (s->conn->input_ended && s->input)
        ops->shut_input(process);
}

void session_not_begun(struct session *s, int err, const char *why)
{
    session_on_end(s, err, why, 0);
}

/* --- The connection ------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct session_conn *c = handle->data;
    struct session *s = c->session;
    struct api *api = s->api;

    if (--c->open_handles > 0)
        return;
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    free(c);
    s->conn = NULL;
    end_if_idle(s);
    api_forget(api);
}

static void close_conn(struct session_conn *c, bool close_process)
{
    struct session *s = c->session;

    CHECK(!c->starting);
    if (c->closing)
        return;
    c->closing = true;
    (void)uv_poll_stop(&c->poll);                               /* cannot fail */
    (void)MHD_upgrade_action(c->urh, MHD_UPGRADE_ACTION_CLOSE); /* frees the descriptor */
    api_kick(s->api);
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    uv_close((uv_handle_t *)&c->retry, on_handle_closed);
    if (s->process != NULL && close_process)
        s->ops->close(s->process);
    else if (s->process != NULL && c->held)
        s->ops->resume(s->process); /* into the void */
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status < 0)
        close_conn(poll->data, true);
    else
        pump(poll->data);
}

static void on_retry(uv_timer_t *timer)
{
    pump(timer->data);
}

/* Hands input on. False: the process takes no more now. */
static bool give_input(struct session_conn *c)
{
    struct session *s = c->session;
    int rc;

    if (c->in.len == 0 || s->process == NULL || !s->input) {
        buf_clear(&c->in);
        return true;
    }
    rc = s->ops->write(s->process, buf_slice(&c->in));
    if (rc == ERR_FULL)
        return false;
    buf_clear(&c->in); /* or its input is shut: nobody wants it */
    return true;
}

static void end_input(struct session_conn *c)
{
    struct session *s = c->session;

    c->input_ended = true;
    if (s->process != NULL && s->input)
        s->ops->shut_input(s->process);
}

/* False: the client has detached, or there is no memory. */
static bool keep_input(struct session_conn *c, struct slice bytes)
{
    struct session *s = c->session;
    bool detached;
    int rc = 0;

    if (!s->tty || !s->input)
        return buf_append_slice(&c->in, bytes) == 0;
    detached = detach_keys_filter(&s->keys, bytes, &c->in, &rc);
    if (!detached)
        return rc == 0;
    (void)give_input(c); /* what was typed before; what does not fit is not worth waiting for */
    close_conn(c, !s->outlives_detach);
    return false;
}

/* False: nothing more can be read now. */
static bool take_input(struct session_conn *c)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0)
        return false;
    if (n == 0) {
        end_input(c);
        return false;
    }
    if (!keep_input(c, slice_of(bytes, (size_t)n))) {
        if (!c->closing)
            end_input(c); /* no memory: the process sees the end of its input */
        return false;
    }
    return give_input(c);
}

/* False: the client is gone. */
static bool give_output(struct session_conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.ptr, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0)
            buf_consume(&c->out, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else
            return n < 0 && errno == EAGAIN;
    }
    return true;
}

static void wait_for_more(struct session_conn *c, bool full)
{
    int events = 0;

    if (full)
        (void)uv_timer_start(&c->retry, on_retry, RETRY_MS, 0); /* not closing, callback set */
    else if (!c->input_ended)
        events |= UV_READABLE;
    if (c->out.len > 0)
        events |= UV_WRITABLE;
    if (events == 0)
        (void)uv_poll_stop(&c->poll); /* cannot fail */
    else if (uv_poll_start(&c->poll, events, on_poll) < 0)
        close_conn(c, true);
}

static void pump(struct session_conn *c)
{
    struct session *s = c->session;
    bool full;

    if (c->closing || c->starting)
        return;
    full = !give_input(c);
    if (!full && !c->input_ended)
        full = !take_input(c) && c->in.len > 0;
    if (c->closing)
        return;
    if (!give_output(c) || (s->ended && c->out.len == 0)) {
        close_conn(c, true);
        return;
    }
    if (c->held && c->out.len < OUT_LOW && s->process != NULL) {
        c->held = false;
        s->ops->resume(s->process);
    }
    if (!c->closing)
        wait_for_more(c, full);
}

/* --- The process ---------------------------------------------------------------------------- */

void session_on_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct session *s = owner;
    struct session_conn *c = s->conn;
    uint8_t frame[8] = { (uint8_t)source };
    size_t frame_len = s->tty ? 0 : sizeof(frame);

    if (c == NULL || c->closing)
        return;
    for (size_t i = 0; i < 4; i++)
        frame[4 + i] = (uint8_t)(bytes.len >> (8 * (3 - i)));
    if (buf_reserve(&c->out, frame_len + bytes.len) < 0 ||
        buf_append(&c->out, frame, frame_len) < 0 || buf_append_slice(&c->out, bytes) < 0) {
        if (!c->starting)
            close_conn(c, true); /* nothing may be missing in the middle */
        return;
    }
    if (!c->held && c->out.len > OUT_HIGH && s->process != NULL) {
        c->held = true;
        s->ops->hold(s->process);
    }
    pump(c);
}

static void say_message(struct session *s)
{
    if (s->message[0] == '\0')
        return;
    session_on_output(s, STREAM_STDERR, slice_of_str(s->message));
    session_on_output(s, STREAM_STDERR, slice_of_str(s->tty ? "\r\n" : "\n"));
    if (s->conn != NULL)
        s->message[0] = '\0'; /* said */
}

void session_on_end(void *owner, int err, const char *message, int exit_code)
{
    struct session *s = owner;
    struct api *api = s->api;

    s->process = NULL;
    if (err < 0)
        (void)snprintf(s->message, sizeof(s->message), "%s",
                       message != NULL && message[0] != '\0' ? message : err_text(err));
    say_message(s);
    s->exit_code = err < 0 && exit_code == 0 ? 126 : exit_code;
    s->ended = true;
    if (s->conn != NULL)
        pump(s->conn);
    end_if_idle(s);
    api_forget(api);
}

/* --- Taking a connection over --------------------------------------------------------------- */

static void on_start(uv_timer_t *timer)
{
    struct session_conn *c = timer->data;

    c->starting = false;
    pump(c);
}

static bool open_conn(struct session *s, struct MHD_UpgradeResponseHandle *urh, int fd,
                      struct slice extra)
{
    struct session_conn *c = calloc(1, sizeof(*c));

    if (c == NULL || uv_timer_init(s->api->cfg.loop, &c->retry) < 0) {
        free(c);
        return false;
    }
    c->session = s;
    c->urh = urh;
    c->fd = fd;
    c->retry.data = c;
    c->poll.data = c;
    c->open_handles = 2;
    buf_init(&c->in, 2 * READ_BYTES + extra.len);
    buf_init(&c->out, OUT_MAX);
    s->conn = c;
    s->api->pending++; /* until the handles are closed */
    if (uv_poll_init(s->api->cfg.loop, &c->poll, fd) < 0) {
        c->open_handles = 1;
        c->closing = true;
        uv_close((uv_handle_t *)&c->retry, on_handle_closed);
        return false;
    }
    c->starting = true;
    if (buf_append_slice(&c->in, extra) < 0)
        c->input_ended = true; /* no memory: the process sees the end of its input */
    (void)uv_timer_start(&c->retry, on_start, 0, 0); /* not closing, callback set */
    return true;
}

static void on_upgrade(void *cls, struct MHD_Connection *connection, void *state, const char *extra,
                       size_t extra_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *urh)
{
    struct request *r = cls;
    struct session *s = r->session;

    (void)connection;
    (void)state;
    CHECK(s != NULL && s->conn == NULL);
    r->session = NULL;
    s->awaited = false;
    if (!open_conn(s, urh, fd, slice_of(extra, extra_len))) {
        (void)MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
        session_lost(s);
        return;
    }
    if (r->on_taken != NULL)
        r->on_taken(s);
    say_message(s);
}

void session_take(struct request *r, struct session *s, void (*on_taken)(struct session *s))
{
    s->api = r->api;
    if (!s->listed)
        list_push_back(&r->api->sessions, &s->link);
    s->listed = true;
    s->awaited = true;
    r->session = s;
    r->on_taken = on_taken;
    reply_upgrade(r, on_upgrade,
                  s->tty || r->minor < 42 ? "application/vnd.docker.raw-stream"
                                          : "application/vnd.docker.multiplexed-stream");
}

void session_lost(struct session *s)
{
    s->awaited = false;
    if (s->process != NULL)
        s->ops->close(s->process);
    else
        end_if_idle(s);
}

/* --- Of the server -------------------------------------------------------------------------- */

void sessions_sweep(struct api *api)
{
    LIST_EACH_SAFE(it, &api->sessions)
    {
        struct session *s = CONTAINER_OF(it, struct session, link);
        struct pollfd p = { .fd = s->conn != NULL && !s->conn->closing ? s->conn->fd : -1 };

        /* Only both directions closed is gone: one alone is the end of the process's input. */
        if (p.fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0)
            close_conn(s->conn, true);
    }
}

void sessions_close(struct api *api)
{
    LIST_EACH_SAFE(it, &api->sessions)
    {
        struct session *s = CONTAINER_OF(it, struct session, link);

        if (s->conn != NULL)
            close_conn(s->conn, true);
        else if (s->process != NULL)
            s->ops->close(s->process);
    }
}
