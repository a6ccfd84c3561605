/* SUMMARY  u8 bits, u32 hash for each of 2^bits buckets
 * ITEMS    u8 bits, then groups: u8 bucket, u16 count, count * (u64 ref, u32 version)
 * WANT     u64 ref ..
 * A member's bucket is given by the top bits of its ref. */
#include "gossip/digest.h"

#include <string.h>

#include "base/check.h"
#include "gossip/dissemination.h"
#include "gossip/exchange.h"
#include "gossip/view.h"

#define BITS_MAX          8
#define BUCKETS_MAX       (1u << BITS_MAX)
#define DIRECT_MAX        100 /* members whose items all fit one packet: no summary needed */
#define ITEM_LEN          12
#define GROUP_HEADER_LEN  3
#define REPLY_PACKETS_MAX 4

#define SETTLE_TIME       (150 * NS_PER_MS) /* while our view still changes, gossip is at work */
#define PATIENCE          (500 * NS_PER_MS) /* but not for ever */
#define COMPARE_TIME      (300 * NS_PER_MS) /* for one comparison */
#define BACKOFF_MIN       (100 * NS_PER_MS)
#define BACKOFF_MAX       (5 * NS_PER_S)
#define STRANGER_INTERVAL NS_PER_S
#define FRUITLESS_FREE    6 /* lost packets explain so many */
#define FRUITLESS_STREAM  4 /* then a stream is tried too */
#define STREAM_SHARE      4 /* a stream when more than 1/n of the buckets differ */

static unsigned bucket_of(node_ref ref, unsigned bits)
{
    return bits == 0 ? 0 : (unsigned)(ref >> (64 - bits));
}

static uint32_t fold(uint64_t v)
{
    return (uint32_t)(v ^ v >> 32);
}

static void hash_buckets(const struct gossip *g, unsigned bits, uint64_t out[BUCKETS_MAX])
{
    memset(out, 0, sizeof(out[0]) << bits);
    for (size_t slot = 0; slot < g->members.slot_count; slot++) {
        const struct member *m = member_at(&g->members, slot);

        if (m != NULL && m->record != NULL)
            out[bucket_of(m->ref, bits)] += member_version(m);
    }
}

/* --- asking */

/* Appends the members of one bucket. False: they do not all fit, nothing was written. */
static bool write_group(const struct gossip *g, struct writer *w, unsigned bits, unsigned bucket)
{
    size_t start = w->len;
    uint8_t *count_at;
    size_t count = 0;

    if (writer_room(w) < GROUP_HEADER_LEN)
        return false;
    write_u8(w, (uint8_t)bucket);
    count_at = w->ptr + w->len;
    write_u16(w, 0);
    for (size_t slot = 0; slot < g->members.slot_count; slot++) {
        const struct member *m = member_at(&g->members, slot);

        if (m == NULL || m->record == NULL || bucket_of(m->ref, bits) != bucket)
            continue;
        if (writer_room(w) < ITEM_LEN) {
            w->len = start;
            return false;
        }
        write_u64(w, m->ref);
        write_u32(w, fold(member_version(m)));
        count++;
    }
    count_at[0] = (uint8_t)(count >> 8);
    count_at[1] = (uint8_t)count;
    return true;
}

static size_t body_max(const struct gossip *g)
{
    return g->cfg.packet_len_max - GOSSIP_SEAL_LEN - 16 - MESSAGE_HEADER_LEN;
}

static void send_message(struct gossip *g, const struct gossip_addr *addr, enum message_type type,
                         const struct writer *body)
{
    struct draft d;

    draft_begin(g, &d, addr);
    (void)write_message(&d.body, type, slice_of(body->ptr, body->len),
                        (struct slice){ 0 }); /* the body was measured to fit */
    draft_send(g, &d);
}

static void send_summary(struct gossip *g, const struct gossip_addr *addr)
{
    unsigned bits = BITS_MAX;
    uint64_t hashes[BUCKETS_MAX];
    uint8_t bytes[GOSSIP_PACKET_LEN_MAX];
    struct writer w = writer_of(bytes, body_max(g));

    while (1 + (sizeof(uint32_t) << bits) > w.cap)
        bits--;
    hash_buckets(g, bits, hashes);
    write_u8(&w, (uint8_t)bits);
    for (size_t i = 0; i < (size_t)1 << bits; i++)
        write_u32(&w, fold(hashes[i]));
    send_message(g, addr, MESSAGE_SUMMARY, &w);
}

