/* One heap of events. What reaches a node that stands still waits in its inbox and is handled, in
 * order, when it runs again: before or after its timer, as luck has it. */
#include "chaos/sim/gossip_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "chaos/sim/gossip_world_priv.h"

#define SOCKET_PACKETS_MAX 256 /* about a default socket buffer of full packets */
#define CLOCK_ORIGIN       (24 * 3600 * NS_PER_S) /* so that a clock has room to jump back */

void world_config_init(struct world_config *cfg)
{
    *cfg = (struct world_config){
        .engine = &world_shoal,
        .node_count = 3,
        .seed = 1,
        .delay_min = 200 * NS_PER_US,
        .delay_max = 2 * NS_PER_MS,
        .join_spread = 100 * NS_PER_MS,
        .contact_count = 1,
    };
}

static void init_clock(const struct world *w, struct world_node *n)
{
    uint64_t ppm = w->cfg.clock_drift_ppm;

    n->clock_at_zero = CLOCK_ORIGIN;
    n->clock_rate = 1;
    if (ppm > 0)
        n->clock_rate += ((double)prng_below(&n->prng, 2 * ppm + 1) - (double)ppm) / 1e6;
}

struct world *world_new(const struct world_config *cfg)
{
    struct world *w = calloc(1, sizeof(*w));
    struct prng root;

    if (w == NULL)
        return NULL;
    w->cfg = *cfg;
    prng_init(&root, cfg->seed);
    w->net = prng_fork(&root, "net");
    heap_init(&w->heap);
    w->nodes = calloc(cfg->node_count, sizeof(*w->nodes));
    w->ids = calloc(cfg->node_count, sizeof(*w->ids));
    w->public_keys = calloc(cfg->node_count, sizeof(*w->public_keys));
    if (w->nodes == NULL || w->ids == NULL || w->public_keys == NULL ||
        gossip_pool_new(&w->pool) < 0) {
        free(w->nodes);
        free(w->ids);
        free(w->public_keys);
        free(w);
        return NULL;
    }
    for (unsigned i = 0; i < cfg->node_count; i++) {
        struct world_node *n = &w->nodes[i];
        uint8_t random[ID_RANDOM_LEN];

        n->index = n->addr = n->identity = i;
        n->prng = prng_fork_u64(&root, i);
        init_clock(w, n);
        n->slow = i >= cfg->node_count - cfg->slow_count;
        list_init(&n->inbox);
        prng_bytes(&n->prng, random, sizeof(random));
        w->ids[i] = id_from_random(random);
        world_schedule_start(w, i, i == 0 ? 0 : prng_below(&w->net, cfg->join_spread + 1));
        if (n->slow)
            heap_set(&w->heap, &n->stall,
                     cfg->slow_from + prng_below(&n->prng, cfg->awake_max + 1));
    }
    return w;
}

static void free_event(struct world *w, struct world_event *e)
{
    heap_remove(&w->heap, &e->node);
    list_remove(&e->link);
    free(e);
}

static void drop_inbox(struct world *w, struct world_node *n)
{
    struct list *link;

    while ((link = list_first(&n->inbox)) != NULL)
        free_event(w, CONTAINER_OF(link, struct world_event, link));
    n->inbox_packets = 0;
}

void world_free(struct world *w)
{
    struct heap_node *h;

    if (w == NULL)
        return;
    for (unsigned i = 0; i < w->cfg.node_count; i++) {
        struct world_node *n = &w->nodes[i];

        if (n->up)
            w->cfg.engine->stop(w, n);
        heap_remove(&w->heap, &n->timer);
        heap_remove(&w->heap, &n->stall);
        drop_inbox(w, n);
    }
    while ((h = heap_min(&w->heap)) != NULL)
        free_event(w, CONTAINER_OF(h, struct world_event, node));
    world_streams_free(w);
    gossip_pool_free(w->pool);
    free(w->blocked);
    free(w->nodes);
    free(w->ids);
    free(w->public_keys);
    free(w);
}

/* --- events */

