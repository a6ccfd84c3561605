/* First all members are taken (archive_members.c), then the indexes among them are read:
 *
 *     index.json       OCI: descriptors of manifests or indexes; Docker writes it too since v25
 *     manifest.json    Docker: [{ Config, RepoTags, Layers }] with paths of members
 *
 * Where both are, the first says what the images are and the second gives them names. */
#include "runtime/archive_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "runtime/archive_members.h"
#include "runtime/limits.h"

#define SAVED_IMAGE_FIELDS(X, S)                                    \
    X(S, 1, STR, LEN(1, 4096), config, "Config", REQUIRED)          \
    X(S, 2, LIST_STR, COUNT(1024), repo_tags, "RepoTags", OPTIONAL) \
    X(S, 3, LIST_STR, COUNT(LAYER_COUNT_MAX), layers, "Layers", OPTIONAL)
FIELDS_STRUCT(saved_image, SAVED_IMAGE_FIELDS);
FIELDS_DEFINE(saved_image, SAVED_IMAGE_FIELDS);

/* manifest.json is an array, tables are objects: it is read wrapped in one. */
#define SAVED_IMAGES_FIELDS(X, S) \
    X(S, 1, LIST, OF(saved_image, ARCHIVE_IMAGE_COUNT_MAX), images, "images", REQUIRED)
FIELDS_STRUCT(saved_images, SAVED_IMAGES_FIELDS);
FIELDS_DEFINE(saved_images, SAVED_IMAGES_FIELDS);

struct loader {
    struct archive_members members;
    archive_on_image on_image;
    void *arg;
    struct saved_images saved;
    size_t image_count;
};

static int finish_image(struct loader *l, const struct digest *manifest, const struct digest *index,
                        const struct str_list *names)
{
    struct image image;
    int rc = image_unpack(l->members.store, manifest, l->members.progress, &image, l->members.f);

    if (rc < 0)
        return rc;
    if (names->count == 0) {
        rc = image_set_name(l->members.store, NULL, manifest, &image.config_digest, index,
                            l->members.f);
        if (rc == 0)
            l->on_image(l->arg, &image.config_digest, "");
    }
    for (size_t i = 0; rc == 0 && i < names->count; i++) {
        char full[REFERENCE_TEXT_MAX];
        struct reference ref;

        rc = reference_parse(names->items[i], &ref, l->members.f);
        if (rc < 0)
            break;
        reference_format(&ref, full);
        rc = image_set_name(l->members.store, full, manifest, &image.config_digest, index,
                            l->members.f);
        if (rc == 0)
            l->on_image(l->arg, &image.config_digest, full);
    }
    l->image_count++;
    image_deinit(&image);
    return rc;
}

/* An image of manifest.json has no manifest blob: this makes one. */
static int load_saved(struct loader *l, const struct saved_image *saved)
{
    struct manifest m = { .schema_version = 2 };
    const struct archive_member *member;
    struct digest digest;
    int rc = archive_require_member(&l->members, saved->config, &member);

    if (rc < 0)
        return rc;
    m.config = calloc(1, sizeof(*m.config));
    rc = m.config == NULL ? -ENOMEM : str_set(&m.media_type, MEDIA_OCI_MANIFEST);
    if (rc == 0)
        rc = archive_describe_member(m.config, MEDIA_OCI_CONFIG, member);
    for (size_t i = 0; rc == 0 && i < saved->layers.count; i++) {
        struct descriptor *d = LIST_ADD(&m.layers);

        rc = d == NULL ? -ENOMEM
                       : archive_require_member(&l->members, saved->layers.items[i], &member);
        if (rc == 0)
            rc = archive_describe_member(d, archive_layer_media_type(&l->members, &member->digest),
                                         member);
    }
    if (rc < 0 && l->members.f->text[0] == '\0')
        fault_system(l->members.f, rc, "archive");
    if (rc == 0)
        rc = archive_put_manifest(&l->members, &m, &digest);
    if (rc == 0)
        rc = finish_image(l, &digest, NULL, &saved->repo_tags);
    fields_deinit(&manifest_type, &m);
    return rc;
}

static int read_saved(struct loader *l, const struct archive_member *m)
{
    struct field_error error;
    struct buf text;
    json_t *array, *wrapped;
    int rc;

    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = blob_read(&l->members.store->blobs, &m->digest, &text, l->members.f);
    if (rc == 0) {
        array = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
        wrapped = json_pack("{s:o}", "images", array); /* takes it */
        rc = wrapped == NULL ? fault_set(l->members.f, ERR_MALFORMED, "manifest.json: not JSON")
                             : fields_from_json(&saved_images_type, wrapped, FIELDS_JSON_PLAIN,
                                                &l->saved, &error);
        if (rc < 0 && wrapped != NULL)
            rc = fault_set(l->members.f, ERR_MALFORMED, "manifest.json: %s", error.text);
        json_decref(wrapped);
    }
    buf_deinit(&text);
    return rc;
}

