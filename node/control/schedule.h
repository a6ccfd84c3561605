/* node/control/schedule.h - Which node a task goes to. Pure.
 *
 * Filters say where a task may run at all, in this order: ready and active, reservations,
 * constraints, platform, host ports, replicas per node. Scores choose among those: the spread
 * preferences first, then fewest tasks of the service (a node on which it failed lately
 * counts as full; the task that this one replaces does not count), then fewest tasks, then least
 * reserved, then the id. */
#ifndef NODE_CONTROL_SCHEDULE_H
#define NODE_CONTROL_SCHEDULE_H

#include "node/control/plan.h"

struct schedule;

/* Counts what runs where, once per turn; placements of the turn are counted as they are made.
 * Borrowed from the plan's arena. NULL: no memory (p->err). */
struct schedule *schedule_new(struct plan *p);

/* Places a PENDING task: node, ASSIGNED; or leaves it with the reason in status.err. */
void schedule_task(struct schedule *s, struct plan *p, const struct id *task_id);

/* X(filter, Docker's words, where the number of nodes stands), in the order in which they are
 * tried, which is Docker's too: a node is counted for the first that refuses it. */
#define FILTER_LIST(X)                                           \
    X(READY, "not available for new tasks", BEFORE)              \
    X(RESOURCES, "insufficient resources", AFTER)                \
    X(CONSTRAINT, "scheduling constraints not satisfied", AFTER) \
    X(PLATFORM, "unsupported platform", AFTER)                   \
    X(HOST_PORT, "host-mode port already in use", AFTER)         \
    X(MAX_REPLICAS, "max replicas per node limit exceed", NOWHERE)

enum filter {
#define FILTER_ENUM(name, text, number) FILTER_##name,
    FILTER_LIST(FILTER_ENUM)
#undef FILTER_ENUM
        FILTER_COUNT,
};

/* What the filters say of one node. */
struct verdict {
    const struct node *node;
    enum filter filter;             /* the first that refuses; FILTER_COUNT: none does */
    int64_t cpus_left, memory_left; /* that no task has reserved */
};

struct verdicts {
    struct verdict *items; /* borrowed from the plan's arena */
    size_t count;
};

/* The verdicts on all nodes that `t` may go to, which need not be stored: nothing is placed.
 * None, and p->err: no memory. */
struct verdicts schedule_verdicts(struct schedule *s, struct plan *p, const struct task *t);

/* The task that holds a port of the host which `t` wants, and that port; NULL: they are free. */
const struct task *schedule_port_holder(struct plan *p, const struct task *t, const struct node *n,
                                        const struct port **port);

/* A node that takes work. */
static inline bool node_takes_tasks(const struct node *n)
{
    return n->status.state == NODE_READY && n->spec.availability == AVAILABILITY_ACTIVE;
}

#endif /* NODE_CONTROL_SCHEDULE_H */
