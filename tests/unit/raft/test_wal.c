/* The log on disk: what it promises while the disk does as it is told. Faults: test_wal_faults.c;
 * crashes at every operation: test_wal_crash.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/units.h"
#include "support_wal.h"

static void test_a_new_log_is_new_until_something_is_durable(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    rig_open_ok(&r);
    assert_true(r.found.is_new);
    assert_int_equal(wal_room(r.wal), 0); /* no segment yet */
    assert_int_equal(rig_hard_state(&r, 1, 7, 0), ERR_FULL);
    rig_drain(&r);
    assert_true(wal_room(r.wal) > 0);
    rig_reopen(&r, DISK_MEM_LOSE);
    assert_true(r.found.is_new);
    assert_int_equal(rig_hard_state(&r, 1, 7, 0), 0);
    rig_drain(&r);
    rig_reopen(&r, DISK_MEM_LOSE);
    assert_false(r.found.is_new);
    assert_int_equal(r.found.hard_state.term, 1);
    assert_int_equal(r.found.hard_state.vote, 7);
    assert_int_equal(r.found.damaged_places, 0);
    rig_deinit(&r);
}

static void test_what_was_flushed_comes_back(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 3, 9, 0), 0);
    assert_int_equal(rig_append(&r, 10, 100), 0);
    assert_int_equal(rig_append(&r, 1, 0), 0); /* an entry without data */
    assert_int_equal(rig_hard_state(&r, 3, 9, 8), 0);
    assert_int_equal(wal_durable(r.wal), 0);
    rig_drain(&r);
    assert_int_equal(wal_durable(r.wal), 4);
    rig_reopen(&r, DISK_MEM_LOSE);
    assert_int_equal(r.found.hard_state.term, 3);
    assert_int_equal(r.found.hard_state.vote, 9);
    assert_int_equal(r.found.hard_state.commit, 8);
    rig_assert_entries(&r, 1, 11);
    assert_int_equal(r.found.damaged_places, 0);
    assert_int_equal(r.found.torn_bytes, 0);
    rig_deinit(&r);
}

/* [Raft] 5.3: one flush for everything that gathered, and nothing durable before it. */
static void test_writes_gather_while_a_flush_runs(void **state)
{
    struct disk_job job, second;
    struct wal_stats stats;
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 1, 0, 0), 0);
    assert_true(wal_take_job(r.wal, WAL_LANE_LOG, &job));
    assert_int_equal(job.op_count, 2); /* one write, one sync */
    assert_int_equal(rig_append(&r, 1, 256), 0);
    assert_int_equal(rig_append(&r, 1, 256), 0);
    assert_false(wal_take_job(r.wal, WAL_LANE_LOG, &second)); /* the lane is busy */
    assert_int_equal(wal_durable(r.wal), 0);
    assert_int_equal(disk_mem_run_job(r.disk, &job), 0);
    wal_job_done(r.wal, WAL_LANE_LOG, 0);
    assert_int_equal(wal_durable(r.wal), 1);
    assert_true(wal_take_job(r.wal, WAL_LANE_LOG, &job));
    assert_int_equal(job.op_count, 2);
    assert_int_equal(disk_mem_run_job(r.disk, &job), 0);
    wal_job_done(r.wal, WAL_LANE_LOG, 0);
    assert_int_equal(wal_durable(r.wal), 3);
    wal_stats(r.wal, &stats);
    assert_int_equal(stats.flushes, 2);
    assert_int_equal(stats.records, 2); /* both appends share one */
    rig_deinit(&r);
}

static void test_truncation_survives_and_does_not_resurrect(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 1, 0, 0), 0);
    rig_append_durable(&r, 10, 50);
    assert_int_equal(rig_hard_state(&r, 2, 0, 0), 0);
    assert_int_equal(rig_truncate(&r, 6), 0);
    rig_append_durable(&r, 2, 50);
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 1, 8);
    assert_int_equal(r.found.entries[5].id.term, 1);
    assert_int_equal(r.found.entries[6].id.term, 2);
    assert_int_equal(rig_truncate(&r, 3), 0); /* nothing follows it */
    rig_drain(&r);
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 1, 3);
    rig_deinit(&r);
}

