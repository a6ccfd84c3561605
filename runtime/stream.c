/* exec and attach. An exec is prepared and spawned on a thread, then lives on the loop:
 *
 *     STARTING --spawned--> OPEN --process ended and output read--> CLOSING --> on_end, freed
 *
 * Its process is the OCI runtime's `exec`, which stays and hands on the exit status. With a tty
 * the runtime sends the master side of the terminal through a console socket. An attach is a
 * connection to conmon's socket, whose packets begin with a byte that says which stream.
 *
 * Here is its beginning and its output; input is in stream_input.c, the end in stream_end.c. */
#include "runtime/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

#define DRAIN_MS 500 /* for output of what the command left running */

static void add_handle(struct runtime_stream *s)
{
    s->open_handles++;
    s->rt->open_handles++;
}

static void keep_words(struct runtime_stream *s, struct slice bytes)
{
    size_t len = strlen(s->words), more = MIN(bytes.len, sizeof(s->words) - 1 - len);

    memcpy(s->words + len, bytes.ptr, more);
    s->words[len + more] = '\0';
}

static void deliver(struct runtime_stream *s, int index, struct slice bytes)
{
    enum stream_source source = index == 2 ? STREAM_STDERR : STREAM_STDOUT;

    if (s->kind == KIND_ATTACH) {
        source = bytes.ptr[0] == 3 ? STREAM_STDERR : STREAM_STDOUT;
        bytes = slice_of(bytes.ptr + 1, bytes.len - 1);
    } else if (index == 2) {
        keep_words(s, bytes);
    }
    if (bytes.len > 0 && s->callbacks.on_output != NULL)
        s->callbacks.on_output(s->callbacks.owner, source, bytes);
}

/* What is there already, or as much of it as is wanted. */
static void drain_pipe(struct runtime_stream *s, int index)
{
    uv_os_fd_t fd;
    ssize_t n;

    if (!s->pipe_open[index] || uv_fileno((uv_handle_t *)&s->pipes[index], &fd) < 0)
        return;
    /* Who hears of it may hold the stream or close it. */
    while (!s->held && s->pipe_open[index] && (n = read(fd, s->buffer, sizeof(s->buffer))) > 0)
        deliver(s, index, slice_of(s->buffer, (size_t)n));
}

/* A loop that was kept from running may find its timer before its input. */
static void drain_now(struct runtime_stream *s)
{
    for (int i = 1; i < 3; i++)
        drain_pipe(s, i);
}

static void on_timer(uv_timer_t *timer)
{
    struct runtime_stream *s = timer->data;

    if (!s->exited && s->timeout_ms > 0) {
        s->timed_out = true;
        s->err = fault_set(&s->fault, ERR_TIMEOUT, "exec in container %s: not done after %llu ms",
                           s->id, (unsigned long long)s->timeout_ms);
        runtime_stream_close(s);
        return;
    }
    drain_now(s);
    if (s->held)
        return;       /* runtime_stream_resume() begins the wait anew */
    stream_finish(s); /* something the command started still holds its output open */
}

static int start_timer(struct runtime_stream *s, uint64_t ms)
{
    if (!s->timer_open) {
        int rc = uv_timer_init(s->rt->loop, &s->timer);

        if (rc < 0)
            return rc;
        s->timer.data = s;
        s->timer_open = true;
        add_handle(s);
    }
    return uv_timer_start(&s->timer, on_timer, ms, 0);
}

void stream_finish_if_done(struct runtime_stream *s)
{
    if (s->killing) /* its thread uses the descriptors; it comes back here */
        return;
    if (s->kind == KIND_ATTACH ? s->reading == 0 : s->exited && s->reading == 0)
        stream_finish(s);
    else if (s->exited && start_timer(s, DRAIN_MS) < 0)
        stream_finish(s);
}

static void on_process(uv_poll_t *poll, int status, int events)
{
    struct runtime_stream *s = poll->data;
    int how;

    (void)status;
    (void)events;
    if (waitpid(s->pid, &how, WNOHANG) != s->pid)
        return;
    (void)uv_poll_stop(&s->process); /* cannot fail */
    s->exited = true;
    s->exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    stream_finish_if_done(s);
}

