/* What the log does when the disk does wrong: one test for each fault that a disk is known for.
 * Files that are gone or another's: test_wal_files.c.
 * The rule behind all of them: an interrupted write is cut, a loss of what was acknowledged is
 * never taken for one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_wal.h"

/* Where the n-th record begins: each has the same length but for the padding. */
static uint64_t record_at(unsigned n)
{
    uint64_t len = 128 + 64 + 5 * (WAL_ENTRY_OVERHEAD + 300), at = 0;

    len = (len + 15) / 16 * 16;
    while (n-- > 1) {
        at += len;
        if (at % DISK_SECTOR_BYTES > DISK_SECTOR_BYTES - 128)
            at += DISK_SECTOR_BYTES - at % DISK_SECTOR_BYTES;
    }
    return at;
}

static uint64_t draw_zero(void *ctx)
{
    (void)ctx;
    return 0;
}

static uint64_t draw_odd(void *ctx)
{
    uint64_t *n = ctx;

    return (*n)++; /* keeps every second sector */
}

/* --- Interrupted writes. */

static void test_a_torn_flush_is_cut_and_its_place_used_again(void **state)
{
    uint64_t n = 0;
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_append(&r, 5, 300), 0);
    assert_true(rig_run_op(&r, WAL_LANE_LOG)); /* the write without its sync */
    rig_crash(&r, DISK_MEM_TEAR, draw_odd, &n);
    rig_open_ok(&r);
    rig_assert_entries(&r, 1, 15);
    assert_true(r.found.torn_bytes > 0);
    assert_int_equal(r.found.damaged_places, 0);
    assert_int_equal(r.found.acknowledged.index, 0);
    rig_drain(&r);
    rig_append_durable(&r, 1, 300);
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 16);
    assert_int_equal(r.found.torn_bytes, 0);
    rig_deinit(&r);
}

static void test_a_flush_of_which_nothing_arrived_leaves_no_trace(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_append(&r, 5, 300), 0);
    assert_true(rig_run_op(&r, WAL_LANE_LOG));
    rig_crash(&r, DISK_MEM_TEAR, draw_zero, NULL);
    rig_open_ok(&r);
    rig_assert_entries(&r, 1, 15);
    assert_int_equal(r.found.torn_bytes, 0);
    rig_deinit(&r);
}

/* The commit index of a flush may cover entries of its later records, which were torn off. */
static void test_the_commit_hint_never_passes_the_log(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    r.cfg.spare_count = 4;
    rig_open_ok(&r);
    rig_drain(&r);
    assert_int_equal(rig_hard_state(&r, 1, 0, 20), 0);
    assert_int_equal(rig_append(&r, 20, 1500), 0); /* more than one segment */
    assert_true(rig_run_op(&r, WAL_LANE_LOG));     /* the first one's write */
    rig_reopen(&r, DISK_MEM_KEEP);
    assert_true(r.found.entry_count > 0 && r.found.entry_count < 20);
    assert_int_equal(r.found.hard_state.commit, r.found.entry_count);
    rig_deinit(&r);
}

/* A killed process leaves its write in the cache. What recovery has read must not be lost by the
 * power loss after it: the log settles it first. */
static void test_what_recovery_read_from_the_cache_is_made_durable(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_append(&r, 5, 300), 0);
    assert_true(rig_run_op(&r, WAL_LANE_LOG));
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 20);
    assert_false(wal_is_settled(r.wal));
    assert_true(rig_flush(&r));
    assert_true(wal_is_settled(r.wal));
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 1, 20);
    rig_deinit(&r);
}

/* Else the manifest would vouch for what the next power loss takes away. */
static void test_nothing_is_witnessed_before_it_is_settled(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_append(&r, 5, 300), 0);
    assert_true(rig_run_op(&r, WAL_LANE_LOG));
    rig_reopen(&r, DISK_MEM_KEEP);
    wal_witness(r.wal);
    while (rig_run_op(&r, WAL_LANE_SPARE))
        ;
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 1, 15);
    assert_int_equal(r.found.acknowledged.term, 0);
    rig_deinit(&r);
}

