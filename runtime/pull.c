/* Pulling an image, and asking a registry about one.
 *
 *     manifest, or index and then the manifest of this platform   verified, stored
 *     config and layers that are not here yet                     several at a time
 *     layers unpacked                                             image_unpack.c
 *     names: the reference, and repository@digest
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/job.h"
#include "runtime/registry.h"

#define DOWNLOAD_THREADS 3

struct pull {
    struct job job;
    char text[REFERENCE_LEN_MAX + 1];
    struct reference reference;
    struct registry *registry;
    char *username, *password, *identity_token, *registry_token;
    struct progress *progress;
    runtime_image_done done;
    void *owner;

    struct digest top, manifest_digest; /* what the name means; the image for this host */
    struct manifest manifest;

    uv_mutex_t mutex; /* guards what follows */
    size_t next;      /* 0 = config, i = layer i - 1 */
    int err;
    struct fault fault;
};

static void report(struct pull *p, enum pull_phase phase, const char *digest, uint64_t current,
                   uint64_t total)
{
    const struct pull_progress news = { phase, digest, current, total };

    progress_note(p->progress, &news);
}

/* --- Manifests */

/* The bytes of a manifest by tag or digest, stored; from the store when it has the digest. */
static int fetch_manifest(struct pull *p, const char *what, struct manifest *out,
                          struct digest *out_digest)
{
    struct blob_store *blobs = &p->job.rt->images.blobs;
    struct digest known = { "" };
    struct buf text;
    uint64_t size;
    bool here;
    int rc;

    buf_init(&text, MANIFEST_BYTES_MAX);
    here = digest_parse(slice_of_str(what), &known) == 0 && blob_find(blobs, &known, &size) == 0;
    if (here) {
        *out_digest = known;
        rc = blob_read(blobs, &known, &text, &p->job.fault);
    } else {
        rc = registry_get_manifest(p->registry, what, &text, out_digest, &p->job.fault);
    }
    if (rc == 0)
        rc = manifest_parse(buf_slice(&text), out, &p->job.fault);
    if (rc == 0 && !here) {
        rc = blob_put(blobs, buf_slice(&text), out_digest);
        if (rc < 0) {
            fault_system(&p->job.fault, rc, "manifest");
            fields_deinit(&manifest_type, out);
        }
    }
    buf_deinit(&text);
    return rc;
}

static int resolve(struct pull *p)
{
    const struct image_platform *host = manifest_host_platform();
    const char *what =
        p->reference.digest.text[0] != '\0' ? p->reference.digest.text : p->reference.tag;
    const struct descriptor *chosen;
    struct manifest index;
    int rc;

    report(p, PULL_RESOLVING, "", 0, 0);
    rc = fetch_manifest(p, what, &p->manifest, &p->top);
    p->manifest_digest = p->top;
    if (rc < 0 || !manifest_is_index(&p->manifest))
        return rc;
    index = p->manifest;
    p->manifest = (struct manifest){ 0 };
    chosen = manifest_choose(&index, host);
    if (chosen == NULL)
        rc = fault_set(&p->job.fault, ERR_UNSUPPORTED, "has no manifest for %s/%s", host->os,
                       host->architecture);
    else
        rc = fetch_manifest(p, chosen->digest, &p->manifest, &p->manifest_digest);
    if (rc == 0 && manifest_is_index(&p->manifest))
        rc = fault_set(&p->job.fault, ERR_UNSUPPORTED, "is an index in an index");
    fields_deinit(&manifest_type, &index);
    return rc;
}

/* --- Blobs */

struct download {
    struct pull *pull;
    struct digest digest;
    uint64_t size;
};

static void on_bytes(void *arg, uint64_t count)
{
    const struct download *d = arg;

    report(d->pull, PULL_DOWNLOADING, d->digest.text, count, d->size);
}

