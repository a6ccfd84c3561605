/* The references are few and change seldom, so their file is rewritten as a whole, and what an
 * image consists of is read from its manifest and config each time: the blobs are the truth. */
#include "runtime/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

FIELDS_DEFINE(image_reference, IMAGE_REFERENCE_FIELDS);
FIELDS_DEFINE(image_references, IMAGE_REFERENCES_FIELDS);

#define REFERENCES_BYTES_MAX (64 * MIB)

static struct digest digest_from(const char *text)
{
    struct digest d = { "" };

    (void)!digest_parse(slice_of_str(text), &d); /* checked when it was stored */
    return d;
}

/* --- Opening and storing */

static int load_references(struct image_store *store, struct fault *f)
{
    struct field_error error;
    struct buf text;
    int rc;

    buf_init(&text, REFERENCES_BYTES_MAX);
    rc = file_read(AT_FDCWD, store->references_path.text, &text);
    if (rc == 0)
        rc = fields_decode(&image_references_type, buf_slice(&text), &store->references, &error);
    buf_deinit(&text);
    if (rc == -ENOENT)
        return 0;
    if (rc == ERR_MALFORMED)
        return fault_set(f, ERR_CORRUPT,
                         "%s: %s; move it away to start without image names (images can then be "
                         "loaded or pulled again)",
                         store->references_path.text, error.text);
    return rc < 0 ? fault_system(f, rc, "%s", store->references_path.text) : 0;
}

int image_store_init(struct image_store *store, const char *state_dir, struct fault *f)
{
    int rc;

    store->references_path = path_of("%s/references", state_dir);
    store->references = (struct image_references){ 0 };
    rc = blob_store_init(&store->blobs, state_dir, f);
    if (rc < 0)
        return rc;
    rc = layer_store_init(&store->layers, &store->blobs, state_dir, f);
    if (rc < 0)
        goto no_layers;
    rc = load_references(store, f);
    if (rc < 0)
        goto no_references;
    rc = uv_mutex_init(&store->mutex);
    if (rc == 0)
        return 0;
    fields_deinit(&image_references_type, &store->references);
no_references:
    layer_store_deinit(&store->layers);
no_layers:
    blob_store_deinit(&store->blobs);
    return rc;
}

void image_store_deinit(struct image_store *store)
{
    uv_mutex_destroy(&store->mutex);
    fields_deinit(&image_references_type, &store->references);
    layer_store_deinit(&store->layers);
    blob_store_deinit(&store->blobs);
}

/* Under the mutex. On failure the map in memory is ahead of the file until the next change. */
static int store_references(struct image_store *store, struct fault *f)
{
    struct field_error error;
    struct buf bytes;
    int rc;

    buf_init(&bytes, REFERENCES_BYTES_MAX);
    rc = fields_encode(&image_references_type, &store->references, &bytes, &error);
    if (rc == 0)
        rc = file_replace(store->references_path.text, buf_slice(&bytes), 0600, FILE_SYNCED);
    buf_deinit(&bytes);
    return rc < 0 ? fault_system(f, rc, "%s", store->references_path.text) : 0;
}

int image_references_copy(struct image_store *store, struct image_references *out)
{
    int rc;

    uv_mutex_lock(&store->mutex);
    rc = fields_copy(&image_references_type, &store->references, out);
    uv_mutex_unlock(&store->mutex);
    return rc;
}

/* --- Names. Under the mutex. */

static bool has_other_name(const struct image_store *store, const char *name, const char *manifest)
{
    for (size_t i = 0; i < store->references.names.count; i++) {
        const struct image_reference_map_item *item = &store->references.names.items[i];

        if (strcmp(item->key, name) != 0 && strcmp(item->value.manifest, manifest) == 0)
            return true;
    }
    return false;
}

static int put_name(struct image_store *store, const char *name, const char *manifest,
                    const char *config, const char *index)
{
    struct image_reference *r =
        fields_map_add(&image_reference_type, &store->references.names, name);
    struct image_reference fresh = { 0 };
    int rc;

    if (r == NULL)
        return -ENOMEM;
    rc = str_set(&fresh.manifest, manifest);
    if (rc == 0)
        rc = str_set(&fresh.config, config);
    if (rc == 0)
        rc = str_set(&fresh.index, index);
    if (rc < 0) {
        fields_deinit(&image_reference_type, &fresh);
        return rc;
    }
    fields_deinit(&image_reference_type, r);
    *r = fresh;
    return 0;
}

