/* One probe at a time: a ping, after PROBE_TIMEOUT three helpers and a ping over TCP, and a verdict
 * at the end of the interval, which local health stretches. The answer over TCP counts when it is
 * read before that end: a prober that stood still for longer has missed it. */
#include "base/check.h"
#include "chaos/sim/gossip_model_priv.h"
#include "chaos/sim/gossip_world_priv.h"

#define PROBE_TIMEOUT (500 * NS_PER_MS)
#define INDIRECT      3

static void send_ping(struct world *w, struct world_node *n, uint32_t target, uint32_t seq)
{
    struct model *m = n->state;
    struct model_message msg = { .kind = MODEL_PING, .seq = seq, .target = target };

    if (m->lifeguard && m->statuses[target] == GOSSIP_SUSPECT) /* the buddy learns it first */
        msg.claims[msg.count++] = (struct model_claim){ .subject = target,
                                                        .incarnation = m->views[target].incarnation,
                                                        .from = n->index,
                                                        .status = GOSSIP_SUSPECT };
    model_send(w, n, target, &msg);
}

/* --- our own probe */

static void shuffle(struct world_node *n, size_t count)
{
    struct model *m = n->state;

    for (size_t i = count; i > 1; i--) {
        size_t j = prng_below(&n->prng, i);
        uint32_t x = m->order[j];

        m->order[j] = m->order[i - 1];
        m->order[i - 1] = x;
    }
    m->order_next = 0;
}

static uint32_t next_target(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    size_t count = w->cfg.node_count;

    for (size_t checked = 0; checked < count; checked++) {
        uint32_t t;

        if (m->order_next >= count)
            shuffle(n, count);
        t = m->order[m->order_next++];
        if (t != n->index && m->statuses[t] != GOSSIP_UNREACHABLE)
            return t;
    }
    return UINT32_MAX;
}

/* A ticker keeps its beat, and one tick that was missed, not more. */
static void skip_ticks(struct model *m, mono_ns now)
{
    do {
        m->next_probe += MODEL_PROBE_INTERVAL;
    } while (m->next_probe <= now);
}

bool model_start_probe(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    uint32_t target;

    if (m->probe.seq != 0 || m->next_probe > w->now)
        return false;
    skip_ticks(m, w->now);
    target = next_target(w, n);
    if (target == UINT32_MAX)
        return true;
    m->probe = (struct model_probe){ .seq = ++m->next_seq,
                                     .target = target,
                                     .timeout = w->now + PROBE_TIMEOUT,
                                     .end = w->now + MODEL_PROBE_INTERVAL * (m->awareness + 1),
                                     .fallback = MONO_NEVER };
    send_ping(w, n, target, m->probe.seq);
    return true;
}

/* Connecting and asking, two ways there and back; it ends with the probe. */
static void ask_over_tcp(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    const struct world_node *target = world_node_at(w, m->probe.target);
    mono_ns answer = MAX(w->now, target->stalled_until) + 4 * world_delay(w);

    if (w->now < m->probe.end && target->up && world_connected(w, n->index, target->index) &&
        world_connected(w, target->index, n->index))
        m->probe.fallback = answer;
}

static void go_indirect(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    uint32_t helpers[INDIRECT];
    size_t count = model_pick(w, n, MODEL_PICK_ALIVE, m->probe.target, INDIRECT, helpers);

    m->probe.indirect = true;
    m->probe.nacks_expected = m->lifeguard ? (unsigned)count : 0;
    for (size_t i = 0; i < count; i++) {
        struct model_message msg = { .kind = MODEL_PING_REQ,
                                     .seq = m->probe.seq,
                                     .target = m->probe.target };

        model_send(w, n, helpers[i], &msg);
    }
    ask_over_tcp(w, n);
}

static void end_probe(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    struct model_probe *p = &m->probe;
    struct model_claim c = { .subject = p->target,
                             .incarnation = m->views[p->target].incarnation,
                             .from = n->index,
                             .status = GOSSIP_SUSPECT };

    p->seq = 0;
    if (p->contacted) {
        model_add_awareness(m, -1);
        return;
    }
    model_add_awareness(m, p->nacks_expected > 0 ? (int)(p->nacks_expected - p->nacks_heard) : 1);
    model_hear(w, n, &c);
}

bool model_run_probe(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    struct model_probe *p = &m->probe;

    if (p->seq == 0)
        return false;
    if (!p->indirect) {
        if (p->timeout > w->now)
            return false;
        go_indirect(w, n);
        return true;
    }
    if (p->fallback <= w->now) {
        p->contacted = w->now <= p->end;
        p->fallback = MONO_NEVER;
        return true;
    }
    if (p->end > w->now)
        return false;
    end_probe(w, n);
    return true;
}

mono_ns model_probe_deadline(const struct model *m)
{
    const struct model_probe *p = &m->probe;
    mono_ns at = m->next_probe;

    if (p->seq != 0) /* the ticker waits for it */
        at = p->indirect ? MIN(p->fallback, p->end) : p->timeout;
    for (size_t i = 0; i < MODEL_HELPING_MAX; i++) {
        if (m->helping[i].seq != 0)
            at = MIN(at, m->helping[i].nack_at);
    }
    return at;
}

/* --- helping others */

void model_on_ping_req(struct world *w, struct world_node *n, unsigned from,
                       const struct model_message *msg)
{
    struct model *m = n->state;
    struct model_helping *h = &m->helping[m->helping_next++ % MODEL_HELPING_MAX];

    *h = (struct model_helping){ .seq = ++m->next_seq,
                                 .requester = from,
                                 .requester_seq = msg->seq,
                                 .target = msg->target,
                                 .nack_at = m->lifeguard ? w->now + PROBE_TIMEOUT : MONO_NEVER };
    send_ping(w, n, msg->target, h->seq);
}

bool model_run_nacks(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    bool any = false;

    for (size_t i = 0; i < MODEL_HELPING_MAX; i++) {
        struct model_helping *h = &m->helping[i];
        struct model_message msg = { .kind = MODEL_NACK, .seq = h->requester_seq };

        if (h->seq == 0 || h->nack_at > w->now)
            continue;
        h->seq = 0; /* an ack is no longer passed on */
        model_send(w, n, h->requester, &msg);
        any = true;
    }
    return any;
}

static void pass_on_ack(struct world *w, struct world_node *n, uint32_t seq)
{
    struct model *m = n->state;

    for (size_t i = 0; i < MODEL_HELPING_MAX; i++) {
        struct model_helping *h = &m->helping[i];
        struct model_message msg = { .kind = MODEL_ACK, .seq = h->requester_seq };

        if (h->seq != seq)
            continue;
        h->seq = 0;
        model_send(w, n, h->requester, &msg);
        return;
    }
}

void model_on_ack(struct world *w, struct world_node *n, uint32_t seq)
{
    struct model *m = n->state;

    CHECK(seq != 0);
    if (seq == m->probe.seq) {
        m->probe.seq = 0;
        model_add_awareness(m, -1);
    } else {
        pass_on_ack(w, n, seq);
    }
}

void model_on_nack(struct world_node *n, uint32_t seq)
{
    struct model *m = n->state;

    if (seq == m->probe.seq && m->probe.nacks_heard < m->probe.nacks_expected)
        m->probe.nacks_heard++;
}
