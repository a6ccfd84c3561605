/* A record comes in and ends in one of: held already, stale, refused, a candidate, ours, or it
 * replaces what we held; only the last changes the view. Replacing a record with a higher
 * incarnation drops the accusations of the old one: that is refutation. */
#include "gossip/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "gossip/candidate.h"
#include "gossip/dissemination.h"
#include "gossip/pull.h"
#include "gossip/suspicion.h"

#define EPOCH_JUMP_PAUSE     NS_PER_S /* doubles: two processes of one identity must not storm */
#define EPOCH_JUMP_PAUSE_MAX (60 * NS_PER_S)
#define STALE_EPOCHS_MAX     1000 /* unsigned, so it may not use up the epochs of a node */

uint64_t member_version(const struct member *m)
{
    uint64_t version = m->record == NULL ? 0 : m->record->hash;

    for (unsigned i = 0; m->suspicion != NULL && i < m->suspicion->count; i++)
        version += m->suspicion->by[i].blob->hash;
    return version;
}

void view_notice(struct gossip *g, const struct member *m, enum gossip_notice_kind kind)
{
    struct gossip_notice n = { .kind = kind, .status = m->status, .id = member_id(m) };

    if (m->record != NULL) {
        struct record r = record_of(m->record);

        n.incarnation = r.incarnation;
        n.addr = r.addr;
    }
    if (!output_notice(&g->out, &n, m->meta))
        g->oom = true;
}

/* Live members are those worth probing: the set follows the status. */
void view_set_status(struct gossip *g, struct member *m, enum gossip_status status,
                     enum gossip_notice_kind notice)
{
    m->status = (uint8_t)status;
    if (m != g->self) {
        if (status == GOSSIP_ALIVE || status == GOSSIP_SUSPECT)
            member_set_live(&g->members, m, &g->prng);
        else
            member_set_not_live(&g->members, m);
    }
    view_notice(g, m, notice);
}

static void set_meta(struct gossip *g, struct member *m, struct blob *meta, bool missing)
{
    blob_unref(g->pool, m->meta);
    m->meta = meta;
    if (missing != m->meta_missing)
        g->missing_count += missing ? 1 : (size_t)-1;
    m->meta_missing = missing;
    if (missing)
        pull_wake(g);
}

/* Metadata of the record at hand: the bytes that came with it, what we hold already, or later.
 * Returns whether it is now another than before. */
static bool update_meta(struct gossip *g, struct member *m, const struct record *r,
                        struct slice meta)
{
    struct blob *blob = NULL;
    bool had = m->meta != NULL;

    if (r->meta_len == 0) {
        set_meta(g, m, NULL, false);
        return had;
    }
    if (had && record_has_meta(r, blob_slice(m->meta)))
        return false;
    if (meta.len > 0) {
        blob = blob_intern(g->pool, meta);
        g->oom |= blob == NULL;
    }
    set_meta(g, m, blob, blob == NULL);
    return blob != NULL;
}

static void changed(struct gossip *g)
{
    g->changed = g->now;
}

/* Takes the reference to `record`. */
static void replace_record(struct gossip *g, struct member *m, struct blob *record,
                           struct slice meta)
{
    struct record r = record_of(record);
    enum gossip_status before = m->status;
    bool accused = m->suspicion != NULL;
    bool moved = false, new_meta;

    if (accused)
        suspicion_drop(g, m);
    if (m->record != NULL) {
        struct record old = record_of(m->record);

        moved = !gossip_addr_equal(&old.addr, &r.addr);
        g->digest -= m->record->hash;
        blob_unref(g->pool, m->record);
    } else {
        g->record_count++;
    }
    m->record = record;
    g->digest += record->hash;
    changed(g);
    new_meta = update_meta(g, m, &r, meta);
    if (!g->quiet || accused)
        queue_record(g, m, accused ? LANE_URGENT : LANE_NORMAL, new_meta);

