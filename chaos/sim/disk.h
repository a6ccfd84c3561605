/* chaos/sim/disk.h - A disk that takes its time: raft/disk_mem.h under virtual time.
 *
 * Jobs of one lane run one operation at a time, each after a latency of its own, so that a crash
 * can come between any two. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/prng.h"
#include "chaos/sim/process.h"
#include "raft/disk_mem.h"

enum { SIM_DISK_LANES = 2 };

typedef void sim_disk_done(void *ctx, unsigned lane, int status);

struct sim_disk {
    struct sim_process *process;
    struct prng prng;
    struct disk_mem *mem; /* owned */
    mono_ns latency_min, latency_mean;
    sim_disk_done *done;
    void *ctx;
    struct {
        bool busy;
        struct disk_job job;
        size_t next;
    } lanes[SIM_DISK_LANES];
};

void sim_disk_init(struct sim_disk *d, struct sim_process *process, struct prng prng,
                   uint64_t capacity, sim_disk_done *done, void *ctx);
void sim_disk_deinit(struct sim_disk *d);

/* Starts a job on an idle lane; done(ctx, lane, status) follows unless the process dies. */
void sim_disk_submit(struct sim_disk *d, unsigned lane, const struct disk_job *job);

/* The process died: jobs stop where they are, and what was not synced goes by `mode`. */
void sim_disk_crash(struct sim_disk *d, enum disk_mem_crash_mode mode);

#endif /* SIM_DISK_H */
