/* node/api/server.c - libmicrohttpd on the loop.
 *
 * libmicrohttpd runs without threads; its epoll descriptor is watched by libuv, and its deadline
 * is a timer. A connection whose answer takes a while is suspended, which makes libmicrohttpd deaf
 * for it: that the client has gone is then seen only by the sweep, once a second, and only matters
 * for streams, whose sources would otherwise run for ever. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/utf8.h"
#include "node/api/api_impl.h"
#include "node/api/exec.h"
#include "node/api/session.h"

#define SWEEP_INTERVAL_MS 1000
#define CONNECTION_MEMORY (32 * KIB) /* libmicrohttpd's per connection: headers must fit */
#define LISTEN_BACKLOG    256
#define SOCKET_MODE       0660

wall_ns api_wall_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t); /* cannot fail with this clock */
    return (wall_ns)t.tv_sec * (wall_ns)NS_PER_S + t.tv_nsec;
}

/* --- Running libmicrohttpd ------------------------------------------------------------------ */

static void run(struct api *api);

static void on_deadline(uv_timer_t *timer)
{
    run(timer->data);
}

static void run(struct api *api)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;

    api->running = true;
    (void)MHD_run(api->daemon); /* fails only for daemons that have threads */
    api->running = false;
    if (MHD_get_timeout(api->daemon, &wait_ms) == MHD_YES)
        (void)uv_timer_start(&api->timer, on_deadline, wait_ms, 0); /* not closing, callback set */
    else
        (void)uv_timer_stop(&api->timer);
}

