/* c-ares says which sockets it waits for; the loop polls them and a timer drives its time-outs. */
#include "overlaynet/resolver_upstream.h"

#include <ares.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "overlaynet/dns_message.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define TICK_MS     250 /* while something is asked */
#define CHECK_MS    2000

struct upstream {
    uv_loop_t *loop;
    uv_timer_t tick;
    ares_channel channel;
    bool has_channel, is_closing;
    struct timespec read_at; /* modification time of the file that is in force */
    uint64_t checked_at;     /* ms of the loop */
    size_t pending;
    unsigned open_handles;
    struct list polls;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct poll {
    struct list link;
    uv_poll_t handle;
    struct upstream *upstream;
    ares_socket_t fd;
};

struct question {
    struct upstream *upstream;
    upstream_done done;
    void *ctx;
};

static void end_if_closed(struct upstream *u)
{
    if (--u->open_handles > 0)
        return;
    u->closed(u->closed_ctx);
    free(u);
}

/* --- Sockets --------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct poll *p = CONTAINER_OF((uv_poll_t *)handle, struct poll, handle);
    struct upstream *u = p->upstream;

    free(p);
    end_if_closed(u);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct poll *p = CONTAINER_OF(handle, struct poll, handle);
    ares_socket_t in = status < 0 || (events & UV_READABLE) != 0 ? p->fd : ARES_SOCKET_BAD;
    ares_socket_t out = status < 0 || (events & UV_WRITABLE) != 0 ? p->fd : ARES_SOCKET_BAD;

    ares_process_fd(p->upstream->channel, in, out);
}

static struct poll *find_poll(struct upstream *u, ares_socket_t fd)
{
    LIST_EACH(it, &u->polls)
    {
        struct poll *p = CONTAINER_OF(it, struct poll, link);

        if (p->fd == fd)
            return p;
    }
    return NULL;
}

static struct poll *add_poll(struct upstream *u, ares_socket_t fd)
{
    struct poll *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->upstream = u;
    p->fd = fd;
    if (uv_poll_init(u->loop, &p->handle, fd) < 0) {
        free(p);
        return NULL; /* the question times out */
    }
    u->open_handles++;
    list_push_back(&u->polls, &p->link);
    return p;
}

static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct upstream *u = ctx;
    struct poll *p = find_poll(u, fd);

    if (readable == 0 && writable == 0) {
        if (p != NULL) {
            list_remove(&p->link);
            uv_close((uv_handle_t *)&p->handle, on_poll_closed);
        }
        return;
    }
    if (p == NULL)
        p = add_poll(u, fd);
    if (p != NULL)
        (void)uv_poll_start(&p->handle,
                            (readable != 0 ? UV_READABLE : 0) | (writable != 0 ? UV_WRITABLE : 0),
                            on_ready);
}

/* --- Channel --------------------------------------------------------------------------------- */

static int open_channel(struct upstream *u)
{
    struct ares_options options = { .timeout = UPSTREAM_TIMEOUT_MS,
                                    .tries = UPSTREAM_TRIES,
                                    .sock_state_cb = on_socket,
                                    .sock_state_cb_data = u };
    ares_channel channel;
    struct stat st;

    u->read_at = (struct timespec){ 0 };
    if (stat(RESOLV_CONF, &st) == 0)
        u->read_at = st.st_mtim;
    if (ares_init_options(&channel, &options,
                          ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
        ARES_SUCCESS)
        return ERR_UNAVAILABLE;
    if (u->has_channel)
        ares_destroy(u->channel); /* ends what is being asked */
    u->channel = channel;
    u->has_channel = true;
    return 0;
}

static void follow_configuration(struct upstream *u)
{
    struct stat st;

    if (uv_now(u->loop) - u->checked_at < CHECK_MS)
        return;
    u->checked_at = uv_now(u->loop);
    if (stat(RESOLV_CONF, &st) < 0 ||
        (st.st_mtim.tv_sec == u->read_at.tv_sec && st.st_mtim.tv_nsec == u->read_at.tv_nsec))
        return;
    if (open_channel(u) < 0)
        log_warn("resolver", "%s changed and cannot be read: the old one stays in force",
                 RESOLV_CONF);
}

static void on_tick(uv_timer_t *timer)
{
    struct upstream *u = CONTAINER_OF(timer, struct upstream, tick);

    if (u->pending == 0)
        (void)uv_timer_stop(timer); /* cannot fail */
    else
        ares_process_fd(u->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

int upstream_new(uv_loop_t *loop, struct upstream **out)
{
    struct upstream *u = calloc(1, sizeof(*u));
    int rc;

    if (u == NULL)
        return -ENOMEM;
    u->loop = loop;
    list_init(&u->polls);
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        free(u);
        return ERR_UNAVAILABLE;
    }
    rc = open_channel(u);
    if (rc < 0) {
        free(u);
        return rc;
    }
    (void)uv_timer_init(loop, &u->tick); /* cannot fail */
    u->open_handles = 1;
    *out = u;
    return 0;
}

static void on_tick_closed(uv_handle_t *handle)
{
    end_if_closed(CONTAINER_OF((uv_timer_t *)handle, struct upstream, tick));
}

void upstream_close(struct upstream *u, void (*closed)(void *ctx), void *ctx)
{
    u->is_closing = true;
    u->closed = closed;
    u->closed_ctx = ctx;
    ares_destroy(u->channel); /* ends all questions and closes all sockets */
    uv_close((uv_handle_t *)&u->tick, on_tick_closed);
}

/* --- Questions ------------------------------------------------------------------------------- */

static int err_from_ares(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ETIMEOUT:
        return ERR_TIMEOUT;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return ERR_CLOSED;
    default:
        return ERR_UNAVAILABLE;
    }
}

/* Replies that only say that there is no such name or record are replies like any other. */
static void on_reply(void *ctx, int status, int timeouts, unsigned char *reply, int len)
{
    struct question *q = ctx;
    bool has_reply = reply != NULL && len >= DNS_HEADER_LEN;
    int err = has_reply ? 0 : err_from_ares(status);

    (void)timeouts;
    q->upstream->pending--;
    if (err == 0 && !has_reply)
        err = ERR_UNAVAILABLE;
    q->done(q->ctx, err, slice_of(reply, has_reply ? (size_t)len : 0));
    free(q);
}

void upstream_ask(struct upstream *u, struct slice query, upstream_done done, void *ctx)
{
    struct question *q = NULL;
    uint8_t *copy;

    if (u->is_closing || u->pending == UPSTREAM_PENDING_MAX) {
        done(ctx, u->is_closing ? ERR_CLOSED : ERR_FULL, slice_of(NULL, 0));
        return;
    }
    follow_configuration(u);
    copy = malloc(query.len);
    if (copy != NULL)
        q = malloc(sizeof(*q));
    if (q == NULL) {
        free(copy);
        done(ctx, -ENOMEM, slice_of(NULL, 0));
        return;
    }
    *q = (struct question){ .upstream = u, .done = done, .ctx = ctx };
    memcpy(copy, query.ptr, query.len);
    dns_set_id(copy, (uint16_t)randombytes_uniform(65536)); /* unknown to who would forge */
    if (u->pending++ == 0)
        (void)uv_timer_start(&u->tick, on_tick, TICK_MS, TICK_MS); /* cannot fail */
    ares_send(u->channel, copy, (int)query.len, on_reply, q);
    free(copy);
}
