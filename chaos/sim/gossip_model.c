/* One node is a row of what it believes of each other, a queue of broadcasts, and the probe that it
 * is making. Messages are structs copied as they are. Everything starts as a member that all know:
 * how the models join is not what is compared. */
#include "chaos/sim/gossip_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/gossip_world_priv.h"

#define PROBE_INTERVAL     NS_PER_S
#define PROBE_TIMEOUT      (500 * NS_PER_MS)
#define INDIRECT           3
#define GOSSIP_INTERVAL    (200 * NS_PER_MS)
#define GOSSIP_NODES       3
#define GOSSIP_TO_DEAD     (30 * NS_PER_S)
#define PUSH_PULL          (30 * NS_PER_S)
#define SUSPICION_MULT     4
#define SUSPICION_MAX_MULT 6
#define RETRANSMIT_MULT    4
#define AWARENESS_MAX      8
#define CLAIMS_MAX         20 /* in one packet of 1400 bytes */
#define CONFIRMERS_MAX     2

enum kind { PING, ACK, PING_REQ, NACK, GOSSIP };

struct claim {
    uint32_t subject;
    uint32_t incarnation;
    uint32_t from;
    uint8_t status; /* enum gossip_status */
};

struct message {
    uint8_t kind;
    uint8_t count;
    uint32_t seq;
    uint32_t target;
    struct claim claims[CLAIMS_MAX]; /* FULL: more follow, see size */
};

struct view {
    uint32_t incarnation;
    uint8_t status;
    mono_ns changed;
};

struct suspicion {
    uint32_t subject;
    mono_ns start;
    uint32_t needed;
    uint32_t from[CONFIRMERS_MAX + 1];
    uint32_t count; /* accusers, the first included */
};

struct broadcast {
    struct claim claim;
    unsigned transmits;
};

struct helping {
    uint32_t seq, requester, requester_seq, target;
    mono_ns nack_at; /* MONO_NEVER = said */
};

struct model {
    bool lifeguard;
    struct view *views;
    uint32_t *order;
    size_t order_next;
    uint32_t incarnation;
    unsigned awareness;
    uint32_t next_seq;
    size_t alive;
    struct suspicion *suspicions;
    size_t suspicion_count, suspicion_cap;
    struct broadcast *queue;
    size_t queue_count, queue_cap;
    struct helping helping[64];
    size_t helping_next;

    uint32_t probed;
    uint32_t probe_seq; /* 0 = no probe under way */
    bool indirect;
    unsigned nacks_due;
    mono_ns probe_timeout, probe_end;
    mono_ns next_probe, next_gossip, next_full;
};

static unsigned scale(size_t n)
{
    return (unsigned)ceil(log10((double)n + 1));
}

static void add_awareness(struct model *m, int delta)
{
    int a = (int)m->awareness + delta;

    if (m->lifeguard)
        m->awareness = (unsigned)MIN(MAX(a, 0), AWARENESS_MAX - 1);
}

/* --- broadcasts */

/* News about a subject replaces what was queued about it. */
static void broadcast(struct model *m, const struct claim *c)
{
    for (size_t i = 0; i < m->queue_count; i++) {
        if (m->queue[i].claim.subject == c->subject) {
            m->queue[i] = (struct broadcast){ .claim = *c };
            return;
        }
    }
    if (m->queue_count == m->queue_cap) {
        m->queue_cap = m->queue_cap == 0 ? 16 : m->queue_cap * 2;
        m->queue = realloc(m->queue, m->queue_cap * sizeof(*m->queue));
        CHECK(m->queue != NULL);
    }
    m->queue[m->queue_count++] = (struct broadcast){ .claim = *c };
}

