/* chaos/sim/raft_host.c - One simulated manager: the duties of a host, as raft.h states them.
 *
 * Restarts go through the log's real recovery. The state machine is made durable now and then, so
 * a crash takes it back a little, and the log has to bring it forward again. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/raft_sim.h"

enum { OWN_ENTRIES_ROOM = 24 << 10 }; /* for what a leader appends unasked */

static void on_disk_done(void *ctx, unsigned lane, int status);

void host_init(struct host *h, struct world *w, unsigned index)
{
    h->world = w;
    h->index = index;
    h->prng = prng_fork_u64(&w->lives, index);
    buf_init(&h->checkpoint.machine, 64 * MIB);
    buf_init(&h->held.bytes, 64 * MIB);
    buf_init(&h->staged.bytes, 64 * MIB);
    sim_process_init(&h->process, &w->clock);
}

struct host *host_by_id(struct world *w, raft_node_id id)
{
    for (unsigned i = 0; i < w->host_count; i++)
        if (w->hosts[i].created && w->hosts[i].id == id)
            return &w->hosts[i];
    return NULL;
}

struct slice sim_slice_copy(struct slice s)
{
    uint8_t *bytes = malloc(s.len + 1);

    CHECK(bytes != NULL);
    if (s.len > 0)
        memcpy(bytes, s.ptr, s.len);
    return slice_of(bytes, s.len);
}

void sim_slice_drop(struct slice *s)
{
    free((void *)(uintptr_t)s->ptr);
    *s = slice_of(NULL, 0);
}

/* --- life */

static void drop_memory(struct host *h)
{
    mail_drop(h);
    for (size_t i = 0; i < h->applying_count; i++)
        sim_slice_drop(&h->applying[i].data);
    h->applying_count = 0;
    h->apply_scheduled = false;
    raft_free(h->raft);
    h->raft = NULL;
    if (h->wal != NULL) {
        for (unsigned lane = 0; lane < WAL_LANE_COUNT; lane++)
            if (h->disk.lanes[lane].busy)
                wal_job_done(h->wal, (enum wal_lane)lane, -ECANCELED);
        wal_free(h->wal);
        h->wal = NULL;
    }
    if (h->has_recovery)
        wal_recovery_deinit(&h->recovery);
    h->has_recovery = false;
    if (h->has_machine)
        machine_deinit(&h->machine);
    h->has_machine = false;
    sim_snapshot_clear(&h->held);
}

void host_crash(struct host *h, enum disk_mem_crash_mode mode)
{
    if (!h->process.up)
        return;
    sim_trace_line(&h->world->trace, h->world->clock.now, "%u crashes, disk mode %d", h->index,
                   (int)mode);
    h->world->result.crashes++;
    drop_memory(h);
    sim_disk_crash(&h->disk, mode);
    sim_process_stop(&h->process);
    /* Staged bytes are durable as far as reported; the rest of them may be anything. */
    if (prng_chance(&h->prng, 0.5))
        sim_snapshot_clear(&h->staged);
}

static void on_supervised(void *ctx, uint64_t arg)
{
    struct host *h = ctx;

    if (!h->world->over && h->created && h->process.generation == (uint32_t)arg)
        host_start(h);
}

/* Its disk failed, so it stopped; somebody starts it again. Nobody knows what is on the disk. */
static void fail_stop(struct host *h)
{
    host_crash(h, DISK_MEM_LOSE);
    sim_clock_after(&h->world->clock, 200 * NS_PER_MS, on_supervised, h, h->process.generation);
}

void host_retire(struct host *h)
{
    host_crash(h, DISK_MEM_LOSE);
    h->retired = true;
}

