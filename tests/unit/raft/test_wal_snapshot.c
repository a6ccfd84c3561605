/* The file of an installed snapshot: durable once its job is done, and verified as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "raft/wal_snapshot.h"
#include "support_wal.h"

static void test_an_installed_snapshot_is_read_back_or_refused(void **state)
{
    struct raft_snapshot as = { .base = { .last = { .term = 3, .index = 99 },
                                          .conf = slice_of_str("members") } };
    struct wal_snapshot_found found = { 0 };
    size_t len = 600 * 1024;
    uint8_t *bytes = malloc(len);
    struct wal_snapshot *s;
    struct disk_reader reader;
    struct disk_job job;
    struct rig r;

    (void)state;
    assert_non_null(bytes);
    rig_pattern(1, 2, len, bytes);
    memset(as.hash, 0x77, sizeof(as.hash));
    rig_init(&r);
    reader = disk_mem_reader(r.disk);
    assert_int_equal(wal_snapshot_read(&r.cfg, &reader, &found), ERR_NOT_FOUND);
    assert_int_equal(wal_snapshot_new(&r.cfg, &as, slice_of(bytes, len), &s), 0);
    job = wal_snapshot_job(s);
    assert_int_equal(disk_mem_run_job(r.disk, &job), 0);
    wal_snapshot_free(s);
    disk_mem_crash(r.disk, DISK_MEM_LOSE, NULL, NULL);
    assert_int_equal(wal_snapshot_read(&r.cfg, &reader, &found), 0);
    assert_int_equal(found.snapshot.base.last.index, 99);
    assert_true(slice_equal(found.snapshot.base.conf, slice_of_str("members")));
    assert_memory_equal(found.snapshot.hash, as.hash, sizeof(as.hash));
    assert_true(slice_equal(found.bytes, slice_of(bytes, len)));
    free(found.memory);
    for (size_t at = 3; at < len; at += len / 7) {
        assert_true(disk_mem_flip(r.disk, WAL_SNAPSHOT_FILE, at, 4));
        assert_int_equal(wal_snapshot_read(&r.cfg, &reader, &found), ERR_CORRUPT);
        assert_true(disk_mem_flip(r.disk, WAL_SNAPSHOT_FILE, at, 4));
    }
    free(bytes);
    rig_deinit(&r);
}

/* Power loss at each step of writing leaves the old one or the new one, whole. */
static void test_a_crash_while_writing_leaves_one_whole_snapshot(void **state)
{
    struct raft_snapshot as = { .base = { .last = { .term = 1, .index = 1 } } };
    struct wal_snapshot_found found = { 0 };
    uint8_t bytes[5000] = { 0 };
    struct wal_snapshot *s;
    struct disk_reader reader;
    struct disk_job job;

    (void)state;
    for (size_t ops = 0; ops <= 4; ops++) {
        struct rig r;

        rig_init(&r);
        reader = disk_mem_reader(r.disk);
        for (raft_index index = 1; index <= 2; index++) {
            as.base.last.index = index;
            r.cfg.nonce_prefix[0]++;
            assert_int_equal(wal_snapshot_new(&r.cfg, &as, slice_of(bytes, sizeof(bytes)), &s), 0);
            job = wal_snapshot_job(s);
            if (index == 2)
                job.op_count = ops;
            assert_int_equal(disk_mem_run_job(r.disk, &job), 0);
            wal_snapshot_free(s);
        }
        disk_mem_crash(r.disk, DISK_MEM_LOSE, NULL, NULL);
        assert_int_equal(wal_snapshot_read(&r.cfg, &reader, &found), 0);
        assert_int_equal(found.snapshot.base.last.index, ops == 4 ? 2 : 1);
        free(found.memory);
        rig_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_installed_snapshot_is_read_back_or_refused),
        cmocka_unit_test(test_a_crash_while_writing_leaves_one_whole_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
