/* gossip/blob.h - Immutable bytes with a reference count, each kept once.
 *
 * A record arrives again and again, from every side. The pool gives equal bytes one place in
 * memory, and remembers under which key their signature was found good, so that it is
 * checked once. */
#ifndef GOSSIP_BLOB_H
#define GOSSIP_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "gossip/gossip.h"

struct blob {
    struct blob *next; /* in its hash chain */
    uint64_t hash;     /* SipHash under a fixed key: part of digests, equal on every node */
    uint32_t refs;     /* the pool itself holds none */
    uint32_t len;
    bool verified; /* signature good under `verified_by` */
    uint8_t verified_by[GOSSIP_PUBLIC_KEY_LEN];
    uint8_t bytes[];
};

/* Returns a reference to the blob with these bytes: blob_unref(). NULL = out of memory. */
struct blob *blob_intern(struct gossip_pool *pool, struct slice bytes);

struct blob *blob_ref(struct blob *b);
void blob_unref(struct gossip_pool *pool, struct blob *b); /* accepts NULL */

static inline struct slice blob_slice(const struct blob *b)
{
    return b == NULL ? (struct slice){ 0 } : slice_of(b->bytes, b->len);
}

/* True when `signature` of `message` is good under `key`; asks the curve only once per blob. */
bool blob_verify(struct blob *b, struct slice message, const uint8_t *signature,
                 const uint8_t key[GOSSIP_PUBLIC_KEY_LEN]);

#endif /* GOSSIP_BLOB_H */
