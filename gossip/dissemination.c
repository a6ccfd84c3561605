/* The queue is one list per number of transmissions and lane. A round of gossip sends its head to a
 * few members chosen at random; probes and answers take along what fits. */
#include "gossip/dissemination.h"

#include <string.h>

#include "base/check.h"

#define RETRANSMIT_FACTOR 4
#define FIRST_ROUND_MAX   (10 * NS_PER_MS) /* gathers what one event or one reader's turn brings */
#define MISFITS_MAX       8  /* items too large for the room left that are passed over */
#define FEEDBACK_FROM     3  /* transmissions of ours before hearsay counts as some */
#define BURST_MAX         4  /* packets to one member in one round */
#define BURST_ITEMS       12 /* waiting items that call for one packet more */

void queue_init(struct queue *q)
{
    for (size_t lane = 0; lane < LANE_COUNT; lane++) {
        for (size_t i = 0; i < TRANSMITS_MAX; i++)
            list_init(&q->by_transmits[lane][i]);
    }
    q->count = 0;
    q->next = MONO_NEVER;
}

static void enqueue(struct gossip *g, struct queued *item, enum queued_kind kind, enum lane lane)
{
    queue_remove(g, item);
    item->kind = (uint8_t)kind;
    item->transmits = 0;
    item->urgent = lane == LANE_URGENT;
    list_push_back(&g->queue.by_transmits[lane][0], &item->link);
    g->queue.count++;
    if (g->queue.next == MONO_NEVER)
        g->queue.next = mono_after(g->now, prng_below(&g->prng, FIRST_ROUND_MAX));
}

void queue_record(struct gossip *g, struct member *m, enum lane lane, bool with_meta)
{
    m->queued.with_meta = with_meta;
    enqueue(g, &m->queued, QUEUED_RECORD, lane);
}

void queue_accusation(struct gossip *g, struct accused_by *by)
{
    enqueue(g, &by->queued, QUEUED_ACCUSATION, LANE_URGENT);
}

void queue_remove(struct gossip *g, struct queued *item)
{
    if (!list_is_linked(&item->link))
        return;
    list_remove(&item->link);
    CHECK(g->queue.count > 0);
    g->queue.count--;
}

bool write_member_record(struct writer *w, const struct member *m, size_t meta_len_max)
{
    struct slice record = blob_slice(m->record);
    struct slice meta = blob_slice(m->meta);

    if (meta.len > meta_len_max || MESSAGE_HEADER_LEN + record.len + meta.len > writer_room(w))
        meta = (struct slice){ 0 };
    return write_message(w, MESSAGE_RECORD, record, meta);
}

bool write_accusation(struct writer *w, const struct accused_by *by)
{
    return write_message(w, MESSAGE_ACCUSATION, blob_slice(by->blob), (struct slice){ 0 });
}

static bool write_item(struct writer *w, struct queued *item)
{
    const struct member *m;

    if (item->kind == QUEUED_ACCUSATION)
        return write_accusation(w, CONTAINER_OF(item, struct accused_by, queued));
    m = CONTAINER_OF(item, struct member, queued);
    if (item->with_meta && m->meta != NULL && m->meta->len <= META_INLINE_MAX)
        return write_message(w, MESSAGE_RECORD, blob_slice(m->record), blob_slice(m->meta));
    return write_message(w, MESSAGE_RECORD, blob_slice(m->record), (struct slice){ 0 });
}

static unsigned transmits_max(const struct gossip *g)
{
    return MIN(RETRANSMIT_FACTOR * log10_ceil(group_size(g)), TRANSMITS_MAX);
}

/* Counts one transmission; the item waits on behind its equals, or is done. */
static void count_transmit(struct gossip *g, struct queued *item)
{
    item->transmits++;
    if (item->transmits >= transmits_max(g)) {
        queue_remove(g, item);
        return;
    }
    list_remove(&item->link);
    list_push_back(
        &g->queue.by_transmits[item->urgent ? LANE_URGENT : LANE_NORMAL][item->transmits],
        &item->link);
}

void queue_heard(struct gossip *g, struct queued *item)
{
    if (list_is_linked(&item->link) && item->transmits >= FEEDBACK_FROM)
        count_transmit(g, item);
}

