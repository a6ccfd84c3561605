/* Going on after recovery: where the next record goes, and making sure of what was read.
 *
 * What recovery reads may exist in a cache only. After a kill it was never synced; after a failed
 * sync the kernel may hold it as clean although it is not on the disk. A core that acts on it, and
 * then loses power, breaks its word. So the log lane's first job, to settle, writes again whatever
 * no later record or manifest witnesses as durable, makes a torn tail zeros again (so that the
 * sectors of the next torn write can be judged), removes what else must go, and syncs.
 *
 * After a lost tail the log goes on in a new segment: the evidence stays where it is until a record
 * that carries the pending repair is durable. */
#include "raft/wal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "raft/wal_internal.h"

static uint64_t seq_max(const struct wal_replay *r)
{
    uint64_t seq = r->scan->manifest.synced_seq;

    for (size_t i = 0; i < r->scan->found_count; i++)
        seq = MAX(seq, r->scan->found[i].header.seq);
    if (r->remains.has_header)
        seq = MAX(seq, r->remains.header.seq);
    return seq;
}

static void set_index_max(struct wal_segment *segment, const struct wal_scan *s)
{
    for (size_t i = 0; i < s->found_count; i++)
        if (s->found[i].place.segment == segment->id)
            segment->index_max = MAX(segment->index_max, s->found[i].header.last_index);
}

static void add_settle_op(struct wal *w, enum disk_op_kind kind, uint64_t segment)
{
    struct disk_op *op = &w->settle.ops[w->settle.op_count++];

    *op = (struct disk_op){ .kind = kind };
    wal_segment_name(segment, op->file);
}

/* Sorts the files into segments, spares, and those that must go before anything is appended. */
static void sort_files(struct wal *w, const struct wal_replay *r)
{
    const struct wal_found *last = wal_live_last(r);
    uint64_t last_segment = last == NULL ? 0 : last->place.segment;
    const struct wal_scan *s = r->scan;

    for (size_t i = 0; i < s->file_count; i++) {
        const struct wal_file *f = &s->files[i];
        bool has_content = f->content_end > 0;

        w->segment_id_max = MAX(w->segment_id_max, f->id);
        if (f->id <= last_segment || (has_content && r->is_tail_lost)) {
            struct wal_segment *segment = &w->segments[w->segment_count++];

            *segment = (struct wal_segment){ .id = f->id };
            set_index_max(segment, s);
        } else if (!has_content && f->len == w->cfg.segment_bytes &&
                   w->spare_count < WAL_SPARES_MAX) {
            w->spares[w->spare_count++] = f->id;
        } else {
            add_settle_op(w, DISK_REMOVE, f->id);
        }
    }
}

/* Writes [from, end) of a file again; what lies at `zeros_from` and after becomes zeros. */
static int rewrite(struct wal *w, const struct wal_replay *r, const struct disk_reader *reader,
                   struct wal_place from, uint64_t zeros_from, uint64_t end)
{
    size_t len = (size_t)(end - from.offset);
    uint8_t *bytes = wal_memory_alloc(&w->settle.memory, len);
    int rc;

    if (bytes == NULL)
        return -ENOMEM;
    rc = wal_scan_load(reader, r->scan, wal_scan_file(r->scan, from.segment));
    if (rc < 0)
        return rc;
    memcpy(bytes, r->scan->buffer + from.offset, len);
    memset(bytes + (zeros_from - from.offset), 0, (size_t)(end - zeros_from));
    add_settle_op(w, DISK_WRITE, from.segment);
    w->settle.ops[w->settle.op_count - 1].offset = from.offset;
    w->settle.ops[w->settle.op_count - 1].data = slice_of(bytes, len);
    add_settle_op(w, DISK_SYNC, from.segment);
    return 0;
}

/* Everything after the last record that is known to be durable, segment by segment. */
static int rewrite_tail(struct wal *w, const struct wal_replay *r, const struct disk_reader *reader)
{
    const struct wal_found *last = wal_live_last(r);
    uint64_t witnessed, remains_end;
    size_t i = r->live_count;
    int rc = 0;

    if (last == NULL)
        return 0;
    /* Without remains the place after the last record may lie behind the end of a short file. */
    remains_end = wal_place_after(last).offset + r->remains.len;
    witnessed = MAX(last->header.synced_seq, r->scan->manifest.synced_seq);
    while (i > 0 && wal_live_at(r, i - 1)->header.seq > witnessed)
        i--;
    while (rc == 0 && i < r->live_count) {
        struct wal_place from = wal_live_at(r, i)->place;
        uint64_t end = 0;

        while (i < r->live_count && wal_live_at(r, i)->place.segment == from.segment)
            end = wal_live_at(r, i++)->end;
        if (from.segment != last->place.segment || r->is_tail_lost)
            rc = rewrite(w, r, reader, from, end, end);
        else
            return rewrite(w, r, reader, from, end, r->remains.len > 0 ? remains_end : end);
    }
    if (rc == 0 && !r->is_tail_lost && r->remains.len > 0)
        rc =
            rewrite(w, r, reader, wal_place_after(last), wal_place_after(last).offset, remains_end);
    return rc;
}

static int build_settle(struct wal *w, const struct wal_replay *r, const struct disk_reader *reader)
{
    int rc;

    w->settle.ops = calloc(3 * r->scan->file_count + 4, sizeof(w->settle.ops[0]));
    if (w->settle.ops == NULL)
        return -ENOMEM;
    rc = wal_reserve_segments(w, r->scan->file_count + 1);
    if (rc < 0)
        return rc;
    rc = rewrite_tail(w, r, reader);
    if (rc < 0)
        return rc;
    sort_files(w, r);
    w->settle.ops[w->settle.op_count++] = (struct disk_op){ .kind = DISK_SYNC_DIR };
    return 0;
}

void wal_settle_free(struct wal *w)
{
    free(w->settle.ops);
    wal_memory_free(w->settle.memory);
    w->settle.ops = NULL;
    w->settle.op_count = 0;
    w->settle.memory = NULL;
}

int wal_resume(struct wal *w, const struct wal_replay *r, const struct disk_reader *reader)
{
    const struct wal_found *last = wal_live_last(r);
    const struct wal_recovery *found = r->result;

    w->hard_state = found->hard_state;
    w->base = found->base.last;
    w->last = r->last;
    wal_set_conf(w, found->base.conf);
    w->rewinds = r->rewinds + 1;
    w->acknowledged = found->acknowledged;
    w->seq = seq_max(r);
    w->active_offset = w->cfg.segment_bytes; /* closed */
    if (last != NULL) {
        memcpy(w->prev_tag, last->header.tag, WAL_TAG_BYTES);
        w->durable_seq = w->opened_seq = last->header.seq;
        w->durable_segment = last->place.segment;
        if (!r->is_tail_lost &&
            wal_scan_file(r->scan, last->place.segment)->len == w->cfg.segment_bytes)
            w->active_offset = last->end;
    }
    w->durable_hard_state = w->hard_state;
    w->durable_base = w->base;
    w->durable_last = w->last;
    w->has_manifest = r->scan->has_manifest && !r->scan->manifest_is_damaged;
    w->manifest_counter = r->scan->manifest.counter;
    w->manifest_seq = r->scan->manifest.synced_seq;
    w->has_stray_fill = r->scan->has_stray_fill;
    return build_settle(w, r, reader);
}
