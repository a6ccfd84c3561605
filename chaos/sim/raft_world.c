/* chaos/sim/raft_world.c - Options, the two phases, the minimiser. */
#include "chaos/sim/raft_world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/raft_sim.h"

enum { LIVENESS_S = 30 };

/* Swarm testing (Groce et al., ISSTA 2012): each seed leaves out many kinds of fault altogether,
 * since the presence of one hides what others would find. */
static uint64_t maybe(struct prng *p, double chance, uint64_t low, uint64_t high)
{
    bool present = prng_chance(p, chance);
    uint64_t value = prng_range(p, low, high); /* drawn either way: streams stay aligned */

    return present ? value : 0;
}

void raft_options_draw(struct raft_options *o, uint64_t seed)
{
    struct prng root, p;

    memset(o, 0, sizeof(*o));
    prng_init(&root, seed);
    p = prng_fork(&root, "options");
    o->seed = seed;
    o->voters = prng_chance(&p, 0.6) ? 3 : prng_range(&p, 1, 5);
    o->spares = maybe(&p, 0.4, 1, 4);
    o->clients = prng_range(&p, 1, 5);
    o->duration_ms = prng_range(&p, 2000, 8000);
    o->think_us = prng_range(&p, 1, 60) * 1000;
    o->delay_us = prng_chance(&p, 0.8) ? prng_range(&p, 100, 2000) : prng_range(&p, 2000, 40000);
    o->loss = maybe(&p, 0.5, 1, 150);
    o->repeat = maybe(&p, 0.4, 1, 150);
    o->disk_us = prng_chance(&p, 0.8) ? prng_range(&p, 30, 300) : prng_range(&p, 300, 8000);
    o->fault_gap_ms = prng_range(&p, 100, 900);
    o->partition = maybe(&p, 0.5, 1, 10);
    o->clog = maybe(&p, 0.3, 1, 10);
    o->crash = maybe(&p, 0.5, 1, 10);
    o->pause = maybe(&p, 0.35, 1, 10);
    o->skew = maybe(&p, 0.25, 1, 5);
    o->slow_disk = maybe(&p, 0.25, 1, 5);
    o->sync_fails = maybe(&p, 0.2, 1, 5);
    o->disk_full = maybe(&p, 0.2, 1, 5);
    o->rot = maybe(&p, 0.25, 1, 5);
    o->members = maybe(&p, 0.4, 1, 10);
    o->transfer = maybe(&p, 0.35, 1, 10);
    o->island = maybe(&p, 0.2, 1, 5);
    if (o->rot > 0) /* with few voters left, one bad disk may be one too many */
        o->members = o->island = 0;
    o->compact_count = prng_range(&p, 5, 200);
    o->keep_count = prng_range(&p, 0, 30);
    o->inflight = prng_chance(&p, 0.5) ? prng_range(&p, 1, 4) : prng_range(&p, 5, 64);
    o->append_bytes = prng_chance(&p, 0.4) ? prng_range(&p, 1, 512) : prng_range(&p, 4096, 262144);
    o->segment_kib = 64 * prng_range(&p, 2, 8);
    o->append_bytes = MIN(o->append_bytes, o->segment_kib * 256); /* fits what a log has free */
    o->padding = prng_chance(&p, 0.9) ? prng_range(&p, 0, 200) : prng_range(&p, 500, 8000);
    o->snapshot_kib = maybe(&p, 0.05, 200, 700);
    o->stubborn = prng_below(&p, 2);
}

#define COLUMN(name, text) { #name, offsetof(struct raft_options, name) },
static const struct {
    const char *name;
    size_t offset;
} columns[] = { RAFT_OPTIONS(COLUMN){ "skip", offsetof(struct raft_options, skip) } };

static uint64_t *column(struct raft_options *o, size_t i)
{
    return (uint64_t *)(void *)((uint8_t *)o + columns[i].offset);
}

bool raft_options_set(struct raft_options *o, const char *name, uint64_t value)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (strcmp(columns[i].name, name) == 0) {
            *column(o, i) = value;
            return true;
        }
    return false;
}

void raft_options_print(const struct raft_options *o, FILE *f)
{
    struct raft_options drawn, mine = *o;

    raft_options_draw(&drawn, o->seed);
    fprintf(f, "--seed %" PRIu64, o->seed);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (*column(&drawn, i) != *column(&mine, i))
            fprintf(f, " --set %s=%" PRIu64, columns[i].name, *column(&mine, i));
    fputc('\n', f);
}

