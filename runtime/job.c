#include "runtime/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

void *job_new(struct runtime *rt, size_t size, int (*run)(struct job *j),
              void (*done)(struct job *j))
{
    struct job *j = calloc(1, size);

    CHECK(j != NULL); /* the promise of `done` needs it */
    j->rt = rt;
    j->run = run;
    j->done = done;
    return j;
}

static void run_job(struct work *w)
{
    struct job *j = CONTAINER_OF(w, struct job, work);

    j->err = j->run(j);
}

static void on_job_done(struct work *w)
{
    struct job *j = CONTAINER_OF(w, struct job, work);

    j->done(j);
}

static void run_done(struct later *l)
{
    struct job *j = CONTAINER_OF(l, struct job, later);

    j->done(j);
}

void job_start(struct job *j, enum work_lane lane)
{
    if (j->err == 0 && (!j->rt->is_ready || atomic_load(&j->rt->closing)))
        j->err = fault_set(&j->fault, ERR_CLOSED, "the runtime is not open");
    if (j->err < 0) {
        j->later.run = run_done;
        runtime_later(j->rt, &j->later);
        return;
    }
    j->work.run = run_job;
    j->work.done = on_job_done;
    work_submit(j->rt->pool, lane, &j->work);
}

/* --- Progress */

struct note {
    struct digest digest;
    struct pull_progress progress;
    bool fresh;
};

struct progress {
    struct runtime *rt;
    runtime_progress on_progress;
    void *owner;
    uv_mutex_t mutex; /* guards the notes */
    struct note notes[LAYER_COUNT_MAX + 2];
    size_t count;
    uv_async_t async;
};

static void deliver(struct progress *p)
{
    for (size_t i = 0;; i++) {
        struct note note = { .fresh = false };

        uv_mutex_lock(&p->mutex);
        if (i < p->count) {
            note = p->notes[i];
            p->notes[i].fresh = false;
        }
        uv_mutex_unlock(&p->mutex);
        if (i >= p->count)
            return;
        note.progress.digest = note.digest.text;
        if (note.fresh)
            p->on_progress(p->owner, &note.progress);
    }
}

static void on_async(uv_async_t *async)
{
    deliver(CONTAINER_OF(async, struct progress, async));
}

struct progress *progress_new(struct runtime *rt, runtime_progress on_progress, void *owner)
{
    struct progress *p;

    if (on_progress == NULL)
        return NULL;
    p = calloc(1, sizeof(*p));
    if (p == NULL || uv_async_init(rt->loop, &p->async, on_async) < 0) {
        free(p); /* the work goes on without */
        return NULL;
    }
    CHECK(uv_mutex_init(&p->mutex) == 0);
    p->rt = rt;
    p->on_progress = on_progress;
    p->owner = owner;
    rt->open_handles++;
    return p;
}

void progress_note(void *progress, const struct pull_progress *news)
{
    struct progress *p = progress;
    size_t i = 0;

    if (p == NULL)
        return;
    uv_mutex_lock(&p->mutex);
    while (i < p->count && strcmp(p->notes[i].digest.text, news->digest) != 0)
        i++;
    if (i < ARRAY_LEN(p->notes)) {
        p->count = MAX(p->count, i + 1);
        (void)snprintf(p->notes[i].digest.text, sizeof(p->notes[i].digest.text), "%s",
                       news->digest);
        p->notes[i].progress = *news;
        p->notes[i].fresh = true;
    }
    uv_mutex_unlock(&p->mutex);
    (void)uv_async_send(&p->async); /* open until progress_free() */
}

static void on_closed(uv_handle_t *handle)
{
    struct progress *p = CONTAINER_OF(handle, struct progress, async);
    struct runtime *rt = p->rt;

    uv_mutex_destroy(&p->mutex);
    free(p);
    runtime_handle_closed(rt);
}

void progress_free(struct progress *p)
{
    if (p == NULL)
        return;
    deliver(p);
    uv_close((uv_handle_t *)&p->async, on_closed);
}
