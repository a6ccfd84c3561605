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

static void drop_conf(struct slice *conf)
{
    free((void *)(uintptr_t)conf->ptr);
    *conf = slice_of(NULL, 0);
}

static struct slice copy_slice(struct slice s)
{
    uint8_t *bytes = malloc(s.len + 1);

    CHECK(bytes != NULL);
    if (s.len > 0)
        memcpy(bytes, s.ptr, s.len);
    return slice_of(bytes, s.len);
}

static void drop_snapshot(struct sim_snapshot *s)
{
    drop_conf(&s->meta.base.conf);
    s->meta = (struct raft_snapshot){ 0 };
    s->staged = 0;
    buf_clear(&s->bytes);
}

/* --- life */

static void drop_memory(struct host *h)
{
    struct parked *p;

    while ((p = h->parked_first) != NULL) {
        h->parked_first = p->next;
        free(p);
    }
    h->parked_last = NULL;
    while ((p = h->inbox) != NULL) {
        h->inbox = p->next;
        free(p);
    }
    for (size_t i = 0; i < h->applying_count; i++)
        drop_conf(&h->applying[i].data);
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
    drop_snapshot(&h->held);
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
        drop_snapshot(&h->staged);
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
    drop_snapshot(&h->staged);
    drop_conf(&h->checkpoint.installed.conf);
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
    drop_snapshot(&h->staged);
    drop_conf(&h->checkpoint.installed.conf);
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

/* Nothing of the first configuration was durable yet: the node is as new as it ever was. */
static bool is_first_start(const struct host *h)
{
    return raft_conf_find(h->world->first_conf, h->id) != NULL && h->checkpoint.applied == 0 &&
           h->recovery.base.conf.len == 0 && h->recovery.entry_count == 0;
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
    if (is_first_start(h))
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

static size_t encode(struct world *w, const struct raft_message *m)
{
    size_t max = raft_message_encoded_max(m);
    int64_t len;

    if (max > w->encode_cap) {
        w->encode_cap = 2 * max;
        w->encode_buf = realloc(w->encode_buf, w->encode_cap);
        CHECK(w->encode_buf != NULL);
    }
    len = raft_message_encode(m, w->encode_buf, w->encode_cap);
    CHECK(len > 0);
    return (size_t)len;
}

static raft_term vote_in(const struct raft_message *m)
{
    bool is_vote = m->type == RAFT_VOTE_RES && m->vote_res.granted && !m->vote_res.pre;

    return is_vote ? m->term : 0;
}

/* A vote is cast when it leaves; one that was lost with the disk before is none. */
static void send(struct host *h, unsigned to, raft_term vote_term, struct slice bytes)
{
    if (vote_term != 0)
        check_vote(h, vote_term, h->world->hosts[to].id);
    sim_net_send(&h->world->net, h->index, to, bytes);
}

static void park(struct host *h, unsigned to, const struct raft_message *m, struct slice bytes)
{
    struct parked *p = malloc(sizeof(*p) + bytes.len);

    CHECK(p != NULL);
    *p = (struct parked){ .after = m->after, .to = to, .len = bytes.len };
    p->vote_term = vote_in(m);
    memcpy(p->bytes, bytes.ptr, bytes.len);
    if (h->parked_last != NULL)
        h->parked_last->next = p;
    else
        h->parked_first = p;
    h->parked_last = p;
}

static void send_messages(struct host *h, const struct raft_output *out)
{
    struct world *w = h->world;

    for (size_t i = 0; i < out->message_count; i++) {
        const struct raft_message *m = &out->messages[i];
        const struct host *to = host_by_id(w, m->to);
        struct slice bytes;

        if (to == NULL)
            continue;
        bytes.len = encode(w, m);
        bytes.ptr = w->encode_buf;
        if (m->after > h->durable)
            park(h, to->index, m, bytes);
        else
            send(h, to->index, vote_in(m), bytes);
    }
}

static void send_parked(struct host *h)
{
    struct parked **at = &h->parked_first;

    h->parked_last = NULL;
    while (*at != NULL) {
        struct parked *p = *at;

        if (p->after > h->durable) {
            h->parked_last = p;
            at = &p->next;
            continue;
        }
        *at = p->next;
        send(h, p->to, p->vote_term, slice_of(p->bytes, p->len));
        free(p);
    }
}

/* Some applied state reaches the disk at times of its own choosing. */
static void make_checkpoint(struct host *h)
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
        drop_conf(&entries[i].data);
    }
    free(entries);
    if (prng_chance(&h->prng, 0.3))
        make_checkpoint(h);
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
        e->data = copy_slice(out->committed[i].data);
    }
    if (h->apply_scheduled)
        return;
    h->apply_scheduled = true;
    sim_clock_after(&h->world->clock, prng_range(&h->prng, 5, 400) * NS_PER_US, on_apply, h,
                    h->process.generation);
}

