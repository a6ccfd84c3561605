/* How a stream ends, whoever wants it to:
 *
 *     by itself        the command has ended and its output is read  ->  stream_finish()
 *     closed           an exec's command is killed on a thread; its end is then noticed as if it
 *                      had come by itself. An attach finishes at once
 *
 * Finishing closes the handles and has a thread remove the files of an exec; the last of these to
 * be done reports on_end and frees the stream. */
#include "runtime/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/process.h"

static void free_stream(struct runtime_stream *s)
{
    str_list_clear(&s->argv);
    str_list_clear(&s->env);
    free(s->dir);
    free(s->user);
    free(s);
}

/* Of a command that was never run, the exit code is the OCI runtime's. */
static void explain_exit(struct runtime_stream *s)
{
    int code = refusal_exit_code(s->words);

    if (s->exit_code == OCI_EXEC_REFUSED && code != REFUSAL_OTHER)
        s->exit_code = code;
}

static void report_end(struct runtime_stream *s)
{
    list_remove(&s->link);
    if (s->kind == KIND_EXEC) {
        s->rt->exec_count--;
        explain_exit(s);
    }
    if (s->holds_pool)
        work_release(s->rt->pool);
    s->callbacks.on_end(s->callbacks.owner, s->err, s->err == 0 ? "" : s->fault.text, s->exit_code);
    free_stream(s);
}

/* Takes away one reason to stay: handles and work each are one. */
static void drop(struct runtime_stream *s)
{
    CHECK(s->open_handles > 0);
    if (--s->open_handles == 0)
        report_end(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct runtime_stream *s = handle->data;
    struct runtime *rt = s->rt;

    drop(s);
    runtime_handle_closed(rt);
}

void stream_close_handle(struct runtime_stream *s, uv_handle_t *handle, bool *open)
{
    if (!*open)
        return;
    *open = false;
    handle->data = s;
    uv_close(handle, on_handle_closed);
}

static void run_end(struct later *l)
{
    report_end(CONTAINER_OF(l, struct runtime_stream, later));
}

static void run_tidy(struct work *w)
{
    struct runtime_stream *s = CONTAINER_OF(w, struct runtime_stream, work);

    (void)unlink(s->process_path.text); /* both go with the bundle too */
    (void)unlink(s->pid_path.text);
}

static void on_tidied(struct work *w)
{
    drop(CONTAINER_OF(w, struct runtime_stream, work));
}

void stream_finish(struct runtime_stream *s)
{
    if (s->state == STREAM_CLOSING)
        return;
    s->state = STREAM_CLOSING;
    if (s->process_open)
        (void)uv_poll_stop(&s->process); /* cannot fail */
    for (int i = 0; i < 3; i++)
        stream_close_handle(s, (uv_handle_t *)&s->pipes[i], &s->pipe_open[i]);
    stream_close_handle(s, (uv_handle_t *)&s->process, &s->process_open);
    stream_close_handle(s, (uv_handle_t *)&s->timer, &s->timer_open);
    if (s->pidfd >= 0)
        close(s->pidfd);
    s->pidfd = -1;
    for (int i = 0; i < 3; i++) {
        if (s->fds[i] >= 0)
            close(s->fds[i]);
        s->fds[i] = -1;
    }
    if (s->pid > 0) {
        s->open_handles++;
        s->work.run = run_tidy;
        s->work.done = on_tidied;
        work_submit(s->rt->pool, WORK_QUICK, &s->work);
    }
    if (s->open_handles == 0) {
        s->later.run = run_end;
        runtime_later(s->rt, &s->later);
    }
}

/* --- Closing before the command has ended */

static pid_t read_pid(const char *path)
{
    struct buf text;
    pid_t pid = 0;

    buf_init(&text, 64);
    if (file_read(AT_FDCWD, path, &text) == 0 && buf_append_byte(&text, '\0') == 0)
        pid = (pid_t)strtol((const char *)text.ptr, NULL, 10);
    buf_deinit(&text);
    return pid;
}

/* The OCI runtime's `exec` cannot hand on a SIGKILL, so the command is ended by its own pid,
 * which is written when it is about to run. While `exec` lives that pid is not reused. */
static void run_kill(struct work *w)
{
    struct runtime_stream *s = CONTAINER_OF(w, struct runtime_stream, kill_work);
    pid_t pid = 0;

    for (int i = 0; i < 100 && pid <= 0; i++) {
        pid = read_pid(s->pid_path.text);
        if (pid <= 0)
            (void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    if (pid > 0 && process_wait_fd(s->pidfd, 0) == -ETIMEDOUT)
        (void)kill(pid, SIGKILL); /* it may just have ended */
    else if (pid <= 0)
        (void)!process_signal(s->pidfd, SIGKILL); /* never got so far */
}

static void on_killed(struct work *w)
{
    struct runtime_stream *s = CONTAINER_OF(w, struct runtime_stream, kill_work);

    s->killing = false;
    if (s->exited)
        stream_finish_if_done(s);
}

static void kill_command(struct runtime_stream *s)
{
    if (s->killing)
        return;
    s->killing = true;
    s->kill_work.run = run_kill;
    s->kill_work.done = on_killed;
    work_submit(s->rt->pool, WORK_QUICK, &s->kill_work);
}

void runtime_stream_close(struct runtime_stream *s)
{
    s->close_wanted = true;
    if (s->state == STREAM_STARTING)
        attach_leave(s);
    if (s->state != STREAM_OPEN)
        return;
    if (s->kind == KIND_EXEC && !s->exited)
        kill_command(s);
    else
        stream_finish(s);
}

void runtime_streams_close_all(struct runtime *rt)
{
    LIST_EACH_SAFE(it, &rt->streams)
    {
        runtime_stream_close(CONTAINER_OF(it, struct runtime_stream, link));
    }
}