    if (before == GOSSIP_UNKNOWN)
        view_set_status(g, m, r.left ? GOSSIP_LEFT : GOSSIP_ALIVE, GOSSIP_NOTICE_JOINED);
    else if (r.left && before != GOSSIP_LEFT)
        view_set_status(g, m, GOSSIP_LEFT, GOSSIP_NOTICE_LEFT);
    else if (!r.left && before != GOSSIP_ALIVE)
        view_set_status(g, m, GOSSIP_ALIVE, GOSSIP_NOTICE_ALIVE);
    if (before != GOSSIP_UNKNOWN && moved)
        view_notice(g, m, GOSSIP_NOTICE_ADDR);
    if (before != GOSSIP_UNKNOWN && new_meta)
        view_notice(g, m, GOSSIP_NOTICE_META);
}

/* -1, 0, 1: which record stays. Equal incarnations of different bytes are ordered by them, so that
 * all nodes keep the same one. */
static int record_cmp(const struct record *a, struct slice a_bytes, const struct record *b,
                      struct slice b_bytes)
{
    int order = gossip_incarnation_cmp(a->incarnation, b->incarnation);

    if (order != 0)
        return order;
    order = memcmp(a_bytes.ptr, b_bytes.ptr, MIN(a_bytes.len, b_bytes.len));
    if (order == 0)
        return a_bytes.len < b_bytes.len ? -1 : a_bytes.len > b_bytes.len;
    return order < 0 ? -1 : 1;
}

static bool may_step_over(const struct gossip *g, uint64_t epoch)
{
    return !g->left && g->now >= g->epoch_jump_after && epoch < EPOCH_MAX;
}

/* Another life of this node used `epoch`: our host lost the last epochs, or another process, at
 * `other` if that is known, has our key. If it comes back it is the latter. */
static void step_over(struct gossip *g, uint64_t epoch, const struct gossip_addr *other)
{
    struct record held = record_of(g->self->record);
    struct gossip_notice n = { .kind = GOSSIP_NOTICE_EPOCH, .id = g->cfg.id };

    g->epoch_jump_after =
        mono_after(g->now, MIN(EPOCH_JUMP_PAUSE << MIN(g->epoch_jumps, 6), EPOCH_JUMP_PAUSE_MAX));
    g->epoch_jumps++;
    view_say_self(g, (struct gossip_incarnation){ .epoch = epoch + 1 }, &held.addr,
                  blob_slice(g->self->meta));
    n.status = g->self->status;
    n.incarnation = g->incarnation;
    n.addr = held.addr;
    if (!output_notice(&g->out, &n, NULL))
        g->oom = true;
    n.kind = GOSSIP_NOTICE_CONFLICT;
    n.addr = *other;
    if (g->epoch_jumps > 1 && !output_notice(&g->out, &n, NULL))
        g->oom = true;
}

void view_take_stale(struct gossip *g, const struct message_stale *stale)
{
    const struct gossip_addr unknown = { 0 };

    if (stale->epoch >= g->incarnation.epoch &&
        stale->epoch - g->incarnation.epoch <= STALE_EPOCHS_MAX && stale->salt != g->sealer.salt &&
        may_step_over(g, stale->epoch))
        step_over(g, stale->epoch, &unknown);
}

/* A record that we signed but do not hold, and that outranks ours. */
static bool take_own(struct gossip *g, struct slice bytes, const struct record *r)
{
    struct record held = record_of(g->self->record);
    struct blob *blob;
    bool ours;

    if (record_cmp(r, bytes, &held, blob_slice(g->self->record)) <= 0 ||
        !may_step_over(g, r->incarnation.epoch))
        return false;
    blob = blob_intern(g->pool, bytes);
    if (blob == NULL) {
        g->oom = true;
        return false;
    }
    ours = record_verify(blob, &g->cfg.cluster, member_key(g->self));
    blob_unref(g->pool, blob);
    if (!ours) {
        g->stats.refused_signature++;
        return false;
    }
    step_over(g, r->incarnation.epoch, &r->addr);
    return true;
}

