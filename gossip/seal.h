/* gossip/seal.h - Packets and stream frames under the cluster's gossip key.
 *
 *     version 1 | key epoch 4 | nonce 24 | XChaCha20-Poly1305(body) | tag 16
 *
 * Associated data are the cluster's id and what stands before the nonce. The nonce is the sender's
 * boot epoch, its random salt and a counter: it never repeats under one key, and it orders
 * what one sender seals, which is what replay protection needs. */
#ifndef GOSSIP_SEAL_H
#define GOSSIP_SEAL_H

#include "gossip/gossip.h"
#include "gossip/wire.h"

#define SEAL_VERSION 1

/* The keys in force and this node's place in their nonces. */
struct sealer {
    struct id cluster;
    struct gossip_key keys[GOSSIP_KEYS_MAX];
    size_t key_count;
    uint64_t salt;
    uint64_t counter; /* next nonce */
};

struct sealed_by {
    uint32_t key_epoch;
    uint64_t boot_epoch; /* of the sender */
    uint64_t salt;       /* of this life of the sender */
    uint64_t counter;
};

/* The place for the body inside a buffer that seal_in_place() will fill. */
static inline uint8_t *seal_body(uint8_t *buf)
{
    return buf + GOSSIP_SEAL_HEADER_LEN + GOSSIP_SEAL_NONCE_LEN;
}

/* Seals `body_len` bytes at seal_body(buf) with the first key; returns the length of all. */
size_t seal_in_place(struct sealer *s, uint64_t boot_epoch, uint8_t *buf, size_t body_len);

/* Opens into `body` (room for bytes.len). Returns the length of the body, or -1: no key opens it.
 */
int seal_open(const struct sealer *s, struct slice bytes, uint8_t *body, struct sealed_by *out);

#endif /* GOSSIP_SEAL_H */
