/* node/cluster/renewal.h - When a node asks for a new certificate.
 *
 * For age, at a point between half and two thirds of the validity that differs from node to node,
 * so that nodes which joined together do not ask together; at once when its role is another one;
 * within seconds when the root has another successor. What fails is tried again with growing
 * pauses, for as long as it takes: an expired certificate still serves to renew for a year.
 *
 *     renewal_wait      how long until the next try; 0 = now
 *     renewal_failed, renewal_done      what became of it
 *
 * Pure. Ages are of the wall clock, pauses of the monotonic one. */
#ifndef NODE_CLUSTER_RENEWAL_H
#define NODE_CLUSTER_RENEWAL_H

#include "node/cluster/cert.h"

#define RENEWAL_PAUSE_MIN_NS   (1 * NS_PER_S)
#define RENEWAL_PAUSE_MAX_NS   (60 * NS_PER_S)
#define RENEWAL_ROOT_SPREAD_NS (2 * NS_PER_S)    /* nodes that hear of a new root at once */
#define RENEWAL_LOOK_NS        (3600 * NS_PER_S) /* look again: the wall clock may be set */

/* All zero: nothing was tried yet. */
struct renewal {
    unsigned failures; /* in a row */
    mono_ns pause_end; /* no try before */
    mono_ns root_at;   /* when the present wish for a new issuer may be followed; 0 = none */
    uint8_t root[CLUSTER_KEY_LEN];
};

/* What the cluster says that this node should have. */
struct renewal_wish {
    bool is_known; /* the rest counts only then */
    enum node_role role;
    uint8_t root[CLUSTER_KEY_LEN]; /* the newest */
};

/* When the age of `c` alone is a reason: the same answer for the same certificate. */
wall_ns renewal_at(const struct cert *c);

/* How long from `mono` until a new certificate should be asked for; never more than
 * RENEWAL_LOOK_NS, after which the question is to be put again. */
mono_ns renewal_wait(struct renewal *r, const struct cert *c, const struct renewal_wish *wish,
                     wall_ns wall, mono_ns mono);

/* Whether `next` may take the place of `c`. One from an older root may not, once this node has one
 * of the newest: a manager that has not caught up signs with what it has, and when that root is
 * dropped the node would be locked out. */
bool renewal_accepts(const struct cert *c, const struct cert *next,
                     const struct renewal_wish *wish);

/* The next pause doubles, and differs by `jitter`, any random number. */
void renewal_failed(struct renewal *r, mono_ns now, uint64_t jitter);
void renewal_done(struct renewal *r);

#endif /* NODE_CLUSTER_RENEWAL_H */
