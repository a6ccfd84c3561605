/* raft/wal.h - The Raft log on disk, as a state machine without I/O.
 *
 * A segmented write-ahead log. It turns the write operations of the core (hard state, entries,
 * truncation, reset, compaction) into sealed records, records into disk jobs, and the files of a
 * crashed or damaged disk back into the state that the last acknowledged write described. It opens
 * no file itself: jobs go out through wal_take_job(), their results come in through
 * wal_job_done(), and only recovery reads, through a disk_reader.
 *
 * The host:
 *     wal_open(&cfg, &reader, &w, &recovery)  recover; the result is the core's raft_start
 *     on start and after every call below, for each lane that is idle:
 *         if (wal_take_job(w, lane, &job))    run it, then wal_job_done(w, lane, status)
 *     wal_is_settled(w)                       only then start the core: what was read may have been
 *                                             in a cache only, and is now on stable storage
 *     wal_append(w, out.writes, ..)           at any time; writes gather while a flush runs, and
 *                                             all that gathered is the next flush: group commit
 *     wal_durable(w)                          the last write on stable storage: feed PERSISTED
 *     wal_witness(w)                          when the log has been idle for a while, and on stop
 * A message that waits for write n may leave once wal_durable() >= n, not before.
 *
 * Two lanes, at most one job in flight in each: WAL_LANE_LOG appends and flushes, WAL_LANE_SPARE
 * makes the next segments (files of zeros, written ahead, so that a flush changes no metadata),
 * recycles old ones and keeps the manifest. Only the first is in the way of a commit. A new log has
 * room once the spare lane has made its first segment.
 *
 * Full disk: space is taken before it is promised. wal_room() counts only segments that exist;
 * when it is used up wal_append() refuses entries with ERR_FULL and changes nothing, while a
 * reserve still takes hard state, truncations and compactions, so that the node can vote and make
 * room. A spare that cannot be made is tried again at wal_retry_space().
 *
 * Damage. Records are sealed (XChaCha20-Poly1305) with their place and their predecessor as
 * associated data, so torn, misplaced, stale and rotten blocks are all found. What cannot be
 * read is then one of two things:
 *   - a torn tail: the flush that the crash interrupted. Nobody was told that it is durable. It is
 *     cut, and the cut is reported in torn_bytes for the log file of the node;
 *   - damage: something after it (a later record, the manifest) witnesses that it was durable, or
 *     every sector of it was written and still it does not open. It is never cut in silence:
 *     recovery.entries ends before it, and recovery.acknowledged is the last entry that this node
 *     may have acknowledged. The core votes as if it still had that entry and is repaired by the
 *     leader ([PAR] 3.4); until its log has reached it the pending repair survives restarts.
 * Where only the payload of a record is lost its header still tells which entries, term and vote
 * it held. Where all of the tail is lost acknowledged.index is UINT64_MAX: no log is then complete
 * until it holds an entry of a later term.
 *
 * Failures. A failed write or flush leaves nobody knowing what is on disk: the log answers that
 * error to everything from then on, and the host stops the node.
 *
 * Format: docs/formats/wal.md. Sources: [PAR] Alagappan et al., "Protocol-Aware Recovery for
 * Consensus-Based Storage", FAST 2018. Not thread-safe. */
#ifndef RAFT_WAL_H
#define RAFT_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "raft/disk.h"
#include "raft/raft.h"

#define WAL_KEY_BYTES          32
#define WAL_CLUSTER_BYTES      16
#define WAL_NONCE_PREFIX_BYTES 16
#define WAL_SEGMENT_BYTES_MIN  (UINT32_C(16) << 10)
#define WAL_SEGMENT_BYTES_MAX  (UINT32_C(1) << 30)
#define WAL_ENTRY_OVERHEAD     32u        /* bytes of an entry on disk beside its data */
#define WAL_VOTE_UNKNOWN       UINT64_MAX /* recovered: voted in this term, for whom is lost */

struct wal;

struct wal_config {
    uint8_t cluster[WAL_CLUSTER_BYTES]; /* part of what every record is bound to */
    raft_node_id node;                  /* likewise; not 0 */
    uint8_t key[WAL_KEY_BYTES];         /* the node's data key; the log derives its own from it */
    uint8_t nonce_prefix[WAL_NONCE_PREFIX_BYTES]; /* fresh random bytes for every wal_open(): a
                                                   * prefix used twice repeats nonces */
    uint32_t segment_bytes;   /* of one file; a multiple of 4096 within the limits above */
    uint32_t spare_count;     /* segments made ahead; 1 to 8 */
    uint32_t entry_bytes_max; /* data of one entry; with RAFT_CONF_LEN_MAX and 1024 more it must
                               * fit into a segment */
    size_t staged_bytes_max;  /* bytes waiting for a flush; beyond it entries are ERR_FULL */
};