/* --- the world */

static struct world *world_new(const struct raft_options *o)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng root;

    CHECK(w != NULL);
    w->options = *o;
    prng_init(&root, o->seed);
    w->adversary = prng_fork(&root, "adversary");
    w->workload = prng_fork(&root, "workload");
    w->lives = prng_fork(&root, "lives");
    w->cluster = 1 + (o->seed >> 1);
    sim_clock_init(&w->clock);
    w->clock.now = NS_PER_S; /* clocks of machines do not start at 0 */
    sim_trace_init(&w->trace, o->text);
    sim_net_init(&w->net, &w->clock, prng_fork(&root, "net"), host_deliver, w);
    w->net.loss = (double)o->loss / 1000;
    w->net.repeat = (double)o->repeat / 1000;
    w->net.delay_mean = MAX(o->delay_us * NS_PER_US, w->net.delay_min);
    w->ops = calloc(OPS_MAX, sizeof(*w->ops));
    w->decode_entries = calloc(RAFT_MESSAGE_ENTRIES_MAX, sizeof(*w->decode_entries));
    CHECK(w->ops != NULL && w->decode_entries != NULL);
    machine_init(&w->machine);
    w->host_count = (unsigned)MIN(o->voters + o->spares, NODES_MAX);
    for (unsigned i = 0; i < w->host_count; i++)
        host_init(&w->hosts[i], w, i);
    return w;
}

static void world_free(struct world *w)
{
    w->over = true;
    w->healing = true;
    for (unsigned i = 0; i < w->host_count; i++)
        host_deinit(&w->hosts[i]);
    for (struct heap_node *n; (n = heap_min(&w->clock.heap)) != NULL;)
        (void)sim_clock_step(&w->clock, n->deadline); /* packets free themselves on arrival */
    sim_clock_deinit(&w->clock);
    machine_deinit(&w->machine);
    free(w->first_conf);
    free(w->ops);
    free(w->decode_entries);
    free(w->encode_buf);
    free(w->canon);
    free(w->seen);
    free(w->leaders);
    free(w->ballots);
    free(w->ran);
    free(w);
}

/* All first voters know each other from the start, as one configuration at index 0. */
static void start_cluster(struct world *w)
{
    struct raft_conf *c = calloc(1, sizeof(*c));
    uint64_t voters = MIN(w->options.voters, w->host_count);

    CHECK(c != NULL);
    w->first_conf = c;
    c->epoch = 1;
    c->member_count = (uint32_t)voters;
    for (unsigned i = 0; i < voters; i++)
        c->members[i] = (struct raft_member){ .id = i + 1, .flags = RAFT_VOTER };
    for (unsigned i = 0; i < voters; i++)
        host_create(&w->hosts[i], i + 1);
    for (uint64_t i = 0; i < MIN(w->options.clients, (uint64_t)CLIENTS_MAX); i++) {
        client_init(&w->clients[i], w, (unsigned)i);
        client_begin(&w->clients[i]);
    }
    w->options.clients = MIN(w->options.clients, (uint64_t)CLIENTS_MAX);
}

/* --- liveness */

static const char *const not_repaired = "a member is not repaired";

/* A log that lost an unknown number of entries of this term is whole again in the next one. */
static void change_leader(struct world *w)
{
    for (unsigned i = 0; i < w->host_count; i++)
        if (w->hosts[i].process.up && w->hosts[i].seen.role == RAFT_LEADER)
            (void)host_step(&w->hosts[i], &(struct raft_event){ .type = RAFT_TRANSFER });
}

/* Why the cluster has not settled yet; NULL when it has. */
static const char *unsettled(struct world *w)
{
    const struct host *leader = NULL;
    const struct raft_conf *c;

    for (unsigned i = 0; i < w->host_count; i++) {
        const struct host *h = &w->hosts[i];

        if (h->process.up && h->seen.role == RAFT_LEADER &&
            (leader == NULL || h->seen.term > leader->seen.term))
            leader = h;
    }
    if (leader == NULL)
        return "there is no leader";
    c = raft_conf_current(leader->raft);
    if (c->joint)
        return "the configuration is joint";
    if (leader->seen.commit_index != leader->seen.last.index)
        return "the leader's log is not committed";
    for (uint32_t i = 0; i < c->member_count; i++) {
        const struct host *h = host_by_id(w, c->members[i].id);

        if (h == NULL || !h->process.up)
            continue;
        if ((c->members[i].flags & RAFT_PROMOTE) != 0)
            return "a learner is not promoted";
        if (h->seen.repairing)
            return not_repaired;
        if (h->seen.commit_index != leader->seen.commit_index ||
            h->machine.applied.index != leader->seen.commit_index)
            return "a member lags behind";
    }
    for (uint64_t i = 0; i < w->options.clients; i++)
        if (!client_is_done(&w->clients[i]))
            return "a client waits";
    return NULL;
}

