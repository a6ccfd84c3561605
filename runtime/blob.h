/* runtime/blob.h - Blobs by digest: STATE/blobs/sha256/HEX, whole and verified or not there.
 *
 * A blob is written to STATE/blobs/tmp/ while it is hashed, flushed, and renamed to its name.
 * Pruning takes what no image refers to, except what was added or touched since the oldest
 * unfinished use began: a use touches each blob that it finds present, so that nothing it
 * relies on goes away before it has stored its reference. All functions may be called from any
 * thread. */
#ifndef RUNTIME_BLOB_H
#define RUNTIME_BLOB_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <uv.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/units.h"
#include "runtime/digest.h"
#include "runtime/fault.h"
#include "runtime/file.h"
#include "runtime/limits.h"

struct blob_store {
    struct path dir;   /* STATE/blobs */
    uv_mutex_t mutex;  /* guards what follows, and touch against removal */
    struct list uses;  /* oldest first */
    uint64_t next_tmp; /* names of temporary files */
};

/* From before the first blob is looked for until the reference to the image is stored. */
struct blob_use {
    struct list link;
    wall_ns since;
};

/* Makes the directories and removes unfinished files of a crash. */
NODISCARD int blob_store_init(struct blob_store *store, const char *state_dir, struct fault *f);
void blob_store_deinit(struct blob_store *store);

void blob_use_begin(struct blob_store *store, struct blob_use *use);
void blob_use_end(struct blob_store *store, struct blob_use *use);
/* Whether something modified then may be relied on by an open use. */
bool blob_use_covers(struct blob_store *store, const struct timespec *modified);

/* Its size, and keeps it from pruning for the uses that are open.  ERR_NOT_FOUND */
NODISCARD int blob_find(struct blob_store *store, const struct digest *digest, uint64_t *out_size);
NODISCARD int blob_open(struct blob_store *store, const struct digest *digest, int *out_fd,
                        uint64_t *out_size);
/* Appends the whole blob; the buffer's limit bounds it; the digest is verified again, because
 * what is read whole is what decides (manifests, configs).
 *   ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_CORRUPT */
NODISCARD int blob_read(struct blob_store *store, const struct digest *digest, struct buf *out,
                        struct fault *f);
struct path blob_path(const struct blob_store *store, const struct digest *digest);

/* One being written. */
struct blob_writer {
    int fd; /* 0 = not begun */
    uint64_t number;
    struct digest_state hash;
};
NODISCARD int blob_write_begin(struct blob_store *store, struct blob_writer *w);
NODISCARD int blob_write(struct blob_writer *w, struct slice bytes);
/* Publishes under the digest of what was written, which must be `expected` unless that is NULL;
 * ends the writer in any case.  ERR_CORRUPT: it is not */
NODISCARD int blob_write_commit(struct blob_store *store, struct blob_writer *w,
                                const struct digest *expected, struct digest *out);
void blob_write_abort(struct blob_store *store, struct blob_writer *w); /* a zeroed one too */

NODISCARD int blob_put(struct blob_store *store, struct slice bytes, struct digest *out);

/* Removes those for which `keep` says no.  Returns how much went in *out. */
struct blob_prune {
    uint64_t count, bytes;
};
NODISCARD int blob_prune(struct blob_store *store,
                         bool (*keep)(void *arg, const struct digest *digest), void *arg,
                         struct blob_prune *out);

#endif /* RUNTIME_BLOB_H */