/* --- Corruption of what was acknowledged. */

static void test_rot_with_later_records_is_damage_and_names_what_is_missing(void **state)
{
    static const struct {
        const char *why;
        uint64_t offset; /* in record 2 */
    } cases[] = {
        { "its header", 20 },
        { "its sealed state", 140 },
        { "an entry", 1000 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;

        print_message("  %s\n", cases[i].why);
        rig_write_three(&r);
        assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, record_at(2) + cases[i].offset, 0x10));
        rig_reopen(&r, DISK_MEM_KEEP);
        rig_assert_entries(&r, 1, 5);
        assert_int_equal(r.found.acknowledged.index, 15);
        assert_int_equal(r.found.acknowledged.term, 2);
        assert_int_equal(r.found.hard_state.term, 2); /* later records have it */
        assert_int_equal(r.found.hard_state.vote, 7);
        assert_true(r.found.damaged_places > 0);
        assert_true(strstr(r.found.detail, "segment 1") != NULL);
        rig_deinit(&r);
    }
}

static void test_a_pending_repair_survives_restarts_until_it_is_done(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, record_at(2) + 500, 1));
    rig_reopen(&r, DISK_MEM_KEEP);
    assert_int_equal(r.found.acknowledged.index, 15);
    rig_drain(&r);
    rig_append_durable(&r, 4, 300); /* the leader gives 6..9 back */
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 9);
    assert_int_equal(r.found.acknowledged.index, 15);
    rig_drain(&r);
    rig_append_durable(&r, 6, 300); /* and 10..15 */
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 15);
    assert_int_equal(r.found.acknowledged.index, 0);
    rig_deinit(&r);
}

/* Nothing follows the last record, but all its sectors were written: that is no torn write. */
static void test_rot_in_the_last_record_is_not_cut_as_a_torn_tail(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, record_at(3) + 700, 1));
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 10);
    assert_int_equal(r.found.acknowledged.index, 15); /* its header says so */
    assert_int_equal(r.found.acknowledged.term, 2);
    assert_int_equal(r.found.hard_state.vote, 7);
    assert_int_equal(r.found.torn_bytes, 0);
    rig_drain(&r);
    rig_reopen(&r, DISK_MEM_KEEP); /* settling has not destroyed the evidence */
    assert_int_equal(r.found.acknowledged.index, 15);
    rig_deinit(&r);
}

static void test_a_lost_header_of_the_last_record_leaves_the_extent_unknown(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, record_at(3) + 8, 1));
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 10);
    assert_true(r.found.acknowledged.index == UINT64_MAX);
    assert_int_equal(r.found.acknowledged.term, 2);
    assert_int_equal(r.found.hard_state.vote, 7); /* a vote that was cast stays cast */
    rig_deinit(&r);
}

/* A vote may have been in what is lost: in that term it is spent. */
static void test_a_vote_that_may_be_lost_is_spent(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 5, 0, 0), 0);
    rig_drain(&r);
    assert_int_equal(rig_hard_state(&r, 5, 3, 0), 0);
    rig_drain(&r);
    assert_true(
        disk_mem_flip(r.disk, RIG_SEGMENT, 128 + 64 + 8, 1)); /* header of the second record */
    rig_reopen(&r, DISK_MEM_KEEP);
    assert_int_equal(r.found.hard_state.term, 5);
    assert_true(r.found.hard_state.vote == WAL_VOTE_UNKNOWN);
    rig_deinit(&r);
}

/* The last record and the only one of its term: without the manifest nobody would know the term. */
static void test_the_newest_term_is_known_when_the_log_has_lost_it(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_hard_state(&r, 3, 7, 0), 0);
    rig_drain(&r);
    assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, record_at(4) + 8, 1));
    rig_reopen(&r, DISK_MEM_KEEP);
    assert_int_equal(r.found.hard_state.term, 3);
    assert_int_equal(r.found.acknowledged.term, 3);
    rig_deinit(&r);
}