static int fetch_blob(struct pull *p, const struct descriptor *descriptor, struct fault *f)
{
    struct blob_store *blobs = &p->job.rt->images.blobs;
    struct download d = { .pull = p, .size = descriptor->size };
    struct registry_blob blob = { .size = descriptor->size, .on_bytes = on_bytes, .arg = &d };
    uint64_t size;
    int rc;

    (void)!digest_parse(slice_of_str(descriptor->digest), &blob.digest); /* checked when parsed */
    d.digest = blob.digest;
    if (blob_find(blobs, &blob.digest, &size) == 0)
        return 0;
    rc = registry_get_blob(p->registry, blobs, &blob, f);
    if (rc == 0)
        report(p, PULL_VERIFYING, d.digest.text, d.size, d.size);
    return rc;
}

static bool take(struct pull *p, const struct descriptor **out)
{
    bool taken = false;

    uv_mutex_lock(&p->mutex);
    if (p->err == 0 && p->next <= p->manifest.layers.count) {
        *out = p->next == 0 ? p->manifest.config : &p->manifest.layers.items[p->next - 1];
        p->next++;
        taken = true;
    }
    uv_mutex_unlock(&p->mutex);
    return taken;
}

static void download_main(void *arg)
{
    struct pull *p = arg;
    const struct descriptor *d;

    while (take(p, &d)) {
        struct fault f;
        int rc = fetch_blob(p, d, &f);

        if (rc == 0)
            continue;
        uv_mutex_lock(&p->mutex);
        if (p->err == 0) {
            p->err = rc;
            p->fault = f;
        }
        uv_mutex_unlock(&p->mutex);
    }
}

static int download(struct pull *p)
{
    uv_thread_t threads[DOWNLOAD_THREADS];
    size_t count = 0;
    int rc = uv_mutex_init(&p->mutex);

    if (rc < 0)
        return fault_system(&p->job.fault, rc, "download");
    while (count + 1 < DOWNLOAD_THREADS && count < p->manifest.layers.count &&
           uv_thread_create(&threads[count], download_main, p) == 0)
        count++;
    download_main(p);
    for (size_t i = 0; i < count; i++)
        CHECK(uv_thread_join(&threads[i]) == 0);
    uv_mutex_destroy(&p->mutex);
    if (p->err < 0)
        p->job.fault = p->fault;
    return p->err;
}

/* --- The whole */

static int name_it(struct pull *p, const struct image *image)
{
    struct image_store *store = &p->job.rt->images;
    char name[REFERENCE_TEXT_MAX], repository[REFERENCE_TEXT_MAX - 80];
    struct digest none = { "" };
    const struct digest *index = digest_equal(&p->top, &p->manifest_digest) ? &none : &p->top;
    int rc;

    (void)snprintf(repository, sizeof(repository), "%s/%s", p->reference.registry,
                   p->reference.repository);
    (void)snprintf(name, sizeof(name), "%s@%s", repository, p->top.text);
    rc = image_set_name(store, name, &p->manifest_digest, &image->config_digest, index,
                        &p->job.fault);
    if (rc < 0 || p->reference.digest.text[0] != '\0')
        return rc;
    reference_format(&p->reference, name);
    return image_set_name(store, name, &p->manifest_digest, &image->config_digest, index,
                          &p->job.fault);
}

static int pull_with(struct pull *p, struct image *image)
{
    const struct image_progress progress = { .on_progress = progress_note,
                                             .arg = p->progress,
                                             .cancel = &p->job.rt->closing };
    int rc = resolve(p);

    if (rc == 0)
        rc = download(p);
    if (rc == 0)
        rc = image_unpack(&p->job.rt->images, &p->manifest_digest, &progress, image, &p->job.fault);
    if (rc == 0) {
        rc = name_it(p, image);
        if (rc < 0)
            image_deinit(image);
    }
    if (rc == 0)
        report(p, PULL_DONE, "", 0, 0);
    fields_deinit(&manifest_type, &p->manifest);
    return rc;
}

