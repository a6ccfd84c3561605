/* node/api/exec.c - /exec and /containers/ID/exec.
 *
 * The connection that starts a command is taken over (HTTP 101): from then on its bytes are the
 * command's input, and its output comes framed as logs are, or bare with a terminal.
 *
 *     client -> fd -> conn.in -> runtime      reading stops while the runtime's queue is full
 *     runtime -> conn.out -> fd -> client     the command is held while the client is slow
 *
 * The command ends first, then what is left of its output is sent, then the connection closes;
 * the exit code is there for GET /exec/ID/json before that. A client that goes away ends its
 * command. */
#include "node/api/exec.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/messages.h"

#define EXEC_ID_LEN 64
#define OUT_MAX     (4 * MIB)
#define OUT_HIGH    (256 * KIB)
#define OUT_LOW     (64 * KIB)
#define READ_BYTES  (32 * KIB)
#define RETRY_MS    10 /* while the command does not read its input */

struct conn {
    struct exec *exec;
    struct MHD_UpgradeResponseHandle *urh;
    int fd;
    uv_poll_t poll;
    uv_timer_t retry;
    unsigned open_handles;
    struct buf in, out;
    bool input_ended, held, closing;
};

struct exec {
    struct list link;
    struct api *api;
    char id[EXEC_ID_LEN + 1];
    char *container;
    struct exec_create spec;
    bool started, ended;
    int exit_code;
    struct runtime_stream *stream; /* NULL: not running */
    struct conn *conn;             /* NULL: detached, or gone */
};

static void pump(struct conn *c);

static struct exec *find(const struct api *api, const char *id)
{
    LIST_EACH(it, &api->execs)
    {
        struct exec *e = CONTAINER_OF(it, struct exec, link);

        if (strcmp(e->id, id) == 0)
            return e;
    }
    return NULL;
}

static void free_exec(struct exec *e)
{
    list_remove(&e->link);
    e->api->exec_count--;
    fields_deinit(&exec_create_type, &e->spec);
    free(e->container);
    free(e);
}

/* --- The connection ------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct api *api = c->exec->api;

    if (--c->open_handles > 0)
        return;
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    c->exec->conn = NULL;
    free(c);
    api_forget(api);
}

static void close_conn(struct conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    (void)uv_poll_stop(&c->poll);                               /* cannot fail */
    (void)MHD_upgrade_action(c->urh, MHD_UPGRADE_ACTION_CLOSE); /* frees the descriptor */
    api_kick(c->exec->api);
    if (c->exec->stream != NULL)
        runtime_stream_close(c->exec->stream); /* its client is gone */
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    uv_close((uv_handle_t *)&c->retry, on_handle_closed);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status < 0)
        close_conn(poll->data);
    else
        pump(poll->data);
}

static void on_retry(uv_timer_t *timer)
{
    pump(timer->data);
}

/* Hands input on. False: the runtime's queue is full. */
static bool give_input(struct conn *c)
{
    int rc;

    if (c->in.len == 0 || c->exec->stream == NULL) {
        buf_clear(&c->in);
        return true;
    }
    rc = runtime_stream_write(c->exec->stream, buf_slice(&c->in));
    if (rc == ERR_FULL)
        return false;
    buf_clear(&c->in); /* or its input is shut: nobody wants it */
    return true;
}

/* False: nothing more can be read now. */
static bool take_input(struct conn *c)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0)
        return false;
    if (n == 0) {
        c->input_ended = true;
        if (c->exec->stream != NULL)
            runtime_stream_shut_input(c->exec->stream);
        return false;
    }
    if (buf_append(&c->in, bytes, (size_t)n) < 0) {
        c->input_ended = true; /* no memory: the command sees the end of its input */
        return false;
    }
    return give_input(c);
}

/* False: the client is gone. */
static bool give_output(struct conn *c)
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

static void pump(struct conn *c)
{
    bool full = false, alive;
    int events = 0;

    if (c->closing)
        return;
    full = !give_input(c);
    if (!full && !c->input_ended)
        full = take_input(c) ? false : c->in.len > 0;
    alive = give_output(c);
    if (!alive || (c->exec->ended && c->out.len == 0)) {
        close_conn(c);
        return;
    }
    if (c->held && c->out.len < OUT_LOW && c->exec->stream != NULL) {
        c->held = false;
        runtime_stream_resume(c->exec->stream);
    }
    if (full)
        (void)uv_timer_start(&c->retry, on_retry, RETRY_MS, 0); /* not closing, callback set */
    else if (!c->input_ended)
        events |= UV_READABLE;
    if (c->out.len > 0)
        events |= UV_WRITABLE;
    if (events == 0)
        (void)uv_poll_stop(&c->poll); /* cannot fail */
    else if (uv_poll_start(&c->poll, events, on_poll) < 0)
        close_conn(c);
}

