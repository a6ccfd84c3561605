/* Small metadata is asked for in a packet, large over a stream; of the owner or of any other
 * member, by turns of luck, so that news about one node does not bring all others to its door. */
#include "gossip/pull.h"

#include <string.h>

#include "gossip/candidate.h"
#include "gossip/dissemination.h"
#include "gossip/exchange.h"

#define PULL_INTERVAL (200 * NS_PER_MS)
#define REFS_MAX      64
#define SCAN_MAX      4096 /* slots looked at in one turn */
/* Record and metadata in one reply: a packet less its sealing, its head and the message's. */
#define PACKET_META_MAX(g) \
    ((g)->cfg.packet_len_max - GOSSIP_SEAL_LEN - 16 - MESSAGE_HEADER_LEN - RECORD_LEN_MAX)

struct pull {
    node_ref refs[REFS_MAX];
    size_t count;
    bool large;          /* any of it does not fit a packet */
    struct member *peer; /* whom to ask; NULL = nobody is there */
};

static void choose_peer(struct gossip *g, struct pull *p, node_ref preferred)
{
    struct member *m = member_find(&g->members, preferred);

    if (m != NULL && m != g->self && m->live_index != NOT_LIVE && prng_below(&g->prng, 2) == 0)
        p->peer = m;
    else if (members_sample(&g->members, &g->prng, NULL, 1, &p->peer) == 0)
        p->peer = NULL;
}

static void ask(struct gossip *g, const struct pull *p)
{
    uint8_t bytes[REFS_MAX * sizeof(node_ref)];
    struct writer w = writer_of(bytes, sizeof(bytes));
    struct record r;
    struct draft d;

    if (p->count == 0 || p->peer == NULL)
        return;
    if (p->large) {
        exchange_open_pull(g, p->peer, p->refs, p->count);
        return;
    }
    for (size_t i = 0; i < p->count; i++)
        write_u64(&w, p->refs[i]);
    r = record_of(p->peer->record);
    draft_begin(g, &d, &r.addr);
    if (write_message(&d.body, MESSAGE_WANT, slice_of(bytes, w.len), (struct slice){ 0 }))
        draft_send(g, &d);
}

static void pull_for_members(struct gossip *g)
{
    struct pull p = { .count = 0 };
    size_t slots = g->members.slot_count;

    for (size_t i = 0; i < MIN(slots, SCAN_MAX) && p.count < REFS_MAX; i++) {
        const struct member *m = member_at(&g->members, g->pull_cursor++ % slots);

        if (m == NULL || !m->meta_missing)
            continue;
        p.large |= record_of(m->record).meta_len > PACKET_META_MAX(g);
        p.refs[p.count++] = m->ref;
    }
    if (p.count > 0)
        choose_peer(g, &p, p.refs[0]);
    ask(g, &p);
}

static void ask_candidate(struct gossip *g, const struct blob *record)
{
    struct record r = record_of(record);

    exchange_open(g, NULL, &r.id, &r.addr);
}

/* The host cannot judge a candidate without it: a certificate may be in there. */
static bool pull_for_candidates(struct gossip *g)
{
    struct pull p = { .large = true };
    node_ref source = 0;

    p.count = candidate_missing(g, p.refs, REFS_MAX, &source);
    if (p.count == 0)
        return false;
    choose_peer(g, &p, source);
    /* The members that we know may know none of them: each knows itself. */
    if (p.peer == NULL || prng_below(&g->prng, 2) == 0)
        ask_candidate(g, candidate_incomplete(g, prng_below(&g->prng, p.count)));
    else
        ask(g, &p);
    return true;
}

void pull_wake(struct gossip *g)
{
    g->pull_next = MIN(g->pull_next, mono_after(g->now, PULL_INTERVAL / 2));
}

void pull_run(struct gossip *g)
{
    bool more;

    if (g->now < g->pull_next)
        return;
    more = pull_for_candidates(g);
    if (g->missing_count > 0) {
        pull_for_members(g);
        more = true;
    }
    g->pull_next = more ? mono_after(g->now, PULL_INTERVAL) : MONO_NEVER;
}

mono_ns pull_deadline(const struct gossip *g)
{
    return g->pull_next;
}
