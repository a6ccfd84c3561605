/* From records found to the state they describe.
 *
 *   1. link     The records' own chain says which are alive: one that continues an earlier record
 *               voids what lies between, because that incarnation had cut it. One whose
 *               predecessor is not there has a gap before it.
 *   2. cut      Everything from the first gap that nobody witnesses as durable: a torn tail.
 *   3. replay   In order. After a gap in which the log was rewound (wal_state.rewinds) nothing
 *               uncommitted from before it is believed.
 *   4. end      The entries up to the first missing one are the log. If the log did not end there,
 *               its last entry known is what this node may have acknowledged.
 *   5. tail     Whether what lies after the last record was torn, or was acknowledged and is lost.
 *   6. resume   Where the next record goes: wal_resume.c. */
#include "raft/wal.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/wal_internal.h"

static void note_damage(struct wal_replay *r, struct wal_place at, const char *what)
{
    if (r->result->damaged_places++ == 0)
        (void)snprintf(r->result->detail, sizeof(r->result->detail),
                       "segment %" PRIu64 " from byte %" PRIu64 ": %s", at.segment, at.offset,
                       what);
}

static struct raft_entry_id id_max(struct raft_entry_id a, struct raft_entry_id b)
{
    return raft_entry_id_cmp(a, b) >= 0 ? a : b;
}

static struct raft_entry_id last_of(const struct wal_header *h)
{
    return (struct raft_entry_id){ .term = h->last_term, .index = h->last_index };
}

/* --- 1 and 2. */

static void link_records(struct wal_replay *r)
{
    for (size_t i = 0; i < r->scan->found_count; i++) {
        struct wal_found *f = &r->scan->found[i];
        size_t n = r->live_count;

        if (wal_is_zero(f->header.prev_tag, WAL_TAG_BYTES))
            n = r->live_count = 0; /* a log begins here: nothing of what lies before was readable */
        while (n > 0 &&
               memcmp(wal_live_at(r, n - 1)->header.tag, f->header.prev_tag, WAL_TAG_BYTES) != 0)
            n--;
        f->after_gap = n == 0 && r->live_count > 0;
        if (f->after_gap && f->header.seq <= wal_live_last(r)->header.seq)
            continue; /* of an incarnation that is over; only its successors are damaged */
        if (n > 0)
            r->live_count = n;
        r->live[r->live_count++] = i;
    }
}

static uint64_t witnessed_seq(const struct wal_replay *r)
{
    uint64_t manifest = r->scan->manifest.synced_seq; /* 0 without one */

    return r->live_count == 0 ? manifest : MAX(manifest, wal_live_last(r)->header.synced_seq);
}

static void cut_torn_records(struct wal_replay *r)
{
    uint64_t witnessed = witnessed_seq(r);

    if (r->live_count > 0 && witnessed == 0 &&
        !wal_is_zero(wal_live_at(r, 0)->header.prev_tag, WAL_TAG_BYTES))
        r->live_count = 0; /* the very first flush, without its first record */
    for (size_t i = 1; i < r->live_count; i++) {
        if (wal_live_at(r, i)->after_gap && witnessed <= wal_live_at(r, i - 1)->header.seq)
            r->live_count = i;
    }
}

/* --- 3. */

static int push_entries(struct wal_replay *r, const struct wal_found *f)
{
    size_t count = (size_t)f->state.entry_count;
    size_t cursor = 0;

    if (r->entry_cap - r->entry_count < count) {
        size_t cap = (r->entry_count + count) * 2;
        struct raft_entry *grown = realloc(r->entries, cap * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        r->entries = grown;
        r->entry_cap = cap;
    }
    for (size_t i = 0; i < count; i++) {
        struct raft_entry *e = &r->entries[r->entry_count++];

        CHECK(wal_entry_read(f->entries, &cursor, e)); /* the scan has walked them */
        e->id.index = f->header.first_index + i;
    }
    return 0;
}

static void drop_entries_from(struct wal_replay *r, raft_index first)
{
    while (r->entry_count > 0 && r->entries[r->entry_count - 1].id.index >= first)
        r->entry_count--;
}

static int replay_record(struct wal_replay *r, const struct wal_found *f)
{
    struct raft_hard_state *hard = &r->result->hard_state;

    if (f->after_gap && f->state.rewinds != r->rewinds)
        drop_entries_from(r, hard->commit + 1);
    drop_entries_from(r, f->header.first_index);
    hard->term = f->header.term;
    hard->vote = f->header.vote;
    hard->commit = f->state.commit;
    r->result->base.last = f->state.base;
    r->last = last_of(&f->header);
    r->rewinds = f->state.rewinds;
    r->result->acknowledged = f->state.acknowledged;
    if (f->state.conf_len != WAL_CONF_ELSEWHERE) {
        r->result->base.conf = f->conf;
        r->conf_base = f->state.base;
        r->has_conf = true;
    }
    return push_entries(r, f);
}

static int replay_records(struct wal_replay *r)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < r->live_count; i++) {
        const struct wal_found *f = wal_live_at(r, i);

        if (f->after_gap)
            note_damage(r, wal_place_after(wal_live_at(r, i - 1)),
                        "unreadable, and later records follow");
        else if (i == 0 && f->place.offset != 0)
            note_damage(r, (struct wal_place){ .segment = f->place.segment },
                        "unreadable, and later records follow");
        rc = replay_record(r, f);
    }
    return rc;
}