static bool lane_is_empty(const struct queue *q, enum lane lane)
{
    for (size_t i = 0; i < TRANSMITS_MAX; i++) {
        if (!list_is_empty(&q->by_transmits[lane][i]))
            return false;
    }
    return true;
}

/* Takes items of one lane until the packet holds `len_max` bytes. */
static void fill_from_lane(struct gossip *g, struct writer *w, enum lane lane, size_t len_max,
                           const struct member *to)
{
    struct list sent;
    unsigned misfits = 0;
    struct list *link;
    size_t cap = w->cap;

    list_init(&sent);
    w->cap = MIN(cap, MAX(len_max, w->len));
    for (size_t i = 0; i < TRANSMITS_MAX && misfits < MISFITS_MAX; i++) {
        struct list *bucket = &g->queue.by_transmits[lane][i];

        LIST_EACH_SAFE(it, bucket)
        {
            struct queued *item = CONTAINER_OF(it, struct queued, link);

            if (to != NULL && item == &to->queued)
                continue;
            if (write_item(w, item)) {
                list_remove(it);
                list_push_back(&sent, it);
            } else if (++misfits == MISFITS_MAX) {
                break;
            }
        }
    }
    w->cap = cap;
    while ((link = list_first(&sent)) != NULL)
        count_transmit(g, CONTAINER_OF(link, struct queued, link));
}

static void fill(struct gossip *g, struct writer *w, const struct member *to)
{
    struct queued *own = &g->self->queued;
    size_t urgent_max = w->cap;

    if (g->queue.count == 0)
        return;
    if (list_is_linked(&own->link) && write_item(w, own))
        count_transmit(g, own);
    if (!lane_is_empty(&g->queue, LANE_NORMAL))
        urgent_max = w->len + writer_room(w) * 2 / 3;
    fill_from_lane(g, w, LANE_URGENT, urgent_max, to);
    fill_from_lane(g, w, LANE_NORMAL, w->cap, to);
}

void draft_begin(struct gossip *g, struct draft *d, const struct gossip_addr *to)
{
    d->to = *to;
    d->body = writer_of(seal_body(d->buf), g->cfg.packet_len_max - GOSSIP_SEAL_LEN);
    write_u64(&d->body, g->self->ref);
    write_u64(&d->body, g->digest);
}

void draft_send(struct gossip *g, struct draft *d)
{
    size_t len;

    CHECK(!d->body.full); /* fixed messages fit the smallest packet; the rest is tried first */
    len = seal_in_place(&g->sealer, g->incarnation.epoch, d->buf, d->body.len);
    if (!output_packet(&g->out, &d->to, slice_of(d->buf, len))) {
        g->stats.refused_full++;
        return;
    }
    g->stats.packets_out++;
    g->stats.bytes_out += len;
}

void draft_send_piggyback(struct gossip *g, struct draft *d, const struct member *to)
{
    fill(g, &d->body, to);
    draft_send(g, d);
}

static void send_round(struct gossip *g)
{
    struct member *targets[8];
    size_t fanout = MIN(g->cfg.gossip_fanout, ARRAY_LEN(targets));
    size_t count = members_sample(&g->members, &g->prng, NULL, fanout, targets);
    size_t burst = MIN(1 + g->queue.count / BURST_ITEMS, BURST_MAX);

    for (size_t b = 0; b < burst; b++) {
        for (size_t i = 0; i < count && g->queue.count > 0; i++) {
            struct record r = record_of(targets[i]->record);
            struct draft d;

            draft_begin(g, &d, &r.addr);
            draft_send_piggyback(g, &d, targets[i]);
        }
    }
}

void dissemination_run(struct gossip *g)
{
    if (g->queue.next > g->now)
        return;
    g->queue.next = MONO_NEVER;
    if (g->members.live_count == 0)
        return; /* whoever joins is news itself and wakes the queue */
    send_round(g);
    if (g->queue.count > 0)
        g->queue.next = mono_after(g->now, g->cfg.gossip_interval);
}

mono_ns dissemination_deadline(const struct gossip *g)
{
    return g->queue.next;
}
