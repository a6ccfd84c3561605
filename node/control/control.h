/* node/control/control.h - What the managers decide.
 *
 * Level-triggered reconcilers over the store: they compare what users asked for with what
 * is observed and write the difference as one plan, which is one log entry. Every manager
 * has a struct control; only the leader's is started. Nothing here is state that matters:
 * a new leader computes the same plans from the store alone.
 *
 * The host, on the leader:
 *     control_start                       when this manager became leader and has applied an
 *                                         entry of its own term; control_stop when it ceases
 *     control_changed                     after every store_apply; control_reset after a restore
 *     control_heard, control_reported     what gossip, links and agents say
 *     control_turn                        when anything of the above happened, or at the deadline:
 *                                         propose the plan, then
 *     control_planned                     its outcome; until then turns make no further plan
 *
 * Requests of users do not wait for turns: admit.h makes a transaction of each, which is
 * proposed on its own, and control_changed sees its result like any other.
 *
 * Pure: randomness is a seed, clocks are arguments. Not thread-safe. */
#ifndef NODE_CONTROL_CONTROL_H
#define NODE_CONTROL_CONTROL_H

#include "node/object/dispatch.h"
#include "node/store/store.h"

#define CONTROL_KEY_SEED_LEN 32

struct control;

/* Both clocks at the time of the call: `mono` measures, `wall` is written into objects. */
struct control_time {
    mono_ns mono;
    wall_ns wall;
};

struct control_config {
    struct id node_id; /* of this manager */
    uint64_t seed;     /* ids of tasks and tie-breaks; must be unpredictable in production */
    uint8_t key_seed[CONTROL_KEY_SEED_LEN]; /* of keys that are made here: secret; wiped by free */
    mono_ns unreachable_grace_ns;           /* from gossip's "unreachable" to DOWN; 0 = at once */
    mono_ns unknown_grace_ns;               /* a new leader waits this long for nodes to report */
};

enum control_hearing {
    CONTROL_ALIVE,       /* its link is up, or gossip says so */
    CONTROL_UNREACHABLE, /* gossip's verdict and no link */
    CONTROL_LEFT,        /* it said that it stops */
};

/* One turn's result. The host owns `plan` (transaction_type) and frees it. */
struct control_output {
    struct transaction plan; /* no changes: nothing to propose */
    mono_ns deadline_ns;     /* call again then at the latest */
};

/* ERR_INVALID, -ENOMEM */
NODISCARD int control_new(const struct control_config *cfg, struct control **out);
void control_free(struct control *c);

void control_start(struct control *c, const struct store *s, struct control_time now);
void control_stop(struct control *c);
void control_changed(struct control *c, const struct store_changes *changes);
void control_reset(struct control *c); /* anything may have changed */

void control_heard(struct control *c, const struct id *node, enum control_hearing what,
                   struct control_time now);

/* Takes a copy. Statuses are merged into the next plan; `sequence` is acknowledged when that
 * plan is in the log.  ERR_FULL (the node must say it again later), -ENOMEM */
NODISCARD int control_reported(struct control *c, const struct id *node, const struct report *r,
                               struct control_time now);

/* Makes at most one plan.  -ENOMEM: nothing was decided, try again */
NODISCARD int control_turn(struct control *c, const struct store *s, struct control_time now,
                           struct control_output *out);

/* The plan's outcome: 0, or why it was not applied (ERR_STALE, ERR_UNKNOWN_OUTCOME, ..): it is
 * computed anew. */
void control_planned(struct control *c, int err);

/* The highest report sequence of a node that is in the log: what an ACK says. */
uint64_t control_acknowledged(const struct control *c, const struct id *node);

/* Acknowledgements that have not been taken yet, one by one; false: no more. */
bool control_next_ack(struct control *c, struct id *node, uint64_t *sequence);

#endif /* NODE_CONTROL_CONTROL_H */
