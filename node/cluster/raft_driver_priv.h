/* node/cluster/raft_driver_priv.h - What the parts of the raft driver share. Private to it.
 *
 * raft_driver.c opens, notes inputs and stops; raft_pump.c steps the core and carries out what it
 * says: raft_outbox.c its messages, raft_flush.c its writes, raft_driver_snapshot.c its work on
 * snapshots; raft_request.c knows who waits for which outcome. */
#ifndef NODE_CLUSTER_RAFT_DRIVER_PRIV_H
#define NODE_CLUSTER_RAFT_DRIVER_PRIV_H

#include "base/list.h"
#include "node/cluster/raft_disk.h"
#include "node/cluster/raft_driver.h"
#include "raft/wal.h"
#include "raft/wal_snapshot.h"

#define INBOUND_BYTES_MAX \
    (64 * MIB) /* messages noted and not yet stepped; beyond it they are lost */
#define REQUEST_BYTES_MAX (64 * MIB) /* of proposals likewise; beyond it ERR_FULL */
#define OUTBOUND_BYTES_MAX                                                 \
    (256 * MIB) /* messages that wait for a write; beyond it they are lost \
                 */
#define SNAPSHOT_BYTES_MAX (GIB)
#define HELD_SNAPSHOTS_MAX 4 /* made here and not yet released by the core */
#define UNREACHABLE_MAX    RAFT_MEMBERS_MAX

#define LANE_LOG      ((unsigned)WAL_LANE_LOG)
#define LANE_SPARE    ((unsigned)WAL_LANE_SPARE)
#define LANE_SNAPSHOT ((unsigned)WAL_LANE_COUNT)

struct inbound { /* a message as it came; or a chunk to serve, as an event */
    struct list link;
    raft_node_id from;
    size_t len;
    uint8_t bytes[];
};

struct outbound {
    struct list link;
    raft_node_id to;
    raft_write after;
    mono_ns not_before; /* of a notice */
    size_t len;
    uint8_t bytes[];
};

enum request_kind { REQUEST_PROPOSE, REQUEST_READ, REQUEST_CHANGE };

struct request {
    struct list link; /* in driver.requests, then .open, perhaps .orphans, at last .finished */
    enum request_kind kind;
    raft_driver_done done;
    void *owner;
    size_t slot; /* SIZE_MAX = none yet */
    bool is_counted;
    struct raft_entry_id entry; /* PROPOSE: what it became in the log */
    int err;
    raft_index index;
    int apply_result;
    size_t op_count;          /* CHANGE: ops point into `bytes` */
    struct raft_conf_op *ops; /* owned */
    size_t len;
    uint8_t bytes[]; /* the proposal's data, or the contexts of ops */
};

struct slot { /* ticket = generation << 32 | index + 1 */
    struct request *request;
    uint32_t generation;
    uint32_t next_free; /* index + 1; 0 = none */
};

struct to_apply {
    struct raft_entry_id id;
    enum raft_entry_type type;
    struct slice data; /* borrowed from the core until APPLIED */
    uint64_t ticket;
};

struct held_snapshot { /* made here for others to fetch; in memory until RELEASE */
    uint8_t hash[RAFT_HASH_LEN];
    bool is_used;
    struct buf bytes;
};

struct chunk_read { /* noted RAFT_WORK_READ */
    raft_node_id to;
    uint8_t hash[RAFT_HASH_LEN];
    uint64_t offset;
    size_t len;
};

struct raft_driver {
    struct raft_driver_config cfg; /* key wiped */
    struct wal_config wal_cfg;     /* has the key: snapshots are sealed later */
    struct raft *raft;
    struct wal *wal;
    struct raft_disk *disk;

    uv_prepare_t prepare;
    uv_idle_t idle; /* active while inputs are noted: the loop must not sleep before the pump */
    uv_timer_t timer;
    uv_timer_t housekeeping;
    int open_handles;
    mono_ns deadline;
    uv_timer_cb on_timer;

    /* Inputs. */
    struct list inbound;  /* struct inbound */
    struct list no_room;  /* struct inbound with entries that wait for a new segment of the log */
    size_t inbound_bytes; /* of both */
    struct list requests; /* struct request, not yet stepped */
    size_t request_bytes;
    bool is_short; /* requests wait for a new segment */
    raft_node_id unreachable[UNREACHABLE_MAX];
    size_t unreachable_count;
    bool wants_transfer;
    raft_node_id transfer_to;
    raft_index machine_durable;
    bool has_flushed;    /* a log job is done: PERSISTED */
    mono_ns flush_began; /* of the job that is in the log lane */
    mono_ns flush_took;  /* of the last one that is done */
    uint64_t pass;       /* runs of the pump */
    uint64_t written_in; /* pass of the oldest write that no flush has taken; 0 = none */

