/* base/map.h - Hash map that iterates in insertion order.
 *
 * Keys are bytes or uint64 numbers (not both in one map) and are copied; keys up to
 * MAP_KEY_INLINE bytes cost no allocation. Values are pointers that the map borrows; they are
 * never NULL. Because iteration follows insertion and not the hash, what a program
 * does with a map is the same whatever the seed; still, the seed must be unpredictable where
 * outsiders choose the keys.
 *
 *     struct map_iter it = { 0 };
 *     while (map_next(&m, &it))
 *         use(it.key, it.value);
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "base/slice.h"

#define MAP_KEY_INLINE  28
#define MAP_KEY_LEN_MAX 65535

struct map_entry;

struct map {
    struct hash_seed seed;
    struct map_entry
        *entries;       /* in insertion order; removed ones leave a hole until the next growth */
    uint32_t *slots;    /* open addressing: 0 = free, else entry number + 1 */
    size_t entry_count; /* entries in use, with holes */
    size_t entry_cap;
    size_t slot_count; /* 0 or a power of two, at least twice entry_cap */
    size_t count;      /* live entries */
    size_t limit;      /* count <= limit */
};

struct map_iter {
    struct slice key; /* borrows until the map changes */
    void *value;
    size_t position; /* private */
};

/* Allocates nothing. Copies `seed`. `limit` bounds the number of entries (< 2^31). */
void map_init(struct map *m, const struct hash_seed *seed, size_t limit);
void map_deinit(struct map *m); /* frees keys and tables; the values are the caller's */
void map_clear(struct map *m);  /* removes all entries */

/* Sets the value of a key. A key that is already there keeps its place in the order.
 *   ERR_FULL (limit), ERR_TOO_LARGE (key over MAP_KEY_LEN_MAX), -ENOMEM */
NODISCARD int map_set(struct map *m, struct slice key, void *value);
NODISCARD int map_set_u64(struct map *m, uint64_t key, void *value);

/* The value; NULL when the key is not there. */
void *map_get(const struct map *m, struct slice key);
void *map_get_u64(const struct map *m, uint64_t key);

/* Removes the key and returns its value; NULL when the key is not there. */
void *map_remove(struct map *m, struct slice key);
void *map_remove_u64(struct map *m, uint64_t key);

/* The next entry in insertion order. While iterating, entries may be removed and values of
 * present keys set; a new key may not be added. */
bool map_next(const struct map *m, struct map_iter *it);
uint64_t map_iter_u64(const struct map_iter *it); /* the key of a map of numbers */

#endif /* BASE_MAP_H */
