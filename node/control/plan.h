/* node/control/plan.h - The working view of one turn.
 *
 * The store, and over it what this turn has decided so far: all reconcilers of a turn see each
 * other's work, an object is changed once however many of them touch it, and the result is one
 * transaction. Private to control. */
#ifndef NODE_CONTROL_PLAN_H
#define NODE_CONTROL_PLAN_H

#include "base/arena.h"
#include "base/omap.h"
#include "base/prng.h"
#include "node/control/control.h"

#define PLAN_NEW_TASKS_MAX 2048      /* of one service in one turn; the next turn goes on */
#define PLAN_LEN_MAX       (2 * MIB) /* of the objects in a plan: a log entry holds 4 MiB */

struct plan {
    const struct store *store;
    struct control_time now;
    struct prng *rng;
    struct arena arena;                       /* lists that live as long as the turn */
    struct omap changed[OBJECT_KIND_MAX + 1]; /* id -> struct plan_entry * */
    mono_ns deadline;                         /* look again then, though nothing happens */
    int err;                                  /* -ENOMEM: the whole plan is void */
    bool cut; /* by plan_finish: more was decided than one entry holds; decide the rest anew */
};

struct tasks_view {
    const struct task **items;
    size_t count;
};

void plan_init(struct plan *p, const struct store *s, struct control_time now, struct prng *rng);
void plan_deinit(struct plan *p);

/* The object as this turn sees it: changed, created or stored. NULL: none, or removed. */
const struct object *plan_get(const struct plan *p, unsigned kind, const struct id *id);

/* A copy to change; the same one for the rest of the turn. NULL: no such object, or no memory. */
struct object *plan_edit(struct plan *p, unsigned kind, const struct id *id);

/* A new object with a fresh id, all else zero. NULL: no memory. */
struct object *plan_create(struct plan *p, unsigned kind);
void plan_remove(struct plan *p, unsigned kind, const struct id *id);

#define PLAN_TYPED(KIND, number, type, text)                                                    \
    static inline const struct type *plan_get_##type(const struct plan *p, const struct id *id) \
    {                                                                                           \
        return (const struct type *)(const void *)plan_get(p, KIND, id);                        \
    }                                                                                           \
    static inline struct type *plan_edit_##type(struct plan *p, const struct id *id)            \
    {                                                                                           \
        return (struct type *)(void *)plan_edit(p, KIND, id);                                   \
    }
OBJECT_KIND_LIST(PLAN_TYPED)
#undef PLAN_TYPED

/* Everything of a kind, or all tasks of a service or node, in id order, created ones last.
 * Borrowed from the arena; the elements go stale with the next plan_edit of them. */
struct objects_view {
    const struct object **items;
    size_t count;
};
struct objects_view plan_all(struct plan *p, unsigned kind);
struct tasks_view plan_tasks_of_service(struct plan *p, const struct id *service);
struct tasks_view plan_tasks_of_node(struct plan *p, const struct id *node);

/* A point on the wall clock at which the plan must be looked at again. */
void plan_wake_at(struct plan *p, wall_ns when);

/* The transaction: creations, updates and removals that differ from the store. When one log entry
 * cannot hold them all, those come first on which others stand: networks before services, services
 * before tasks, what is to end before what is to begin. */
NODISCARD int plan_finish(struct plan *p, struct transaction *out);

#endif /* NODE_CONTROL_PLAN_H */
