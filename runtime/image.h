/* runtime/image.h - Which images there are: names, and what they stand for.
 *
 * STATE/references holds { name: { manifest, config } }. A name is a full reference ("docker.io/
 * library/web:1", "..web@sha256:..") or "@sha256:.." for an image that has lost its names. What
 * no name reaches is garbage, except for what a blob_use covers. Any thread. */
#ifndef RUNTIME_IMAGE_H
#define RUNTIME_IMAGE_H

#include "runtime/blob.h"
#include "runtime/layer.h"
#include "runtime/manifest.h"
#include "runtime/reference.h"
#include "runtime/runtime.h"

#define IMAGE_REFERENCE_FIELDS(X, S)                                                            \
    X(S, 1, STR, LEN(DIGEST_TEXT_LEN, DIGEST_TEXT_LEN), manifest, "Manifest", REQUIRED)         \
    X(S, 2, STR, LEN(DIGEST_TEXT_LEN, DIGEST_TEXT_LEN), config, "Config", REQUIRED)             \
    /* the index that the manifest was chosen from, kept so that the digest stays resolvable */ \
    X(S, 3, STR, LEN(DIGEST_TEXT_LEN), index, "Index", OPTIONAL)
FIELDS_STRUCT(image_reference, IMAGE_REFERENCE_FIELDS);

#define IMAGE_REFERENCES_FIELDS(X, S) \
    X(S, 1, MAP, OF(image_reference, REFERENCE_COUNT_MAX), names, "Names", ALWAYS)
FIELDS_STRUCT(image_references, IMAGE_REFERENCES_FIELDS);

struct image_store {
    struct blob_store blobs;
    struct layer_store layers;
    struct path references_path;
    uv_mutex_t mutex; /* guards references and its file */
    struct image_references references;
};

NODISCARD int image_store_init(struct image_store *store, const char *state_dir, struct fault *f);
void image_store_deinit(struct image_store *store);

/* An image taken apart: all that a container needs of it. */
struct image {
    struct digest manifest, config_digest; /* config_digest is the image's id */
    struct image_config config;
    struct layer layers[LAYER_COUNT_MAX]; /* lowest first; set by image_find_layers() */
    struct digest chains[LAYER_COUNT_MAX];
    size_t layer_count;
};
void image_deinit(struct image *image);

/* `name`: reference, id or unique prefix of one (4 hex digits at least).
 *   ERR_NOT_FOUND, ERR_CONFLICT (an ambiguous prefix), ERR_CORRUPT */
NODISCARD int image_resolve(struct image_store *store, const char *name, struct image *out,
                            struct fault *f);
NODISCARD int image_open(struct image_store *store, const struct digest *manifest,
                         struct image *out, struct fault *f);
/*   ERR_CORRUPT: a layer is not unpacked (half of the state directory was lost) */
NODISCARD int image_find_layers(struct image_store *store, struct image *image, struct fault *f);

/* Unpacks those layers of a complete image that are not yet, several at a time, and verifies
 * them against the config. */
struct image_progress {
    void (*on_progress)(void *arg, const struct pull_progress *progress); /* any thread; or NULL */
    void *arg;
    const atomic_bool *cancel; /* or NULL */
};
NODISCARD int image_unpack(struct image_store *store, const struct digest *manifest,
                           const struct image_progress *progress, struct image *out,
                           struct fault *f);

/* Points `name` (full, or NULL for a nameless image) at an image. An image that loses its last
 * name by that stays, nameless. `index` may be NULL. */
NODISCARD int image_set_name(struct image_store *store, const char *name,
                             const struct digest *manifest, const struct digest *config,
                             const struct digest *index, struct fault *f);
enum image_unname { UNNAME_KEEP_IMAGE, UNNAME_DROP_IMAGE };
NODISCARD int image_remove_name(struct image_store *store, const char *name, enum image_unname what,
                                struct fault *f);

/* A copy of all references, the caller's to fields_deinit(&image_references_type). */
NODISCARD int image_references_copy(struct image_store *store, struct image_references *out);

/* The manifest for this host that `digest`, a manifest or an index in the store, stands for. */
NODISCARD int image_choose_manifest(struct image_store *store, const struct digest *digest,
                                    struct digest *out_manifest, bool *out_is_index,
                                    struct fault *f);

/* Removes blobs and layers that no name and no digest of `also_kept` (manifests) reaches. */
NODISCARD int image_collect(struct image_store *store, const struct digest *also_kept,
                            size_t also_count, struct blob_prune *out, struct fault *f);

#endif /* RUNTIME_IMAGE_H */
