/* The members of an archive come in any order, so each is put into the blob store as it passes,
 * under its own digest, and only then the indexes are read. What turns out to be of no use is
 * garbage for the next collection.
 *
 *     index.json       OCI: descriptors of manifests or indexes; Docker writes it too since v25
 *     manifest.json    Docker: [{ Config, RepoTags, Layers }] with paths of members
 *
 * Where both are, the first says what the images are and the second gives them names. */
#include "runtime/archive_in.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/err.h"
#include "base/map.h"
#include "base/time_text.h"
#include "runtime/limits.h"

#define MEMBER_COUNT_MAX 262144

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

struct member {
    struct digest digest;
    uint64_t size;
    char *link; /* a symbolic link to another member; then the two above are empty */
};

struct loader {
    struct image_store *store;
    const struct image_progress *progress;
    archive_on_image on_image;
    void *arg;
    struct fault *f;
    struct map members; /* normalised name -> struct member */
    struct saved_images saved;
    size_t image_count;
};

/* --- Members */

/* Removes "./", empty parts and "x/../"; false when the name leads out. */
static bool normalize(const char *name, char out[PATH_MAX])
{
    size_t len = 0;

    while (*name != '\0') {
        size_t part = strcspn(name, "/");

        if (part == 2 && memcmp(name, "..", 2) == 0) {
            if (len == 0)
                return false;
            while (len > 0 && out[len - 1] != '/')
                len--;
            len -= len > 0;
        } else if (part > 0 && !(part == 1 && name[0] == '.')) {
            if (len + part + 2 > PATH_MAX)
                return false;
            if (len > 0)
                out[len++] = '/';
            memcpy(out + len, name, part);
            len += part;
        }
        name += part;
        while (*name == '/')
            name++;
    }
    out[len] = '\0';
    return len > 0;
}

static int put_member(struct loader *l, const char *name, const struct member *m)
{
    struct member *copy = malloc(sizeof(*copy));
    struct member *before = map_get(&l->members, slice_of_str(name));
    int rc;

    if (copy == NULL)
        return -ENOMEM;
    *copy = *m;
    rc = map_set(&l->members, slice_of_str(name), copy);
    if (rc < 0) {
        free(copy);
    } else if (before != NULL) { /* as with tar: the last one counts */
        free(before->link);
        free(before);
    }
    return rc;
}

/* The member behind the name, through at most a few links. */
static const struct member *find_member(const struct loader *l, const char *name)
{
    char path[PATH_MAX];
    const struct member *m = NULL;

    for (int links = 0; links < 8 && normalize(name, path); links++) {
        m = map_get(&l->members, slice_of_str(path));
        if (m == NULL || m->link == NULL)
            return m;
        name = m->link;
    }
    return NULL;
}

/* Through `read`, which returns bytes, 0 at the end, or < 0 with `f` set. */
static int take_file(struct loader *l, const char *name,
                     la_ssize_t (*read_some)(void *arg, void *bytes, size_t len), void *arg)
{
    struct blob_writer w = { 0 };
    struct member m = { 0 };
    uint8_t *chunk = malloc(256 * KIB);
    int rc = chunk == NULL ? -ENOMEM : blob_write_begin(&l->store->blobs, &w);

    while (rc == 0) {
        la_ssize_t n = read_some(arg, chunk, 256 * KIB);

        if (n <= 0) {
            rc = (int)n;
            break;
        }
        rc = blob_write(&w, slice_of(chunk, (size_t)n));
        if (rc == 0 && l->progress->cancel != NULL && atomic_load(l->progress->cancel))
            rc = fault_set(l->f, ERR_CLOSED, "the runtime is closing");
    }
    free(chunk);
    m.size = w.hash.len;
    if (rc < 0)
        blob_write_abort(&l->store->blobs, &w);
    else
        rc = blob_write_commit(&l->store->blobs, &w, NULL, &m.digest);
    if (rc == 0)
        rc = put_member(l, name, &m);
    if (rc < 0 && l->f->text[0] == '\0')
        fault_system(l->f, rc, "archive member %.200s", name);
    return rc;
}

