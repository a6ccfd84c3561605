#include "runtime/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

static wall_ns wall_now(void)
{
    struct timespec ts;

    CHECK(clock_gettime(CLOCK_REALTIME, &ts) == 0);
    return (wall_ns)ts.tv_sec * (wall_ns)NS_PER_S + ts.tv_nsec;
}

struct path blob_path(const struct blob_store *store, const struct digest *digest)
{
    return path_of("%s/sha256/%s", store->dir.text, digest_hex(digest));
}

static struct path tmp_path(const struct blob_store *store, uint64_t number)
{
    return path_of("%s/tmp/%llu", store->dir.text, (unsigned long long)number);
}

int blob_store_init(struct blob_store *store, const char *state_dir, struct fault *f)
{
    struct path sub;
    int rc;

    store->dir = path_of("%s/blobs", state_dir);
    store->next_tmp = 1;
    list_init(&store->uses);
    sub = path_of("%s/tmp", store->dir.text);
    rc = tree_remove(sub.text);
    if (rc == 0)
        rc = dir_make(sub.text, 0700);
    if (rc < 0)
        return fault_system(f, rc, "%s", sub.text);
    sub = path_of("%s/sha256", store->dir.text);
    rc = dir_make(sub.text, 0700);
    if (rc < 0)
        return fault_system(f, rc, "%s", sub.text);
    rc = uv_mutex_init(&store->mutex);
    return rc < 0 ? fault_system(f, rc, "blob store") : 0;
}

void blob_store_deinit(struct blob_store *store)
{
    CHECK(list_is_empty(&store->uses));
    uv_mutex_destroy(&store->mutex);
}

void blob_use_begin(struct blob_store *store, struct blob_use *use)
{
    uv_mutex_lock(&store->mutex);
    use->since = wall_now();
    list_init(&use->link);
    list_push_back(&store->uses, &use->link);
    uv_mutex_unlock(&store->mutex);
}

void blob_use_end(struct blob_store *store, struct blob_use *use)
{
    uv_mutex_lock(&store->mutex);
    list_remove(&use->link);
    uv_mutex_unlock(&store->mutex);
}

/* One second of slack: file times come from the kernel's coarse clock. */
static bool is_covered(const struct blob_store *store, const struct timespec *modified)
{
    struct list *oldest = list_first(&store->uses);
    wall_ns time = (wall_ns)modified->tv_sec * (wall_ns)NS_PER_S + modified->tv_nsec;

    return oldest != NULL &&
           time + (wall_ns)NS_PER_S >= CONTAINER_OF(oldest, struct blob_use, link)->since;
}

bool blob_use_covers(struct blob_store *store, const struct timespec *modified)
{
    bool covered;

    uv_mutex_lock(&store->mutex);
    covered = is_covered(store, modified);
    uv_mutex_unlock(&store->mutex);
    return covered;
}

int blob_find(struct blob_store *store, const struct digest *digest, uint64_t *out_size)
{
    struct path p = blob_path(store, digest);
    struct stat st;
    int rc = 0;

    uv_mutex_lock(&store->mutex);
    if (stat(p.text, &st) < 0)
        rc = errno == ENOENT ? ERR_NOT_FOUND : -errno;
    else if (!list_is_empty(&store->uses) && utimensat(AT_FDCWD, p.text, NULL, 0) < 0)
        rc = -errno;
    uv_mutex_unlock(&store->mutex);
    if (rc == 0)
        *out_size = (uint64_t)st.st_size;
    return rc;
}

