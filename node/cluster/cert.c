/* node/cluster/cert.c - see cert.h.
 *
 * What is signed is a hash over a domain, a NUL and the canonical bytes of the certificate with its
 * signature set to zeros. Decoding and encoding again gives the same bytes or, if something
 * was smuggled in, others, and then the signature does not hold. */
#include "node/cluster/cert.h"

#include <string.h>

#include <sodium.h>

#include "base/err.h"

FIELDS_DEFINE(cert, CERT_FIELDS);
FIELDS_DEFINE(trust_root, TRUST_ROOT_FIELDS);

static_assert(CLUSTER_SIGNATURE_LEN == crypto_sign_BYTES, "Ed25519");
static_assert(CLUSTER_KEY_LEN == crypto_sign_PUBLICKEYBYTES, "Ed25519");
static_assert(CERT_DIGEST_LEN == crypto_hash_sha256_BYTES, "SHA256");

int cert_encode(const struct cert *c, struct buf *out)
{
    struct field_error err;

    return fields_encode(&cert_type, c, out, &err); /* the code says enough: we made it */
}

int cert_decode(struct slice bytes, struct cert *out)
{
    struct field_error err;
    struct cert c;
    int rc;

    if (bytes.len > CERT_LEN_MAX)
        return ERR_MALFORMED;
    rc = fields_decode(&cert_type, bytes, &c, &err);
    if (rc < 0)
        return rc;
    *out = c;
    return 0;
}

/* The domain keeps a signature over one kind of thing from passing for another. */
static void digest(const char *domain, struct slice bytes, uint8_t out[CERT_DIGEST_LEN])
{
    crypto_hash_sha256_state state;

    (void)crypto_hash_sha256_init(&state); /* these three always return 0 */
    (void)crypto_hash_sha256_update(&state, (const uint8_t *)domain, strlen(domain) + 1);
    (void)crypto_hash_sha256_update(&state, bytes.ptr, bytes.len);
    (void)crypto_hash_sha256_final(&state, out);
}

int cert_digest(const struct cert *c, uint8_t out[CERT_DIGEST_LEN])
{
    struct cert unsigned_cert = *c;
    struct buf bytes;
    int rc;

    memset(unsigned_cert.signature, 0, sizeof(unsigned_cert.signature));
    buf_init(&bytes, CERT_LEN_MAX);
    rc = cert_encode(&unsigned_cert, &bytes);
    if (rc == 0)
        digest("shoal certificate 1", buf_slice(&bytes), out);
    buf_deinit(&bytes);
    return rc;
}

void trust_cross_digest(const struct id *cluster, const uint8_t next[CLUSTER_KEY_LEN],
                        const uint8_t by[CLUSTER_KEY_LEN], uint8_t out[CERT_DIGEST_LEN])
{
    uint8_t bytes[ID_LEN + 2 * CLUSTER_KEY_LEN];

    memcpy(bytes, cluster->text, ID_LEN);
    memcpy(bytes + ID_LEN, next, CLUSTER_KEY_LEN);
    memcpy(bytes + ID_LEN + CLUSTER_KEY_LEN, by, CLUSTER_KEY_LEN);
    digest("shoal root succession 1", slice_of(bytes, sizeof(bytes)), out);
}

bool cert_is_signed(const struct cert *c)
{
    uint8_t d[CERT_DIGEST_LEN];

    return cert_digest(c, d) == 0 &&
           crypto_sign_verify_detached(c->signature, d, sizeof(d), c->issuer) == 0;
}

int cert_check(const struct cert *c, const struct trust *trust, wall_ns now, wall_ns grace)
{
    wall_ns end = c->not_after > INT64_MAX - grace ? INT64_MAX : c->not_after + grace;

    if (!id_equal(&c->cluster, &trust->cluster))
        return ERR_WRONG_CLUSTER;
    if (!trust_has_root(trust, c->issuer) || !cert_is_signed(c))
        return ERR_UNAUTHENTICATED;
    if (now < c->not_before || now > end)
        return ERR_EXPIRED;
    return 0;
}

wall_ns cert_renew_at(const struct cert *c)
{
    return c->not_before + (c->not_after - c->not_before) / 2;
}

bool trust_has_root(const struct trust *t, const uint8_t root[CLUSTER_KEY_LEN])
{
    for (size_t i = 0; i < t->root_count; i++) {
        if (memcmp(t->roots[i].key, root, CLUSTER_KEY_LEN) == 0)
            return true;
    }
    return false;
}

static bool is_successor(const struct trust *t, const struct trust_root *root)
{
    uint8_t d[CERT_DIGEST_LEN];

    if (!trust_has_root(t, root->crossed_by))
        return false;
    trust_cross_digest(&t->cluster, root->key, root->crossed_by, d);
    return crypto_sign_verify_detached(root->cross_signature, d, sizeof(d), root->crossed_by) == 0;
}

/* Again after each new root: a node may have slept through several rotations. */
void trust_follow(struct trust *t, const struct trust *shown)
{
    bool is_found = true;

    while (is_found && t->root_count < TRUST_ROOTS_MAX) {
        is_found = false;
        for (size_t i = 0; i < shown->root_count && t->root_count < TRUST_ROOTS_MAX; i++) {
            const struct trust_root *root = &shown->roots[i];

            if (!trust_has_root(t, root->key) && is_successor(t, root)) {
                t->roots[t->root_count++] = *root;
                is_found = true;
            }
        }
    }
}
