/* A configured contact is quiet while the member behind it is alive, and looked at again every
 * second. */
#include "gossip/contact.h"

#include "gossip/exchange.h"
#include "gossip/probe.h"
#include "gossip/view.h"

#define FIRST_INTERVAL      NS_PER_S
#define LONELY_INTERVAL_MAX (5 * NS_PER_S) /* alone, there is nothing better to do */
#define JOIN_STREAMS        2              /* contacts asked for everything at once when alone */

static bool is_lonely(const struct gossip *g)
{
    return g->members.live_count == 0;
}

static mono_ns jittered(struct gossip *g, mono_ns t)
{
    return t - t / 8 + prng_below(&g->prng, t / 8 + 1);
}

void contact_set(struct gossip *g, const struct gossip_contact *list, size_t count)
{
    struct contacts *c = &g->contacts;

    c->count = 0;
    for (size_t i = 0; i < count; i++) {
        node_ref ref = id_is_none(&list[i].id) ? 0 : node_ref_of(&list[i].id);

        if (ref == g->self->ref)
            continue;
        c->list[c->count++] = (struct contact){
            .id = list[i].id,
            .addr = list[i].addr,
            .ref = ref,
            .next = g->now,
            .interval = FIRST_INTERVAL,
        };
        if (is_lonely(g) && c->count <= JOIN_STREAMS)
            exchange_open(g, NULL, &list[i].id, &list[i].addr);
    }
}

static bool is_reached(const struct gossip *g, const struct contact *c)
{
    const struct member *m = member_find(&g->members, c->ref);

    return m != NULL && (m == g->self || m->live_index != NOT_LIVE);
}

static mono_ns longer(const struct gossip *g, mono_ns interval)
{
    mono_ns max = is_lonely(g) ? MIN(LONELY_INTERVAL_MAX, g->cfg.contact_interval_max)
                               : g->cfg.contact_interval_max;

    return MIN(interval * 2, max);
}

void contact_run(struct gossip *g)
{
    for (size_t i = 0; i < g->contacts.count; i++) {
        struct contact *c = &g->contacts.list[i];

        if (c->next > g->now)
            continue;
        if (is_reached(g, c)) {
            c->interval = FIRST_INTERVAL;
            c->next = mono_after(g->now, FIRST_INTERVAL);
            continue;
        }
        /* By address only: the id that the host knew may have been replaced there. */
        probe_contact(g, NULL, &c->addr);
        c->next = mono_after(g->now, jittered(g, c->interval));
        c->interval = longer(g, c->interval);
    }
}

mono_ns contact_deadline(const struct gossip *g)
{
    mono_ns deadline = MONO_NEVER;

    for (size_t i = 0; i < g->contacts.count; i++)
        deadline = MIN(deadline, g->contacts.list[i].next);
    return deadline;
}

void contact_answered(struct gossip *g, const struct gossip_addr *addr, node_ref sender)
{
    for (size_t i = 0; i < g->contacts.count; i++) {
        struct contact *c = &g->contacts.list[i];

        if (!gossip_addr_equal(&c->addr, addr))
            continue;
        c->ref = sender;
        if (is_lonely(g))
            exchange_open(g, member_find(&g->members, sender), &c->id, addr);
    }
}

void contact_schedule(struct gossip *g, struct suspicion *s)
{
    s->retry_interval = FIRST_INTERVAL;
    s->retry_granted = false;
    heap_set(&g->suspicions, &s->timer, mono_after(g->now, jittered(g, s->retry_interval)));
}

/* Attempts that come due together queue for the slots of the common budget. */
void contact_retry(struct gossip *g, struct suspicion *s)
{
    struct record r = record_of(s->subject->record);
    mono_ns slot = MAX(g->contacts.slot, g->now);

    if (!s->retry_granted) {
        g->contacts.slot = mono_after(slot, NS_PER_S / CONTACTS_PER_S);
        if (slot > g->now) {
            s->retry_granted = true;
            heap_set(&g->suspicions, &s->timer, slot);
            return;
        }
    }
    s->retry_granted = false;
    probe_contact(g, s->subject, &r.addr);
    s->retry_interval = longer(g, s->retry_interval);
    heap_set(&g->suspicions, &s->timer, mono_after(g->now, jittered(g, s->retry_interval)));
}
