/* node/cluster/ca.c - see ca.h. */
#include "node/cluster/ca.h"

#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"

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
    return ca_issue_valid(ca, c, now, CERT_VALIDITY_NS);
}

int ca_issue_valid(const struct ca *ca, struct cert *c, wall_ns now, wall_ns validity)
{
    return ca_issue_for(ca, c, now - MIN(CERT_BACKDATE_NS, validity / 10), now + validity);
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

int ca_succeed(const struct ca_root *newest, const struct id *cluster,
               const uint8_t seed[CLUSTER_KEY_LEN], struct ca_root *out)
{
    struct ca_root root = { 0 };
    struct trust_root crossed;
    struct ca old, next;
    int rc;

    if (newest->secret_key.len < CLUSTER_KEY_LEN)
        return ERR_UNAVAILABLE;
    ca_init(&old, newest->secret_key.ptr);
    ca_init(&next, seed);
    crossed = ca_cross_sign(&old, cluster, &next);
    memcpy(root.public_key, next.root, CLUSTER_KEY_LEN);
    ca_deinit(&old);
    ca_deinit(&next);
    rc = bytes_set(&root.secret_key, slice_of(seed, CLUSTER_KEY_LEN));
    if (rc == 0)
        rc = bytes_set(&root.cross_signature,
                       slice_of(crossed.cross_signature, CLUSTER_SIGNATURE_LEN));
    if (rc < 0)
        fields_deinit(&ca_root_type, &root);
    else
        *out = root;
    return rc;
}

static struct trust_root trust_root_of(const struct trust *known, const struct ca_root *root,
                                       const struct ca_root *signer)
{
    struct trust_root out = { 0 };

    for (size_t i = 0; i < known->root_count; i++) {
        if (memcmp(known->roots[i].key, root->public_key, CLUSTER_KEY_LEN) == 0)
            out = known->roots[i];
    }
    memcpy(out.key, root->public_key, CLUSTER_KEY_LEN);
    if (signer != NULL && root->cross_signature.len == CLUSTER_SIGNATURE_LEN) {
        memcpy(out.crossed_by, signer->public_key, CLUSTER_KEY_LEN);
        memcpy(out.cross_signature, root->cross_signature.ptr, CLUSTER_SIGNATURE_LEN);
    }
    return out;
}

struct trust ca_trust(const struct trust *known, const struct ca_root *roots, size_t count)
{
    struct trust out = { .cluster = known->cluster };

    for (size_t i = 0; i < count && i < TRUST_ROOTS_MAX; i++)
        out.roots[out.root_count++] =
            trust_root_of(known, &roots[i], i + 1 < count ? &roots[i + 1] : NULL);
    return out;
}
