/* raft/wal.h - The Raft log on disk, as a state machine without I/O.
 *
 * A segmented write-ahead log. It turns batches (hard state, truncation, entries, snapshot mark)
 * into sealed records, records into disk jobs, and the files of a crashed or damaged disk back
 * into the state that the last acknowledged batch described. It opens no file itself: jobs go out
 * through wal_take_job(), their results come in through wal_job_done(), and only recovery reads,
 * through a disk_reader.
 *
 * The host:
 *     wal_open(&cfg, &reader, &w, &recovery)  recover; hand the result to the core
 *     on start and after every call below, for each lane that is idle:
 *         if (wal_take_job(w, lane, &job))    run it, then wal_job_done(w, lane, status)
 *     wal_append(w, &batch)                   at any time; batches gather while a flush runs, and
 *                                             all that gathered is the next flush: group commit
 *     wal_durable(w)                          the last write whose batch is on stable storage
 *     wal_witness(w)                          when the log has been idle for a while, and on stop
 * A message that depends on write n may leave once wal_durable() >= n, not before.
 *
 * Two lanes, at most one job in flight in each: WAL_LANE_LOG appends and flushes, WAL_LANE_SPARE
 * makes the next segments (a file of zeros, written ahead, so that a flush changes no metadata),
 * recycles old ones and keeps the manifest. Only the first is in the way of a commit.
 *
 * Full disk: space is taken before it is promised. wal_room() counts only segments that exist;
 * when it is used up wal_append() refuses entries with ERR_FULL and changes nothing, while a small
 * reserve still takes hard state, truncations and snapshot marks, so that the node can vote and
 * compact. A spare that cannot be made is tried again at wal_retry_space().
 *
 * Damage. Records are sealed (XChaCha20-Poly1305) with their place and their predecessor as
 * associated data, so torn, misplaced, stale and rotten blocks are all found. What cannot be
 * read is then one of two things:
 *   - a torn tail: the flush that the crash interrupted. Nobody was told that it is durable. It is
 *     cut, and the cut is reported in torn_bytes for the log file of the node;
 *   - damage: something after it (a later record, the manifest) witnesses that it was durable, or
 *     every sector of it was written and still it does not open. It is never cut in silence:
 *     recovery.entries ends before it and recovery.repair says which indexes this node may have
 *     acknowledged and no longer has.
 * While repair is pending the node must not vote and not campaign: a candidate without those
 * entries could win by its vote. It replicates normally, and once its log matches a leader's up to
 * repair.last (or, where that is unknown, a leader of a term above hard_state.term has committed an
 * entry of its own term that this node has) it calls wal_repaired(). It then has the vote again,
 * but only in terms above the one it was repaired in: its vote there may have been among the lost.
 * The pending repair survives restarts.
 *
 * Failures. A failed write or flush of a log job leaves nobody knowing what is on disk: the log
 * answers that error to everything from then on, and the host stops the node.
 *
 * Format: docs/formats/wal.md. Sources: [PAR] Alagappan et al., "Protocol-Aware Recovery for
 * Consensus-Based Storage", FAST 2018. Not thread-safe. */
#ifndef RAFT_WAL_H
#define RAFT_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "raft/disk.h"

#define WAL_KEY_BYTES          32
#define WAL_CLUSTER_BYTES      16
#define WAL_NONCE_PREFIX_BYTES 16
#define WAL_SEGMENT_BYTES_MIN  4096u
#define WAL_SEGMENT_BYTES_MAX  (1u << 30)
#define WAL_REPAIR_UNKNOWN     UINT64_MAX

struct wal;

struct wal_config {
    uint8_t cluster[WAL_CLUSTER_BYTES]; /* part of what every record is bound to */
    uint64_t node;                      /* likewise; not 0 */
    uint8_t key[WAL_KEY_BYTES];         /* the node's data key; the log derives its own from it */
    uint8_t nonce_prefix[WAL_NONCE_PREFIX_BYTES]; /* fresh random bytes for every wal_open(): a
                                                   * prefix used twice repeats nonces */
    uint32_t segment_bytes;   /* of one file; a multiple of 4096 within the limits above */
    uint32_t spare_count;     /* segments made ahead; 1 to 8 */
    uint32_t entry_bytes_max; /* largest payload of one entry; at most segment_bytes / 2 - 1024 */
    size_t staged_bytes_max;  /* bytes waiting for a flush; beyond it wal_append() is ERR_FULL */
};

/* segment_bytes 16 MiB, 2 spares, entries of 4 MiB, 16 MiB staged; identity and key left zero. */
void wal_config_defaults(struct wal_config *cfg);

struct wal_hard_state { /* [Raft] Figure 2, persistent state */
    uint64_t term;
    uint64_t vote;   /* 0 = none */
    uint64_t commit; /* a hint: how far the log was known committed when this was written */
};

