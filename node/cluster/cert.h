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
#include "base/id.h"
#include "base/slice.h"
#include "base/units.h"

#define CLUSTER_KEY_LEN       32  /* every public key, secret seed and digest here */
#define CLUSTER_SIGNATURE_LEN 64  /* Ed25519 */
#define CERT_LEN_MAX          512 /* encoded */

/* As on the wire: never renumbered. */
enum cluster_role { CLUSTER_WORKER = 1, CLUSTER_MANAGER = 2 };

struct cert {
    struct id cluster;
    struct id node;
    enum cluster_role role;
    uint8_t identity_key[CLUSTER_KEY_LEN]; /* Ed25519: signs gossip and requests to join */
    uint8_t static_key[CLUSTER_KEY_LEN];   /* X25519: links and the data path */
    wall_ns not_before;
    wall_ns not_after;
    uint8_t issuer[CLUSTER_KEY_LEN]; /* the root key that signed */
    uint8_t signature[CLUSTER_SIGNATURE_LEN];
};

/* A root key of the cluster. While roots rotate, the new one is signed by the old one, so that
 * a node which was away during the rotation can still follow. */
struct trust_root {
    uint8_t key[CLUSTER_KEY_LEN];
    bool is_crossed;
    uint8_t crossed_by[CLUSTER_KEY_LEN]; /* only when is_crossed, as is the signature */
    uint8_t cross_signature[CLUSTER_SIGNATURE_LEN];
};

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

/* Canonical bytes, at most CERT_LEN_MAX. `out` has room for `cap`; *out_len on success.
 *   ERR_TOO_LARGE */
NODISCARD int cert_encode(const struct cert *c, uint8_t *out, size_t cap, size_t *out_len);

/* Only the form: call cert_check() before believing a word of it.  ERR_MALFORMED */
NODISCARD int cert_decode(struct slice bytes, struct cert *out);

/* True when c's issuer signed c. Says nothing about whether the issuer is trusted. */
bool cert_is_signed(const struct cert *c);

/* Whether a node of `trust` may believe `c` at `now`. `grace` extends the end: 0 for
 * members; CERT_RENEWAL_GRACE_NS for a node that only wants to renew.
 *   ERR_WRONG_CLUSTER     issued for another cluster
 *   ERR_UNAUTHENTICATED   no trusted root signed it
 *   ERR_TIMEOUT           expired, or not valid yet: compare the clocks */
NODISCARD int cert_check(const struct cert *c, const struct trust *trust, wall_ns now,
                         wall_ns grace);

#define CERT_VALIDITY_NS      (INT64_C(90) * 24 * 3600 * 1000000000)
#define CERT_BACKDATE_NS      (INT64_C(3600) * 1000000000) /* clocks of a cluster may differ */
#define CERT_RENEWAL_GRACE_NS (INT64_C(365) * 24 * 3600 * 1000000000)

/* When to renew: half of the validity is over. */
wall_ns cert_renew_at(const struct cert *c);

/* "worker", "manager". */
const char *cluster_role_name(enum cluster_role role);

#endif /* NODE_CLUSTER_CERT_H */
