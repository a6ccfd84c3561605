/* node/cluster/ca.h - The cluster's certificate authority: one Ed25519 root key.
 *
 * The seed of the root key is cluster state (sealed, replicated, on managers only); whoever
 * holds it passes it in. Rotation: make a new seed, cross-sign its root with the old one,
 * give every node both roots, renew all certificates, drop the old root. Pure. */
#ifndef NODE_CLUSTER_CA_H
#define NODE_CLUSTER_CA_H

#include "node/cluster/cert.h"
#include "node/object/cluster.h"

/* Secret: wipe it with ca_deinit(). */
struct ca {
    uint8_t seed[CLUSTER_KEY_LEN];
    uint8_t root[CLUSTER_KEY_LEN]; /* the public key, derived from the seed */
};

void ca_init(struct ca *ca, const uint8_t seed[CLUSTER_KEY_LEN]);
void ca_deinit(struct ca *ca);

/* Sets the validity (back-dated, CERT_VALIDITY_NS), issuer and signature of `c`; the caller has
 * set the rest.  ERR_INVALID (an id or the role is not set), -ENOMEM */
NODISCARD int ca_issue(const struct ca *ca, struct cert *c, wall_ns now);

/* As ca_issue(), valid for that long; back-dated by no more than a tenth of it. */
NODISCARD int ca_issue_valid(const struct ca *ca, struct cert *c, wall_ns now, wall_ns validity);

/* As ca_issue(), with begin and end of the caller's choice. */
NODISCARD int ca_issue_for(const struct ca *ca, struct cert *c, wall_ns not_before,
                           wall_ns not_after);

/* The root of `ca` as one that stands alone. */
struct trust_root ca_root(const struct ca *ca);

/* The root of `next`, signed by `ca` for the rotation. */
struct trust_root ca_cross_sign(const struct ca *ca, const struct id *cluster,
                                const struct ca *next);

/* A root for the cluster's state that follows `newest`, which is in it: fresh from `seed`, with its
 * secret, and signed. The result is owned.  ERR_UNAVAILABLE (no secret to sign with), -ENOMEM */
NODISCARD int ca_succeed(const struct ca_root *newest, const struct id *cluster,
                         const uint8_t seed[CLUSTER_KEY_LEN], struct ca_root *out);

/* What a node believes whose cluster's state has these roots: newest first, each signed by the one
 * behind it while roots rotate. `known` is what it believed: a root of it whose signer has gone
 * from the state keeps its signature, for nodes that still only know the signer. */
struct trust ca_trust(const struct trust *known, const struct ca_root *roots, size_t count);

#endif /* NODE_CLUSTER_CA_H */
