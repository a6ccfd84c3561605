/* raft/wal_snapshot.h - An installed snapshot on disk, sealed as the log is.
 *
 * One file beside the log. It is written before the log is reset to its base, and read at start
 * when the state machine's own copy is older than the log's base: without it a crash right after
 * an installation would leave a log whose beginning nobody has.
 *
 *     wal_snapshot_new(&cfg, &snapshot, bytes, &s)     seals a copy
 *     run wal_snapshot_job(s)                          written beside, synced, renamed, synced
 *     wal_snapshot_free(s)
 *     wal_snapshot_read(&cfg, &reader, &found)         at start
 *
 * Format: docs/formats/wal.md. */
#ifndef RAFT_WAL_SNAPSHOT_H
#define RAFT_WAL_SNAPSHOT_H

#include "raft/wal.h"

#define WAL_SNAPSHOT_FILE "installed.snap"

struct wal_snapshot;

/* cfg->nonce_prefix must be fresh for every call. Borrows all but `cfg`'s copies for the call.
 *   ERR_TOO_LARGE (above 4 GiB), -ENOMEM */
NODISCARD int wal_snapshot_new(const struct wal_config *cfg, const struct raft_snapshot *snapshot,
                               struct slice bytes, struct wal_snapshot **out);

/* The job that makes it durable in place of the one before; lent until wal_snapshot_free(). */
struct disk_job wal_snapshot_job(const struct wal_snapshot *s);

void wal_snapshot_free(struct wal_snapshot *s); /* accepts NULL */

struct wal_snapshot_found {
    struct raft_snapshot snapshot; /* base.conf points into `memory` */
    struct slice bytes;            /* likewise */
    void *memory;                  /* free(3) */
};

/* Reads the file and verifies all of it.
 *   ERR_NOT_FOUND (there is none), ERR_CORRUPT, -EIO, -ENOMEM */
NODISCARD int wal_snapshot_read(const struct wal_config *cfg, const struct disk_reader *reader,
                                struct wal_snapshot_found *out);

#endif /* RAFT_WAL_SNAPSHOT_H */