static int open_registry(struct pull *p)
{
    const struct registry_auth auth = { .username = p->username,
                                        .password = p->password,
                                        .identity_token = p->identity_token,
                                        .registry_token = p->registry_token };
    struct runtime *rt = p->job.rt;
    int rc = reference_parse(p->text, &p->reference, &p->job.fault);

    if (rc < 0)
        return rc;
    p->registry = calloc(1, sizeof(*p->registry));
    if (p->registry == NULL)
        return fault_system(&p->job.fault, -ENOMEM, "pull");
    rc = registry_init(p->registry, &p->reference, &auth, rt->insecure_registries, &rt->closing,
                       &p->job.fault);
    if (rc < 0) {
        free(p->registry);
        p->registry = NULL;
    }
    return rc;
}

static int run_pull(struct job *job)
{
    struct pull *p = CONTAINER_OF(job, struct pull, job);
    struct blob_use use;
    struct image *image;
    int rc = open_registry(p);

    if (rc < 0)
        return rc;
    image = calloc(1, sizeof(*image));
    if (image == NULL)
        return fault_system(&job->fault, -ENOMEM, "pull");
    blob_use_begin(&job->rt->images.blobs, &use);
    rc = pull_with(p, image);
    blob_use_end(&job->rt->images.blobs, &use);
    if (rc == 0)
        image_deinit(image);
    free(image);
    return rc < 0 ? fault_prefix(&job->fault, rc, "image %.300s", p->text) : 0;
}

static void wipe(char **text)
{
    if (*text != NULL)
        sodium_memzero(*text, strlen(*text));
    free(*text);
}

static void free_pull(struct pull *p)
{
    if (p->registry != NULL)
        registry_deinit(p->registry);
    free(p->registry);
    wipe(&p->username);
    wipe(&p->password);
    wipe(&p->identity_token);
    wipe(&p->registry_token);
    free(p);
}

/* Reports what inspect would: the image is in the store under its name. */
static void report_pull(struct job *job)
{
    struct pull *p = CONTAINER_OF(job, struct pull, job);

    progress_free(p->progress);
    if (job->err < 0)
        p->done(p->owner, job->err, job->fault.text, NULL);
    else
        runtime_image_inspect(job->rt, p->text, p->done, p->owner);
    free_pull(p);
}

