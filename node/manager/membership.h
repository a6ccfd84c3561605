/* node/manager/membership.h - The managers that raft should have, from the nodes in the store.
 * Pure.
 *
 * A node whose desired role is manager, and which has a raft id, becomes a voter; raft itself
 * lets it catch up as a learner first. A node whose desired role is worker, or which is gone,
 * leaves raft; its certificate follows. One change at a time, additions first, the leader last:
 * it hands leadership over before it goes. */
#ifndef NODE_MANAGER_MEMBERSHIP_H
#define NODE_MANAGER_MEMBERSHIP_H

#include "node/store/store.h"
#include "raft/raft.h"

enum membership_step { MEMBERSHIP_DONE, MEMBERSHIP_CHANGE, MEMBERSHIP_TRANSFER };

/* What the leader `self` should do next; for MEMBERSHIP_CHANGE *op is the change. Borrows from the
 * store. */
enum membership_step membership_next(const struct store *s, const struct raft_conf *conf,
                                     raft_node_id self, struct raft_conf_op *op);

/* Whether a transaction may be applied: every manager answers alike, from the same store. Requests
 * were checked before, but two that were right one by one may together leave no manager.
 *   ERR_INVALID (none would remain; `why` says so), -ENOMEM */
NODISCARD int membership_check(const struct store *s, const struct transaction *t,
                               struct field_error *why);

/* The node behind a raft id; NULL: unknown. */
const struct node *membership_node(const struct store *s, raft_node_id raft_id);

#endif /* NODE_MANAGER_MEMBERSHIP_H */