/* --- snapshots */

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
    drop_snapshot(&h->held);
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
        drop_snapshot(&h->held);
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
        drop_snapshot(s);
        s->meta = e->work.snapshot;
        s->meta.base.conf = copy_slice(e->conf);
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
    make_checkpoint(h);
    drop_conf(&h->checkpoint.installed.conf);
    h->checkpoint.installed.last = h->staged.meta.base.last;
    h->checkpoint.installed.conf = copy_slice(h->staged.meta.base.conf);
    drop_snapshot(&h->staged);
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
    drop_conf(&e->data);
    drop_conf(&e->conf);
    free(e);
}

static void on_create(void *ctx, uint64_t arg)
{
    struct host *h = ctx;

    sim_process_run(&h->process, (uint32_t)arg, run_create, h, 0);
}

static void do_snapshot_work(struct host *h, const struct raft_output *out)
{
    struct sim_clock *clock = &h->world->clock;

    for (size_t i = 0; i < out->snapshot_work_count; i++) {
        const struct raft_snapshot_work *work = &out->snapshot_work[i];
        struct errand *e;

        if (work->type == RAFT_WORK_RELEASE) {
            if (memcmp(h->held.meta.hash, work->snapshot.hash, RAFT_HASH_LEN) == 0)
                drop_snapshot(&h->held);
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
        e->data = copy_slice(work->data);
        e->conf = copy_slice(work->snapshot.base.conf);
        /* One kind takes one time: what the core gives in order stays in order. */
        sim_clock_after(clock, 2 * NS_PER_MS, on_errand, e, 0);
    }
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
        send_parked(h);
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
    send_messages(h, &out);
    queue_committed(h, &out);
    for (size_t i = 0; i < out.read_count; i++)
        client_read_done(h->world, h, &out.reads[i]);
    do_snapshot_work(h, &out);
    set_timer(h, out.deadline_ns);
    return rc;
}

static void receive(struct host *h, struct slice bytes)
{
    struct world *w = h->world;
    struct raft_event event = { .type = RAFT_MESSAGE };
    size_t data = 0;
    int rc = raft_message_decode(bytes, w->decode_entries, &event.message);

    if (rc < 0) {
        world_fail(w, "%u: a message of ours does not decode", h->index);
        return;
    }
    if (event.message.to != h->id)
        return; /* was meant for an earlier inhabitant of this place */
    if (event.message.type == RAFT_APPEND) {
        for (size_t i = 0; i < event.message.append.entry_count; i++)
            data += event.message.append.entries[i].data.len;
        if (!host_has_room(h, event.message.append.entry_count, data))
            return; /* as if lost: the leader tries again */
    }
    rc = host_step(h, &event);
    if (rc == ERR_MALFORMED)
        world_fail(w, "%u: takes a message of kind %s for malformed", h->index,
                   raft_message_name(event.message.type));
}

static void park_arrival(struct host *h, unsigned from, struct slice bytes)
{
    struct parked *p = malloc(sizeof(*p) + bytes.len);
    struct parked **end = &h->inbox;

    CHECK(p != NULL);
    *p = (struct parked){ .to = from, .len = bytes.len };
    memcpy(p->bytes, bytes.ptr, bytes.len);
    while (*end != NULL)
        end = &(*end)->next;
    *end = p;
}

void host_deliver(void *ctx, unsigned from, unsigned to, struct slice bytes)
{
    struct world *w = ctx;
    struct host *h = &w->hosts[to];

    if (!h->process.up)
        return;
    if (h->process.paused)
        park_arrival(h, from, bytes); /* the kernel keeps what arrives for a stopped process */
    else
        receive(h, bytes);
}

void host_resume(struct host *h)
{
    struct parked *inbox = h->inbox;

    h->inbox = NULL;
    sim_process_resume(&h->process);
    while (inbox != NULL) {
        struct parked *p = inbox;

        inbox = p->next;
        host_deliver(h->world, p->to, h->index, slice_of(p->bytes, p->len));
        free(p);
    }
}
