/* raft/progress.h - What a leader knows of one member, and how fast it may send to it.
 *
 *     PROBE      where the logs agree is not known: one append at a time
 *     REPLICATE  it is: appends go out ahead of their acks, up to a window of messages and bytes
 *     SNAPSHOT   the next entry was compacted away: nothing but heartbeats and the offer
 *
 *     PROBE --ack--> REPLICATE --rejection, broken link--> PROBE
 *     PROBE, REPLICATE --next <= base--> SNAPSHOT --ack at or above base--> REPLICATE
 *
 * match < next, except for the leader's own record; match never falls, except when the member's
 * disk lost entries and it says so. */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H

#include "base/units.h"
#include "raft/raft.h"

struct inflight {
    raft_index last; /* last entry of the message */
    size_t bytes;
};

struct progress {
    raft_node_id id;
    enum raft_flow flow;
    raft_index match;
    raft_index next;
    mono_ns heard_at;
    uint64_t read_round;    /* newest round answered */
    raft_index commit_sent; /* newest commit index told */

    bool unfit;   /* says that it cannot lead now */
    bool paused;  /* PROBE: an append is out */
    bool stalled; /* when the last heartbeat went out, something was unanswered, and still is */
    struct inflight window[RAFT_INFLIGHT_MAX]; /* ring, ascending by last */
    uint32_t window_start, window_count;
    size_t window_bytes;

    raft_index round_target; /* catch-up round: [Diss] 4.2.1 */
    mono_ns round_started;
    bool caught_up; /* the last round was shorter than an election timeout */
};

/* A member that nothing is known of; the first probe goes right after `last`. */
void progress_init(struct progress *p, raft_node_id id, raft_index last, mono_ns now);

void progress_probe(struct progress *p, raft_index next);
void progress_snapshot(struct progress *p);

/* An append up to `last` with `bytes` of entries went out. */
void progress_sent(struct progress *p, raft_index last, size_t count, size_t bytes);

bool progress_is_open(const struct progress *p, const struct raft_config *cfg);

/* The member holds the leader's log up to `match`. Returns whether that is news. */
bool progress_acked(struct progress *p, raft_index match);

/* The member rejected prev = `rejected`; `probe` is the best guess from its hint. Returns false for
 * a rejection that a later ack has overtaken. */
bool progress_rejected(struct progress *p, raft_index rejected, raft_index probe);

/* A heartbeat was answered: what went out before it, and is unanswered still, was lost. */
void progress_heard(struct progress *p, const struct raft_config *cfg);

#endif /* RAFT_PROGRESS_H */