struct world_event *world_event_new(struct world *w, enum world_event_kind kind, unsigned to,
                                    struct slice bytes, mono_ns at)
{
    struct world_event *e = calloc(1, sizeof(*e) + bytes.len);

    CHECK(e != NULL);
    e->kind = kind;
    e->to = to;
    e->len = bytes.len;
    if (bytes.len > 0)
        memcpy(e->bytes, bytes.ptr, bytes.len);
    list_init(&e->link);
    heap_set(&w->heap, &e->node, at);
    return e;
}

void world_schedule_start(struct world *w, unsigned index, mono_ns after)
{
    (void)world_event_new(w, WORLD_EVENT_START, index, (struct slice){ 0 }, w->now + after);
}

static void note(struct world *w, uint64_t what)
{
    w->trace = (w->trace ^ what) * UINT64_C(0x100000001b3) + w->now;
}

static bool is_blocked(const struct world *w, unsigned from, unsigned to)
{
    for (size_t i = 0; i < w->blocked_count; i++) {
        if (w->blocked[i].from == from && w->blocked[i].to == to)
            return true;
    }
    return false;
}

bool world_connected(const struct world *w, unsigned from, unsigned to)
{
    return w->nodes[from].group == w->nodes[to].group && !is_blocked(w, from, to);
}

mono_ns world_delay(struct world *w)
{
    return prng_range(&w->net, w->cfg.delay_min, w->cfg.delay_max);
}

static unsigned node_of_addr(const struct world *w, unsigned addr)
{
    if (addr < w->cfg.node_count && w->nodes[addr].addr == addr)
        return addr;
    for (unsigned i = 0; i < w->cfg.node_count; i++) {
        if (w->nodes[i].addr == addr)
            return i;
    }
    return UINT32_MAX;
}

unsigned world_find_addr(const struct world *w, unsigned addr)
{
    return node_of_addr(w, addr);
}

void world_send(struct world *w, struct world_node *n, unsigned to, struct slice bytes)
{
    struct world_event *e;

    n->packets_sent++;
    n->bytes_sent += bytes.len;
    w->counts.packets++;
    w->counts.bytes += bytes.len;
    note(w, (uint64_t)n->index << 32 ^ to ^ bytes.len << 48);
    if (prng_chance(&w->net, w->cfg.loss) || to >= w->cfg.node_count ||
        !world_connected(w, n->index, to)) {
        w->counts.lost++;
        return;
    }
    e = world_event_new(w, WORLD_EVENT_PACKET, to, bytes, w->now + world_delay(w));
    e->from = n->index;
}

void world_set_timer(struct world *w, struct world_node *n, mono_ns at)
{
    if (at == MONO_NEVER)
        heap_remove(&w->heap, &n->timer);
    else
        heap_set(&w->heap, &n->timer, MAX(at, w->now));
}

void world_report(struct world *w, struct world_node *n, unsigned subject,
                  enum gossip_status status)
{
    const struct world_node *s = &w->nodes[subject];

    note(w, (uint64_t)n->index << 40 ^ (uint64_t)subject << 8 ^ (uint64_t)status);
    if (status == GOSSIP_UNREACHABLE) {
        w->counts.verdicts++;
        if (s->up && world_connected(w, n->index, subject)) {
            w->counts.false_any++;
            w->counts.false_subject += !s->slow;
            w->counts.false_healthy += !s->slow && !n->slow;
        }
    }
    if (w->cfg.on_report != NULL)
        w->cfg.on_report(w->cfg.ctx, w, n->index, subject, status);
}

static void start_node(struct world *w, struct world_node *n)
{
    if (n->up)
        return;
    n->up = true;
    n->epoch++;
    n->life++;
    n->started = w->now;
    n->stalled_until = 0;
    if (w->cfg.engine->start(w, n) < 0)
        n->up = false;
}

static void deliver(struct world *w, struct world_event *e)
{
    struct world_node *n = &w->nodes[e->to];

    w->counts.steps++;
    switch (e->kind) {
    case WORLD_EVENT_START:
        start_node(w, n);
        break;
    case WORLD_EVENT_PACKET:
        if (n->up)
            w->cfg.engine->packet(w, n, e->from, slice_of(e->bytes, e->len));
        break;
    case WORLD_EVENT_STREAM:
        world_stream_deliver(w, e);
        break;
    }
    free(e);
}

