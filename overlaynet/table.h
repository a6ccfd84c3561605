/* overlaynet/table.h - Hash table with one writer and readers that never wait.
 *
 * Keys are non-zero 64-bit numbers, values pointers. The writer is the control thread; lanes read
 * while it writes. A slot's key never changes once set, a removed entry leaves its key with a NULL
 * value, and growing builds a new array and swaps it in: so a reader sees an entry before or after
 * a change, never half of one. What is removed or replaced is given to the owner's reclaimer
 * (reclaim.h) and freed when no lane can hold it any more. */
#ifndef OVERLAYNET_TABLE_H
#define OVERLAYNET_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct reclaim;

struct table_slot {
    _Atomic uint64_t key; /* 0 = free */
    _Atomic(void *) value;
};

struct table_array {
    size_t mask;
    struct table_slot slots[];
};

struct table {
    _Atomic(struct table_array *) array; /* NULL = empty */
    size_t count;                        /* live entries */
    size_t used;                         /* slots with a key */
    struct reclaim *reclaim;
};

void table_init(struct table *t, struct reclaim *reclaim); /* allocates nothing */
void table_deinit(struct table *t);                        /* no reader is left */

/* Adds or replaces; the earlier value, or NULL, goes to *out_old for the caller to retire.
 *   -ENOMEM */
NODISCARD int table_set(struct table *t, uint64_t key, void *value, void **out_old);

/* Removes and returns the value; NULL when there was none. */
void *table_remove(struct table *t, uint64_t key);

size_t table_memory(const struct table *t);

static inline uint64_t table_hash(uint64_t key)
{
    key ^= key >> 32; /* a 64-bit finaliser: Steele & Vigna, "mix13" family */
    key *= UINT64_C(0xd6e8feb86659fd93);
    key ^= key >> 32;
    return key;
}

/* Any thread that is a reader of the reclaimer, or the writer. */
static inline void *table_get(const struct table *t, uint64_t key)
{
    const struct table_array *a = atomic_load_explicit(&t->array, memory_order_acquire);

    if (a == NULL)
        return NULL;
    for (size_t i = table_hash(key) & a->mask;; i = (i + 1) & a->mask) {
        uint64_t k = atomic_load_explicit(&a->slots[i].key, memory_order_acquire);

        if (k == key)
            return atomic_load_explicit(&a->slots[i].value, memory_order_acquire);
        if (k == 0)
            return NULL;
    }
}

/* Writer only: for (size_t i = 0; (value = table_next(&t, &i)) != NULL;) */
void *table_next(const struct table *t, size_t *position);

#endif /* OVERLAYNET_TABLE_H */
