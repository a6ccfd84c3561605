/* One container's life on the loop's thread.
 *
 *     created --start--> running <--> paused
 *        ^                 | its process ends: conmon ends, its descriptor becomes readable
 *        |                 v
 *        +-------------- exited --start--> running ..
 *
 * Operations wait in a queue and run one at a time, most of them on a thread (launch.c). A stop
 * occupies the queue while it waits for the end, which a collection of its own, not an
 * operation, looks after. Signals do not queue: a kill must reach a container whose stop waits. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "runtime/container.h"
#include "runtime/process.h"

static void pump(struct container *c);

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

/* --- Memory and handles */

int container_new(struct runtime *rt, struct container **out)
{
    struct container *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return -ENOMEM;
    c->rt = rt;
    c->conmon_fd = c->init_fd = -1;
    list_init(&c->link);
    list_init(&c->ops);
    list_init(&c->waiters);
    list_init(&c->attaches);
    list_init(&c->attaching);
    *out = c;
    return 0;
}

void container_set_paths(struct container *c, const char *id)
{
    const char *parent = text_of(c->record.spec.cgroup_parent);

    c->state_dir = path_of("%s/containers/%s", c->rt->state_dir.text, id);
    c->run_dir = path_of("%s/containers/%s", c->rt->run_dir.text, id);
    (void)snprintf(c->cgroup_path, sizeof(c->cgroup_path), "%.300s/%s",
                   parent[0] != '\0' ? parent : c->rt->cgroup_parent, id);
}

void container_release(struct container *c)
{
    fields_deinit(&container_record_type, &c->record);
    fields_deinit(&container_state_record_type, &c->state);
    fields_deinit(&container_state_record_type, &c->next);
    fields_deinit(&image_config_type, &c->image);
    free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct container *c = handle->data;

    struct runtime *rt = c->rt;

    if (--c->open_handles == 0 && c->freed)
        container_release(c);
    runtime_handle_closed(rt);
}

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
        uv_close((uv_handle_t *)&c->monitor, on_handle_closed);
    }
}

static void unlist(struct container *c)
{
    struct runtime *rt = c->rt;
    const char *name = text_of(c->record.spec.name);

    if (!c->listed)
        return;
    list_remove(&c->link);
    (void)omap_remove(&rt->by_id, slice_of_str(c->record.spec.id));
    if (name[0] != '\0' && omap_get(&rt->by_name, slice_of_str(name)) == c)
        (void)omap_remove(&rt->by_name, slice_of_str(name));
    c->listed = false;
    rt->container_count--;
}

void container_free(struct container *c)
{
    CHECK(list_is_empty(&c->ops) && !c->busy && !c->on_thread);
    health_stop(c);
    unlist(c);
    c->freed = true;
    stop_monitoring(c);
    close_fd(&c->conmon_fd);
    close_fd(&c->init_fd);
    if (c->timer_open) {
        c->timer_open = false;
        uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    }
    if (c->open_handles == 0)
        container_release(c);
}

int container_list(struct container *c)
{
    struct runtime *rt = c->rt;
    const char *name = text_of(c->record.spec.name);
    int rc = omap_set(&rt->by_id, slice_of_str(c->record.spec.id), c);

    if (rc == 0 && name[0] != '\0') {
        rc = omap_set(&rt->by_name, slice_of_str(name), c);
        if (rc < 0)
            (void)omap_remove(&rt->by_id, slice_of_str(c->record.spec.id));
    }
    if (rc < 0)
        return rc;
    list_push_back(&rt->containers, &c->link);
    rt->container_count++;
    c->listed = true;
    return 0;
}

/* --- What others see */

void container_refresh(struct container *c)
{
    const struct container_state_record *s = &c->state;
    struct container_info *i = &c->info;

    i->spec = &c->record.spec;
    i->image_id = text_of(c->record.image_id);
    switch (s->phase) {
    case PHASE_CREATED:
    case PHASE_STARTING:
        i->state = CONTAINER_CREATED;
        break;
    case PHASE_RUNNING:
        i->state = s->paused ? CONTAINER_PAUSED : CONTAINER_RUNNING;
        break;
    case PHASE_EXITED:
        i->state = CONTAINER_EXITED;
        break;
    }
    i->pid = s->phase == PHASE_RUNNING ? (pid_t)s->pid : 0;
    i->exit_code = (int)s->exit_code;
    i->signal = s->exit_code > 128 && s->exit_code <= 128 + 64 ? (int)s->exit_code - 128 : 0;
    i->oom_killed = s->oom_killed;
    i->error = text_of(s->error);
    i->created = c->record.created;
    i->started = s->started;
    i->finished = s->finished;
    i->health_output = c->health_output;
}

void container_emit(struct container *c, enum container_event_kind kind)
{
    if (!atomic_load(&c->rt->closing) && c->rt->config.on_event != NULL)
        c->rt->config.on_event(c->rt->config.owner, kind, &c->info);
}

bool container_is_running(const struct container *c)
{
    return c->state.phase == PHASE_RUNNING;
}

/* --- Threads: they change `next`, which becomes `state` when they are done */

