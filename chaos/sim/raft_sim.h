/* chaos/sim/raft_sim.h - Shared by the files that make up the raft world. */
#ifndef SIM_RAFT_SIM_H
#define SIM_RAFT_SIM_H

#include "base/prng.h"
#include "chaos/sim/disk.h"
#include "chaos/sim/net.h"
#include "chaos/sim/raft_machine.h"
#include "chaos/sim/raft_world.h"
#include "chaos/sim/trace.h"
#include "raft/raft.h"
#include "raft/wal.h"

enum { NODES_MAX = 10, CLIENTS_MAX = 8, OPS_MAX = 4096 };

/* A message that waits for a write. */
struct parked {
    struct parked *next;
    raft_write after;
    unsigned to;
    raft_term vote_term; /* a vote for `to` in this term; 0 = something else */
    size_t len;
    uint8_t bytes[];
};

/* Bytes of a snapshot, and how far they are known. */
struct sim_snapshot {
    struct raft_snapshot meta; /* base.conf is owned */
    struct buf bytes;
    uint64_t staged; /* staged only: durable up to here */
    uint8_t running[RAFT_HASH_LEN];
};

/* What of the state machine survives a crash. */
struct checkpoint {
    struct buf machine;
    raft_index applied;
    struct raft_base installed; /* conf is owned */
};

struct host {
    struct world *world;
    unsigned index;
    raft_node_id id;
    bool created; /* has a disk, and an id that is in use */
    bool retired; /* removed or wiped: never started again */
    bool damaged; /* its disk was damaged once: its log may say so from then on */
    struct sim_process process;
    struct sim_disk disk;
    struct prng prng;
    uint32_t opened; /* times; makes nonces and seeds new */

    struct wal *wal;
    struct wal_recovery recovery;
    bool has_recovery;
    struct raft *raft;
    raft_write durable;
    struct parked *parked_first, *parked_last;
    struct parked *inbox; /* arrived while paused; `to` is the sender */
    mono_ns timer_at;     /* real time of the earliest wake-up under way */

    struct machine machine;
    bool has_machine;
    struct checkpoint checkpoint;
    struct raft_entry *applying; /* copies, waiting for the apply step */
    size_t applying_count, applying_cap;
    bool apply_scheduled;
    struct sim_snapshot held;   /* readable here; size 0 = none */
    struct sim_snapshot staged; /* on its way */

    /* For the checkers; reset when a process starts. */
    struct raft_status seen;
};

enum client_state { CLIENT_OPENING, CLIENT_IDLE, CLIENT_WAITING };

struct client {
    struct world *world;
    unsigned index;
    enum client_state state;
    uint64_t session;
    uint64_t sequence;
    uint64_t request; /* number of the try under way */
    unsigned target;
    struct machine_command command;
    size_t padding;
    size_t op;     /* in world.ops */
    bool had_last; /* the one operation of the liveness phase has begun */
    mono_ns gives_up_at;
    raft_index floor; /* read: highest acknowledged write when it was called */
};

struct recorded_op {
    struct linear_op op;
    uint8_t key;
    uint64_t session, sequence;
    bool ran; /* the canonical history applied it */
};

/* What happened in truth, outside of every node. */
struct canon_entry {
    bool known;
    raft_term term;
    raft_term committed_in; /* term of the first node that knew: at least the true one */
    uint64_t content;       /* hash of type, session, sequence, data */
    uint64_t chain;         /* after applying it; 0 = not applied yet */
    uint64_t conf;          /* hash of the configuration in force at this entry */
};

struct seen_entry { /* (index, term) names one content and one predecessor: log matching */
    raft_index index;
    raft_term term, prev_term;
    uint64_t content;
};

struct ballot_cast {
    raft_node_id voter, candidate;
    raft_term term;
};

struct world {
    struct raft_options options;
    struct raft_result result;
    struct sim_clock clock;
    struct sim_net net;
    struct sim_trace trace;
    struct prng adversary, workload, lives;
    struct host hosts[NODES_MAX];
    unsigned host_count;
    struct client clients[CLIENTS_MAX];
    struct recorded_op *ops;
    size_t op_count;
    uint64_t next_value;
    bool healing; /* the adversary is done */
    bool over;    /* nothing new begins */
    uint64_t act;
    unsigned damaged; /* host index + 1 of the one whose disk was damaged; 0 = none */
    uint64_t cluster;
    struct raft_conf *first_conf; /* owned; its members start with it, all others without */

    /* Truth. */
    struct canon_entry *canon;
    size_t canon_cap;
    raft_index canon_last;   /* highest committed index known */
    raft_index acked_index;  /* highest index of a write that a client was told of */
    struct seen_entry *seen; /* hash table */
    size_t seen_cap, seen_count;
    struct {
        raft_term term;
        raft_node_id leader;
    } * leaders;
    size_t leader_count, leader_cap;
    struct ballot_cast *ballots;
    size_t ballot_count, ballot_cap;
    struct machine machine; /* of the canonical history */
    struct {
        uint64_t session, sequence;
    } * ran;
    size_t ran_count, ran_cap;

    /* Scratch. */
    uint8_t *encode_buf;
    size_t encode_cap;
    struct raft_entry *decode_entries;
};

/* --- raft_host.c */
void host_init(struct host *h, struct world *w, unsigned index);
void host_deinit(struct host *h);
void host_create(struct host *h, raft_node_id id);
void host_start(struct host *h);
void host_crash(struct host *h, enum disk_mem_crash_mode mode);
void host_retire(struct host *h); /* crash, and never again; its disk is gone */
int host_step(struct host *h, const struct raft_event *event);
void host_checkpoint(struct host *h); /* what is applied becomes durable */
void host_pump(struct host *h);
bool host_has_room(const struct host *h, size_t entries, size_t bytes);
struct host *host_by_id(struct world *w, raft_node_id id);
struct slice sim_slice_copy(struct slice s);
void sim_slice_drop(struct slice *s);

/* --- raft_mail.c */
void mail_send(struct host *h, const struct raft_output *out);
void mail_send_parked(struct host *h); /* after a flush */
void mail_drop(struct host *h);        /* the process is gone */
void host_deliver(void *ctx, unsigned from, unsigned to, struct slice bytes);
void host_resume(struct host *h);

/* --- raft_snapshot.c */
void snapshot_work(struct host *h, const struct raft_output *out);
void sim_snapshot_clear(struct sim_snapshot *s);

/* --- raft_client.c */
void client_init(struct client *c, struct world *w, unsigned index);
void client_begin(struct client *c);
bool client_is_done(const struct client *c);
void client_applied(struct world *w, uint64_t ticket, struct raft_entry_id id, int32_t result);
void client_read_done(struct world *w, struct host *h, const struct raft_read_result *r);

/* --- raft_check.c */
void world_fail(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);
void check_output(struct host *h, const struct raft_output *out);
void check_vote(struct host *h, raft_term term, raft_node_id candidate);
void check_start(struct host *h);
void check_applied(struct host *h, const struct raft_entry *e);
void check_installed(struct host *h);
void check_history(struct world *w);
uint64_t content_of(const struct raft_entry *e);

/* --- raft_adversary.c */
void adversary_begin(struct world *w);
void adversary_end(struct world *w); /* heals a core; forbids further acts */

#endif /* SIM_RAFT_SIM_H */