static bool send_all_items(struct gossip *g, const struct gossip_addr *addr)
{
    uint8_t bytes[GOSSIP_PACKET_LEN_MAX];
    struct writer w = writer_of(bytes, body_max(g));

    write_u8(&w, 0);
    if (!write_group(g, &w, 0, 0))
        return false;
    send_message(g, addr, MESSAGE_ITEMS, &w);
    return true;
}

/* What came of the last comparison decides how soon and how the next is made. */
static void start_comparing(struct gossip *g, struct member *from, const struct gossip_addr *addr)
{
    struct reconcile *r = &g->reconcile;

    if (r->digest_before == g->digest) {
        r->fruitless++;
        if (r->fruitless > FRUITLESS_FREE)
            r->backoff = MIN(r->backoff * 2, BACKOFF_MAX);
    } else {
        r->fruitless = 0;
        r->backoff = BACKOFF_MIN;
    }
    r->peer = from->ref;
    r->digest_before = g->digest;
    r->deadline = mono_after(g->now, COMPARE_TIME);
    r->next = mono_after(g->now, r->backoff + prng_below(&g->prng, r->backoff / 2 + 1));
    g->stats.syncs++;
    if (r->fruitless % FRUITLESS_STREAM == FRUITLESS_STREAM - 1)
        exchange_open(g, from, NULL, addr);
    else if (g->record_count > DIRECT_MAX || !send_all_items(g, addr))
        send_summary(g, addr);
}

void digest_heard(struct gossip *g, struct member *from, const struct gossip_addr *addr,
                  uint64_t digest)
{
    struct reconcile *r = &g->reconcile;

    if (digest == g->digest) {
        r->mismatch_since = 0;
        r->fruitless = 0;
        r->backoff = BACKOFF_MIN;
        if (r->peer == from->ref)
            r->peer = 0;
        return;
    }
    if (r->mismatch_since == 0)
        r->mismatch_since = MAX(g->now, 1);
    if ((r->peer != 0 && g->now < r->deadline) || g->now < r->next)
        return;
    if (g->now - g->changed < SETTLE_TIME && g->now - r->mismatch_since < PATIENCE)
        return;
    start_comparing(g, from, addr);
}

/* Whoever knows us answers with what we lack, itself included; to anybody else this says nothing.
 */
void digest_heard_of_stranger(struct gossip *g, const struct gossip_addr *addr, uint64_t digest)
{
    if (digest == g->digest || g->now < g->reconcile.stranger_next)
        return;
    g->reconcile.stranger_next = mono_after(g->now, STRANGER_INTERVAL);
    g->stats.syncs++;
    if (g->record_count > DIRECT_MAX || !send_all_items(g, addr))
        send_summary(g, addr);
}

/* --- answering */

/* Packets of an answer: one is filled, sent, and the next begun, up to REPLY_PACKETS_MAX. */
struct reply {
    struct gossip *g;
    struct gossip_addr to;
    struct draft draft;
    unsigned begun;
    bool full; /* all packets are used up; what is left is found again next time */
};

static void reply_begin(struct reply *r, struct gossip *g, const struct gossip_addr *to)
{
    r->g = g;
    r->to = *to;
    r->begun = 1;
    r->full = false;
    draft_begin(g, &r->draft, to);
}

static bool reply_is_empty(const struct reply *r)
{
    return r->draft.body.len <= 16;
}

static void reply_next(struct reply *r)
{
    if (!reply_is_empty(r))
        draft_send(r->g, &r->draft);
    draft_begin(r->g, &r->draft, &r->to);
    if (++r->begun > REPLY_PACKETS_MAX)
        r->full = true;
}

static void reply_end(struct reply *r)
{
    if (!r->full && !reply_is_empty(r))
        draft_send(r->g, &r->draft);
}

static void reply_member(struct reply *r, const struct member *m)
{
    size_t meta = m->meta == NULL ? 0 : m->meta->len;
    size_t need = MESSAGE_HEADER_LEN + m->record->len + meta;

    /* Metadata is worth a packet of its own, but not more than one. */
    if (!r->full && need > writer_room(&r->draft.body))
        reply_next(r);
    if (r->full)
        return;
    (void)write_member_record(&r->draft.body, m, SIZE_MAX); /* without metadata it fits */
    for (unsigned i = 0; m->suspicion != NULL && i < m->suspicion->count; i++) {
        if (write_accusation(&r->draft.body, &m->suspicion->by[i]))
            continue;
        reply_next(r);
        if (r->full)
            return;
        (void)write_accusation(&r->draft.body, &m->suspicion->by[i]);
    }
}