/* --- The command ---------------------------------------------------------------------------- */

static void on_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct exec *e = owner;
    struct conn *c = e->conn;
    uint8_t frame[8] = { (uint8_t)source };
    size_t frame_len = e->spec.tty ? 0 : sizeof(frame);

    if (c == NULL || c->closing)
        return;
    for (size_t i = 0; i < 4; i++)
        frame[4 + i] = (uint8_t)(bytes.len >> (8 * (3 - i)));
    if (buf_append(&c->out, frame, frame_len) < 0 || buf_append_slice(&c->out, bytes) < 0) {
        close_conn(c); /* half a frame must not be followed by another */
        return;
    }
    if (!c->held && c->out.len > OUT_HIGH) {
        c->held = true;
        runtime_stream_hold(e->stream);
    }
    pump(c);
}

static void on_end(void *owner, int err, const char *message, int exit_code)
{
    struct exec *e = owner;
    struct api *api = e->api;

    if (err < 0 && message != NULL && message[0] != '\0') {
        on_output(e, STREAM_STDERR, slice_of_str(message));
        on_output(e, STREAM_STDERR, slice_of_str("\n"));
    }
    e->exit_code = err < 0 && exit_code == 0 ? 126 : exit_code;
    e->ended = true;
    e->stream = NULL;
    if (e->conn != NULL)
        pump(e->conn);
    api_forget(api);
}

/* Runs it. The stream may end only later than this returns. */
static void run(struct exec *e)
{
    const struct exec_create *s = &e->spec;
    const char **argv = calloc(s->argv.count + 1, sizeof(*argv));
    const char **env = calloc(s->env.count + 1, sizeof(*env));

    e->api->pending++; /* until on_end */
    if (argv == NULL || env == NULL) {
        free(argv);
        free(env);
        on_end(e, -ENOMEM, err_text(-ENOMEM), 126);
        return;
    }
    for (size_t i = 0; i < s->argv.count; i++)
        argv[i] = s->argv.items[i];
    for (size_t i = 0; i < s->env.count; i++)
        env[i] = s->env.items[i];
    e->stream = runtime_exec(
        e->api->cfg.runtime, e->container,
        &(struct exec_spec){
            .argv = argv,
            .env = env,
            .dir = s->dir,
            .user = s->user,
            .tty = s->tty,
            .open_stdin = s->attach_stdin,
        },
        &(struct stream_callbacks){ .owner = e, .on_output = on_output, .on_end = on_end });
    free(argv);
    free(env);
    if (e->stream == NULL && !e->ended)
        on_end(e, -ENOMEM, err_text(-ENOMEM), 126);
}

static void on_upgrade(void *cls, struct MHD_Connection *connection, void *state, const char *extra,
                       size_t extra_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *urh)
{
    const struct request *r = cls;
    struct exec *e = find(r->api, r->args[0]);
    struct conn *c = e != NULL ? calloc(1, sizeof(*c)) : NULL;

    (void)connection;
    (void)state;
    if (c == NULL || uv_timer_init(e->api->cfg.loop, &c->retry) < 0) {
        free(c);
        (void)MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
        return;
    }
    c->exec = e;
    c->urh = urh;
    c->fd = fd;
    c->retry.data = c;
    c->poll.data = c;
    c->open_handles = 2;
    buf_init(&c->in, READ_BYTES + extra_len);
    buf_init(&c->out, OUT_MAX);
    e->conn = c;
    e->api->pending++; /* until the handles are closed */
    if (uv_poll_init(e->api->cfg.loop, &c->poll, fd) < 0) {
        c->open_handles = 1;
        c->closing = true;
        (void)MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
        uv_close((uv_handle_t *)&c->retry, on_handle_closed);
        return;
    }
    if (buf_append(&c->in, extra, extra_len) < 0) {
        close_conn(c);
        return;
    }
    run(e);
    if (!e->spec.attach_stdin && e->stream != NULL)
        runtime_stream_shut_input(e->stream);
    pump(c);
}

/* --- Requests ------------------------------------------------------------------------------- */

static struct exec *find_exec(struct request *r)
{
    struct exec *e = find(r->api, r->args[0]);

    if (e == NULL)
        reply_status(r, MHD_HTTP_NOT_FOUND, "No such exec instance: %s", r->args[0]);
    return e;
}

/* Makes room for one more. False: all are running. */
static bool make_room(struct api *api)
{
    if (api->exec_count < EXECS_MAX)
        return true;
    LIST_EACH_SAFE(it, &api->execs)
    {
        struct exec *e = CONTAINER_OF(it, struct exec, link);

        if (e->conn == NULL && e->stream == NULL) {
            free_exec(e);
            return true;
        }
    }
    return false;
}

