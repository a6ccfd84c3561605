/* A probe lives in one of GOSSIP_PROBES_MAX places from its first ping to its answer or its end.
 * The answer is matched by a random number, so a stranger cannot guess it and a late one of an
 * earlier probe means nothing. */
#include "gossip/probe.h"

#include <string.h>

#include "base/check.h"
#include "gossip/candidate.h"
#include "gossip/contact.h"
#include "gossip/dissemination.h"
#include "gossip/suspicion.h"
#include "gossip/view.h"

#define RTT_UNKNOWN    (150 * NS_PER_MS) /* first probe of a member */
#define INDIRECT_PINGS 3 /* and as many direct time-outs: mere loss is no reason to accuse */
#define JITTER_DIVISOR 8 /* of the interval: members must not march in step */
#define CONTACT_WAIT   NS_PER_S

static mono_ns stretch(const struct gossip *g, mono_ns t)
{
    return t * (g->health + 1);
}

/* Smoothed round trip plus four deviations, within the configured bounds. */
static mono_ns direct_timeout(const struct gossip *g, const struct member *m)
{
    mono_ns t = RTT_UNKNOWN;

    if (m != NULL && m->peer != NULL && m->peer->srtt_us > 0)
        t = (m->peer->srtt_us + 4 * (mono_ns)m->peer->rttvar_us) * NS_PER_US;
    return stretch(g, MIN(MAX(t, g->cfg.rtt_floor), g->cfg.rtt_ceiling));
}

static void measure_rtt(struct peer *p, mono_ns rtt)
{
    uint32_t us = (uint32_t)MIN(MAX(rtt / NS_PER_US, 1), UINT32_MAX / 8);
    uint32_t off;

    if (p->srtt_us == 0) {
        p->srtt_us = us;
        p->rttvar_us = us / 2;
        return;
    }
    off = us > p->srtt_us ? us - p->srtt_us : p->srtt_us - us;
    p->rttvar_us = p->rttvar_us - p->rttvar_us / 4 + off / 4;
    p->srtt_us = MAX(p->srtt_us - p->srtt_us / 8 + us / 8, 1);
}

bool probe_is_held(const struct gossip *g, const struct member *m)
{
    return m->peer != NULL && g->now < m->peer->link_until;
}

static struct probe *find_target(struct gossip *g, node_ref target, enum probe_purpose purpose)
{
    for (size_t i = 0; i < GOSSIP_PROBES_MAX && g->probes.used_count > 0; i++) {
        struct probe *p = &g->probes.list[i];

        if (p->used && p->target == target && p->purpose == purpose)
            return p;
    }
    return NULL;
}

static struct probe *find_seq(struct gossip *g, uint32_t seq)
{
    for (size_t i = 0; i < GOSSIP_PROBES_MAX && g->probes.used_count > 0; i++) {
        struct probe *p = &g->probes.list[i];

        if (p->used && p->seq == seq)
            return p;
    }
    return NULL;
}

static struct probe *take_place(struct gossip *g)
{
    for (size_t i = 0; i < GOSSIP_PROBES_MAX; i++) {
        struct probe *p = &g->probes.list[i];

        if (p->used)
            continue;
        memset(p, 0, sizeof(*p));
        p->used = true;
        do {
            p->seq = (uint32_t)prng_u64(&g->prng);
        } while (p->seq == 0);
        p->sent = g->now;
        g->probes.used_count++;
        return p;
    }
    g->stats.refused_full++;
    return NULL;
}

static void give_back(struct gossip *g, struct probe *p)
{
    p->used = false;
    g->probes.used_count--;
}

static void write_accusations(struct draft *d, const struct member *m)
{
    for (unsigned i = 0; m->suspicion != NULL && i < m->suspicion->count; i++) {
        if (!write_accusation(&d->body, &m->suspicion->by[i]))
            return;
    }
}

static void send_ping(struct gossip *g, const struct probe *p, const struct member *m)
{
    const struct message_ping ping = { .seq = p->seq, .target = p->target };
    struct draft d;

    draft_begin(g, &d, &p->addr);
    write_ping(&d.body, &ping);
    if (m != NULL)
        write_accusations(&d, m);
    if (p->purpose == PROBE_CONTACT) /* it may not know us, or hold us for dead */
        (void)write_member_record(&d.body, g->self, SIZE_MAX); /* no room: it will ask */
    draft_send_piggyback(g, &d, m);
}

void probe_start(struct gossip *g, struct member *m)
{
    struct probe *p;

    if (find_target(g, m->ref, PROBE_OWN) != NULL)
        return;
    p = take_place(g);
    if (p == NULL)
        return;
    p->purpose = PROBE_OWN;
    p->target = m->ref;
    p->addr = record_of(m->record).addr;
    p->deadline = mono_after(g->now, direct_timeout(g, m));
    g->stats.probes++;
    send_ping(g, p, m);
}

