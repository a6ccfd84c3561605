/* node/control/schedule.h - Which node a task goes to. Pure.
 *
 * Filters say where a task may run at all, in this order: ready and active, reservations,
 * constraints, platform, host ports, replicas per node. Scores choose among those: the spread
 * preferences first, then fewest tasks of the service (a node on which it failed lately
 * counts as full), then fewest tasks, then least reserved, then the id. */
#ifndef NODE_CONTROL_SCHEDULE_H
#define NODE_CONTROL_SCHEDULE_H

#include "node/control/plan.h"

struct schedule;

/* Counts what runs where, once per turn; placements of the turn are counted as they are made.
 * Borrowed from the plan's arena. NULL: no memory (p->err). */
struct schedule *schedule_new(struct plan *p);

/* Places a PENDING task: node, ASSIGNED; or leaves it with the reason in status.err. */
void schedule_task(struct schedule *s, struct plan *p, const struct id *task_id);

/* A node that takes work. */
static inline bool node_takes_tasks(const struct node *n)
{
    return n->status.state == NODE_READY && n->spec.availability == AVAILABILITY_ACTIVE;
}

#endif /* NODE_CONTROL_SCHEDULE_H */