static la_ssize_t read_entry(void *arg, void *bytes, size_t len)
{
    la_ssize_t n = archive_read_data(arg, bytes, len);

    return n < 0 ? ERR_MALFORMED : n;
}

static int take_entry(struct loader *l, struct archive *a, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry), *target;
    char path[PATH_MAX], link[PATH_MAX];
    struct member m = { 0 };
    const char *slash;
    int rc;

    if (name == NULL || !normalize(name, path))
        return 0; /* "./", or something that no index can name */
    target = archive_entry_hardlink(entry);
    if (target == NULL && archive_entry_filetype(entry) == AE_IFREG)
        return take_file(l, path, read_entry, a);
    if (target == NULL) {
        target = archive_entry_filetype(entry) == AE_IFLNK ? archive_entry_symlink(entry) : NULL;
        slash = strrchr(path, '/');
        if (target == NULL || target[0] == '/' ||
            snprintf(link, sizeof(link), "%.*s/%s", slash == NULL ? 0 : (int)(slash - path), path,
                     target) >= (int)sizeof(link))
            return 0;
        target = link;
    }
    m.link = strdup(target);
    rc = m.link == NULL ? -ENOMEM : put_member(l, path, &m);
    if (rc < 0) {
        free(m.link);
        return fault_system(l->f, rc, "archive member %.200s", path);
    }
    return 0;
}

static int take_archive(struct loader *l, int fd)
{
    struct archive *a = archive_read_new();
    struct archive_entry *entry;
    int got = ARCHIVE_FATAL, rc = 0;

    if (a == NULL)
        return fault_system(l->f, -ENOMEM, "archive");
    (void)archive_read_support_filter_gzip(a);
    (void)archive_read_support_filter_zstd(a);
    (void)archive_read_support_filter_xz(a);
    (void)archive_read_support_filter_bzip2(a);
    (void)archive_read_support_format_tar(a);
    got = archive_read_open_fd(a, fd, 256 * KIB);
    while (rc == 0 && got != ARCHIVE_FATAL) {
        got = archive_read_next_header(a, &entry);
        if (got == ARCHIVE_EOF)
            break;
        if (got == ARCHIVE_OK || got == ARCHIVE_WARN)
            rc = take_entry(l, a, entry);
    }
    if (rc == ERR_MALFORMED || got == ARCHIVE_FATAL)
        rc = fault_set(l->f, ERR_MALFORMED, "archive: %s; is it complete?",
                       archive_error_string(a) == NULL ? "not a tar" : archive_error_string(a));
    archive_read_free(a);
    return rc;
}

