/* raft/core.h - The state behind raft.h, shared by the files that each handle one concern.
 *
 *     raft.c         step: reserve memory, handle one event, run what is due, collect the output
 *     start.c        from what the disk held to a running node
 *     output.c       writes, messages and everything else that one step hands out
 *     election.c     terms, votes, pre-votes, check-quorum, transfer
 *     replication.c  appends, acks, commit, apply, compaction
 *     membership.c   the stack of configurations and who changes them
 *     read.c         read index
 *     snapshot.c     offering, serving, fetching and installing snapshots
 *
 * Nothing below raft_step() can fail for lack of memory: what an event may need is taken first.
 *
 *     base.last.index <= applied <= emitted <= min(commit, stable) <= last
 *
 * with one exception: a disk that lost entries may hold fewer than were applied. */
#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include "base/prng.h"
#include "raft/log.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft.h"

/* The configuration that an entry, or the base, put in force. */
struct conf_frame {
    raft_index index;
    struct raft_conf *conf; /* owned */
};

enum read_phase {
    READ_GATED,    /* leader: nothing of its own term is committed yet */
    READ_QUEUED,   /* waits for the next round (leader) or request (follower) */
    READ_ASKED,    /* a round or request is out */
    READ_APPLYING, /* index known; local state is not there yet */
};

struct read {
    enum read_phase phase;
    uint64_t ticket;   /* or, of another member, its newest request id */
    raft_node_id from; /* 0 = read here */
    raft_index index;  /* from READ_ASKED on (leader), from READ_APPLYING on (follower) */
};

/* A snapshot that can be read on this node. */
struct held_snapshot {
    bool held;
    struct raft_snapshot snapshot; /* conf is owned */
};

enum fetch_phase { FETCH_NONE, FETCH_CHUNKS, FETCH_DRAINING, FETCH_INSTALLING };

/* A snapshot on its way to this node.
 * staged <= received <= asked <= received + RAFT_CHUNKS_INFLIGHT chunks */
struct fetch {
    enum fetch_phase phase;
    struct raft_snapshot snapshot; /* conf is owned */
    struct raft_conf *conf;        /* the same, decoded; owned */
    raft_node_id source;
    uint64_t asked, received, staged; /* bytes */
    uint8_t running[RAFT_HASH_LEN];   /* hash of what was received */
    mono_ns deadline;                 /* nothing came until then: ask somebody else */
};

/* Which writes a message waits for; resolved when the step ends. */
enum wait { WAIT_HARD_STATE = 1, WAIT_LOG = 2 };

struct outbox {
    struct raft_write_op writes[RAFT_WRITES_MAX];
    struct raft_message messages[RAFT_MESSAGES_MAX];
    size_t message_count;
    struct raft_read_result reads[RAFT_READS_MAX + 1]; /* all, and one that was refused */
    size_t read_count;
    struct raft_snapshot_work work[RAFT_SNAPSHOT_WORK_MAX];
    size_t work_count;
    struct slice retired[4]; /* bytes that the output borrows and nobody owns any more */
    size_t retired_count;

    bool hard_state_changed;
    bool truncated, reset, compacted;
    raft_index truncated_to;
    raft_index append_from; /* first entry appended in this step; 0 = none */
    size_t accepted;
    enum raft_refusal refused;
    bool role_changed;
};

struct raft {
    struct raft_config cfg;
    struct prng prng;
    mono_ns now;
    bool started;
    bool stopping;

    /* Persistent: [Raft] Figure 2. */
    raft_term term;
    raft_node_id vote;
    struct raft_log log;
    struct conf_frame *confs; /* ascending by index; [0] is the base's; never empty */
    size_t conf_count, conf_cap;
    struct raft_entry_id acknowledged; /* {0, 0} = the log is whole */

    /* Every role. */
    enum raft_role role;
    raft_node_id leader;
    raft_index commit_index;
    raft_index emitted_index; /* handed out in committed */
    raft_index applied_index;
    raft_index durable_index; /* applied and would survive a crash */
    size_t applying_bytes;
    mono_ns leader_heard_at;
    mono_ns election_deadline;
    mono_ns election_patience; /* the random timeout in use */
    uint64_t refused_count;

    /* Candidates: one per member, in the order of the configuration. */
    struct {
        raft_node_id id;
        enum ballot ballot;
    } ballots[RAFT_MEMBERS_MAX];
    size_t ballot_count;
    bool transfer_election;

    /* Leader. peers[i] belongs to member i of the configuration in force. */
    struct progress peers[RAFT_MEMBERS_MAX];
    size_t peer_count;
    mono_ns heartbeat_at;
    raft_index term_start; /* index of its first entry: [Raft] 8 */
    size_t uncommitted_bytes;
    raft_node_id transfer_to; /* 0 = none */
    mono_ns transfer_deadline;
    bool stop_gave_up;

    /* Reads, oldest first. */
    struct read reads[RAFT_READS_MAX];
    size_t read_count;
    uint64_t read_round;   /* leader: newest round sent in this term */
    bool round_open;       /* and not answered by a quorum */
    uint64_t read_request; /* follower: newest request id; unique over restarts */
    bool request_open;
    mono_ns request_sent_at;

