/* Linear probing; at most four fifths of the slots carry a key, so every search ends. */
#include "overlaynet/table.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "overlaynet/reclaim.h"

#define SLOTS_MIN 16

void table_init(struct table *t, struct reclaim *reclaim)
{
    atomic_init(&t->array, NULL);
    t->count = t->used = 0;
    t->reclaim = reclaim;
}

static struct table_array *load(const struct table *t)
{
    return atomic_load_explicit(&t->array, memory_order_relaxed);
}

void table_deinit(struct table *t)
{
    free(load(t));
    table_init(t, t->reclaim);
}

size_t table_memory(const struct table *t)
{
    const struct table_array *a = load(t);

    return a == NULL ? 0 : sizeof(*a) + (a->mask + 1) * sizeof(a->slots[0]);
}

/* The slot of a key, or the free one where it belongs. */
static struct table_slot *find_slot(struct table_array *a, uint64_t key)
{
    for (size_t i = table_hash(key) & a->mask;; i = (i + 1) & a->mask) {
        uint64_t k = atomic_load_explicit(&a->slots[i].key, memory_order_relaxed);

        if (k == key || k == 0)
            return &a->slots[i];
    }
}

static bool has_room(const struct table *t)
{
    const struct table_array *a = load(t);

    return a != NULL && (t->used + 1) * 5 <= (a->mask + 1) * 4;
}

/* A new array without the removed keys. */
static int rebuild(struct table *t)
{
    struct table_array *old = load(t), *a;
    size_t slots = SLOTS_MIN;

    while ((t->count + 1) * 5 > slots * 4)
        slots *= 2;
    a = calloc(1, sizeof(*a) + slots * sizeof(a->slots[0]));
    if (a == NULL)
        return -ENOMEM;
    a->mask = slots - 1;
    for (size_t i = 0; old != NULL && i <= old->mask; i++) {
        void *value = atomic_load_explicit(&old->slots[i].value, memory_order_relaxed);
        uint64_t key = atomic_load_explicit(&old->slots[i].key, memory_order_relaxed);
        struct table_slot *s;

        if (value == NULL)
            continue;
        s = find_slot(a, key);
        atomic_store_explicit(&s->value, value, memory_order_relaxed);
        atomic_store_explicit(&s->key, key, memory_order_relaxed);
    }
    t->used = t->count;
    atomic_store_explicit(&t->array, a, memory_order_release);
    reclaim_later(t->reclaim, old, free);
    return 0;
}

int table_set(struct table *t, uint64_t key, void *value, void **out_old)
{
    struct table_slot *s;
    void *old;

    CHECK(key != 0 && value != NULL);
    s = load(t) == NULL ? NULL : find_slot(load(t), key);
    if (s == NULL || atomic_load_explicit(&s->key, memory_order_relaxed) == 0) {
        if (!has_room(t)) {
            int rc = rebuild(t);

            if (rc < 0)
                return rc;
        }
        s = find_slot(load(t), key);
    }
    old = atomic_load_explicit(&s->value, memory_order_relaxed);
    atomic_store_explicit(&s->value, value, memory_order_release);
    if (atomic_load_explicit(&s->key, memory_order_relaxed) == 0) {
        atomic_store_explicit(&s->key, key, memory_order_release);
        t->used++;
    }
    if (old == NULL)
        t->count++;
    *out_old = old;
    return 0;
}

void *table_remove(struct table *t, uint64_t key)
{
    struct table_array *a = load(t);
    struct table_slot *s = a == NULL ? NULL : find_slot(a, key);
    void *old;

    if (s == NULL || atomic_load_explicit(&s->key, memory_order_relaxed) == 0)
        return NULL;
    old = atomic_load_explicit(&s->value, memory_order_relaxed);
    if (old == NULL)
        return NULL;
    atomic_store_explicit(&s->value, NULL, memory_order_release);
    t->count--;
    return old;
}

void *table_next(const struct table *t, size_t *position)
{
    const struct table_array *a = load(t);

    while (a != NULL && *position <= a->mask) {
        void *value = atomic_load_explicit(&a->slots[(*position)++].value, memory_order_relaxed);

        if (value != NULL)
            return value;
    }
    return NULL;
}
