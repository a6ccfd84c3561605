/* One container's life on the loop's thread: the state machine.
 *
 *     created --start--> running <--> paused
 *        ^                 | its process ends: conmon ends, its descriptor becomes readable
 *        |                 v
 *        +-------------- exited --start--> running ..
 *
 * Operations wait in a queue and run one at a time, most of them on a thread (launch.c). A stop
 * occupies the queue while it waits for the end, which a collection of its own, not an
 * operation, looks after (container_end.c). Signals do not queue: a kill must reach a container
 * whose stop waits. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/container.h"
#include "runtime/process.h"

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
    container_unlist(c);
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

    container_take_state(c);
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
    container_pump(c);
}

static void submit(struct op *op)
{
    container_lend_state(op->container);
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
    container_pump(c);
}

static void begin_stop(struct op *op)
{
    struct container *c = op->container;
    bool at_once = op->kind == OP_REMOVE || op->grace_ns == 0;
    int rc;

    if (!container_is_running(c) || c->collecting)
        return; /* container_pump looks again after the collection */
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

static void refuse(struct op *op, int err, const char *why)
{
    fault_set(&op->fault, err, "container %s: %s", op->container->record.spec.id, why);
    end_op(op, err);
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
            refuse(op, ERR_CONFLICT, "is running already");
            return true;
        }
        if (c->rt->shutdown.begun) {
            refuse(op, ERR_UNAVAILABLE,
                   "the host is about to go down; nothing is started any more");
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
            refuse(op, ERR_CONFLICT,
                   container_is_running(c) ? "is paused already" : "is not running");
            return true;
        }
        submit(op);
        return false;
    case OP_UNPAUSE:
        if (!container_is_paused(c)) {
            refuse(op, ERR_CONFLICT, "is not paused");
            return true;
        }
        submit(op);
        return false;
    case OP_REMOVE:
        if (container_is_running(c) && op->how == REMOVE_STOPPED) {
            refuse(op, ERR_CONFLICT, "is running; stop it first, or force the removal");
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
void container_pump(struct container *c)
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
        container_pump(c);
}
