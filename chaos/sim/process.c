/* chaos/sim/process.c - Life, pauses and a drifting clock. */
#include "chaos/sim/process.h"

#include <stdlib.h>

#include "base/check.h"

struct sim_held {
    struct sim_held *next;
    sim_action *action;
    void *ctx;
    uint64_t arg;
    uint32_t generation;
};

void sim_process_init(struct sim_process *p, struct sim_clock *clock)
{
    *p = (struct sim_process){ .clock = clock, .rate = 1 };
}

static struct sim_held *pop_held(struct sim_process *p)
{
    struct sim_held *h = p->held_first;

    if (h == NULL)
        return NULL;
    p->held_first = h->next;
    if (p->held_first == NULL)
        p->held_last = NULL;
    p->held_count--;
    return h;
}

static void drop_held(struct sim_process *p)
{
    struct sim_held *h;

    while ((h = pop_held(p)) != NULL)
        free(h);
}

void sim_process_deinit(struct sim_process *p)
{
    drop_held(p);
}

void sim_process_start(struct sim_process *p)
{
    CHECK(!p->up);
    p->up = true;
    p->paused = false;
}

void sim_process_stop(struct sim_process *p)
{
    p->up = false;
    p->paused = false;
    p->generation++;
    drop_held(p);
}

void sim_process_pause(struct sim_process *p)
{
    p->paused = p->up;
}

void sim_process_resume(struct sim_process *p)
{
    size_t count = p->held_count; /* what is added meanwhile runs at once */

    if (!p->paused)
        return;
    p->paused = false;
    for (; count > 0 && p->held_count > 0; count--) {
        struct sim_held *h = pop_held(p);
        struct sim_held call = *h;

        free(h);
        sim_process_run(p, call.generation, call.action, call.ctx, call.arg);
    }
}

void sim_process_run(struct sim_process *p, uint32_t generation, sim_action *action, void *ctx,
                     uint64_t arg)
{
    struct sim_held *h;

    if (!p->up || p->generation != generation)
        return;
    if (!p->paused) {
        action(ctx, arg);
        return;
    }
    h = malloc(sizeof(*h));
    CHECK(h != NULL);
    *h = (struct sim_held){ NULL, action, ctx, arg, generation };
    if (p->held_last != NULL)
        p->held_last->next = h;
    else
        p->held_first = h;
    p->held_last = h;
    p->held_count++;
}

mono_ns sim_process_now(const struct sim_process *p)
{
    return p->local_base + (mono_ns)((double)(p->clock->now - p->real_base) * p->rate);
}

mono_ns sim_process_real(const struct sim_process *p, mono_ns local)
{
    if (local == MONO_NEVER)
        return MONO_NEVER;
    if (local <= p->local_base)
        return p->clock->now;
    return mono_after(p->real_base, (mono_ns)((double)(local - p->local_base) / p->rate) + 1);
}

void sim_process_set_rate(struct sim_process *p, double rate)
{
    p->local_base = sim_process_now(p);
    p->real_base = p->clock->now;
    p->rate = rate;
}

void sim_process_jump(struct sim_process *p, mono_ns forward)
{
    p->local_base += forward;
}