void host_deinit(struct host *h)
{
    if (h->created) {
        drop_memory(h);
        sim_process_stop(&h->process);
        sim_disk_deinit(&h->disk);
        h->created = false;
    }
    sim_snapshot_clear(&h->staged);
    sim_slice_drop(&h->checkpoint.installed.conf);
    buf_deinit(&h->checkpoint.machine);
    buf_deinit(&h->held.bytes);
    buf_deinit(&h->staged.bytes);
    free(h->applying);
    sim_process_deinit(&h->process);
}

void host_create(struct host *h, raft_node_id id)
{
    if (h->created)
        sim_disk_deinit(&h->disk);
    h->id = id;
    h->created = true;
    h->retired = false;
    h->damaged = false;
    sim_snapshot_clear(&h->staged);
    sim_slice_drop(&h->checkpoint.installed.conf);
    h->checkpoint.installed = (struct raft_base){ 0 };
    h->checkpoint.applied = 0;
    buf_clear(&h->checkpoint.machine);
    sim_disk_init(&h->disk, &h->process, prng_fork(&h->prng, "disk"), 256 * MIB, on_disk_done, h);
    h->disk.latency_mean = MAX(h->world->options.disk_us * NS_PER_US, 21 * NS_PER_US);
    host_start(h);
}

static void open_wal(struct host *h)
{
    struct disk_reader reader = disk_mem_reader(h->disk.mem);
    struct wal_config cfg;
    int rc;

    wal_config_defaults(&cfg);
    memset(cfg.cluster, 0xc1, sizeof(cfg.cluster));
    memset(cfg.key, 0x4b, sizeof(cfg.key));
    cfg.node = h->id;
    memcpy(cfg.nonce_prefix, &h->opened, sizeof(h->opened));
    memcpy(cfg.nonce_prefix + 8, &h->id, 8);
    cfg.segment_bytes = (uint32_t)(h->world->options.segment_kib * KIB);
    cfg.entry_bytes_max = cfg.segment_bytes / 8;
    rc = wal_open(&cfg, &reader, &h->wal, &h->recovery);
    if (rc < 0) {
        h->wal = NULL;
        if (!h->damaged)
            world_fail(h->world, "%u: the log does not open: %s", h->index, err_text(rc));
        host_retire(h);
        return;
    }
    h->has_recovery = true;
}

/* What was recovered is settled on disk, and a log has room once it has a segment: a host waits for
 * both before it starts its core. False: the disk failed. */
static bool settle_log(struct host *h)
{
    struct disk_job job;

    while (!wal_is_settled(h->wal) || wal_room(h->wal) < OWN_ENTRIES_ROOM) {
        enum wal_lane lane = wal_is_settled(h->wal) ? WAL_LANE_SPARE : WAL_LANE_LOG;

        if (!wal_take_job(h->wal, lane, &job))
            break; /* a full disk */
        wal_job_done(h->wal, lane, disk_mem_run_job(h->disk.mem, &job));
        if (wal_error(h->wal) < 0) {
            fail_stop(h);
            return false;
        }
    }
    return true;
}

static void load_machine(struct host *h)
{
    machine_init(&h->machine);
    h->has_machine = true;
    if (h->checkpoint.machine.len > 0)
        machine_decode(&h->machine, buf_slice(&h->checkpoint.machine));
}

static struct raft_config make_config(const struct host *h)
{
    const struct raft_options *o = &h->world->options;

    return (struct raft_config){
        .id = h->id,
        .cluster = h->world->cluster,
        .seed = h->id ^ (uint64_t)h->opened << 32 ^ o->seed,
        .inflight_max = (uint32_t)o->inflight,
        .append_bytes_max = o->append_bytes,
        .compact_count = o->compact_count,
        .keep_count = o->keep_count,
        .apply_bytes_max = 64 * KIB,
        .uncommitted_bytes_max = 256 * KIB,
    };
}

/* The first configuration is in no entry: who has nothing of its log, because it is new or because
 * the disk lost it, must be told. */
static bool lacks_first_conf(const struct host *h)
{
    return raft_conf_find(h->world->first_conf, h->id) != NULL && h->recovery.base.conf.len == 0 &&
           h->recovery.base.last.index == 0 && h->recovery.entry_count == 0;
}

