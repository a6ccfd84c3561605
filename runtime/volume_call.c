/* The calls of runtime.h about volumes. Infos borrow from the store, whose mutex is held only on
 * the thread, so what is reported on the loop are copies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "runtime/job.h"

struct copy {
    struct volume_info info;
    char name[CONTAINER_NAME_LEN_MAX + 1];
    struct path mountpoint;
    struct str_map labels, options;
};

struct volume_job {
    struct job job;
    char name[CONTAINER_NAME_LEN_MAX + 2];
    struct volume_meta wish;
    void (*each)(void *owner, const struct volume_info *volume);
    runtime_volume_done done;
    runtime_done plain_done;
    void *owner;
    struct copy *copies;
    size_t count;
    int copy_err;
};

static int copy_map(const struct str_map *from, struct str_map *to)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && from != NULL && i < from->count; i++)
        rc = str_map_set(to, from->items[i].key, from->items[i].value);
    return rc;
}

static void note_volume(void *arg, const struct volume_info *v)
{
    struct volume_job *j = arg;
    struct copy *more = realloc(j->copies, (j->count + 1) * sizeof(*more));
    struct copy *c;
    int rc;

    if (more == NULL) {
        j->copy_err = -ENOMEM;
        return;
    }
    j->copies = more;
    c = &more[j->count++];
    *c = (struct copy){ .info = *v };
    (void)snprintf(c->name, sizeof(c->name), "%s", v->name);
    c->mountpoint = path_of("%s", v->mountpoint);
    rc = copy_map(v->labels, &c->labels);
    if (rc == 0)
        rc = copy_map(v->options, &c->options);
    j->copy_err = rc < 0 ? rc : j->copy_err;
}

/* The array has stopped moving: the pointers into it can be set. */
static const struct volume_info *info_of(struct copy *c)
{
    c->info.name = c->name;
    c->info.mountpoint = c->mountpoint.text;
    c->info.labels = &c->labels;
    c->info.options = &c->options;
    return &c->info;
}

static void free_job(struct volume_job *j)
{
    for (size_t i = 0; i < j->count; i++) {
        str_map_clear(&j->copies[i].labels);
        str_map_clear(&j->copies[i].options);
    }
    free(j->copies);
    fields_deinit(&volume_meta_type, &j->wish);
    free(j);
}

static void report_volume(struct job *job)
{
    struct volume_job *j = CONTAINER_OF(job, struct volume_job, job);

    j->done(j->owner, job->err, job_message(job), job->err == 0 ? info_of(&j->copies[0]) : NULL);
    free_job(j);
}

static void report_plain(struct job *job)
{
    struct volume_job *j = CONTAINER_OF(job, struct volume_job, job);

    for (size_t i = 0; job->err == 0 && i < j->count; i++)
        j->each(j->owner, info_of(&j->copies[i]));
    j->plain_done(j->owner, job->err, job_message(job));
    free_job(j);
}

static struct volume_job *new_job(struct runtime *rt, const char *name, int (*run)(struct job *),
                                  void (*done)(struct job *), void *owner)
{
    struct volume_job *j = job_new(rt, sizeof(*j), run, done);

    (void)snprintf(j->name, sizeof(j->name), "%s", name == NULL ? "" : name);
    j->owner = owner;
    return j;
}

static int find(struct volume_job *j, const char *name)
{
    int rc = volume_find(&j->job.rt->volumes, name, note_volume, j, &j->job.fault);

    if (rc == 0 && j->copy_err < 0)
        rc = fault_system(&j->job.fault, j->copy_err, "volume %s", name);
    return rc;
}

static int run_create(struct job *job)
{
    struct volume_job *j = CONTAINER_OF(job, struct volume_job, job);
    const struct volume_wish wish = { .name = j->name,
                                      .labels = &j->wish.labels,
                                      .options = &j->wish.options,
                                      .now = runtime_wall_now() };
    char name[CONTAINER_NAME_LEN_MAX + 1];
    int rc = volume_ensure(&job->rt->volumes, &wish, name, &job->fault);

    return rc < 0 ? rc : find(j, name);
}

void runtime_volume_create(struct runtime *rt, const char *name, const struct str_map *labels,
                           const struct str_map *options, runtime_volume_done done, void *owner)
{
    struct volume_job *j = new_job(rt, name, run_create, report_volume, owner);
    int rc = copy_map(labels, &j->wish.labels);

    if (rc == 0)
        rc = copy_map(options, &j->wish.options);
    if (rc < 0)
        j->job.err = fault_system(&j->job.fault, rc, "volume");
    j->done = done;
    job_start(&j->job, WORK_QUICK);
}

static int run_inspect(struct job *job)
{
    struct volume_job *j = CONTAINER_OF(job, struct volume_job, job);

    return find(j, j->name);
}

void runtime_volume_inspect(struct runtime *rt, const char *name, runtime_volume_done done,
                            void *owner)
{
    struct volume_job *j = new_job(rt, name, run_inspect, report_volume, owner);

    j->done = done;
    job_start(&j->job, WORK_QUICK);
}

static int run_list(struct job *job)
{
    struct volume_job *j = CONTAINER_OF(job, struct volume_job, job);

    volume_each(&job->rt->volumes, note_volume, j);
    return j->copy_err < 0 ? fault_system(&job->fault, j->copy_err, "volumes") : 0;
}

void runtime_volume_list(struct runtime *rt,
                         void (*each)(void *owner, const struct volume_info *volume),
                         runtime_done done, void *owner)
{
    struct volume_job *j = new_job(rt, NULL, run_list, report_plain, owner);

    j->each = each;
    j->plain_done = done;
    job_start(&j->job, WORK_QUICK);
}

static int run_remove(struct job *job)
{
    struct volume_job *j = CONTAINER_OF(job, struct volume_job, job);

    return volume_remove(&job->rt->volumes, j->name, &job->fault);
}

void runtime_volume_remove(struct runtime *rt, const char *name, runtime_done done, void *owner)
{
    struct volume_job *j = new_job(rt, name, run_remove, report_plain, owner);

    j->plain_done = done;
    job_start(&j->job, WORK_QUICK);
}
