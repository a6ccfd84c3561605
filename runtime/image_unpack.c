/* Layers unpack side by side, because decompression is what takes the time; they are published
 * from the lowest up, because a chain id presumes those below. Between the two they are synced,
 * all at once: that waits for everybody who writes to the same disk, so once must do. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/image.h"

#define UNPACK_THREADS 4

struct unpacking {
    struct image_store *store;
    const struct image_progress *progress;
    struct image *image;
    struct manifest *manifest;
    atomic_bool stop; /* one failed, or the caller gave up */
    uv_mutex_t mutex; /* guards what follows */
    size_t next;      /* layer that nobody has taken yet */
    int err;
    struct fault fault; /* of the first failure */
    struct layer_unpack unpacked[LAYER_COUNT_MAX];
    bool present[LAYER_COUNT_MAX];
};

static struct digest layer_digest(const struct unpacking *u, size_t i)
{
    struct digest d = { "" };

    (void)!digest_parse(slice_of_str(u->manifest->layers.items[i].digest), &d); /* parsed before */
    return d;
}

static void report(const struct unpacking *u, const struct digest *digest, uint64_t current)
{
    struct pull_progress p = { .phase = PULL_UNPACKING,
                               .digest = digest->text,
                               .current = current };

    if (u->progress->on_progress != NULL)
        u->progress->on_progress(u->progress->arg, &p);
}

static int unpack_one(struct unpacking *u, size_t i, struct fault *f)
{
    struct digest blob = layer_digest(u, i), diff_id = { "" };
    uint64_t size;
    int fd, rc;

    (void)!digest_parse(slice_of_str(u->image->config.rootfs.diff_ids.items[i]), &diff_id);
    rc = blob_open(&u->store->blobs, &blob, &fd, &size);
    if (rc < 0)
        return fault_system(f, rc, "layer %s", blob.text);
    report(u, &blob, 0);
    rc = layer_unpack(&u->store->layers, fd, &diff_id, &u->stop, &u->unpacked[i], f);
    close(fd);
    if (rc < 0)
        return fault_prefix(f, rc, "layer %s", blob.text);
    report(u, &blob, size);
    return 0;
}

static void fail(struct unpacking *u, int err, const struct fault *f)
{
    uv_mutex_lock(&u->mutex);
    if (u->err == 0) {
        u->err = err;
        u->fault = *f;
    }
    uv_mutex_unlock(&u->mutex);
    atomic_store(&u->stop, true);
}

static bool take_layer(struct unpacking *u, size_t *out)
{
    bool taken = false;

    if (u->progress->cancel != NULL && atomic_load(u->progress->cancel)) {
        struct fault f;

        fail(u, fault_set(&f, ERR_CLOSED, "the runtime is closing"), &f);
    }
    uv_mutex_lock(&u->mutex);
    while (u->next < u->image->layer_count && u->present[u->next])
        u->next++;
    if (u->next < u->image->layer_count && u->err == 0) {
        *out = u->next++;
        taken = true;
    }
    uv_mutex_unlock(&u->mutex);
    return taken;
}

static void thread_main(void *arg)
{
    struct unpacking *u = arg;
    size_t i;

    while (take_layer(u, &i)) {
        struct fault f = { "" };
        int rc = unpack_one(u, i, &f);

        if (rc < 0)
            fail(u, rc, &f);
    }
}

static void run_threads(struct unpacking *u)
{
    uv_thread_t threads[UNPACK_THREADS];
    size_t count = 0;

    while (count + 1 < UNPACK_THREADS && count + 1 < u->image->layer_count &&
           uv_thread_create(&threads[count], thread_main, u) == 0)
        count++;
    thread_main(u);
    for (size_t i = 0; i < count; i++)
        CHECK(uv_thread_join(&threads[i]) == 0);
}

/* What the layers inherit, from the lowest up: each presumes those below. */
static int finish(struct unpacking *u, struct fault *f)
{
    uint64_t parents[LAYER_COUNT_MAX]; /* of the layer, highest first, from `at` on */
    size_t at = LAYER_COUNT_MAX;

    for (size_t i = 0; i < u->image->layer_count; i++) {
        int rc = u->present[i] ? 0
                               : layer_finish(&u->store->layers, &u->unpacked[i], parents + at,
                                              LAYER_COUNT_MAX - at, f);

        if (rc < 0)
            return rc;
        parents[--at] = u->present[i] ? u->image->layers[i].number : u->unpacked[i].number;
    }
    return layer_store_sync(&u->store->layers, f);
}

static int publish(struct unpacking *u, struct fault *f)
{
    struct image *image = u->image;
    int rc = finish(u, f);

    for (size_t i = 0; i < image->layer_count && rc == 0; i++) {
        if (!u->present[i])
            rc = layer_publish(&u->store->layers, &u->unpacked[i], &image->chains[i],
                               &image->layers[i], f);
    }
    return rc;
}

static int unpack_missing(struct unpacking *u, struct fault *f)
{
    size_t missing = 0;
    int rc;

    for (size_t i = 0; i < u->image->layer_count; i++) {
        rc = layer_find(&u->store->layers, &u->image->chains[i], &u->image->layers[i]);
        if (rc < 0 && rc != ERR_NOT_FOUND)
            return fault_system(f, rc, "layer %s", u->image->chains[i].text);
        u->present[i] = rc == 0;
        missing += rc != 0;
    }
    if (missing == 0)
        return 0;
    rc = uv_mutex_init(&u->mutex);
    if (rc < 0)
        return fault_system(f, rc, "unpack");
    run_threads(u);
    uv_mutex_destroy(&u->mutex);
    if (u->err < 0) {
        *f = u->fault;
        return u->err;
    }
    return publish(u, f);
}

int image_unpack(struct image_store *store, const struct digest *manifest,
                 const struct image_progress *progress, struct image *out, struct fault *f)
{
    struct unpacking *u = calloc(1, sizeof(*u));
    struct manifest m = { 0 };
    struct buf text;
    int rc;

    if (u == NULL)
        return fault_system(f, -ENOMEM, "image %s", manifest->text);
    *out = (struct image){ 0 };
    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = image_open(store, manifest, out, f);
    if (rc == 0)
        rc = blob_read(&store->blobs, manifest, &text, f);
    if (rc == 0)
        rc = manifest_parse(buf_slice(&text), &m, f);
    buf_deinit(&text);
    if (rc == 0) {
        u->store = store;
        u->progress = progress;
        u->image = out;
        u->manifest = &m;
        rc = unpack_missing(u, f);
        for (size_t i = 0; i < LAYER_COUNT_MAX; i++)
            layer_unpack_abort(&store->layers, &u->unpacked[i]);
        fields_deinit(&manifest_type, &m);
    }
    if (rc < 0)
        image_deinit(out);
    free(u);
    return rc;
}