static void fill(struct model *m, struct message *msg)
{
    unsigned limit = RETRANSMIT_MULT * scale(m->alive);
    size_t left = m->queue_count;

    /* Fewest transmits first: pass over the queue once per level while there is room. */
    for (unsigned level = 0; level < limit && left > 0 && msg->count < CLAIMS_MAX; level++) {
        for (size_t i = 0; i < m->queue_count && msg->count < CLAIMS_MAX; i++) {
            struct broadcast *b = &m->queue[i];
            bool taken = false;

            if (b->transmits != level)
                continue;
            for (size_t k = 0; k < msg->count && !taken; k++)
                taken = msg->claims[k].subject == b->claim.subject;
            if (taken)
                continue;
            msg->claims[msg->count++] = b->claim;
            b->transmits++;
            left--;
        }
    }
    for (size_t i = 0; i < m->queue_count;) {
        if (m->queue[i].transmits >= limit)
            m->queue[i] = m->queue[--m->queue_count];
        else
            i++;
    }
}

static void send_message(struct world *w, struct world_node *n, unsigned to, struct message *msg)
{
    fill(n->state, msg);
    world_send(w, n, to, slice_of(msg, sizeof(*msg)));
}

/* --- beliefs */

static void set_status(struct world *w, struct world_node *n, uint32_t subject,
                       uint32_t incarnation, enum gossip_status status)
{
    struct model *m = n->state;
    struct view *v = &m->views[subject];
    bool was_alive = v->status != GOSSIP_UNREACHABLE;
    bool is_alive = status != GOSSIP_UNREACHABLE;

    v->incarnation = incarnation;
    if (v->status == status)
        return;
    v->status = (uint8_t)status;
    v->changed = w->now;
    m->alive += (size_t)is_alive - (size_t)was_alive;
    world_report(w, n, subject, status);
}

static void drop_suspicion(struct model *m, uint32_t subject)
{
    for (size_t i = 0; i < m->suspicion_count; i++) {
        if (m->suspicions[i].subject == subject) {
            m->suspicions[i] = m->suspicions[--m->suspicion_count];
            return;
        }
    }
}

static struct suspicion *find_suspicion(struct model *m, uint32_t subject)
{
    for (size_t i = 0; i < m->suspicion_count; i++) {
        if (m->suspicions[i].subject == subject)
            return &m->suspicions[i];
    }
    return NULL;
}

static mono_ns verdict_at(const struct model *m, const struct suspicion *s)
{
    double n = (double)MAX(m->alive, 1);
    double min = SUSPICION_MULT * fmax(1.0, log10(n)) * (double)PROBE_INTERVAL;
    double max = SUSPICION_MAX_MULT * min;
    double t = min;

    if (m->lifeguard && s->needed > 0)
        t = fmax(min, max - (max - min) * log((double)s->count) / log((double)s->needed + 1));
    return s->start + (mono_ns)t;
}

static void refute(struct world *w, struct world_node *n, uint32_t accused)
{
    struct model *m = n->state;
    struct claim c = { .subject = n->index, .from = n->index, .status = GOSSIP_ALIVE };

    m->incarnation = MAX(m->incarnation, accused) + 1;
    c.incarnation = m->incarnation;
    m->views[n->index].incarnation = m->incarnation;
    add_awareness(m, 1);
    broadcast(m, &c);
    (void)w;
}

static void on_alive(struct world *w, struct world_node *n, const struct claim *c)
{
    struct model *m = n->state;

    if (c->subject == n->index || c->incarnation <= m->views[c->subject].incarnation)
        return;
    drop_suspicion(m, c->subject);
    set_status(w, n, c->subject, c->incarnation, GOSSIP_ALIVE);
    broadcast(m, c);
}

static void confirm(struct model *m, struct suspicion *s, const struct claim *c)
{
    if (s->count > s->needed)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->from[i] == c->from)
            return;
    }
    s->from[s->count++] = c->from;
    broadcast(m, c);
}