void probe_contact(struct gossip *g, struct member *m, const struct gossip_addr *addr)
{
    struct probe *p = take_place(g);

    if (p == NULL)
        return;
    p->purpose = PROBE_CONTACT;
    p->target = m == NULL ? 0 : m->ref;
    p->addr = *addr;
    p->deadline = mono_after(g->now, CONTACT_WAIT);
    send_ping(g, p, m);
}

/* It knows us, we do not know it: after a restart without contacts this is the only way back. */
static void ask_who(struct draft *d, node_ref sender)
{
    uint8_t bytes[sizeof(node_ref)];
    struct writer w = writer_of(bytes, sizeof(bytes));

    write_u64(&w, sender);
    (void)write_message(&d->body, MESSAGE_WANT, slice_of(bytes, sizeof(bytes)),
                        (struct slice){ 0 }); /* no room: the next ping brings another chance */
}

void probe_on_ping(struct gossip *g, const struct message_ping *ping, node_ref sender,
                   struct member *from, const struct gossip_addr *addr)
{
    const struct message_ack ack = { .seq = ping->seq, .subject = g->self->ref };
    bool known = from != NULL && (from->status == GOSSIP_ALIVE || from->status == GOSSIP_SUSPECT);
    struct draft d;

    if (sender == g->self->ref)
        return; /* our own address among our contacts */
    draft_begin(g, &d, addr);
    if (ping->target != 0 && ping->target != g->self->ref) {
        /* The address has a new owner, or two. Say who we are; the probe finds no answer. */
        g->stats.misdirected++;
        (void)write_member_record(&d.body, g->self, META_INLINE_MAX);
        draft_send(g, &d);
        return;
    }
    write_ack(&d.body, &ack);
    if (from != NULL)
        write_accusations(&d, from);
    if (!known || ping->target == 0)
        (void)write_member_record(&d.body, g->self, SIZE_MAX);
    if (from == NULL && candidate_is_welcome(g, sender))
        ask_who(&d, sender);
    draft_send_piggyback(g, &d, from);
}

static void pass_on_ack(struct gossip *g, const struct probe *p)
{
    const struct message_ack ack = { .seq = p->requester_seq, .subject = p->target };
    struct draft d;

    draft_begin(g, &d, &p->requester);
    write_ack(&d.body, &ack);
    draft_send(g, &d);
}

static void send_nack(struct gossip *g, const struct gossip_addr *to, uint32_t seq)
{
    const struct message_nack nack = { .seq = seq };
    struct draft d;

    draft_begin(g, &d, to);
    write_nack(&d.body, &nack);
    draft_send(g, &d);
}

void probe_on_ack(struct gossip *g, const struct message_ack *ack, node_ref sender)
{
    struct probe *p = find_seq(g, ack->seq);
    struct member *m;

    if (p == NULL || (p->target != 0 && p->target != ack->subject))
        return;
    m = member_find(&g->members, ack->subject);
    if (m != NULL && sender == ack->subject && member_peer(m) != NULL) {
        m->peer->heard = g->now;
        if (!p->resent)
            measure_rtt(m->peer, g->now - p->sent);
    }
    switch (p->purpose) {
    case PROBE_OWN:
        health_add(g, -1);
        break;
    case PROBE_HELP:
        pass_on_ack(g, p);
        break;
    case PROBE_CONTACT:
        contact_answered(g, &p->addr, sender);
        break;
    }
    give_back(g, p);
}

void probe_on_ping_req(struct gossip *g, const struct message_ping_req *req,
                       const struct gossip_addr *addr)
{
    struct member *m = member_find(&g->members, req->target);
    struct probe *p;

    if (m == NULL || m == g->self || m->record == NULL) {
        send_nack(g, addr, req->seq);
        return;
    }
    p = take_place(g);
    if (p == NULL)
        return;
    p->purpose = PROBE_HELP;
    p->target = m->ref;
    p->addr = record_of(m->record).addr;
    p->requester = *addr;
    p->requester_seq = req->seq;
    p->deadline = mono_after(g->now, direct_timeout(g, m));
    send_ping(g, p, m);
}

void probe_on_nack(struct gossip *g, const struct message_nack *nack)
{
    struct probe *p = find_seq(g, nack->seq);

    if (p != NULL && p->nacks_due > 0)
        p->nacks_due--;
}

static void ping_again(struct gossip *g, struct probe *p, const struct member *m)
{
    p->repeats++;
    p->deadline = mono_after(g->now, direct_timeout(g, m));
    send_ping(g, p, m);
}

