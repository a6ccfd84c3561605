/* A job about an image is made on the loop, runs on a thread and comes back to the loop, where the
 * one that asked hears of it and everything that the job owns is freed. */
#include "runtime/image_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

struct image_job *image_job_new(struct runtime *rt, const char *name, int (*run)(struct job *),
                                void (*done)(struct job *))
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
    image_description_free(j->description);
    if (j->fd >= 0)
        close(j->fd);
    free(j->path);
    free(j->config);
    free(j);
}

void image_job_report(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);

    progress_free(j->progress);
    if (j->description != NULL)
        image_count_users(job->rt, j->description);
    j->done(j->owner, job->err, job_message(job), job->err == 0 ? &j->description->info : NULL);
    free_image_job(j);
}

void image_job_report_plain(struct job *job)
{
    struct image_job *j = CONTAINER_OF(job, struct image_job, job);

    progress_free(j->progress);
    j->plain_done(j->owner, job->err, job_message(job));
    free_image_job(j);
}

int image_job_describe(struct image_job *j, struct image *image)
{
    int rc = image_describe(&j->job.rt->images, image, &j->description, &j->job.fault);

    image_deinit(image);
    return rc;
}

int image_job_open_source(struct image_job *j, bool *out_is_dir)
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
