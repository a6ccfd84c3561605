/* chaos/sim/clock.c - A heap of events. */
#include "chaos/sim/clock.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/check.h"

struct sim_event {
    struct heap_node node;
    sim_action *action;
    void *ctx;
    uint64_t arg;
    struct sim_event *next_spare;
};

void sim_clock_init(struct sim_clock *c)
{
    *c = (struct sim_clock){ 0 };
    heap_init(&c->heap);
}

void sim_clock_deinit(struct sim_clock *c)
{
    struct heap_node *n;

    while ((n = heap_min(&c->heap)) != NULL) {
        heap_remove(&c->heap, n);
        free(CONTAINER_OF(n, struct sim_event, node));
    }
    while (c->spare != NULL) {
        struct sim_event *e = c->spare;

        c->spare = e->next_spare;
        free(e);
    }
}

void sim_clock_at(struct sim_clock *c, mono_ns at, sim_action *action, void *ctx, uint64_t arg)
{
    struct sim_event *e = c->spare;

    if (e != NULL)
        c->spare = e->next_spare;
    else
        e = malloc(sizeof(*e));
    CHECK(e != NULL);
    *e = (struct sim_event){ .action = action, .ctx = ctx, .arg = arg };
    heap_set(&c->heap, &e->node, MAX(at, c->now));
}

void sim_clock_after(struct sim_clock *c, mono_ns delay, sim_action *action, void *ctx,
                     uint64_t arg)
{
    sim_clock_at(c, mono_after(c->now, delay), action, ctx, arg);
}

bool sim_clock_step(struct sim_clock *c, mono_ns until)
{
    mono_ns at = heap_deadline(&c->heap);
    struct heap_node *n = heap_pop_due(&c->heap, until);
    struct sim_event *e, call;

    if (n == NULL) {
        c->now = MAX(c->now, until);
        return false;
    }
    e = CONTAINER_OF(n, struct sim_event, node);
    c->now = at;
    c->ran++;
    call = *e;
    e->next_spare = c->spare;
    c->spare = e;
    call.action(call.ctx, call.arg);
    return true;
}
