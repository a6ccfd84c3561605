/* base/arena.h - Memory that is given back all at once.
 *
 * For what lives exactly as long as one message, one request or one plan: allocate
 * freely, free nothing, reset at the end. The byte limit bounds what a hostile
 * message can make us allocate. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; only the newest has room that is used */
    size_t used;                /* bytes handed out, rounded up to their alignment */
    size_t limit;               /* used <= limit */
};

void arena_init(struct arena *a, size_t limit); /* allocates nothing */
void arena_deinit(struct arena *a);             /* frees; leaves an empty arena of the same limit */

/* Ends every borrow and starts over; keeps one block for reuse. */
void arena_reset(struct arena *a);

/* Zeroed memory for `count` items of `size` bytes, aligned for any type; borrowed from the
 * arena until reset. NULL when the limit or memory is exhausted: arena_would_exceed() tells
 * which. Zero bytes give a valid pointer that must not be read. */
NODISCARD void *arena_alloc(struct arena *a, size_t count, size_t size);

/* Copies; NULL as arena_alloc. arena_copy_str appends a NUL. */
NODISCARD void *arena_copy(struct arena *a, const void *bytes, size_t len);
NODISCARD char *arena_copy_str(struct arena *a, struct slice text);

/* Whether `count` * `size` more bytes would break the limit (or overflow). */
bool arena_would_exceed(const struct arena *a, size_t count, size_t size);

#endif /* BASE_ARENA_H */
