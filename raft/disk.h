/* raft/disk.h - What a log needs of a disk, as data.
 *
 * Pure code cannot write files, so it describes what must happen as a disk_job: a short list of
 * operations that one lane of the host carries out strictly in order. The host reports each job
 * once, when all of it is done or at the first operation that failed. In production a lane is a
 * thread with pwritev and fdatasync; in a simulator it is a few calls of disk_mem_run(), and the
 * machine may lose power between any two of them.
 *
 * What durable means here, and all that a pure user may rely on:
 *   - a WRITE or FILL is durable once a later SYNC of the same file succeeded. Until then a power
 *     loss keeps, loses or tears it, each sector of DISK_SECTOR_BYTES independently;
 *   - a file that was created or a RENAME or REMOVE is durable once a later SYNC_DIR succeeded;
 *     until then a power loss keeps a prefix of these changes, in order;
 *   - operations of different lanes are not ordered with each other.
 * A SYNC that failed says nothing about what is on disk and is never repeated: the pages may be
 * marked clean. Who is told of it stops (Rebello et al., "Can Applications Recover from fsync
 * Failures?", USENIX ATC 2020).
 *
 * Names are plain file names in one flat directory that belongs to this user of the disk alone. */
#ifndef RAFT_DISK_H
#define RAFT_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define DISK_NAME_CAP     40  /* bytes of a file name with its terminating zero */
#define DISK_SECTOR_BYTES 512 /* smallest unit that a disk writes wholly or not at all */

enum disk_op_kind {
    DISK_WRITE = 1, /* `data` at `offset` of `file`, which is created when missing */
    DISK_FILL,     /* `file` is created or overwritten in place and becomes `len` zero bytes, really
                    * written, so that later writes change no metadata; -ENOSPC leaves any part */
    DISK_SYNC,     /* contents of `file` reach stable storage */
    DISK_RENAME,   /* `file` becomes `to`, replacing it */
    DISK_REMOVE,   /* removes `file`; a missing one is no error */
    DISK_SYNC_DIR, /* names reach stable storage */
};

struct disk_op {
    enum disk_op_kind kind;
    char file[DISK_NAME_CAP]; /* unused by SYNC_DIR */
    char to[DISK_NAME_CAP];   /* RENAME */
    uint64_t offset;          /* WRITE */
    uint64_t len;             /* FILL */
    struct slice data;        /* WRITE; lent until the job is reported done */
};

/* Operations to run in order. The array and all it points to are lent to the host until it
 * reports the job. */
struct disk_job {
    const struct disk_op *ops;
    size_t op_count;
};

/* Names one file of the directory; returns 0 to go on, a negative error to stop with it. */
typedef int disk_on_file(void *arg, const char *file, uint64_t len);

/* Synchronous reading, for recovery and for snapshot files only. */
struct disk_reader {
    void *ctx;
    /* Calls `on_file` for every file, in any order. */
    int (*list)(void *ctx, disk_on_file *on_file, void *arg);
    /* Fills `out` from `offset`; returns how many bytes there were, fewer than `len` only at the
     * end of the file.
     *   -ENOENT   no such file
     *   -EIO      some sector of the range cannot be read */
    int64_t (*read)(void *ctx, const char *file, uint64_t offset, uint8_t *out, size_t len);
};

#endif /* RAFT_DISK_H */
