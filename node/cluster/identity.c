/* node/cluster/identity.c - A node's keys; the disk is in identity_file.c. */
#include "node/cluster/identity.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

static_assert(CLUSTER_KEY_LEN == crypto_scalarmult_SCALARBYTES, "X25519");
static_assert(NODE_KEYS_SEED_LEN == 2 * CLUSTER_KEY_LEN, "one half each");

void node_keys_init(struct node_keys *k, const uint8_t seed[NODE_KEYS_SEED_LEN])
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];

    memcpy(k->identity_seed, seed, CLUSTER_KEY_LEN);
    memcpy(k->static_secret, seed + CLUSTER_KEY_LEN, CLUSTER_KEY_LEN);
    (void)crypto_sign_seed_keypair(k->identity_key, secret, k->identity_seed); /* always 0 */
    (void)crypto_scalarmult_base(k->static_key, k->static_secret);             /* always 0 */
    sodium_memzero(secret, sizeof(secret));
}

void node_keys_deinit(struct node_keys *k)
{
    sodium_memzero(k, sizeof(*k));
}

/* The hash of domain, NUL and message is what is signed. */
static void digest(const char *domain, struct slice message, uint8_t out[crypto_hash_sha256_BYTES])
{
    crypto_hash_sha256_state state;

    (void)crypto_hash_sha256_init(&state); /* these three always return 0 */
    (void)crypto_hash_sha256_update(&state, (const uint8_t *)domain, strlen(domain) + 1);
    (void)crypto_hash_sha256_update(&state, message.ptr, message.len);
    (void)crypto_hash_sha256_final(&state, out);
}

void node_keys_sign(const struct node_keys *k, const char *domain, struct slice message,
                    uint8_t out[CLUSTER_SIGNATURE_LEN])
{
    uint8_t d[crypto_hash_sha256_BYTES], public_key[CLUSTER_KEY_LEN],
        secret[crypto_sign_SECRETKEYBYTES];

    digest(domain, message, d);
    (void)crypto_sign_seed_keypair(public_key, secret, k->identity_seed); /* both always 0 */
    (void)crypto_sign_detached(out, NULL, d, sizeof(d), secret);
    sodium_memzero(secret, sizeof(secret));
}

bool identity_key_verify(const uint8_t identity_key[CLUSTER_KEY_LEN], const char *domain,
                         struct slice message, const uint8_t signature[CLUSTER_SIGNATURE_LEN])
{
    uint8_t d[crypto_hash_sha256_BYTES];

    digest(domain, message, d);
    return crypto_sign_verify_detached(signature, d, sizeof(d), identity_key) == 0;
}

void identity_deinit(struct identity *id)
{
    sodium_memzero(id, sizeof(*id));
}
