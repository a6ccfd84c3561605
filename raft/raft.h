/* raft/raft.h - Raft consensus as a state machine, without I/O.
 *
 * Feed a struct raft events; take out a struct raft_output that says what must
 * be written, sent and applied, and when it next wants to be called. It reads
 * no clock, opens no socket or file, starts no thread and calls nothing back:
 * the same seed and the same events always give the same outputs.
 *
 * The host, for every event:
 *     raft_step(r, &event, now, &out)
 *       write   out.writes in order; when write n and all before it are
 *               durable, feed PERSISTED n (once per flush is enough)
 *       send    out.messages, each only once write message.after is durable;
 *               losing, repeating and reordering them is allowed
 *       apply   out.committed, in index order; feed APPLIED
 *       answer  out.reads; obey out.snapshot_work
 *       wake up at out.deadline_ns and feed TIMEOUT
 * A message sent before the write it waits for can elect two leaders in one
 * term; that is why the wait is data here and not a habit of the host. A write
 * that fails must never be reported: stop the node.
 *
 * What this core does beyond the paper: pre-vote and check-quorum, always on
 * and together; reads by read index on every member; joint consensus that is
 * left by whoever leads; learners that are promoted when they have caught up;
 * leadership transfer; flow control by messages and bytes; snapshots that the
 * receiver pulls in chunks from any holder; the log compacts itself as the host
 * reports applied state as durable.
 *
 * Sources: [Raft] Ongaro & Ousterhout 2014, Figure 2; [Diss] Ongaro's
 * dissertation 2014. Not thread-safe. */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/units.h"
#include "raft/conf.h"
#include "raft/raft_msg.h"
#include "raft/types.h"

struct raft;

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* A field that is 0 takes the default beside it. */
struct raft_config {
    raft_node_id id;  /* this node; must not be 0 */
    uint64_t cluster; /* must not be 0; messages of another cluster are refused */
    uint64_t seed;    /* jitter and request ids: unpredictable and new at every start; fixed in
                         tests. A repeated seed can repeat read request ids. */

    mono_ns election_timeout_ns; /* 500 ms; the actual one is random in [n, 2n): [Raft] 5.2 */
    mono_ns heartbeat_ns;        /* 100 ms; must be < election_timeout_ns */

    size_t append_bytes_max;      /* 1 MiB; entry bytes in one message, but at least one entry */
    uint32_t inflight_max;        /* 64; appends under way to one follower, <= RAFT_INFLIGHT_MAX */
    size_t inflight_bytes_max;    /* 8 MiB; the same in bytes */
    size_t uncommitted_bytes_max; /* 16 MiB; proposals beyond are refused; one may overshoot */
    size_t apply_bytes_max;       /* 4 MiB; handed out in committed and not yet APPLIED */

    size_t log_bytes_max;   /* 256 MiB; proposals beyond are refused until the log compacts */
    size_t compact_bytes;   /* 32 MiB; the log compacts when this much ... */
    uint64_t compact_count; /* 20 000; ... or so many entries could go */
    uint64_t keep_count;    /* 5 000; entries kept behind for slow followers */
};

/* What the host found on its disk. All zero for a node that is new. */
struct raft_start {
    struct raft_hard_state hard_state;
    struct raft_base base;            /* the log's */
    const struct raft_entry *entries; /* base.last.index + 1 and so on, without gap */
    size_t entry_count;

    raft_index applied;         /* what the state machine has durably applied */
    struct raft_base installed; /* of the newest snapshot installed here, or zero: a crash may
                                   have come between installing it and resetting the log */

    /* The last entry that this node may have acknowledged, when the disk lost some of those. It
     * votes as if it still had that entry, does not campaign, and is repaired by the leader. An
     * index of UINT64_MAX: it is not known how many, only that none was of a later term. A sole
     * voter cannot be repaired: restore a backup. Zero = nothing is missing. */
    struct raft_entry_id acknowledged;

    /* A snapshot that was being received: its identity, how many bytes are staged durably, and the
     * hash over them as out.snapshot_work gave it. Or zero: receiving starts over. */
    struct raft_snapshot staged;
    uint64_t staged_bytes;
    uint8_t staged_hash[RAFT_HASH_LEN];

    /* Starts a new cluster with this configuration (see raft_conf_init). The log must be empty.
     * Several nodes may start with the same one; no entry tells it then, so whoever loses its whole
     * log is given it again at its next start, or does not know that it is a voter. */
    const struct raft_conf *bootstrap;

    /* Disaster recovery: makes this node the only voter of a cluster with the next epoch, keeping
     * its whole log. For when a majority is lost for good; every other old member is refused from
     * then on and must join anew. */
    bool force_new_cluster;
};

enum raft_event_type {
    RAFT_START,     /* start: first event, exactly once */
    RAFT_MESSAGE,   /* message: from a peer */
    RAFT_TIMEOUT,   /* nothing happened until out.deadline_ns; too early is harmless */
    RAFT_PERSISTED, /* persisted: all writes up to this one are durable */
    RAFT_APPLIED,   /* applied: out of `committed`, up to this index */