static void test_reset_voids_the_log_and_restarts_after_the_base(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 4, 0, 0), 0);
    assert_int_equal(rig_append(&r, 5, 50), 0);
    assert_int_equal(rig_reset(&r, 100, 4, "members"), 0);
    rig_append_durable(&r, 3, 50);
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 101, 103);
    assert_int_equal(r.found.base.last.index, 100);
    assert_int_equal(r.found.base.last.term, 4);
    assert_true(slice_equal(r.found.base.conf, slice_of_str("members")));
    assert_int_equal(r.found.damaged_places, 0);
    assert_int_equal(r.found.acknowledged.index, 0);
    rig_deinit(&r);
}

/* Segments whose entries are all compacted are used again; the base and its configuration stay. */
static void test_compaction_recycles_segments(void **state)
{
    struct wal_stats stats;
    struct rig r;
    raft_index base = 0;
    uint64_t used = 0;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 1, 0, 0), 0);
    for (unsigned round = 0; round < 40; round++) {
        assert_int_equal(rig_append(&r, 8, 500), 0);
        if (round % 4 == 3) {
            base = r.last - 3;
            assert_int_equal(rig_compact(&r, base, "abc"), 0);
        }
        rig_drain(&r);
        wal_stats(r.wal, &stats);
        assert_int_equal(stats.spares, 2);
        assert_true(stats.segments <= 5);
        if (round == 19)
            used = disk_mem_used(r.disk);
    }
    assert_true(disk_mem_used(r.disk) <= used + RIG_SEGMENT_BYTES);
    rig_reopen(&r, DISK_MEM_LOSE);
    assert_int_equal(r.found.base.last.index, base);
    assert_true(slice_equal(r.found.base.conf, slice_of_str("abc")));
    rig_assert_entries(&r, base + 1, r.last);
    assert_int_equal(r.found.damaged_places, 0);
    rig_deinit(&r);
}

static void test_a_batch_may_span_segments(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    r.cfg.spare_count = 4;
    rig_open_ok(&r);
    rig_drain(&r);
    assert_int_equal(rig_hard_state(&r, 1, 0, 0), 0);
    rig_append_durable(&r, 20, 1500); /* 30 KB into segments of 16 */
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 1, 20);
    rig_deinit(&r);
}

/* wal_room() is a promise, and a refusal changes nothing. */
static void test_room_is_kept_and_refusal_is_whole(void **state)
{
    struct rig r;
    raft_index last;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 1, 0, 0), 0);
    disk_mem_set_capacity(r.disk, disk_mem_used(r.disk)); /* full from here on */
    while (wal_room(r.wal) >= 700 + WAL_ENTRY_OVERHEAD)
        assert_int_equal(rig_append(&r, 1, 700), 0);
    last = r.last;
    assert_true(last > 20);
    assert_int_equal(rig_append(&r, 40, 700), ERR_FULL);
    assert_int_equal(rig_append(&r, 1, 2049), ERR_TOO_LARGE);
    for (raft_term term = 2; term <= 20; term++) { /* the node can still vote ... */
        assert_int_equal(rig_hard_state(&r, term, 3, last), 0);
        rig_drain(&r);
    }
    assert_int_equal(wal_error(r.wal), 0);
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 1, last);
    assert_int_equal(r.found.hard_state.term, 20);
    assert_int_equal(rig_compact(&r, last, "c"), 0); /* ... and make room */
    rig_drain(&r);
    assert_int_equal(rig_hard_state(&r, 21, 0, last), 0);
    rig_drain(&r);
    assert_true(wal_room(r.wal) >= 700 + WAL_ENTRY_OVERHEAD);
    assert_int_equal(rig_append(&r, 1, 700), 0);
    rig_deinit(&r);
}