void host_start(struct host *h)
{
    struct raft_event event = { .type = RAFT_START };
    struct raft_config cfg;
    int rc;

    if (h->process.up || h->retired)
        return;
    h->opened++;
    h->durable = 0;
    h->timer_at = MONO_NEVER;
    sim_process_start(&h->process);
    open_wal(h);
    if (!h->process.up || !settle_log(h))
        return;
    load_machine(h);
    cfg = make_config(h);
    CHECK(raft_new(&cfg, &h->raft) == 0);
    event.start.hard_state = h->recovery.hard_state;
    event.start.base = h->recovery.base;
    event.start.entries = h->recovery.entries;
    event.start.entry_count = h->recovery.entry_count;
    event.start.acknowledged = h->recovery.acknowledged;
    event.start.applied = h->checkpoint.applied;
    event.start.installed = h->checkpoint.installed;
    event.start.staged = h->staged.meta;
    event.start.staged_bytes = h->staged.staged;
    memcpy(event.start.staged_hash, h->staged.running, RAFT_HASH_LEN);
    if (lacks_first_conf(h))
        event.start.bootstrap = h->world->first_conf;
    sim_trace_line(&h->world->trace, h->world->clock.now,
                   "%u starts, log %" PRIu64 "..%" PRIu64 ", applied %" PRIu64 "%s%s", h->index,
                   h->recovery.base.last.index,
                   h->recovery.base.last.index + h->recovery.entry_count, h->checkpoint.applied,
                   h->recovery.acknowledged.term != 0 ? ", must be repaired: " : "",
                   h->recovery.detail);
    if (h->recovery.acknowledged.term != 0) {
        h->world->result.repairs++;
        h->world->damaged = h->index + 1; /* perhaps once more: what rots at rest shows each time */
        if (!h->damaged)
            world_fail(h->world, "%u: a whole log was taken for a damaged one: %s", h->index,
                       h->recovery.detail);
    }
    memset(&h->seen, 0, sizeof(h->seen));
    rc = host_step(h, &event);
    if (!h->process.up)
        return; /* the disk failed at once */
    if (rc < 0)
        world_fail(h->world, "%u: start refused: %s", h->index, err_text(rc));
    else
        check_start(h);
}

/* --- steps and their outputs */

static void fire_timer(void *ctx, uint64_t arg)
{
    struct host *h = ctx;

    (void)arg;
    h->timer_at = MONO_NEVER;
    (void)host_step(h, &(struct raft_event){ .type = RAFT_TIMEOUT }); /* cannot fail */
}

static void on_timer(void *ctx, uint64_t arg)
{
    struct host *h = ctx;

    if (h->timer_at <= h->world->clock.now)
        sim_process_run(&h->process, (uint32_t)arg, fire_timer, h, 0);
}

/* Wake-ups are cheap and too early ones harmless, so none is ever cancelled. */
static void set_timer(struct host *h, mono_ns deadline)
{
    mono_ns real = sim_process_real(&h->process, deadline);

    if (real >= h->timer_at && h->timer_at > h->world->clock.now)
        return;
    h->timer_at = real;
    if (real != MONO_NEVER)
        sim_clock_at(&h->world->clock, real, on_timer, h, h->process.generation);
}

/* Some applied state reaches the disk at times of its own choosing. */
void host_checkpoint(struct host *h)
{
    machine_encode(&h->machine, 0, &h->checkpoint.machine);
    h->checkpoint.applied = h->machine.applied.index;
}

