/* The engines. One node is what it believes of each other (gossip_model_belief.c), the news it
 * passes on (gossip_model_news.c) and the probe that it is making (gossip_model_probe.c). Messages
 * are structs copied as they are. Everything starts as a member that all know: how the models
 * join is not what is compared. */
#include "chaos/sim/gossip_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/gossip_model_priv.h"
#include "chaos/sim/gossip_world_priv.h"

#define GOSSIP_INTERVAL (200 * NS_PER_MS)
#define GOSSIP_NODES    3
#define GOSSIP_TO_DEAD  (30 * NS_PER_S)
#define PUSH_PULL       (30 * NS_PER_S)
#define AWARENESS_MAX   8
#define DRAWS_MAX       50

void model_add_awareness(struct model *m, int delta)
{
    int a = (int)m->awareness + delta;

    if (m->lifeguard)
        m->awareness = (unsigned)MIN(MAX(a, 0), AWARENESS_MAX - 1);
}

static bool may_pick(struct world *w, const struct model *m, uint32_t i, enum model_pick whom)
{
    mono_ns changed = (mono_ns)m->views[i].changed_ms * NS_PER_MS;

    if (m->statuses[i] == GOSSIP_ALIVE)
        return true;
    if (whom != MODEL_PICK_GOSSIP)
        return false;
    return m->statuses[i] == GOSSIP_SUSPECT || w->now - changed < GOSSIP_TO_DEAD;
}

size_t model_pick(struct world *w, struct world_node *n, enum model_pick whom, uint32_t except,
                  size_t want, uint32_t *out)
{
    size_t count = 0;

    for (int draws = 0; draws < DRAWS_MAX && count < want; draws++) {
        uint32_t i = (uint32_t)prng_below(&n->prng, w->cfg.node_count);
        bool taken = i == n->index || i == except;

        for (size_t k = 0; k < count; k++)
            taken = taken || out[k] == i;
        if (!taken && may_pick(w, n->state, i, whom))
            out[count++] = i;
    }
    return count;
}

static void gossip_round(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    uint32_t to[GOSSIP_NODES];
    size_t count;

    if (m->news_count == 0)
        return;
    count = model_pick(w, n, MODEL_PICK_GOSSIP, n->index, GOSSIP_NODES, to);
    for (size_t i = 0; i < count && m->news_count > 0; i++) {
        struct model_message msg = { .kind = MODEL_GOSSIP };

        model_send(w, n, to[i], &msg);
    }
}

/* What `n` reads from the table of `o`: others' word for "dead" is taken as a suspicion only, and a
 * suspicion as its own. */
static void merge(struct world *w, struct world_node *n, const struct model *o, uint32_t subject)
{
    struct model_claim c = { .subject = subject,
                             .incarnation = o->views[subject].incarnation,
                             .from = n->index,
                             .status = o->statuses[subject] };

    if (c.status == GOSSIP_UNREACHABLE)
        c.status = GOSSIP_SUSPECT;
    model_hear(w, n, &c);
}

/* A state exchange over TCP is lossless; it is modelled as done at once, both ways. */
static void full_exchange(struct world *w, struct world_node *n)
{
    uint32_t to;
    struct world_node *o;

    if (model_pick(w, n, MODEL_PICK_ALIVE, n->index, 1, &to) == 0)
        return;
    o = world_node_at(w, to);
    if (!o->up || o->stalled_until > w->now || !world_connected(w, n->index, to) ||
        !world_connected(w, to, n->index))
        return;
    for (uint32_t i = 0; i < w->cfg.node_count; i++) {
        merge(w, o, n->state, i);
        merge(w, n, o->state, i);
    }
}

static mono_ns full_interval(const struct model *m)
{
    double n = (double)m->alive;

    return n <= 32 ? PUSH_PULL : PUSH_PULL * (mono_ns)(ceil(log2(n) - log2(32)) + 1);
}

/* --- the engine */

static void arm(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    mono_ns at = MIN(MIN(model_probe_deadline(m), m->next_gossip), m->next_full);

    for (size_t i = 0; i < m->suspicion_count; i++)
        at = MIN(at, model_verdict_at(m, &m->suspicions[i]));
    world_set_timer(w, n, at);
}