static void lend_state(struct container *c)
{
    CHECK(!c->on_thread);
    c->on_thread = true;
    if (fields_copy(&container_state_record_type, &c->state, &c->next) < 0) {
        c->next = c->state; /* without the one text, which is not worth failing for */
        c->next.error = c->next.boot_id = NULL;
    }
}

static void take_state(struct container *c)
{
    CHECK(c->on_thread);
    c->on_thread = false;
    fields_deinit(&container_state_record_type, &c->state);
    c->state = c->next;
    c->next = (struct container_state_record){ 0 };
    container_refresh(c);
}

/* --- Completing */

void container_finish_op(struct later *l)
{
    struct op *op = CONTAINER_OF(l, struct op, later);

    op->done(op->owner, op->err, op->fault.text);
    free(op);
}

/* Ends the operation at the head of the queue; its completion is reported when the loop turns. */
static void end_op(struct op *op, int err)
{
    struct container *c = op->container;

    CHECK(c->busy);
    list_remove(&op->link);
    c->busy = false;
    op->err = err;
    if (err == 0)
        op->fault.text[0] = '\0';
    op->later.run = container_finish_op;
    runtime_later(c->rt, &op->later);
}

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
    take_state(c);
    health_stop(c);
    container_emit(c, CONTAINER_EVENT_EXITED);
    runtime_logs_poke(c);
    container_wake_waiters(c);
    if (c->found_ended) {
        c->found_ended = false;
        runtime_ready_if_settled(c->rt);
    }
    pump(c);
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
    lend_state(c);
    close_fd(&c->conmon_fd);
    close_fd(&c->init_fd);
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

/* --- Operations that need a thread */

static void run_op(struct work *w)
{
    struct op *op = CONTAINER_OF(w, struct op, work);
    struct container *c = op->container;

    switch (op->kind) {
    case OP_CREATE:
        op->err = launch_create(c, &op->fault);
        return;
    case OP_START:
        op->err = launch_start(c, &op->fault);
        return;
    case OP_PAUSE:
    case OP_UNPAUSE:
    case OP_STOP: /* of a paused one */
        op->err = oci_command(&c->rt->oci, op->kind == OP_PAUSE ? "pause" : "resume",
                              c->record.spec.id, &op->fault);
        if (op->err == 0) {
            c->next.paused = op->kind == OP_PAUSE;
            op->err = record_write_state(c->state_dir.text, &c->next, &op->fault);
        }
        return;
    case OP_REMOVE:
        op->err = launch_remove(c, op->how, &op->fault);
        return;
    }
    UNREACHABLE("all kinds are above");
}

/* Nobody finds it any more, so nobody can queue for it: whoever did before hears so. */
static void forget(struct container *c)
{
    unlist(c);
    container_abort_ops(c);
    attach_forget(c);
}

/* True when the container is no more. */
static bool after_create(struct op *op)
{
    struct container *c = op->container;
    int err = op->err;

    end_op(op, err);
    if (err == 0) {
        container_emit(c, CONTAINER_EVENT_CREATED);
        return false;
    }
    forget(c);
    container_free(c);
    return true;
}

static void after_start(struct op *op)
{
    struct container *c = op->container;
    int err = op->err;

    end_op(op, err);
    attach_after_start(c, err);
    if (err < 0) {
        container_wake_waiters(c);
        return;
    }
    c->killed = false;
    container_adopt_running(c); /* first: whoever hears of the start may signal it */
    container_emit(c, CONTAINER_EVENT_STARTED);
    health_start(c);
}

/* True when the container is no more. */
static bool after_remove(struct op *op)
{
    struct container *c = op->container;
    int err = op->err;

    end_op(op, err);
    if (err < 0)
        return false;
    forget(c);
    container_emit(c, CONTAINER_EVENT_REMOVED);
    container_wake_waiters(c);
    container_free(c);
    return true;
}

static void begin_stop(struct op *op);

static void on_op_run(struct work *w)
{
    struct op *op = CONTAINER_OF(w, struct op, work);
    struct container *c = op->container;

    take_state(c);
    switch (op->kind) {
    case OP_CREATE:
        if (after_create(op))
            return;
        break;
    case OP_START:
        after_start(op);
        break;
    case OP_STOP:
        container_emit(c, CONTAINER_EVENT_UNPAUSED);
        begin_stop(op);
        if (c->end_seen)
            container_collect(c);
        return;
    case OP_PAUSE:
    case OP_UNPAUSE:
        if (op->err == 0)
            container_emit(c, op->kind == OP_PAUSE ? CONTAINER_EVENT_PAUSED
                                                   : CONTAINER_EVENT_UNPAUSED);
        end_op(op, op->err);
        break;
    case OP_REMOVE:
        if (after_remove(op))
            return;
        break;
    }
    if (c->end_seen)
        container_collect(c);
    pump(c);
}

static void submit(struct op *op)
{
    lend_state(op->container);
    op->work.run = run_op;
    op->work.done = on_op_run;
    work_submit(op->container->rt->pool, WORK_QUICK, &op->work);
}

/* --- Stop */

static void on_stop_timer(uv_timer_t *timer);

