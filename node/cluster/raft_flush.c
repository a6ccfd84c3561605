/* When and where the log's jobs run.
 *
 *     leader     flushes beside its followers: on a thread, and while few requests are under way
 * only once the appends have left, since waking a thread first would hold them up follower   its
 * leader waits for the flush, and nothing else happens here: a small one is run on the loop, which
 * spares two changes of thread; as long as the disk is quick many       on a thread: what arrives
 * during one flush is the next
 *
 * A flush on the loop holds up whatever else the loop serves. So the one after a slow flush goes to
 * the thread, until the disk is quick again; only the first slow one is ever waited for. */
#include "node/cluster/raft_driver_priv.h"

#define FEW_REQUESTS      8
#define SMALL_FLUSH_BYTES ((size_t)(4 * KIB))
#define QUICK_FLUSH_NS    NS_PER_MS

void raft_flush_note(struct raft_driver *d)
{
    if (d->written_in == 0)
        d->written_in = d->pass;
}

/* The hosts' sockets are written when the pump is done: a pass later the appends have left. */
static bool waits_for_appends(const struct raft_driver *d)
{
    return d->written_in == d->pass && d->was_leader && d->open_count <= FEW_REQUESTS &&
           d->state == DRIVER_RUNNING;
}

bool raft_flush_is_due(const struct raft_driver *d)
{
    return d->failed == 0 && d->written_in != 0 && d->written_in == d->pass &&
           !raft_disk_is_busy(d->disk, LANE_LOG);
}

static bool runs_here(const struct raft_driver *d, const struct disk_job *job)
{
    size_t bytes = 0;

    if (d->was_leader || d->flush_took >= QUICK_FLUSH_NS)
        return false;
    for (size_t i = 0; i < job->op_count; i++) {
        if (job->ops[i].kind != DISK_WRITE && job->ops[i].kind != DISK_SYNC)
            return false;
        bytes += job->ops[i].data.len;
    }
    return bytes <= SMALL_FLUSH_BYTES;
}

static void start_flush(struct raft_driver *d)
{
    struct disk_job job;

    if (raft_disk_is_busy(d->disk, LANE_LOG) || waits_for_appends(d) ||
        !wal_take_job(d->wal, WAL_LANE_LOG, &job))
        return;
    d->written_in = 0;
    d->flush_began = uv_hrtime();
    if (runs_here(d, &job))
        raft_flush_done(d, WAL_LANE_LOG, raft_disk_run(d->disk, &job));
    else
        raft_disk_submit(d->disk, LANE_LOG, &job);
}

void raft_flush_start(struct raft_driver *d)
{
    struct disk_job job;

    start_flush(d);
    if (!raft_disk_is_busy(d->disk, LANE_SPARE) && wal_take_job(d->wal, WAL_LANE_SPARE, &job))
        raft_disk_submit(d->disk, LANE_SPARE, &job);
    if (wal_error(d->wal) != 0)
        raft_pump_fail(d, wal_error(d->wal), "writing the raft log");
}

void raft_flush_done(struct raft_driver *d, enum wal_lane lane, int status)
{
    wal_job_done(d->wal, lane, status);
    if (lane == WAL_LANE_LOG) {
        d->flush_took = uv_hrtime() - d->flush_began;
        d->has_flushed = true;
    }
    list_splice_back(&d->inbound, &d->no_room); /* there may be room now */
}
