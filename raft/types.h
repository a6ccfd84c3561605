/* raft/types.h - The nouns that the core, its messages and its log on disk share. */
#ifndef RAFT_TYPES_H
#define RAFT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "raft/limits.h"

typedef uint64_t raft_node_id; /* random, never reused; 0 = none */
typedef uint64_t raft_term;    /* 0 before the first election */
typedef uint64_t raft_index;   /* first log entry is 1; 0 = empty log */
typedef uint64_t raft_write;   /* sequence number of a write since start; 0 = none */

/* Position and identity of an entry: two logs with one of these in common are equal up to it. */
struct raft_entry_id {
    raft_term term;
    raft_index index;
};

/* "At least as up-to-date": by term, then by index. <0, 0, >0. [Raft] 5.4.1 */
static inline int raft_entry_id_cmp(struct raft_entry_id a, struct raft_entry_id b)
{
    if (a.term != b.term)
        return a.term < b.term ? -1 : 1;
    return a.index < b.index ? -1 : a.index > b.index;
}

/* Numbers are on the wire and on disk. */
enum raft_entry_type {
    RAFT_ENTRY_NOOP = 0,    /* a new leader's first entry: [Raft] 8 */
    RAFT_ENTRY_DATA = 1,    /* the state machine's */
    RAFT_ENTRY_CONF = 2,    /* a whole configuration, encoded: raft/conf.h */
    RAFT_ENTRY_SESSION = 3, /* opens a client session, whose id is this entry's index */
};

struct raft_entry {
    struct raft_entry_id id;
    enum raft_entry_type type;
    uint64_t session;  /* 0 = no session; see raft/session.h */
    uint64_t sequence; /* within the session */
    struct slice data;
    uint64_t ticket; /* the proposer's, on the node that proposed only; never sent or stored */
};

/* What must survive a crash besides entries: [Raft] Figure 2, "persistent state". */
struct raft_hard_state {
    raft_term term;
    raft_node_id vote; /* voted for in `term`; 0 = nobody */
    raft_index commit; /* a hint, so that a restarted node applies at once; may be older */
};

/* Where a log starts: the entry before its first, and the configuration at that point. */
struct raft_base {
    struct raft_entry_id last; /* {0, 0} for a log that has everything */
    struct slice conf;         /* encoded struct raft_conf; empty = no configuration yet */
};

/* The identity of a snapshot's bytes and what they stand for. */
struct raft_snapshot {
    struct raft_base base;       /* the state after applying base.last */
    uint64_t size;               /* bytes */
    uint8_t hash[RAFT_HASH_LEN]; /* raft_snapshot_hash() over all chunks */
};

#endif /* RAFT_TYPES_H */
