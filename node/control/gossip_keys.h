/* node/control/gossip_keys.h - Rotation of the key that seals gossip. Private to control. Pure.
 *
 * Every period, and as soon as a node was removed, which must not read gossip any more:
 *
 *     [old]  ->  [old, new]  ->  [new, old]  ->  [new]
 *      rest      every node       it seals;       rest
 *                is given it      old still opens
 *
 * A step is one entry of the log. The next one follows when all nodes that are ready say that they
 * have carried it out, or after a bounded wait: a node that does not answer loses gossip until its
 * link brings it the keys, and holds nobody up. The state is the order of the cluster's keys, so
 * a new leader goes on wherever the old one was.
 *
 * A node that is removed while a new key is given out may have that key: another takes its place.
 */
#ifndef NODE_CONTROL_GOSSIP_KEYS_H
#define NODE_CONTROL_GOSSIP_KEYS_H

#include "node/control/plan.h"

#define GOSSIP_KEY_PERIOD_NS     (INT64_C(12) * 3600 * 1000000000) /* as Swarm's */
#define GOSSIP_KEY_PERIOD_MIN_NS (INT64_C(60) * 1000000000)
#define GOSSIP_KEY_WAIT_NS       (60 * NS_PER_S) /* for nodes that do not answer, in each step */

enum gossip_key_step {
    GOSSIP_KEYS_REST,
    GOSSIP_KEYS_DISTRIBUTING, /* the newest is not the first */
    GOSSIP_KEYS_SETTLING,     /* the newest is the first, others are left */
};

/* What a leader remembers; it may forget all of it. Secret: gossip_keys_deinit() wipes it. */
struct gossip_keys {
    uint8_t seed[CONTROL_KEY_SEED_LEN]; /* of the next key; replaced with each */
    enum gossip_key_step step;          /* as seen last, of the key with this epoch, ... */
    uint64_t epoch;
    mono_ns since; /* ... for the first time then */
};

void gossip_keys_init(struct gossip_keys *k, const uint8_t seed[CONTROL_KEY_SEED_LEN]);
void gossip_keys_deinit(struct gossip_keys *k);
void gossip_keys_start(struct gossip_keys *k); /* leading begins: waits count from there */

enum gossip_key_step gossip_keys_step(const struct cluster *c);

/* Writes at most one step into the plan, and when to look again. */
void gossip_keys_reconcile(struct gossip_keys *k, struct plan *p);

#endif /* NODE_CONTROL_GOSSIP_KEYS_H */
