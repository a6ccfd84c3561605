/* The lock says which case it is. To have it means that no daemon uses the containers, so this
 * program may open the runtime in its place. */
#include "node/shutdown.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "node/daemon.h"
#include "node/state_lock.h"

struct shutdown {
    uv_loop_t loop;
    struct runtime *runtime;
    size_t running; /* as found */
    int exit_code;
};

/* --- The daemon, if there is one */

static int end_daemon(int lock)
{
    int rc = state_lock_take(lock);

    if (rc != ERR_IN_USE)
        return rc;
    rc = state_lock_signal(lock, SIGPWR);
    if (rc == 0)
        log_info("shutdown", "the daemon was told; waiting until its containers have ended");
    /* -ESRCH: it ends by itself just now; the lock tells when. */
    return rc < 0 && rc != -ESRCH ? rc : state_lock_wait(lock);
}

/* --- What runs without one */

static void on_closed(void *owner)
{
    (void)owner; /* the loop has nothing left, and returns */
}

static void on_shut_down(void *owner, int err, const char *message)
{
    struct shutdown *s = owner;

    (void)err; /* always 0, as `message` is "" */
    (void)message;
    runtime_close(s->runtime, on_closed, s);
}

static void count_running(void *owner, const struct container_info *info)
{
    struct shutdown *s = owner;

    s->running += info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED;
}

static void on_ready(void *owner, int err, const char *message)
{
    struct shutdown *s = owner;

    if (err < 0) {
        log_error("shutdown", "containers cannot be looked at: %s", message);
        s->exit_code = 1;
        runtime_close(s->runtime, on_closed, s);
        return;
    }
    runtime_container_list(s->runtime, count_running, s);
    if (s->running > 0)
        log_info("shutdown", "no daemon runs: stopping %zu containers", s->running);
    runtime_shut_down(s->runtime, on_shut_down, s);
}

static void ignore_event(void *owner, enum container_event_kind kind,
                         const struct container_info *info)
{
    (void)owner;
    (void)kind;
    (void)info;
}

static int stop_rest(const struct options *options)
{
    struct shutdown s = { 0 };
    struct runtime_config cfg = {
        .loop = &s.loop, .owner = &s, .on_ready = on_ready, .on_event = ignore_event
    };
    int rc = uv_loop_init(&s.loop);

    if (rc == 0)
        rc = daemon_open_runtime(options, &cfg, &s.runtime);
    if (rc < 0) {
        log_error("shutdown", "containers cannot be looked at: %s", err_text(rc));
        return 1;
    }
    (void)uv_run(&s.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&s.loop); /* the process ends anyhow */
    return s.exit_code;
}

int shutdown_main(const struct options *options)
{
    int lock = state_lock_open(options->state_dir);
    int rc = lock < 0 ? lock : end_daemon(lock);

    if (rc < 0) {
        (void)fprintf(stderr, "shoal: %s/lock: %s: run as root\n", options->state_dir,
                      err_text(rc));
        return 1;
    }
    return stop_rest(options);
}
