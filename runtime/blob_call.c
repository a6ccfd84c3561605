/* The calls of runtime.h about blobs: serving them to peers and taking them in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/job.h"

static int parse(struct job *j, const char *text, struct digest *out)
{
    if (digest_parse(slice_of_str(text), out) == 0)
        return 0;
    return fault_set(&j->fault, ERR_INVALID, "digest \"%.80s\": must be sha256: and 64 hex digits",
                     text);
}

/* --- What is missing */

struct missing_job {
    struct job job;
    char digest_text[DIGEST_TEXT_LEN + 2];
    void (*done)(void *owner, int err, const char *message, const struct blob_need *needs,
                 size_t count);
    void *owner;
    struct {
        struct digest digest;
        char media_type[257];
    } texts[LAYER_COUNT_MAX + 1];
    struct blob_need needs[LAYER_COUNT_MAX + 1];
    size_t count;
};

static void need(struct missing_job *m, const struct descriptor *d)
{
    struct digest digest;
    uint64_t size;

    if (digest_parse(slice_of_str(d->digest), &digest) < 0 ||
        blob_find(&m->job.rt->images.blobs, &digest, &size) == 0)
        return;
    for (size_t i = 0; i < m->count; i++) {
        if (digest_equal(&m->texts[i].digest, &digest))
            return; /* one blob twice in an image: an empty layer, usually */
    }
    CHECK(m->count < ARRAY_LEN(m->needs));
    m->texts[m->count].digest = digest;
    (void)snprintf(m->texts[m->count].media_type, sizeof(m->texts[m->count].media_type), "%s",
                   d->media_type == NULL ? "" : d->media_type);
    m->needs[m->count] = (struct blob_need){ .digest = m->texts[m->count].digest.text,
                                             .media_type = m->texts[m->count].media_type,
                                             .size = d->size };
    m->count++;
}

static int need_of_manifest(struct missing_job *m, const struct manifest *manifest)
{
    const struct descriptor *chosen;

    if (!manifest_is_index(manifest)) {
        need(m, manifest->config);
        for (size_t i = 0; i < manifest->layers.count; i++)
            need(m, &manifest->layers.items[i]);
        return 0;
    }
    chosen = manifest_choose(manifest, manifest_host_platform());
    if (chosen == NULL)
        return fault_set(&m->job.fault, ERR_UNSUPPORTED, "image %s: has no manifest for %s/%s",
                         m->digest_text, manifest_host_platform()->os,
                         manifest_host_platform()->architecture);
    need(m, chosen);
    return 0;
}

static int read_manifest(struct missing_job *m, const struct digest *digest, struct manifest *out)
{
    struct buf text;
    int rc;

    *out = (struct manifest){ 0 };
    buf_init(&text, MANIFEST_BYTES_MAX);
    rc = blob_read(&m->job.rt->images.blobs, digest, &text, &m->job.fault);
    if (rc == 0)
        rc = manifest_parse(buf_slice(&text), out, &m->job.fault);
    buf_deinit(&text);
    return rc;
}

static int run_missing(struct job *job)
{
    struct missing_job *m = CONTAINER_OF(job, struct missing_job, job);
    struct descriptor self = { .digest = m->digest_text };
    struct manifest manifest;
    struct digest digest, inner;
    bool is_index;
    int rc = parse(job, m->digest_text, &digest);

    if (rc < 0)
        return rc;
    need(m, &self);
    if (m->count > 0) /* until it is here nobody knows what else */
        return 0;
    rc = read_manifest(m, &digest, &manifest);
    if (rc < 0)
        return rc;
    is_index = manifest_is_index(&manifest);
    rc = need_of_manifest(m, &manifest);
    fields_deinit(&manifest_type, &manifest);
    if (rc < 0 || !is_index || m->count > 0)
        return rc;
    rc = image_choose_manifest(&job->rt->images, &digest, &inner, &is_index, &job->fault);
    if (rc == 0)
        rc = read_manifest(m, &inner, &manifest);
    if (rc < 0)
        return rc;
    if (manifest_is_index(&manifest))
        rc = fault_set(&job->fault, ERR_UNSUPPORTED, "image %s: an index in an index",
                       m->digest_text);
    else
        rc = need_of_manifest(m, &manifest);
    fields_deinit(&manifest_type, &manifest);
    return rc;
}

