/* chaos/sim/clock.h - Virtual time: what happens next is the earliest event, at once.
 *
 * Events of one instant run in the order in which they were scheduled. Nothing else in a simulated
 * world makes anything happen. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/units.h"

typedef void sim_action(void *ctx, uint64_t arg);

struct sim_clock {
    mono_ns now;
    struct heap heap;
    struct sim_event *spare; /* for reuse */
    uint64_t ran;            /* events */
};

void sim_clock_init(struct sim_clock *c);
void sim_clock_deinit(struct sim_clock *c); /* drops what is scheduled */

/* Runs action(ctx, arg) at `at`, or now if that is past. `ctx` must live until then. */
void sim_clock_at(struct sim_clock *c, mono_ns at, sim_action *action, void *ctx, uint64_t arg);
void sim_clock_after(struct sim_clock *c, mono_ns delay, sim_action *action, void *ctx,
                     uint64_t arg);

/* Runs the next event, if it is due by `until`; otherwise moves time there and returns false. */
bool sim_clock_step(struct sim_clock *c, mono_ns until);

#endif /* SIM_CLOCK_H */
