/* The state machine behind the log: entries change the store, and what they changed goes to LMDB on
 * a worker, one batch at a time. What gathers while one is written is the next. */
#include <errno.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/manager/manager_impl.h"
#include "node/manager/membership.h"

/* --- The copy on disk */

static void start_commit(struct manager *m);

static void commit_on_worker(uv_work_t *req)
{
    struct manager *m = CONTAINER_OF(req, struct manager, commit);

    m->commit_err = store_disk_commit(m->disk, m->committing);
}

static void on_committed(uv_work_t *req, int status)
{
    struct manager *m = CONTAINER_OF(req, struct manager, commit);
    uint64_t applied = store_batch_applied(m->committing);

    store_batch_free(m->committing);
    m->committing = NULL;
    m->writing = false;
    if (status == 0 && m->commit_err == 0 && m->raft != NULL && !m->raft_stopped)
        raft_driver_durable(m->raft, applied);
    if (m->commit_err < 0)
        log_error_limited("store", "store",
                          "the copy of the store cannot be written: %s; the log "
                          "keeps growing until it can",
                          err_text(m->commit_err));
    if (m->commit_err < 0 && m->gathering != NULL &&
        store_batch_replace(m->gathering, m->store) < 0)
        m->cfg.on_failed(m->cfg.ctx, -ENOMEM, "out of memory while copying the store to disk");
    if (m->closing)
        manager_finish_close(m);
    else if (m->commit_err == 0)
        start_commit(m);
}

static void start_commit(struct manager *m)
{
    struct store_batch *next;

    if (m->writing || store_batch_is_empty(m->gathering) || store_batch_new(&next) < 0)
        return; /* tried again with the next entry */
    m->committing = m->gathering;
    m->gathering = next;
    if (uv_queue_work(m->cfg.loop, &m->commit, commit_on_worker, on_committed) < 0) {
        store_batch_free(next);
        m->gathering = m->committing;
        m->committing = NULL;
        return;
    }
    m->writing = true;
}

/* --- Entries and snapshots */

static int apply_transaction(struct manager *m, raft_index index, struct slice data,
                             struct field_error *why)
{
    struct transaction t = { 0 };
    struct store_changes changes;
    int rc = fields_decode(&transaction_type, data, &t, why);

    if (rc == 0) {
        rc = membership_check(m->store, &t, why);
        if (rc < 0)
            fields_deinit(&transaction_type, &t);
    }
    if (rc < 0) {
        store_set_applied(m->store, index);
        return rc;
    }
    rc = store_apply(m->store, index, &t, &changes, why);
    fields_deinit(&transaction_type, &t);
    if (rc < 0)
        return rc;
    rc = store_batch_add(m->gathering, &changes, index);
    if (rc < 0)
        return -ENOMEM;
    if (m->leading) {
        control_changed(m->control, &changes);
        dispatcher_changed(m->dispatcher, &changes);
    }
    m->cfg.on_changed(m->cfg.ctx, &changes);
    return 0;
}

static void keep_refusal(struct manager *m, raft_index index, const struct field_error *why)
{
    m->refusals[m->next_refusal] = (struct refusal){ .index = index, .why = *why };
    m->next_refusal = (m->next_refusal + 1) % REFUSALS_KEPT;
}

static int on_apply(void *ctx, raft_index index, raft_term term, struct slice data)
{
    struct manager *m = ctx;
    struct field_error why = { "" };
    int rc;

    (void)term;
    if (index <= store_applied(m->store))
        return 0; /* the copy on disk was ahead of what the log knew */
    if (data.len == 0) {
        store_set_applied(m->store, index);
        return 0;
    }
    rc = apply_transaction(m, index, data, &why);
    if (rc < 0)
        keep_refusal(m, index, &why);
    return rc;
}

struct field_error machine_refusal(const struct manager *m, raft_index index)
{
    struct field_error none = { "" };

    for (size_t i = 0; i < REFUSALS_KEPT; i++) {
        if (m->refusals[i].index == index)
            return m->refusals[i].why;
    }
    return none;
}

static void on_applied(void *ctx, raft_index index)
{
    struct manager *m = ctx;

    (void)index;
    start_commit(m);
    manager_wake(m);
}

static int save(void *ctx, struct buf *out)
{
    const struct manager *m = ctx;

    return store_snapshot(m->store, out);
}

static int restore(void *ctx, raft_index index, struct slice snapshot)
{
    struct manager *m = ctx;
    int rc = store_restore(m->store, snapshot);

    if (rc < 0)
        return rc;
    if (index > store_applied(m->store))
        store_set_applied(m->store, index);
    rc = store_batch_replace(m->gathering, m->store);
    if (rc < 0)
        return rc;
    if (m->leading) {
        control_reset(m->control);
        dispatcher_reset(m->dispatcher);
    }
    m->cfg.on_reset(m->cfg.ctx);
    start_commit(m);
    return 0;
}

struct raft_driver_machine machine_of(struct manager *m)
{
    return (struct raft_driver_machine){
        .ctx = m, .on_apply = on_apply, .on_applied = on_applied, .save = save, .restore = restore
    };
}
