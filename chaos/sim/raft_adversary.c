/* chaos/sim/raft_adversary.c - What goes wrong, and when.
 *
 * Acts come at random times; each draws from a stream of its own, named by its number, so leaving
 * one out leaves the others as they were. Damage to acknowledged data is kept to one node at a
 * time and is over only when that node is repaired: with two, data may be lost for good, which is
 * nobody's bug. */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "chaos/sim/raft_sim.h"

static struct host *pick_host(struct world *w, struct prng *p)
{
    return &w->hosts[prng_below(p, w->host_count)];
}

static struct host *find_leader(struct world *w)
{
    struct host *best = NULL;

    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[i];

        if (h->process.up && !h->process.paused && h->seen.role == RAFT_LEADER &&
            (best == NULL || h->seen.term > best->seen.term))
            best = h;
    }
    return best;
}

/* Ends of faults carry host index and generation. */
static uint64_t pack(const struct host *h)
{
    return (uint64_t)h->process.generation << 8 | h->index;
}

static struct host *unpack(struct world *w, uint64_t arg, bool any_life)
{
    struct host *h = &w->hosts[arg & 0xff];

    return any_life || h->process.generation == (uint32_t)(arg >> 8) ? h : NULL;
}

/* --- network */

static void on_heal(void *ctx, uint64_t arg)
{
    struct world *w = ctx;

    (void)arg;
    sim_net_heal(&w->net);
    sim_trace_line(&w->trace, w->clock.now, "network healed");
}

static void part_network(struct world *w, struct prng *p)
{
    unsigned group[NODES_MAX] = { 0 }, n = w->host_count;
    unsigned victim = (unsigned)prng_below(p, n), shape = (unsigned)prng_below(p, 6);

    sim_net_heal(&w->net);
    switch (shape) {
    case 0: /* one alone */
        group[victim] = 1;
        sim_net_partition(&w->net, group, n);
        break;
    case 1: /* halves, or what chance makes of them */
        for (unsigned i = 0; i < n; i++)
            group[i] = (unsigned)prng_below(p, 2);
        sim_net_partition(&w->net, group, n);
        break;
    case 2: /* it hears nobody, or nobody hears it */
        for (unsigned i = 0; i < n; i++)
            if (i != victim && prng_chance(p, 0.8))
                sim_net_cut(&w->net, i, victim);
        break;
    case 3:
        for (unsigned i = 0; i < n; i++)
            if (i != victim && prng_chance(p, 0.8))
                sim_net_cut(&w->net, victim, i);
        break;
    case 4: /* bridge: the victim is in both halves */
        for (unsigned a = 0; a < n; a++)
            for (unsigned b = 0; b < n; b++)
                if (a != victim && b != victim && (a + b) % 2 == 1)
                    sim_net_cut(&w->net, a, b);
        break;
    default: /* ring: everyone hears its neighbours only */
        for (unsigned a = 0; a < n; a++)
            for (unsigned b = a + 2; b < n; b++)
                if (!(a == 0 && b == n - 1))
                    sim_net_cut_both(&w->net, a, b);
        break;
    }
    sim_trace_line(&w->trace, w->clock.now, "partition, shape %u, victim %u", shape, victim);
    sim_clock_after(&w->clock, prng_range(p, 200, 4000) * NS_PER_MS, on_heal, w, 0);
}

/* Paths stop one after the other and come back in another order. */
static void swizzle(struct world *w, struct prng *p)
{
    unsigned victim = (unsigned)prng_below(p, w->host_count);

    for (unsigned i = 0; i < w->host_count; i++) {
        if (prng_chance(p, 0.7))
            sim_net_clog(&w->net, victim, i, w->clock.now + prng_range(p, 100, 2000) * NS_PER_MS);
        if (prng_chance(p, 0.7))
            sim_net_clog(&w->net, i, victim, w->clock.now + prng_range(p, 100, 2000) * NS_PER_MS);
    }
}

/* --- processes and clocks */

static void on_restart(void *ctx, uint64_t arg)
{
    struct world *w = ctx;
    struct host *h = unpack(w, arg, true);

    if (!w->over && h->created)
        host_start(h);
}

static void crash_one(struct world *w, struct prng *p, struct host *h)
{
    static const enum disk_mem_crash_mode modes[] = { DISK_MEM_KEEP, DISK_MEM_LOSE, DISK_MEM_TEAR };

    if (!h->process.up)
        return;
    host_crash(h, modes[prng_below(p, 3)]);
    sim_clock_after(&w->clock, prng_range(p, 0, 2000) * NS_PER_MS, on_restart, w, pack(h));
}