/* For people: where everybody stands. */
static void print_hosts(struct world *w)
{
    static const char *const roles[] = { "follower", "pre-candidate", "candidate", "leader" };

    for (unsigned i = 0; i < w->host_count; i++) {
        const struct host *h = &w->hosts[i];
        const struct raft_status *s = &h->seen;

        sim_trace_line(&w->trace, w->clock.now,
                       "%u %s%s %s term=%" PRIu64 " log=%" PRIu64 "..%" PRIu64 "/%" PRIu64
                       " commit=%" PRIu64 " applied=%" PRIu64 "%s%s",
                       i, h->process.up ? "up" : "down", h->retired ? " retired" : "",
                       roles[s->role], s->term, s->base_index, s->last.term, s->last.index,
                       s->commit_index, s->applied_index, s->installing ? " installing" : "",
                       s->repairing ? " repairing" : "");
    }
}

static void run_until(struct world *w, mono_ns until)
{
    while (!w->result.failed && sim_clock_step(&w->clock, until))
        ;
}

static void demand_liveness(struct world *w)
{
    mono_ns limit = w->clock.now + LIVENESS_S * NS_PER_S;
    const char *why;

    adversary_end(w);
    while ((why = unsettled(w)) != NULL && !w->result.failed) {
        if (w->clock.now >= limit) {
            print_hosts(w);
            world_fail(w, "liveness: %d s after the last fault %s", LIVENESS_S, why);
            return;
        }
        run_until(w, w->clock.now + 20 * NS_PER_MS);
        if (strcmp(why, not_repaired) == 0)
            change_leader(w);
    }
}

void raft_world_run(const struct raft_options *o, struct raft_result *out)
{
    struct world *w = world_new(o);

    start_cluster(w);
    adversary_begin(w);
    run_until(w, w->clock.now + o->duration_ms * NS_PER_MS);
    if (!w->result.failed)
        demand_liveness(w);
    if (!w->result.failed)
        check_history(w);
    w->result.hash = w->trace.hash;
    w->result.events = w->clock.ran;
    w->result.simulated = w->clock.now;
    *out = w->result;
    world_free(w);
}

/* --- minimising */

static bool still_fails(const struct raft_options *o, struct raft_result *result)
{
    struct raft_result r;

    raft_world_run(o, &r);
    if (r.failed)
        *result = r;
    return r.failed;
}

/* First whole kinds of fault, then single acts, then size; as long as something helps. */
void raft_minimise(struct raft_options *o, struct raft_result *result, unsigned runs)
{
    bool better = true;

    while (better && runs > 0) {
        better = false;
        for (size_t i = 0; i < ARRAY_LEN(columns) - 1 && runs > 0; i++) {
            struct raft_options candidate = *o;
            uint64_t *value = column(&candidate, i);
            bool is_fault = columns[i].offset >= offsetof(struct raft_options, partition) &&
                            columns[i].offset <= offsetof(struct raft_options, island);

            if (strcmp(columns[i].name, "loss") == 0 || strcmp(columns[i].name, "repeat") == 0 ||
                strcmp(columns[i].name, "spares") == 0 || is_fault)
                *value = 0;
            else if (strcmp(columns[i].name, "duration_ms") == 0 ||
                     strcmp(columns[i].name, "clients") == 0 ||
                     strcmp(columns[i].name, "padding") == 0)
                *value = *value * 3 / 4;
            if (*value == *column(o, i) || (i == 2 && *value == 0))
                continue;
            runs--;
            if (still_fails(&candidate, result)) {
                *o = candidate;
                better = true;
            }
        }
        for (uint64_t act = 0; act < MIN(result->acts, UINT64_C(64)) && runs > 0; act++) {
            struct raft_options candidate = *o;

            candidate.skip |= UINT64_C(1) << act;
            if (candidate.skip == o->skip)
                continue;
            runs--;
            if (still_fails(&candidate, result)) {
                *o = candidate;
                better = true;
            }
        }
    }
}