/* --- Output */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct runtime_stream *s = handle->data;

    (void)suggested;
    *out = uv_buf_init((char *)s->buffer, sizeof(s->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct runtime_stream *s = stream->data;
    int index = (int)((uv_pipe_t *)stream - s->pipes);

    (void)buf;
    if (n > 0) {
        deliver(s, index, slice_of(s->buffer, (size_t)n));
        return;
    }
    if (n == 0)
        return;
    (void)uv_read_stop(stream); /* end of file; a terminal says EIO */
    /* A packet, and what the kernel has at hand of a terminal's output, looks like a partial read,
     * behind which libuv takes a hang-up for the end. */
    drain_pipe(s, index);
    if (s->held || s->state != STREAM_OPEN)
        return; /* the rest when it is resumed, and the end once more */
    s->reading--;
    stream_finish_if_done(s);
}

static int open_pipe(struct runtime_stream *s, int index, bool read)
{
    int rc = uv_pipe_init(s->rt->loop, &s->pipes[index], 0);

    if (rc < 0)
        return rc;
    s->pipes[index].data = s;
    s->pipe_open[index] = true;
    add_handle(s);
    rc = uv_pipe_open(&s->pipes[index], s->fds[index]);
    if (rc < 0)
        return rc;
    s->fds[index] = -1; /* the pipe's now */
    if (!read)
        return 0;
    rc = uv_read_start((uv_stream_t *)&s->pipes[index], on_alloc, on_read);
    s->reading += rc == 0;
    return rc;
}

static int open_process(struct runtime_stream *s)
{
    int rc = uv_poll_init(s->rt->loop, &s->process, s->pidfd);

    if (rc < 0)
        return rc;
    s->process.data = s;
    s->process_open = true;
    add_handle(s);
    return uv_poll_start(&s->process, UV_READABLE, on_process);
}

/* --- On the loop again */

static int go_on(struct runtime_stream *s)
{
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++) {
        if (s->fds[i] >= 0)
            rc = open_pipe(s, i, i > 0);
    }
    if (rc == 0 && s->kind == KIND_EXEC)
        rc = open_process(s);
    if (rc == 0 && s->timeout_ms > 0)
        rc = start_timer(s, s->timeout_ms);
    return rc < 0 ? fault_system(&s->fault, rc, "exec in container %s", s->id) : 0;
}

void stream_opened(struct runtime_stream *s)
{
    s->container = NULL;
    if (s->err == 0) {
        s->state = STREAM_OPEN;
        s->err = go_on(s);
        if (s->err < 0 && s->kind == KIND_EXEC)
            stream_kill_child(s);
    }
    if (s->err < 0)
        stream_finish(s);
    else if (s->close_wanted)
        runtime_stream_close(s);
    else if (s->held)
        runtime_stream_hold(s);
    if (s->state == STREAM_OPEN && s->input_shut)
        stream_shut_input(s);
}

static void on_opened(struct work *w)
{
    stream_opened(CONTAINER_OF(w, struct runtime_stream, work));
}

static void run_refused(struct later *l)
{
    stream_finish(CONTAINER_OF(l, struct runtime_stream, later));
}

/* A stream that ends as soon as the loop turns. */
void stream_refuse(struct runtime_stream *s, int err)
{
    s->err = err;
    s->later.run = run_refused;
    runtime_later(s->rt, &s->later);
}

struct runtime_stream *stream_new(struct runtime *rt, const char *id, enum stream_kind kind,
                                  const struct stream_callbacks *callbacks)
{
    struct runtime_stream *s = calloc(1, sizeof(*s));

    CHECK(s != NULL); /* the promise of on_end needs it */
    s->rt = rt;
    s->kind = kind;
    s->callbacks = *callbacks;
    s->pidfd = -1;
    for (int i = 0; i < 3; i++)
        s->fds[i] = -1;
    (void)snprintf(s->id, sizeof(s->id), "%s", id);
    list_init(&s->link);
    list_init(&s->waiting);
    list_push_back(&rt->streams, &s->link);
    if (kind == KIND_EXEC)
        rt->exec_count++;
    return s;
}

