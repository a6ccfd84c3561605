/* node/cluster/cert.h - What a node shows to prove who it is.
 *
 * A certificate says: in this cluster, the holder of these two public keys is this node
 * and has this role, from then until then. It is a msgpack map signed by a root key of
 * the cluster (node/cluster/ca.h); docs/formats/links.md has the bytes. Identity is the
 * key, never the address. Everything here is pure: the time is handed in.
 *
 * The role in a certificate is what the authority said when it signed. A manager that
 * was demoted since still holds the old one, so managers ask their own state as well:
 * link_events.admit in node/cluster/link.h. */
#ifndef NODE_CLUSTER_CERT_H
#define NODE_CLUSTER_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/fields.h"
#include "base/id.h"
#include "base/slice.h"
#include "base/units.h"
#include "node/object/node.h"

#define CLUSTER_KEY_LEN       32  /* every public key, secret seed and digest here */
#define CLUSTER_SIGNATURE_LEN 64  /* Ed25519 */
#define CERT_LEN_MAX          512 /* encoded */

/* The signature covers all other fields, so a node that does not know a field refuses the
 * certificate: an authority may set a new one only when every member knows it. */
#define CERT_FIELDS(X, S)                                                                      \
    X(S, 1, ID, ANY, cluster, "ClusterID", REQUIRED)                                           \
    X(S, 2, ID, ANY, node, "NodeID", REQUIRED)                                                 \
    X(S, 3, ENUM, node_role, role, "Role", REQUIRED)                                           \
    X(S, 4, FIXED, SIZE(CLUSTER_KEY_LEN), identity_key, "IdentityKey", REQUIRED) /* Ed25519 */ \
    X(S, 5, FIXED, SIZE(CLUSTER_KEY_LEN), static_key, "StaticKey", REQUIRED)     /* X25519 */  \
    X(S, 6, TIME, ANY, not_before, "NotBefore", REQUIRED)                                      \
    X(S, 7, TIME, ANY, not_after, "NotAfter", REQUIRED)                                        \
    X(S, 8, FIXED, SIZE(CLUSTER_KEY_LEN), issuer, "Issuer", REQUIRED) /* root that signed */   \
    X(S, 9, FIXED, SIZE(CLUSTER_SIGNATURE_LEN), signature, "Signature", REQUIRED)
FIELDS_STRUCT(cert, CERT_FIELDS); /* owns nothing: copy it by assignment */

/* A root key of the cluster. While roots rotate, the new one is signed by the old one, so that
 * a node which was away during the rotation can still follow. Zeros: stands alone. */
#define TRUST_ROOT_FIELDS(X, S)                                              \
    X(S, 1, FIXED, SIZE(CLUSTER_KEY_LEN), key, "Key", REQUIRED)              \
    X(S, 2, FIXED, SIZE(CLUSTER_KEY_LEN), crossed_by, "CrossedBy", OPTIONAL) \
    X(S, 3, FIXED, SIZE(CLUSTER_SIGNATURE_LEN), cross_signature, "CrossSignature", OPTIONAL)
FIELDS_STRUCT(trust_root, TRUST_ROOT_FIELDS); /* owns nothing */

/* The roots that a node believes: one, and more only while the root rotates. */
#define TRUST_ROOTS_MAX 4
struct trust {
    struct id cluster;
    size_t root_count;
    struct trust_root roots[TRUST_ROOTS_MAX];
};

bool trust_has_root(const struct trust *t, const uint8_t root[CLUSTER_KEY_LEN]);

/* Adds to `t` each root of `shown` that a root of `t` has signed, while there is room. A peer
 * shows its roots; nothing else in `shown` is believed. */
void trust_follow(struct trust *t, const struct trust *shown);

/* Appends the canonical bytes, at most CERT_LEN_MAX.  ERR_INVALID, ERR_TOO_LARGE, -ENOMEM */
NODISCARD int cert_encode(const struct cert *c, struct buf *out);

/* Only the form: call cert_check() before believing a word of it.  ERR_MALFORMED */
NODISCARD int cert_decode(struct slice bytes, struct cert *out);

/* What a root signs: a hash of every field but the signature. */
#define CERT_DIGEST_LEN 32
NODISCARD int cert_digest(const struct cert *c, uint8_t out[CERT_DIGEST_LEN]);

/* What a root signs to vouch for the next one. */
void trust_cross_digest(const struct id *cluster, const uint8_t next[CLUSTER_KEY_LEN],
                        const uint8_t by[CLUSTER_KEY_LEN], uint8_t out[CERT_DIGEST_LEN]);

/* Whether `cert`'s issuer signed it. Says nothing about whether the issuer is trusted. */
bool cert_is_signed(const struct cert *c);

/* Whether a node of `trust` may believe `c` at `now`. `grace` extends the end: 0 for
 * members; CERT_RENEWAL_GRACE_NS for a node that only wants to renew.
 *   ERR_WRONG_CLUSTER     issued for another cluster
 *   ERR_UNAUTHENTICATED   no trusted root signed it
 *   ERR_EXPIRED           expired, or not valid yet: compare the clocks */
NODISCARD int cert_check(const struct cert *c, const struct trust *trust, wall_ns now,
                         wall_ns grace);

#define CERT_VALIDITY_NS      (INT64_C(90) * 24 * 3600 * 1000000000)
#define CERT_BACKDATE_NS      (INT64_C(3600) * 1000000000) /* clocks of a cluster may differ */
#define CERT_RENEWAL_GRACE_NS (INT64_C(365) * 24 * 3600 * 1000000000)

/* When to renew: half of the validity is over. */
wall_ns cert_renew_at(const struct cert *c);

#endif /* NODE_CLUSTER_CERT_H */