/* Names for an image of index.json: its annotations, else what manifest.json calls its config. */
static int names_of(struct loader *l, const struct descriptor *d, const struct digest *manifest,
                    struct str_list *out)
{
    const char *name = str_map_get(&d->annotations, "io.containerd.image.name");
    struct image image;
    int rc = 0;

    if (name == NULL) {
        name = str_map_get(&d->annotations, "org.opencontainers.image.ref.name");
        if (name != NULL && strpbrk(name, ":/") == NULL)
            name = NULL; /* only a tag: of what, it does not say */
    }
    if (name != NULL)
        return str_list_append(out, name);
    rc = image_open(l->members.store, manifest, &image, l->members.f);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < l->saved.images.count && rc == 0; i++) {
        const struct saved_image *saved = &l->saved.images.items[i];
        const struct archive_member *config = archive_find_member(&l->members, saved->config);

        if (config == NULL || !digest_equal(&config->digest, &image.config_digest))
            continue;
        for (size_t k = 0; k < saved->repo_tags.count && rc == 0; k++)
            rc = str_list_append(out, saved->repo_tags.items[k]);
    }
    image_deinit(&image);
    return rc;
}

static int load_described(struct loader *l, const struct descriptor *d)
{
    struct digest digest = { "" }, manifest;
    struct str_list names = { 0 };
    bool is_index;
    int rc;

    (void)!digest_parse(slice_of_str(d->digest), &digest); /* checked by manifest_parse */
    rc = image_choose_manifest(l->members.store, &digest, &manifest, &is_index, l->members.f);
    if (rc == 0)
        rc = names_of(l, d, &manifest, &names);
    if (rc == 0)
        rc = finish_image(l, &manifest, is_index ? &digest : NULL, &names);
    str_list_clear(&names);
    return rc;
}

static int load_index(struct loader *l, const struct archive_member *member)
{
    struct manifest index = { 0 };
    struct buf text;
    int rc, last = 0;

    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = blob_read(&l->members.store->blobs, &member->digest, &text, l->members.f);
    if (rc == 0)
        rc = manifest_parse(buf_slice(&text), &index, l->members.f);
    buf_deinit(&text);
    if (rc < 0)
        return fault_prefix(l->members.f, rc, "index.json");
    for (size_t i = 0; i < index.manifests.count; i++) {
        const struct descriptor *d = &index.manifests.items[i];

        if (d->platform != NULL &&
            !image_platform_matches(d->platform->os, d->platform->architecture))
            continue; /* the same image for another machine, or an attestation */
        l->members.f->text[0] = '\0';
        rc = load_described(l, d);
        if (rc < 0)
            last = rc;
    }
    fields_deinit(&manifest_type, &index);
    if (last == 0 && l->image_count == 0)
        return fault_set(l->members.f, ERR_UNSUPPORTED, "archive: has no image for %s/%s",
                         manifest_host_platform()->os, manifest_host_platform()->architecture);
    return last;
}

static int load_members(struct loader *l)
{
    const struct archive_member *index = archive_find_member(&l->members, "index.json");
    const struct archive_member *saved = archive_find_member(&l->members, "manifest.json");
    int rc = 0;

    if (index == NULL && saved == NULL)
        return fault_set(l->members.f, ERR_MALFORMED,
                         "archive: has neither index.json nor manifest.json, so it is no image; "
                         "for a root file system use import");
    if (saved != NULL)
        rc = read_saved(l, saved);
    if (rc < 0)
        return rc;
    if (index != NULL)
        return load_index(l, index);
    for (size_t i = 0; i < l->saved.images.count && rc == 0; i++)
        rc = load_saved(l, &l->saved.images.items[i]);
    return rc;
}

int archive_load(struct image_store *store, const char *dir, int fd,
                 const struct image_progress *progress, archive_on_image on_image, void *arg,
                 struct fault *f)
{
    struct loader l = { .on_image = on_image, .arg = arg };
    struct blob_use use;
    int rc;

    archive_members_init(&l.members, store, progress, f);
    f->text[0] = '\0';
    blob_use_begin(&store->blobs, &use);
    rc = fd >= 0 ? archive_take_tar(&l.members, fd) : archive_take_layout(&l.members, dir);
    if (rc == 0)
        rc = load_members(&l);
    blob_use_end(&store->blobs, &use);
    archive_members_deinit(&l.members);
    fields_deinit(&saved_images_type, &l.saved);
    return rc;
}
