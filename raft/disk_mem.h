/* raft/disk_mem.h - A disk in memory that loses, tears and rots what it holds, on request.
 *
 * Carries out disk operations (raft/disk.h) as a drive with a volatile write cache does: reads see
 * every write at once, but only what was synced survives disk_mem_crash(). For tests and the
 * simulator; deterministic, every random choice is drawn from the caller.
 *
 *     run each operation of a job with disk_mem_run(), crash between any two
 *     disk_mem_crash(d, DISK_MEM_TEAR, draw, ctx)
 *     recover from disk_mem_reader(d)
 *
 * Not thread-safe. Running out of memory is reported as -ENOMEM by the operation. */
#ifndef RAFT_DISK_MEM_H
#define RAFT_DISK_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "raft/disk.h"

struct disk_mem;

/* An empty disk of so many bytes, counted in whole sectors per file; -ENOSPC beyond. NULL when
 * there is no memory. The caller owns it. */
NODISCARD struct disk_mem *disk_mem_new(uint64_t capacity_bytes);
void disk_mem_free(struct disk_mem *d); /* accepts NULL */

/* Carries out one operation, or the fault set for it.
 *   -ENOSPC, -ENOENT, -EIO, -ENOMEM */
NODISCARD int disk_mem_run(struct disk_mem *d, const struct disk_op *op);

/* Carries out a job as a host does: in order, up to the first failure. */
NODISCARD int disk_mem_run_job(struct disk_mem *d, const struct disk_job *job);

/* Reads what a running system would read. Borrows `d`. */
struct disk_reader disk_mem_reader(struct disk_mem *d);

enum disk_mem_crash_mode {
    DISK_MEM_KEEP, /* a killed process: the cache survives */
    DISK_MEM_LOSE, /* power loss: everything not synced is gone */
    DISK_MEM_TEAR, /* power loss: each unsynced sector is kept or lost by its own draw, and a drawn
                    * prefix of the unsynced changes of names is kept */
};
typedef uint64_t disk_mem_draw(void *ctx); /* uniform in 64 bits */

/* After it everything the disk holds is durable. Faults set below are forgotten. `draw` may be
 * NULL unless `mode` is DISK_MEM_TEAR. */
void disk_mem_crash(struct disk_mem *d, enum disk_mem_crash_mode mode, disk_mem_draw *draw,
                    void *ctx);

/* --- Faults of a running disk. */
void disk_mem_set_capacity(struct disk_mem *d, uint64_t capacity_bytes);

/* The next operation of this kind fails with `err` (< 0). A failed WRITE or FILL has written a part
 * of its data; a failed SYNC marks the file clean, as kernels do: what was unsynced is then lost
 * by a later power loss although a later SYNC succeeds. */
void disk_mem_fail_next(struct disk_mem *d, enum disk_op_kind kind, int err);

/* The next WRITE lands `sectors` later (or earlier) than told, and reports success. */
void disk_mem_misdirect_next(struct disk_mem *d, int64_t sectors);

/* The next WRITE is not carried out, and reports success. */
void disk_mem_drop_next(struct disk_mem *d);

/* --- Faults of data at rest. Each is false when the file does not reach that far. */
bool disk_mem_flip(struct disk_mem *d, const char *file, uint64_t offset, uint8_t mask);
bool disk_mem_set_unreadable(struct disk_mem *d, const char *file,
                             uint64_t offset);              /* its sector;
                                                             * a write heals */
bool disk_mem_delete(struct disk_mem *d, const char *file); /* by an operator: durable at once */

/* --- What it holds. */
bool disk_mem_exists(const struct disk_mem *d, const char *file);
uint64_t disk_mem_used(const struct disk_mem *d);

#endif /* RAFT_DISK_MEM_H */
