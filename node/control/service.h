/* node/control/service.h - Tasks of a service: how many, which die, which are replaced. Pure.
 *
 * Everything is decided anew from what is stored, so that a new leader goes on where the last
 * one stopped. A replicated service has slots 1 .. n, a global one a place on every node that
 * suits it; at a place there is at most one task that is meant to run, and beside it perhaps one
 * that is being replaced.
 *
 *   READY -> RUNNING   a replacement waits, prepared, until its predecessor has stopped and
 *                      its start_after has come
 *   COMPLETE           of a job, instead of RUNNING: its work is done once it has ended well
 *   SHUTDOWN           what is not to run any more; history keeps some
 *   REMOVE             what nobody shall see any more */
#ifndef NODE_CONTROL_SERVICE_H
#define NODE_CONTROL_SERVICE_H

#include "node/control/allocate.h"
#include "node/control/plan.h"
#include "node/control/schedule.h"

/* One place of a service. */
struct place {
    uint64_t slot;     /* replicated; 0 for global */
    struct id node_id; /* global; none for replicated */
    struct id live;    /* the task that is meant to run, newest; none = nobody */
    struct id older;   /* a live one that is being replaced; none */
    bool live_is_dead; /* it has ended, or its node is gone, and its work is not done */
    bool is_done;      /* of a job: the live task has completed */
    size_t count;      /* tasks of this place that are stored */
};

/* In the order of slots or node ids. */
struct places {
    struct place *items;
    size_t count;
};

/* service.c: reconciles one service, which may be gone. Returns nothing: the plan has it all. */
void service_reconcile(struct plan *p, struct allocator *a, struct schedule **s,
                       const struct id *service_id);

/* service_places.c: a service's tasks, those of one place beside each other, the oldest first;
 * where the place of the task at `begin` ends. */
struct tasks_view tasks_by_place(struct plan *p, const struct id *service_id);
size_t place_end(const struct tasks_view *tasks, size_t begin);
struct places places_of(struct plan *p, const struct service *s);
bool task_is_dead(struct plan *p, const struct task *t); /* terminal, or on a node that is gone */
bool task_is_live(const struct task *t);                 /* meant to run, or to have run */
void task_shut(struct plan *p, const struct id *task_id, enum task_state desired);

/* restart.c: whether and when the task at a place is tried again after `dead` has ended. */
struct restart {
    bool allowed;
    wall_ns at; /* not before */
    uint64_t count;
};
struct restart restart_decide(struct plan *p, const struct service *s, const struct task *dead);
uint64_t restart_attempts_max(const struct service *s); /* 0: any number */

/* service.c: new tasks at the lowest `count` slots up to `last` that nobody has. */
void service_open_slots(struct plan *p, const struct service *s, const struct places *places,
                        uint64_t last, uint64_t count);

/* history.c: removes what was asked to go and has stopped, and of what has ended the oldest tasks
 * of each place beyond the limit. */
void history_trim(struct plan *p, const struct id *service_id);

/* scale_down.c: takes the tasks of so many places away. */
void scale_down(struct plan *p, struct places *places, size_t surplus);

/* jobs.c: tasks of earlier iterations go; then as many tasks of this one as may run at a time,
 * until every slot has completed. */
void jobs_retire(struct plan *p, const struct service *s);
void jobs_reconcile(struct plan *p, const struct service *s, struct places *places);

/* update.c: at most `parallelism` places at a time get the service's new spec. */
void update_reconcile(struct plan *p, const struct id *service_id, struct places *places);
bool update_is_dirty(const struct service *s, const struct task *t);

/* update.c: how far an update or rollback has come. */
struct update_progress {
    size_t dirty;       /* places whose task has another spec */
    size_t busy;        /* whose new task has not proven itself */
    size_t failed;      /* new tasks that ended within the monitor time */
    size_t total;       /* places */
    wall_ns settles_at; /* when the last new task has proven itself; 0 = nothing to wait for */
};
struct update_progress update_measure(struct plan *p, const struct service *s,
                                      const struct places *places);

/* service.c: what has ended at these places is tried again, by the restart policy. */
void service_restart_dead(struct plan *p, const struct service *s, struct places *places);

/* service.c: a new task at a place. `desired` TASK_RUNNING means COMPLETE for a job. `start_after`
 * 0: as soon as its predecessor has stopped. NULL: no memory. */
struct task *service_new_task(struct plan *p, const struct service *s, const struct place *at,
                              enum task_state desired, wall_ns start_after, uint64_t restart_count);

#endif /* NODE_CONTROL_SERVICE_H */
