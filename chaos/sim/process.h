/* chaos/sim/process.h - Something that runs, stops, is paused and has a clock of its own.
 *
 * Whatever reaches a process goes through sim_process_run(): a paused process gets it when it
 * resumes, in order; one that died since gets nothing. Its monotonic clock may run fast or slow
 * and jump forward, never back. */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include "chaos/sim/clock.h"

struct sim_process {
    struct sim_clock *clock;
    bool up;
    bool paused;
    uint32_t generation; /* of its life; what was meant for an earlier one is dropped */
    double rate;         /* local seconds per second; 1 = right */
    mono_ns real_base, local_base;
    struct sim_held *held_first, *held_last; /* waits for the end of a pause */
    size_t held_count;
};

void sim_process_init(struct sim_process *p, struct sim_clock *clock);
void sim_process_deinit(struct sim_process *p);

void sim_process_start(struct sim_process *p);
void sim_process_stop(struct sim_process *p); /* dies; what it held is lost */
void sim_process_pause(struct sim_process *p);
void sim_process_resume(struct sim_process *p);

/* Calls action(ctx, arg) now, or when the pause ends, if generation `generation` still lives. */
void sim_process_run(struct sim_process *p, uint32_t generation, sim_action *action, void *ctx,
                     uint64_t arg);

/* Its own clock, and when in real time that will show `local`. */
mono_ns sim_process_now(const struct sim_process *p);
mono_ns sim_process_real(const struct sim_process *p, mono_ns local);
void sim_process_set_rate(struct sim_process *p, double rate);
void sim_process_jump(struct sim_process *p, mono_ns forward);

#endif /* SIM_PROCESS_H */
