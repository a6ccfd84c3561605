/* Appending and flushing.
 *
 * wal_append() lays records into the gathering stage; the last one stays open, and the writes of
 * later steps join it, so that one flush is one record unless it is large. Taking a flush seals
 * that record, hands the stage to the log lane and makes the other stage the gathering one.
 *
 *      append --> stages[gathering] --take--> in flight --done--> durable_*
 *
 * Where a record goes is decided when it is opened: the active segment, or the next spare. Room is
 * checked for a whole call before its first byte is staged, with the worst case of waste at each
 * segment's end; so placing cannot fail half-way. */
#include "raft/wal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/units.h"
#include "raft/wal_internal.h"

/* One record beside its entries: header, state, padding before and after. */
#define STAGE_BYTES_KEPT (256 * KIB)
#define RECORD_OVERHEAD  (WAL_HEADER_BYTES * 2 + WAL_STATE_BYTES + WAL_ALIGN_BYTES)

void wal_config_defaults(struct wal_config *cfg)
{
    memset(cfg, 0, sizeof(*cfg));
    cfg->segment_bytes = (uint32_t)(16 * MIB);
    cfg->spare_count = 3;
    cfg->entry_bytes_max = RAFT_ENTRY_LEN_MAX;
    cfg->staged_bytes_max = 32 * MIB;
}

static struct wal_stage *gathering(struct wal *w)
{
    return &w->stages[w->gathering];
}

