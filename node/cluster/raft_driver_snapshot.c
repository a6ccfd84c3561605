/* The core's work on snapshots.
 *
 * What is made here for others is held in memory until the core releases it: the state of a cluster
 * is small, and the machine has its own durable copy. What is received is staged in memory too; a
 * restart starts receiving over. When it is whole it is written to its file first, and only then
 * handed to the machine: from the moment the log is reset to its base that file is the only
 * durable copy of what came before, until the machine has written its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/cluster/raft_driver_priv.h"

static void note_stage(struct raft_driver *d, const struct raft_snapshot_work *w)
{
    if (w->offset == 0)
        buf_clear(&d->staged);
    if (w->offset != d->staged.len || buf_append_slice(&d->staged, w->data) < 0) {
        log_warn("raft", "a snapshot cannot be received: it does not fit into memory");
        d->snapshot_failed = true;
        return;
    }
    d->staged_done.is_set = true;
    d->staged_done.offset = w->offset;
    memcpy(d->staged_done.hash, w->snapshot.hash, RAFT_HASH_LEN);
}

static void note_install(struct raft_driver *d, const struct raft_snapshot_work *w)
{
    CHECK(w->snapshot.base.conf.len <= sizeof(d->staged_conf));
    d->staged_as = w->snapshot;
    if (w->snapshot.base.conf.len > 0)
        memcpy(d->staged_conf, w->snapshot.base.conf.ptr, w->snapshot.base.conf.len);
    d->staged_as.base.conf.ptr = d->staged_conf;
    d->install = INSTALL_WANTED;
}

static void release(struct raft_driver *d, const uint8_t *hash)
{
    for (size_t i = 0; i < HELD_SNAPSHOTS_MAX; i++) {
        struct held_snapshot *h = &d->held[i];

        if (!h->is_used || memcmp(h->hash, hash, RAFT_HASH_LEN) != 0)
            continue;
        buf_deinit(&h->bytes);
        h->is_used = false;
    }
}

void raft_snapshot_note(struct raft_driver *d, const struct raft_snapshot_work *w)
{
    switch (w->type) {
    case RAFT_WORK_CREATE:
        d->wants_create = true;
        break;
    case RAFT_WORK_RELEASE:
        release(d, w->snapshot.hash);
        break;
    case RAFT_WORK_READ:
        if (d->read_count < ARRAY_LEN(d->reads)) { /* the core asks for no more */
            struct chunk_read *r = &d->reads[d->read_count++];

            *r = (struct chunk_read){ .to = w->to, .offset = w->offset, .len = w->len };
            memcpy(r->hash, w->snapshot.hash, RAFT_HASH_LEN);
        }
        break;
    case RAFT_WORK_STAGE:
        note_stage(d, w);
        break;
    case RAFT_WORK_INSTALL:
        note_install(d, w);
        break;
    }
}

static void step(struct raft_driver *d, const struct raft_event *event)
{
    int rc = raft_pump_step(d, event);

    if (rc < 0 && d->failed == 0)
        log_warn("raft", "snapshot: %s", err_text(rc));
}

static void step_failed(struct raft_driver *d, enum raft_work_type what)
{
    step(d, &(struct raft_event){ .type = RAFT_SNAPSHOT_FAILED, .snapshot_failed = what });
}

/* --- Making and serving. */

static void hash_chunks(struct slice bytes, uint8_t out[RAFT_HASH_LEN])
{
    memset(out, 0, RAFT_HASH_LEN);
    for (size_t at = 0; at < bytes.len; at += RAFT_CHUNK_LEN)
        raft_snapshot_hash(out,
                           slice_of(bytes.ptr + at, MIN(bytes.len - at, (size_t)RAFT_CHUNK_LEN)));
}

static struct held_snapshot *free_held(struct raft_driver *d)
{
    for (size_t i = 0; i < HELD_SNAPSHOTS_MAX; i++)
        if (!d->held[i].is_used)
            return &d->held[i];
    return NULL;
}

/* The state as it is now. On failure nothing is held. */
static int create(struct raft_driver *d)
{
    struct raft_event event = { .type = RAFT_SNAPSHOT_READY };
    struct held_snapshot *h = free_held(d);
    int rc;

    if (h == NULL)
        return ERR_FULL;
    buf_init(&h->bytes, SNAPSHOT_BYTES_MAX);
    rc = d->cfg.machine.save(d->cfg.machine.ctx, &h->bytes);
    if (rc == 0) {
        hash_chunks(buf_slice(&h->bytes), h->hash);
        event.snapshot_ready.base.last =
            (struct raft_entry_id){ .term = d->applied_term, .index = d->applied };
        event.snapshot_ready.size = h->bytes.len;
        memcpy(event.snapshot_ready.hash, h->hash, RAFT_HASH_LEN);
        h->is_used = true; /* the step may ask for its chunks */
        rc = raft_pump_step(d, &event);
    }
    if (rc < 0) {
        buf_deinit(&h->bytes);
        h->is_used = false;
    }
    return rc;
}

