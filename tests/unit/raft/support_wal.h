/* support_wal.h - A log on a disk in memory, driven by hand.
 *
 * The rig hands jobs from the log to the disk one operation at a time, so that a test can lose
 * power between any two. */
#ifndef TESTS_UNIT_RAFT_SUPPORT_WAL_H
#define TESTS_UNIT_RAFT_SUPPORT_WAL_H

#include "raft/disk_mem.h"
#include "raft/wal.h"

#define RIG_SEGMENT_BYTES (UINT32_C(16) << 10)
#define RIG_SEGMENT       "00000000000000000001.wal" /* the first one's file */

struct rig {
    struct wal_config cfg;
    struct disk_mem *disk;
    struct wal *wal;
    struct wal_recovery found; /* of the last rig_open() */
    raft_write write;          /* last number given out since rig_open() */
    raft_index last;           /* of the log as appended */
    raft_term term;
    struct disk_job jobs[WAL_LANE_COUNT];
    size_t op_at[WAL_LANE_COUNT];
    bool is_running[WAL_LANE_COUNT];
    uint64_t ops_run; /* over all lanes, since rig_init() */
};

void rig_init(struct rig *r);
void rig_deinit(struct rig *r);

void rig_start(struct rig *r); /* a new log that has room */
/* The same with three flushes of term 2, vote 7: entries 1..5, 6..10 and 11..15, each a record of
 * several sectors. */
void rig_write_three(struct rig *r);

int rig_open(struct rig *r); /* recovers; asserts nothing about the result */
void rig_open_ok(struct rig *r);

/* Runs one operation of a lane, taking a job first when it has none. False: nothing to do. */
bool rig_run_op(struct rig *r, enum wal_lane lane);
void rig_drain(struct rig *r); /* until no lane has anything to do */
bool rig_flush(struct rig *r); /* the log lane only; false when there was nothing to flush */

/* Power loss or kill: the log's memory is gone, jobs with it. The disk stays. */
void rig_crash(struct rig *r, enum disk_mem_crash_mode mode, disk_mem_draw *draw, void *ctx);

/* A crash that tears nothing, and the start after it. */
void rig_reopen(struct rig *r, enum disk_mem_crash_mode mode);

/* One write each; data of an entry is a pattern of its index and term. */
int rig_append(struct rig *r, size_t entries, size_t data_len);
void rig_append_durable(struct rig *r, size_t entries, size_t data_len); /* ... and flushed */
int rig_hard_state(struct rig *r, raft_term term, raft_node_id vote, raft_index commit);
int rig_truncate(struct rig *r, raft_index last);
int rig_compact(struct rig *r, raft_index index, const char *conf);
int rig_reset(struct rig *r, raft_index index, raft_term term, const char *conf);

void rig_pattern(raft_index index, raft_term term, size_t len, uint8_t *out);

/* The recovered entries are first..last, with the data that rig_append() gave them. */
void rig_assert_entries(const struct rig *r, raft_index first, raft_index last);

#endif /* TESTS_UNIT_RAFT_SUPPORT_WAL_H */