/* Before `name` stops meaning its image: gives the image a placeholder if it would have none. */
static int keep_nameless(struct image_store *store, const char *name)
{
    const struct image_reference *r =
        fields_map_get(&image_reference_type, &store->references.names, name);
    char placeholder[DIGEST_TEXT_LEN + 2];

    if (r == NULL || name[0] == '@' || has_other_name(store, name, r->manifest))
        return 0;
    (void)snprintf(placeholder, sizeof(placeholder), "@%s", r->manifest);
    return put_name(store, placeholder, r->manifest, r->config, r->index);
}

int image_set_name(struct image_store *store, const char *name, const struct digest *manifest,
                   const struct digest *config, const struct digest *index, struct fault *f)
{
    char placeholder[DIGEST_TEXT_LEN + 2];
    const struct image_reference *before;
    int rc = 0;

    (void)snprintf(placeholder, sizeof(placeholder), "@%s", manifest->text);
    uv_mutex_lock(&store->mutex);
    if (name == NULL && !has_other_name(store, "", manifest->text))
        name = placeholder;
    if (name != NULL) {
        before = fields_map_get(&image_reference_type, &store->references.names, name);
        if (before != NULL && strcmp(before->manifest, manifest->text) != 0)
            rc = keep_nameless(store, name);
        if (rc == 0)
            rc = put_name(store, name, manifest->text, config->text,
                          index == NULL ? NULL : index->text); /* "" is none too */
        if (rc == 0 && name != placeholder)
            fields_map_remove(&image_reference_type, &store->references.names, placeholder);
        rc = rc < 0 ? fault_system(f, rc, "image %s", name) : store_references(store, f);
    }
    uv_mutex_unlock(&store->mutex);
    return rc;
}

int image_remove_name(struct image_store *store, const char *name, enum image_unname what,
                      struct fault *f)
{
    int rc = 0;

    uv_mutex_lock(&store->mutex);
    if (what == UNNAME_KEEP_IMAGE)
        rc = keep_nameless(store, name);
    if (rc == 0) {
        fields_map_remove(&image_reference_type, &store->references.names, name);
        rc = store_references(store, f);
    }
    uv_mutex_unlock(&store->mutex);
    return rc;
}

/* --- Finding */

void image_deinit(struct image *image)
{
    fields_deinit(&image_config_type, &image->config);
}

static int read_manifest(struct image_store *store, const struct digest *digest,
                         struct manifest *out, struct fault *f)
{
    struct buf text;
    int rc;

    *out = (struct manifest){ 0 };
    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = blob_read(&store->blobs, digest, &text, f);
    if (rc == 0)
        rc = manifest_parse(buf_slice(&text), out, f);
    buf_deinit(&text);
    return rc;
}

int image_choose_manifest(struct image_store *store, const struct digest *digest,
                          struct digest *out_manifest, bool *out_is_index, struct fault *f)
{
    const struct image_platform *host = manifest_host_platform();
    const struct descriptor *chosen;
    struct manifest m;
    int rc = read_manifest(store, digest, &m, f);

    if (rc < 0)
        return rc;
    *out_is_index = manifest_is_index(&m);
    if (!*out_is_index) {
        *out_manifest = *digest;
    } else {
        chosen = manifest_choose(&m, host);
        if (chosen == NULL)
            rc = fault_set(f, ERR_UNSUPPORTED, "image %s: has no manifest for %s/%s", digest->text,
                           host->os, host->architecture);
        else
            *out_manifest = digest_from(chosen->digest);
    }
    fields_deinit(&manifest_type, &m);
    return rc;
}

static void fill_chains(struct image *image)
{
    const struct str_list *ids = &image->config.rootfs.diff_ids;

    for (size_t i = 0; i < ids->count; i++) {
        struct digest diff_id = digest_from(ids->items[i]);

        image->chains[i] = digest_chain(i == 0 ? NULL : &image->chains[i - 1], &diff_id);
    }
    image->layer_count = ids->count;
}

