/* The calls of runtime.h that take images away. What containers use is noted on the loop before the
 * thread begins; names go first, then image_collect() removes what no name reaches any more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "runtime/image_job.h"

/* --- Remove */

/* Manifests that containers use, for collections. */
struct remove_job {
    struct image_job image; /* first */
    struct digest *used;
    size_t used_count;
    enum image_prune which;
    void (*prune_done)(void *owner, int err, const char *message, uint64_t removed_count,
                       uint64_t freed_bytes);
    struct blob_prune result;
    uint64_t removed_count;
};

static void note_used(struct runtime *rt, struct remove_job *r)
{
    r->used = calloc(rt->container_count + 1, sizeof(*r->used));
    if (r->used == NULL) {
        r->image.job.err = fault_system(&r->image.job.fault, -ENOMEM, "images");
        return;
    }
    LIST_EACH(it, &rt->containers)
    {
        const struct container *c = CONTAINER_OF(it, struct container, link);

        if (c->record.manifest != NULL &&
            digest_parse(slice_of_str(c->record.manifest), &r->used[r->used_count]) == 0)
            r->used_count++;
    }
}

static bool is_used(const struct remove_job *r, const char *manifest)
{
    for (size_t i = 0; i < r->used_count; i++) {
        if (strcmp(r->used[i].text, manifest) == 0)
            return true;
    }
    return false;
}

/* All names of the image, or the one; the last one only when no container uses it. */
static int remove_names(struct remove_job *r, const struct image *image, const char *full)
{
    struct image_store *store = &r->image.job.rt->images;
    struct fault *f = &r->image.job.fault;
    struct image_references refs;
    bool last = true;
    int rc = image_references_copy(store, &refs);

    if (rc < 0)
        return fault_system(f, rc, "image %s", r->image.name);
    for (size_t i = 0; i < refs.names.count; i++) {
        const struct image_reference_map_item *item = &refs.names.items[i];

        /* Digest names of the pull that gave the tag do not keep an image by themselves. */
        last &= full == NULL || strcmp(item->value.manifest, image->manifest.text) != 0 ||
                strcmp(item->key, full) == 0 || strchr(item->key, '@') != NULL;
    }
    if (last && is_used(r, image->manifest.text))
        rc = fault_set(f, ERR_IN_USE, "image %s: a container uses it; remove the container first",
                       r->image.name);
    for (size_t i = 0; rc == 0 && i < refs.names.count; i++) {
        const struct image_reference_map_item *item = &refs.names.items[i];

        if (strcmp(item->value.manifest, image->manifest.text) != 0)
            continue;
        if (last || strcmp(item->key, full) == 0)
            rc = image_remove_name(store, item->key, UNNAME_DROP_IMAGE, f);
    }
    fields_deinit(&image_references_type, &refs);
    return rc;
}

static int run_remove(struct job *job)
{
    struct remove_job *r = CONTAINER_OF(job, struct remove_job, image.job);
    struct image_store *store = &job->rt->images;
    char full[REFERENCE_TEXT_MAX];
    struct fault ignored;
    struct reference ref;
    struct image image;
    struct image_references refs;
    bool by_name = false;
    int rc = image_resolve(store, r->image.name, &image, &job->fault);

    if (rc < 0)
        return rc;
    if (reference_parse(r->image.name, &ref, &ignored) == 0 &&
        image_references_copy(store, &refs) == 0) {
        reference_format(&ref, full);
        by_name = fields_map_get(&image_reference_type, &refs.names, full) != NULL;
        fields_deinit(&image_references_type, &refs);
    }
    rc = remove_names(r, &image, by_name ? full : NULL);
    image_deinit(&image);
    if (rc == 0)
        rc = image_collect(store, r->used, r->used_count, &r->result, &job->fault);
    return rc;
}

static void report_remove(struct job *job)
{
    struct remove_job *r = CONTAINER_OF(job, struct remove_job, image.job);

    r->image.plain_done(r->image.owner, job->err, job_message(job));
    free(r->used);
    free(r);
}

void runtime_image_remove(struct runtime *rt, const char *name, runtime_done done, void *owner)
{
    struct remove_job *r = job_new(rt, sizeof(*r), run_remove, report_remove);

    (void)snprintf(r->image.name, sizeof(r->image.name), "%s", name);
    r->image.plain_done = done;
    r->image.owner = owner;
    note_used(rt, r);
    job_start(&r->image.job, WORK_SLOW);
}

/* --- Prune */

static int run_prune(struct job *job)
{
    struct remove_job *r = CONTAINER_OF(job, struct remove_job, image.job);
    struct image_store *store = &job->rt->images;
    struct image_references refs;
    int rc = image_references_copy(store, &refs);

    if (rc < 0)
        return fault_system(&job->fault, rc, "images");
    for (size_t i = 0; rc == 0 && i < refs.names.count; i++) {
        const struct image_reference_map_item *item = &refs.names.items[i];

        if (is_used(r, item->value.manifest) || (r->which == PRUNE_DANGLING && item->key[0] != '@'))
            continue;
        rc = image_remove_name(store, item->key, UNNAME_DROP_IMAGE, &job->fault);
        r->removed_count += rc == 0;
    }
    fields_deinit(&image_references_type, &refs);
    if (rc == 0)
        rc = image_collect(store, r->used, r->used_count, &r->result, &job->fault);
    return rc;
}

static void report_prune(struct job *job)
{
    struct remove_job *r = CONTAINER_OF(job, struct remove_job, image.job);

    r->prune_done(r->image.owner, job->err, job_message(job), r->removed_count, r->result.bytes);
    free(r->used);
    free(r);
}

void runtime_image_prune(struct runtime *rt, enum image_prune which,
                         void (*done)(void *owner, int err, const char *message,
                                      uint64_t removed_count, uint64_t freed_bytes),
                         void *owner)
{
    struct remove_job *r = job_new(rt, sizeof(*r), run_prune, report_prune);

    r->which = which;
    r->prune_done = done;
    r->image.owner = owner;
    note_used(rt, r);
    job_start(&r->image.job, WORK_SLOW);
}
