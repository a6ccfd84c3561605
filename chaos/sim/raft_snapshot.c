/* chaos/sim/raft_snapshot.c - A simulated manager's snapshots: made, read, received, installed.
 *
 * Each piece of work takes a while, and a process that stops in between never finishes it. What is
 * held is in memory; what is staged survives a crash, as far as it was reported. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/raft_sim.h"

void sim_snapshot_clear(struct sim_snapshot *s)
{
    sim_slice_drop(&s->meta.base.conf);
    s->meta = (struct raft_snapshot){ 0 };
    s->staged = 0;
    buf_clear(&s->bytes);
}

static void run_create(void *ctx, uint64_t arg)
{
    struct host *h = ctx;
    struct raft_event event = { .type = RAFT_SNAPSHOT_READY };
    struct raft_snapshot *s = &event.snapshot_ready;
    size_t at = 0;

    (void)arg;
    if (prng_chance(&h->prng, 0.1)) {
        event = (struct raft_event){ .type = RAFT_SNAPSHOT_FAILED };
        event.snapshot_failed = RAFT_WORK_CREATE;
        (void)host_step(h, &event); /* asked again later */
        return;
    }
    sim_snapshot_clear(&h->held);
    machine_encode(&h->machine, h->world->options.snapshot_kib * KIB, &h->held.bytes);
    s->base.last = h->machine.applied;
    s->size = h->held.bytes.len;
    while (at < h->held.bytes.len) {
        size_t len = MIN(h->held.bytes.len - at, (size_t)RAFT_CHUNK_LEN);

        raft_snapshot_hash(s->hash, slice_of(h->held.bytes.ptr + at, len));
        at += len;
    }
    h->held.meta = *s;
    h->held.meta.base.conf = slice_of(NULL, 0);
    if (host_step(h, &event) < 0)
        sim_snapshot_clear(&h->held);
}

struct errand { /* snapshot work that takes a while */
    struct host *host;
    uint32_t generation;
    struct raft_snapshot_work work;
    struct slice data;
    struct slice conf;
};

static void run_read(struct host *h, const struct errand *e)
{
    struct raft_event event = { .type = RAFT_SNAPSHOT_CHUNK };

    event.snapshot_chunk.to = e->work.to;
    memcpy(event.snapshot_chunk.hash, e->work.snapshot.hash, RAFT_HASH_LEN);
    event.snapshot_chunk.offset = e->work.offset;
    if (memcmp(h->held.meta.hash, e->work.snapshot.hash, RAFT_HASH_LEN) == 0 &&
        h->held.bytes.len >= e->work.offset + e->work.len)
        event.snapshot_chunk.data = slice_of(h->held.bytes.ptr + e->work.offset, e->work.len);
    (void)host_step(h, &event); /* what it asked for: cannot fail */
}

static void run_stage(struct host *h, const struct errand *e)
{
    struct raft_event event = { .type = RAFT_SNAPSHOT_STAGED };
    struct sim_snapshot *s = &h->staged;

    if (e->work.offset == 0) {
        sim_snapshot_clear(s);
        s->meta = e->work.snapshot;
        s->meta.base.conf = sim_slice_copy(e->conf);
    }
    if (memcmp(s->meta.hash, e->work.snapshot.hash, RAFT_HASH_LEN) != 0 ||
        s->bytes.len != e->work.offset)
        return; /* of a transfer that was given up */
    CHECK(buf_append_slice(&s->bytes, e->data) == 0);
    s->staged = s->bytes.len;
    memcpy(s->running, e->work.running, RAFT_HASH_LEN);
    memcpy(event.snapshot_staged.hash, s->meta.hash, RAFT_HASH_LEN);
    event.snapshot_staged.offset = e->work.offset;
    (void)host_step(h, &event);
}

static void run_install(struct host *h, const struct errand *e)
{
    struct raft_event event = { .type = RAFT_SNAPSHOT_INSTALLED };

    if (memcmp(h->staged.meta.hash, e->work.snapshot.hash, RAFT_HASH_LEN) != 0) {
        world_fail(h->world, "%u: told to install a snapshot that is not staged", h->index);
        return;
    }
    if (h->applying_count > 0) {
        world_fail(h->world, "%u: told to install while entries are being applied", h->index);
        return;
    }
    machine_decode(&h->machine, buf_slice(&h->staged.bytes));
    host_checkpoint(h);
    sim_slice_drop(&h->checkpoint.installed.conf);
    h->checkpoint.installed.last = h->staged.meta.base.last;
    h->checkpoint.installed.conf = sim_slice_copy(h->staged.meta.base.conf);
    sim_snapshot_clear(&h->staged);
    h->world->result.installs++;
    check_installed(h);
    if (prng_chance(&h->prng, 0.05)) { /* between the state machine and the log */
        host_crash(h, DISK_MEM_TEAR);
        host_start(h);
        return;
    }
    memcpy(event.snapshot_installed.hash, e->work.snapshot.hash, RAFT_HASH_LEN);
    if (host_step(h, &event) < 0 && h->process.up)
        world_fail(h->world, "%u: refuses the snapshot that it wanted", h->index);
}

static void run_errand(void *ctx, uint64_t arg)
{
    struct errand *e = (struct errand *)(uintptr_t)arg;
    struct host *h = ctx;

    if (e->work.type == RAFT_WORK_READ)
        run_read(h, e);
    else if (e->work.type == RAFT_WORK_STAGE)
        run_stage(h, e);
    else
        run_install(h, e);
}

static void on_errand(void *ctx, uint64_t arg)
{
    struct errand *e = ctx;

    (void)arg;
    if (e->host->process.up && e->host->process.generation == e->generation) {
        if (e->host->process.paused) { /* try again */
            sim_clock_after(&e->host->world->clock, NS_PER_MS, on_errand, e, 0);
            return;
        }
        run_errand(e->host, (uint64_t)(uintptr_t)e);
    }
    sim_slice_drop(&e->data);
    sim_slice_drop(&e->conf);
    free(e);
}

static void on_create(void *ctx, uint64_t arg)
{
    struct host *h = ctx;

    sim_process_run(&h->process, (uint32_t)arg, run_create, h, 0);
}

void snapshot_work(struct host *h, const struct raft_output *out)
{
    struct sim_clock *clock = &h->world->clock;

    for (size_t i = 0; i < out->snapshot_work_count; i++) {
        const struct raft_snapshot_work *work = &out->snapshot_work[i];
        struct errand *e;

        if (work->type == RAFT_WORK_RELEASE) {
            if (memcmp(h->held.meta.hash, work->snapshot.hash, RAFT_HASH_LEN) == 0)
                sim_snapshot_clear(&h->held);
            continue;
        }
        if (work->type == RAFT_WORK_CREATE) {
            sim_clock_after(clock, prng_range(&h->prng, 1, 50) * NS_PER_MS, on_create, h,
                            h->process.generation);
            continue;
        }
        e = malloc(sizeof(*e));
        CHECK(e != NULL);
        *e = (struct errand){ .host = h, .generation = h->process.generation, .work = *work };
        e->data = sim_slice_copy(work->data);
        e->conf = sim_slice_copy(work->snapshot.base.conf);
        /* One kind takes one time: what the core gives in order stays in order. */
        sim_clock_after(clock, 2 * NS_PER_MS, on_errand, e, 0);
    }
}
