/* node/cluster/identity.h - This node's keys, its certificate and whom it believes.
 *
 * The keys are made once per membership; the certificate and the roots are what the
 * cluster gave. On disk, in one directory of mode 0700 (files 0600, each replaced in one
 * step and synced before it counts):
 *
 *     keys        the two secret seeds
 *     membership  certificate and trusted roots; absent until the node has joined
 */
#ifndef NODE_CLUSTER_IDENTITY_H
#define NODE_CLUSTER_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "node/cluster/cert.h"

/* Secret: wipe with node_keys_deinit(). */
struct node_keys {
    uint8_t identity_seed[CLUSTER_KEY_LEN];
    uint8_t identity_key[CLUSTER_KEY_LEN]; /* Ed25519, derived */
    uint8_t static_secret[CLUSTER_KEY_LEN];
    uint8_t static_key[CLUSTER_KEY_LEN]; /* X25519, derived */
};

#define NODE_KEYS_SEED_LEN 64

/* Pure: the same 64 random bytes give the same keys. */
void node_keys_init(struct node_keys *k, const uint8_t seed[NODE_KEYS_SEED_LEN]);
void node_keys_deinit(struct node_keys *k);

/* Signs with the identity key. `domain` names what is signed, so that a signature for one purpose
 * never passes for another; both sides use the same string. */
void node_keys_sign(const struct node_keys *k, const char *domain, struct slice message,
                    uint8_t out[CLUSTER_SIGNATURE_LEN]);
bool identity_key_verify(const uint8_t identity_key[CLUSTER_KEY_LEN], const char *domain,
                         struct slice message, const uint8_t signature[CLUSTER_SIGNATURE_LEN]);

struct identity {
    struct node_keys keys;
    bool is_member; /* the rest counts only then */
    struct cert cert;
    struct trust trust;
};

void identity_deinit(struct identity *id); /* wipes */

/* --- Disk: these block, so call them at start or on a worker thread. --- */

/* Reads `dir`.  -ENOENT (no keys yet), ERR_CORRUPT (a file that is not ours), negative errno */
NODISCARD int identity_load(const char *dir, struct identity *out);

/* Writes `dir`, creating it; without membership removes the membership file. What it returns 0 for
 * survives a crash. */
NODISCARD int identity_save(const char *dir, const struct identity *id);

#endif /* NODE_CLUSTER_IDENTITY_H */
