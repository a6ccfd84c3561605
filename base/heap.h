/* base/heap.h - Intrusive binary heap of deadlines.
 *
 * Embed a struct heap_node per timer; insertion cannot fail. Equal deadlines come out in the
 * order in which they were set, so a simulation run is the same every time. Insert, update and
 * remove take O(log n), the minimum O(1). A zeroed node is in no heap. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

struct heap_node {
    struct heap_node *parent, *left, *right;
    mono_ns deadline;
    uint64_t sequence; /* orders equal deadlines; 0 = in no heap */
};

struct heap {
    struct heap_node *root;
    size_t count;
    uint64_t last_sequence;
};

void heap_init(struct heap *h);

/* Adds a node that is in no heap, or moves the deadline of one that is in `h`. Either way it
 * comes after all others of the same deadline. */
void heap_set(struct heap *h, struct heap_node *n, mono_ns deadline);

void heap_remove(struct heap *h, struct heap_node *n); /* does nothing when it is in no heap */

/* The earliest node; NULL when empty. It stays in the heap. */
static inline struct heap_node *heap_min(const struct heap *h)
{
    return h->root;
}

/* Removes and returns the earliest node whose deadline is at or before `now`, or NULL. */
struct heap_node *heap_pop_due(struct heap *h, mono_ns now);

/* The earliest deadline; MONO_NEVER when empty. */
static inline mono_ns heap_deadline(const struct heap *h)
{
    return h->root == NULL ? MONO_NEVER : h->root->deadline;
}

static inline bool heap_node_is_set(const struct heap_node *n)
{
    return n->sequence != 0;
}

#endif /* BASE_HEAP_H */