    /* Requests that the core has accepted. */
    struct list open;
    struct list orphans;     /* proposals of a lost leadership, ascending; raft_request.c */
    mono_ns orphan_deadline; /* while there are any */
    struct list finished;
    size_t open_count; /* not finished yet, stepped or not */
    struct slot *slots;
    uint32_t slot_count, slot_cap, free_slot; /* free_slot: index + 1 */

    /* Outputs. */
    struct list outbound;  /* struct outbound */
    struct list notices;   /* struct outbound: at most one for each member, the oldest first */
    size_t outbound_bytes; /* of both */
    struct to_apply *applying;
    size_t apply_count, apply_cap;
    raft_index applied, durable_told;
    raft_term applied_term; /* of the entry at `applied` */
    size_t accepted;        /* of the last RAFT_PROPOSE */
    bool role_changed, conf_changed, stepped_down, was_leader;
    enum raft_refusal refused;
    struct raft_conf *conf_told; /* what on_conf last said */

    /* Snapshots. */
    struct held_snapshot held[HELD_SNAPSHOTS_MAX];
    struct chunk_read reads[RAFT_CHUNK_READS_MAX];
    size_t read_count;
    bool wants_create;
    struct buf staged; /* being received */
    struct raft_snapshot staged_as;
    uint8_t staged_conf[RAFT_CONF_LEN_MAX];
    struct {
        bool is_set;
        uint8_t hash[RAFT_HASH_LEN];
        uint64_t offset;
    } staged_done; /* to be reported */
    enum { INSTALL_NONE, INSTALL_WANTED, INSTALL_WRITING, INSTALL_WRITTEN } install;
    struct wal_snapshot *installing;
    int install_status;
    bool snapshot_failed; /* to be reported */

    int failed;
    bool failure_told;
    char why[256];

    enum { DRIVER_RUNNING, DRIVER_HANDING_OVER, DRIVER_FLUSHING, DRIVER_CLOSING } state;
    mono_ns stop_deadline;
    bool is_handed_over;
    void (*on_stopped)(void *ctx);
    void *stopped_ctx;

    struct raft_entry *scratch;      /* RAFT_MESSAGE_ENTRIES_MAX, for decoding */
    struct raft_proposal *proposals; /* RAFT_PROPOSALS_MAX, for gathering */
};

/* The loop will not sleep before the pump has run. */
void raft_driver_wake(struct raft_driver *d);

/* Everything that happened since the loop last slept, in order, then its consequences. */
void raft_pump_run(struct raft_driver *d);

NODISCARD int raft_pump_step(struct raft_driver *d, const struct raft_event *event);
void raft_pump_tell_outcomes(struct raft_driver *d); /* delivers what is in d->finished now */

/* Answers everything that is open or waiting: the driver stops. */
void raft_pump_end_requests(struct raft_driver *d);
void raft_pump_fail(struct raft_driver *d, int err, const char *what);

/* Messages of the core: raft_outbox.c. */
void raft_outbox_add(struct raft_driver *d, const struct raft_message *m);
void raft_outbox_send(struct raft_driver *d);              /* what waits for no write, and is due */
mono_ns raft_outbox_deadline(const struct raft_driver *d); /* of the next notice */

/* Jobs of the log: raft_flush.c. */
void raft_flush_note(struct raft_driver *d); /* the log has taken writes */
void raft_flush_start(struct raft_driver *d);
bool raft_flush_is_due(const struct raft_driver *d); /* one waits for the next pass */
void raft_flush_done(struct raft_driver *d, enum wal_lane lane, int status);

/* Work of the core on snapshots: raft_driver_snapshot.c. */
void raft_snapshot_note(struct raft_driver *d, const struct raft_snapshot_work *work);
void raft_snapshot_run(struct raft_driver *d); /* after the entries at hand are applied */
void raft_snapshot_written(struct raft_driver *d, int status);
void raft_snapshot_deinit(struct raft_driver *d);

/* Moves a request to d->finished, from wherever it is. */
void raft_request_finish(struct raft_driver *d, struct request *r, int err);
/* NULL: that request was answered already. */
struct request *raft_request_of_ticket(struct raft_driver *d, uint64_t ticket);
/* Its ticket, the same at every call; 0: no memory. */
uint64_t raft_request_open(struct raft_driver *d, struct request *r);

/* Leadership is lost: what was proposed stays open until the log or the clock says what became of
 * it; changes of members are answered. */
void raft_request_orphan(struct raft_driver *d);
/* Whose outcome this entry is, which is about to be applied; NULL: nobody's here. Answers the
 * orphans of which it shows that they are lost. */
struct request *raft_request_applied(struct raft_driver *d, const struct to_apply *a);
/* The orphans' outcome can be seen no more. */
void raft_request_end_orphans(struct raft_driver *d);

#endif /* NODE_CLUSTER_RAFT_DRIVER_PRIV_H */
