/* Open, refuse what was seen before, then message by message. A member's packets carry rising
 * nonces, so a window of 64 tells old from new; of strangers only pings, answers and records
 * are heard, and replaying those achieves nothing that sending them anew would not. */
#include "gossip/packet.h"

#include "gossip/digest.h"
#include "gossip/dissemination.h"
#include "gossip/probe.h"
#include "gossip/view.h"

#define WINDOW        64
#define TELL_INTERVAL NS_PER_S

struct arrival {
    struct gossip *g;
    const struct gossip_addr *addr;
    node_ref sender;
    struct member *from; /* NULL: not a member with a record */
};

/* True once for each counter of the epoch that is followed, as far back as the window reaches; a
 * later epoch is followed from its first packet on. */
static bool is_fresh(struct peer *p, const struct sealed_by *by)
{
    uint64_t behind;

    if (by->boot_epoch != p->boot_epoch) {
        p->boot_epoch = by->boot_epoch;
        p->salt = by->salt;
        p->counter = by->counter;
        p->window = 1;
        return true;
    }
    if (by->counter > p->counter) {
        uint64_t ahead = by->counter - p->counter;

        p->window = ahead >= WINDOW ? 1 : p->window << ahead | 1;
        p->counter = by->counter;
        return true;
    }
    behind = p->counter - by->counter;
    if (behind >= WINDOW || (p->window >> behind & 1) != 0)
        return false;
    p->window |= UINT64_C(1) << behind;
    return true;
}

/* The sender lives in a past epoch, or in one of another life: its host lost the count. Show it
 * its own later word, or name that life, so that it can step over it; once a second, for this may
 * be a replay too. */
static void tell_stale(struct gossip *g, struct member *m, const struct gossip_addr *addr)
{
    const struct message_stale stale = { .epoch = m->peer->boot_epoch, .salt = m->peer->salt };
    struct draft d;

    if (g->now < m->peer->tell_stale_after)
        return;
    m->peer->tell_stale_after = mono_after(g->now, TELL_INTERVAL);
    draft_begin(g, &d, addr);
    (void)write_member_record(&d.body, m, 0); /* always fits */
    write_stale(&d.body, &stale);
    draft_send(g, &d);
}

static bool admit(struct gossip *g, struct member *m, const struct gossip_addr *addr,
                  const struct sealed_by *by)
{
    struct peer *p = member_peer(m);

    if (p == NULL) {
        g->oom = true;
        return false;
    }
    if (by->boot_epoch < MAX(record_of(m->record).incarnation.epoch, p->boot_epoch) ||
        (by->boot_epoch == p->boot_epoch && by->salt != p->salt)) {
        tell_stale(g, m, addr);
        return false;
    }
    if (!is_fresh(p, by))
        return false;
    p->key_epoch = by->key_epoch;
    return true;
}

static bool handle_probe(const struct arrival *a, uint8_t type, struct slice body)
{
    struct message_ping ping;
    struct message_ack ack;
    struct message_ping_req req;
    struct message_nack nack;

    switch (type) {
    case MESSAGE_PING:
        if (!read_ping(body, &ping))
            return false;
        probe_on_ping(a->g, &ping, a->sender, a->from, a->addr);
        return true;
    case MESSAGE_ACK:
        if (!read_ack(body, &ack))
            return false;
        probe_on_ack(a->g, &ack, a->sender);
        return true;
    case MESSAGE_PING_REQ:
        if (!read_ping_req(body, &req))
            return false;
        if (a->from != NULL)
            probe_on_ping_req(a->g, &req, a->addr);
        return true;
    default:
        if (!read_nack(body, &nack))
            return false;
        probe_on_nack(a->g, &nack);
        return true;
    }
}

static bool handle(const struct arrival *a, uint8_t type, struct slice body)
{
    struct message_stale stale;

    switch (type) {
    case MESSAGE_PING:
    case MESSAGE_ACK:
    case MESSAGE_PING_REQ:
    case MESSAGE_NACK:
        return handle_probe(a, type, body);
    case MESSAGE_RECORD:
        (void)view_take_record(a->g, body, a->from);
        return true;
    case MESSAGE_ACCUSATION:
        (void)view_take_accusation(a->g, body);
        return true;
    case MESSAGE_SUMMARY:
        return a->from == NULL || digest_on_summary(a->g, a->from, a->addr, body);
    case MESSAGE_ITEMS:
        return a->from == NULL || digest_on_items(a->g, a->addr, body);
    case MESSAGE_STALE:
        if (!read_stale(body, &stale))
            return false;
        view_take_stale(a->g, &stale);
        return true;
    case MESSAGE_WANT:
        return a->from == NULL || digest_on_want(a->g, a->addr, body);
    default:
        return true; /* of a later version */
    }
}

void packet_receive(struct gossip *g, const struct gossip_addr *addr, struct slice bytes)
{
    uint8_t body[GOSSIP_PACKET_LEN_MAX];
    struct arrival a = { .g = g, .addr = addr };
    struct sealed_by by;
    struct reader r;
    struct slice message;
    uint64_t digest;
    uint8_t type;
    int len;

    len = bytes.len > GOSSIP_PACKET_LEN_MAX ? -1 : seal_open(&g->sealer, bytes, body, &by);
    if (len < 0) {
        g->stats.refused_seal++;
        return;
    }
    r = reader_of(slice_of(body, (size_t)len));
    a.sender = read_u64(&r);
    digest = read_u64(&r);
    if (r.bad) {
        g->stats.refused_malformed++;
        return;
    }
    if (a.sender == g->self->ref)
        return; /* our own, reflected */
    a.from = member_find(&g->members, a.sender);
    if (a.from != NULL && a.from->record == NULL)
        a.from = NULL;
    if (a.from != NULL && !admit(g, a.from, addr, &by)) {
        g->stats.refused_replay++;
        return;
    }
    g->stats.packets_in++;
    while (read_message(&r, &type, &message)) {
        if (!handle(&a, type, message)) {
            g->stats.refused_malformed++;
            return;
        }
    }
    if (r.bad)
        g->stats.refused_malformed++;
    else if (a.from != NULL)
        digest_heard(g, a.from, addr, digest);
    else
        digest_heard_of_stranger(g, addr, digest);
}