static void crash_some(struct world *w, struct prng *p)
{
    if (!prng_chance(p, 0.15)) {
        crash_one(w, p, pick_host(w, p));
        return;
    }
    for (unsigned i = 0; i < w->host_count; i++) /* the power is gone */
        crash_one(w, p, &w->hosts[i]);
}

static void on_resume(void *ctx, uint64_t arg)
{
    struct host *h = unpack(ctx, arg, false);

    if (h != NULL)
        host_resume(h);
}

static void pause_one(struct world *w, struct prng *p)
{
    struct host *h = prng_chance(p, 0.5) ? find_leader(w) : pick_host(w, p);

    if (h == NULL || !h->process.up || h->process.paused)
        return;
    sim_process_pause(&h->process);
    sim_trace_line(&w->trace, w->clock.now, "%u paused", h->index);
    sim_clock_after(&w->clock, prng_range(p, 50, 3000) * NS_PER_MS, on_resume, w, pack(h));
}

static void skew_clock(struct world *w, struct prng *p)
{
    struct host *h = pick_host(w, p);

    if (prng_chance(p, 0.5))
        sim_process_set_rate(&h->process, 0.8 + (double)prng_below(p, 45) / 100);
    else
        sim_process_jump(&h->process, prng_range(p, 1, 1500) * NS_PER_MS);
}

/* --- disks */

static void on_disk_normal(void *ctx, uint64_t arg)
{
    struct world *w = ctx;
    struct host *h = unpack(w, arg, true);

    if (!h->created)
        return;
    h->disk.latency_mean = MAX(w->options.disk_us * NS_PER_US, 21 * NS_PER_US);
    disk_mem_set_capacity(h->disk.mem, 256 * MIB);
    if (h->process.up) {
        wal_retry_space(h->wal);
        host_pump(h);
    }
}

static void slow_disk(struct world *w, struct prng *p)
{
    struct host *h = pick_host(w, p);

    if (!h->created)
        return;
    h->disk.latency_mean = prng_range(p, 1, 400) * NS_PER_MS;
    sim_clock_after(&w->clock, prng_range(p, 200, 3000) * NS_PER_MS, on_disk_normal, w, pack(h));
}

static void fill_disk(struct world *w, struct prng *p)
{
    struct host *h = pick_host(w, p);

    if (!h->created)
        return;
    disk_mem_set_capacity(h->disk.mem, disk_mem_used(h->disk.mem));
    sim_clock_after(&w->clock, prng_range(p, 200, 3000) * NS_PER_MS, on_disk_normal, w, pack(h));
}

static void fail_sync(struct world *w, struct prng *p)
{
    struct host *h = pick_host(w, p);

    if (!h->process.up)
        return;
    disk_mem_fail_next(h->disk.mem, prng_chance(p, 0.7) ? DISK_SYNC : DISK_WRITE, -EIO);
}

struct victim_file {
    struct prng *prng;
    uint64_t seen;
    char name[DISK_NAME_CAP];
    uint64_t len;
};

static int draw_file(void *arg, const char *file, uint64_t len)
{
    struct victim_file *v = arg;

    if (len > 0 && prng_below(v->prng, ++v->seen) == 0) {
        (void)snprintf(v->name, sizeof(v->name), "%s", file);
        v->len = len;
    }
    return 0;
}

/* Bits rot while the node is down; it finds out when it starts. */
static void rot_disk(struct world *w, struct prng *p)
{
    struct host *h = pick_host(w, p);
    struct victim_file v = { .prng = p };
    struct disk_reader reader;

    if (!h->created || h->retired || w->damaged != 0 || w->options.voters < 3)
        return;
    host_crash(h, DISK_MEM_LOSE);
    reader = disk_mem_reader(h->disk.mem);
    if (reader.list(reader.ctx, draw_file, &v) < 0 || v.seen == 0)
        return;
    for (unsigned i = 0; i < 1 + prng_below(p, 4); i++) {
        uint64_t offset = prng_below(p, prng_chance(p, 0.8) ? MIN(v.len, 8 * KIB) : v.len);

        if (prng_chance(p, 0.7))
            (void)disk_mem_flip(h->disk.mem, v.name, offset, (uint8_t)(1u << prng_below(p, 8)));
        else
            (void)disk_mem_set_unreadable(h->disk.mem, v.name, offset);
    }
    sim_trace_line(&w->trace, w->clock.now, "%u: %s rots", h->index, v.name);
    h->damaged = true;
    w->damaged = h->index + 1;
    host_start(h); /* even if it hit nothing yet: what rots in a spare segment shows later */
}

