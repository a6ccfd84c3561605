/* suspect --(time-out)--> unreachable --(retry, for ever)--> ...; a record of a higher incarnation
 * ends it at any point (view.c). One heap holds the timers of both phases.
 *
 * A first accusation is checked at once by about VERIFIERS members, who draw lots: a living subject
 * is told by each of them and refutes, a dead one gets its confirmations without waiting for
 * its turn in the round. */
#include "gossip/suspicion.h"

#include <stdlib.h>

#include "base/check.h"
#include "gossip/contact.h"
#include "gossip/dissemination.h"
#include "gossip/probe.h"
#include "gossip/view.h"

#define ACCUSERS_ENOUGH   3 /* one and two confirmations: [Lifeguard] K = 2 */
#define VERIFIERS         4
#define OWN_FAILURE_VALID (2 * NS_PER_S) /* so long a failed probe of ours is evidence */

/* Accusers for the shortest time-out. In a small group not all of the others may be needed, or one
 * slow member would delay every verdict. */
static unsigned accusers_needed(size_t n)
{
    size_t others = n <= 2 ? 0 : n - 2; /* without subject and first accuser */

    return (unsigned)MIN(1 + (others + 1) / 2, ACCUSERS_ENOUGH);
}

/* suspicion_min plus a quarter of it for each factor of ten in n, by thirds of a decade. */
static mono_ns timeout_min(const struct gossip_config *cfg, size_t n)
{
    static const size_t steps[] = {
        2, 5, 10, 22, 46, 100, 215, 464, 1000, 2154, 4642, 10000, 21544
    };
    mono_ns t = cfg->suspicion_min;

    for (size_t i = 0; i < ARRAY_LEN(steps) && n >= steps[i]; i++)
        t += cfg->suspicion_min / 12;
    return t;
}

mono_ns suspicion_timeout(const struct gossip_config *cfg, size_t n, unsigned count)
{
    mono_ns min = timeout_min(cfg, n);
    mono_ns max = min * cfg->suspicion_max_factor;
    unsigned needed = accusers_needed(n);

    CHECK(count > 0);
    if (count >= needed)
        return min;
    if (count == 1)
        return max;
    /* One confirmation of two: max - (max - min) * log(2) / log(3). */
    return max - (max - min) * 631 / 1000;
}

bool suspicion_is_confirmed(const struct member *m)
{
    return m->suspicion != NULL && m->suspicion->count >= ACCUSERS_ENOUGH;
}

static unsigned highest_accuser(const struct suspicion *s)
{
    unsigned at = 0;

    for (unsigned i = 1; i < s->count; i++) {
        if (s->by[i].accuser > s->by[at].accuser)
            at = i;
    }
    return at;
}

bool suspicion_wants(const struct member *m, node_ref accuser)
{
    const struct suspicion *s = m->suspicion;

    if (s == NULL)
        return true;
    for (unsigned i = 0; i < s->count; i++) {
        if (s->by[i].accuser == accuser)
            return false;
    }
    return s->count < GOSSIP_ACCUSERS_MAX || accuser < s->by[highest_accuser(s)].accuser;
}

void suspicion_heard(struct gossip *g, struct member *m, node_ref accuser)
{
    struct suspicion *s = m->suspicion;

    for (unsigned i = 0; i < s->count; i++) {
        if (s->by[i].accuser == accuser)
            queue_heard(g, &s->by[i].queued);
    }
}

static void set_timer(struct gossip *g, struct suspicion *s)
{
    mono_ns verdict = mono_after(s->since, suspicion_timeout(&g->cfg, group_size(g), s->count));

    heap_set(&g->suspicions, &s->timer, MIN(verdict, s->recheck));
}

/* Asks the dice whether this node checks the subject itself, about VERIFIERS do. */
static void maybe_verify(struct gossip *g, struct member *m)
{
    if (suspicion_is_confirmed(m) || prng_below(&g->prng, group_size(g)) >= VERIFIERS)
        return;
    probe_start(g, m);
}

