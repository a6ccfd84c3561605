/* The calls of runtime.h that change a container: checked, then queued; container_queue.c does the
 * rest.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "runtime/container.h"
#include "runtime/process.h"

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static void fail(struct runtime *rt, runtime_done done, void *owner, int err, const char *id)
{
    struct fault f;

    if (err == ERR_NOT_FOUND)
        fault_set(&f, err, "container %.80s: no such container", id);
    else
        fault_system(&f, err, "container %.80s", id);
    runtime_fail_later(rt, done, owner, err, &f);
}

/* The container and a new operation; NULL: `done` has been told. */
static struct op *new_op(struct runtime *rt, const char *id, enum container_op kind,
                         runtime_done done, void *owner, struct container **out)
{
    struct op *op;

    *out = runtime_find_id(rt, id);
    if (*out == NULL || !rt->is_ready || atomic_load(&rt->closing)) {
        fail(rt, done, owner, atomic_load(&rt->closing) ? ERR_CLOSED : ERR_NOT_FOUND, id);
        return NULL;
    }
    op = calloc(1, sizeof(*op));
    if (op == NULL) {
        fail(rt, done, owner, -ENOMEM, id);
        return NULL;
    }
    op->kind = kind;
    op->done = done;
    op->owner = owner;
    return op;
}

static int check_new(struct runtime *rt, const struct container_spec *spec, struct fault *f)
{
    const char *name = text_of(spec->name);
    struct field_error error;
    int rc;

    if (atomic_load(&rt->closing) || !rt->is_ready)
        return fault_set(f, ERR_CLOSED, "container: the runtime is not open");
    rc = container_spec_validate(spec, &error);
    if (rc < 0)
        return fault_set(f, rc, "container %.64s: %s", text_of(spec->id), error.text);
    if (runtime_find_id(rt, spec->id) != NULL)
        return fault_set(f, ERR_EXISTS, "container %s: is there already", spec->id);
    if (name[0] != '\0' && omap_get(&rt->by_name, slice_of_str(name)) != NULL) {
        const struct container *holder = omap_get(&rt->by_name, slice_of_str(name));

        return fault_set(f, ERR_EXISTS,
                         "container name \"%s\": is in use by container %s; remove or rename that "
                         "one, or choose another name",
                         name, holder->record.spec.id);
    }
    if (rt->container_count >= CONTAINER_COUNT_MAX)
        return fault_set(f, ERR_FULL, "container %s: there are %d already; remove some", spec->id,
                         CONTAINER_COUNT_MAX);
    if (spec->init && rt->init_path[0] == '\0')
        return fault_set(f, ERR_UNSUPPORTED,
                         "container %s: Init: no init program on this host; install tini or "
                         "catatonit",
                         spec->id);
    return 0;
}

void runtime_container_create(struct runtime *rt, const struct container_spec *spec,
                              runtime_done done, void *owner)
{
    struct container *c = NULL;
    struct fault f = { "" };
    struct op *op = NULL;
    int rc = check_new(rt, spec, &f);

    if (rc < 0)
        goto fail;
    op = calloc(1, sizeof(*op));
    rc = op == NULL ? -ENOMEM : container_new(rt, &c);
    if (rc == 0)
        rc = fields_copy(&container_spec_type, spec, &c->record.spec);
    if (rc == 0) {
        container_set_paths(c, spec->id);
        c->state.phase = PHASE_CREATED;
        c->record.created = runtime_wall_now();
        rc = container_list(c); /* now: a second one of the name must be refused meanwhile */
    }
    if (rc < 0) {
        if (c != NULL)
            container_release(c);
        fault_system(&f, rc, "container %s", spec->id);
        goto fail;
    }
    container_refresh(c);
    op->kind = OP_CREATE;
    op->done = done;
    op->owner = owner;
    container_enqueue(c, op);
    return;
fail:
    free(op);
    runtime_fail_later(rt, done, owner, rc, &f);
}

void runtime_container_start(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    struct container *c;
    struct op *op = new_op(rt, id, OP_START, done, owner, &c);

    if (op != NULL)
        container_enqueue(c, op);
}

void runtime_container_stop(struct runtime *rt, const char *id, int signal, uint64_t grace_ns,
                            runtime_done done, void *owner)
{
    struct container *c;
    struct op *op = new_op(rt, id, OP_STOP, done, owner, &c);

    if (op == NULL)
        return;
    op->signal = signal > 0 ? signal : spec_stop_signal(&c->record.spec, &c->image);
    op->grace_ns = grace_ns != UINT64_MAX ? grace_ns : spec_stop_grace_ns(&c->record.spec);
    container_enqueue(c, op);
}

void runtime_container_pause(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    struct container *c;
    struct op *op = new_op(rt, id, OP_PAUSE, done, owner, &c);

    if (op != NULL)
        container_enqueue(c, op);
}

void runtime_container_unpause(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    struct container *c;
    struct op *op = new_op(rt, id, OP_UNPAUSE, done, owner, &c);

    if (op != NULL)
        container_enqueue(c, op);
}

static bool is_stopping(const struct container *c)
{
    struct list *head = list_first(&c->ops);

    return c->busy && head != NULL && CONTAINER_OF(head, struct op, link)->kind == OP_STOP;
}

void runtime_container_remove(struct runtime *rt, const char *id, enum container_remove how,
                              runtime_done done, void *owner)
{
    struct container *c;
    struct op *op = new_op(rt, id, OP_REMOVE, done, owner, &c);

    if (op == NULL)
        return;
    op->how = how;
    /* A stop that waits out its grace need not: the end is decided. */
    if (how != REMOVE_STOPPED && container_is_running(c) && is_stopping(c) &&
        !container_is_paused(c))
        container_force(c);
    container_enqueue(c, op);
}

void runtime_container_kill(struct runtime *rt, const char *id, int signal, runtime_done done,
                            void *owner)
{
    struct container *c;
    struct op *op = new_op(rt, id, OP_UNPAUSE, done, owner, &c);

    if (op == NULL)
        return;
    op->container = c;
    if (!container_is_running(c) || c->init_fd < 0)
        op->err = fault_set(&op->fault, ERR_CONFLICT, "container %s: is not running", id);
    else
        op->err = process_signal(c->init_fd, signal);
    if (op->err == -ESRCH)
        op->err = fault_set(&op->fault, ERR_CONFLICT, "container %s: is not running", id);
    else if (op->err < 0 && op->fault.text[0] == '\0')
        fault_system(&op->fault, op->err, "container %s: signal %d", id, signal);
    if (op->err == 0 && signal == SIGKILL &&
        container_is_paused(c)) { /* frozen, it could not die */
        container_enqueue(c, op);
        return;
    }
    op->later.run = container_finish_op;
    runtime_later(rt, &op->later);
}

void runtime_container_wait(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    struct container *c = runtime_find_id(rt, id);
    struct waiter *w = c == NULL ? NULL : calloc(1, sizeof(*w));

    if (w == NULL) {
        fail(rt, done, owner, c == NULL ? ERR_NOT_FOUND : -ENOMEM, id);
        return;
    }
    w->done = done;
    w->owner = owner;
    list_init(&w->link);
    list_push_back(&c->waiters, &w->link);
    if (!container_is_running(c) && !c->collecting && list_is_empty(&c->ops))
        container_wake_waiters(c);
}
