/* overlaynet/reclaim.h - Freeing what lanes may still be reading (quiescent-state reclamation).
 *
 * A lane says with every turn of its loop that it holds nothing from before (McKenney & Slingwine,
 * "Read-Copy Update", 1998). What the control thread takes out of a shared table is freed once
 * every lane has said so, or sleeps. Readers pay one store per turn; there is no lock. */
#ifndef OVERLAYNET_RECLAIM_H
#define OVERLAYNET_RECLAIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define RECLAIM_READERS_MAX 8

struct reclaim_reader {
    _Alignas(64) _Atomic uint64_t seen; /* epoch of this turn; 0 = holds nothing */
};

struct reclaim {
    _Atomic uint64_t epoch; /* from 1 */
    struct reclaim_reader readers[RECLAIM_READERS_MAX];
    struct list waiting; /* struct reclaim_item, oldest first */
    size_t count;
};

void reclaim_init(struct reclaim *r);
void reclaim_deinit(struct reclaim *r); /* no reader is left: frees everything */

/* Control thread: calls free_fn(object) when no lane can hold it any more. Takes `object`; NULL
 * is no object. Out of memory it waits for the lanes instead. */
void reclaim_later(struct reclaim *r, void *object, void (*free_fn)(void *));

/* Control thread, now and then: frees what can be freed. */
void reclaim_poll(struct reclaim *r);

/* Lane: begins a turn, in which shared objects may be used; ends it before sleeping. */
static inline void reclaim_enter(struct reclaim *r, struct reclaim_reader *reader)
{
    uint64_t epoch = atomic_load_explicit(&r->epoch, memory_order_relaxed);

    /* Sequentially consistent: the announcement must be visible before anything is read. */
    atomic_store_explicit(&reader->seen, epoch, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
}

static inline void reclaim_leave(struct reclaim_reader *reader)
{
    atomic_store_explicit(&reader->seen, 0, memory_order_release);
}

#endif /* OVERLAYNET_RECLAIM_H */
