/* runtime/layer.h - Unpacked layers, each once: STATE/layers.
 *
 *     N/root/          the tree, a lower directory of overlayfs; N is a small number, so that a
 *                      hundred of them fit into one mount's options
 *     N/size           bytes of file contents, as text
 *     chain/HEX -> ../N    made last: a layer is there when its chain id names it
 *
 * What a crash left without a name is removed when the store is opened. The chain id covers the
 * layers below too, because directories that a layer does not describe have the attributes of
 * those. Functions may be called from any thread. */
#ifndef RUNTIME_LAYER_H
#define RUNTIME_LAYER_H

#include <stdatomic.h>

#include "runtime/blob.h"
#include "runtime/unpack.h"

struct layer_store {
    struct path dir; /* STATE/layers */
    struct blob_store *blobs;
    uv_mutex_t mutex;     /* guards next_number, and publishing against pruning */
    uint64_t next_number; /* above all that are there */
};

NODISCARD int layer_store_init(struct layer_store *store, struct blob_store *blobs,
                               const char *state_dir, struct fault *f);
void layer_store_deinit(struct layer_store *store);

struct layer {
    uint64_t number;
    uint64_t bytes;
};

/* Also keeps it from pruning, as blob_find().  ERR_NOT_FOUND */
NODISCARD int layer_find(struct layer_store *store, const struct digest *chain, struct layer *out);
struct path layer_root(const struct layer_store *store, uint64_t number);

/* One being unpacked; several of an image may be at once, on different threads. */
struct layer_unpack {
    uint64_t number; /* 0 = none */
    struct unpack *unpack;
};

/* Unpacks the blob and checks it against the diff id (NULL: takes what it is, see
 * layer_unpack_diff_id()). Afterwards, unless layer_unpack_abort() ends it: layer_finish() for each
 * layer, lowest first; layer_store_sync() once for all; layer_publish() for each, lowest first.
 *   ERR_CORRUPT  the layer is not what the image's config says */
NODISCARD int layer_unpack(struct layer_store *store, int blob_fd, const struct digest *diff_id,
                           const atomic_bool *cancel, struct layer_unpack *out, struct fault *f);
struct digest layer_unpack_diff_id(const struct layer_unpack *l);

/* Gives it what only its parents know. Their numbers (highest first) are those of layers that are
 * finished, published or not. */
NODISCARD int layer_finish(struct layer_store *store, struct layer_unpack *l,
                           const uint64_t *parents, size_t parent_count, struct fault *f);

/* Everything that is finished is on disk. Waits for all that anybody has written to that file
 * system, which can take long: so not once per layer. */
NODISCARD int layer_store_sync(struct layer_store *store, struct fault *f);

/* Gives it its chain id, its parents having theirs; ends the unpacking. When another thread was
 * faster, its result is used. */
NODISCARD int layer_publish(struct layer_store *store, struct layer_unpack *l,
                            const struct digest *chain, struct layer *out, struct fault *f);
void layer_unpack_abort(struct layer_store *store, struct layer_unpack *l); /* zeroed is fine */

/* Removes those whose chain id `keep` denies, as blob_prune() does. */
NODISCARD int layer_prune(struct layer_store *store,
                          bool (*keep)(void *arg, const struct digest *chain), void *arg,
                          struct blob_prune *out);

#endif /* RUNTIME_LAYER_H */
