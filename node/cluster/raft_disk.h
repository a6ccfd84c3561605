/* node/cluster/raft_disk.h - Carries out disk jobs (raft/disk.h) on threads of their own.
 *
 *     raft_disk_open(loop, dir, &events, &d)
 *     raft_disk_run(d, &job)             at start, or when blocking is fine
 *     raft_disk_submit(d, lane, &job)    later: events.on_done(ctx, lane, status), exactly once
 *     raft_disk_close(d, on_closed, ctx) when no lane is busy
 *
 * Each lane is one thread and holds one job at a time, so a long job (a segment of zeros) never
 * stands in the way of a flush. The completion comes back on the loop's thread.
 *
 * Files are opened once and kept open until renamed or removed, since a flush is one write and one
 * fdatasync. Not thread-safe apart from its own threads. */
#ifndef NODE_CLUSTER_RAFT_DISK_H
#define NODE_CLUSTER_RAFT_DISK_H

#include <uv.h>

#include "base/attr.h"
#include "raft/disk.h"

#define RAFT_DISK_LANES 3

struct raft_disk;

struct raft_disk_events {
    void *ctx;
    /* A submitted job is done: 0 or the error of the operation that failed. */
    void (*on_done)(void *ctx, unsigned lane, int status);
};

/* Opens the directory, which is made with mode 0700 if it is missing, and locks it against a
 * second process.
 *   -EWOULDBLOCK (another process has it), -ENOMEM, errno */
NODISCARD int raft_disk_open(uv_loop_t *loop, const char *dir,
                             const struct raft_disk_events *events, struct raft_disk **out);

/* Blocking reads of the directory. Borrows `d`. */
struct disk_reader raft_disk_reader(struct raft_disk *d);

/* Runs a job of lane 0 here and now: 0 or the error of the operation that failed. The lane must be
 * idle; at the start, when no lane has begun, the job may be of any. */
NODISCARD int raft_disk_run(struct raft_disk *d, const struct disk_job *job);

/* Lends the job to an idle lane until on_done. */
void raft_disk_submit(struct raft_disk *d, unsigned lane, const struct disk_job *job);
bool raft_disk_is_busy(const struct raft_disk *d, unsigned lane);

/* Ends the threads and frees, then calls on_closed. CHECKs that no lane is busy. */
void raft_disk_close(struct raft_disk *d, void (*on_closed)(void *ctx), void *ctx);

#endif /* NODE_CLUSTER_RAFT_DISK_H */
