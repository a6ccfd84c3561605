/* gossip/record.h - The two signed statements: what a node says of itself, and an accusation.
 *
 * Both are passed on as the bytes that were signed. The signature also covers a context string
 * and the cluster's id, so a statement means nothing in another cluster or as another type. */
#ifndef GOSSIP_RECORD_H
#define GOSSIP_RECORD_H

#include "gossip/blob.h"
#include "gossip/gossip.h"
#include "gossip/wire.h"

#define META_HASH_LEN 16 /* BLAKE2b-128 */
#define SIGNATURE_LEN 64
#define EPOCH_MAX     ((UINT64_C(1) << 48) - 1)

/* version 1, id, epoch 8, counter 4, flags 1, meta_len 2, meta_hash, addr_len 1, addr, signature */
#define RECORD_FIXED_LEN (1 + ID_LEN + 8 + 4 + 1 + 2 + META_HASH_LEN + 1 + SIGNATURE_LEN)
#define RECORD_LEN_MAX   (RECORD_FIXED_LEN + GOSSIP_ADDR_LEN_MAX)
#define RECORD_LEFT      1 /* flag: the node says goodbye */

/* A node about itself. */
struct record {
    struct id id;
    struct gossip_incarnation incarnation;
    bool left;
    uint16_t meta_len;
    uint8_t meta_hash[META_HASH_LEN];
    struct gossip_addr addr;
};

/* subject 8, epoch 8, counter 4, accuser 8, signature */
#define ACCUSATION_LEN (8 + 8 + 4 + 8 + SIGNATURE_LEN)

struct accusation {
    node_ref subject;
    struct gossip_incarnation incarnation; /* of the subject; any higher one refutes */
    node_ref accuser;
};

/* Reads a record at the head of `bytes` and returns its length, or -1 when it is malformed. What
 * follows it is not looked at. Nothing is verified. */
int record_read(struct slice bytes, struct record *out);
struct record record_of(const struct blob *blob); /* one that record_read() took whole */

/* Signs and interns. NULL = out of memory. */
struct blob *record_sign(struct gossip_pool *pool, const struct id *cluster,
                         const struct record *record, const uint8_t *secret_key);
bool record_verify(struct blob *blob, const struct id *cluster, const uint8_t *public_key);

void meta_hash(struct slice meta, uint8_t out[META_HASH_LEN]);
bool record_has_meta(const struct record *r, struct slice meta); /* is it the one it names? */

bool accusation_read(struct slice bytes, struct accusation *out);
struct blob *accusation_sign(struct gossip_pool *pool, const struct id *cluster,
                             const struct accusation *a, const uint8_t *secret_key);
bool accusation_verify(struct blob *blob, const struct id *cluster, const uint8_t *public_key);

#endif /* GOSSIP_RECORD_H */