static void report_missing(struct job *job)
{
    struct missing_job *m = CONTAINER_OF(job, struct missing_job, job);

    m->done(m->owner, job->err, job_message(job), m->needs, job->err == 0 ? m->count : 0);
    free(m);
}

void runtime_image_missing(struct runtime *rt, const char *digest,
                           void (*done)(void *owner, int err, const char *message,
                                        const struct blob_need *needs, size_t count),
                           void *owner)
{
    struct missing_job *m = job_new(rt, sizeof(*m), run_missing, report_missing);

    (void)snprintf(m->digest_text, sizeof(m->digest_text), "%s", digest);
    m->done = done;
    m->owner = owner;
    job_start(&m->job, WORK_QUICK);
}

/* --- Serving */

struct open_job {
    struct job job;
    char digest_text[DIGEST_TEXT_LEN + 2];
    void (*done)(void *owner, int err, const char *message, int fd, uint64_t size);
    void *owner;
    int fd;
    uint64_t size;
};

static int run_open(struct job *job)
{
    struct open_job *o = CONTAINER_OF(job, struct open_job, job);
    struct digest digest;
    int rc = parse(job, o->digest_text, &digest);

    if (rc == 0) {
        rc = blob_open(&job->rt->images.blobs, &digest, &o->fd, &o->size);
        if (rc < 0)
            fault_system(&job->fault, rc, "blob %s", digest.text);
    }
    return rc;
}

static void report_open(struct job *job)
{
    struct open_job *o = CONTAINER_OF(job, struct open_job, job);

    o->done(o->owner, job->err, job_message(job), job->err == 0 ? o->fd : -1, o->size);
    free(o);
}

void runtime_blob_open(struct runtime *rt, const char *digest,
                       void (*done)(void *owner, int err, const char *message, int fd,
                                    uint64_t size),
                       void *owner)
{
    struct open_job *o = job_new(rt, sizeof(*o), run_open, report_open);

    (void)snprintf(o->digest_text, sizeof(o->digest_text), "%s", digest);
    o->done = done;
    o->owner = owner;
    job_start(&o->job, WORK_QUICK);
}

/* --- Taking in: one writer per ingest, opened by the first write */

struct blob_ingest {
    struct list link; /* of rt->ingests */
    struct job job;   /* of the write or commit under way */
    struct runtime *rt;
    struct digest digest;
    uint64_t size;
    struct blob_use use;
    struct blob_writer writer;
    struct buf bytes;
    bool busy, aborted;
    bool reporting; /* inside `done`, which may write on or give up */
    runtime_done done;
    void *owner;
};

int runtime_blob_begin(struct runtime *rt, const char *digest, uint64_t size,
                       struct blob_ingest **out)
{
    struct blob_ingest *in;
    struct digest parsed;

    if (digest_parse(slice_of_str(digest), &parsed) < 0 || size > BLOB_BYTES_MAX)
        return ERR_INVALID;
    if (!rt->is_ready || atomic_load(&rt->closing))
        return ERR_CLOSED;
    if (rt->ingest_count >= INGEST_COUNT_MAX)
        return ERR_FULL;
    in = calloc(1, sizeof(*in));
    if (in == NULL)
        return -ENOMEM;
    in->rt = rt;
    in->digest = parsed;
    in->size = size;
    buf_init(&in->bytes, (size_t)MIN(size + 1, 64 * MIB));
    blob_use_begin(&rt->images.blobs, &in->use);
    list_init(&in->link);
    list_push_back(&rt->ingests, &in->link);
    rt->ingest_count++;
    *out = in;
    return 0;
}

