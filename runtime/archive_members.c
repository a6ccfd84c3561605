/* The members of an archive come in any order, so each is put into the blob store as it passes,
 * under its own digest, and found by its name later. Links are followed when a name is looked up,
 * by name only: nothing outside of the archive can be meant. What turns out to be of no use is
 * garbage for the next collection. */
#include "runtime/archive_members.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "runtime/limits.h"

#define MEMBER_COUNT_MAX 262144

void archive_members_init(struct archive_members *all, struct image_store *store,
                          const struct image_progress *progress, struct fault *f)
{
    struct hash_seed seed;

    randombytes_buf(&seed, sizeof(seed)); /* names are an outsider's */
    *all = (struct archive_members){ .store = store, .progress = progress, .f = f };
    map_init(&all->by_name, &seed, MEMBER_COUNT_MAX);
}

void archive_members_deinit(struct archive_members *all)
{
    struct map_iter it = { 0 };

    while (map_next(&all->by_name, &it)) {
        free(((struct archive_member *)it.value)->link);
        free(it.value);
    }
    map_deinit(&all->by_name);
}

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

static int put_member(struct archive_members *all, const char *name, const struct archive_member *m)
{
    struct archive_member *copy = malloc(sizeof(*copy));
    struct archive_member *before = map_get(&all->by_name, slice_of_str(name));
    int rc;

    if (copy == NULL)
        return -ENOMEM;
    *copy = *m;
    rc = map_set(&all->by_name, slice_of_str(name), copy);
    if (rc < 0) {
        free(copy);
    } else if (before != NULL) { /* as with tar: the last one counts */
        free(before->link);
        free(before);
    }
    return rc;
}

const struct archive_member *archive_find_member(const struct archive_members *all,
                                                 const char *name)
{
    char path[PATH_MAX];
    const struct archive_member *m = NULL;

    for (int links = 0; links < 8 && normalize(name, path); links++) {
        m = map_get(&all->by_name, slice_of_str(path));
        if (m == NULL || m->link == NULL)
            return m;
        name = m->link;
    }
    return NULL;
}

/* Through `read`, which returns bytes, 0 at the end, or < 0 with `f` set. */
static int take_file(struct archive_members *all, const char *name,
                     la_ssize_t (*read_some)(void *arg, void *bytes, size_t len), void *arg)
{
    struct blob_writer w = { 0 };
    struct archive_member m = { 0 };
    uint8_t *chunk = malloc(256 * KIB);
    int rc = chunk == NULL ? -ENOMEM : blob_write_begin(&all->store->blobs, &w);

    while (rc == 0) {
        la_ssize_t n = read_some(arg, chunk, 256 * KIB);

        if (n <= 0) {
            rc = (int)n;
            break;
        }
        rc = blob_write(&w, slice_of(chunk, (size_t)n));
        if (rc == 0 && all->progress->cancel != NULL && atomic_load(all->progress->cancel))
            rc = fault_set(all->f, ERR_CLOSED, "the runtime is closing");
    }
    free(chunk);
    m.size = w.hash.len;
    if (rc < 0)
        blob_write_abort(&all->store->blobs, &w);
    else
        rc = blob_write_commit(&all->store->blobs, &w, NULL, &m.digest);
    if (rc == 0)
        rc = put_member(all, name, &m);
    if (rc < 0 && all->f->text[0] == '\0')
        fault_system(all->f, rc, "archive member %.200s", name);
    return rc;
}

static la_ssize_t read_entry(void *arg, void *bytes, size_t len)
{
    la_ssize_t n = archive_read_data(arg, bytes, len);

    return n < 0 ? ERR_MALFORMED : n;
}

static int take_entry(struct archive_members *all, struct archive *a, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry), *target;
    char path[PATH_MAX], link[PATH_MAX];
    struct archive_member m = { 0 };
    const char *slash;
    int rc;

    if (name == NULL || !normalize(name, path))
        return 0; /* "./", or something that no index can name */
    target = archive_entry_hardlink(entry);
    if (target == NULL && archive_entry_filetype(entry) == AE_IFREG)
        return take_file(all, path, read_entry, a);
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
    rc = m.link == NULL ? -ENOMEM : put_member(all, path, &m);
    if (rc < 0) {
        free(m.link);
        return fault_system(all->f, rc, "archive member %.200s", path);
    }
    return 0;
}

int archive_take_tar(struct archive_members *all, int fd)
{
    struct archive *a = archive_read_new();
    struct archive_entry *entry;
    int got = ARCHIVE_FATAL, rc = 0;

    if (a == NULL)
        return fault_system(all->f, -ENOMEM, "archive");
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
            rc = take_entry(all, a, entry);
    }
    if (rc == ERR_MALFORMED || got == ARCHIVE_FATAL)
        rc = fault_set(all->f, ERR_MALFORMED, "archive: %s; is it complete?",
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

int archive_take_fd(struct archive_members *all, const char *name, int fd)
{
    return take_file(all, name, read_fd, &fd);
}

struct dir_walk {
    struct archive_members *all;
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
        return errno == ELOOP ? 0 : fault_system(w->all->f, -errno, "%s", member.text);
    rc = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? take_file(w->all, member.text, read_fd, &fd)
                                                    : 0;
    close(fd);
    return rc;
}

int archive_take_layout(struct archive_members *all, const char *dir)
{
    struct path blobs = path_of("%s/blobs/sha256", dir);
    struct dir_walk top = { .all = all, .prefix = "" };
    struct dir_walk below = { .all = all, .prefix = "blobs/sha256/" };
    int rc = dir_each(dir, take_dir_entry, &top);

    if (rc == 0)
        rc = dir_each(blobs.text, take_dir_entry, &below);
    if (rc < 0 && all->f->text[0] == '\0')
        fault_system(all->f, rc, "%s", blobs.text);
    return rc;
}

int archive_require_member(struct archive_members *all, const char *name,
                           const struct archive_member **out)
{
    *out = archive_find_member(all, name);
    if (*out == NULL)
        return fault_set(all->f, ERR_MALFORMED,
                         "archive: manifest.json names %.200s, which is not in it; is it complete?",
                         name);
    return 0;
}

/* --- Manifests */

const char *archive_layer_media_type(struct archive_members *all, const struct digest *layer)
{
    uint8_t magic[4] = { 0 };
    uint64_t size;
    int fd;

    if (blob_open(&all->store->blobs, layer, &fd, &size) < 0)
        return MEDIA_OCI_LAYER;
    (void)!read(fd, magic, sizeof(magic)); /* an empty one has no magic */
    close(fd);
    if (magic[0] == 0x1f && magic[1] == 0x8b)
        return MEDIA_OCI_LAYER "+gzip";
    if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
        return MEDIA_OCI_LAYER "+zstd";
    return MEDIA_OCI_LAYER;
}

int archive_describe_member(struct descriptor *d, const char *media_type,
                            const struct archive_member *m)
{
    int rc = str_set(&d->media_type, media_type);

    d->size = m->size;
    return rc < 0 ? rc : str_set(&d->digest, m->digest.text);
}

int archive_put_manifest(struct archive_members *all, const struct manifest *m, struct digest *out)
{
    struct buf text;
    int rc;

    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = fields_to_json_text(&manifest_type, m, FIELDS_JSON_PLAIN, &text);
    if (rc == 0)
        rc = blob_put(&all->store->blobs, buf_slice(&text), out);
    buf_deinit(&text);
    return rc < 0 ? fault_system(all->f, rc, "manifest") : 0;
}