/* --- members */

static raft_node_id fresh_id(struct world *w, struct prng *p)
{
    raft_node_id id;

    do
        id = prng_u64(p) >> 8;
    while (id == 0 || host_by_id(w, id) != NULL);
    return id;
}

static bool is_tombstoned(struct world *w, raft_node_id id)
{
    const struct host *leader = find_leader(w);

    /* Ask the leader's configuration only when it is committed. */
    return leader != NULL && !raft_conf_current(leader->raft)->joint &&
           leader->seen.commit_index == leader->seen.last.index &&
           raft_conf_is_removed(raft_conf_current(leader->raft), id);
}

static struct host *spare_host(struct world *w, struct prng *p)
{
    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[i];

        if (!h->created)
            return h;
        if (is_tombstoned(w, h->id) && prng_chance(p, 0.5)) { /* else it stays, and is refused */
            host_retire(h);
            return h;
        }
    }
    return NULL;
}

static uint32_t count_voters(const struct raft_conf *c)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->member_count; i++)
        n += (c->members[i].flags & RAFT_VOTER) != 0;
    return n;
}

/* One or two random operations. Removing is only asked for while enough voters stay. */
static void change_members(struct world *w, struct prng *p, struct host *leader)
{
    const struct raft_conf *c = raft_conf_current(leader->raft);
    struct raft_conf_op ops[2];
    struct raft_event event = { .type = RAFT_CHANGE_CONF };
    size_t count = 1 + prng_below(p, 2);
    uint32_t voters = count_voters(c);

    for (size_t i = 0; i < count; i++) {
        const struct raft_member *m = &c->members[prng_below(p, c->member_count)];
        struct host *spare = prng_chance(p, 0.45) ? spare_host(w, p) : NULL;
        bool shrink = voters > 2 && w->damaged == 0;

        ops[i] = (struct raft_conf_op){ .type = RAFT_SET_CONTEXT, .id = m->id };
        ops[i].context = slice_of("x", 1);
        if (spare != NULL && c->member_count + 2 < NODES_MAX) {
            host_create(spare, fresh_id(w, p));
            ops[i].id = spare->id;
            ops[i].type = prng_chance(p, 0.7) ? RAFT_ADD_VOTER : RAFT_ADD_LEARNER;
        } else if ((m->flags & RAFT_VOTER) == 0) {
            ops[i].type = prng_chance(p, 0.7) ? RAFT_ADD_VOTER : RAFT_REMOVE;
        } else if (shrink) {
            ops[i].type = prng_chance(p, 0.5) ? RAFT_REMOVE : RAFT_ADD_LEARNER;
            voters--;
        }
    }
    event.change.ops = ops;
    event.change.count = count;
    if (host_step(leader, &event) == 0) {
        w->result.conf_changes++;
        sim_trace_line(&w->trace, w->clock.now, "%u changes members", leader->index);
    }
}

static void change_some(struct world *w, struct prng *p)
{
    struct host *leader = find_leader(w);

    if (leader != NULL)
        change_members(w, p, leader);
}

/* Nobody hears the leader any more, and just then it is asked to change members. */
static void make_island(struct world *w, struct prng *p)
{
    struct host *leader = find_leader(w);
    unsigned group[NODES_MAX] = { 0 };

    if (leader == NULL)
        return;
    group[leader->index] = 1;
    sim_net_heal(&w->net);
    sim_net_partition(&w->net, group, w->host_count);
    sim_clock_after(&w->clock, prng_range(p, 200, 3000) * NS_PER_MS, on_heal, w, 0);
    change_members(w, p, leader);
}

static void on_stopped(void *ctx, uint64_t arg)
{
    struct world *w = ctx;
    struct host *h = unpack(w, arg, false);

    if (h == NULL || !h->process.up)
        return;
    host_crash(h, DISK_MEM_KEEP);
    sim_clock_after(&w->clock, 300 * NS_PER_MS, on_restart, w, pack(h));
}