    RAFT_PROPOSE,       /* propose: append entries; leader only */
    RAFT_READ,          /* read: a linearizable read, on any member */
    RAFT_CHANGE_CONF,   /* change: members; leader only */
    RAFT_TRANSFER,      /* transfer: hand leadership over; leader only */
    RAFT_STOP,          /* hand leadership over, then say out.stopped; campaigns no more */
    RAFT_FORGET_LEADER, /* the leader is of no use to others: vote for somebody else. No-op on a
                           leader or candidate */
    RAFT_UNREACHABLE,   /* unreachable: the link to this peer broke; a hint, never needed */

    RAFT_SNAPSHOT_READY,     /* snapshot_ready: a snapshot can be read here */
    RAFT_SNAPSHOT_CHUNK,     /* snapshot_chunk: bytes that RAFT_WORK_READ asked for */
    RAFT_SNAPSHOT_STAGED,    /* snapshot_staged: RAFT_WORK_STAGE is durable */
    RAFT_SNAPSHOT_INSTALLED, /* snapshot_installed: RAFT_WORK_INSTALL is durable */
    RAFT_SNAPSHOT_FAILED,    /* snapshot_failed: CREATE, STAGE or INSTALL; tried again later */
};

enum raft_work_type {
    RAFT_WORK_CREATE,  /* make a snapshot at an applied index >= snapshot.base.last.index and feed
                          SNAPSHOT_READY; one at a time. Keep it until RELEASE. */
    RAFT_WORK_RELEASE, /* snapshot.hash: no longer needed by the core */
    RAFT_WORK_READ,    /* read `len` bytes at `offset` of snapshot.hash for `to`; SNAPSHOT_CHUNK */
    RAFT_WORK_STAGE,   /* write `data` at `offset` of the staged snapshot; SNAPSHOT_STAGED. Offset 0
                          voids what was staged before. `running` is the hash up to and with it. */
    RAFT_WORK_INSTALL, /* the staged snapshot is whole and verified: durably make it the state
                          machine, with snapshot.base; SNAPSHOT_INSTALLED. Nothing is being applied
                          meanwhile. */
};

struct raft_proposal {
    enum raft_entry_type type; /* RAFT_ENTRY_DATA or RAFT_ENTRY_SESSION */
    uint64_t session;
    uint64_t sequence;
    struct slice data;
    uint64_t ticket; /* comes back in out.committed on this node; 0 = none */
};

struct raft_event {
    enum raft_event_type type;
    union {
        struct raft_start start;
        struct raft_message message;
        raft_write persisted;

        struct {
            raft_index index;   /* applied up to here */
            raft_index durable; /* and would survive a crash up to here: the log may go */
        } applied;

        struct {
            const struct raft_proposal *proposals;
            size_t count; /* 1..RAFT_PROPOSALS_MAX */
        } propose;

        struct {
            uint64_t ticket; /* comes back in out.reads */
        } read;

        struct {
            const struct raft_conf_op *ops;
            size_t count;    /* 1..RAFT_CONF_OPS_MAX */
            bool force;      /* even when the new voters heard from are no majority */
            uint64_t ticket; /* comes back with the entry in out.committed; of a new voter, with
                                the entry that made it a learner */
        } change;

        raft_node_id transfer;    /* to this voter; 0 = the best one */
        raft_node_id unreachable; /* this peer */

        struct raft_snapshot snapshot_ready; /* base.conf is ignored: the core knows it */

        struct {
            raft_node_id to;
            uint8_t hash[RAFT_HASH_LEN];
            uint64_t offset;
            struct slice data; /* empty: cannot be read any more */
        } snapshot_chunk;

        struct {
            uint8_t hash[RAFT_HASH_LEN];
            uint64_t offset;
        } snapshot_staged;

        struct {
            uint8_t hash[RAFT_HASH_LEN];
        } snapshot_installed;

        enum raft_work_type snapshot_failed;
    };
};

enum raft_write_type {
    RAFT_WRITE_HARD_STATE, /* hard_state */
    RAFT_WRITE_APPEND,     /* entries, right after the last one */
    RAFT_WRITE_TRUNCATE,   /* last: entries after this index are void */
    RAFT_WRITE_RESET,      /* base: the log is void and starts anew after base.last */
    RAFT_WRITE_COMPACT,    /* base: entries up to base.last are no longer needed */
};

struct raft_write_op {
    raft_write seq; /* 1, 2, 3 .. since start */
    enum raft_write_type type;
    union {
        struct raft_hard_state hard_state;
        struct {
            const struct raft_entry *entries;
            size_t entry_count;
        };
        raft_index last;
        struct raft_base base;
    };
};

enum raft_read_status {
    RAFT_READ_OK,     /* the local state machine may be read now */
    RAFT_READ_FAILED, /* no leader, or too many: ask again later; nothing happened */
};

struct raft_read_result {
    uint64_t ticket;
    enum raft_read_status status;
    raft_index index; /* has been applied here */
};