static void test_staged_bytes_are_bounded(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    r.cfg.staged_bytes_max = 4096;
    rig_open_ok(&r);
    rig_drain(&r);
    assert_int_equal(rig_append(&r, 3, 1000), 0);
    assert_true(wal_room(r.wal) < 1000 + WAL_ENTRY_OVERHEAD);
    assert_int_equal(rig_append(&r, 8, 2000), ERR_FULL);
    assert_int_equal(rig_append(&r, 1, 10), 0); /* a new leader's own entry is taken */
    assert_true(rig_flush(&r));
    assert_int_equal(rig_append(&r, 1, 1000), 0);
    rig_deinit(&r);
}

static void test_space_that_comes_back_is_used(void **state)
{
    struct wal_stats stats;
    struct rig r;

    (void)state;
    rig_init(&r);
    disk_mem_set_capacity(r.disk, 8192 + RIG_SEGMENT_BYTES);
    rig_open_ok(&r);
    rig_drain(&r);
    wal_stats(r.wal, &stats);
    assert_int_equal(stats.spares, 1);
    assert_true(stats.is_starved);
    assert_false(disk_mem_exists(r.disk, "fill.tmp")); /* what the failure took was given back */
    disk_mem_set_capacity(r.disk, 1 * MIB);
    wal_retry_space(r.wal);
    rig_drain(&r);
    wal_stats(r.wal, &stats);
    assert_int_equal(stats.spares, 2);
    assert_false(stats.is_starved);
    rig_deinit(&r);
}

static void test_segment_size_may_change_between_starts(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    rig_append_durable(&r, 5, 100);
    rig_crash(&r, DISK_MEM_KEEP, NULL, NULL);
    r.cfg.segment_bytes *= 2;
    rig_open_ok(&r);
    rig_assert_entries(&r, 1, 5);
    rig_drain(&r);
    rig_append_durable(&r, 5, 100);
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 10);
    assert_int_equal(r.found.damaged_places, 0);
    rig_deinit(&r);
}

static void test_configurations_that_break_a_rule_are_refused(void **state)
{
    static const struct {
        const char *why;
        uint32_t segment_bytes, spare_count, entry_bytes_max;
    } cases[] = {
        { "segment not a multiple of 4096", RIG_SEGMENT_BYTES + 512, 2, 1024 },
        { "segment too small", 8192, 2, 1024 },
        { "no spare", RIG_SEGMENT_BYTES, 0, 1024 },
        { "an entry that fits no segment", RIG_SEGMENT_BYTES, 2, RIG_SEGMENT_BYTES },
    };
    struct rig r;

    (void)state;
    rig_init(&r);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].why);
        r.cfg.segment_bytes = cases[i].segment_bytes;
        r.cfg.spare_count = cases[i].spare_count;
        r.cfg.entry_bytes_max = cases[i].entry_bytes_max;
        assert_int_equal(rig_open(&r), ERR_INVALID);
    }
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_log_is_new_until_something_is_durable),
        cmocka_unit_test(test_what_was_flushed_comes_back),
        cmocka_unit_test(test_writes_gather_while_a_flush_runs),
        cmocka_unit_test(test_truncation_survives_and_does_not_resurrect),
        cmocka_unit_test(test_reset_voids_the_log_and_restarts_after_the_base),
        cmocka_unit_test(test_compaction_recycles_segments),
        cmocka_unit_test(test_a_batch_may_span_segments),
        cmocka_unit_test(test_room_is_kept_and_refusal_is_whole),
        cmocka_unit_test(test_staged_bytes_are_bounded),
        cmocka_unit_test(test_space_that_comes_back_is_used),
        cmocka_unit_test(test_segment_size_may_change_between_starts),
        cmocka_unit_test(test_configurations_that_break_a_rule_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