/* What this node can add to someone else's accusation. */
static void judge_accusation(struct gossip *g, struct member *m)
{
    const struct peer *p = m->peer;
    bool failed_lately = p != NULL && p->failed > p->heard &&
                         g->now - p->failed <= OWN_FAILURE_VALID && !probe_is_held(g, m);

    if (failed_lately)
        view_accuse(g, m);
    else
        maybe_verify(g, m);
}

static struct suspicion *open_case(struct gossip *g, struct member *m)
{
    struct suspicion *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        g->oom = true;
        return NULL;
    }
    s->subject = m;
    s->since = g->now;
    s->recheck = mono_after(g->now, timeout_min(&g->cfg, group_size(g)) / 2);
    for (size_t i = 0; i < GOSSIP_ACCUSERS_MAX; i++)
        list_init(&s->by[i].queued.link);
    m->suspicion = s;
    return s;
}

static void remove_accuser(struct gossip *g, struct accused_by *by)
{
    queue_remove(g, &by->queued);
    g->digest -= by->blob->hash;
    blob_unref(g->pool, by->blob);
    by->blob = NULL;
}

bool suspicion_add(struct gossip *g, struct member *m, node_ref accuser, struct blob *blob)
{
    struct suspicion *s = m->suspicion;
    bool first = s == NULL;
    struct accused_by *by;

    CHECK(m != g->self);
    if (!suspicion_wants(m, accuser))
        return false;
    if (first) {
        s = open_case(g, m);
        if (s == NULL)
            return false;
    }
    if (s->count < GOSSIP_ACCUSERS_MAX) {
        by = &s->by[s->count++];
    } else {
        by = &s->by[highest_accuser(s)];
        remove_accuser(g, by);
    }
    by->accuser = accuser;
    by->blob = blob_ref(blob);
    g->digest += blob->hash;
    g->changed = g->now;
    queue_accusation(g, by);
    if (m->status == GOSSIP_UNREACHABLE)
        return true;
    if (m->status == GOSSIP_ALIVE)
        view_set_status(g, m, GOSSIP_SUSPECT, GOSSIP_NOTICE_SUSPECT);
    set_timer(g, s);
    if (accuser != g->self->ref)
        judge_accusation(g, m);
    return true;
}

void suspicion_drop(struct gossip *g, struct member *m)
{
    struct suspicion *s = m->suspicion;

    for (unsigned i = 0; i < s->count; i++)
        remove_accuser(g, &s->by[i]);
    heap_remove(&g->suspicions, &s->timer);
    free(s);
    m->suspicion = NULL;
}

/* Our own eyes outweigh hearsay: it answered us after it was accused, or its link lives. Tell it
 * again, its refutation was lost, and judge later. */
static bool may_convict(const struct gossip *g, const struct member *m)
{
    const struct peer *p = m->peer;

    return !probe_is_held(g, m) && (p == NULL || p->heard <= m->suspicion->since);
}

static void run_suspect(struct gossip *g, struct suspicion *s)
{
    struct member *m = s->subject;
    mono_ns timeout = suspicion_timeout(&g->cfg, group_size(g), s->count);

    if (mono_after(s->since, timeout) > g->now) { /* the recheck is due */
        s->recheck = MONO_NEVER;
        set_timer(g, s);
        if (s->count < accusers_needed(group_size(g)))
            maybe_verify(g, m);
        return;
    }
    if (!may_convict(g, m)) {
        s->since = g->now;
        set_timer(g, s);
        probe_start(g, m);
        return;
    }
    g->stats.verdicts++;
    view_set_status(g, m, GOSSIP_UNREACHABLE, GOSSIP_NOTICE_UNREACHABLE);
    contact_schedule(g, s);
}

void suspicion_run(struct gossip *g)
{
    struct heap_node *n;

    while ((n = heap_pop_due(&g->suspicions, g->now)) != NULL) {
        struct suspicion *s = CONTAINER_OF(n, struct suspicion, timer);

        if (s->subject->status == GOSSIP_UNREACHABLE)
            contact_retry(g, s);
        else
            run_suspect(g, s);
        if (g->out.packet_count >= GOSSIP_PACKETS_OUT_MAX / 2)
            return; /* the deadline is now: the rest goes in the next step */
    }
}

mono_ns suspicion_deadline(const struct gossip *g)
{
    return heap_deadline(&g->suspicions);
}