static void test_a_record_that_lost_only_its_payload_keeps_its_vote(void **state)
{
    struct rig r;

    (void)state;
    rig_start(&r);
    assert_int_equal(rig_hard_state(&r, 5, 0, 0), 0);
    rig_drain(&r);
    assert_int_equal(rig_hard_state(&r, 6, 3, 0), 0);
    rig_drain(&r);
    assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, 128 + 64 + 128 + 10, 1));
    rig_reopen(&r, DISK_MEM_KEEP);
    assert_int_equal(r.found.hard_state.term, 6);
    assert_int_equal(r.found.hard_state.vote, 3);
    assert_int_equal(r.found.acknowledged.index, 0); /* no entry is missing */
    rig_deinit(&r);
}

static void test_an_unreadable_sector_is_damage_not_an_error(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    rig_crash(&r, DISK_MEM_KEEP, NULL, NULL);
    assert_true(disk_mem_set_unreadable(r.disk, RIG_SEGMENT, record_at(2) + 600));
    rig_open_ok(&r);
    rig_assert_entries(&r, 1, 5);
    assert_int_equal(r.found.acknowledged.index, 15);
    rig_deinit(&r);
}

static void test_damage_below_the_base_does_not_matter(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_compact(&r, 12, "conf"), 0);
    rig_drain(&r);
    assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, record_at(2) + 600, 1));
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 13, 15);
    assert_int_equal(r.found.acknowledged.index, 0);
    assert_true(r.found.damaged_places > 0); /* but is told */
    rig_deinit(&r);
}

/* Entries of before a gap in which the log was cut may have been replaced in it. */
static void test_a_cut_inside_a_gap_takes_uncommitted_entries_with_it(void **state)
{
    uint64_t cut_at;
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_hard_state(&r, 2, 7, 4), 0);
    rig_drain(&r);
    cut_at = record_at(4) + 128 + 64;
    assert_int_equal(rig_truncate(&r, 8), 0); /* this record is lost */
    rig_drain(&r);
    rig_append_durable(&r, 5, 300);
    for (uint64_t at = cut_at; at < cut_at + 192; at += 16)
        assert_true(disk_mem_flip(r.disk, RIG_SEGMENT, at, 1));
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 4); /* only what was committed is believed */
    assert_int_equal(r.found.acknowledged.index, 13);
    rig_deinit(&r);
}

/* --- Writes that went elsewhere or nowhere. */

static void test_a_lost_write_is_found_by_the_next_record(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    disk_mem_drop_next(r.disk);
    rig_append_durable(&r, 5, 300); /* 16..20 are nowhere */
    rig_append_durable(&r, 5, 300);
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 15);
    assert_int_equal(r.found.acknowledged.index, 25);
    rig_deinit(&r);
}

/* With nothing after it only the manifest can know. */
static void test_a_lost_last_write_is_found_by_the_witness(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    disk_mem_drop_next(r.disk);
    assert_int_equal(rig_append(&r, 5, 300), 0);
    assert_true(rig_flush(&r));
    wal_witness(r.wal);
    rig_drain(&r);
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 15);
    assert_true(r.found.acknowledged.index == UINT64_MAX);
    assert_true(strstr(r.found.detail, "manifest") != NULL);
    rig_deinit(&r);
}

static void test_a_misdirected_write_is_found_at_both_places(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    disk_mem_misdirect_next(r.disk, -3); /* over record 3 */
    rig_append_durable(&r, 5, 300);
    rig_append_durable(&r, 5, 300);
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 10);
    assert_int_equal(r.found.acknowledged.index, 25);
    rig_deinit(&r);
}

/* It would open anywhere else in the segment if its place were not part of what is sealed, and void
 * the acknowledged record that was written after it. */
static void test_a_write_that_landed_further_on_is_not_believed(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    disk_mem_misdirect_next(r.disk, 12);
    rig_append_durable(&r, 5, 300);
    rig_append_durable(&r, 5, 300);
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 15);
    assert_int_equal(r.found.acknowledged.index, 25);
    rig_deinit(&r);
}

/* --- Failures while running. */

