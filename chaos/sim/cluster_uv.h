/* chaos/sim/cluster_uv.h - libuv as a simulated daemon sees it: one loop per daemon, virtual time.
 *
 * cluster_uv.c defines the few functions of <uv.h> that managers and agents use, so that the real
 * drivers run unchanged. A loop runs when something has happened on it: due timers, then prepare
 * handles, then closing ones, as libuv orders them, a moment after the event, so that what comes
 * close together is one batch. Work for the thread pool takes a random time.
 *
 * Functions without a loop argument (clocks) ask which loop's code is running: everything that
 * calls into a daemon does so between loop_enter() and loop_leave(). */
#ifndef SIM_CLUSTER_UV_H
#define SIM_CLUSTER_UV_H

#include <uv.h>

#include "base/list.h"
#include "base/prng.h"
#include "chaos/sim/clock.h"

struct sim_loop {
    uv_loop_t uv; /* only its address is used */
    struct sim_clock *clock;
    struct prng prng;
    struct list handles; /* struct sim_handle, oldest first */
    struct list works;   /* struct sim_work under way */
    bool turn_scheduled;
    mono_ns wake_at;      /* earliest timer that the clock knows of */
    mono_ns paused_until; /* the process stands still */
    mono_ns ahead;        /* a dead loop's clock runs on by itself */
    wall_ns wall_offset;
    bool dead; /* killed: only loop_run_dead() runs it */
    mono_ns work_mean;
};

void loop_init(struct sim_loop *l, struct sim_clock *clock, struct prng prng);

/* Which loop's code runs; returns the one before. */
struct sim_loop *loop_enter(struct sim_loop *l);
void loop_leave(struct sim_loop *before);

/* Something happened on it. */
void loop_poke(struct sim_loop *l);

/* Calls action(ctx, arg) on the loop after `delay`, when it does not stand still; not at all when
 * the loop died meanwhile. */
void loop_after(struct sim_loop *l, mono_ns delay, sim_action *action, void *ctx, uint64_t arg);

/* As uv_queue_work(), done after `takes`. What a dead loop still waits for is done at once, so that
 * owners get their memory back: `work` must then have no effect on the world. */
void loop_work(struct sim_loop *l, mono_ns takes, uv_work_t *req, uv_work_cb work,
               uv_after_work_cb after);

/* A killed process: what is open on its loop is closed by its owners, without any effect on the
 * world; this runs it, with a clock of its own, until `*closed`. False: it never got there. */
void loop_kill(struct sim_loop *l);
bool loop_run_dead(struct sim_loop *l, const bool *closed);

#endif /* SIM_CLUSTER_UV_H */