static void on_suspect(struct world *w, struct world_node *n, const struct claim *c)
{
    struct model *m = n->state;
    struct view *v = &m->views[c->subject];
    struct suspicion *s;

    if (c->incarnation < v->incarnation)
        return;
    if (c->subject == n->index) {
        refute(w, n, c->incarnation);
        return;
    }
    s = find_suspicion(m, c->subject);
    if (s != NULL) {
        confirm(m, s, c);
        return;
    }
    if (v->status != GOSSIP_ALIVE)
        return;
    if (m->suspicion_count == m->suspicion_cap) {
        m->suspicion_cap = m->suspicion_cap == 0 ? 8 : m->suspicion_cap * 2;
        m->suspicions = realloc(m->suspicions, m->suspicion_cap * sizeof(*m->suspicions));
        CHECK(m->suspicions != NULL);
    }
    s = &m->suspicions[m->suspicion_count++];
    *s = (struct suspicion){ .subject = c->subject, .start = w->now, .count = 1 };
    s->from[0] = c->from;
    s->needed = SUSPICION_MULT - 2;
    if (m->alive < s->needed + 2)
        s->needed = 0; /* too few to confirm */
    set_status(w, n, c->subject, c->incarnation, GOSSIP_SUSPECT);
    broadcast(m, c);
}

static void on_dead(struct world *w, struct world_node *n, const struct claim *c)
{
    struct model *m = n->state;
    struct view *v = &m->views[c->subject];

    if (c->incarnation < v->incarnation || v->status == GOSSIP_UNREACHABLE)
        return;
    if (c->subject == n->index) {
        refute(w, n, c->incarnation);
        return;
    }
    drop_suspicion(m, c->subject);
    set_status(w, n, c->subject, c->incarnation, GOSSIP_UNREACHABLE);
    broadcast(m, c);
}

static void on_claim(struct world *w, struct world_node *n, const struct claim *c)
{
    switch ((enum gossip_status)c->status) {
    case GOSSIP_ALIVE:
        on_alive(w, n, c);
        break;
    case GOSSIP_SUSPECT:
        on_suspect(w, n, c);
        break;
    case GOSSIP_UNREACHABLE:
        on_dead(w, n, c);
        break;
    case GOSSIP_UNKNOWN:
    case GOSSIP_LEFT:
        break;
    }
}

/* --- probing */

static void send_ping(struct world *w, struct world_node *n, uint32_t target, uint32_t seq)
{
    struct model *m = n->state;
    const struct view *v = &m->views[target];
    struct message msg = { .kind = PING, .seq = seq, .target = target };

    if (m->lifeguard && v->status == GOSSIP_SUSPECT) /* the buddy learns it first */
        msg.claims[msg.count++] = (struct claim){ .subject = target,
                                                  .incarnation = v->incarnation,
                                                  .from = n->index,
                                                  .status = GOSSIP_SUSPECT };
    send_message(w, n, target, &msg);
}

static uint32_t next_target(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    size_t count = w->cfg.node_count;

    for (size_t checked = 0; checked < count; checked++) {
        uint32_t t;

        if (m->order_next >= count) {
            for (size_t i = count; i > 1; i--) {
                size_t j = prng_below(&n->prng, i);
                uint32_t x = m->order[j];

                m->order[j] = m->order[i - 1];
                m->order[i - 1] = x;
            }
            m->order_next = 0;
        }
        t = m->order[m->order_next++];
        if (t != n->index && m->views[t].status != GOSSIP_UNREACHABLE)
            return t;
    }
    return UINT32_MAX;
}

static void start_probe(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    uint32_t target = next_target(w, n);

    if (target == UINT32_MAX)
        return;
    m->probed = target;
    m->probe_seq = ++m->next_seq;
    m->indirect = false;
    m->probe_timeout = w->now + PROBE_TIMEOUT;
    m->probe_end = w->now + PROBE_INTERVAL * (m->awareness + 1);
    send_ping(w, n, target, m->probe_seq);
}

static uint32_t random_other(struct world *w, struct world_node *n, uint32_t except, bool with_dead)
{
    struct model *m = n->state;

    for (int tries = 0; tries < 50; tries++) {
        uint32_t i = (uint32_t)prng_below(&n->prng, w->cfg.node_count);
        const struct view *v = &m->views[i];

        if (i == n->index || i == except)
            continue;
        if (v->status != GOSSIP_UNREACHABLE || (with_dead && w->now - v->changed < GOSSIP_TO_DEAD))
            return i;
    }
    return UINT32_MAX;
}