static la_ssize_t read_fd(void *arg, void *bytes, size_t len)
{
    ssize_t n;

    do {
        n = read(*(const int *)arg, bytes, len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

struct dir_walk {
    struct loader *loader;
    const char *prefix;
};

static int take_dir_entry(void *arg, int dir_fd, const char *name)
{
    struct dir_walk *w = arg;
    struct path member = path_of("%s%s", w->prefix, name);
    struct stat st;
    int fd, rc;

    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP ? 0 : fault_system(w->loader->f, -errno, "%s", member.text);
    rc = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
             ? take_file(w->loader, member.text, read_fd, &fd)
             : 0;
    close(fd);
    return rc;
}

static int take_layout(struct loader *l, const char *dir)
{
    struct path blobs = path_of("%s/blobs/sha256", dir);
    struct dir_walk top = { .loader = l, .prefix = "" };
    struct dir_walk below = { .loader = l, .prefix = "blobs/sha256/" };
    int rc = dir_each(dir, take_dir_entry, &top);

    if (rc == 0)
        rc = dir_each(blobs.text, take_dir_entry, &below);
    if (rc < 0 && l->f->text[0] == '\0')
        fault_system(l->f, rc, "%s", blobs.text);
    return rc;
}

/* --- Images */

static int finish_image(struct loader *l, const struct digest *manifest, const struct digest *index,
                        const struct str_list *names)
{
    struct image image;
    int rc = image_unpack(l->store, manifest, l->progress, &image, l->f);

    if (rc < 0)
        return rc;
    if (names->count == 0) {
        rc = image_set_name(l->store, NULL, manifest, &image.config_digest, index, l->f);
        if (rc == 0)
            l->on_image(l->arg, &image.config_digest, "");
    }
    for (size_t i = 0; rc == 0 && i < names->count; i++) {
        char full[REFERENCE_TEXT_MAX];
        struct reference ref;

        rc = reference_parse(names->items[i], &ref, l->f);
        if (rc < 0)
            break;
        reference_format(&ref, full);
        rc = image_set_name(l->store, full, manifest, &image.config_digest, index, l->f);
        if (rc == 0)
            l->on_image(l->arg, &image.config_digest, full);
    }
    l->image_count++;
    image_deinit(&image);
    return rc;
}

static const char *media_type_of(struct loader *l, const struct digest *layer)
{
    uint8_t magic[4] = { 0 };
    uint64_t size;
    int fd;

    if (blob_open(&l->store->blobs, layer, &fd, &size) < 0)
        return MEDIA_OCI_LAYER;
    (void)!read(fd, magic, sizeof(magic)); /* an empty one has no magic */
    close(fd);
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        return MEDIA_OCI_LAYER "+gzip";
    if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
        return MEDIA_OCI_LAYER "+zstd";
    return MEDIA_OCI_LAYER;
}

static int add_descriptor(struct descriptor *d, const char *media_type, const struct member *m)
{
    int rc = str_set(&d->media_type, media_type);

    d->size = m->size;
    return rc < 0 ? rc : str_set(&d->digest, m->digest.text);
}

static int put_manifest(struct loader *l, const struct manifest *m, struct digest *out)
{
    struct buf text;
    int rc;

    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = fields_to_json_text(&manifest_type, m, FIELDS_JSON_PLAIN, &text);
    if (rc == 0)
        rc = blob_put(&l->store->blobs, buf_slice(&text), out);
    buf_deinit(&text);
    return rc < 0 ? fault_system(l->f, rc, "manifest") : 0;
}

static int require_member(struct loader *l, const char *name, const struct member **out)
{
    *out = find_member(l, name);
    if (*out == NULL)
        return fault_set(l->f, ERR_MALFORMED,
                         "archive: manifest.json names %.200s, which is not in it; is it complete?",
                         name);
    return 0;
}

/* An image of manifest.json has no manifest blob: this makes one. */
static int load_saved(struct loader *l, const struct saved_image *saved)
{
    struct manifest m = { .schema_version = 2 };
    const struct member *member;
    struct digest digest;
    int rc = require_member(l, saved->config, &member);

    if (rc < 0)
        return rc;
    m.config = calloc(1, sizeof(*m.config));
    rc = m.config == NULL ? -ENOMEM : str_set(&m.media_type, MEDIA_OCI_MANIFEST);
    if (rc == 0)
        rc = add_descriptor(m.config, MEDIA_OCI_CONFIG, member);
    for (size_t i = 0; rc == 0 && i < saved->layers.count; i++) {
        struct descriptor *d = LIST_ADD(&m.layers);

        rc = d == NULL ? -ENOMEM : require_member(l, saved->layers.items[i], &member);
        if (rc == 0)
            rc = add_descriptor(d, media_type_of(l, &member->digest), member);
    }
    if (rc < 0 && l->f->text[0] == '\0')
        fault_system(l->f, rc, "archive");
    if (rc == 0)
        rc = put_manifest(l, &m, &digest);
    if (rc == 0)
        rc = finish_image(l, &digest, NULL, &saved->repo_tags);
    fields_deinit(&manifest_type, &m);
    return rc;
}

static int read_saved(struct loader *l, const struct member *m)
{
    struct field_error error;
    struct buf text;
    json_t *array, *wrapped;
    int rc;

    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = blob_read(&l->store->blobs, &m->digest, &text, l->f);
    if (rc == 0) {
        array = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
        wrapped = json_pack("{s:o}", "images", array); /* takes it */
        rc = wrapped == NULL ? fault_set(l->f, ERR_MALFORMED, "manifest.json: not JSON")
                             : fields_from_json(&saved_images_type, wrapped, FIELDS_JSON_PLAIN,
                                                &l->saved, &error);
        if (rc < 0 && wrapped != NULL)
            rc = fault_set(l->f, ERR_MALFORMED, "manifest.json: %s", error.text);
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
    rc = image_open(l->store, manifest, &image, l->f);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < l->saved.images.count && rc == 0; i++) {
        const struct saved_image *saved = &l->saved.images.items[i];
        const struct member *config = find_member(l, saved->config);

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
    rc = image_choose_manifest(l->store, &digest, &manifest, &is_index, l->f);
    if (rc == 0)
        rc = names_of(l, d, &manifest, &names);
    if (rc == 0)
        rc = finish_image(l, &manifest, is_index ? &digest : NULL, &names);
    str_list_clear(&names);
    return rc;
}

static int load_index(struct loader *l, const struct member *member)
{
    struct manifest index = { 0 };
    struct buf text;
    int rc, last = 0;

    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = blob_read(&l->store->blobs, &member->digest, &text, l->f);
    if (rc == 0)
        rc = manifest_parse(buf_slice(&text), &index, l->f);
    buf_deinit(&text);
    if (rc < 0)
        return fault_prefix(l->f, rc, "index.json");
    for (size_t i = 0; i < index.manifests.count; i++) {
        const struct descriptor *d = &index.manifests.items[i];

        if (d->platform != NULL &&
            !image_platform_matches(d->platform->os, d->platform->architecture))
            continue; /* the same image for another machine, or an attestation */
        l->f->text[0] = '\0';
        rc = load_described(l, d);
        if (rc < 0)
            last = rc;
    }
    fields_deinit(&manifest_type, &index);
    if (last == 0 && l->image_count == 0)
        return fault_set(l->f, ERR_UNSUPPORTED, "archive: has no image for %s/%s",
                         manifest_host_platform()->os, manifest_host_platform()->architecture);
    return last;
}

static int load_members(struct loader *l)
{
    const struct member *index = find_member(l, "index.json");
    const struct member *saved = find_member(l, "manifest.json");
    int rc = 0;

    if (index == NULL && saved == NULL)
        return fault_set(l->f, ERR_MALFORMED,
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
    struct loader l = {
        .store = store, .progress = progress, .on_image = on_image, .arg = arg, .f = f
    };
    struct map_iter it = { 0 };
    struct hash_seed seed;
    struct blob_use use;
    int rc;

    randombytes_buf(&seed, sizeof(seed));
    map_init(&l.members, &seed, MEMBER_COUNT_MAX);
    f->text[0] = '\0';
    blob_use_begin(&store->blobs, &use);
    rc = fd >= 0 ? take_archive(&l, fd) : take_layout(&l, dir);
    if (rc == 0)
        rc = load_members(&l);
    blob_use_end(&store->blobs, &use);
    while (map_next(&l.members, &it)) {
        free(((struct member *)it.value)->link);
        free(it.value);
    }
    map_deinit(&l.members);
    fields_deinit(&saved_images_type, &l.saved);
    return rc;
}

/* --- Import */

static int put_config(struct image_store *store, const struct image_config *config,
                      struct member *out)
{
    struct buf text;
    int rc;

    buf_init(&text, IMAGE_CONFIG_BYTES_MAX);
    rc = fields_to_json_text(&image_config_type, config, FIELDS_JSON_PLAIN, &text);
    out->size = text.len;
    if (rc == 0)
        rc = blob_put(&store->blobs, buf_slice(&text), &out->digest);
    buf_deinit(&text);
    return rc;
}

static int make_config(const char *run_config, const struct digest *diff_id, wall_ns now,
                       struct image_config *out, struct fault *f)
{
    const struct image_platform *host = manifest_host_platform();
    struct field_error error;
    char created[TIME_TEXT_MAX];
    int rc = 0;

    time_format(now, created);
    if (run_config != NULL) {
        rc = fields_from_json_text(&image_run_type, slice_of_str(run_config), FIELDS_JSON_PLAIN,
                                   &out->config, &error);
        if (rc < 0)
            return fault_set(f, ERR_INVALID, "config: %s", error.text);
    }
    rc |= str_set(&out->architecture, host->architecture);
    rc |= str_set(&out->os, host->os);
    rc |= str_set(&out->variant, host->variant);
    rc |= str_set(&out->created, created);
    rc |= str_set(&out->rootfs.type, "layers");
    rc |= str_list_append(&out->rootfs.diff_ids, diff_id->text);
    return rc < 0 ? fault_system(f, -ENOMEM, "import") : 0;
}

static int store_layer(struct loader *l, int fd, struct member *out)
{
    const struct member *layer;
    int rc = take_file(l, "layer", read_fd, &fd);

    if (rc == 0)
        rc = require_member(l, "layer", &layer);
    if (rc == 0)
        *out = *layer;
    return rc;
}

static int unpack_layer(struct loader *l, const struct member *layer, struct digest *diff_id)
{
    struct layer_unpack unpacked = { 0 };
    struct layer published;
    uint64_t size;
    int fd, rc;

    rc = blob_open(&l->store->blobs, &layer->digest, &fd, &size);
    if (rc < 0)
        return fault_system(l->f, rc, "import");
    rc = layer_unpack(&l->store->layers, fd, NULL, l->progress->cancel, &unpacked, l->f);
    close(fd);
    if (rc < 0)
        return fault_prefix(l->f, rc, "import");
    *diff_id = layer_unpack_diff_id(&unpacked);
    return layer_publish(&l->store->layers, &unpacked, diff_id, NULL, 0, &published, l->f);
}

static int import_image(struct loader *l, int fd, const char *name, const char *run_config,
                        wall_ns now, struct image *out)
{
    struct manifest m = { .schema_version = 2 };
    struct image_config config = { 0 };
    struct member layer = { 0 }, config_member = { 0 };
    struct digest diff_id = { "" }, digest;
    struct descriptor *d;
    int rc = store_layer(l, fd, &layer);

    if (rc == 0)
        rc = unpack_layer(l, &layer, &diff_id);
    if (rc == 0)
        rc = make_config(run_config, &diff_id, now, &config, l->f);
    if (rc < 0)
        goto out;
    m.config = calloc(1, sizeof(*m.config));
    d = LIST_ADD(&m.layers);
    rc = m.config == NULL || d == NULL ? -ENOMEM : put_config(l->store, &config, &config_member);
    if (rc == 0)
        rc = str_set(&m.media_type, MEDIA_OCI_MANIFEST);
    if (rc == 0)
        rc = add_descriptor(m.config, MEDIA_OCI_CONFIG, &config_member);
    if (rc == 0)
        rc = add_descriptor(d, media_type_of(l, &layer.digest), &layer);
    rc = rc < 0 ? fault_system(l->f, rc, "import") : put_manifest(l, &m, &digest);
    if (rc == 0)
        rc = image_set_name(l->store, name, &digest, &config_member.digest, NULL, l->f);
    if (rc == 0)
        rc = image_open(l->store, &digest, out, l->f);
out:
    fields_deinit(&manifest_type, &m);
    fields_deinit(&image_config_type, &config);
    return rc;
}

int archive_import(struct image_store *store, int fd, const char *name, const char *config,
                   wall_ns now, const struct image_progress *progress, struct image *out,
                   struct fault *f)
{
    struct loader l = { .store = store, .progress = progress, .f = f };
    const struct hash_seed seed = { { 0 } };
    struct map_iter it = { 0 };
    struct blob_use use;
    int rc;

    f->text[0] = '\0';
    map_init(&l.members, &seed, 1);
    blob_use_begin(&store->blobs, &use);
    rc = import_image(&l, fd, name, config, now, out);
    blob_use_end(&store->blobs, &use);
    while (map_next(&l.members, &it))
        free(it.value);
    map_deinit(&l.members);
    return rc;
}