static void test_a_failed_flush_is_the_end(void **state)
{
    static const enum disk_op_kind kinds[] = { DISK_WRITE, DISK_SYNC };
    struct disk_job job;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct rig r;
        raft_write durable;

        rig_write_three(&r);
        durable = wal_durable(r.wal);
        assert_int_equal(rig_append(&r, 1, 300), 0);
        disk_mem_fail_next(r.disk, kinds[i], -EIO);
        assert_true(rig_flush(&r));
        assert_int_equal(wal_error(r.wal), -EIO);
        assert_int_equal(wal_durable(r.wal), durable); /* never acknowledged */
        assert_int_equal(rig_append(&r, 1, 300), -EIO);
        assert_int_equal(wal_room(r.wal), 0);
        assert_false(wal_take_job(r.wal, WAL_LANE_LOG, &job));
        assert_false(wal_take_job(r.wal, WAL_LANE_SPARE, &job));
        rig_deinit(&r);
    }
}

/* The kernel marks the pages of a failed sync clean: the next sync succeeds and writes nothing.
 * A restart that believes the cache must write them again. */
static void test_a_restart_after_a_failed_sync_trusts_no_cache(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    assert_int_equal(rig_append(&r, 5, 300), 0);
    disk_mem_fail_next(r.disk, DISK_SYNC, -EIO);
    assert_true(rig_flush(&r));
    rig_reopen(&r, DISK_MEM_KEEP);
    rig_assert_entries(&r, 1, 20); /* from the cache */
    assert_true(rig_flush(&r));
    rig_reopen(&r, DISK_MEM_LOSE);
    rig_assert_entries(&r, 1, 20);
    rig_deinit(&r);
}

static void test_a_failed_sync_of_a_spare_or_the_manifest_is_the_end(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    wal_witness(r.wal);
    disk_mem_fail_next(r.disk, DISK_SYNC, -EIO);
    assert_true(rig_run_op(&r, WAL_LANE_SPARE));
    assert_true(rig_run_op(&r, WAL_LANE_SPARE));
    assert_int_equal(wal_error(r.wal), -EIO);
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_torn_flush_is_cut_and_its_place_used_again),
        cmocka_unit_test(test_a_flush_of_which_nothing_arrived_leaves_no_trace),
        cmocka_unit_test(test_the_commit_hint_never_passes_the_log),
        cmocka_unit_test(test_what_recovery_read_from_the_cache_is_made_durable),
        cmocka_unit_test(test_nothing_is_witnessed_before_it_is_settled),
        cmocka_unit_test(test_rot_with_later_records_is_damage_and_names_what_is_missing),
        cmocka_unit_test(test_a_pending_repair_survives_restarts_until_it_is_done),
        cmocka_unit_test(test_rot_in_the_last_record_is_not_cut_as_a_torn_tail),
        cmocka_unit_test(test_a_lost_header_of_the_last_record_leaves_the_extent_unknown),
        cmocka_unit_test(test_a_vote_that_may_be_lost_is_spent),
        cmocka_unit_test(test_the_newest_term_is_known_when_the_log_has_lost_it),
        cmocka_unit_test(test_a_record_that_lost_only_its_payload_keeps_its_vote),
        cmocka_unit_test(test_an_unreadable_sector_is_damage_not_an_error),
        cmocka_unit_test(test_damage_below_the_base_does_not_matter),
        cmocka_unit_test(test_a_cut_inside_a_gap_takes_uncommitted_entries_with_it),
        cmocka_unit_test(test_a_lost_write_is_found_by_the_next_record),
        cmocka_unit_test(test_a_lost_last_write_is_found_by_the_witness),
        cmocka_unit_test(test_a_misdirected_write_is_found_at_both_places),
        cmocka_unit_test(test_a_write_that_landed_further_on_is_not_believed),
        cmocka_unit_test(test_a_failed_flush_is_the_end),
        cmocka_unit_test(test_a_restart_after_a_failed_sync_trusts_no_cache),
        cmocka_unit_test(test_a_failed_sync_of_a_spare_or_the_manifest_is_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