static void reply_wants(struct reply *r, const node_ref *refs, size_t count)
{
    struct writer *w = &r->draft.body;

    if (count == 0 || r->full)
        return;
    if (writer_room(w) < MESSAGE_HEADER_LEN + count * sizeof(node_ref))
        reply_next(r);
    if (r->full)
        return;
    write_u8(w, MESSAGE_WANT);
    write_u16(w, (uint16_t)(count * sizeof(node_ref)));
    for (size_t i = 0; i < count; i++)
        write_u64(w, refs[i]);
}

bool digest_on_summary(struct gossip *g, const struct member *from, const struct gossip_addr *addr,
                       struct slice body)
{
    struct reader r = reader_of(body);
    unsigned bits = read_u8(&r);
    uint64_t hashes[BUCKETS_MAX];
    uint8_t unlike[BUCKETS_MAX];
    size_t count = 0;
    uint8_t bytes[GOSSIP_PACKET_LEN_MAX];
    struct writer w = writer_of(bytes, body_max(g));

    if (bits > BITS_MAX || r.left != sizeof(uint32_t) << bits)
        return false;
    hash_buckets(g, bits, hashes);
    for (unsigned i = 0; i < 1u << bits; i++) {
        if (read_u32(&r) != fold(hashes[i]))
            unlike[count++] = (uint8_t)i;
    }
    if (count == 0)
        return true;
    if (count > (1u << bits) / STREAM_SHARE && g->record_count > DIRECT_MAX) {
        exchange_open(g, from, NULL, addr);
        return true;
    }
    write_u8(&w, (uint8_t)bits);
    for (size_t i = 0, first = prng_below(&g->prng, count); i < count; i++) {
        if (!write_group(g, &w, bits, unlike[(first + i) % count]))
            break; /* another time, beginning elsewhere */
    }
    if (w.len > 1)
        send_message(g, addr, MESSAGE_ITEMS, &w);
    else
        exchange_open(g, from, NULL, addr); /* not even one bucket fits a packet */
    return true;
}

static bool has_item(const uint8_t *items, size_t count, node_ref ref)
{
    for (size_t i = 0; i < count; i++) {
        struct reader r = reader_of(slice_of(items + i * ITEM_LEN, ITEM_LEN));

        if (read_u64(&r) == ref)
            return true;
    }
    return false;
}

/* Members of one bucket as the other holds them, against ours. */
static bool compare_group(struct gossip *g, struct reply *reply, unsigned bits, unsigned bucket,
                          struct slice items)
{
    node_ref wants[GOSSIP_PACKET_LEN_MAX / ITEM_LEN];
    size_t want_count = 0;
    struct reader r = reader_of(items);

    while (r.left > 0) {
        node_ref ref = read_u64(&r);
        uint32_t version = read_u32(&r);
        const struct member *m = member_find(&g->members, ref);

        if (bucket_of(ref, bits) != bucket || want_count == ARRAY_LEN(wants))
            return false;
        if (m != NULL && m->record != NULL && fold(member_version(m)) == version)
            continue;
        if (ref != g->self->ref)
            wants[want_count++] = ref;
        if (m != NULL && m->record != NULL)
            reply_member(reply, m);
    }
    for (size_t slot = 0; slot < g->members.slot_count; slot++) {
        const struct member *m = member_at(&g->members, slot);

        if (m != NULL && m->record != NULL && bucket_of(m->ref, bits) == bucket &&
            !has_item(items.ptr, items.len / ITEM_LEN, m->ref))
            reply_member(reply, m);
    }
    reply_wants(reply, wants, want_count);
    return true;
}

bool digest_on_items(struct gossip *g, const struct gossip_addr *addr, struct slice body)
{
    struct reader r = reader_of(body);
    unsigned bits = read_u8(&r);
    struct reply reply;
    bool good = bits <= BITS_MAX && !r.bad;

    reply_begin(&reply, g, addr);
    while (good && r.left > 0) {
        unsigned bucket = read_u8(&r);
        size_t len = (size_t)read_u16(&r) * ITEM_LEN;
        struct slice items = read_bytes(&r, len);

        good = !r.bad && bucket < 1u << bits && compare_group(g, &reply, bits, bucket, items);
    }
    reply_end(&reply);
    return good;
}

bool digest_on_want(struct gossip *g, const struct gossip_addr *addr, struct slice body)
{
    struct reader r = reader_of(body);
    struct reply reply;

    if (body.len % sizeof(node_ref) != 0)
        return false;
    reply_begin(&reply, g, addr);
    while (r.left > 0 && !reply.full) {
        const struct member *m = member_find(&g->members, read_u64(&r));

        if (m != NULL && m->record != NULL)
            reply_member(&reply, m);
    }
    reply_end(&reply);
    return true;
}
