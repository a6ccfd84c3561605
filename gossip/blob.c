/* A chained hash table of counted blobs. It doubles when it is full and never shrinks: a
 * member table does not shrink either. */
#include "gossip/blob.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define CHAINS_MIN 64

struct gossip_pool {
    struct blob **chains;
    size_t chain_count; /* power of two */
    size_t count;
};

int gossip_pool_new(struct gossip_pool **out)
{
    struct gossip_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL)
        return -ENOMEM;
    pool->chain_count = CHAINS_MIN;
    pool->chains = calloc(pool->chain_count, sizeof(*pool->chains));
    if (pool->chains == NULL) {
        free(pool);
        return -ENOMEM;
    }
    *out = pool;
    return 0;
}

void gossip_pool_free(struct gossip_pool *pool)
{
    if (pool == NULL)
        return;
    CHECK(pool->count == 0); /* every gossip that used it is gone */
    free(pool->chains);
    free(pool);
}

/* The chains are ours alone and blobs are counted, so a failed growth only costs time. */
static void grow(struct gossip_pool *pool)
{
    size_t count = pool->chain_count * 2;
    struct blob **chains = calloc(count, sizeof(*chains));

    if (chains == NULL)
        return;
    for (size_t i = 0; i < pool->chain_count; i++) {
        struct blob *next;

        for (struct blob *b = pool->chains[i]; b != NULL; b = next) {
            next = b->next;
            b->next = chains[b->hash & (count - 1)];
            chains[b->hash & (count - 1)] = b;
        }
    }
    free(pool->chains);
    pool->chains = chains;
    pool->chain_count = count;
}

static uint64_t content_hash(struct slice bytes)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES] = "shoal gossip 1";
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t hash = 0;

    (void)crypto_shorthash(out, bytes.ptr, bytes.len, key); /* cannot fail */
    for (size_t i = 0; i < sizeof(out); i++)
        hash = hash << 8 | out[i];
    return hash;
}

struct blob *blob_intern(struct gossip_pool *pool, struct slice bytes)
{
    uint64_t hash = content_hash(bytes);
    struct blob *b;

    for (b = pool->chains[hash & (pool->chain_count - 1)]; b != NULL; b = b->next) {
        if (b->hash == hash && slice_equal(blob_slice(b), bytes))
            return blob_ref(b);
    }
    if (bytes.len > UINT32_MAX)
        return NULL;
    b = calloc(1, sizeof(*b) + bytes.len);
    if (b == NULL)
        return NULL;
    b->hash = hash;
    b->refs = 1;
    b->len = (uint32_t)bytes.len;
    if (bytes.len > 0)
        memcpy(b->bytes, bytes.ptr, bytes.len);
    if (pool->count >= pool->chain_count)
        grow(pool);
    b->next = pool->chains[hash & (pool->chain_count - 1)];
    pool->chains[hash & (pool->chain_count - 1)] = b;
    pool->count++;
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    CHECK(b->refs > 0);
    CHECK(b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void blob_unref(struct gossip_pool *pool, struct blob *b)
{
    struct blob **at;

    if (b == NULL)
        return;
    CHECK(b->refs > 0);
    if (--b->refs > 0)
        return;
    at = &pool->chains[b->hash & (pool->chain_count - 1)];
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    pool->count--;
    free(b);
}

bool blob_verify(struct blob *b, struct slice message, const uint8_t *signature,
                 const uint8_t key[GOSSIP_PUBLIC_KEY_LEN])
{
    if (b->verified && memcmp(b->verified_by, key, GOSSIP_PUBLIC_KEY_LEN) == 0)
        return true;
    if (crypto_sign_verify_detached(signature, message.ptr, message.len, key) != 0)
        return false;
    b->verified = true;
    memcpy(b->verified_by, key, GOSSIP_PUBLIC_KEY_LEN);
    return true;
}