int blob_open(struct blob_store *store, const struct digest *digest, int *out_fd,
              uint64_t *out_size)
{
    struct path p = blob_path(store, digest);
    struct stat st;
    int fd = open(p.text, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : -errno;
    if (fstat(fd, &st) < 0) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    *out_fd = fd;
    *out_size = (uint64_t)st.st_size;
    return 0;
}

int blob_read(struct blob_store *store, const struct digest *digest, struct buf *out,
              struct fault *f)
{
    struct digest actual;
    size_t before = out->len;
    uint64_t size = 0;
    int fd = -1;
    int rc = blob_open(store, digest, &fd, &size);

    if (rc < 0)
        return fault_system(f, rc, "blob %s", digest->text);
    rc = size > out->limit - out->len ? ERR_TOO_LARGE : file_read_fd(fd, out);
    close(fd);
    if (rc < 0)
        return fault_system(f, rc, "blob %s", digest->text);
    actual = digest_of(slice_of(out->ptr + before, out->len - before));
    if (!digest_equal(&actual, digest))
        return fault_set(
            f, ERR_CORRUPT,
            "blob %s: its bytes have changed on disk; remove the image and pull it again",
            digest->text);
    return 0;
}

int blob_write_begin(struct blob_store *store, struct blob_writer *w)
{
    struct path p;

    uv_mutex_lock(&store->mutex);
    w->number = store->next_tmp++;
    uv_mutex_unlock(&store->mutex);
    p = tmp_path(store, w->number);
    w->fd = open(p.text, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        w->fd = 0;
        return -errno;
    }
    digest_begin(&w->hash);
    return 0;
}

int blob_write(struct blob_writer *w, struct slice bytes)
{
    int rc;

    if (bytes.len > BLOB_BYTES_MAX - w->hash.len)
        return ERR_TOO_LARGE;
    rc = file_write_all(w->fd, bytes);
    if (rc == 0)
        digest_update(&w->hash, bytes);
    return rc;
}

void blob_write_abort(struct blob_store *store, struct blob_writer *w)
{
    struct path p;

    if (w->fd == 0)
        return;
    p = tmp_path(store, w->number);
    close(w->fd);
    w->fd = 0;
    (void)unlink(p.text); /* it is there; if not, the better */
}

/* Under the mutex, so that a prune that decided before does not take the new one. */
static int publish(struct blob_store *store, const char *from, const char *to)
{
    int rc;

    uv_mutex_lock(&store->mutex);
    rc = rename(from, to) < 0 ? -errno : 0;
    uv_mutex_unlock(&store->mutex);
    return rc;
}

int blob_write_commit(struct blob_store *store, struct blob_writer *w,
                      const struct digest *expected, struct digest *out)
{
    struct path tmp = tmp_path(store, w->number), final, parent;
    struct digest digest = digest_end(&w->hash);
    int rc = 0;

    if (expected != NULL && !digest_equal(expected, &digest))
        rc = ERR_CORRUPT;
    if (rc == 0 && fdatasync(w->fd) < 0)
        rc = -errno;
    if (rc < 0) {
        blob_write_abort(store, w);
        return rc;
    }
    close(w->fd);
    w->fd = 0;
    final = blob_path(store, &digest);
    parent = path_of("%s/sha256", store->dir.text);
    rc = publish(store, tmp.text, final.text);
    if (rc == 0)
        rc = dir_sync(parent.text);
    if (rc == 0 && out != NULL)
        *out = digest;
    return rc;
}

int blob_put(struct blob_store *store, struct slice bytes, struct digest *out)
{
    struct blob_writer w = { 0 };
    int rc = blob_write_begin(store, &w);

    if (rc == 0)
        rc = blob_write(&w, bytes);
    if (rc < 0) {
        blob_write_abort(store, &w);
        return rc;
    }
    return blob_write_commit(store, &w, NULL, out);
}

struct prune {
    struct blob_store *store;
    bool (*keep)(void *arg, const struct digest *digest);
    void *arg;
    struct blob_prune *out;
};

static int prune_entry(void *arg, int dir_fd, const char *name)
{
    struct prune *p = arg;
    char text[DIGEST_TEXT_LEN + 8];
    struct digest digest;
    struct stat st;
    int rc = 0;

    (void)snprintf(text, sizeof(text), "sha256:%.70s", name);
    if (digest_parse(slice_of_str(text), &digest) == 0 && p->keep(p->arg, &digest))
        return 0;
    uv_mutex_lock(&p->store->mutex);
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        !is_covered(p->store, &st.st_mtim)) {
        if (unlinkat(dir_fd, name, 0) == 0) {
            p->out->count++;
            p->out->bytes += (uint64_t)st.st_blocks * 512;
        } else {
            rc = -errno;
        }
    }
    uv_mutex_unlock(&p->store->mutex);
    return rc;
}

int blob_prune(struct blob_store *store, bool (*keep)(void *arg, const struct digest *digest),
               void *arg, struct blob_prune *out)
{
    struct path dir = path_of("%s/sha256", store->dir.text);
    struct prune p = { .store = store, .keep = keep, .arg = arg, .out = out };

    return dir_each(dir.text, prune_entry, &p);
}