void api_kick(struct api *api)
{
    if (!api->closing && api->daemon != NULL)
        (void)uv_timer_start(&api->timer, on_deadline, 0, 0); /* not closing, callback set */
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

void request_suspend(struct request *r)
{
    CHECK(!r->suspended && r->conn != NULL);
    r->suspended = true;
    MHD_suspend_connection(r->conn);
}

void request_resume(struct request *r)
{
    if (!r->suspended)
        return;
    r->suspended = false;
    MHD_resume_connection(r->conn);
    api_kick(r->api);
}

/* --- One request ---------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct request *r)
{
    enum MHD_Result rc;

    r->queued = true;
    rc = MHD_queue_response(r->conn, r->status, r->response);
    return rc;
}

static enum MHD_Result on_body(struct request *r, const char *bytes, size_t *len)
{
    if (r->upload.fd >= 0) {
        upload_bytes(r, bytes, len);
        return MHD_YES;
    }
    if (r->refusal == 0 && r->route != NULL && (r->route->flags & ROUTE_UPLOAD) == 0) {
        int rc = buf_append(&r->body, bytes, *len);

        if (rc < 0) {
            r->refusal =
                rc == ERR_TOO_LARGE ? MHD_HTTP_CONTENT_TOO_LARGE : MHD_HTTP_INTERNAL_SERVER_ERROR;
            (void)snprintf(r->message, sizeof(r->message), "request body: %s (limit %llu bytes)",
                           err_text(rc), (unsigned long long)API_BODY_MAX);
            buf_deinit(&r->body);
        }
    } else {
        r->discarded += *len;
        if (r->discarded > DISCARD_MAX && (r->route == NULL || r->refusal != 0))
            return MHD_NO;
    }
    *len = 0;
    return MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *conn, const char *url,
                                 const char *method, const char *http_version, const char *bytes,
                                 size_t *len, void **state)
{
    struct api *api = cls;
    struct request *r = *state;

    (void)http_version;
    if (r == NULL) {
        if (api->closing)
            return MHD_NO;
        r = request_new(api, conn, method, url);
        *state = r;
        if (r != NULL && r->refusal == 0 && (r->route->flags & ROUTE_UPLOAD) != 0)
            request_ready(r);
        return r == NULL ? MHD_NO : MHD_YES;
    }
    if (*len > 0)
        return on_body(r, bytes, len);
    if (!r->body_done) {
        r->body_done = true;
        if (r->upload.fd >= 0)
            upload_end(r);
        if (r->refusal != 0)
            reply_status(r, r->refusal, "%s", r->message);
        else if ((r->route->flags & ROUTE_UPLOAD) == 0)
            request_ready(r);
    }
    if (r->queued)
        return MHD_YES;
    if (r->response != NULL)
        return send_answer(r);
    if (!r->suspended)
        request_suspend(r);
    return MHD_YES;
}

/* The last word of libmicrohttpd on a request, however it ended. */
static void on_completed(void *cls, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct request *r = *state;

    (void)cls;
    (void)conn;
    (void)why;
    *state = NULL;
    if (r == NULL)
        return;
    r->conn = NULL;
    r->suspended = false;
    upload_end(r);
    if (r->stream.open) {
        r->stream.open = false;
        if (r->stream.on_gone != NULL)
            r->stream.on_gone(r);
    }
    request_release(r);
}

/* Ends streams whose client has gone while there was nothing to tell it. */
static void on_sweep(uv_timer_t *timer)
{
    struct api *api = timer->data;

    LIST_EACH_SAFE(it, &api->requests)
    {
        struct request *r = CONTAINER_OF(it, struct request, link);
        const union MHD_ConnectionInfo *info;
        struct pollfd p = { .events = POLLRDHUP };

        if (!r->stream.open || !r->suspended)
            continue;
        info = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        p.fd = info != NULL ? info->connect_fd : -1;
        if (poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0)
            stream_end(r);
    }
    sessions_sweep(api);
}

/* --- Opening and closing -------------------------------------------------------------------- */

/* Whether someone answers at the path: then it is not ours to replace. */
static bool is_served(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool served;

    if (fd < 0)
        return false;
    served = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0;
    (void)close(fd); /* nothing was written */
    return served;
}

/* The group that may use the socket: docker's where it exists. */
static void set_owner(const char *path)
{
    const struct group *g = getgrnam("docker");

    if (g != NULL && chown(path, (uid_t)-1, g->gr_gid) < 0)
        log_warn("api", "socket stays with root alone path=%s cause=%s", path,
                 err_text(err_errno()));
}

static int listen_at(const char *path, char *why, size_t why_len)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct stat st;
    mode_t mask;
    int fd, rc;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        (void)snprintf(why, why_len, "socket %s: the path is longer than %zu bytes", path,
                       sizeof(addr.sun_path) - 1);
        return ERR_TOO_LARGE;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    if (is_served(&addr)) {
        (void)snprintf(why, why_len,
                       "socket %s: another program answers there; stop it, or choose another path "
                       "with --socket",
                       path);
        return ERR_EXISTS;
    }
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(path); /* a failure shows at bind */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno();
    mask = umask(0777 & ~SOCKET_MODE);
    rc = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? err_errno() : 0;
    (void)umask(mask); /* cannot fail */
    if (rc == 0)
        set_owner(path);
    if (rc == 0 && listen(fd, LISTEN_BACKLOG) < 0)
        rc = err_errno();
    if (rc < 0) {
        (void)snprintf(why, why_len, "socket %s: %s", path, err_text(rc));
        (void)close(fd); /* nothing was written */
        return rc;
    }
    return fd;
}

static void on_log(void *cls, const char *format, va_list args)
{
    char line[256];

    (void)cls;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* libmicrohttpd's own */
    (void)vsnprintf(line, sizeof(line), format, args);
#pragma GCC diagnostic pop
    line[strcspn(line, "\n")] = '\0';
    log_warn_limited("http", "api", "%s", line);
}

static int start_daemon(struct api *api)
{
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;

    api->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, api, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, api->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, api,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)API_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)API_IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_END);
    return api->daemon == NULL ? -ENOMEM : 0;
}