/* --- 4. */

/* This node may have acknowledged anything of the terms it knows. */
static void lose_all_up_to_term(struct wal_replay *r)
{
    struct raft_entry_id any = { .term = MAX(r->result->hard_state.term, 1), .index = UINT64_MAX };

    r->result->acknowledged = id_max(r->result->acknowledged, any);
}

static void end_log(struct wal_replay *r)
{
    struct wal_recovery *out = r->result;
    raft_index base = out->base.last.index;
    size_t skip = 0, count = 0;

    if (r->live_count > 0 &&
        (!r->has_conf || raft_entry_id_cmp(r->conf_base, out->base.last) != 0)) {
        /* Entries mean nothing without the configuration that they start from. */
        out->base = (struct raft_base){ 0 };
        r->entry_count = 0;
        lose_all_up_to_term(r);
        if (out->damaged_places++ == 0)
            (void)snprintf(out->detail, sizeof(out->detail),
                           "the configuration at index %" PRIu64 " is lost", base);
        base = 0;
    }
    while (skip < r->entry_count && r->entries[skip].id.index <= base)
        skip++;
    while (skip + count < r->entry_count && r->entries[skip + count].id.index == base + 1 + count)
        count++;
    if (count > 0)
        memmove(r->entries, r->entries + skip, count * sizeof(r->entries[0]));
    if (base + count < r->last.index) {
        struct raft_entry_id lost = r->last;

        if (lost.term == 0) /* the last record only cut the log */
            lost.term = out->hard_state.term;
        out->acknowledged = id_max(out->acknowledged, lost);
        if (out->damaged_places == 0) {
            out->damaged_places = 1;
            (void)snprintf(out->detail, sizeof(out->detail),
                           "entries after index %" PRIu64 " are missing", base + count);
        }
    }
    r->entry_count = count;
    r->last = count > 0 ? r->entries[count - 1].id : out->base.last;
    out->hard_state.commit = MIN(out->hard_state.commit, r->last.index);
}

/* --- 5. */

/* A vote that was cast is kept; one that may have been cast for anybody is spent. */
static void lose_hard_state(struct wal_replay *r, raft_term term, raft_node_id vote)
{
    struct raft_hard_state *hard = &r->result->hard_state;

    if (term > hard->term) {
        hard->term = term;
        hard->vote = vote;
    }
    if (hard->vote == 0)
        hard->vote = vote != 0 ? vote : WAL_VOTE_UNKNOWN;
}

static void lose_tail(struct wal_replay *r)
{
    const struct wal_manifest *m = &r->scan->manifest;

    lose_hard_state(r, m->hard_state.term, m->hard_state.vote);
    lose_all_up_to_term(r);
    r->is_tail_lost = true;
}

/* One record whose header is whole: exactly what it held is known. */
static void lose_record(struct wal_replay *r, const struct wal_header *h)
{
    struct raft_hard_state *hard = &r->result->hard_state;

    if (h->term >= hard->term) {
        hard->term = h->term;
        hard->vote = h->vote;
    }
    r->result->acknowledged = id_max(r->result->acknowledged, last_of(h));
    r->lost_seq = h->seq;
    r->is_tail_lost = true;
}

static void judge_remains(struct wal_replay *r, struct wal_place at, const struct wal_remains *m)
{
    if (m->kind == WAL_REMAINS_TORN)
        r->result->torn_bytes += m->len;
    if (m->kind != WAL_REMAINS_ROTTEN)
        return;
    note_damage(r, at, "was written in full and cannot be read");
    if (m->has_header && m->is_last)
        lose_record(r, &m->header);
    else
        lose_tail(r);
}

static bool has_record_at_start(const struct wal_scan *s, uint64_t segment)
{
    for (size_t i = 0; i < s->found_count; i++)
        if (s->found[i].place.segment == segment && s->found[i].place.offset == 0)
            return true;
    return false;
}

/* A segment after the last record. Where that record is followed by a torn one, or this segment
 * starts with one that was cut, it belongs to the same interrupted flush. */
