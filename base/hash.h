/* base/hash.h - Keyed hash for tables that outsiders can fill: SipHash-2-4. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

/* Without knowing the seed nobody can choose keys that collide. Random in production. */
struct hash_seed {
    uint8_t key[16];
};

/* The same on every machine, whatever its byte order. */
uint64_t hash_bytes(const struct hash_seed *seed, struct slice bytes);

#endif /* BASE_HASH_H */