void handle_exec_create(struct request *r)
{
    const struct container_info *info = request_container(r);
    struct exec_create spec = { 0 };
    struct exec *e;
    uint8_t random[EXEC_ID_LEN / 2];

    if (info == NULL || !request_parse(r, &exec_create_type, &spec))
        return;
    if (spec.argv.count == 0) {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "No exec command specified");
    } else if (info->state != CONTAINER_RUNNING) {
        reply_status(r, MHD_HTTP_CONFLICT, "container %s is not running", r->args[0]);
    } else if (!make_room(r->api)) {
        reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE, "%d commands run in containers already",
                     EXECS_MAX);
    } else {
        e = calloc(1, sizeof(*e));
        if (e != NULL)
            e->container = strdup(info->spec->id);
        if (e == NULL || e->container == NULL) {
            free(e);
            reply_error(r, -ENOMEM, NULL);
        } else {
            randombytes_buf(random, sizeof(random));
            (void)sodium_bin2hex(e->id, sizeof(e->id), random, sizeof(random));
            e->api = r->api;
            e->spec = spec;
            spec = (struct exec_create){ 0 };
            list_push_back(&r->api->execs, &e->link);
            r->api->exec_count++;
            reply_json(r, MHD_HTTP_CREATED, json_pack("{s:s}", "Id", e->id));
        }
    }
    fields_deinit(&exec_create_type, &spec);
}

void handle_exec_start(struct request *r)
{
    struct exec *e = find_exec(r);
    struct exec_start msg = { 0 };

    if (e == NULL || !request_parse(r, &exec_start_type, &msg))
        return;
    if (e->started) {
        reply_status(r, MHD_HTTP_CONFLICT, "exec %s has been started already", e->id);
        return;
    }
    e->started = true;
    if (msg.detach) {
        run(e);
        reply_empty(r, MHD_HTTP_OK);
        return;
    }
    reply_upgrade(r, on_upgrade,
                  e->spec.tty || r->minor < 42 ? "application/vnd.docker.raw-stream"
                                               : "application/vnd.docker.multiplexed-stream");
}

void handle_exec_inspect(struct request *r)
{
    const struct exec *e = find_exec(r);
    json_t *arguments;

    if (e == NULL)
        return;
    arguments = json_array();
    for (size_t i = 1; i < e->spec.argv.count; i++)
        (void)json_array_append_new(arguments, json_string(e->spec.argv.items[i]));
    reply_json(r, MHD_HTTP_OK,
               json_pack("{s:s,s:b,s:o,s:{s:b,s:s,s:o,s:b,s:s},s:b,s:b,s:b,s:b,s:s,s:s,s:i}", "ID",
                         e->id, "Running", e->stream != NULL, "ExitCode",
                         e->ended ? json_integer(e->exit_code) : json_null(), "ProcessConfig",
                         "tty", e->spec.tty, "entrypoint", e->spec.argv.items[0], "arguments",
                         arguments, "privileged", e->spec.privileged, "user",
                         e->spec.user != NULL ? e->spec.user : "", "OpenStdin",
                         e->spec.attach_stdin, "OpenStderr", e->spec.attach_stderr, "OpenStdout",
                         e->spec.attach_stdout, "CanRemove", 0, "ContainerID", e->container,
                         "DetachKeys", "", "Pid", 0));
}

void handle_exec_resize(struct request *r)
{
    const struct exec *e = find_exec(r);
    const char *h = request_query(r, "h"), *w = request_query(r, "w");
    long rows = h != NULL ? strtol(h, NULL, 10) : 0, columns = w != NULL ? strtol(w, NULL, 10) : 0;

    if (e == NULL)
        return;
    if (rows <= 0 || rows > UINT16_MAX || columns <= 0 || columns > UINT16_MAX) {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "give h and w between 1 and %d", UINT16_MAX);
        return;
    }
    if (e->stream != NULL)
        runtime_stream_resize(e->stream, (uint16_t)rows, (uint16_t)columns);
    reply_empty(r, MHD_HTTP_OK);
}

/* --- Of the server -------------------------------------------------------------------------- */

void execs_sweep(struct api *api)
{
    LIST_EACH(it, &api->execs)
    {
        struct exec *e = CONTAINER_OF(it, struct exec, link);
        struct pollfd p = { .fd = e->conn != NULL && !e->conn->closing ? e->conn->fd : -1 };

        /* Only both directions closed is gone: one alone is the end of the command's input. */
        if (p.fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0)
            close_conn(e->conn);
    }
}

void execs_close(struct api *api)
{
    LIST_EACH(it, &api->execs)
    {
        struct exec *e = CONTAINER_OF(it, struct exec, link);

        if (e->conn != NULL)
            close_conn(e->conn);
        else if (e->stream != NULL)
            runtime_stream_close(e->stream);
    }
}

void execs_free(struct api *api)
{
    LIST_EACH_SAFE(it, &api->execs)
    free_exec(CONTAINER_OF(it, struct exec, link));
}
