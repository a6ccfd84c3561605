/* raft/raft_msg.h - What members say to each other, and its bytes.
 *
 * An envelope (kind, cluster, epoch, sender, receiver, term) and one body per kind. The bytes are
 * described in docs/formats/raft.md. Decoding checks every bound; whether the fields make sense
 * together is raft_step()'s to say. */
#ifndef RAFT_RAFT_MSG_H
#define RAFT_RAFT_MSG_H

#include "base/attr.h"
#include "raft/types.h"

/* Numbers are on the wire. */
enum raft_message_type {
    RAFT_VOTE_REQ = 1, /* also the pre-vote: vote.pre */
    RAFT_VOTE_RES = 2,
    RAFT_APPEND = 3,
    RAFT_APPEND_RES = 4,
    RAFT_HEARTBEAT = 5,
    RAFT_HEARTBEAT_RES = 6,
    RAFT_TIMEOUT_NOW = 7, /* leadership transfer: campaign at once. [Diss] 3.10 */
    RAFT_READ_REQ = 8,    /* a follower asks for a read index. [Diss] 6.4 */
    RAFT_READ_RES = 9,
    RAFT_SNAPSHOT_OFFER = 10, /* "your next entry is gone; fetch this instead" */
    RAFT_SNAPSHOT_REQ = 11,   /* the receiver pulls chunks, from any holder */
    RAFT_SNAPSHOT_RES = 12,
    RAFT_REFUSED = 13, /* "I do not talk to you, and this is why" */
};

/* In a pre-vote, the envelope's term is the term that the sender would campaign in; it has not
 * entered it. [Diss] 9.6 */
struct raft_vote_req {
    bool pre;
    bool transfer; /* the leader asked for this election: a live leader is no reason to refuse */
    struct raft_entry_id last; /* candidate's last entry */
};

/* A granted pre-vote carries the term that was asked for, everything else the voter's term. */
struct raft_vote_res {
    bool pre;
    bool granted;
};

struct raft_append {
    struct raft_entry_id prev; /* the entry just before entries[0] */
    raft_index commit;         /* leader's commit index */
    uint64_t read_round;       /* see raft_heartbeat */
    const struct raft_entry *entries;
    size_t entry_count;
};

struct raft_append_res {
    bool rejected;
    bool repair;      /* rejected, and entries that were acknowledged before are gone: raft_start */
    raft_index match; /* accepted: everything up to here is on disk and equals the leader's log.
                         Rejected: the prev.index that did not match. */
    struct raft_entry_id hint; /* rejected: the last entry that may still match */
    uint64_t read_round;
};

struct raft_heartbeat {
    raft_index commit;   /* never above what the receiver is known to hold */
    uint64_t read_round; /* rises with every batch of reads, never reused in a term: an answer with
                            n confirms the leader for all reads of rounds up to n */
    bool quiet;          /* only tells the commit index; no answer wanted */
};

struct raft_heartbeat_res {
    uint64_t read_round;
    bool unfit; /* cannot lead now: it stops, installs a snapshot, or its log is being repaired */
};

struct raft_read_req {
    uint64_t id; /* the asker's, never reused, not even after a restart */
};

struct raft_read_res {
    uint64_t id;
    bool rejected; /* not the leader, or too busy: ask again */
    raft_index index;
};

struct raft_snapshot_offer {
    struct raft_snapshot snapshot;
};

struct raft_snapshot_req {
    uint8_t hash[RAFT_HASH_LEN];
    uint64_t offset; /* a multiple of RAFT_CHUNK_LEN */
};

struct raft_snapshot_res {
    uint8_t hash[RAFT_HASH_LEN];
    uint64_t offset;
    bool missing; /* the sender does not hold this snapshot (any more) */
    struct slice data;
};

/* Numbers are on the wire. */
enum raft_refusal {
    RAFT_REFUSED_CLUSTER = 1, /* another cluster */
    RAFT_REFUSED_EPOCH = 2,   /* before or after a forced new cluster */
    RAFT_REFUSED_REMOVED = 3, /* the sender was removed for good */
};

struct raft_refused {
    enum raft_refusal reason;
};

struct raft_message {
    enum raft_message_type type;
    uint64_t cluster; /* raft_config.cluster */
    uint64_t epoch;   /* raft_conf.epoch of the sender; 0 = it has no configuration yet */
    raft_node_id from;
    raft_node_id to;
    raft_term term;
    union {
        struct raft_vote_req vote;
        struct raft_vote_res vote_res;
        struct raft_append append;
        struct raft_append_res append_res;
        struct raft_heartbeat heartbeat;
        struct raft_heartbeat_res heartbeat_res;
        struct raft_read_req read;
        struct raft_read_res read_res;
        struct raft_snapshot_offer offer;
        struct raft_snapshot_req chunk;
        struct raft_snapshot_res chunk_res;
        struct raft_refused refused;
    };

    raft_write after; /* not sent: the write that must be durable before this may leave */
};

/* Static name of a kind: "append"; "?" for others. */
const char *raft_message_name(enum raft_message_type type);

/* Upper bound of the encoded length of `m`. */
size_t raft_message_encoded_max(const struct raft_message *m);

/* Encodes `m`, except `after` and tickets, into `buf`. Returns the length written.
 *   ERR_FULL  `cap` is less than raft_message_encoded_max() */
NODISCARD int64_t raft_message_encode(const struct raft_message *m, uint8_t *buf, size_t cap);

/* Decodes one message. Slices and entry data in *out borrow `bytes`; the entry array borrows
 * `entries`, which has room for RAFT_MESSAGE_ENTRIES_MAX.
 *   ERR_MALFORMED  truncated, over a limit, an unknown kind, or bytes left over */
NODISCARD int raft_message_decode(struct slice bytes, struct raft_entry *entries,
                                  struct raft_message *out);

#endif /* RAFT_RAFT_MSG_H */