struct wal_entry {
    uint64_t index;
    uint64_t term; /* not below that of the entry before it */
    uint32_t type; /* the core's; opaque here */
    struct slice data;
};

struct wal_position {
    uint64_t index; /* 0 = none */
    uint64_t term;
};

/* One change of persistent state: all fields describe the state after it. */
struct wal_batch {
    uint64_t write; /* the caller's number, above that of the batch before; see wal_durable() */
    struct wal_hard_state hard_state;
    struct wal_position snapshot; /* a snapshot up to here is durable, entries up to it may go and
                                   * whole segments with them; {0, 0} = as before. A log that does
                                   * not contain it (installed from a leader) restarts after it */
    uint64_t first_index;         /* the log is cut before this index, then `entries` follow, the
                                   * first of them at it; 0 = no change of the log */
    const struct wal_entry *entries; /* contiguous from first_index; borrowed for the call */
    size_t entry_count;
};

/* What the disk held. Owned by the caller: wal_recovery_deinit(). */
struct wal_recovery {
    bool is_new; /* neither a segment nor a manifest was found. A node that was ever a member must
                  * not go on from here: its log was lost with its votes */
    struct wal_hard_state hard_state;
    struct wal_position snapshot;
    struct wal_entry *entries; /* contiguous from snapshot.index + 1; data lives in `memory` */
    size_t entry_count;
    struct {
        uint64_t first; /* 0 = nothing to repair; else index after the last entry above */
        uint64_t last;  /* >= first - 1; or WAL_REPAIR_UNKNOWN */
    } repair;
    uint64_t torn_bytes;      /* cut from the tail: written, never acknowledged */
    uint32_t damaged_records; /* at least so many, of those whose loss is in `repair` or was healed
                               * since by later records */
    char detail[160];         /* for people: the first damage, file and offset; "" = none */
    void *memory;
};

void wal_recovery_deinit(struct wal_recovery *r); /* accepts all zero */

/* Recovers the log. `reader` is borrowed for the call. Copies `cfg`.
 *   -EINVAL             cfg breaks a rule stated at its field
 *   ERR_WRONG_CLUSTER   the files verify for no part: other cluster, node or key
 *   -EIO ..             listing failed; an unreadable sector is damage and not an error
 *   -ENOMEM */
NODISCARD int wal_open(const struct wal_config *cfg, const struct disk_reader *reader,
                       struct wal **out, struct wal_recovery *out_recovery);

void wal_free(struct wal *w); /* accepts NULL; every job must have been reported */

/* Stages a batch for the next flush. On error nothing has changed.
 *   ERR_FULL        no room: wal_room()
 *   ERR_TOO_LARGE   an entry is above entry_bytes_max
 *   -ENOMEM
 *   other           the log has failed; wal_error() */
NODISCARD int wal_append(struct wal *w, const struct wal_batch *batch);

/* Payload bytes of entries, each counted with WAL_ENTRY_OVERHEAD more, that wal_append() will take
 * now. Check it before a message or proposal is given to the core, whose outputs cannot be
 * refused. Never above what staged_bytes_max leaves. */
size_t wal_room(const struct wal *w);
#define WAL_ENTRY_OVERHEAD 16u

enum wal_lane { WAL_LANE_LOG, WAL_LANE_SPARE, WAL_LANE_COUNT };

/* The next job of an idle lane. False when there is nothing to do; CHECKs that the lane is idle.
 * The job is lent: it stays valid until it is reported. */
bool wal_take_job(struct wal *w, enum wal_lane lane, struct disk_job *out);

/* Reports the lane's job: 0, or the error of the operation that failed. */
void wal_job_done(struct wal *w, enum wal_lane lane, int status);

uint64_t wal_durable(const struct wal *w); /* 0 = nothing appended since wal_open() is durable */

/* 0, or the error after which nothing is known of the disk: stop the node. */
int wal_error(const struct wal *w);

/* Lets the spare lane record in the manifest how far the log is durable, so that a loss of its
 * last records is told from a torn tail even when no later record witnesses them. Not needed
 * while batches flow. Cheap; does nothing when the manifest knows already. */
void wal_witness(struct wal *w);

/* The disk may have room again: tries to make spares that failed for lack of it. */
void wal_retry_space(struct wal *w);

/* The pending repair is over; the next batch records it. */
void wal_repaired(struct wal *w);

struct wal_stats {
    uint64_t flushes, records, entries;
    uint64_t bytes;    /* handed to the log lane, headers and padding included */
    uint64_t segments; /* files that hold records */
    uint64_t spares;   /* files of zeros, ready */
    bool is_starved;   /* the last attempt to make a spare found no space */
};

void wal_stats(const struct wal *w, struct wal_stats *out);

#endif /* RAFT_WAL_H */
