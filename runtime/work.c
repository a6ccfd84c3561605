/* One mutex guards the queues of all lanes and the list of finished work. A thread that finishes
 * a piece rings the async handle; the loop then takes all that is finished at once. `pending`
 * counts what was submitted and not yet reported, and who holds the pool: closing waits for zero,
 * then ends the threads. */
#include "runtime/work.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"

#define THREADS_MAX 64

struct lane {
    struct list queue;
    uv_cond_t ready;
};

struct thread {
    struct work_pool *pool;
    enum work_lane lane;
    uv_thread_t id;
};

struct work_pool {
    uv_mutex_t mutex; /* guards the lanes' queues, finished and stopping */
    struct lane lanes[WORK_LANES];
    struct list finished;
    bool stopping;
    void (*enter)(void *arg);
    void *arg;

    uv_async_t async; /* loop only, from here on */
    uint64_t pending;
    void (*on_closed)(void *owner);
    void *owner;
    uint32_t thread_count;
    struct thread threads[THREADS_MAX];
};

static struct work *take(struct work_pool *pool, struct lane *lane)
{
    struct list *link;

    uv_mutex_lock(&pool->mutex);
    while ((link = list_pop_front(&lane->queue)) == NULL && !pool->stopping)
        uv_cond_wait(&lane->ready, &pool->mutex);
    uv_mutex_unlock(&pool->mutex);
    return link == NULL ? NULL : CONTAINER_OF(link, struct work, link);
}

static void thread_main(void *arg)
{
    struct thread *t = arg;
    struct work_pool *pool = t->pool;
    struct work *w;

    if (pool->enter != NULL)
        pool->enter(pool->arg);
    while ((w = take(pool, &pool->lanes[t->lane])) != NULL) {
        w->run(w);
        uv_mutex_lock(&pool->mutex);
        list_push_back(&pool->finished, &w->link);
        uv_mutex_unlock(&pool->mutex);
        (void)uv_async_send(&pool->async); /* fails only for a closing handle: none pending then */
    }
}

static void on_async_closed(uv_handle_t *handle)
{
    struct work_pool *pool = CONTAINER_OF(handle, struct work_pool, async);

    for (int i = 0; i < WORK_LANES; i++)
        uv_cond_destroy(&pool->lanes[i].ready);
    uv_mutex_destroy(&pool->mutex);
    if (pool->on_closed != NULL)
        pool->on_closed(pool->owner);
    free(pool);
}

static void stop_threads(struct work_pool *pool)
{
    uv_mutex_lock(&pool->mutex);
    pool->stopping = true;
    for (int i = 0; i < WORK_LANES; i++)
        uv_cond_broadcast(&pool->lanes[i].ready);
    uv_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        CHECK(uv_thread_join(&pool->threads[i].id) == 0);
    uv_close((uv_handle_t *)&pool->async, on_async_closed);
}

static void on_finished(uv_async_t *async)
{
    struct work_pool *pool = CONTAINER_OF(async, struct work_pool, async);
    struct list finished, *link;

    list_init(&finished);
    uv_mutex_lock(&pool->mutex);
    list_splice_back(&finished, &pool->finished);
    uv_mutex_unlock(&pool->mutex);
    while ((link = list_pop_front(&finished)) != NULL) {
        struct work *w = CONTAINER_OF(link, struct work, link);

        CHECK(pool->pending > 0);
        w->done(w); /* may submit more, also when closing */
        pool->pending--;
    }
    if (pool->on_closed != NULL && pool->pending == 0 && !pool->stopping)
        stop_threads(pool);
}

static int start_threads(struct work_pool *pool, const uint32_t threads[WORK_LANES])
{
    for (int lane = 0; lane < WORK_LANES; lane++) {
        for (uint32_t i = 0; i < threads[lane] && pool->thread_count < THREADS_MAX; i++) {
            struct thread *t = &pool->threads[pool->thread_count];
            int rc;

            t->pool = pool;
            t->lane = (enum work_lane)lane;
            rc = uv_thread_create(&t->id, thread_main, t);
            if (rc < 0)
                return rc;
            pool->thread_count++;
        }
    }
    return 0;
}

int work_pool_new(uv_loop_t *loop, const uint32_t threads[WORK_LANES], void (*enter)(void *arg),
                  void *arg, struct work_pool **out)
{
    struct work_pool *pool = calloc(1, sizeof(*pool));
    int rc;

    if (pool == NULL)
        return UV_ENOMEM;
    pool->enter = enter;
    pool->arg = arg;
    list_init(&pool->finished);
    rc = uv_async_init(loop, &pool->async, on_finished);
    if (rc < 0) {
        free(pool);
        return rc;
    }
    CHECK(uv_mutex_init(&pool->mutex) == 0);
    for (int i = 0; i < WORK_LANES; i++) {
        list_init(&pool->lanes[i].queue);
        CHECK(uv_cond_init(&pool->lanes[i].ready) == 0);
    }
    rc = start_threads(pool, threads);
    if (rc < 0) {
        stop_threads(pool);
        return rc;
    }
    *out = pool;
    return 0;
}

void work_submit(struct work_pool *pool, enum work_lane lane, struct work *w)
{
    CHECK(!pool->stopping);
    pool->pending++;
    uv_mutex_lock(&pool->mutex);
    list_init(&w->link);
    list_push_back(&pool->lanes[lane].queue, &w->link);
    uv_cond_signal(&pool->lanes[lane].ready);
    uv_mutex_unlock(&pool->mutex);
}

void work_hold(struct work_pool *pool)
{
    CHECK(!pool->stopping);
    pool->pending++;
}

void work_release(struct work_pool *pool)
{
    CHECK(pool->pending > 0);
    pool->pending--;
    (void)uv_async_send(&pool->async); /* if it closes, this may be what it waits for */
}

void work_pool_close(struct work_pool *pool, void (*on_closed)(void *owner), void *owner)
{
    CHECK(on_closed != NULL);
    pool->on_closed = on_closed;
    pool->owner = owner;
    (void)uv_async_send(&pool->async); /* cannot fail: the handle is open */
}