/* Segments of 16 MiB, 3 spares, entries of RAFT_ENTRY_LEN_MAX, 32 MiB staged; identity and key are
 * left zero. */
void wal_config_defaults(struct wal_config *cfg);

/* What the disk held. Owned by the caller: wal_recovery_deinit(). */
struct wal_recovery {
    bool is_new; /* nothing was ever written here. A node that was ever a member must not go on
                  * from here: its log was lost with its votes */
    struct raft_hard_state hard_state;
    struct raft_base base;
    struct raft_entry *entries; /* contiguous from base.last.index + 1 */
    size_t entry_count;
    struct raft_entry_id acknowledged; /* {0, 0}: nothing is missing. Else see "Damage" above */
    uint64_t torn_bytes;               /* cut from the tail: written, never acknowledged */
    uint32_t damaged_places;           /* found, whether or not anything in them still mattered */
    char detail[160]; /* for people: the first of them, with its cause; "" = none */
    void *memory;     /* what entries and conf point into */
};

void wal_recovery_deinit(struct wal_recovery *r); /* accepts all zero */

/* Recovers the log. `reader` is borrowed for the call. Copies `cfg`.
 *   ERR_INVALID         cfg breaks a rule stated at its field
 *   ERR_WRONG_CLUSTER   the manifest names another cluster or node
 *   ERR_UNAUTHENTICATED nothing of what was written verifies: another key, or all of it is corrupt
 *   -EIO ..             listing failed; an unreadable sector is damage and not an error
 *   -ENOMEM */
NODISCARD int wal_open(const struct wal_config *cfg, const struct disk_reader *reader,
                       struct wal **out, struct wal_recovery *out_recovery);

void wal_free(struct wal *w); /* accepts NULL; every job must have been reported */

/* Stages the writes of one step of the core for the next flush; copies what it needs. On error
 * nothing has changed.
 *   ERR_FULL        no room: wal_room()
 *   ERR_TOO_LARGE   an entry is above entry_bytes_max
 *   -ENOMEM
 *   other           the log has failed: wal_error() */
NODISCARD int wal_append(struct wal *w, const struct raft_write_op *ops, size_t count);

/* Bytes of entries, each counted with WAL_ENTRY_OVERHEAD more than its data, that wal_append() will
 * take now. Check it before a proposal or an append message is given to the core, whose writes
 * cannot be refused. Never above what staged_bytes_max leaves. The entries that the core adds of
 * itself (a new leader's, configurations) may exceed it by half of the reserve. */
size_t wal_room(const struct wal *w);

enum wal_lane { WAL_LANE_LOG, WAL_LANE_SPARE, WAL_LANE_COUNT };

/* The next job of an idle lane. False when there is nothing to do, or the lane is not idle. The job
 * is lent: it stays valid until it is reported. */
bool wal_take_job(struct wal *w, enum wal_lane lane, struct disk_job *out);

/* Reports the lane's job: 0, or the error of the operation that failed. */
void wal_job_done(struct wal *w, enum wal_lane lane, int status);

bool wal_is_settled(const struct wal *w); /* true for good once the log lane's first job is done */

raft_write wal_durable(const struct wal *w); /* 0 = nothing appended since wal_open() is durable */

/* 0, or the error after which nothing is known of the disk: stop the node. */
int wal_error(const struct wal *w);

/* Lets the spare lane note in the manifest how far the log is durable, so that a loss of its last
 * records is told from a torn tail even when no later record witnesses them. Not needed while
 * writes flow. Cheap; does nothing when the manifest knows already. Gives the memory of a burst
 * back, too. */
void wal_witness(struct wal *w);

/* The disk may have room again: tries once more to make spares. */
void wal_retry_space(struct wal *w);

struct wal_stats {
    uint64_t flushes, records, entries;
    uint64_t bytes;    /* handed to the log lane, headers and padding included */
    uint64_t segments; /* files that hold records */
    uint64_t spares;   /* files of zeros, ready */
    bool is_starved;   /* the last attempt to make a spare found no space */
};

void wal_stats(const struct wal *w, struct wal_stats *out);

#endif /* RAFT_WAL_H */