    /* Snapshots. */
    struct held_snapshot held;
    bool creating;
    mono_ns create_retry_at;
    uint32_t chunk_reads;
    struct fetch fetch;

    /* Durability. */
    raft_write issued;
    raft_write persisted;
    raft_write hard_state_write; /* last one that changed term or vote */
    raft_write log_write;        /* last one that changed the log */

    /* Memory taken before an event is handled. */
    struct raft_conf **spare_confs; /* decoded configurations of incoming entries, in order */
    size_t spare_count, spare_cap, spare_next;
    uint8_t *conf_bytes; /* of an entry that this leader may append itself */
    uint8_t *base_bytes; /* of the base after a compaction or reset */

    struct outbox out;
};

/* --- start.c */
int start_node(struct raft *r, const struct raft_start *s);

/* --- output.c */
struct raft_message *out_message(struct raft *r, raft_node_id to, enum raft_message_type type);
void out_work(struct raft *r, const struct raft_snapshot_work *work);
bool out_work_has_room(const struct raft *r);
void out_read(struct raft *r, const struct read *read, enum raft_read_status status);
void out_retire(struct raft *r, struct slice owned); /* freed when the next step begins */
void out_begin(struct raft *r);
void out_finish(struct raft *r, struct raft_output *out);
void out_refuse(struct raft *r, const struct raft_message *m, enum raft_refusal reason);

/* --- election.c */
void become_follower(struct raft *r, raft_term term, raft_node_id leader);
void campaign(struct raft *r);
bool may_campaign(const struct raft *r);
bool is_repairing(const struct raft *r);
void note_leader(struct raft *r, raft_node_id leader);
void handle_vote_req(struct raft *r, const struct raft_message *m);
void handle_vote_res(struct raft *r, const struct raft_message *m);
void handle_timeout_now(struct raft *r, const struct raft_message *m);
int start_transfer(struct raft *r, raft_node_id to);
void advance_transfer(struct raft *r, const struct progress *p);
void run_election_timers(struct raft *r);
mono_ns quorum_lapses_at(const struct raft *r);

/* --- replication.c */
struct progress *find_peer(struct raft *r, raft_node_id id);
void append_own(struct raft *r, struct raft_entry *e);
int check_append(const struct raft *r, const struct raft_message *m);
void handle_append(struct raft *r, const struct raft_message *m);
void handle_append_res(struct raft *r, const struct raft_message *m);
void handle_heartbeat(struct raft *r, const struct raft_message *m);
void handle_heartbeat_res(struct raft *r, const struct raft_message *m);
void broadcast_heartbeat(struct raft *r);
void send_appends(struct raft *r, struct progress *p);
void replicate(struct raft *r);
void commit_to(struct raft *r, raft_index index);
void advance_commit(struct raft *r);
void handle_applied(struct raft *r, raft_index applied, raft_index durable);
void compact_log(struct raft *r);
bool has_committed_own_term(const struct raft *r);
void respond_append(struct raft *r, raft_node_id to, raft_index match, uint64_t read_round);

/* --- membership.c */
const struct raft_conf *current_conf(const struct raft *r);
raft_index current_conf_index(const struct raft *r);
const struct raft_conf *conf_at(const struct raft *r, raft_index index);
uint32_t own_flags(const struct raft *r);
bool is_removed(const struct raft *r, raft_node_id id); /* by a committed configuration */
void push_conf(struct raft *r, raft_index index, struct raft_conf *conf); /* takes conf */
void pop_confs_after(struct raft *r, raft_index last);
void drop_confs_before(struct raft *r, raft_index base);
void reset_confs(struct raft *r, raft_index base, struct raft_conf *conf);
void sync_peers(struct raft *r);
int change_conf(struct raft *r, const struct raft_event *event);
void append_conf(struct raft *r, const struct raft_conf *conf, uint64_t ticket);
void run_membership(struct raft *r);

/* --- read.c */
void handle_read(struct raft *r, uint64_t ticket);
void handle_read_req(struct raft *r, const struct raft_message *m);
void handle_read_res(struct raft *r, const struct raft_message *m);
void fail_reads(struct raft *r);
void run_reads(struct raft *r);

/* --- snapshot.c */
void offer_snapshot(struct raft *r, struct progress *p);
int check_offer(const struct raft *r, const struct raft_message *m);
void handle_offer(struct raft *r, const struct raft_message *m);
void handle_chunk_req(struct raft *r, const struct raft_message *m);
void handle_chunk_res(struct raft *r, const struct raft_message *m);
int handle_snapshot_ready(struct raft *r, const struct raft_snapshot *s);
int handle_chunk_read(struct raft *r, const struct raft_event *event);
void handle_staged(struct raft *r, const struct raft_event *event);
int handle_installed(struct raft *r, const struct raft_event *event);
void handle_failed(struct raft *r, enum raft_work_type type);
void run_snapshots(struct raft *r);
mono_ns snapshot_deadline(const struct raft *r);
bool is_installing(const struct raft *r);
void drop_fetch(struct raft *r);
void snapshot_deinit(struct raft *r);

#endif /* RAFT_CORE_H */
