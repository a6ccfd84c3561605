#include "runtime/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/limits.h"

struct path layer_root(const struct layer_store *store, uint64_t number)
{
    return path_of("%s/%" PRIu64 "/root", store->dir.text, number);
}

static struct path number_path(const struct layer_store *store, uint64_t number)
{
    return path_of("%s/%" PRIu64, store->dir.text, number);
}

static struct path chain_path(const struct layer_store *store, const struct digest *chain)
{
    return path_of("%s/chain/%s", store->dir.text, digest_hex(chain));
}

/* The number that a chain link points to; 0 = none. */
static uint64_t read_number(const char *link)
{
    char target[64];
    ssize_t len = readlink(link, target, sizeof(target) - 1);

    if (len < 4)
        return 0;
    target[len] = '\0';
    return strtoull(target + 3, NULL, 10); /* behind "../" */
}

/* --- Opening */

struct named {
    struct layer_store *store;
    uint64_t *numbers;
    size_t count, cap;
};

static int note_named(void *arg, int dir_fd, const char *name)
{
    struct named *n = arg;
    struct path link = path_of("%s/chain/%s", n->store->dir.text, name);

    (void)dir_fd;
    if (n->count == n->cap) {
        size_t cap = n->cap == 0 ? 256 : 2 * n->cap;
        uint64_t *numbers = realloc(n->numbers, cap * sizeof(*numbers));

        if (numbers == NULL)
            return -ENOMEM;
        n->numbers = numbers;
        n->cap = cap;
    }
    n->numbers[n->count++] = read_number(link.text);
    return 0;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int remove_unnamed(void *arg, int dir_fd, const char *name)
{
    struct named *n = arg;
    uint64_t number = strtoull(name, NULL, 10);
    struct path p = path_of("%s/%s", n->store->dir.text, name);

    (void)dir_fd;
    if (number == 0) /* chain */
        return 0;
    n->store->next_number = MAX(n->store->next_number, number + 1);
    if (n->count > 0 && bsearch(&number, n->numbers, n->count, sizeof(number), compare_u64) != NULL)
        return 0;
    return tree_remove(p.text);
}

static int clean(struct layer_store *store)
{
    struct path chain = path_of("%s/chain", store->dir.text);
    struct named n = { .store = store };
    int rc = dir_each(chain.text, note_named, &n);

    if (rc == 0 && n.count > 0)
        qsort(n.numbers, n.count, sizeof(*n.numbers), compare_u64);
    if (rc == 0)
        rc = dir_each(store->dir.text, remove_unnamed, &n);
    free(n.numbers);
    return rc;
}

int layer_store_init(struct layer_store *store, struct blob_store *blobs, const char *state_dir,
                     struct fault *f)
{
    struct path chain = path_of("%s/layers/chain", state_dir);
    int rc;

    store->dir = path_of("%s/layers", state_dir);
    store->blobs = blobs;
    store->next_number = 1;
    rc = dir_make(chain.text, 0700);
    if (rc == 0)
        rc = clean(store);
    if (rc == 0)
        rc = uv_mutex_init(&store->mutex);
    return rc < 0 ? fault_system(f, rc, "%s", store->dir.text) : 0;
}

void layer_store_deinit(struct layer_store *store)
{
    uv_mutex_destroy(&store->mutex);
}

/* --- Finding */

static int read_layer(struct layer_store *store, uint64_t number, struct layer *out)
{
    struct path size = path_of("%s/%" PRIu64 "/size", store->dir.text, number);
    struct buf text;
    int rc;

    buf_init(&text, 64);
    rc = file_read(AT_FDCWD, size.text, &text);
    if (rc == 0)
        rc = buf_append_byte(&text, '\0');
    if (rc == 0) {
        out->number = number;
        out->bytes = strtoull((const char *)text.ptr, NULL, 10);
    }
    buf_deinit(&text);
    return rc;
}

int layer_find(struct layer_store *store, const struct digest *chain, struct layer *out)
{
    struct path link = chain_path(store, chain);
    struct path dir;
    uint64_t number;
    int rc;

    uv_mutex_lock(&store->mutex);
    number = read_number(link.text);
    dir = number_path(store, number);
    rc = number == 0 ? ERR_NOT_FOUND : read_layer(store, number, out);
    if (rc == 0 && utimensat(AT_FDCWD, dir.text, NULL, 0) < 0)
        rc = -errno;
    uv_mutex_unlock(&store->mutex);
    return rc == -ENOENT ? ERR_NOT_FOUND : rc;
}

/* --- Unpacking */

void layer_unpack_abort(struct layer_store *store, struct layer_unpack *l)
{
    struct path dir;

    if (l->unpack == NULL)
        return;
    dir = number_path(store, l->number);
    if (l->unpack->root_fd >= 0)
        close(l->unpack->root_fd);
    unpack_deinit(l->unpack);
    free(l->unpack);
    *l = (struct layer_unpack){ 0 };
    (void)!tree_remove(dir.text); /* what stays is removed at the next start */
}

int layer_unpack(struct layer_store *store, int blob_fd, const struct digest *diff_id,
                 const atomic_bool *cancel, struct layer_unpack *out, struct fault *f)
{
    struct layer_unpack l = { .unpack = calloc(1, sizeof(*l.unpack)) };
    struct path root;
    int rc;

    if (l.unpack == NULL)
        return fault_system(f, -ENOMEM, "layer");
    uv_mutex_lock(&store->mutex);
    l.number = store->next_number++;
    uv_mutex_unlock(&store->mutex);
    root = layer_root(store, l.number);
    rc = dir_make(root.text, 0755);
    l.unpack->cancel = cancel;
    l.unpack->root_fd = rc < 0 ? -1 : open(root.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l.unpack->root_fd < 0)
        rc = fault_system(f, rc < 0 ? rc : -errno, "%s", root.text);
    if (rc == 0)
        rc = unpack_tar(l.unpack, blob_fd, f);
    if (rc == 0 && diff_id != NULL && !digest_equal(&l.unpack->diff_id, diff_id))
        rc = fault_set(f, ERR_CORRUPT, "unpacks to %s, but the image's config says %s",
                       l.unpack->diff_id.text, diff_id->text);
    if (rc < 0) {
        layer_unpack_abort(store, &l);
        return rc;
    }
    *out = l;
    return 0;
}

struct digest layer_unpack_diff_id(const struct layer_unpack *l)
{
    return l->unpack->diff_id;
}

/* --- Publishing */

static int inherit(struct layer_store *store, struct layer_unpack *l, const uint64_t *parents,
                   size_t parent_count, struct fault *f)
{
    int fds[LAYER_COUNT_MAX];
    size_t count = 0;
    int rc = 0;

    CHECK(parent_count <= LAYER_COUNT_MAX);
    for (; count < parent_count && rc == 0; count++) {
        struct path root = layer_root(store, parents[count]);

        fds[count] = open(root.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fds[count] < 0)
            rc = fault_system(f, -errno, "%s", root.text);
    }
    if (rc == 0)
        rc = unpack_inherit(l->unpack, fds, count, f);
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return rc;
}

int layer_finish(struct layer_store *store, struct layer_unpack *l, const uint64_t *parents,
                 size_t parent_count, struct fault *f)
{
    struct path size = path_of("%s/%" PRIu64 "/size", store->dir.text, l->number);
    char text[32];
    int rc = inherit(store, l, parents, parent_count, f);

    if (rc < 0)
        return rc;
    (void)snprintf(text, sizeof(text), "%" PRIu64 "\n", l->unpack->bytes);
    rc = file_write(size.text, slice_of_str(text), 0600);
    return rc < 0 ? fault_system(f, rc, "%s", size.text) : 0;
}

/* Before a name is given: overlayfs would serve files of zeros after a power cut. */
int layer_store_sync(struct layer_store *store, struct fault *f)
{
    int fd = open(store->dir.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return fault_system(f, -errno, "%s", store->dir.text);
    rc = syncfs(fd) < 0 ? fault_system(f, -errno, "%s", store->dir.text) : 0;
    close(fd);
    return rc;
}

int layer_publish(struct layer_store *store, struct layer_unpack *l, const struct digest *chain,
                  struct layer *out, struct fault *f)
{
    struct path link = chain_path(store, chain);
    struct path parent = path_of("%s/chain", store->dir.text);
    char target[32];
    int rc;

    (void)snprintf(target, sizeof(target), "../%" PRIu64, l->number);
    uv_mutex_lock(&store->mutex);
    rc = symlink(target, link.text) < 0 ? -errno : 0;
    uv_mutex_unlock(&store->mutex);
    if (rc == -EEXIST) {
        layer_unpack_abort(store, l);
        rc = layer_find(store, chain, out);
        return rc < 0 ? fault_system(f, rc, "layer %s", chain->text) : 0;
    }
    if (rc == 0)
        rc = dir_sync(parent.text);
    if (rc < 0) {
        layer_unpack_abort(store, l);
        return fault_system(f, rc, "layer %s", chain->text);
    }
    *out = (struct layer){ .number = l->number, .bytes = l->unpack->bytes };
    close(l->unpack->root_fd);
    unpack_deinit(l->unpack);
    free(l->unpack);
    *l = (struct layer_unpack){ 0 };
    return 0;
}

/* --- Pruning */

struct prune {
    struct layer_store *store;
    bool (*keep)(void *arg, const struct digest *chain);
    void *arg;
    struct blob_prune *out;
};

static int prune_entry(void *arg, int dir_fd, const char *name)
{
    struct prune *p = arg;
    char text[DIGEST_TEXT_LEN + 8];
    struct path link = path_of("%s/chain/%s", p->store->dir.text, name);
    struct path dir;
    struct digest chain;
    struct layer layer = { 0 };
    struct stat st;
    uint64_t number;
    bool removed = false;
    int rc = 0;

    (void)dir_fd;
    (void)snprintf(text, sizeof(text), "sha256:%.70s", name);
    if (digest_parse(slice_of_str(text), &chain) == 0 && p->keep(p->arg, &chain))
        return 0;
    uv_mutex_lock(&p->store->mutex);
    number = read_number(link.text);
    dir = number_path(p->store, number);
    if (stat(dir.text, &st) == 0 && blob_use_covers(p->store->blobs, &st.st_mtim)) {
        uv_mutex_unlock(&p->store->mutex);
        return 0;
    }
    (void)read_layer(p->store, number, &layer); /* size unknown: counts as 0 */
    removed = unlink(link.text) == 0;
    rc = removed ? 0 : -errno;
    uv_mutex_unlock(&p->store->mutex);
    if (removed && number != 0)
        rc = tree_remove(dir.text);
    p->out->count += removed;
    p->out->bytes += layer.bytes;
    return rc;
}

int layer_prune(struct layer_store *store, bool (*keep)(void *arg, const struct digest *chain),
                void *arg, struct blob_prune *out)
{
    struct path dir = path_of("%s/chain", store->dir.text);
    struct prune p = { .store = store, .keep = keep, .arg = arg, .out = out };

    return dir_each(dir.text, prune_entry, &p);
}