struct raft_snapshot_work {
    enum raft_work_type type;
    struct raft_snapshot snapshot; /* whole for STAGE and INSTALL */
    raft_node_id to;
    uint64_t offset;
    size_t len;
    struct slice data;
    uint8_t running[RAFT_HASH_LEN];
};

/* What the host must do now. Pointers borrow from the raft, or from the event, until the next
 * step; the data of the entries in `committed`, not their array, stay valid until APPLIED reports
 * their index. */
struct raft_output {
    const struct raft_write_op *writes;
    size_t write_count;
    const struct raft_message *messages;
    size_t message_count;
    const struct raft_entry *committed; /* newly committed, ascending index, all types */
    size_t committed_count;
    const struct raft_read_result *reads;
    size_t read_count;
    const struct raft_snapshot_work *snapshot_work;
    size_t snapshot_work_count;

    size_t accepted; /* PROPOSE: how many of the proposals were appended, from the first on */

    bool role_changed; /* role, term or leader; see raft_status. Once a leader has stepped down, the
                          outcome of its open proposals is unknown, not failed: their tickets may
                          still come back in `committed` */
    enum raft_refusal refused; /* a peer says so; 0 = nothing. Of REMOVED: this node was */
    bool stopped;              /* after STOP: leadership is elsewhere, the process may end */
    mono_ns deadline_ns;       /* call again then at the latest; MONO_NEVER = never */
};

/* Creates a node that waits for START. Copies `cfg`. The caller owns *out: raft_free().
 *   ERR_INVALID (cfg breaks a rule stated at its field), -ENOMEM */
NODISCARD int raft_new(const struct raft_config *cfg, struct raft **out);

void raft_free(struct raft *r); /* accepts NULL; ends every borrow */

/* Handles one event: [Raft] Fig. 2. Borrows `event` for the call. `now_ns` is monotonic; an
 * earlier one than before counts as that one. A message of an older term is no error: it is
 * answered. On error the state is unchanged and *out is empty but for the deadline.
 *   ERR_MALFORMED     a message whose fields contradict each other or this node's log
 *   ERR_WRONG_CLUSTER a message of another cluster or epoch; *out holds the refusal to send
 *   ERR_REMOVED       a message of, or a change that adds, a removed member; likewise
 *   ERR_CORRUPT       START: what was found contradicts itself
 *   ERR_NOT_LEADER    PROPOSE, CHANGE_CONF, TRANSFER; see raft_status
 *   ERR_FULL          PROPOSE: too much uncommitted, or the log is at its limit: back off
 *   ERR_TOO_LARGE     PROPOSE: an entry above RAFT_ENTRY_LEN_MAX
 *   ERR_UNAVAILABLE   PROPOSE, CHANGE_CONF: leadership is being handed over; CHANGE_CONF: nothing
 *                     of this term is committed yet, or the new majority is not alive or is behind
 *   ERR_CONFLICT      CHANGE_CONF: another change is under way
 *   ERR_NOT_FOUND     CHANGE_CONF, TRANSFER: no such member
 *   ERR_INVALID       an event that breaks a rule stated at its field
 *   -ENOMEM           may be retried */
NODISCARD int raft_step(struct raft *r, const struct raft_event *event, mono_ns now_ns,
                        struct raft_output *out);

struct raft_status {
    enum raft_role role;
    raft_term term;
    raft_node_id leader; /* as last heard, or 0. A hint, not a lease. */
    raft_node_id vote;
    raft_index commit_index;
    raft_index applied_index;
    struct raft_entry_id last; /* of the log */
    raft_index base_index;     /* entries up to here were compacted away */
    size_t log_bytes;
    bool transferring;      /* leadership is being handed over */
    bool repairing;         /* raft_start.acknowledged is not reached yet; when it has no known end,
                               TRANSFER on the leader ends it */
    bool installing;        /* a snapshot is being received or installed */
    uint64_t refused_count; /* messages of foreign clusters, epochs and removed members */
};

void raft_status(const struct raft *r, struct raft_status *out);

/* The configuration in force: the newest in the log, committed or not. Valid until the next step.
 * Without members on a node that has not joined yet. */
const struct raft_conf *raft_conf_current(const struct raft *r);

enum raft_flow { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };

/* What the leader knows of one member. */
struct raft_peer_status {
    raft_index match; /* known to be on its disk */
    raft_index next;
    enum raft_flow flow;
    bool active;           /* heard within one election timeout */
    uint32_t inflight;     /* append messages */
    size_t inflight_bytes; /* and the entry bytes in them */
};

/*   ERR_NOT_LEADER, ERR_NOT_FOUND */
NODISCARD int raft_peer_status(const struct raft *r, raft_node_id id, struct raft_peer_status *out);

/* One more chunk into the running hash of a snapshot, which starts as all zero. Every chunk has
 * RAFT_CHUNK_LEN bytes but the last, which has 1..RAFT_CHUNK_LEN. */
void raft_snapshot_hash(uint8_t running[RAFT_HASH_LEN], struct slice chunk);

#endif /* RAFT_RAFT_H */
