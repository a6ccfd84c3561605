/* raft/conf.h - The configuration: who votes, who learns, who was removed.
 *
 * A configuration entry carries the whole new configuration, not a difference, so that each is
 * understood alone: after a snapshot, after truncation, after any restart. While members change,
 * the configuration is joint ([Raft] 6): decisions need a majority of the old voters
 * (RAFT_VOTER_OLD) and a majority of the new ones (RAFT_VOTER). Pure; owns no memory. */
#ifndef RAFT_CONF_H
#define RAFT_CONF_H

#include "base/attr.h"
#include "raft/types.h"

/* Numbers are on the wire and on disk. A member with neither voter flag is a learner. */
enum raft_member_flags {
    RAFT_VOTER = 1,     /* votes; in a joint configuration: votes in the new half */
    RAFT_VOTER_OLD = 2, /* joint only: votes in the old half */
    RAFT_LEAVING = 4,   /* joint only: gone, with a tombstone, once the joint one is left */
    RAFT_PROMOTE = 8,   /* a learner that the leader makes a voter when it has caught up */
};

struct raft_member {
    raft_node_id id;
    uint32_t flags;
    uint32_t context_len;
    uint8_t context[RAFT_CONTEXT_LEN_MAX]; /* the host's: raft only carries it */
};

struct raft_conf {
    uint64_t epoch; /* 1, and one more for each forced new cluster */
    bool joint;
    uint32_t member_count;
    struct raft_member members[RAFT_MEMBERS_MAX]; /* ascending by id */
    uint32_t tombstone_count;
    raft_node_id tombstones[RAFT_TOMBSTONES_MAX]; /* oldest first */
};

enum raft_conf_op_type {
    RAFT_ADD_VOTER,   /* a new node or a learner is to vote: once it has caught up */
    RAFT_MAKE_VOTER,  /* a learner votes now; the leader refuses it for one that is behind */
    RAFT_ADD_LEARNER, /* a new node learns, a voter becomes a learner */
    RAFT_REMOVE,
    RAFT_SET_CONTEXT, /* changes the context alone */
};

struct raft_conf_op {
    enum raft_conf_op_type type;
    raft_node_id id;
    struct slice context; /* at most RAFT_CONTEXT_LEN_MAX; for RAFT_REMOVE ignored. An empty one
                             leaves the context of a present member as it is. */
};

/* The first configuration of a new cluster: one voter, epoch 1. Fails like raft_conf_decode(). */
NODISCARD int raft_conf_init(struct raft_conf *out, raft_node_id voter, struct slice context);

/* The member with this id, or NULL. */
const struct raft_member *raft_conf_find(const struct raft_conf *c, raft_node_id id);
bool raft_conf_is_removed(const struct raft_conf *c, raft_node_id id);

/* The configuration that `ops` lead to. It is joint when the set of voters changes; with only
 * learners or contexts changed it is not, because no decision can be split. A no-op is no error:
 * *out equals *c.
 *   ERR_INVALID   no voter would remain, an id is 0 or named twice, a context is too long
 *   ERR_CONFLICT  *c is joint: leave it first
 *   ERR_REMOVED   an added id has a tombstone
 *   ERR_NOT_FOUND an unknown id, unless it is added
 *   ERR_FULL      more than RAFT_MEMBERS_MAX members */
NODISCARD int raft_conf_change(const struct raft_conf *c, const struct raft_conf_op *ops,
                               size_t count, struct raft_conf *out);

/* The configuration after a joint one is left; removed members get their tombstones. */
void raft_conf_leave(const struct raft_conf *joint, struct raft_conf *out);

bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b);

/* Writes the canonical encoding to `buf` of at least RAFT_CONF_LEN_MAX bytes; returns its length.
 * docs/formats/raft.md. */
size_t raft_conf_encode(const struct raft_conf *c, uint8_t *buf);

/* Accepts exactly what raft_conf_encode() writes.
 *   ERR_MALFORMED  anything else, also members out of order or a configuration without voters */
NODISCARD int raft_conf_decode(struct slice bytes, struct raft_conf *out);

#endif /* RAFT_CONF_H */
