/* An object retired in epoch e is free when every reader sleeps or entered after e. */
#include "overlaynet/reclaim.h"

#include <sched.h>
#include <stdlib.h>

struct reclaim_item {
    struct list link;
    void *object;
    void (*free_fn)(void *);
    uint64_t epoch;
};

void reclaim_init(struct reclaim *r)
{
    atomic_init(&r->epoch, 1);
    for (size_t i = 0; i < RECLAIM_READERS_MAX; i++)
        atomic_init(&r->readers[i].seen, 0);
    list_init(&r->waiting);
    r->count = 0;
}

static bool is_unused(struct reclaim *r, uint64_t epoch)
{
    atomic_thread_fence(memory_order_seq_cst); /* what was taken out is out before we look */
    for (size_t i = 0; i < RECLAIM_READERS_MAX; i++) {
        uint64_t seen = atomic_load_explicit(&r->readers[i].seen, memory_order_seq_cst);

        if (seen != 0 && seen <= epoch)
            return false;
    }
    return true;
}

static void free_item(struct reclaim *r, struct list *link)
{
    struct reclaim_item *item = CONTAINER_OF(link, struct reclaim_item, link);

    list_remove(link);
    item->free_fn(item->object);
    free(item);
    r->count--;
}

void reclaim_poll(struct reclaim *r)
{
    LIST_EACH_SAFE(it, &r->waiting)
    {
        if (!is_unused(r, CONTAINER_OF(it, struct reclaim_item, link)->epoch))
            break;
        free_item(r, it);
    }
}

void reclaim_deinit(struct reclaim *r)
{
    LIST_EACH_SAFE(it, &r->waiting)
    free_item(r, it);
}

void reclaim_later(struct reclaim *r, void *object, void (*free_fn)(void *))
{
    struct reclaim_item *item;
    uint64_t epoch;

    if (object == NULL)
        return;
    epoch = atomic_fetch_add_explicit(&r->epoch, 1, memory_order_seq_cst);
    item = malloc(sizeof(*item));
    if (item == NULL) {
        while (!is_unused(r, epoch))
            (void)sched_yield(); /* cannot fail on Linux; a turn of a lane is short */
        free_fn(object);
        return;
    }
    *item = (struct reclaim_item){ .object = object, .free_fn = free_fn, .epoch = epoch };
    list_push_back(&r->waiting, &item->link);
    r->count++;
}
