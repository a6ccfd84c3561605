/* See support_wal.h. */
#include "support_wal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/units.h"

void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    wal_config_defaults(&r->cfg);
    memset(r->cfg.cluster, 0xc1, sizeof(r->cfg.cluster));
    memset(r->cfg.key, 0x4b, sizeof(r->cfg.key));
    r->cfg.node = 7;
    r->cfg.spare_count = 2;
    r->cfg.segment_bytes = RIG_SEGMENT_BYTES;
    r->cfg.entry_bytes_max = 2048;
    r->disk = disk_mem_new(64 * MIB);
    assert_non_null(r->disk);
}

void rig_deinit(struct rig *r)
{
    rig_crash(r, DISK_MEM_KEEP, NULL, NULL);
    disk_mem_free(r->disk);
}

int rig_open(struct rig *r)
{
    struct disk_reader reader = disk_mem_reader(r->disk);
    int rc;

    r->cfg.nonce_prefix[0]++; /* a new one at every opening */
    rc = wal_open(&r->cfg, &reader, &r->wal, &r->found);
    if (rc < 0) {
        r->wal = NULL;
        return rc;
    }
    r->write = 0;
    r->last = r->found.base.last.index + r->found.entry_count;
    r->term = r->found.hard_state.term;
    return 0;
}

void rig_open_ok(struct rig *r)
{
    assert_int_equal(rig_open(r), 0);
}

void rig_start(struct rig *r)
{
    rig_init(r);
    rig_open_ok(r);
    rig_drain(r);
}

bool rig_run_op(struct rig *r, enum wal_lane lane)
{
    struct disk_job *job = &r->jobs[lane];
    int rc;

    if (!r->is_running[lane]) {
        if (!wal_take_job(r->wal, lane, job))
            return false;
        assert_true(job->op_count > 0);
        r->is_running[lane] = true;
        r->op_at[lane] = 0;
    }
    rc = disk_mem_run(r->disk, &job->ops[r->op_at[lane]++]);
    r->ops_run++;
    if (rc < 0 || r->op_at[lane] == job->op_count) {
        r->is_running[lane] = false;
        wal_job_done(r->wal, lane, rc);
    }
    return true;
}

bool rig_flush(struct rig *r)
{
    bool ran = false;

    while (rig_run_op(r, WAL_LANE_LOG))
        ran = true;
    return ran;
}

void rig_drain(struct rig *r)
{
    while (rig_run_op(r, WAL_LANE_SPARE) || rig_run_op(r, WAL_LANE_LOG))
        ;
}

void rig_crash(struct rig *r, enum disk_mem_crash_mode mode, disk_mem_draw *draw, void *ctx)
{
    if (r->wal != NULL) {
        for (enum wal_lane lane = WAL_LANE_LOG; lane < WAL_LANE_COUNT; lane++) {
            if (r->is_running[lane])
                wal_job_done(r->wal, lane, -ECANCELED);
            r->is_running[lane] = false;
        }
        wal_free(r->wal);
        r->wal = NULL;
        wal_recovery_deinit(&r->found);
    }
    disk_mem_crash(r->disk, mode, draw, ctx);
}

void rig_reopen(struct rig *r, enum disk_mem_crash_mode mode)
{
    rig_crash(r, mode, NULL, NULL);
    rig_open_ok(r);
}

static int append_op(struct rig *r, struct raft_write_op *op)
{
    int rc;

    op->seq = r->write + 1;
    rc = wal_append(r->wal, op, 1);
    if (rc == 0)
        r->write++;
    return rc;
}

void rig_pattern(raft_index index, raft_term term, size_t len, uint8_t *out)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(index * 31 + term * 7 + i);
}

int rig_append(struct rig *r, size_t entries, size_t data_len)
{
    struct raft_entry *e = calloc(entries, sizeof(*e));
    uint8_t *data = malloc(entries * data_len + 1);
    struct raft_write_op op = { .type = RAFT_WRITE_APPEND };
    int rc;

    assert_non_null(e);
    assert_non_null(data);
    for (size_t i = 0; i < entries; i++) {
        e[i].id = (struct raft_entry_id){ .term = r->term, .index = r->last + 1 + i };
        e[i].type = RAFT_ENTRY_DATA;
        e[i].session = 5;
        e[i].sequence = i;
        rig_pattern(e[i].id.index, r->term, data_len, data + i * data_len);
        e[i].data = slice_of(data + i * data_len, data_len);
    }
    op.entries = e;
    op.entry_count = entries;
    rc = append_op(r, &op);
    if (rc == 0)
        r->last += entries;
    free(e);
    free(data);
    return rc;
}

void rig_append_durable(struct rig *r, size_t entries, size_t data_len)
{
    assert_int_equal(rig_append(r, entries, data_len), 0);
    rig_drain(r);
}

void rig_write_three(struct rig *r)
{
    rig_start(r);
    assert_int_equal(rig_hard_state(r, 2, 7, 0), 0);
    for (unsigned i = 0; i < 3; i++)
        rig_append_durable(r, 5, 300);
}

int rig_hard_state(struct rig *r, raft_term term, raft_node_id vote, raft_index commit)
{
    struct raft_write_op op = {
        .type = RAFT_WRITE_HARD_STATE,
        .hard_state = { .term = term, .vote = vote, .commit = commit },
    };
    int rc = append_op(r, &op);

    if (rc == 0)
        r->term = term;
    return rc;
}

int rig_truncate(struct rig *r, raft_index last)
{
    struct raft_write_op op = { .type = RAFT_WRITE_TRUNCATE, .last = last };
    int rc = append_op(r, &op);

    if (rc == 0)
        r->last = last;
    return rc;
}

int rig_compact(struct rig *r, raft_index index, const char *conf)
{
    struct raft_write_op op = {
        .type = RAFT_WRITE_COMPACT,
        .base = { .last = { .term = r->term, .index = index }, .conf = slice_of_str(conf) },
    };

    return append_op(r, &op);
}

int rig_reset(struct rig *r, raft_index index, raft_term term, const char *conf)
{
    struct raft_write_op op = {
        .type = RAFT_WRITE_RESET,
        .base = { .last = { .term = term, .index = index }, .conf = slice_of_str(conf) },
    };
    int rc = append_op(r, &op);

    if (rc == 0)
        r->last = index;
    return rc;
}

void rig_assert_entries(const struct rig *r, raft_index first, raft_index last)
{
    assert_int_equal(r->found.entry_count, last + 1 - first);
    for (size_t i = 0; i < r->found.entry_count; i++) {
        const struct raft_entry *e = &r->found.entries[i];
        uint8_t want[4096];

        assert_int_equal(e->id.index, first + i);
        assert_int_equal(e->session, 5);
        assert_true(e->data.len <= sizeof(want));
        rig_pattern(e->id.index, e->id.term, e->data.len, want);
        assert_memory_equal(e->data.ptr, want, e->data.len);
    }
}
