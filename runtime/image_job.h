/* runtime/image_job.h - What the calls about one image have in common: for image_*call.c only. */
#ifndef RUNTIME_IMAGE_JOB_H
#define RUNTIME_IMAGE_JOB_H

#include "runtime/image_describe.h"
#include "runtime/job.h"

struct image_job {
    struct job job;
    char name[REFERENCE_LEN_MAX + 1], other[REFERENCE_LEN_MAX + 1];
    runtime_image_done done;
    runtime_done plain_done;
    void *owner;
    struct image_description *description;
    struct progress *progress;
    int fd;
    char *path, *config;
};

/* Copies `name`, which may be NULL; one that is too long fails the job when it runs. */
struct image_job *image_job_new(struct runtime *rt, const char *name, int (*run)(struct job *),
                                void (*done)(struct job *));

/* The ends of a job: call `done` or `plain_done` and free it. */
void image_job_report(struct job *job);
void image_job_report_plain(struct job *job);

/* On the thread: makes the description, and image_deinit()s `image`. */
NODISCARD int image_job_describe(struct image_job *j, struct image *image);

/* On the thread: opens `path` unless there is an `fd`. A directory is only found to be one. */
NODISCARD int image_job_open_source(struct image_job *j, bool *out_is_dir);

#endif /* RUNTIME_IMAGE_JOB_H */
