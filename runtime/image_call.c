/* The calls of runtime.h that look at images and name them. Each is a job for a thread; lists are
 * collected there and told to the caller on the loop. Those that bring images in are in
 * image_load_call.c and pull.c, those that take them away in image_remove_call.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "runtime/image_job.h"

/* --- Inspect */

static int run_inspect(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);
    struct image image;
    int rc = image_resolve(&job->rt->images, j->name, &image, &job->fault);

    return rc < 0 ? rc : image_job_describe(j, &image);
}

void runtime_image_inspect(struct runtime *rt, const char *name, runtime_image_done done,
                           void *owner)
{
    struct image_job *j = image_job_new(rt, name, run_inspect, image_job_report);

    j->done = done;
    j->owner = owner;
    job_start(&j->job, WORK_QUICK);
}

/* --- List */

struct list_job {
    struct job job;
    void (*each)(void *owner, const struct image_info *image);
    runtime_done done;
    void *owner;
    struct image_description **items;
    size_t count;
};

static bool is_listed(const struct list_job *l, const struct digest *manifest)
{
    for (size_t i = 0; i < l->count; i++) {
        if (digest_equal(&l->items[i]->manifest, manifest))
            return true;
    }
    return false;
}

static int run_list(struct job *job)
{
    struct list_job *l = CONTAINER_OF(job, struct list_job, job);
    struct image_store *store = &job->rt->images;
    struct image_references refs;
    int rc = image_references_copy(store, &refs);

    if (rc < 0)
        return fault_system(&job->fault, rc, "images");
    l->count = 0;
    l->items = calloc(refs.names.count + 1, sizeof(struct image_description *));
    rc = l->items == NULL ? fault_system(&job->fault, -ENOMEM, "images") : 0;
    for (size_t i = 0; rc == 0 && i < refs.names.count; i++) {
        struct digest manifest;
        struct fault ignored = { "" };
        struct image image;

        if (digest_parse(slice_of_str(refs.names.items[i].value.manifest), &manifest) < 0 ||
            is_listed(l, &manifest) || image_open(store, &manifest, &image, &ignored) < 0)
            continue; /* one that is broken must not hide the others */
        if (image_describe(store, &image, &l->items[l->count], &ignored) == 0)
            l->count++;
        image_deinit(&image);
    }
    fields_deinit(&image_references_type, &refs);
    return rc;
}

static void report_list(struct job *job)
{
    struct list_job *l = CONTAINER_OF(job, struct list_job, job);

    for (size_t i = 0; i < l->count; i++) {
        image_count_users(job->rt, l->items[i]);
        if (job->err == 0)
            l->each(l->owner, &l->items[i]->info);
        image_description_free(l->items[i]);
    }
    free(l->items);
    l->done(l->owner, job->err, job_message(job));
    free(l);
}

void runtime_image_list(struct runtime *rt,
                        void (*each)(void *owner, const struct image_info *image),
                        runtime_done done, void *owner)
{
    struct list_job *l = job_new(rt, sizeof(*l), run_list, report_list);

    l->each = each;
    l->done = done;
    l->owner = owner;
    job_start(&l->job, WORK_QUICK);
}

/* --- Tag */

static int run_tag(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);
    char full[REFERENCE_TEXT_MAX];
    struct reference ref;
    struct image image;
    int rc = reference_parse(j->other, &ref, &job->fault);

    if (rc == 0 && ref.digest.text[0] != '\0')
        rc = fault_set(&job->fault, ERR_INVALID, "tag %.300s: a digest cannot be given to an image",
                       j->other);
    if (rc == 0)
        rc = image_resolve(&job->rt->images, j->name, &image, &job->fault);
    if (rc < 0)
        return rc;
    reference_format(&ref, full);
    rc = image_set_name(&job->rt->images, full, &image.manifest, &image.config_digest, NULL,
                        &job->fault);
    image_deinit(&image);
    return rc;
}

void runtime_image_tag(struct runtime *rt, const char *name, const char *new_name,
                       runtime_done done, void *owner)
{
    struct image_job *j = image_job_new(rt, name, run_tag, image_job_report_plain);

    (void)snprintf(j->other, sizeof(j->other), "%s", new_name);
    j->plain_done = done;
    j->owner = owner;
    job_start(&j->job, WORK_QUICK);
}