static void go_indirect(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    struct world_node *target = world_node_at(w, m->probed);

    m->indirect = true;
    m->nacks_due = 0;
    for (int i = 0; i < INDIRECT; i++) {
        uint32_t helper = random_other(w, n, m->probed, false);
        struct message msg = { .kind = PING_REQ, .seq = m->probe_seq, .target = m->probed };

        if (helper == UINT32_MAX)
            continue;
        m->nacks_due++;
        send_message(w, n, helper, &msg);
    }
    /* The ping over TCP beside them: loses nothing, but answers only who runs. */
    if (target->up && world_connected(w, n->index, m->probed) &&
        world_connected(w, m->probed, n->index) && target->stalled_until <= w->now) {
        m->probe_seq = 0;
        add_awareness(m, -1);
    }
}

static void fail_probe(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    struct claim c = { .subject = m->probed,
                       .incarnation = m->views[m->probed].incarnation,
                       .from = n->index,
                       .status = GOSSIP_SUSPECT };

    m->probe_seq = 0;
    add_awareness(m, m->indirect && m->nacks_due > 0 ? (int)m->nacks_due : 1);
    on_suspect(w, n, &c);
}

static void on_ping_req(struct world *w, struct world_node *n, unsigned from,
                        const struct message *msg)
{
    struct model *m = n->state;
    struct helping *h = &m->helping[m->helping_next++ % ARRAY_LEN(m->helping)];

    *h = (struct helping){ .seq = ++m->next_seq,
                           .requester = from,
                           .requester_seq = msg->seq,
                           .target = msg->target,
                           .nack_at = m->lifeguard ? w->now + PROBE_TIMEOUT * 8 / 10 : MONO_NEVER };
    send_ping(w, n, msg->target, h->seq);
}

static void on_ack(struct world *w, struct world_node *n, uint32_t seq)
{
    struct model *m = n->state;

    if (seq == m->probe_seq && seq != 0) {
        m->probe_seq = 0;
        add_awareness(m, -1);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(m->helping); i++) {
        struct helping *h = &m->helping[i];
        struct message msg = { .kind = ACK, .seq = h->requester_seq };

        if (h->seq != seq || seq == 0)
            continue;
        h->seq = 0;
        send_message(w, n, h->requester, &msg);
    }
}

/* --- gossip and full exchange */

static void gossip_round(struct world *w, struct world_node *n)
{
    struct model *m = n->state;

    for (int i = 0; i < GOSSIP_NODES && m->queue_count > 0; i++) {
        uint32_t to = random_other(w, n, n->index, true);
        struct message msg = { .kind = GOSSIP };

        if (to != UINT32_MAX)
            send_message(w, n, to, &msg);
    }
}

