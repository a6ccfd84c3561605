/* The calls of runtime.h about images. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/time_text.h"
#include "runtime/archive_in.h"
#include "runtime/job.h"

/* --- What is said of an image */

struct description {
    struct image_info info;
    struct digest id, manifest;
    struct image_config config;
    struct buf config_text;
    struct str_list names, repo_digests;
};

static void description_free(struct description *d)
{
    if (d == NULL)
        return;
    fields_deinit(&image_config_type, &d->config);
    buf_deinit(&d->config_text);
    str_list_clear(&d->names);
    str_list_clear(&d->repo_digests);
    free((void *)(uintptr_t)d->info.names);
    free((void *)(uintptr_t)d->info.repo_digests);
    free(d);
}

static const char *const *array_of(const struct str_list *list)
{
    const char **array = calloc(list->count + 1, sizeof(*array));

    for (size_t i = 0; array != NULL && i < list->count; i++)
        array[i] = list->items[i];
    return (const char *const *)array;
}

static int collect_names(struct image_store *store, struct description *d)
{
    struct image_references refs;
    int rc = image_references_copy(store, &refs);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < refs.names.count; i++) {
        const char *name = refs.names.items[i].key;

        if (name[0] == '@' || strcmp(refs.names.items[i].value.manifest, d->manifest.text) != 0)
            continue;
        rc = str_list_append(strchr(name, '@') != NULL ? &d->repo_digests : &d->names, name);
    }
    fields_deinit(&image_references_type, &refs);
    return rc;
}

static uint64_t blob_sizes(struct image_store *store, const struct digest *manifest)
{
    struct manifest m;
    struct fault ignored;
    struct buf text;
    uint64_t total = 0;

    buf_init(&text, MANIFEST_BYTES_MAX);
    if (blob_read(&store->blobs, manifest, &text, &ignored) == 0 &&
        manifest_parse(buf_slice(&text), &m, &ignored) == 0) {
        total = text.len + (m.config != NULL ? m.config->size : 0);
        for (size_t i = 0; i < m.layers.count; i++)
            total += m.layers.items[i].size;
        fields_deinit(&manifest_type, &m);
    }
    buf_deinit(&text);
    return total;
}

static void fill_info(struct image_store *store, struct description *d, const struct image *image)
{
    struct image_info *i = &d->info;
    const char *created = d->config.created;

    i->id = d->id.text;
    i->manifest_digest = d->manifest.text;
    i->names = array_of(&d->names);
    i->repo_digests = array_of(&d->repo_digests);
    i->config = (const char *)d->config_text.ptr;
    i->architecture = d->config.architecture == NULL ? "" : d->config.architecture;
    i->os = d->config.os == NULL ? "" : d->config.os;
    i->variant = d->config.variant == NULL ? "" : d->config.variant;
    if (created == NULL || time_parse(slice_of_str(created), &i->created) < 0)
        i->created = 0;
    for (size_t k = 0; k < image->layer_count; k++)
        i->size += image->layers[k].bytes;
    i->blob_size = blob_sizes(store, &d->manifest);
}

/* Takes the config out of `image`. */
static int describe(struct image_store *store, struct image *image, struct description **out,
                    struct fault *f)
{
    struct description *d = calloc(1, sizeof(*d));
    struct fault ignored;
    int rc = d == NULL ? -ENOMEM : 0;

    if (rc == 0) {
        d->id = image->config_digest;
        d->manifest = image->manifest;
        buf_init(&d->config_text, IMAGE_CONFIG_BYTES_MAX + 1);
        rc = blob_read(&store->blobs, &d->id, &d->config_text, f);
    }
    if (rc == 0)
        rc = buf_append_byte(&d->config_text, '\0');
    if (rc == 0)
        rc = collect_names(store, d);
    if (rc == 0) {
        (void)!image_find_layers(store, image, &ignored); /* a size that is unknown is 0 */
        d->config = image->config;
        image->config = (struct image_config){ 0 };
        fill_info(store, d, image);
        if (d->info.names == NULL || d->info.repo_digests == NULL)
            rc = -ENOMEM;
    }
    if (rc < 0) {
        description_free(d);
        return f->text[0] != '\0' ? rc : fault_system(f, rc, "image");
    }
    *out = d;
    return 0;
}

static void count_users(const struct runtime *rt, struct description *d)
{
    LIST_EACH(it, &rt->containers)
    {
        const struct container *c = CONTAINER_OF(it, struct container, link);

        d->info.container_count +=
            c->record.image_id != NULL && strcmp(c->record.image_id, d->id.text) == 0;
    }
}

/* --- Inspect */

struct image_job {
    struct job job;
    char name[REFERENCE_LEN_MAX + 1], other[REFERENCE_LEN_MAX + 1];
    runtime_image_done done;
    runtime_done plain_done;
    void *owner;
    struct description *description;
    struct progress *progress;
    int fd;
    char *path, *config;
};