static void free_ingest(struct blob_ingest *in)
{
    list_remove(&in->link);
    in->rt->ingest_count--;
    blob_use_end(&in->rt->images.blobs, &in->use);
    blob_write_abort(&in->rt->images.blobs, &in->writer);
    buf_deinit(&in->bytes);
    free(in);
}

static int run_write(struct job *job)
{
    struct blob_ingest *in = CONTAINER_OF(job, struct blob_ingest, job);
    struct blob_store *store = &in->rt->images.blobs;
    int rc = in->writer.fd == 0 ? blob_write_begin(store, &in->writer) : 0;

    if (rc == 0 && in->bytes.len > in->size - in->writer.hash.len)
        return fault_set(&job->fault, ERR_TOO_LARGE, "blob %s: more than the %llu bytes announced",
                         in->digest.text, (unsigned long long)in->size);
    if (rc == 0)
        rc = blob_write(&in->writer, buf_slice(&in->bytes));
    return rc < 0 ? fault_system(&job->fault, rc, "blob %s", in->digest.text) : 0;
}

static int run_commit(struct job *job)
{
    struct blob_ingest *in = CONTAINER_OF(job, struct blob_ingest, job);
    struct blob_store *store = &in->rt->images.blobs;
    int rc = in->writer.fd == 0 ? blob_write_begin(store, &in->writer) : 0;

    if (rc == 0)
        rc = blob_write_commit(store, &in->writer, &in->digest, NULL);
    if (rc == ERR_CORRUPT)
        return fault_set(&job->fault, rc, "blob %s: what came has another digest", in->digest.text);
    return rc < 0 ? fault_system(&job->fault, rc, "blob %s", in->digest.text) : 0;
}

static void report_write(struct job *job)
{
    struct blob_ingest *in = CONTAINER_OF(job, struct blob_ingest, job);

    in->busy = false;
    in->reporting = true;
    in->done(in->owner, job->err, job_message(job));
    in->reporting = false;
    if (in->aborted && !in->busy)
        free_ingest(in);
}

static void report_commit(struct job *job)
{
    struct blob_ingest *in = CONTAINER_OF(job, struct blob_ingest, job);

    in->done(in->owner, job->err, job_message(job));
    free_ingest(in);
}

static void start(struct blob_ingest *in, int (*run)(struct job *), void (*report)(struct job *),
                  runtime_done done, void *owner)
{
    CHECK(!in->busy);
    in->busy = true;
    in->job = (struct job){ .rt = in->rt, .run = run, .done = report };
    in->done = done;
    in->owner = owner;
}

void runtime_blob_write(struct blob_ingest *in, struct slice bytes, runtime_done done, void *owner)
{
    int rc;

    start(in, run_write, report_write, done, owner);
    buf_clear(&in->bytes);
    rc = buf_append_slice(&in->bytes, bytes);
    if (rc < 0)
        in->job.err = fault_system(&in->job.fault, rc, "blob %s", in->digest.text);
    job_start(&in->job, WORK_SLOW);
}

void runtime_blob_commit(struct blob_ingest *in, runtime_done done, void *owner)
{
    start(in, run_commit, report_commit, done, owner);
    job_start(&in->job, WORK_SLOW);
}

void runtime_blob_abort(struct blob_ingest *in)
{
    if (in->busy || in->reporting)
        in->aborted = true;
    else
        free_ingest(in);
}

/* The owners of those that are idle must not use them again; a commit frees by itself. */
void runtime_ingests_abort_all(struct runtime *rt)
{
    LIST_EACH_SAFE(it, &rt->ingests)
    {
        struct blob_ingest *in = CONTAINER_OF(it, struct blob_ingest, link);

        if (!in->busy)
            free_ingest(in);
        else if (in->job.done == report_write)
            in->aborted = true;
    }
}
