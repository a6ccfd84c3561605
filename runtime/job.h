/* runtime/job.h - A call about images, blobs or volumes: work on a thread, results on the loop.
 *
 * A job is embedded in the call's own struct. `run` fills in err and fault; `done` reports and
 * frees. Progress made on the thread reaches the loop through the job, the newest of each layer
 * only, because a slow reader must not fill memory. */
#ifndef RUNTIME_JOB_H
#define RUNTIME_JOB_H

#include "runtime/runtime_impl.h"

struct job {
    struct work work;
    struct later later;
    struct runtime *rt;
    int (*run)(struct job *j);   /* on a thread */
    void (*done)(struct job *j); /* on the loop; frees */
    int err;
    struct fault fault;
};

/* Allocates a zeroed struct of `size` that begins with a struct job. */
void *job_new(struct runtime *rt, size_t size, int (*run)(struct job *j),
              void (*done)(struct job *j));
/* Submits it; when the runtime is not open, or `err` < 0 already, only `done` is called, later. */
void job_start(struct job *j, enum work_lane lane);

static inline const char *job_message(const struct job *j)
{
    return j->err == 0 ? "" : j->fault.text;
}

/* Progress across threads. */
struct progress;
struct progress *progress_new(struct runtime *rt, runtime_progress on_progress, void *owner);
void progress_note(void *progress, const struct pull_progress *p); /* any thread */
void progress_free(struct progress *p); /* on the loop, before `done`: reports what is left */

#endif /* RUNTIME_JOB_H */