static char *copy_optional(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

static struct pull *new_pull(struct runtime *rt, const char *reference,
                             const struct registry_auth *auth, int (*run)(struct job *),
                             void (*done)(struct job *), void *owner, size_t size)
{
    struct pull *p = job_new(rt, size, run, done);

    (void)snprintf(p->text, sizeof(p->text), "%s", reference);
    if (auth != NULL) {
        p->username = copy_optional(auth->username);
        p->password = copy_optional(auth->password);
        p->identity_token = copy_optional(auth->identity_token);
        p->registry_token = copy_optional(auth->registry_token);
    }
    p->owner = owner;
    return p;
}

void runtime_image_pull(struct runtime *rt, const char *reference, const struct registry_auth *auth,
                        runtime_progress on_progress, runtime_image_done done, void *owner)
{
    struct pull *p = new_pull(rt, reference, auth, run_pull, report_pull, owner, sizeof(*p));

    p->done = done;
    p->progress = progress_new(rt, on_progress, owner);
    job_start(&p->job, WORK_SLOW);
}

/* --- Distribution */

struct inquiry {
    struct pull pull; /* first */
    void (*done)(void *owner, int err, const char *message, const struct distribution_info *info);
    struct distribution_info info;
    char media_type[257];
    struct str_list platforms;
};

static int add_platform(struct inquiry *q, const struct image_platform *p)
{
    char text[256];
    bool variant = p->variant != NULL && p->variant[0] != '\0';

    (void)snprintf(text, sizeof(text), "%.64s/%.64s%s%.64s", p->os == NULL ? "" : p->os,
                   p->architecture == NULL ? "" : p->architecture, variant ? "/" : "",
                   variant ? p->variant : "");
    return str_list_append(&q->platforms, text);
}

static int inquire_config(struct inquiry *q, const struct descriptor *descriptor)
{
    struct pull *p = &q->pull;
    struct image_config config;
    struct image_platform platform;
    struct digest digest = { "" };
    struct buf text;
    int rc = fetch_blob(p, descriptor, &p->job.fault);

    buf_init(&text, IMAGE_CONFIG_BYTES_MAX);
    (void)!digest_parse(slice_of_str(descriptor->digest), &digest); /* checked when parsed */
    if (rc == 0)
        rc = blob_read(&p->job.rt->images.blobs, &digest, &text, &p->job.fault);
    if (rc == 0)
        rc = image_config_parse(buf_slice(&text), &config, &p->job.fault);
    buf_deinit(&text);
    if (rc < 0)
        return rc;
    platform = (struct image_platform){ .os = config.os,
                                        .architecture = config.architecture,
                                        .variant = config.variant };
    rc = add_platform(q, &platform);
    fields_deinit(&image_config_type, &config);
    return rc;
}

static int inquire(struct inquiry *q)
{
    struct pull *p = &q->pull;
    const char *what =
        p->reference.digest.text[0] != '\0' ? p->reference.digest.text : p->reference.tag;
    uint64_t size = 0;
    int rc = fetch_manifest(p, what, &p->manifest, &p->top);

    if (rc < 0)
        return rc;
    (void)!blob_find(&p->job.rt->images.blobs, &p->top, &size); /* it was just stored */
    q->info.size = size;
    (void)snprintf(q->media_type, sizeof(q->media_type), "%s",
                   p->manifest.media_type != NULL    ? p->manifest.media_type
                   : manifest_is_index(&p->manifest) ? MEDIA_OCI_INDEX
                                                     : MEDIA_OCI_MANIFEST);
    for (size_t i = 0; rc == 0 && i < p->manifest.manifests.count; i++) {
        if (p->manifest.manifests.items[i].platform != NULL)
            rc = add_platform(q, p->manifest.manifests.items[i].platform);
    }
    if (rc == 0 && !manifest_is_index(&p->manifest))
        rc = inquire_config(q, p->manifest.config);
    fields_deinit(&manifest_type, &p->manifest);
    return rc;
}

static int run_inquiry(struct job *job)
{
    struct inquiry *q = CONTAINER_OF(job, struct inquiry, pull.job);
    struct blob_use use;
    int rc = open_registry(&q->pull);

    if (rc < 0)
        return rc;
    blob_use_begin(&job->rt->images.blobs, &use);
    rc = inquire(q);
    blob_use_end(&job->rt->images.blobs, &use);
    return rc < 0 ? fault_prefix(&job->fault, rc, "image %.300s", q->pull.text) : 0;
}

static void report_inquiry(struct job *job)
{
    struct inquiry *q = CONTAINER_OF(job, struct inquiry, pull.job);
    const char **platforms = calloc(q->platforms.count + 1, sizeof(*platforms));

    CHECK(platforms != NULL);
    for (size_t i = 0; i < q->platforms.count; i++)
        platforms[i] = q->platforms.items[i];
    q->info.digest = q->pull.top.text;
    q->info.media_type = q->media_type;
    q->info.platforms = platforms;
    q->done(q->pull.owner, job->err, job_message(job), job->err == 0 ? &q->info : NULL);
    free((void *)(uintptr_t)platforms);
    str_list_clear(&q->platforms);
    free_pull(&q->pull);
}

void runtime_image_distribution(struct runtime *rt, const char *reference,
                                const struct registry_auth *auth,
                                void (*done)(void *owner, int err, const char *message,
                                             const struct distribution_info *info),
                                void *owner)
{
    struct inquiry *q = (struct inquiry *)(void *)new_pull(rt, reference, auth, run_inquiry,
                                                           report_inquiry, owner, sizeof(*q));

    q->done = done;
    job_start(&q->pull.job, WORK_SLOW);
}