/* The event happens now, unless its node stands still. */
static void arrive(struct world *w, struct world_event *e)
{
    struct world_node *n = &w->nodes[e->to];

    if (n->stalled_until <= w->now || e->kind == WORLD_EVENT_START) {
        deliver(w, e);
        return;
    }
    if (e->kind == WORLD_EVENT_PACKET) {
        if (n->inbox_packets >= SOCKET_PACKETS_MAX) {
            w->counts.lost++;
            free(e);
            return;
        }
        n->inbox_packets++;
    }
    list_push_back(&n->inbox, &e->link);
}

static void turn_timer(struct world *w, struct world_node *n);

static bool is_timer_due(const struct world *w, const struct world_node *n)
{
    return n->up && heap_node_is_set(&n->timer) && n->timer.deadline <= w->now;
}

/* It runs again and works on what has waited, sockets and timer in no certain order, for as long as
 * this turn lasts. False: the turn was too short, the rest waits for the next. */
static bool wake(struct world *w, struct world_node *n)
{
    n->stalled_until = 0;
    while (!list_is_empty(&n->inbox) || is_timer_due(w, n)) {
        if (n->budget == 0)
            return false;
        n->budget--;
        if (list_is_empty(&n->inbox) || (is_timer_due(w, n) && prng_chance(&n->prng, 0.5))) {
            heap_remove(&w->heap, &n->timer);
            turn_timer(w, n);
        } else {
            struct world_event *e =
                CONTAINER_OF(list_pop_front(&n->inbox), struct world_event, link);

            n->inbox_packets -= e->kind == WORLD_EVENT_PACKET;
            deliver(w, e);
        }
    }
    return true;
}

/* A slow node's life: awake, still, awake .. */
static void turn_stall(struct world *w, struct world_node *n)
{
    if (n->stalled_until != 0) {
        mono_ns awake = prng_range(&n->prng, w->cfg.awake_min, w->cfg.awake_max);

        n->budget = n->slow && w->cfg.work_time > 0 ? awake / w->cfg.work_time : SIZE_MAX;
        if (wake(w, n)) {
            if (n->slow)
                heap_set(&w->heap, &n->stall, w->now + awake);
            return;
        }
    }
    if (!n->slow)
        return; /* it was healed while awake */
    world_stall(w, n->index, prng_range(&n->prng, w->cfg.stall_min, w->cfg.stall_max));
}

void world_stall(struct world *w, unsigned index, mono_ns time)
{
    struct world_node *n = &w->nodes[index];

    n->stalled_until = w->now + MAX(time, 1);
    heap_set(&w->heap, &n->stall, n->stalled_until);
}

static void turn_timer(struct world *w, struct world_node *n)
{
    if (!n->up)
        return;
    if (n->stalled_until > w->now) {
        heap_set(&w->heap, &n->timer, n->stalled_until);
        return;
    }
    w->counts.steps++;
    w->cfg.engine->timer(w, n);
}

void world_run(struct world *w, mono_ns until)
{
    struct heap_node *h;

    while (heap_deadline(&w->heap) <= until) {
        unsigned i;

        CHECK(heap_deadline(&w->heap) >= w->now);
        w->now = heap_deadline(&w->heap);
        h = heap_pop_due(&w->heap, w->now);
        i = (unsigned)(((uintptr_t)h - (uintptr_t)w->nodes) / sizeof(*w->nodes));
        if ((uintptr_t)h < (uintptr_t)w->nodes || i >= w->cfg.node_count)
            arrive(w, CONTAINER_OF(h, struct world_event, node));
        else if (h == &w->nodes[i].timer)
            turn_timer(w, &w->nodes[i]);
        else
            turn_stall(w, &w->nodes[i]);
    }
    w->now = MAX(w->now, until);
}

/* --- faults */

