/* raft/session.h - Exactly once: which proposals the state machine has applied already.
 *
 * A client whose proposal got no answer does not know whether it was applied: the leader may have
 * failed after committing it. It may ask again, with the same session and sequence, and this table
 * says what became of it. The table is part of the replicated state: every member keeps one, feeds
 * it the same entries in the same order, and stores it with the state machine. [Diss] 6.3
 *
 *     RAFT_ENTRY_SESSION applied    session_open(t, entry index): that index is the session's id
 *     RAFT_ENTRY_DATA with session  session_check(): APPLY  -> apply, then session_done(result)
 *                                                    REPEAT -> do not apply; answer with the result
 *                                                    GONE   -> do not apply; the outcome is unknown
 *     snapshot                      session_encode() / session_decode()
 *
 * A client may have up to SESSION_WINDOW proposals under way at a time, in any order. Sequences
 * start at 1. When the table is full the session that was used longest ago goes; being a function
 * of the log alone, that is the same one everywhere. Deterministic, owns one allocation. */
#ifndef RAFT_SESSION_H
#define RAFT_SESSION_H

#include "base/attr.h"
#include "raft/types.h"

enum {
    SESSION_MAX = 256,    /* sessions: one per manager that proposes is the usual number */
    SESSION_WINDOW = 256, /* sequences remembered per session */
    SESSION_LEN_MAX = 16 + SESSION_MAX * (32 + SESSION_WINDOW * 5), /* encoded table */
};

struct session_table;

NODISCARD int session_new(struct session_table **out); /* -ENOMEM */
void session_free(struct session_table *t);            /* accepts NULL */

/* `id` is the index of the entry that opens it. */
void session_open(struct session_table *t, uint64_t id);

enum session_verdict { SESSION_APPLY, SESSION_REPEAT, SESSION_GONE };

/* What to do with entry `index` that carries `session` and `sequence`; session 0 always applies.
 * The result of the first time is written to *out_result for SESSION_REPEAT. */
enum session_verdict session_check(struct session_table *t, raft_index index, uint64_t session,
                                   uint64_t sequence, int32_t *out_result);

/* The entry just checked as SESSION_APPLY was applied with this result. */
void session_done(struct session_table *t, uint64_t session, uint64_t sequence, int32_t result);

/* Writes to `buf` of at least SESSION_LEN_MAX bytes; returns the length. Equal tables give equal
 * bytes. */
size_t session_encode(const struct session_table *t, uint8_t *buf);

/* Replaces the whole table; on error it is unchanged. ERR_MALFORMED */
NODISCARD int session_decode(struct session_table *t, struct slice bytes);

#endif /* RAFT_SESSION_H */
