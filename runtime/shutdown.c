/* Before the host goes down: one stop for every container, none of which waits for another. A start
 * that is on its thread already is followed by its stop; later ones are refused (begin_op). */
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "runtime/container.h"

static void run_done(struct later *l)
{
    struct runtime *rt = CONTAINER_OF(l, struct runtime, shutdown.later);

    rt->shutdown.done(rt->shutdown.owner, 0, "");
}

static void drop(struct runtime *rt)
{
    CHECK(rt->shutdown.waiting > 0);
    if (--rt->shutdown.waiting > 0)
        return;
    rt->shutdown.later.run = run_done;
    runtime_later(rt, &rt->shutdown.later);
}

static void on_stopped(void *owner, int err, const char *message)
{
    if (err < 0 && err != ERR_CLOSED) /* closed: it was removed, or the runtime closes */
        log_error("runtime", "%s", message);
    drop(owner);
}

void runtime_shut_down(struct runtime *rt, runtime_done done, void *owner)
{
    CHECK(!rt->shutdown.begun);
    rt->shutdown.begun = true;
    rt->shutdown.done = done;
    rt->shutdown.owner = owner;
    rt->shutdown.waiting = 1; /* this function */
    LIST_EACH_SAFE(it, &rt->containers)
    {
        const struct container *c = CONTAINER_OF(it, struct container, link);

        rt->shutdown.waiting++;
        runtime_container_stop(rt, c->record.spec.id, 0, UINT64_MAX, on_stopped, rt);
    }
    drop(rt);
}