/* A state exchange over TCP is lossless; it is modelled as done at once, both ways. */
static void full_exchange(struct world *w, struct world_node *n)
{
    uint32_t to = random_other(w, n, n->index, false);
    struct world_node *o = to == UINT32_MAX ? NULL : world_node_at(w, to);

    if (o == NULL || !o->up || o->stalled_until > w->now || !world_connected(w, n->index, to))
        return;
    for (uint32_t i = 0; i < w->cfg.node_count; i++) {
        struct model *a = n->state, *b = o->state;
        struct claim ca = { i, a->views[i].incarnation, n->index, a->views[i].status };
        struct claim cb = { i, b->views[i].incarnation, to, b->views[i].status };

        /* Others' word for "dead" is only taken as a suspicion. */
        if (ca.status == GOSSIP_UNREACHABLE)
            ca.status = GOSSIP_SUSPECT;
        if (cb.status == GOSSIP_UNREACHABLE)
            cb.status = GOSSIP_SUSPECT;
        on_claim(w, o, &ca);
        on_claim(w, n, &cb);
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
    mono_ns at = MIN(MIN(m->next_probe, m->next_gossip), m->next_full);

    if (m->probe_seq != 0)
        at = MIN(at, m->indirect ? m->probe_end : m->probe_timeout);
    for (size_t i = 0; i < m->suspicion_count; i++)
        at = MIN(at, verdict_at(m, &m->suspicions[i]));
    for (size_t i = 0; i < ARRAY_LEN(m->helping); i++) {
        if (m->helping[i].seq != 0)
            at = MIN(at, m->helping[i].nack_at);
    }
    world_set_timer(w, n, at);
}

static int start(struct world *w, struct world_node *n, bool lifeguard)
{
    struct model *m = calloc(1, sizeof(*m));
    unsigned count = w->cfg.node_count;

    CHECK(m != NULL);
    m->lifeguard = lifeguard;
    m->views = calloc(count, sizeof(*m->views));
    m->order = calloc(count, sizeof(*m->order));
    CHECK(m->views != NULL && m->order != NULL);
    for (uint32_t i = 0; i < count; i++) {
        m->views[i].status = GOSSIP_ALIVE;
        m->order[i] = i;
    }
    m->order_next = count;
    m->alive = count;
    m->incarnation = (uint32_t)n->life - 1;
    m->next_probe = w->now + prng_below(&n->prng, PROBE_INTERVAL);
    m->next_gossip = w->now + prng_below(&n->prng, GOSSIP_INTERVAL);
    m->next_full = w->now + prng_below(&n->prng, PUSH_PULL);
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
    free(m->views);
    free(m->order);
    free(m->suspicions);
    free(m->queue);
    free(m);
    n->state = NULL;
}

static void on_packet(struct world *w, struct world_node *n, unsigned from, struct slice bytes)
{
    struct model *m = n->state;
    struct message msg, reply = { .kind = ACK };

    CHECK(bytes.len == sizeof(msg));
    memcpy(&msg, bytes.ptr, sizeof(msg));
    for (size_t i = 0; i < msg.count; i++)
        on_claim(w, n, &msg.claims[i]);
    switch ((enum kind)msg.kind) {
    case PING:
        reply.seq = msg.seq;
        send_message(w, n, from, &reply);
        break;
    case ACK:
        on_ack(w, n, msg.seq);
        break;
    case PING_REQ:
        on_ping_req(w, n, from, &msg);
        break;
    case NACK:
        if (msg.seq == m->probe_seq && m->nacks_due > 0)
            m->nacks_due--;
        break;
    case GOSSIP:
        break;
    }
    arm(w, n);
}

static bool run_suspicions(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    bool any = false;

    for (size_t i = 0; i < m->suspicion_count; i++) {
        const struct suspicion *s = &m->suspicions[i];
        struct claim c = { .subject = s->subject, .from = n->index, .status = GOSSIP_UNREACHABLE };

        if (verdict_at(m, s) > w->now)
            continue;
        c.incarnation = m->views[s->subject].incarnation;
        on_dead(w, n, &c); /* removes it from the list */
        any = true;
        i--;
    }
    return any;
}

static bool run_nacks(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    bool any = false;

    for (size_t i = 0; i < ARRAY_LEN(m->helping); i++) {
        struct helping *h = &m->helping[i];
        struct message msg = { .kind = NACK, .seq = h->requester_seq };

        if (h->seq == 0 || h->nack_at > w->now)
            continue;
        h->nack_at = MONO_NEVER;
        send_message(w, n, h->requester, &msg);
        any = true;
    }
    return any;
}

/* One of the node's activities, if it is due. */
static bool run_one(struct world *w, struct world_node *n, unsigned which)
{
    struct model *m = n->state;

    switch (which) {
    case 0:
        if (m->probe_seq == 0 || m->indirect || m->probe_timeout > w->now)
            return false;
        go_indirect(w, n);
        return true;
    case 1:
        if (m->probe_seq == 0 || !m->indirect || m->probe_end > w->now)
            return false;
        fail_probe(w, n);
        return true;
    case 2:
        return run_suspicions(w, n) || run_nacks(w, n);
    case 3:
        if (m->next_probe > w->now)
            return false;
        m->next_probe = w->now + PROBE_INTERVAL;
        if (m->probe_seq == 0) /* a tick during a stretched probe is lost */
            start_probe(w, n);
        return true;
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
    return m->views[subject].status;
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