/* Metadata that was missing, sent again with the record that we hold. */
static bool take_missing_meta(struct gossip *g, struct member *m, struct slice meta)
{
    struct blob *blob;

    if (!m->meta_missing || meta.len == 0)
        return false;
    blob = blob_intern(g->pool, meta);
    if (blob == NULL) {
        g->oom = true;
        return false;
    }
    set_meta(g, m, blob, false);
    view_notice(g, m, GOSSIP_NOTICE_META);
    return true;
}

static bool take_members(struct gossip *g, struct member *m, const struct record *r,
                         struct slice bytes, struct slice meta)
{
    struct blob *blob;

    if (m->record != NULL) {
        struct record held = record_of(m->record);
        int order = record_cmp(r, bytes, &held, blob_slice(m->record));

        if (order == 0) {
            queue_heard(g, &m->queued);
            return take_missing_meta(g, m, meta);
        }
        if (order < 0)
            return false;
    }
    blob = blob_intern(g->pool, bytes);
    if (blob == NULL) {
        g->oom = true;
        return false;
    }
    if (!record_verify(blob, &g->cfg.cluster, member_key(m))) {
        g->stats.refused_signature++;
        blob_unref(g->pool, blob);
        return false;
    }
    replace_record(g, m, blob, meta);
    return true;
}

bool view_take_record(struct gossip *g, struct slice bytes, const struct member *source)
{
    struct record r;
    int len = record_read(bytes, &r);
    struct slice meta;
    struct member *m;
    node_ref ref;

    if (len < 0) {
        g->stats.refused_malformed++;
        return false;
    }
    meta = slice_of(bytes.ptr + len, bytes.len - (size_t)len);
    bytes.len = (size_t)len;
    if (meta.len > 0 && !record_has_meta(&r, meta)) {
        g->stats.refused_malformed++;
        return false;
    }
    ref = node_ref_of(&r.id);
    if (ref == g->self->ref)
        return id_equal(&r.id, &g->cfg.id) && take_own(g, bytes, &r);
    m = member_find(&g->members, ref);
    if (m == NULL) {
        candidate_hold(g, ref, &r, bytes, meta, source);
        return false;
    }
    if (memcmp(m->trust->bytes, r.id.text, ID_LEN) != 0) { /* two ids with one ref */
        g->stats.refused_malformed++;
        return false;
    }
    return take_members(g, m, &r, bytes, meta);
}

bool view_take_accusation(struct gossip *g, struct slice bytes)
{
    struct accusation a;
    struct member *subject, *accuser;
    struct blob *blob;
    bool learned = false;

    if (!accusation_read(bytes, &a)) {
        g->stats.refused_malformed++;
        return false;
    }
    subject = member_find(&g->members, a.subject);
    if (subject == NULL || subject->record == NULL || subject->status == GOSSIP_LEFT)
        return false;
    /* Of another incarnation: refuted already, or the record that it names is on its way. */
    if (gossip_incarnation_cmp(a.incarnation, record_of(subject->record).incarnation) != 0)
        return false;
    if (subject != g->self && !suspicion_wants(subject, a.accuser)) {
        suspicion_heard(g, subject, a.accuser);
        return false;
    }
    accuser = member_find(&g->members, a.accuser);
    if (accuser == NULL)
        return false; /* a stranger's word */
    blob = blob_intern(g->pool, bytes);
    if (blob == NULL) {
        g->oom = true;
        return false;
    }
    if (!accusation_verify(blob, &g->cfg.cluster, member_key(accuser))) {
        g->stats.refused_signature++;
    } else if (subject == g->self) {
        view_refute(g);
        learned = true;
    } else {
        learned = suspicion_add(g, subject, a.accuser, blob);
    }
    blob_unref(g->pool, blob);
    return learned;
}

