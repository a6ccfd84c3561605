/* raft/log.h - The log in memory: everything after the base, and how much of it is on disk.
 *
 *     base.last.index   entries in memory                   last
 *     |-----------------|------------------------|----------|
 *                       compacted up to here     stable
 *
 * base.last.index <= stable <= last. Entries above `stable` are being written. Memory that an
 * append needs is taken by log_stage() beforehand, so that the change itself cannot fail. */
#ifndef RAFT_LOG_H
#define RAFT_LOG_H

#include "base/attr.h"
#include "raft/types.h"

/* A write under way, and the last entry that it makes durable. */
struct log_write {
    raft_write seq;
    raft_index last;
};

struct raft_log {
    struct raft_base base; /* conf is owned */
    struct raft_entry *entries;
    size_t start, count, cap;  /* entries[start .. start + count) are the log */
    struct raft_entry *staged; /* copies that are not in the log yet */
    size_t staged_count, staged_cap;
    size_t bytes; /* of entries: data and struct */

    raft_index stable;
    struct log_write writes[RAFT_PENDING_WRITES_MAX]; /* ring, ascending by seq */
    size_t write_start, write_count;
};

void log_init(struct raft_log *l);
void log_deinit(struct raft_log *l);

struct raft_entry_id log_last(const struct raft_log *l);

/* Term of the entry at `index`, when it is the base or in memory. */
bool log_term(const struct raft_log *l, raft_index index, raft_term *out);
bool log_matches(const struct raft_log *l, struct raft_entry_id id);

/* The entry at `index`, which is in memory; the ones up to log_last() follow it. */
const struct raft_entry *log_at(const struct raft_log *l, raft_index index);

/* The last entry at or before `index` whose term is at most `term`; the base when there is none
 * above it. Where two logs may still agree, found in one round trip per term instead of one per
 * entry: [Raft] 5.3, last paragraphs. */
struct raft_entry_id log_last_with_term(const struct raft_log *l, raft_index index, raft_term term);

/* Makes room for `staged` entries to stage and `spare` ones to append besides. -ENOMEM */
NODISCARD int log_reserve(struct raft_log *l, size_t staged, size_t spare);

/* Copies one entry, into room made before, for a later log_append_staged. -ENOMEM */
NODISCARD int log_stage(struct raft_log *l, const struct raft_entry *e);
void log_drop_staged(struct raft_log *l);

/* Appends staged entries from number `skip` on; the skipped ones are freed. */
void log_append_staged(struct raft_log *l, size_t skip);

/* Appends one entry into room made before. Takes e->data.ptr. */
void log_append_taken(struct raft_log *l, const struct raft_entry *e);

void log_truncate(struct raft_log *l, raft_index last);

/* Drops entries up to `last`, which is in the log. Takes `conf`. */
void log_compact(struct raft_log *l, struct raft_entry_id last, struct slice conf);

/* Drops everything and starts anew after `base`. Takes base.conf. */
void log_reset(struct raft_log *l, struct raft_base base);

/* Write `seq`, just issued, covers the log up to its end. */
void log_note_write(struct raft_log *l, raft_write seq);

/* Writes up to `seq` are durable: moves `stable`. */
void log_persisted(struct raft_log *l, raft_write seq);

/* Memory that one entry accounts for. */
static inline size_t log_entry_bytes(const struct raft_entry *e)
{
    return sizeof(*e) + e->data.len;
}

#endif /* RAFT_LOG_H */