void world_crash(struct world *w, unsigned index)
{
    struct world_node *n = &w->nodes[index];

    if (!n->up)
        return;
    n->up = false;
    world_streams_break(w, index);
    w->cfg.engine->stop(w, n);
    heap_remove(&w->heap, &n->timer);
    drop_inbox(w, n);
}

void world_restart(struct world *w, unsigned index)
{
    start_node(w, &w->nodes[index]);
}

void world_restart_forgetful(struct world *w, unsigned index)
{
    w->nodes[index].epoch = 0;
    start_node(w, &w->nodes[index]);
}

static void take_identity(struct world *w, unsigned index, unsigned identity)
{
    struct world_node *n = &w->nodes[index];

    world_crash(w, index);
    n->identity = identity;
    start_node(w, n);
}

void world_impersonate(struct world *w, unsigned index, unsigned victim)
{
    take_identity(w, index, victim);
}

void world_unmask(struct world *w, unsigned index)
{
    take_identity(w, index, index);
}

void world_set_group(struct world *w, unsigned index, unsigned group)
{
    w->nodes[index].group = group;
}

void world_heal(struct world *w)
{
    for (unsigned i = 0; i < w->cfg.node_count; i++)
        w->nodes[i].group = 0;
    w->blocked_count = 0;
    w->cfg.loss = 0;
}

void world_set_loss(struct world *w, double loss)
{
    w->cfg.loss = loss;
}

void world_block(struct world *w, unsigned from, unsigned to)
{
    struct world_pair *grown = realloc(w->blocked, (w->blocked_count + 1) * sizeof(*w->blocked));

    CHECK(grown != NULL);
    w->blocked = grown;
    w->blocked[w->blocked_count++] = (struct world_pair){ .from = from, .to = to };
}

/* --- questions */

mono_ns world_now(const struct world *w)
{
    return w->now;
}

struct world_node *world_node_at(struct world *w, unsigned index)
{
    return &w->nodes[index];
}

struct world_counts world_count(const struct world *w)
{
    return w->counts;
}

void world_reset_counts(struct world *w)
{
    w->counts = (struct world_counts){ 0 };
    for (unsigned i = 0; i < w->cfg.node_count; i++)
        w->nodes[i].packets_sent = w->nodes[i].bytes_sent = 0;
}

const struct world_config *world_cfg(const struct world *w)
{
    return &w->cfg;
}

struct id world_id(struct world *w, unsigned index)
{
    return w->ids[index];
}

uint64_t world_trace(const struct world *w)
{
    return w->trace;
}

/* Equal digests are equal views, so one view stands for all. */
bool world_is_converged(struct world *w)
{
    struct world_node *first = NULL;
    unsigned up = 0;

    for (unsigned i = 0; i < w->cfg.node_count; i++) {
        struct world_node *n = &w->nodes[i];

        if (!n->up)
            continue;
        up++;
        if (first == NULL)
            first = n;
        if (w->cfg.engine == &world_shoal &&
            gossip_digest(world_gossip(w, i)) != gossip_digest(world_gossip(w, first->index)))
            return false;
    }
    for (unsigned i = 0; i < w->cfg.node_count; i++) {
        struct world_node *n = &w->nodes[i];
        struct gossip_stats s;

        if (!n->up)
            continue;
        if (w->cfg.engine == &world_shoal) {
            gossip_stats_get(world_gossip(w, i), &s);
            if (s.alive_count != up)
                return false;
            if (n != first)
                continue;
        }
        for (unsigned k = 0; k < w->cfg.node_count; k++) {
            if (k != i && w->nodes[k].up && w->cfg.engine->status(w, n, k) != GOSSIP_ALIVE)
                return false;
        }
    }
    return true;
}

mono_ns world_converge(struct world *w, mono_ns max)
{
    mono_ns from = w->now;

    while (w->now - from < max) {
        if (world_is_converged(w))
            return w->now - from;
        world_run(w, w->now + 20 * NS_PER_MS);
    }
    return world_is_converged(w) ? w->now - from : MONO_NEVER;
}