static void finish_close(struct api *api)
{
    if (api->open_handles > 0 || api->pending > 0 || !api->closing)
        return;
    events_deinit(&api->events);
    execs_free(api);
    if (api->on_closed != NULL)
        api->on_closed(api->closed_ctx);
    free(api);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct api *api = handle->data;

    api->open_handles--;
    finish_close(api);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_handle_closed);
}

void api_forget(struct api *api)
{
    CHECK(api->pending > 0);
    api->pending--;
    finish_close(api);
}

static int start_handles(struct api *api)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(api->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int rc;

    if (info == NULL)
        return ERR_UNSUPPORTED;
    rc = uv_timer_init(api->cfg.loop, &api->timer);
    if (rc < 0)
        return rc;
    api->timer.data = api;
    api->open_handles++;
    rc = uv_timer_init(api->cfg.loop, &api->sweep_timer);
    if (rc < 0)
        return rc;
    api->sweep_timer.data = api;
    api->open_handles++;
    rc = uv_poll_init(api->cfg.loop, &api->poll, info->epoll_fd);
    if (rc < 0)
        return rc;
    api->poll.data = api;
    api->open_handles++;
    rc = uv_poll_start(&api->poll, UV_READABLE, on_poll);
    if (rc == 0)
        rc = uv_timer_start(&api->sweep_timer, on_sweep, SWEEP_INTERVAL_MS, SWEEP_INTERVAL_MS);
    return rc;
}

int api_open(const struct api_config *cfg, struct api **out, char *why, size_t why_len)
{
    struct api *api = calloc(1, sizeof(*api));
    uint64_t seed;
    int rc;

    (void)snprintf(why, why_len, "the API cannot start: out of memory");
    if (api == NULL)
        return -ENOMEM;
    api->cfg = *cfg;
    list_init(&api->requests);
    list_init(&api->execs);
    list_init(&api->sessions);
    randombytes_buf(&seed, sizeof(seed));
    prng_init(&api->ids, seed);
    rc = listen_at(cfg->socket, why, why_len);
    if (rc < 0) {
        free(api);
        return rc;
    }
    api->listen_fd = rc;
    rc = start_daemon(api);
    if (rc < 0) {
        (void)close(api->listen_fd); /* nothing was written */
        free(api);
        return rc;
    }
    rc = start_handles(api);
    if (rc < 0) {
        (void)snprintf(why, why_len, "the API cannot start: %s", err_text(rc));
        api_close(api, NULL, NULL);
        return rc;
    }
    api_kick(api);
    *out = api;
    return 0;
}

/* What still waits is told so; streams end. */
static void end_requests(struct api *api)
{
    LIST_EACH_SAFE(it, &api->requests)
    {
        struct request *r = CONTAINER_OF(it, struct request, link);

        if (r->stream.open)
            stream_end(r);
        else if (r->conn != NULL && r->response == NULL)
            reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE, "the daemon is stopping");
        request_resume(r);
    }
}

void api_close(struct api *api, void (*on_closed)(void *ctx), void *ctx)
{
    CHECK(!api->closing);
    api->on_closed = on_closed;
    api->closed_ctx = ctx;
    end_requests(api);
    api->closing = true;
    if (api->daemon != NULL) {
        sessions_close(api);
        (void)MHD_run(api->daemon); /* sends what was just answered */
        (void)unlink(api->cfg.socket);
        api->pending++; /* not freed while libmicrohttpd lets go of its connections */
        if (api->poll.data != NULL)
            (void)uv_poll_stop(&api->poll); /* before its descriptor is closed; cannot fail */
        MHD_stop_daemon(api->daemon);
        api->daemon = NULL;
    } else {
        api->pending++;
    }
    if (api->timer.data != NULL)
        close_handle((uv_handle_t *)&api->timer);
    if (api->sweep_timer.data != NULL)
        close_handle((uv_handle_t *)&api->sweep_timer);
    if (api->poll.data != NULL)
        close_handle((uv_handle_t *)&api->poll);
    api_forget(api);
}
