/* node/cluster/raft_driver.h - Runs one Raft member on libuv: core, log on disk, timers.
 *
 *     raft_driver_open(&cfg, &d)     recovers the log, applies what is committed, starts
 *     raft_driver_receive(d, ..)     a message of a peer
 *     raft_driver_propose(d, ..)     leader only; done when it is applied here, or cannot be
 *     raft_driver_stop(d, ..)        hands leadership over first, then flushes
 *
 * Inputs are noted; one pump from uv_prepare steps the core, so that all that arrives during one
 * flush is the next batch. Messages wait for the write they depend on. Writes and flushes
 * run on a thread of their own. A write that fails is the end: on_failed, and the program must
 * stop, because nobody knows any more what is on the disk.
 *
 * Callbacks run on the loop's thread and never inside a call of this header. Not thread-safe. */
#ifndef NODE_CLUSTER_RAFT_DRIVER_H
#define NODE_CLUSTER_RAFT_DRIVER_H

#include <uv.h>

#include "base/buf.h"
#include "base/id.h"
#include "raft/raft.h"

#define RAFT_DRIVER_KEY_LEN       32
#define RAFT_DRIVER_PROPOSALS_MAX 65536 /* waiting for their outcome; beyond it ERR_FULL */

struct raft_driver;

/* The outcome of a proposal, read or change. `err` 0: entry `index` is applied here (a read: all
 * up to `index` is). ERR_NOT_LEADER, ERR_UNAVAILABLE, ERR_FULL, ERR_TOO_LARGE, ERR_CONFLICT,
 * ERR_NOT_FOUND: nothing happened and nothing will. ERR_UNKNOWN_OUTCOME: leadership was lost or the
 * driver stopped while it was under way, and no successor has shown within a second what became of
 * it; it may still be applied. `apply_result` is what on_apply returned for it. */
typedef void (*raft_driver_done)(void *owner, int err, raft_index index, int apply_result);

/* Where the bytes of a snapshot come from and go to: the state machine's. */
struct raft_driver_machine {
    void *ctx;

    /* One committed entry, ascending. Its result goes to the proposer on this node. A negative
     * return of -ENOMEM stops the node; anything else is just the entry's outcome. Entries that are
     * not data (no-ops, configurations, sessions) come with empty `data`: count them only. */
    int (*on_apply)(void *ctx, raft_index index, raft_term term, struct slice data);
    /* After the last on_apply of a batch. */
    void (*on_applied)(void *ctx, raft_index index);

    /* The whole state at the applied index, appended to `out` (bounded by its limit). */
    int (*save)(void *ctx, struct buf *out);
    /* Replaces the whole state by a received or recovered one that was applied up to `index`. */
    int (*restore)(void *ctx, raft_index index, struct slice snapshot);
};

struct raft_driver_config {
    uv_loop_t *loop;
    const char *dir;                           /* of the log and the snapshots; made if needed */
    uint8_t key[RAFT_DRIVER_KEY_LEN];          /* the node's data key; copied, wiped */
    struct id cluster;                         /* messages of another cluster are refused */
    raft_node_id id;                           /* of this node; random, never reused */
    const struct raft_conf *bootstrap;         /* starts a new cluster with it; NULL: an old one, or
                                                * wait to be added. Ignored when the log is not empty */
    bool force_new_cluster;                    /* disaster recovery: raft_start */
    raft_index applied;                        /* what the state machine already has, durably */
    mono_ns election_timeout_ns, heartbeat_ns; /* 0 = the core's defaults */
    uint64_t snapshot_entries;                 /* compaction; 0 = the core's default */

    struct raft_driver_machine machine;
    void *ctx; /* of the functions below */
    /* Losing a message is allowed. Borrows `bytes` for the call. */
    void (*send)(void *ctx, raft_node_id to, struct slice bytes);
    void (*on_role)(void *ctx, const struct raft_status *status); /* role, term or leader changed */
    void (*on_conf)(void *ctx, const struct raft_conf *conf);     /* members changed */
    void (*on_refused)(void *ctx, enum raft_refusal why);   /* removed, or a foreign cluster */
    void (*on_failed)(void *ctx, int err, const char *why); /* the disk: stop the program */
};

/* Opens the log (blocks for its recovery), restores the newest snapshot if the machine is
 * behind it, and starts. Copies `cfg`. On failure `why` has a sentence.
 *   ERR_CORRUPT, ERR_WRONG_CLUSTER (the directory is another cluster's), -ENOMEM, errno */
NODISCARD int raft_driver_open(const struct raft_driver_config *cfg, struct raft_driver **out,
                               char *why, size_t why_len);

/* A message of the transport; malformed ones are counted. ERR_MALFORMED: drop the peer's link. */
NODISCARD int raft_driver_receive(struct raft_driver *d, raft_node_id from, struct slice bytes);

/* Copies `data`. `done` exactly once, later. */
void raft_driver_propose(struct raft_driver *d, struct slice data, raft_driver_done done,
                         void *owner);
/* Linearizable read on any member: done once all that was acknowledged before is applied here. */
void raft_driver_read(struct raft_driver *d, raft_driver_done done, void *owner);
/* Leader only; see raft_event.change. */
void raft_driver_change(struct raft_driver *d, const struct raft_conf_op *ops, size_t count,
                        raft_driver_done done, void *owner);
void raft_driver_transfer(struct raft_driver *d, raft_node_id to);      /* 0 = the best one */
void raft_driver_unreachable(struct raft_driver *d, raft_node_id peer); /* a hint */

/* The machine's copy on disk has everything up to `index`: the log may go that far. */
void raft_driver_durable(struct raft_driver *d, raft_index index);

void raft_driver_status(const struct raft_driver *d, struct raft_status *out);
const struct raft_conf *raft_driver_conf(const struct raft_driver *d);
/* Leader only: whether that member answered within one election timeout. */
bool raft_driver_is_active(const struct raft_driver *d, raft_node_id member);

/* Graceful: hands leadership over and waits for the outcome of what is open, at most a second for
 * both; ends what is left, flushes, frees. */
void raft_driver_stop(struct raft_driver *d, void (*on_stopped)(void *ctx), void *ctx);

#endif /* NODE_CLUSTER_RAFT_DRIVER_H */
