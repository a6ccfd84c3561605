/* alive -> suspect -> dead by claims, each only against the incarnation it names or an older one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/gossip_model_priv.h"

#define SUSPICION_MAX_MULT 6

static void set_status(struct world *w, struct world_node *n, const struct model_claim *c)
{
    struct model *m = n->state;
    enum gossip_status before = (enum gossip_status)m->statuses[c->subject];
    enum gossip_status status = (enum gossip_status)c->status;

    m->views[c->subject].incarnation = c->incarnation;
    if (before == status)
        return;
    m->statuses[c->subject] = c->status;
    m->views[c->subject].changed_ms = (uint32_t)(world_now(w) / NS_PER_MS);
    m->alive += (size_t)(status != GOSSIP_UNREACHABLE) - (size_t)(before != GOSSIP_UNREACHABLE);
    world_report(w, n, c->subject, status);
}

static struct model_suspicion *find_suspicion(struct model *m, uint32_t subject)
{
    for (size_t i = 0; i < m->suspicion_count; i++) {
        if (m->suspicions[i].subject == subject)
            return &m->suspicions[i];
    }
    return NULL;
}

static void drop_suspicion(struct model *m, uint32_t subject)
{
    struct model_suspicion *s = find_suspicion(m, subject);

    if (s != NULL)
        *s = m->suspicions[--m->suspicion_count];
}

static struct model_suspicion *add_suspicion(struct model *m)
{
    if (m->suspicion_count == m->suspicion_cap) {
        m->suspicion_cap = m->suspicion_cap == 0 ? 8 : m->suspicion_cap * 2;
        m->suspicions = realloc(m->suspicions, m->suspicion_cap * sizeof(*m->suspicions));
        CHECK(m->suspicions != NULL);
    }
    return &m->suspicions[m->suspicion_count++];
}

mono_ns model_verdict_at(const struct model *m, const struct model_suspicion *s)
{
    double n = (double)MAX(m->alive, 1);
    double min = MODEL_SUSPICION_MULT * fmax(1.0, log10(n)) * (double)MODEL_PROBE_INTERVAL;
    double max = SUSPICION_MAX_MULT * min;
    double t = min;

    if (m->lifeguard && s->needed > 0)
        t = fmax(min, max - (max - min) * log((double)s->count) / log((double)s->needed + 1));
    return s->start + (mono_ns)t;
}

static void refute(struct world_node *n, uint32_t accused)
{
    struct model *m = n->state;
    struct model_claim c = { .subject = n->index, .from = n->index, .status = GOSSIP_ALIVE };

    m->incarnation = MAX(m->incarnation, accused) + 1;
    c.incarnation = m->incarnation;
    m->views[n->index].incarnation = m->incarnation;
    model_add_awareness(m, 1);
    model_spread(m, &c);
}

static void hear_alive(struct world *w, struct world_node *n, const struct model_claim *c)
{
    struct model *m = n->state;

    if (c->subject == n->index || c->incarnation <= m->views[c->subject].incarnation)
        return;
    drop_suspicion(m, c->subject);
    set_status(w, n, c);
    model_spread(m, c);
}

/* A new accuser is news too, as long as confirmations are wanted. */
static void confirm(struct model *m, struct model_suspicion *s, const struct model_claim *c)
{
    if (s->count > s->needed)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->from[i] == c->from)
            return;
    }
    s->from[s->count++] = c->from;
    model_spread(m, c);
}

static void hear_suspect(struct world *w, struct world_node *n, const struct model_claim *c)
{
    struct model *m = n->state;
    struct model_suspicion *s;

    if (c->incarnation < m->views[c->subject].incarnation)
        return;
    if (c->subject == n->index) {
        refute(n, c->incarnation);
        return;
    }
    s = find_suspicion(m, c->subject);
    if (s != NULL) {
        confirm(m, s, c);
        return;
    }
    if (m->statuses[c->subject] != GOSSIP_ALIVE)
        return;
    s = add_suspicion(m);
    *s = (struct model_suspicion){ .subject = c->subject, .start = world_now(w), .count = 1 };
    s->from[0] = c->from;
    s->needed = MODEL_SUSPICION_MULT - 2;
    if (m->alive < s->needed + 2)
        s->needed = 0; /* too few to confirm */
    set_status(w, n, c);
    model_spread(m, c);
}

static void hear_dead(struct world *w, struct world_node *n, const struct model_claim *c)
{
    struct model *m = n->state;

    if (c->incarnation < m->views[c->subject].incarnation ||
        m->statuses[c->subject] == GOSSIP_UNREACHABLE)
        return;
    if (c->subject == n->index) {
        refute(n, c->incarnation);
        return;
    }
    drop_suspicion(m, c->subject);
    set_status(w, n, c);
    model_spread(m, c);
}

void model_hear(struct world *w, struct world_node *n, const struct model_claim *c)
{
    switch ((enum gossip_status)c->status) {
    case GOSSIP_ALIVE:
        hear_alive(w, n, c);
        break;
    case GOSSIP_SUSPECT:
        hear_suspect(w, n, c);
        break;
    case GOSSIP_UNREACHABLE:
        hear_dead(w, n, c);
        break;
    case GOSSIP_UNKNOWN:
    case GOSSIP_LEFT:
        break;
    }
}

bool model_run_suspicions(struct world *w, struct world_node *n)
{
    struct model *m = n->state;
    bool any = false;

    for (size_t i = 0; i < m->suspicion_count;) {
        const struct model_suspicion *s = &m->suspicions[i];
        struct model_claim c = { .subject = s->subject,
                                 .from = n->index,
                                 .incarnation = m->views[s->subject].incarnation,
                                 .status = GOSSIP_UNREACHABLE };

        if (model_verdict_at(m, s) > world_now(w)) {
            i++;
            continue;
        }
        hear_dead(w, n, &c); /* takes it off the list */
        any = true;
    }
    return any;
}