static void try_create(struct raft_driver *d)
{
    int rc = create(d);

    if (rc == 0 || d->failed != 0)
        return;
    log_warn("raft", "no snapshot for a member that is behind: %s", err_text(rc));
    step_failed(d, RAFT_WORK_CREATE);
}

static struct slice chunk_of(const struct raft_driver *d, const struct chunk_read *r)
{
    for (size_t i = 0; i < HELD_SNAPSHOTS_MAX; i++) {
        const struct held_snapshot *h = &d->held[i];

        if (h->is_used && memcmp(h->hash, r->hash, RAFT_HASH_LEN) == 0 && r->offset < h->bytes.len)
            return slice_of(h->bytes.ptr + r->offset, MIN(r->len, h->bytes.len - r->offset));
    }
    return (struct slice){ 0 }; /* released meanwhile: the core says so */
}

static void serve(struct raft_driver *d)
{
    struct chunk_read reads[RAFT_CHUNK_READS_MAX];
    size_t count = d->read_count;

    memcpy(reads, d->reads, count * sizeof(reads[0]));
    d->read_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct raft_event event = { .type = RAFT_SNAPSHOT_CHUNK };

        event.snapshot_chunk.to = reads[i].to;
        event.snapshot_chunk.offset = reads[i].offset;
        event.snapshot_chunk.data = chunk_of(d, &reads[i]);
        memcpy(event.snapshot_chunk.hash, reads[i].hash, RAFT_HASH_LEN);
        step(d, &event);
    }
}

/* --- Receiving. */

static void tell_staged(struct raft_driver *d)
{
    struct raft_event event = { .type = RAFT_SNAPSHOT_STAGED };

    d->staged_done.is_set = false;
    event.snapshot_staged.offset = d->staged_done.offset;
    memcpy(event.snapshot_staged.hash, d->staged_done.hash, RAFT_HASH_LEN);
    step(d, &event);
}

static void start_install(struct raft_driver *d)
{
    struct disk_job job;
    int rc;

    randombytes_buf(d->wal_cfg.nonce_prefix, sizeof(d->wal_cfg.nonce_prefix));
    rc = wal_snapshot_new(&d->wal_cfg, &d->staged_as, buf_slice(&d->staged), &d->installing);
    if (rc < 0) {
        log_warn("raft", "a received snapshot cannot be installed: %s", err_text(rc));
        d->install = INSTALL_NONE;
        step_failed(d, RAFT_WORK_INSTALL);
        return;
    }
    d->install = INSTALL_WRITING;
    job = wal_snapshot_job(d->installing);
    raft_disk_submit(d->disk, LANE_SNAPSHOT, &job);
}

void raft_snapshot_written(struct raft_driver *d, int status)
{
    wal_snapshot_free(d->installing);
    d->installing = NULL;
    d->install = INSTALL_WRITTEN;
    d->install_status = status;
    raft_driver_wake(d);
}

static void finish_install(struct raft_driver *d)
{
    struct raft_event event = { .type = RAFT_SNAPSHOT_INSTALLED };
    raft_index index = d->staged_as.base.last.index;
    int rc = d->install_status;

    d->install = INSTALL_NONE;
    if (rc == -ENOSPC || rc == -EDQUOT) {
        log_warn("raft", "a received snapshot cannot be written: %s", err_text(rc));
        step_failed(d, RAFT_WORK_INSTALL);
        return;
    }
    if (rc < 0) {
        raft_pump_fail(d, rc, "writing a received snapshot");
        return;
    }
    rc = d->cfg.machine.restore(d->cfg.machine.ctx, index, buf_slice(&d->staged));
    if (rc < 0) {
        raft_pump_fail(d, rc, "restoring a received snapshot");
        return;
    }
    buf_deinit(&d->staged);
    raft_request_end_orphans(d); /* whether they are in it cannot be seen */
    d->applied = index;
    d->applied_term = d->staged_as.base.last.term;
    d->machine_durable = MAX(d->machine_durable, index); /* the file is */
    d->durable_told = index;
    memcpy(event.snapshot_installed.hash, d->staged_as.hash, RAFT_HASH_LEN);
    step(d, &event);
}

void raft_snapshot_run(struct raft_driver *d)
{
    if (d->failed != 0)
        return;
    if (d->snapshot_failed) {
        d->snapshot_failed = false;
        step_failed(d, RAFT_WORK_STAGE);
    }
    if (d->read_count > 0)
        serve(d);
    if (d->staged_done.is_set)
        tell_staged(d);
    if (d->wants_create) {
        d->wants_create = false;
        try_create(d);
    }
    if (d->install == INSTALL_WANTED)
        start_install(d);
    if (d->install == INSTALL_WRITTEN)
        finish_install(d);
}

void raft_snapshot_deinit(struct raft_driver *d)
{
    for (size_t i = 0; i < HELD_SNAPSHOTS_MAX; i++)
        if (d->held[i].is_used)
            buf_deinit(&d->held[i].bytes);
    buf_deinit(&d->staged);
    wal_snapshot_free(d->installing);
}