int wal_reserve_segments(struct wal *w, size_t count)
{
    struct wal_segment *grown;

    if (w->segment_cap - w->segment_count >= count)
        return 0;
    grown = realloc(w->segments, (w->segment_cap + count) * 2 * sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    w->segments = grown;
    w->segment_cap = (w->segment_cap + count) * 2;
    return 0;
}

void wal_set_conf(struct wal *w, struct slice conf)
{
    CHECK(conf.len <= sizeof(w->conf));
    if (conf.len > 0)
        memcpy(w->conf, conf.ptr, conf.len);
    w->conf_len = conf.len;
    w->conf_is_written = false;
}

/* --- Room. */

static uint64_t active_left(const struct wal *w)
{
    return w->segment_count == 0 ? 0 : w->cfg.segment_bytes - w->active_offset;
}

/* Kept for hard state, truncations and compactions. */
static uint64_t reserve_bytes(const struct wal *w)
{
    return MIN(w->cfg.segment_bytes / 4, MIB) + 2 * (w->conf_len + RECORD_OVERHEAD);
}

/* What `left` bytes of one segment surely take, when entries have up to entry_bytes_max. */
static uint64_t usable(const struct wal *w, uint64_t left)
{
    uint64_t waste = w->cfg.entry_bytes_max + WAL_ENTRY_OVERHEAD + w->conf_len +
                     RECORD_OVERHEAD * (left / WAL_RECORD_TARGET_BYTES + 2);

    return left > waste ? left - waste : 0;
}

static uint64_t free_bytes(const struct wal *w)
{
    return usable(w, active_left(w)) + w->spare_count * usable(w, w->cfg.segment_bytes);
}

size_t wal_room(const struct wal *w)
{
    size_t staged = w->stages[w->gathering].len;
    uint64_t room = free_bytes(w);

    if (w->error != 0 || staged >= w->cfg.staged_bytes_max)
        return 0;
    room -= MIN(room, reserve_bytes(w));
    return (size_t)MIN(room, w->cfg.staged_bytes_max - staged);
}

/* The few entries that the core writes of itself may use half of the reserve. */
static bool entries_fit(const struct wal *w, size_t bytes)
{
    bool is_own = bytes <= RAFT_CONF_LEN_MAX + 2 * WAL_ENTRY_OVERHEAD;

    return bytes <= wal_room(w) || (is_own && bytes + reserve_bytes(w) / 2 <= free_bytes(w));
}

/* Whether a record with `payload` bytes, the configuration included, fits somewhere. */
static bool record_fits(const struct wal *w, size_t payload)
{
    return w->spare_count > 0 || payload + RECORD_OVERHEAD <= active_left(w);
}

/* --- The stage: memory first, so that laying out cannot fail. */

static int reserve_stage(struct wal *w, size_t bytes)
{
    struct wal_stage *s = gathering(w);
    size_t extents = s->extent_count + WAL_SPARES_MAX + 1; /* no more segments can be reached */

    if (s->cap - s->len < bytes) {
        size_t cap = MAX(s->cap * 2, s->len + bytes);
        uint8_t *grown = realloc(s->bytes, cap);

        if (grown == NULL)
            return -ENOMEM;
        s->bytes = grown;
        s->cap = cap;
    }
    if (s->extent_cap < extents) {
        struct wal_extent *grown = realloc(s->extents, extents * 2 * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        s->extents = grown;
        s->extent_cap = extents * 2;
    }
    if (s->op_cap < extents * 2) {
        struct disk_op *grown = realloc(s->ops, extents * 4 * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        s->ops = grown;
        s->op_cap = extents * 4;
    }
    return wal_reserve_segments(w, WAL_SPARES_MAX);
}

static void stage_zeros(struct wal_stage *s, size_t len)
{
    CHECK(s->cap - s->len >= len);
    memset(s->bytes + s->len, 0, len);
    s->len += len;
}

static void stage_bytes(struct wal_stage *s, const void *bytes, size_t len)
{
    CHECK(s->cap - s->len >= len);
    if (len > 0)
        memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

/* --- Records. */

static struct wal_segment *active_segment(struct wal *w)
{
    return &w->segments[w->segment_count - 1];
}

/* The next spare becomes the active segment. */
static void switch_segment(struct wal *w)
{
    CHECK(w->spare_count > 0);
    CHECK(w->segment_count < w->segment_cap);
    w->segments[w->segment_count++] = (struct wal_segment){ .id = w->spares[0] };
    w->spare_count--;
    memmove(w->spares, w->spares + 1, w->spare_count * sizeof(w->spares[0]));
    w->active_offset = 0;
    w->conf_is_written = false; /* each segment repeats it: those before may go */
}

static void begin_extent(struct wal *w, uint64_t offset)
{
    struct wal_stage *s = gathering(w);

    CHECK(s->extent_count < s->extent_cap);
    s->extents[s->extent_count++] = (struct wal_extent){
        .segment = active_segment(w)->id,
        .offset = offset,
        .at = s->len,
    };
}

/* Opens a record that has room for at least `bytes` after its state. */
static void open_record(struct wal *w, size_t bytes)
{
    struct wal_stage *s = gathering(w);
    uint64_t at = wal_next_offset(w->active_offset);
    struct wal_extent *last = s->extent_count > 0 ? &s->extents[s->extent_count - 1] : NULL;
    size_t conf = w->conf_is_written ? 0 : w->conf_len;
    size_t needed = WAL_HEADER_BYTES + WAL_STATE_BYTES + conf + bytes + WAL_ALIGN_BYTES;

    CHECK(!w->open.is_open);
    if (w->segment_count == 0 || at + needed > w->cfg.segment_bytes) {
        switch_segment(w);
        at = 0;
    }
    if (last == NULL || last->segment != active_segment(w)->id)
        begin_extent(w, at);
    else
        stage_zeros(s, (size_t)(at - w->active_offset));
    w->open = (struct wal_open_record){
        .is_open = true,
        .has_conf = !w->conf_is_written,
        .at = s->len,
        .place = { .segment = active_segment(w)->id, .offset = at },
        .first_index = w->last.index + 1,
    };
    w->seq++;
    stage_zeros(s, WAL_HEADER_BYTES + WAL_STATE_BYTES);
    if (w->open.has_conf)
        stage_bytes(s, w->conf, w->conf_len);
    w->conf_is_written = true;
    w->active_offset = at + (s->len - w->open.at);
}

static void next_nonce(struct wal *w, uint8_t out[WAL_NONCE_BYTES])
{
    uint64_t n = w->nonce_counter++;

    memcpy(out, w->cfg.nonce_prefix, WAL_NONCE_PREFIX_BYTES);
    for (unsigned i = 0; i < 8; i++)
        out[WAL_NONCE_PREFIX_BYTES + i] = (uint8_t)(n >> (8 * i));
}

/* Seals the open record with the state as it is now. */
static void close_record(struct wal *w)
{
    struct wal_stage *s = gathering(w);
    struct wal_open_record *o = &w->open;
    struct wal_header h = { .seq = w->seq, .synced_seq = w->durable_seq };
    struct wal_state state = {
        .commit = w->hard_state.commit,
        .base = w->base,
        .rewinds = w->rewinds,
        .conf_len = o->has_conf ? w->conf_len : WAL_CONF_ELSEWHERE,
        .entry_count = o->entry_count,
    };
    size_t len = s->len - o->at;

    if (!o->is_open)
        return;
    if (raft_entry_id_cmp(w->last, w->acknowledged) >= 0) /* repaired */
        w->acknowledged = (struct raft_entry_id){ 0 };
    state.acknowledged = w->acknowledged;
    stage_zeros(s, (WAL_ALIGN_BYTES - len % WAL_ALIGN_BYTES) % WAL_ALIGN_BYTES);
    len = s->len - o->at;
    h.payload_len = (uint32_t)(len - WAL_HEADER_BYTES);
    h.first_index = o->first_index;
    h.last_index = w->last.index;
    h.last_term = w->last.term;
    h.term = w->hard_state.term;
    h.vote = w->hard_state.vote;
    next_nonce(w, h.nonce);
    memcpy(h.prev_tag, w->prev_tag, WAL_TAG_BYTES);
    wal_state_write(&state, s->bytes + o->at + WAL_HEADER_BYTES);
    wal_record_seal(&w->keys, o->place, &h, s->bytes + o->at);
    memcpy(w->prev_tag, h.tag, WAL_TAG_BYTES);
    w->active_offset = o->place.offset + len;
    s->extents[s->extent_count - 1].len = s->len - s->extents[s->extent_count - 1].at;
    s->seq = w->seq;
    s->segment = o->place.segment;
    s->records++;
    o->is_open = false;
}

/* A record is open after it, in which nothing precedes what comes next. */
static void ensure_open(struct wal *w, size_t bytes)
{
    struct wal_stage *s = gathering(w);

    if (w->open.is_open) {
        size_t len = s->len - w->open.at;

        if (bytes == 0 ||
            (len < WAL_RECORD_TARGET_BYTES &&
             w->open.place.offset + len + bytes + WAL_ALIGN_BYTES <= w->cfg.segment_bytes))
            return;
        close_record(w);
    }
    open_record(w, bytes);
}

static void append_entry(struct wal *w, const struct raft_entry *e)
{
    struct wal_stage *s = gathering(w);
    uint8_t head[WAL_ENTRY_OVERHEAD];

    CHECK(e->id.index == w->last.index + 1);
    CHECK(e->id.term >= w->last.term);
    ensure_open(w, WAL_ENTRY_OVERHEAD + e->data.len);
    wal_entry_write_head(e, head);
    stage_bytes(s, head, sizeof(head));
    stage_bytes(s, e->data.ptr, e->data.len);
    w->open.entry_count++;
    w->active_offset = w->open.place.offset + (s->len - w->open.at);
    w->last = e->id;
    active_segment(w)->index_max = MAX(active_segment(w)->index_max, e->id.index);
    s->entries++;
}

/* The log now ends at `last`. A record says so by its first_index, so it must hold no entries yet.
 */
static void cut_log(struct wal *w, struct raft_entry_id last)
{
    if (w->open.is_open && w->open.entry_count > 0)
        close_record(w);
    ensure_open(w, 0);
    w->open.first_index = last.index + 1;
    w->last = last;
    w->rewinds++;
}

/* A new base with its configuration goes into a record of its own. */
static void rebase_log(struct wal *w, const struct raft_base *base)
{
    close_record(w);
    w->base = base->last;
    wal_set_conf(w, base->conf);
    open_record(w, 0);
}

static struct raft_entry_id truncated_to(const struct wal *w, raft_index last)
{
    /* The term at `last` is not kept here; it only matters for the repair rule, which needs a
     * lower bound. */
    return (struct raft_entry_id){ .index = last,
                                   .term = last == w->base.index ? w->base.term : 0 };
}

static void apply_op(struct wal *w, const struct raft_write_op *op)
{
    switch (op->type) {
    case RAFT_WRITE_HARD_STATE:
        CHECK(op->hard_state.term >= w->hard_state.term);
        ensure_open(w, 0);
        w->hard_state = op->hard_state;
        break;
    case RAFT_WRITE_APPEND:
        for (size_t i = 0; i < op->entry_count; i++)
            append_entry(w, &op->entries[i]);
        break;
    case RAFT_WRITE_TRUNCATE:
        CHECK(op->last >= w->base.index);
        CHECK(op->last <= w->last.index);
        cut_log(w, truncated_to(w, op->last));
        break;
    case RAFT_WRITE_RESET:
        rebase_log(w, &op->base);
        cut_log(w, op->base.last);
        break;
    case RAFT_WRITE_COMPACT:
        CHECK(op->base.last.index >= w->base.index);
        CHECK(op->base.last.index <= w->last.index);
        rebase_log(w, &op->base);
        break;
    }
    gathering(w)->write = op->seq;
}

/* Upper bounds of what the ops put into records. */
struct demand {
    size_t entry_bytes; /* counted as wal_room() does */
    size_t stage_bytes; /* everything */
    size_t conf_bytes;  /* of the largest new base */
};

static int sum_demand(const struct wal *w, const struct raft_write_op *ops, size_t count,
                      struct demand *out)
{
    *out = (struct demand){ 0 };
    for (size_t i = 0; i < count; i++) {
        const struct raft_write_op *op = &ops[i];

        if (op->type == RAFT_WRITE_APPEND) {
            for (size_t j = 0; j < op->entry_count; j++) {
                if (op->entries[j].data.len > w->cfg.entry_bytes_max)
                    return ERR_TOO_LARGE;
                out->entry_bytes += op->entries[j].data.len + WAL_ENTRY_OVERHEAD;
            }
        } else if (op->type == RAFT_WRITE_RESET || op->type == RAFT_WRITE_COMPACT) {
            if (op->base.conf.len > RAFT_CONF_LEN_MAX)
                return ERR_TOO_LARGE;
            out->conf_bytes = MAX(out->conf_bytes, op->base.conf.len);
        }
        out->stage_bytes += 2 * RECORD_OVERHEAD + DISK_SECTOR_BYTES;
    }
    /* A record for each piece of entries, a configuration for each segment that they reach. */
    out->stage_bytes += out->entry_bytes;
    out->stage_bytes +=
        (out->entry_bytes / MIN(WAL_RECORD_TARGET_BYTES, w->cfg.segment_bytes / 2) + 2) *
        RECORD_OVERHEAD;
    out->stage_bytes += (WAL_SPARES_MAX + count) * (MAX(out->conf_bytes, w->conf_len));
    return 0;
}

int wal_append(struct wal *w, const struct raft_write_op *ops, size_t count)
{
    struct demand demand;
    int rc;

    if (w->error != 0)
        return w->error;
    if (count == 0)
        return 0;
    rc = sum_demand(w, ops, count, &demand);
    if (rc < 0)
        return rc;
    if (demand.entry_bytes > 0 && !entries_fit(w, demand.entry_bytes))
        return ERR_FULL;
    if (!record_fits(w, WAL_STATE_BYTES + count * (demand.conf_bytes + RECORD_OVERHEAD)))
        return ERR_FULL;
    rc = reserve_stage(w, demand.stage_bytes);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        apply_op(w, &ops[i]);
    return 0;
}

/* --- Flushing. */

static struct disk_op *next_op(struct wal_stage *s, size_t *count, enum disk_op_kind kind,
                               uint64_t segment)
{
    struct disk_op *op = &s->ops[(*count)++];

    CHECK(*count <= s->op_cap);
    *op = (struct disk_op){ .kind = kind };
    wal_segment_name(segment, op->file);
    return op;
}

/* All writes, then a sync of each file: any prefix is a state that the core may crash in. */
static bool take_flush(struct wal *w, struct disk_job *out)
{
    struct wal_stage *s = gathering(w);
    size_t count = 0;

    close_record(w);
    if (s->records == 0)
        return false;
    for (size_t i = 0; i < s->extent_count; i++) {
        struct disk_op *op = next_op(s, &count, DISK_WRITE, s->extents[i].segment);

        op->offset = s->extents[i].offset;
        op->data = slice_of(s->bytes + s->extents[i].at, s->extents[i].len);
    }
    for (size_t i = 0; i < s->extent_count; i++)
        (void)next_op(s, &count, DISK_SYNC, s->extents[i].segment);
    s->hard_state = w->hard_state;
    s->last = w->last;
    s->base = w->base;
    w->stats.flushes++;
    w->stats.records += s->records;
    w->stats.entries += s->entries;
    w->stats.bytes += s->len;
    w->gathering ^= 1u;
    *out = (struct disk_job){ .ops = s->ops, .op_count = count };
    return true;
}

static void flush_done(struct wal *w)
{
    struct wal_stage *s = &w->stages[w->gathering ^ 1u];

    w->durable_write = s->write;
    w->durable_seq = s->seq;
    /* Once per segment even when nobody asks; and in each term, since who has lost the end of its
     * log may have promised anything in the newest term that it knows, and in no later one. */
    if (s->segment != w->durable_segment || s->hard_state.term != w->durable_hard_state.term)
        w->wants_witness = true;
    w->durable_segment = s->segment;
    w->durable_hard_state = s->hard_state;
    w->durable_last = s->last;
    w->durable_base = s->base;
    s->len = s->extent_count = 0;
    s->records = s->entries = 0;
}

static void take_settle(struct wal *w, struct disk_job *out)
{
    w->settle.state = WAL_SETTLE_RUNNING;
    *out = (struct disk_job){ .ops = w->settle.ops, .op_count = w->settle.op_count };
}

static void settle_done(struct wal *w)
{
    wal_settle_free(w);
    w->settle.state = WAL_SETTLE_DONE;
}

bool wal_is_settled(const struct wal *w)
{
    return w->settle.state == WAL_SETTLE_DONE;
}

/* A burst leaves large buffers behind; the idle log gives them back. */
void wal_shrink_stages(struct wal *w)
{
    for (unsigned i = 0; i < ARRAY_LEN(w->stages); i++) {
        struct wal_stage *s = &w->stages[i];
        bool in_flight = i != w->gathering && w->lane_busy[WAL_LANE_LOG];

        if (in_flight || s->len > 0 || s->cap <= STAGE_BYTES_KEPT)
            continue;
        sodium_memzero(s->bytes, s->cap);
        free(s->bytes);
        s->bytes = NULL;
        s->cap = 0;
    }
}

bool wal_take_job(struct wal *w, enum wal_lane lane, struct disk_job *out)
{
    bool taken = true;

    if (w->error != 0 || w->lane_busy[lane])
        return false;
    if (lane == WAL_LANE_SPARE && !wal_is_settled(w))
        return false; /* a witness must not run ahead of it */
    if (lane == WAL_LANE_SPARE)
        taken = wal_take_spare_job(w, out);
    else if (w->settle.state == WAL_SETTLE_PENDING)
        take_settle(w, out);
    else
        taken = take_flush(w, out);
    w->lane_busy[lane] = taken;
    return taken;
}

void wal_job_done(struct wal *w, enum wal_lane lane, int status)
{
    CHECK(w->lane_busy[lane]);
    w->lane_busy[lane] = false;
    if (lane == WAL_LANE_SPARE)
        wal_spare_job_done(w, status);
    else if (status < 0)
        w->error = w->error != 0 ? w->error : status;
    else if (w->settle.state == WAL_SETTLE_RUNNING)
        settle_done(w);
    else
        flush_done(w);
}

raft_write wal_durable(const struct wal *w)
{
    return w->durable_write;
}

int wal_error(const struct wal *w)
{
    return w->error;
}

void wal_stats(const struct wal *w, struct wal_stats *out)
{
    *out = w->stats;
    out->segments = w->segment_count;
    out->spares = w->spare_count;
    out->is_starved = w->is_starved;
}

void wal_free(struct wal *w)
{
    if (w == NULL)
        return;
    CHECK(!w->lane_busy[WAL_LANE_LOG] && !w->lane_busy[WAL_LANE_SPARE]);
    for (size_t i = 0; i < ARRAY_LEN(w->stages); i++) {
        if (w->stages[i].bytes != NULL)
            sodium_memzero(w->stages[i].bytes, w->stages[i].cap); /* staged entries are cleartext */
        free(w->stages[i].bytes);
        free(w->stages[i].extents);
        free(w->stages[i].ops);
    }
    wal_settle_free(w);
    free(w->segments);
    wal_keys_wipe(&w->keys);
    free(w);
}