void view_say_self(struct gossip *g, struct gossip_incarnation incarnation,
                   const struct gossip_addr *addr, struct slice meta)
{
    struct record r = { .id = g->cfg.id,
                        .incarnation = incarnation,
                        .left = g->leaving,
                        .meta_len = (uint16_t)meta.len,
                        .addr = *addr };
    struct member *self = g->self;
    struct blob *record, *blob = NULL;
    bool first = self->record == NULL;

    meta_hash(meta, r.meta_hash);
    if (meta.len > 0)
        blob = blob_intern(g->pool, meta);
    record = record_sign(g->pool, &g->cfg.cluster, &r, g->secret_key);
    if (record == NULL || (meta.len > 0 && blob == NULL)) {
        blob_unref(g->pool, record);
        blob_unref(g->pool, blob);
        g->oom = true;
        return;
    }
    if (!first) {
        CHECK(gossip_incarnation_cmp(incarnation, g->incarnation) > 0);
        g->digest -= self->record->hash;
        blob_unref(g->pool, self->record);
    } else {
        g->record_count++;
    }
    queue_record(g, self, LANE_URGENT, first || blob != self->meta);
    blob_unref(g->pool, self->meta);
    self->record = record;
    self->meta = blob;
    self->status = g->leaving ? GOSSIP_LEFT : GOSSIP_ALIVE;
    g->incarnation = incarnation;
    g->digest += record->hash;
    changed(g);
}

struct gossip_incarnation view_next_incarnation(const struct gossip *g)
{
    struct gossip_incarnation next = g->incarnation;

    if (next.counter == UINT32_MAX) /* a change each millisecond for seven weeks */
        return (struct gossip_incarnation){ .epoch = next.epoch + 1 };
    next.counter++;
    return next;
}

void view_refute(struct gossip *g)
{
    struct record r = record_of(g->self->record);

    g->stats.refutations++;
    health_add(g, 1); /* others could not reach us: it may be our fault */
    view_say_self(g, view_next_incarnation(g), &r.addr, blob_slice(g->self->meta));
}

void view_accuse(struct gossip *g, struct member *m)
{
    struct accusation a = { .subject = m->ref, .accuser = g->self->ref };
    struct blob *blob;

    if (g->leaving || suspicion_is_confirmed(m) || !suspicion_wants(m, g->self->ref))
        return;
    a.incarnation = record_of(m->record).incarnation;
    blob = accusation_sign(g->pool, &g->cfg.cluster, &a, g->secret_key);
    if (blob == NULL) {
        g->oom = true;
        return;
    }
    if (suspicion_add(g, m, a.accuser, blob))
        g->stats.accusations++;
    blob_unref(g->pool, blob);
}

int view_trust(struct gossip *g, const struct id *id, const uint8_t *public_key)
{
    node_ref ref = node_ref_of(id);
    struct member *m = member_find(&g->members, ref);
    struct blob *trust;
    int rc;

    trust = member_trust(g->pool, id, public_key);
    if (trust == NULL)
        return -ENOMEM;
    if (m != NULL && m->trust == trust) {
        blob_unref(g->pool, trust);
        return 0;
    }
    if (m != NULL && (m == g->self || memcmp(m->trust->bytes, id->text, ID_LEN) != 0)) {
        blob_unref(g->pool, trust);
        return ERR_INVALID;
    }
    if (m != NULL) /* another key for a known id: start over, nothing it signed holds */
        view_forget(g, m);
    rc = member_add(&g->members, ref, trust, &m);
    blob_unref(g->pool, trust);
    if (rc < 0)
        return rc;
    candidate_admit(g, m);
    return 0;
}

void view_forget(struct gossip *g, struct member *m)
{
    CHECK(m != g->self);
    if (m->suspicion != NULL)
        suspicion_drop(g, m);
    if (m->record != NULL) {
        g->digest -= m->record->hash;
        g->record_count--;
        changed(g);
    }
    set_meta(g, m, NULL, false);
    queue_remove(g, &m->queued);
    member_remove(&g->members, g->pool, m);
}