static int open_config(struct image_store *store, const struct manifest *m, struct image *image,
                       struct fault *f)
{
    struct buf text;
    int rc;

    image->config_digest = digest_from(m->config->digest);
    buf_init(&text, IMAGE_CONFIG_BYTES_MAX);
    rc = blob_read(&store->blobs, &image->config_digest, &text, f);
    if (rc == 0)
        rc = image_config_parse(buf_slice(&text), &image->config, f);
    buf_deinit(&text);
    if (rc < 0)
        return rc;
    if (image->config.rootfs.diff_ids.count != m->layers.count) {
        rc = fault_set(f, ERR_MALFORMED, "image %s: the manifest has %zu layers, the config %zu",
                       image->manifest.text, m->layers.count, image->config.rootfs.diff_ids.count);
        image_deinit(image);
        return rc;
    }
    if (!image_platform_matches(image->config.os, image->config.architecture)) {
        rc = fault_set(f, ERR_UNSUPPORTED, "image %s: is for %s/%s, this host is %s/%s",
                       image->manifest.text, image->config.os, image->config.architecture,
                       manifest_host_platform()->os, manifest_host_platform()->architecture);
        image_deinit(image);
        return rc;
    }
    fill_chains(image);
    return 0;
}

int image_open(struct image_store *store, const struct digest *manifest, struct image *out,
               struct fault *f)
{
    struct manifest m;
    int rc;

    *out = (struct image){ .manifest = *manifest };
    rc = read_manifest(store, manifest, &m, f);
    if (rc < 0)
        return rc;
    if (manifest_is_index(&m))
        rc = fault_set(f, ERR_MALFORMED, "image %s: is an index, not an image", manifest->text);
    else
        rc = open_config(store, &m, out, f);
    fields_deinit(&manifest_type, &m);
    return rc;
}

int image_find_layers(struct image_store *store, struct image *image, struct fault *f)
{
    for (size_t i = 0; i < image->layer_count; i++) {
        int rc = layer_find(&store->layers, &image->chains[i], &image->layers[i]);

        if (rc == ERR_NOT_FOUND)
            return fault_set(f, ERR_CORRUPT,
                             "image %s: layer %s is not unpacked; remove the image and pull or "
                             "load it again",
                             image->config_digest.text, image->chains[i].text);
        if (rc < 0)
            return fault_system(f, rc, "layer %s", image->chains[i].text);
    }
    return 0;
}

/* The hex digits of an id or a prefix of one; NULL when `name` cannot be one. */
static const char *id_prefix(const char *name)
{
    const char *hex = strncmp(name, "sha256:", 7) == 0 ? name + 7 : name;
    size_t len = strspn(hex, "0123456789abcdef");

    return hex[len] == '\0' && len >= 4 && len <= DIGEST_HEX_LEN ? hex : NULL;
}

static int find_by_id(const struct image_store *store, const char *name, struct digest *out,
                      struct fault *f)
{
    const char *prefix = id_prefix(name), *found = NULL;

    for (size_t i = 0; prefix != NULL && i < store->references.names.count; i++) {
        const struct image_reference *r = &store->references.names.items[i].value;

        if (strncmp(r->config + 7, prefix, strlen(prefix)) != 0)
            continue;
        if (found != NULL && strcmp(found, r->config) != 0)
            return fault_set(f, ERR_CONFLICT, "image %s: several ids begin so; give more digits",
                             name);
        found = r->config;
        *out = digest_from(r->manifest);
    }
    return found == NULL ? ERR_NOT_FOUND : 0;
}

static int find_by_name(const struct image_store *store, const char *name, struct digest *out)
{
    char full[REFERENCE_TEXT_MAX];
    const struct image_reference *r;
    struct reference ref;
    struct fault ignored;

    if (reference_parse(name, &ref, &ignored) < 0)
        return ERR_NOT_FOUND;
    reference_format(&ref, full);
    r = fields_map_get(&image_reference_type, &store->references.names, full);
    /* A digest says what the image is, whatever it is called here. */
    for (size_t i = 0; r == NULL && ref.digest.text[0] != '\0' && i < store->references.names.count;
         i++) {
        const struct image_reference *other = &store->references.names.items[i].value;

        if (strcmp(other->manifest, ref.digest.text) == 0 ||
            (other->index != NULL && strcmp(other->index, ref.digest.text) == 0))
            r = other;
    }
    if (r == NULL)
        return ERR_NOT_FOUND;
    *out = digest_from(r->manifest);
    return 0;
}