/* The direct ping found no answer in time: ping once more, and let others try. */
static void go_indirect(struct gossip *g, struct probe *p, struct member *m)
{
    struct message_ping_req req = { .seq = p->seq, .target = p->target };
    struct member *helpers[GOSSIP_HELPERS];
    size_t count = members_sample(&g->members, &g->prng, m, GOSSIP_HELPERS, helpers);

    if (member_peer(m) != NULL)
        m->peer->failed = g->now;
    p->indirect = p->resent = true;
    p->nacks_due = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        struct record r = record_of(helpers[i]->record);
        struct draft d;

        draft_begin(g, &d, &r.addr);
        write_ping_req(&d.body, &req);
        draft_send_piggyback(g, &d, helpers[i]);
    }
    ping_again(g, p, m);
}

static void fail_own(struct gossip *g, struct probe *p, struct member *m)
{
    size_t asked = MIN(g->members.live_count, GOSSIP_HELPERS);

    g->stats.probes_failed++;
    /* Helpers that did not even say "no" point at us: [Lifeguard] IV-A. */
    health_add(g, asked > 0 ? (int)p->nacks_due : 1);
    give_back(g, p);
    if (probe_is_held(g, m) || (m->status != GOSSIP_ALIVE && m->status != GOSSIP_SUSPECT))
        return;
    view_accuse(g, m);
}

static void fail_help(struct gossip *g, struct probe *p, struct member *m)
{
    if (member_peer(m) != NULL)
        m->peer->failed = g->now;
    send_nack(g, &p->requester, p->requester_seq);
    give_back(g, p);
}

/* A phase of a probe is over without an answer. */
static void expire(struct gossip *g, struct probe *p)
{
    struct member *m = member_find(&g->members, p->target);

    if (p->purpose == PROBE_CONTACT || m == NULL || m->record == NULL) {
        give_back(g, p); /* the member was forgotten meanwhile */
    } else if (p->purpose == PROBE_HELP) {
        if (p->resent) {
            fail_help(g, p, m);
            return;
        }
        p->resent = true;
        p->deadline = mono_after(g->now, direct_timeout(g, m));
        send_ping(g, p, m);
    } else if (!p->indirect) {
        go_indirect(g, p, m);
    } else if (p->repeats < INDIRECT_PINGS) {
        ping_again(g, p, m);
    } else {
        fail_own(g, p, m);
    }
}

void probe_on_send_failed(struct gossip *g, const struct gossip_addr *addr)
{
    for (size_t i = 0; i < GOSSIP_PROBES_MAX && g->probes.used_count > 0; i++) {
        struct probe *p = &g->probes.list[i];

        if (p->used && !p->resent && p->purpose != PROBE_CONTACT &&
            gossip_addr_equal(&p->addr, addr))
            p->deadline = g->now; /* no use in waiting out the direct phase */
    }
}

void probe_on_link_alive(struct gossip *g, struct member *m)
{
    struct probe *p = find_target(g, m->ref, PROBE_OWN);

    if (member_peer(m) != NULL)
        m->peer->link_until = mono_after(g->now, g->cfg.link_hold);
    if (p != NULL)
        give_back(g, p);
}

void probe_on_link_lost(struct gossip *g, struct member *m)
{
    if (m->peer != NULL)
        m->peer->link_until = 0;
    if (m->live_index != NOT_LIVE)
        probe_start(g, m);
}

/* The next in the round; a new round is shuffled. */
static void take_turn(struct gossip *g)
{
    if (g->members.live_count == 0)
        return;
    if (g->probes.cursor >= g->members.live_count) {
        members_shuffle_live(&g->members, &g->prng);
        g->probes.cursor = 0;
    }
    probe_start(g, member_at(&g->members, g->members.live[g->probes.cursor++]));
}

static mono_ns next_turn(struct gossip *g)
{
    mono_ns interval = stretch(g, g->cfg.probe_interval);
    mono_ns jitter = interval / JITTER_DIVISOR;

    return mono_after(g->now, interval - jitter + prng_below(&g->prng, 2 * jitter + 1));
}

void probe_run(struct gossip *g)
{
    for (size_t i = 0; i < GOSSIP_PROBES_MAX && g->probes.used_count > 0; i++) {
        struct probe *p = &g->probes.list[i];

        if (p->used && p->deadline <= g->now)
            expire(g, p);
    }
    if (g->probes.next <= g->now) {
        g->probes.next = next_turn(g);
        take_turn(g);
    }
}

mono_ns probe_deadline(const struct gossip *g)
{
    mono_ns deadline = g->probes.next;
    size_t seen = 0;

    for (size_t i = 0; i < GOSSIP_PROBES_MAX && seen < g->probes.used_count; i++) {
        const struct probe *p = &g->probes.list[i];

        if (!p->used)
            continue;
        seen++;
        deadline = MIN(deadline, p->deadline);
    }
    return deadline;
}