static int start(struct world *w, struct world_node *n, bool lifeguard)
{
    struct model *m = calloc(1, sizeof(*m));
    unsigned count = w->cfg.node_count;

    CHECK(m != NULL);
    m->lifeguard = lifeguard;
    m->statuses = malloc(count);
    m->views = calloc(count, sizeof(*m->views));
    m->order = calloc(count, sizeof(*m->order));
    CHECK(m->statuses != NULL && m->views != NULL && m->order != NULL);
    memset(m->statuses, GOSSIP_ALIVE, count);
    for (uint32_t i = 0; i < count; i++)
        m->order[i] = i;
    m->order_next = count;
    m->alive = count;
    m->incarnation = (uint32_t)n->life - 1;
    m->next_probe = w->now + prng_below(&n->prng, MODEL_PROBE_INTERVAL);
    m->next_gossip = w->now + prng_below(&n->prng, GOSSIP_INTERVAL);
    m->next_full = w->now + prng_below(&n->prng, full_interval(m));
    n->state = m;
    arm(w, n);
    return 0;
}

static int start_memberlist(struct world *w, struct world_node *n)
{
    return start(w, n, true);
}

static int start_swim(struct world *w, struct world_node *n)
{
    return start(w, n, false);
}

static void stop(struct world *w, struct world_node *n)
{
    struct model *m = n->state;

    (void)w;
    free(m->statuses);
    free(m->views);
    free(m->order);
    free(m->suspicions);
    free(m->news);
    free(m);
    n->state = NULL;
}

static void on_packet(struct world *w, struct world_node *n, unsigned from, struct slice bytes)
{
    struct model_message msg, reply = { .kind = MODEL_ACK };

    CHECK(bytes.len == sizeof(msg));
    memcpy(&msg, bytes.ptr, sizeof(msg));
    for (size_t i = 0; i < msg.count; i++)
        model_hear(w, n, &msg.claims[i]);
    switch ((enum model_message_kind)msg.kind) {
    case MODEL_PING:
        reply.seq = msg.seq;
        model_send(w, n, from, &reply);
        break;
    case MODEL_ACK:
        model_on_ack(w, n, msg.seq);
        break;
    case MODEL_PING_REQ:
        model_on_ping_req(w, n, from, &msg);
        break;
    case MODEL_NACK:
        model_on_nack(n, msg.seq);
        break;
    case MODEL_GOSSIP:
        break;
    }
    arm(w, n);
}

/* One of the node's activities, if it is due. */
static bool run_one(struct world *w, struct world_node *n, unsigned which)
{
    struct model *m = n->state;

    switch (which) {
    case 0:
        return model_run_probe(w, n);
    case 1:
        return model_run_suspicions(w, n);
    case 2:
        return model_run_nacks(w, n);
    case 3:
        return model_start_probe(w, n);
    case 4:
        if (m->next_gossip > w->now)
            return false;
        m->next_gossip = w->now + GOSSIP_INTERVAL;
        gossip_round(w, n);
        return true;
    default:
        if (m->next_full > w->now)
            return false;
        m->next_full = w->now + full_interval(m);
        full_exchange(w, n);
        return true;
    }
}

/* What is due is done by threads of its own there, so which comes first is luck; on a node that is
 * slow, the rest may have to wait. */
static void on_timer(struct world *w, struct world_node *n)
{
    unsigned first = (unsigned)prng_below(&n->prng, 6);

    for (unsigned i = 0; i < 6; i++) {
        if (run_one(w, n, (first + i) % 6))
            break;
    }
    arm(w, n);
}

static void on_stream(struct world *w, struct world_node *n, const struct gossip_event *e)
{
    (void)w;
    (void)n;
    (void)e; /* the models open none */
}

static enum gossip_status status_of(struct world *w, struct world_node *n, unsigned subject)
{
    const struct model *m = n->state;

    (void)w;
    return (enum gossip_status)m->statuses[subject];
}

const struct world_engine world_memberlist = {
    .name = "memberlist",
    .start = start_memberlist,
    .stop = stop,
    .packet = on_packet,
    .timer = on_timer,
    .stream = on_stream,
    .status = status_of,
};

const struct world_engine world_swim = {
    .name = "SWIM",
    .start = start_swim,
    .stop = stop,
    .packet = on_packet,
    .timer = on_timer,
    .stream = on_stream,
    .status = status_of,
};