int image_resolve(struct image_store *store, const char *name, struct image *out, struct fault *f)
{
    struct digest manifest;
    int rc;

    uv_mutex_lock(&store->mutex);
    rc = find_by_name(store, name, &manifest);
    if (rc == ERR_NOT_FOUND)
        rc = find_by_id(store, name, &manifest, f);
    uv_mutex_unlock(&store->mutex);
    if (rc == ERR_NOT_FOUND)
        return fault_set(f, rc, "image %.300s: not on this node; pull or load it first", name);
    return rc < 0 ? rc : image_open(store, &manifest, out, f);
}

/* --- Garbage */

struct kept {
    struct digest *items; /* sorted once complete */
    size_t count, cap;
};

static int keep(struct kept *k, const struct digest *d)
{
    if (k->count == k->cap) {
        size_t cap = k->cap == 0 ? 256 : 2 * k->cap;
        struct digest *items = realloc(k->items, cap * sizeof(*items));

        if (items == NULL)
            return -ENOMEM;
        k->items = items;
        k->cap = cap;
    }
    k->items[k->count++] = *d;
    return 0;
}

static int compare_digests(const void *a, const void *b)
{
    const struct digest *x = a, *y = b;

    return strcmp(x->text, y->text);
}

static bool is_kept(void *arg, const struct digest *d)
{
    const struct kept *k = arg;

    return k->count > 0 &&
           bsearch(d, k->items, k->count, sizeof(*k->items), compare_digests) != NULL;
}

/* Everything that the manifest reaches. One that is broken keeps only itself. */
static int keep_image(struct image_store *store, const struct digest *manifest, struct kept *blobs,
                      struct kept *layers)
{
    struct fault ignored;
    struct image image = { 0 };
    struct manifest m;
    int rc = keep(blobs, manifest);

    if (rc < 0 || read_manifest(store, manifest, &m, &ignored) < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < m.layers.count; i++) {
        struct digest layer = digest_from(m.layers.items[i].digest);

        rc = keep(blobs, &layer);
    }
    if (rc == 0 && !manifest_is_index(&m) && open_config(store, &m, &image, &ignored) == 0) {
        rc = keep(blobs, &image.config_digest);
        for (size_t i = 0; rc == 0 && i < image.layer_count; i++)
            rc = keep(layers, &image.chains[i]);
        image_deinit(&image);
    }
    fields_deinit(&manifest_type, &m);
    return rc;
}

static int keep_all(struct image_store *store, const struct digest *also, size_t also_count,
                    struct kept *blobs, struct kept *layers)
{
    struct image_references refs;
    int rc = image_references_copy(store, &refs);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < refs.names.count; i++) {
        struct digest manifest = digest_from(refs.names.items[i].value.manifest);
        struct digest index = digest_from(refs.names.items[i].value.index);

        rc = keep_image(store, &manifest, blobs, layers);
        if (rc == 0 && index.text[0] != '\0')
            rc = keep(blobs, &index);
    }
    for (size_t i = 0; rc == 0 && i < also_count; i++)
        rc = keep_image(store, &also[i], blobs, layers);
    fields_deinit(&image_references_type, &refs);
    return rc;
}

int image_collect(struct image_store *store, const struct digest *also_kept, size_t also_count,
                  struct blob_prune *out, struct fault *f)
{
    struct kept blobs = { 0 }, layers = { 0 };
    int rc = keep_all(store, also_kept, also_count, &blobs, &layers);

    if (rc == 0) {
        if (blobs.count > 0)
            qsort(blobs.items, blobs.count, sizeof(*blobs.items), compare_digests);
        if (layers.count > 0)
            qsort(layers.items, layers.count, sizeof(*layers.items), compare_digests);
        rc = layer_prune(&store->layers, is_kept, &layers, out);
    }
    if (rc == 0)
        rc = blob_prune(&store->blobs, is_kept, &blobs, out);
    free(blobs.items);
    free(layers.items);
    return rc < 0 ? fault_system(f, rc, "image store") : 0;
}