static int start_timer(struct container *c, uint64_t ns)
{
    if (!c->timer_open) {
        int rc = uv_timer_init(c->rt->loop, &c->timer);

        if (rc < 0)
            return rc;
        c->timer.data = c;
        c->timer_open = true;
        c->open_handles++;
        c->rt->open_handles++;
    }
    return uv_timer_start(&c->timer, on_stop_timer, ns / NS_PER_MS + (ns % NS_PER_MS != 0), 0);
}

void container_force(struct container *c)
{
    c->killed = true;
    if (c->init_fd >= 0)
        (void)!process_signal(c->init_fd, SIGKILL); /* -ESRCH: it just ended */
    (void)start_timer(c, KILL_WAIT_NS);
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct container *c = timer->data;
    struct list *head = list_first(&c->ops);
    struct op *op;

    if (head == NULL || !c->busy || !container_is_running(c) || c->collecting)
        return;
    op = CONTAINER_OF(head, struct op, link);
    if (!c->killed) {
        container_force(c);
        return;
    }
    fault_set(&op->fault, ERR_TIMEOUT,
              "container %s: still there %llu s after SIGKILL: a process of it is stuck in the "
              "kernel, usually on a dead disk or network mount",
              c->record.spec.id, (unsigned long long)(KILL_WAIT_NS / NS_PER_S));
    end_op(op, ERR_TIMEOUT);
    pump(c);
}

static void begin_stop(struct op *op)
{
    struct container *c = op->container;
    bool at_once = op->kind == OP_REMOVE || op->grace_ns == 0;
    int rc;

    if (!container_is_running(c) || c->collecting)
        return; /* pump looks again after the collection */
    if (at_once) {
        container_force(c);
        return;
    }
    c->killed = false;
    rc = c->init_fd < 0 ? -ESRCH : process_signal(c->init_fd, op->signal);
    if (rc == 0 || rc == -ESRCH)
        rc = start_timer(c, op->grace_ns);
    if (rc < 0)
        container_force(c);
}

/* --- The queue */

static void refuse(struct op *op, const char *why)
{
    fault_set(&op->fault, ERR_CONFLICT, "container %s: %s", op->container->record.spec.id, why);
    end_op(op, ERR_CONFLICT);
}

bool container_is_paused(const struct container *c)
{
    return container_is_running(c) && c->state.paused;
}

/* Begins the operation, which has just been taken; true when it has ended already. */
static bool begin_op(struct op *op)
{
    struct container *c = op->container;

    switch (op->kind) {
    case OP_CREATE:
        submit(op);
        return false;
    case OP_START:
        if (container_is_running(c)) {
            refuse(op, "is running already");
            return true;
        }
        attach_before_start(c);
        submit(op);
        return false;
    case OP_STOP:
        if (!container_is_running(c)) {
            end_op(op, 0);
            return true;
        }
        if (container_is_paused(c))
            submit(op); /* resumes; the signal follows */
        else
            begin_stop(op);
        return false;
    case OP_PAUSE:
        if (!container_is_running(c) || container_is_paused(c)) {
            refuse(op, container_is_running(c) ? "is paused already" : "is not running");
            return true;
        }
        submit(op);
        return false;
    case OP_UNPAUSE:
        if (!container_is_paused(c)) {
            refuse(op, "is not paused");
            return true;
        }
        submit(op);
        return false;
    case OP_REMOVE:
        if (container_is_running(c) && op->how == REMOVE_STOPPED) {
            refuse(op, "is running; stop it first, or force the removal");
            return true;
        }
        if (container_is_running(c))
            begin_stop(op);
        else
            submit(op);
        return false;
    }
    UNREACHABLE("all kinds are above");
}

/* Goes on with the queue: called whenever an operation or a collection has ended. */
static void pump(struct container *c)
{
    for (;;) {
        struct list *head = list_first(&c->ops);
        struct op *op;

        if (head == NULL || c->on_thread || c->collecting || atomic_load(&c->rt->closing))
            return;
        op = CONTAINER_OF(head, struct op, link);
        if (c->busy) { /* a stop or removal that waited for the end */
            if (container_is_running(c))
                return;
            if (c->timer_open)
                (void)uv_timer_stop(&c->timer); /* cannot fail */
            if (op->kind == OP_REMOVE) {
                submit(op);
                return;
            }
            CHECK(op->kind == OP_STOP);
            end_op(op, 0);
            continue;
        }
        c->busy = true;
        if (!begin_op(op))
            return;
    }
}

void container_abort_ops(struct container *c)
{
    struct list *link;

    while ((link = list_first(&c->ops)) != NULL) {
        struct op *op = CONTAINER_OF(link, struct op, link);

        fault_set(&op->fault, ERR_CLOSED, "container %s: %s", c->record.spec.id,
                  atomic_load(&c->rt->closing) ? "the runtime is closing" : "is being removed");
        c->busy = true;
        end_op(op, ERR_CLOSED);
    }
}

void container_enqueue(struct container *c, struct op *op)
{
    op->container = c;
    list_init(&op->link);
    list_push_back(&c->ops, &op->link);
    if (!c->busy)
        pump(c);
}
