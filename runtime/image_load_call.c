/* The calls of runtime.h that bring in images which are on this machine already: as an archive, as
 * a root file system, or as blobs that came from peers. All are slow work; archive_in.c and
 * image_unpack.c do it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "runtime/archive_in.h"
#include "runtime/image_job.h"

/* --- Load and import */

struct load_job {
    struct image_job image; /* first */
    void (*each)(void *owner, const char *image_id, const char *name);
    struct {
        struct digest id;
        char name[REFERENCE_TEXT_MAX];
    } * loaded;
    size_t count;
};

static void note_loaded(void *arg, const struct digest *config, const char *name)
{
    struct load_job *l = arg;
    void *more = realloc(l->loaded, (l->count + 1) * sizeof(*l->loaded));

    if (more == NULL)
        return; /* it is loaded; only its mention is lost */
    l->loaded = more;
    l->loaded[l->count].id = *config;
    (void)snprintf(l->loaded[l->count].name, sizeof(l->loaded[l->count].name), "%s", name);
    l->count++;
}

static int run_load(struct job *job)
{
    struct load_job *l = CONTAINER_OF(job, struct load_job, image.job);
    const struct image_progress progress = { .on_progress = progress_note,
                                             .arg = l->image.progress,
                                             .cancel = &job->rt->closing };
    bool is_dir;
    int rc = image_job_open_source(&l->image, &is_dir);

    if (rc < 0)
        return rc;
    rc = archive_load(&job->rt->images, is_dir ? l->image.path : NULL, l->image.fd, &progress,
                      note_loaded, l, &job->fault);
    if (rc < 0 && l->image.path != NULL)
        fault_prefix(&job->fault, rc, "%.200s", l->image.path);
    return rc;
}

static void report_load(struct job *job)
{
    struct load_job *l = CONTAINER_OF(job, struct load_job, image.job);

    progress_free(l->image.progress);
    for (size_t i = 0; i < l->count; i++) {
        if (l->each != NULL)
            l->each(l->image.owner, l->loaded[i].id.text, l->loaded[i].name);
    }
    l->image.plain_done(l->image.owner, job->err, job_message(job));
    if (l->image.fd >= 0)
        close(l->image.fd);
    free(l->image.path);
    free(l->loaded);
    free(l);
}

void runtime_image_load(struct runtime *rt, const char *path, int fd, runtime_progress on_progress,
                        void (*each)(void *owner, const char *image_id, const char *name),
                        runtime_done done, void *owner)
{
    struct load_job *l = job_new(rt, sizeof(*l), run_load, report_load);

    l->image.fd = fd;
    l->image.path = path == NULL ? NULL : strdup(path);
    l->image.plain_done = done;
    l->image.owner = owner;
    l->image.progress = progress_new(rt, on_progress, owner);
    l->each = each;
    job_start(&l->image.job, WORK_SLOW);
}

static int run_import(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);
    const struct image_progress progress = { .cancel = &job->rt->closing };
    char full[REFERENCE_TEXT_MAX];
    struct reference ref;
    struct image image;
    bool is_dir;
    int rc = 0;

    if (j->name[0] != '\0') {
        rc = reference_parse(j->name, &ref, &job->fault);
        if (rc == 0)
            reference_format(&ref, full);
    }
    if (rc == 0)
        rc = image_job_open_source(j, &is_dir);
    if (rc == 0 && is_dir)
        rc = fault_set(&job->fault, ERR_INVALID, "%s: is a directory; give a tar of it", j->path);
    if (rc == 0)
        rc = archive_import(&job->rt->images, j->fd, j->name[0] != '\0' ? full : NULL, j->config,
                            runtime_wall_now(), &progress, &image, &job->fault);
    return rc < 0 ? rc : image_job_describe(j, &image);
}

void runtime_image_import(struct runtime *rt, const char *path, int fd, const char *name,
                          const char *config, runtime_image_done done, void *owner)
{
    struct image_job *j = image_job_new(rt, name, run_import, image_job_report);

    j->fd = fd;
    j->path = path == NULL ? NULL : strdup(path);
    j->config = config == NULL ? NULL : strdup(config);
    j->done = done;
    j->owner = owner;
    job_start(&j->job, WORK_SLOW);
}

/* --- Register: blobs that came from peers */

static int run_register(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);
    struct image_store *store = &job->rt->images;
    const struct image_progress progress = { .on_progress = progress_note,
                                             .arg = j->progress,
                                             .cancel = &job->rt->closing };
    char full[REFERENCE_TEXT_MAX], repository[REFERENCE_TEXT_MAX], by_digest[REFERENCE_TEXT_MAX];
    struct digest digest, manifest;
    struct reference ref;
    struct blob_use use;
    struct image image;
    bool is_index;
    int rc = reference_parse(j->name, &ref, &job->fault);

    if (rc == 0 && digest_parse(slice_of_str(j->other), &digest) < 0)
        rc = fault_set(&job->fault, ERR_INVALID,
                       "digest \"%.80s\": must be sha256: and 64 hex digits", j->other);
    if (rc < 0)
        return rc;
    reference_format(&ref, full);
    reference_format_repository(&ref, repository);
    blob_use_begin(&store->blobs, &use);
    rc = image_choose_manifest(store, &digest, &manifest, &is_index, &job->fault);
    if (rc == 0)
        rc = image_unpack(store, &manifest, &progress, &image, &job->fault);
    if (rc == 0) {
        (void)snprintf(by_digest, sizeof(by_digest), "%.400s@%s", repository, digest.text);
        rc = image_set_name(store, full, &manifest, &image.config_digest, is_index ? &digest : NULL,
                            &job->fault);
        if (rc == 0)
            rc = image_set_name(store, by_digest, &manifest, &image.config_digest,
                                is_index ? &digest : NULL, &job->fault);
        if (rc == 0)
            rc = image_describe(store, &image, &j->description, &job->fault);
        image_deinit(&image);
    }
    blob_use_end(&store->blobs, &use);
    return rc;
}

void runtime_image_register(struct runtime *rt, const char *reference, const char *digest,
                            runtime_progress on_progress, runtime_image_done done, void *owner)
{
    struct image_job *j = image_job_new(rt, reference, run_register, image_job_report);

    (void)snprintf(j->other, sizeof(j->other), "%s", digest);
    j->done = done;
    j->owner = owner;
    j->progress = progress_new(rt, on_progress, owner);
    job_start(&j->job, WORK_SLOW);
}