static int copy_exec(struct runtime_stream *s, const struct exec_spec *spec)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && spec->argv[i] != NULL; i++)
        rc = str_list_append(&s->argv, spec->argv[i]);
    for (size_t i = 0; rc == 0 && spec->env != NULL && spec->env[i] != NULL; i++)
        rc = str_list_append(&s->env, spec->env[i]);
    if (rc == 0)
        rc = str_set(&s->dir, spec->dir);
    if (rc == 0)
        rc = str_set(&s->user, spec->user);
    s->tty = spec->tty;
    s->open_stdin = spec->open_stdin;
    s->rows = spec->rows;
    s->columns = spec->columns;
    return rc;
}

static int check_running(struct runtime_stream *s, struct container *c)
{
    if (atomic_load(&s->rt->closing))
        return fault_set(&s->fault, ERR_CLOSED, "the runtime is closing");
    if (c == NULL)
        return fault_set(&s->fault, ERR_NOT_FOUND, "container %s: no such container", s->id);
    if (c->info.state != CONTAINER_RUNNING || c->collecting)
        return fault_set(&s->fault, ERR_CONFLICT, "container %s: is %s", s->id,
                         c->info.state == CONTAINER_PAUSED ? "paused" : "not running");
    return 0;
}

void stream_begin(struct runtime_stream *s, struct container *c, int rc)
{
    if (rc == 0)
        rc = check_running(s, c);
    if (rc < 0) {
        stream_refuse(s, rc);
        return;
    }
    s->container = c;
    s->holds_pool = true;
    work_hold(s->rt->pool);
    s->work.run = stream_open_run;
    s->work.done = on_opened;
    work_submit(s->rt->pool, WORK_QUICK, &s->work);
}

struct runtime_stream *stream_exec(struct container *c, const struct exec_spec *spec,
                                   uint64_t timeout_ms, const struct stream_callbacks *callbacks)
{
    struct runtime_stream *s = stream_new(c->rt, c->record.spec.id, KIND_EXEC, callbacks);
    int rc = copy_exec(s, spec);

    s->timeout_ms = timeout_ms;
    if (rc < 0)
        fault_system(&s->fault, rc, "exec");
    stream_begin(s, c, rc);
    return s;
}

struct runtime_stream *runtime_exec(struct runtime *rt, const char *id,
                                    const struct exec_spec *spec,
                                    const struct stream_callbacks *callbacks)
{
    struct runtime_stream *s = stream_new(rt, id, KIND_EXEC, callbacks);
    int rc = copy_exec(s, spec);

    if (rc < 0)
        fault_system(&s->fault, rc, "exec");
    else if (s->argv.count == 0)
        rc = fault_set(&s->fault, ERR_INVALID, "exec in container %s: no command", id);
    else if (rt->exec_count > EXEC_COUNT_MAX)
        rc = fault_set(&s->fault, ERR_FULL, "exec in container %s: %d run already; wait for one",
                       id, EXEC_COUNT_MAX);
    stream_begin(s, runtime_find_id(rt, id), rc);
    return s;
}

void runtime_stream_resize(struct runtime_stream *s, uint16_t rows, uint16_t columns)
{
    uv_os_fd_t fd;

    s->rows = rows;
    s->columns = columns;
    if (s->kind == KIND_EXEC && s->tty && s->pipe_open[1] &&
        uv_fileno((uv_handle_t *)&s->pipes[1], &fd) == 0)
        stream_set_size(fd, rows, columns);
}

void runtime_stream_hold(struct runtime_stream *s)
{
    s->held = true;
    for (int i = 1; i < 3; i++) {
        if (s->pipe_open[i])
            (void)uv_read_stop((uv_stream_t *)&s->pipes[i]); /* cannot fail */
    }
}

void runtime_stream_resume(struct runtime_stream *s)
{
    if (!s->held)
        return;
    s->held = false;
    for (int i = 1; i < 3; i++) {
        if (s->pipe_open[i] && uv_is_readable((uv_stream_t *)&s->pipes[i]))
            (void)uv_read_start((uv_stream_t *)&s->pipes[i], on_alloc, on_read);
    }
    if (s->state == STREAM_OPEN && s->exited)
        stream_finish_if_done(s);
}
