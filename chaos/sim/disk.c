/* chaos/sim/disk.c - Operations, one after the other, each in its own time. */
#include "chaos/sim/disk.h"

#include "base/check.h"

void sim_disk_init(struct sim_disk *d, struct sim_process *process, struct prng prng,
                   uint64_t capacity, sim_disk_done *done, void *ctx)
{
    *d = (struct sim_disk){ .process = process, .prng = prng, .done = done, .ctx = ctx };
    d->mem = disk_mem_new(capacity);
    CHECK(d->mem != NULL);
    d->latency_min = 20 * NS_PER_US;
    d->latency_mean = 100 * NS_PER_US;
}

void sim_disk_deinit(struct sim_disk *d)
{
    disk_mem_free(d->mem);
}

static void run_next(void *ctx, uint64_t lane);

/* arg carries lane and generation, so that an operation of a dead process never runs. */
static void on_latency_over(void *ctx, uint64_t arg)
{
    struct sim_disk *d = ctx;

    sim_process_run(d->process, (uint32_t)(arg >> 8), run_next, d, arg & 0xff);
}

static void schedule_next(struct sim_disk *d, unsigned lane)
{
    mono_ns latency =
        d->latency_min + prng_below(&d->prng, 2 * (d->latency_mean - d->latency_min) + 1);

    sim_clock_after(d->process->clock, latency, on_latency_over, d,
                    (uint64_t)d->process->generation << 8 | lane);
}

static void run_next(void *ctx, uint64_t lane)
{
    struct sim_disk *d = ctx;
    int rc = disk_mem_run(d->mem, &d->lanes[lane].job.ops[d->lanes[lane].next++]);

    if (rc >= 0 && d->lanes[lane].next < d->lanes[lane].job.op_count) {
        schedule_next(d, (unsigned)lane);
        return;
    }
    d->lanes[lane].busy = false;
    d->done(d->ctx, (unsigned)lane, rc < 0 ? rc : 0);
}

void sim_disk_submit(struct sim_disk *d, unsigned lane, const struct disk_job *job)
{
    CHECK(!d->lanes[lane].busy);
    CHECK(job->op_count > 0);
    d->lanes[lane].busy = true;
    d->lanes[lane].job = *job;
    d->lanes[lane].next = 0;
    schedule_next(d, lane);
}

static uint64_t draw(void *ctx)
{
    return prng_u64(ctx);
}

void sim_disk_crash(struct sim_disk *d, enum disk_mem_crash_mode mode)
{
    for (unsigned lane = 0; lane < SIM_DISK_LANES; lane++)
        d->lanes[lane].busy = false;
    disk_mem_crash(d->mem, mode, draw, &d->prng);
}
