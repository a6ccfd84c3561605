/* Completions wait in a list until the loop turns, woken by an async handle: so no done() is called
 * from within the call that asked for it, and none is lost when the runtime closes, because the
 * closer runs what is left. Loop only. */
#include <stdlib.h>

#include "base/check.h"
#include "runtime/runtime_impl.h"

void runtime_run_later(struct runtime *rt)
{
    struct list now, *link;

    list_init(&now);
    list_splice_back(&now, &rt->later);
    while ((link = list_pop_front(&now)) != NULL) {
        struct later *l = CONTAINER_OF(link, struct later, link);

        l->run(l);
    }
}

void runtime_on_later(uv_async_t *async)
{
    runtime_run_later(CONTAINER_OF(async, struct runtime, later_async));
}

void runtime_later(struct runtime *rt, struct later *l)
{
    list_init(&l->link);
    list_push_back(&rt->later, &l->link);
    (void)uv_async_send(&rt->later_async); /* when it is closing, the closer runs them */
}

struct failure {
    struct later later;
    runtime_done done;
    void *owner;
    int err;
    struct fault fault;
};

static void run_failure(struct later *l)
{
    struct failure *failure = CONTAINER_OF(l, struct failure, later);

    failure->done(failure->owner, failure->err, failure->fault.text);
    free(failure);
}

void runtime_fail_later(struct runtime *rt, runtime_done done, void *owner, int err,
                        const struct fault *f)
{
    struct failure *failure = calloc(1, sizeof(*failure));

    CHECK(failure != NULL); /* without memory for it a promise would be broken */
    failure->done = done;
    failure->owner = owner;
    failure->err = err;
    failure->fault = *f;
    failure->later.run = run_failure;
    runtime_later(rt, &failure->later);
}
