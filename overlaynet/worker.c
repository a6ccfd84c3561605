/* Two lists under one mutex; the loop is woken by an async handle. */
#include "overlaynet/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct worker {
    uv_async_t async;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct list waiting, finished; /* under mutex */
    bool is_stopping;              /* under mutex */
    void (*closed)(void *ctx);
    void *ctx;
};

static void *run(void *arg)
{
    struct worker *w = arg;

    (void)pthread_mutex_lock(&w->mutex); /* cannot fail: initialised, not recursive */
    while (!w->is_stopping) {
        struct list *link = list_pop_front(&w->waiting);
        struct work *work;

        if (link == NULL) {
            (void)pthread_cond_wait(&w->cond, &w->mutex);
            continue;
        }
        (void)pthread_mutex_unlock(&w->mutex);
        work = CONTAINER_OF(link, struct work, link);
        work->run(work);
        (void)pthread_mutex_lock(&w->mutex);
        list_push_back(&w->finished, &work->link);
        (void)uv_async_send(&w->async);
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static void finish(struct worker *w, struct list *jobs, bool is_cancelled)
{
    for (;;) {
        struct list *link;
        struct work *work;

        (void)pthread_mutex_lock(&w->mutex);
        link = list_pop_front(jobs);
        (void)pthread_mutex_unlock(&w->mutex);
        if (link == NULL)
            return;
        work = CONTAINER_OF(link, struct work, link);
        work->done(work, is_cancelled);
    }
}

static void on_async(uv_async_t *async)
{
    struct worker *w = CONTAINER_OF(async, struct worker, async);

    finish(w, &w->finished, false);
}

static void free_worker(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_async_t *)handle, struct worker, async));
}

int worker_new(uv_loop_t *loop, struct worker **out)
{
    struct worker *w = calloc(1, sizeof(*w));
    int rc;

    if (w == NULL)
        return -ENOMEM;
    list_init(&w->waiting);
    list_init(&w->finished);
    (void)pthread_mutex_init(&w->mutex, NULL); /* default attributes cannot fail */
    (void)pthread_cond_init(&w->cond, NULL);
    rc = uv_async_init(loop, &w->async, on_async);
    if (rc < 0) {
        free(w);
        return rc;
    }
    rc = pthread_create(&w->thread, NULL, run, w);
    if (rc != 0) {
        uv_close((uv_handle_t *)&w->async, free_worker);
        return -rc;
    }
    *out = w;
    return 0;
}

void worker_submit(struct worker *w, struct work *work)
{
    (void)pthread_mutex_lock(&w->mutex);
    list_push_back(&w->waiting, &work->link);
    (void)pthread_cond_signal(&w->cond);
    (void)pthread_mutex_unlock(&w->mutex);
}

static void on_closed(uv_handle_t *handle)
{
    struct worker *w = CONTAINER_OF((uv_async_t *)handle, struct worker, async);

    finish(w, &w->finished, false);
    finish(w, &w->waiting, true);
    (void)pthread_cond_destroy(&w->cond);
    (void)pthread_mutex_destroy(&w->mutex);
    w->closed(w->ctx);
    free(w);
}

void worker_close(struct worker *w, void (*closed)(void *ctx), void *ctx)
{
    w->closed = closed;
    w->ctx = ctx;
    (void)pthread_mutex_lock(&w->mutex);
    w->is_stopping = true;
    (void)pthread_cond_signal(&w->cond);
    (void)pthread_mutex_unlock(&w->mutex);
    (void)pthread_join(w->thread, NULL);
    uv_close((uv_handle_t *)&w->async, on_closed);
}