static struct image_job *new_image_job(struct runtime *rt, const char *name,
                                       int (*run)(struct job *), void (*done)(struct job *))
{
    struct image_job *j = job_new(rt, sizeof(*j), run, done);

    j->fd = -1;
    if (name != NULL && strlen(name) > REFERENCE_LEN_MAX)
        j->job.err = fault_set(&j->job.fault, ERR_INVALID, "image name of %zu bytes: at most %d",
                               strlen(name), REFERENCE_LEN_MAX);
    else if (name != NULL)
        (void)snprintf(j->name, sizeof(j->name), "%s", name); /* length checked */
    return j;
}

static void free_image_job(struct image_job *j)
{
    description_free(j->description);
    if (j->fd >= 0)
        close(j->fd);
    free(j->path);
    free(j->config);
    free(j);
}

static void report_image(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);

    progress_free(j->progress);
    if (j->description != NULL)
        count_users(job->rt, j->description);
    j->done(j->owner, job->err, job_message(job), job->err == 0 ? &j->description->info : NULL);
    free_image_job(j);
}

static void report_plain(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);

    progress_free(j->progress);
    j->plain_done(j->owner, job->err, job_message(job));
    free_image_job(j);
}

static int describe_and_free(struct image_job *j, struct image *image)
{
    int rc = describe(&j->job.rt->images, image, &j->description, &j->job.fault);

    image_deinit(image);
    return rc;
}

static int run_inspect(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);
    struct image image;
    int rc = image_resolve(&job->rt->images, j->name, &image, &job->fault);

    return rc < 0 ? rc : describe_and_free(j, &image);
}

void runtime_image_inspect(struct runtime *rt, const char *name, runtime_image_done done,
                           void *owner)
{
    struct image_job *j = new_image_job(rt, name, run_inspect, report_image);

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
    struct description **items;
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
    l->items = calloc(refs.names.count + 1, sizeof(struct description *));
    rc = l->items == NULL ? fault_system(&job->fault, -ENOMEM, "images") : 0;
    for (size_t i = 0; rc == 0 && i < refs.names.count; i++) {
        struct digest manifest;
        struct fault ignored = { "" };
        struct image image;

        if (digest_parse(slice_of_str(refs.names.items[i].value.manifest), &manifest) < 0 ||
            is_listed(l, &manifest) || image_open(store, &manifest, &image, &ignored) < 0)
            continue; /* one that is broken must not hide the others */
        if (describe(store, &image, &l->items[l->count], &ignored) == 0)
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
        count_users(job->rt, l->items[i]);
        if (job->err == 0)
            l->each(l->owner, &l->items[i]->info);
        description_free(l->items[i]);
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

/* --- Tag and remove */

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
    struct image_job *j = new_image_job(rt, name, run_tag, report_plain);

    (void)snprintf(j->other, sizeof(j->other), "%s", new_name);
    j->plain_done = done;
    j->owner = owner;
    job_start(&j->job, WORK_QUICK);
}

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

/* A file to read, or in *out_dir the path of a directory. */
static int open_source(struct image_job *j, bool *out_is_dir)
{
    struct stat st;

    *out_is_dir = false;
    if (j->fd >= 0)
        return 0;
    if (j->path == NULL || stat(j->path, &st) < 0)
        return fault_system(&j->job.fault, j->path == NULL ? -ENOENT : -errno, "archive %s",
                            j->path == NULL ? "" : j->path);
    *out_is_dir = S_ISDIR(st.st_mode);
    if (*out_is_dir)
        return 0;
    j->fd = open(j->path, O_RDONLY | O_CLOEXEC);
    return j->fd < 0 ? fault_system(&j->job.fault, -errno, "archive %s", j->path) : 0;
}

static int run_load(struct job *job)
{
    struct load_job *l = CONTAINER_OF(job, struct load_job, image.job);
    const struct image_progress progress = { .on_progress = progress_note,
                                             .arg = l->image.progress,
                                             .cancel = &job->rt->closing };
    bool is_dir;
    int rc = open_source(&l->image, &is_dir);

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
        rc = open_source(j, &is_dir);
    if (rc == 0 && is_dir)
        rc = fault_set(&job->fault, ERR_INVALID, "%s: is a directory; give a tar of it", j->path);
    if (rc == 0)
        rc = archive_import(&job->rt->images, j->fd, j->name[0] != '\0' ? full : NULL, j->config,
                            runtime_wall_now(), &progress, &image, &job->fault);
    return rc < 0 ? rc : describe_and_free(j, &image);
}

void runtime_image_import(struct runtime *rt, const char *path, int fd, const char *name,
                          const char *config, runtime_image_done done, void *owner)
{
    struct image_job *j = new_image_job(rt, name, run_import, report_image);

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
            rc = describe(store, &image, &j->description, &job->fault);
        image_deinit(&image);
    }
    blob_use_end(&store->blobs, &use);
    return rc;
}

void runtime_image_register(struct runtime *rt, const char *reference, const char *digest,
                            runtime_progress on_progress, runtime_image_done done, void *owner)
{
    struct image_job *j = new_image_job(rt, reference, run_register, report_image);

    (void)snprintf(j->other, sizeof(j->other), "%s", digest);
    j->done = done;
    j->owner = owner;
    j->progress = progress_new(rt, on_progress, owner);
    job_start(&j->job, WORK_SLOW);
}
