/* The process of a container, from when it runs to what is known once it has ended.
 *
 * conmon outlives it and stores its exit status; the end of conmon makes its descriptor readable.
 * The collection that follows runs on a thread as operations do, but is none: it waits only for
 * the operation on a thread, if there is one, never for the queue. It reads the status, cleans
 * up, and wakes whoever waits for the end. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/container.h"
#include "runtime/process.h"

/* --- Threads: they change `next`, which becomes `state` when they are done */

void container_lend_state(struct container *c)
{
    CHECK(!c->on_thread);
    c->on_thread = true;
    if (fields_copy(&container_state_record_type, &c->state, &c->next) < 0) {
        c->next = c->state; /* without the one text, which is not worth failing for */
        c->next.error = c->next.boot_id = NULL;
    }
}

void container_take_state(struct container *c)
{
    CHECK(c->on_thread);
    c->on_thread = false;
    fields_deinit(&container_state_record_type, &c->state);
    c->state = c->next;
    c->next = (struct container_state_record){ 0 };
    container_refresh(c);
}

/* --- Its process */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void stop_monitoring(struct container *c)
{
    if (c->monitoring) {
        c->monitoring = false;
        (void)uv_poll_stop(&c->monitor); /* cannot fail */
        uv_close((uv_handle_t *)&c->monitor, container_handle_closed);
    }
}

void container_forget_process(struct container *c)
{
    stop_monitoring(c);
    close_fd(&c->conmon_fd);
    close_fd(&c->init_fd);
}

/* --- Who waits for its end */

static void run_waiter(struct later *l)
{
    struct waiter *w = CONTAINER_OF(l, struct waiter, later);

    w->done(w->owner, 0, "");
    free(w);
}

void container_wake_waiters(struct container *c)
{
    struct list *link;

    while ((link = list_pop_front(&c->waiters)) != NULL) {
        struct waiter *w = CONTAINER_OF(link, struct waiter, link);

        w->later.run = run_waiter;
        runtime_later(c->rt, &w->later);
    }
}

/* --- The end of its process */

static void on_collected(struct work *w)
{
    struct container *c = CONTAINER_OF(w, struct container, collect_work);

    c->collecting = false;
    container_take_state(c);
    health_stop(c);
    container_emit(c, CONTAINER_EVENT_EXITED);
    runtime_logs_poke(c);
    container_wake_waiters(c);
    if (c->found_ended) {
        c->found_ended = false;
        runtime_ready_if_settled(c->rt);
    }
    container_pump(c);
}

static void run_collect(struct work *w)
{
    launch_collect(CONTAINER_OF(w, struct container, collect_work));
}

void container_collect(struct container *c)
{
    if (c->collecting)
        return;
    stop_monitoring(c);
    if (c->on_thread) { /* the operation first */
        c->end_seen = true;
        return;
    }
    c->end_seen = false;
    container_lend_state(c);
    container_forget_process(c);
    c->collecting = true;
    c->collect_work.run = run_collect;
    c->collect_work.done = on_collected;
    work_submit(c->rt->pool, WORK_QUICK, &c->collect_work);
}

static void on_monitor(uv_poll_t *poll, int status, int events)
{
    struct container *c = CONTAINER_OF(poll, struct container, monitor);

    (void)status;
    (void)events;
    if (atomic_load(&c->rt->closing))
        stop_monitoring(c); /* the next daemon collects it */
    else
        container_collect(c);
}

/* Watches conmon; a container whose conmon is gone already has ended, or is about to be ended. */
void container_adopt_running(struct container *c)
{
    c->conmon_fd = process_open((pid_t)c->state.conmon_pid, c->state.conmon_ticks);
    c->init_fd = process_open((pid_t)c->state.pid, c->state.pid_ticks);
    if (c->conmon_fd >= 0 && uv_poll_init(c->rt->loop, &c->monitor, c->conmon_fd) == 0) {
        c->monitor.data = c;
        c->monitoring = true;
        c->open_handles++;
        c->rt->open_handles++;
        if (uv_poll_start(&c->monitor, UV_READABLE, on_monitor) == 0)
            return;
    }
    container_collect(c);
}