static void move_leadership(struct world *w, struct prng *p)
{
    struct host *leader = find_leader(w), *other = pick_host(w, p);
    struct raft_event event = { .type = RAFT_TRANSFER };

    if (leader == NULL)
        return;
    switch (prng_below(p, 4)) {
    case 0:
        event.transfer = 0;
        break;
    case 1:
        event.transfer = other->created ? other->id : 0;
        break;
    case 2:
        event.type = RAFT_FORGET_LEADER;
        if (!other->process.up || other->process.paused)
            return;
        leader = other;
        break;
    default:
        event.type = RAFT_STOP;
        sim_clock_after(&w->clock, prng_range(p, 50, 700) * NS_PER_MS, on_stopped, w, pack(leader));
        break;
    }
    (void)host_step(leader, &event); /* refused when it makes no sense: fine */
}

/* --- the schedule */

static void act(struct world *w, struct prng *p)
{
    const struct raft_options *o = &w->options;
    const struct {
        uint64_t weight;
        void (*run)(struct world *, struct prng *);
    } acts[] = {
        { o->partition, part_network },
        { o->clog, swizzle },
        { o->crash, crash_some },
        { o->pause, pause_one },
        { o->skew, skew_clock },
        { o->slow_disk, slow_disk },
        { o->sync_fails, fail_sync },
        { o->disk_full, fill_disk },
        { o->rot, rot_disk },
        { o->members, change_some },
        { o->transfer, move_leadership },
        { o->island, make_island },
    };
    uint64_t sum = 0, at;

    for (size_t i = 0; i < ARRAY_LEN(acts); i++)
        sum += acts[i].weight;
    if (sum == 0)
        return;
    at = prng_below(p, sum);
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        if (at < acts[i].weight) {
            acts[i].run(w, p);
            return;
        }
        at -= acts[i].weight;
    }
}

static void on_act(void *ctx, uint64_t arg)
{
    struct world *w = ctx;
    struct prng p = prng_fork_u64(&w->adversary, arg);
    mono_ns gap = prng_below(&p, 2 * w->options.fault_gap_ms * NS_PER_MS + 1);

    if (w->healing)
        return;
    w->act = arg + 1;
    w->result.acts++;
    if (arg >= 64 || (w->options.skip >> arg & 1) == 0)
        act(w, &p);
    sim_clock_after(&w->clock, gap, on_act, w, arg + 1);
}

void adversary_begin(struct world *w)
{
    sim_clock_after(&w->clock, w->options.fault_gap_ms * NS_PER_MS, on_act, w, 0);
}

/* --- the end of all faults */

/* A minority may stay dead for ever, if everybody agrees who the voters are and no disk waits for
 * repair: then what is left is a quorum that has everything. */
static void leave_some_dead(struct world *w)
{
    const struct raft_conf *c = NULL;
    raft_node_id voters[RAFT_MEMBERS_MAX];
    uint32_t count = 0, may_die;

    if (w->options.stubborn == 0 || w->damaged != 0)
        return;
    for (unsigned i = 0; i < w->host_count; i++) {
        const struct host *h = &w->hosts[i];

        if (!h->process.up)
            return;
        if (c != NULL && !raft_conf_equal(c, raft_conf_current(h->raft)))
            return;
        c = raft_conf_current(h->raft);
    }
    if (c == NULL || c->joint)
        return;
    for (uint32_t i = 0; i < c->member_count; i++) /* copied: c dies with its host */
        if ((c->members[i].flags & RAFT_VOTER) != 0)
            voters[count++] = c->members[i].id;
    may_die = (count - 1) / 2;
    for (uint32_t i = 0; i < count && may_die > 0; i++)
        if (prng_chance(&w->adversary, 0.5)) {
            host_retire(host_by_id(w, voters[i]));
            may_die--;
        }
}

void adversary_end(struct world *w)
{
    w->healing = true;
    sim_net_heal(&w->net);
    w->net.loss = 0;
    w->net.repeat = 0;
    w->net.delay_mean = 200 * NS_PER_US;
    for (unsigned i = 0; i < w->host_count; i++) {
        struct host *h = &w->hosts[i];

        if (!h->created || h->retired)
            continue;
        h->process.rate = h->process.rate < 1 ? 1 : h->process.rate;
        sim_process_set_rate(&h->process, 1);
        on_disk_normal(w, pack(h));
        h->disk.latency_mean = 100 * NS_PER_US;
        if (h->process.paused)
            host_resume(h);
    }
    leave_some_dead(w);
    for (unsigned i = 0; i < w->host_count; i++)
        if (w->hosts[i].created)
            host_start(&w->hosts[i]);
    sim_trace_line(&w->trace, w->clock.now, "all faults end");
}