static int judge_later_segment(struct wal_replay *r, const struct wal_keys *keys,
                               const struct disk_reader *reader, uint64_t segment)
{
    struct wal_place at = { .segment = segment, .offset = 0 };
    struct wal_remains m;
    int rc = wal_scan_remains(keys, reader, r->scan, at, &m);

    if (rc < 0)
        return rc;
    if (m.kind == WAL_REMAINS_ROTTEN &&
        (r->remains.kind == WAL_REMAINS_TORN || has_record_at_start(r->scan, segment)))
        m.kind = WAL_REMAINS_TORN;
    judge_remains(r, at, &m);
    return 0;
}

static int judge_tail(struct wal_replay *r, const struct wal_keys *keys,
                      const struct disk_reader *reader)
{
    const struct wal_found *last = wal_live_last(r);
    uint64_t last_segment = last == NULL ? 0 : last->place.segment;
    int rc = 0;

    if (last != NULL) {
        rc = wal_scan_remains(keys, reader, r->scan, wal_place_after(last), &r->remains);
        if (rc < 0)
            return rc;
        judge_remains(r, wal_place_after(last), &r->remains);
    }
    for (size_t i = 0; rc == 0 && i < r->scan->file_count; i++)
        if (r->scan->files[i].id > last_segment)
            rc = judge_later_segment(r, keys, reader, r->scan->files[i].id);
    if (rc < 0)
        return rc;
    if (r->scan->manifest.synced_seq > MAX(r->lost_seq, last == NULL ? 0 : last->header.seq)) {
        if (!r->is_tail_lost)
            note_damage(r, last == NULL ? (struct wal_place){ 0 } : wal_place_after(last),
                        "the log ends before what the manifest says was durable");
        lose_tail(r);
    }
    return 0;
}

/* --- The whole of it. */

static bool has_content(const struct wal_scan *s)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].content_end > 0)
            return true;
    return false;
}

static int run_replay(struct wal_replay *r, struct wal *w, const struct disk_reader *reader)
{
    struct wal_scan *s = r->scan;
    int rc;

    r->live = calloc(s->found_count + 1, sizeof(r->live[0]));
    if (r->live == NULL)
        return -ENOMEM;
    link_records(r);
    cut_torn_records(r);
    rc = replay_records(r);
    if (rc < 0)
        return rc;
    end_log(r);
    rc = judge_tail(r, &w->keys, reader);
    if (rc < 0)
        return rc;
    if (s->found_count == 0 && (!s->has_manifest || s->manifest_is_damaged) && has_content(s) &&
        r->is_tail_lost)
        return ERR_UNAUTHENTICATED;
    if (raft_entry_id_cmp(r->last, r->result->acknowledged) >= 0)
        r->result->acknowledged = (struct raft_entry_id){ 0 };
    if (s->manifest_is_damaged || (!s->has_manifest && r->live_count > 0))
        note_damage(r, (struct wal_place){ 0 }, "the manifest is lost; made anew");
    r->result->is_new = s->found_count == 0 && s->manifest.synced_seq == 0 && !r->is_tail_lost;
    return wal_resume(w, r, reader);
}

static int check_config(const struct wal_config *c)
{
    bool ok = c->node != 0 && c->segment_bytes % 4096 == 0 &&
              c->segment_bytes >= WAL_SEGMENT_BYTES_MIN &&
              c->segment_bytes <= WAL_SEGMENT_BYTES_MAX && c->spare_count >= 1 &&
              c->spare_count <= WAL_SPARES_MAX && c->staged_bytes_max > 0 &&
              c->entry_bytes_max <= c->segment_bytes - RAFT_CONF_LEN_MAX - 1024;

    return ok ? 0 : ERR_INVALID;
}

int wal_open(const struct wal_config *cfg, const struct disk_reader *reader, struct wal **out,
             struct wal_recovery *out_recovery)
{
    struct wal_recovery result = { 0 };
    struct wal_scan scan = { 0 };
    struct wal_replay replay = { .scan = &scan, .result = &result };
    struct wal *w = NULL;
    int rc = check_config(cfg);

    if (rc < 0)
        return rc;
    w = calloc(1, sizeof(*w));
    if (w == NULL)
        return -ENOMEM;
    w->cfg = *cfg;
    wal_keys_derive(cfg, &w->keys);
    sodium_memzero(w->cfg.key, sizeof(w->cfg.key));
    rc = wal_scan_run(&w->keys, reader, &scan);
    if (rc == 0)
        rc = run_replay(&replay, w, reader);
    if (rc == 0) {
        result.entries = replay.entries;
        result.entry_count = replay.entry_count;
        result.memory = scan.memory;
        replay.entries = NULL;
        scan.memory = NULL;
        *out_recovery = result;
        *out = w;
        w = NULL;
    }
    free(replay.entries);
    free(replay.live);
    wal_scan_deinit(&scan);
    wal_free(w);
    return rc;
}

void wal_recovery_deinit(struct wal_recovery *r)
{
    free(r->entries);
    wal_memory_free(r->memory);
    memset(r, 0, sizeof(*r));
}
