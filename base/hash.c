#include "base/hash.h"

#include <assert.h>

#include <sodium.h>

static_assert(sizeof((struct hash_seed *)NULL)->key == crypto_shorthash_KEYBYTES, "key length");

uint64_t hash_bytes(const struct hash_seed *seed, struct slice bytes)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t hash = 0;

    (void)crypto_shorthash(out, bytes.ptr, bytes.len, seed->key); /* cannot fail */
    for (size_t i = sizeof(out); i > 0; i--)
        hash = hash << 8 | out[i - 1];
    return hash;
}
