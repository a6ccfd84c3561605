/* What the log does about files of its directory that are gone, or not its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_wal.h"

static void test_a_deleted_log_is_not_a_new_one(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    wal_witness(r.wal);
    rig_drain(&r);
    rig_crash(&r, DISK_MEM_KEEP, NULL, NULL);
    assert_true(disk_mem_delete(r.disk, RIG_SEGMENT));
    rig_open_ok(&r);
    assert_false(r.found.is_new);
    assert_int_equal(r.found.entry_count, 0);
    assert_true(r.found.acknowledged.index == UINT64_MAX);
    assert_int_equal(r.found.hard_state.term, 2);
    assert_int_equal(r.found.hard_state.vote, 7);
    rig_deinit(&r);
}

static void test_a_lost_manifest_is_made_anew(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    rig_crash(&r, DISK_MEM_KEEP, NULL, NULL);
    assert_true(disk_mem_delete(r.disk, "manifest"));
    rig_open_ok(&r);
    rig_assert_entries(&r, 1, 15);
    assert_int_equal(r.found.damaged_places, 1);
    assert_int_equal(r.found.acknowledged.index, 0);
    rig_drain(&r);
    assert_true(disk_mem_exists(r.disk, "manifest"));
    rig_deinit(&r);
}

static void test_one_damaged_slot_of_the_manifest_is_enough(void **state)
{
    struct rig r;

    (void)state;
    for (unsigned slot = 0; slot < 2; slot++) {
        rig_write_three(&r);
        wal_witness(r.wal);
        rig_drain(&r);
        assert_true(disk_mem_flip(r.disk, "manifest", slot * 4096 + 50, 1));
        rig_reopen(&r, DISK_MEM_KEEP);
        rig_assert_entries(&r, 1, 15);
        assert_int_equal(r.found.damaged_places, 0);
        rig_deinit(&r);
    }
}

static void test_another_cluster_node_or_key_is_refused(void **state)
{
    struct rig r;

    (void)state;
    rig_write_three(&r);
    rig_crash(&r, DISK_MEM_KEEP, NULL, NULL);
    r.cfg.cluster[3] ^= 1;
    assert_int_equal(rig_open(&r), ERR_WRONG_CLUSTER);
    r.cfg.cluster[3] ^= 1;
    r.cfg.node++;
    assert_int_equal(rig_open(&r), ERR_WRONG_CLUSTER);
    r.cfg.node--;
    r.cfg.key[0] ^= 1;
    assert_int_equal(rig_open(&r), ERR_UNAUTHENTICATED);
    r.cfg.key[0] ^= 1;
    rig_open_ok(&r);
    rig_deinit(&r);
}

/* A segment taken from another directory of the same node does not verify at another number. */
static void test_a_segment_at_another_number_is_not_read(void **state)
{
    struct disk_op op = { .kind = DISK_RENAME,
                          .file = RIG_SEGMENT,
                          .to = "00000000000000000009.wal" };
    struct rig r;

    (void)state;
    rig_write_three(&r);
    wal_witness(r.wal);
    rig_drain(&r);
    rig_crash(&r, DISK_MEM_KEEP, NULL, NULL);
    assert_int_equal(disk_mem_run(r.disk, &op), 0);
    rig_open_ok(&r);
    assert_int_equal(r.found.entry_count, 0);
    assert_int_equal(r.found.acknowledged.term, 2);
    assert_true(r.found.acknowledged.index == UINT64_MAX);
    rig_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_deleted_log_is_not_a_new_one),
        cmocka_unit_test(test_a_lost_manifest_is_made_anew),
        cmocka_unit_test(test_one_damaged_slot_of_the_manifest_is_enough),
        cmocka_unit_test(test_another_cluster_node_or_key_is_refused),
        cmocka_unit_test(test_a_segment_at_another_number_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
