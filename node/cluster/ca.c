/* node/cluster/ca.c - see ca.h. */
#include "node/cluster/ca.h"

#include <string.h>

#include <sodium.h>

#include "base/check.h"

static_assert(CLUSTER_KEY_LEN == crypto_sign_SEEDBYTES, "Ed25519");

void ca_init(struct ca *ca, const uint8_t seed[CLUSTER_KEY_LEN])
{
    uint8_t secret[crypto_sign_SECRETKEYBYTES];

    memcpy(ca->seed, seed, CLUSTER_KEY_LEN);
    (void)crypto_sign_seed_keypair(ca->root, secret, seed); /* always 0 */
    sodium_memzero(secret, sizeof(secret));
}

void ca_deinit(struct ca *ca)
{
    sodium_memzero(ca, sizeof(*ca));
}

static void sign(const struct ca *ca, const uint8_t digest[CERT_DIGEST_LEN],
                 uint8_t out[CLUSTER_SIGNATURE_LEN])
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];

    (void)crypto_sign_seed_keypair(public_key, secret, ca->seed); /* both always 0 */
    (void)crypto_sign_detached(out, NULL, digest, CERT_DIGEST_LEN, secret);
    sodium_memzero(secret, sizeof(secret));
}

int ca_issue(const struct ca *ca, struct cert *c, wall_ns now)
{
    return ca_issue_for(ca, c, now - CERT_BACKDATE_NS, now + CERT_VALIDITY_NS);
}

int ca_issue_for(const struct ca *ca, struct cert *c, wall_ns not_before, wall_ns not_after)
{
    struct cert issued = *c;
    uint8_t digest[CERT_DIGEST_LEN];
    int rc;

    issued.not_before = not_before;
    issued.not_after = not_after;
    memcpy(issued.issuer, ca->root, CLUSTER_KEY_LEN);
    rc = cert_digest(&issued, digest);
    if (rc < 0)
        return rc;
    sign(ca, digest, issued.signature);
    *c = issued;
    return 0;
}

struct trust_root ca_root(const struct ca *ca)
{
    struct trust_root root = { 0 };

    memcpy(root.key, ca->root, CLUSTER_KEY_LEN);
    return root;
}

struct trust_root ca_cross_sign(const struct ca *ca, const struct id *cluster,
                                const struct ca *next)
{
    struct trust_root root = ca_root(next);
    uint8_t digest[CERT_DIGEST_LEN];

    memcpy(root.crossed_by, ca->root, CLUSTER_KEY_LEN);
    trust_cross_digest(cluster, root.key, root.crossed_by, digest);
    sign(ca, digest, root.cross_signature);
    return root;
}
