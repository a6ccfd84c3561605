/* raft/limits.h - Every bound of the consensus core, and the sums they give.
 *
 * Memory of one struct raft, beside the log:
 *     members     RAFT_MEMBERS_MAX x sizeof(struct progress), of which the window is
 *                 RAFT_INFLIGHT_MAX x 16 bytes: about 1 KiB per follower
 *     output      RAFT_MESSAGES_MAX messages, fixed at raft_new()
 *     reads       RAFT_READS_MAX x 64 bytes
 * Memory of the log: one struct raft_entry (72 bytes) and one allocation of its data per entry;
 * at most raft_config.log_bytes_max of both, after which proposals are refused. An entry that is
 * in flight to a follower costs nothing more: messages point into the log. */
#ifndef RAFT_LIMITS_H
#define RAFT_LIMITS_H

enum {
    RAFT_MEMBERS_MAX = 32,      /* voters and learners together, both halves of a joint one */
    RAFT_CONTEXT_LEN_MAX = 256, /* opaque bytes of one member: its addresses, its name */
    RAFT_TOMBSTONES_MAX = 256,  /* ids of removed members that stay refused; oldest go first */
    RAFT_CONF_OPS_MAX = 16,     /* operations in one configuration change */
    RAFT_CONF_LEN_MAX = 16 + RAFT_MEMBERS_MAX * (24 + RAFT_CONTEXT_LEN_MAX) +
                        RAFT_TOMBSTONES_MAX * 9, /* one encoded configuration */

    RAFT_ENTRY_LEN_MAX = (4 << 20) - 64, /* data of one entry; with its header still 4 MiB */
    RAFT_MESSAGE_ENTRIES_MAX = 4096,     /* entries in one append message */
    RAFT_MESSAGE_LEN_MAX = 8 << 20, /* one encoded message: a full window entry and its frame */
    RAFT_INFLIGHT_MAX = 64,         /* append messages under way to one follower */
    RAFT_BURST_MAX = 8,             /* append messages to one follower out of one step */
    RAFT_MESSAGES_MAX = RAFT_MEMBERS_MAX * (RAFT_BURST_MAX + 6) + 8, /* out of one step */
    RAFT_WRITES_MAX = 8,            /* write operations out of one step */
    RAFT_PENDING_WRITES_MAX = 1024, /* writes remembered until durable; then merged */
    RAFT_READS_MAX = 1024,          /* reads waiting; more are refused */
    RAFT_PROPOSALS_MAX = 4096,      /* proposals in one event */

    RAFT_CHUNK_LEN = 256 << 10,  /* bytes of one snapshot chunk; the last one is shorter */
    RAFT_CHUNKS_INFLIGHT = 4,    /* chunks asked for and not yet staged, per receiver */
    RAFT_CHUNK_READS_MAX = 64,   /* chunk reads asked of one host, over all receivers */
    RAFT_SNAPSHOT_WORK_MAX = 16, /* snapshot operations out of one step */
    RAFT_HASH_LEN = 32,          /* BLAKE2b-256 */
};

#endif /* RAFT_LIMITS_H */