static void run_apply(void *ctx, uint64_t arg)
{
    struct host *h = ctx;
    struct raft_event event = { .type = RAFT_APPLIED };
    struct raft_entry *entries = h->applying;
    size_t count = h->applying_count;

    (void)arg;
    h->apply_scheduled = false;
    h->applying = NULL;
    h->applying_count = h->applying_cap = 0;
    for (size_t i = 0; i < count; i++) {
        bool ran;
        int32_t result = machine_apply(&h->machine, &entries[i], &ran);

        check_applied(h, &entries[i]);
        if (entries[i].ticket != 0)
            client_applied(h->world, entries[i].ticket, entries[i].id, result);
        sim_slice_drop(&entries[i].data);
    }
    free(entries);
    if (prng_chance(&h->prng, 0.3))
        host_checkpoint(h);
    event.applied.index = h->machine.applied.index;
    event.applied.durable = h->checkpoint.applied;
    (void)host_step(h, &event); /* reports what is true: cannot fail */
}

static void on_apply(void *ctx, uint64_t arg)
{
    struct host *h = ctx;

    sim_process_run(&h->process, (uint32_t)arg, run_apply, h, 0);
}

static void queue_committed(struct host *h, const struct raft_output *out)
{
    if (out->committed_count == 0)
        return;
    if (h->applying_count + out->committed_count > h->applying_cap) {
        h->applying_cap = 2 * (h->applying_count + out->committed_count);
        h->applying = realloc(h->applying, h->applying_cap * sizeof(*h->applying));
        CHECK(h->applying != NULL);
    }
    for (size_t i = 0; i < out->committed_count; i++) {
        struct raft_entry *e = &h->applying[h->applying_count++];

        *e = out->committed[i];
        e->data = sim_slice_copy(out->committed[i].data);
    }
    if (h->apply_scheduled)
        return;
    h->apply_scheduled = true;
    sim_clock_after(&h->world->clock, prng_range(&h->prng, 5, 400) * NS_PER_US, on_apply, h,
                    h->process.generation);
}

/* --- the pump */

void host_pump(struct host *h)
{
    struct disk_job job;

    for (unsigned lane = 0; lane < WAL_LANE_COUNT; lane++)
        if (!h->disk.lanes[lane].busy && wal_take_job(h->wal, (enum wal_lane)lane, &job))
            sim_disk_submit(&h->disk, lane, &job);
}

static void on_disk_done(void *ctx, unsigned lane, int status)
{
    struct host *h = ctx;
    struct raft_event event = { .type = RAFT_PERSISTED };

    wal_job_done(h->wal, (enum wal_lane)lane, status);
    if (wal_error(h->wal) < 0) {
        fail_stop(h);
        return;
    }
    event.persisted = wal_durable(h->wal);
    if (event.persisted > h->durable) {
        h->durable = event.persisted;
        mail_send_parked(h);
        (void)host_step(h, &event); /* reports what is true: cannot fail */
    }
    if (h->process.up)
        host_pump(h);
}

bool host_has_room(const struct host *h, size_t entries, size_t bytes)
{
    return wal_room(h->wal) >= OWN_ENTRIES_ROOM + bytes + entries * WAL_ENTRY_OVERHEAD;
}

int host_step(struct host *h, const struct raft_event *event)
{
    struct raft_output out;
    int rc = raft_step(h->raft, event, sim_process_now(&h->process), &out);

    sim_trace_number(&h->world->trace, (uint64_t)h->index << 32 | event->type);
    sim_trace_number(&h->world->trace, out.message_count << 16 | out.write_count);
    if (rc == -ENOMEM)
        world_fail(h->world, "%u: out of memory", h->index);
    check_output(h, &out);
    if (out.write_count > 0) {
        int wrote = wal_append(h->wal, out.writes, out.write_count);

        if (wrote < 0) { /* a full disk, or a failed one */
            fail_stop(h);
            return wrote;
        }
        host_pump(h);
    }
    mail_send(h, &out);
    queue_committed(h, &out);
    for (size_t i = 0; i < out.read_count; i++)
        client_read_done(h->world, h, &out.reads[i]);
    snapshot_work(h, &out);
    set_timer(h, out.deadline_ns);
    return rc;
}
