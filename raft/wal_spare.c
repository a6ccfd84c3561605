/* The spare lane: what must be there before it is needed.
 *
 * One job at a time, the most urgent first:
 *   MANIFEST  the manifest is missing: made beside and renamed, before any segment exists
 *   MAKE      fewer spares than wanted: a file of zeros, made beside and renamed, so that a name
 *             "<id>.wal" never stands for a file that was not all zeros; of an old segment, if one
 *             may go, else of new space
 *   DROP      a segment that may go and is not wanted as a spare
 *   CLEAR     gives back what a failed or interrupted MAKE has taken
 *   WITNESS   notes in the manifest how far the log is durable
 *
 * Segments go oldest first and each durably before the next, so that what a crash leaves is never
 * a log with a hole. */
#include "raft/wal_internal.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

static struct disk_op *add_op(struct wal *w, struct disk_job *job, enum disk_op_kind kind,
                              const char *file)
{
    struct disk_op *op = &w->spare_ops[job->op_count++];

    CHECK(job->op_count <= ARRAY_LEN(w->spare_ops));
    *op = (struct disk_op){ .kind = kind };
    if (file != NULL)
        memcpy(op->file, file, strlen(file) + 1);
    job->ops = w->spare_ops;
    return op;
}

static void add_rename(struct wal *w, struct disk_job *job, const char *from, const char *to)
{
    struct disk_op *op = add_op(w, job, DISK_RENAME, from);

    memcpy(op->to, to, strlen(to) + 1);
}

/* The oldest segment holds nothing above the durable base. Until something of this incarnation is
 * durable nothing goes: the old segments are the only evidence of what recovery found. */
static bool may_drop_oldest(const struct wal *w)
{
    return w->segment_count > 1 && w->durable_seq > w->opened_seq &&
           w->segments[0].id < w->durable_segment &&
           w->segments[0].index_max <= w->durable_base.index;
}

static uint64_t remove_oldest(struct wal *w)
{
    uint64_t id = w->segments[0].id;

    w->segment_count--;
    memmove(w->segments, w->segments + 1, w->segment_count * sizeof(w->segments[0]));
    return id;
}

/* The slot that does not hold the newest version, so that tearing it costs nothing. */
static void add_manifest_write(struct wal *w, struct disk_job *job, const char *file)
{
    struct wal_manifest m = {
        .counter = w->manifest_counter + 1,
        .synced_seq = w->durable_seq,
        .hard_state = w->durable_hard_state,
        .last = w->durable_last,
        .base = w->durable_base,
    };
    struct disk_op *op;

    wal_manifest_write(&w->keys, &m, w->manifest_slot);
    w->manifest_seq_writing = w->durable_seq;
    op = add_op(w, job, DISK_WRITE, file);
    op->offset = m.counter % 2 * (WAL_MANIFEST_BYTES / 2);
    op->data = slice_of(w->manifest_slot, sizeof(w->manifest_slot));
    (void)add_op(w, job, DISK_SYNC, file);
}

static void take_manifest(struct wal *w, struct disk_job *out)
{
    w->spare_work = WAL_SPARE_MANIFEST;
    add_op(w, out, DISK_FILL, WAL_MANIFEST_TMP)->len = WAL_MANIFEST_BYTES;
    add_manifest_write(w, out, WAL_MANIFEST_TMP);
    add_rename(w, out, WAL_MANIFEST_TMP, WAL_MANIFEST_FILE);
    (void)add_op(w, out, DISK_SYNC_DIR, NULL);
}

static void take_make(struct wal *w, struct disk_job *out)
{
    char name[DISK_NAME_CAP];

    w->spare_work = WAL_SPARE_MAKE;
    if (may_drop_oldest(w)) {
        wal_segment_name(remove_oldest(w), name);
        add_rename(w, out, name, WAL_FILL_FILE);
        (void)add_op(w, out, DISK_SYNC_DIR, NULL); /* else its zeros may outlive its new name */
    }
    w->has_stray_fill = true; /* until the job is done */
    w->segment_id_max++;
    wal_segment_name(w->segment_id_max, name);
    add_op(w, out, DISK_FILL, WAL_FILL_FILE)->len = w->cfg.segment_bytes;
    (void)add_op(w, out, DISK_SYNC, WAL_FILL_FILE);
    add_rename(w, out, WAL_FILL_FILE, name);
    (void)add_op(w, out, DISK_SYNC_DIR, NULL);
}

static void take_drop(struct wal *w, struct disk_job *out)
{
    char name[DISK_NAME_CAP];

    w->spare_work = WAL_SPARE_DROP;
    wal_segment_name(remove_oldest(w), name);
    (void)add_op(w, out, DISK_REMOVE, name);
    (void)add_op(w, out, DISK_SYNC_DIR, NULL);
}

static void take_clear(struct wal *w, struct disk_job *out)
{
    w->spare_work = WAL_SPARE_CLEAR;
    (void)add_op(w, out, DISK_REMOVE, WAL_FILL_FILE);
    (void)add_op(w, out, DISK_SYNC_DIR, NULL);
}

static void take_witness(struct wal *w, struct disk_job *out)
{
    w->spare_work = WAL_SPARE_WITNESS;
    w->wants_witness = false;
    add_manifest_write(w, out, WAL_MANIFEST_FILE);
}

bool wal_take_spare_job(struct wal *w, struct disk_job *out)
{
    bool wants_spare = w->spare_count < w->cfg.spare_count;

    *out = (struct disk_job){ 0 };
    if (!w->has_manifest && !w->is_starved)
        take_manifest(w, out);
    else if (w->has_manifest && wants_spare && (!w->is_starved || may_drop_oldest(w)))
        take_make(w, out);
    else if (may_drop_oldest(w))
        take_drop(w, out);
    else if (w->has_stray_fill)
        take_clear(w, out);
    else if (w->has_manifest && w->wants_witness && w->durable_seq > w->manifest_seq)
        take_witness(w, out);
    return out->op_count > 0;
}

static void add_spare(struct wal *w)
{
    CHECK(w->spare_count < WAL_SPARES_MAX);
    w->spares[w->spare_count++] = w->segment_id_max;
    w->has_stray_fill = false;
    w->is_starved = false;
}

static bool is_out_of_space(int status)
{
    return status == -ENOSPC || status == -EDQUOT;
}

void wal_spare_job_done(struct wal *w, int status)
{
    bool makes = w->spare_work == WAL_SPARE_MAKE || w->spare_work == WAL_SPARE_MANIFEST;

    if (status < 0 && makes && is_out_of_space(status)) {
        w->is_starved = true;
        return;
    }
    if (status < 0) {
        w->error = w->error != 0 ? w->error : status;
        return;
    }
    switch (w->spare_work) {
    case WAL_SPARE_MANIFEST:
        w->has_manifest = true;
        w->manifest_counter++;
        w->manifest_seq = w->manifest_seq_writing;
        break;
    case WAL_SPARE_MAKE:
        add_spare(w);
        break;
    case WAL_SPARE_CLEAR:
        w->has_stray_fill = false;
        break;
    case WAL_SPARE_WITNESS:
        w->manifest_counter++;
        w->manifest_seq = w->manifest_seq_writing;
        break;
    case WAL_SPARE_DROP:
        break;
    case WAL_SPARE_IDLE:
        UNREACHABLE("the lane was busy");
    }
    w->spare_work = WAL_SPARE_IDLE;
}

void wal_witness(struct wal *w)
{
    w->wants_witness = true;
    wal_shrink_stages(w);
}

void wal_retry_space(struct wal *w)
{
    w->is_starved = false;
}
