/* Tasks that have ended. Some are kept at each place, for people to look at. */
#include "node/control/service.h"

static bool is_reapable(struct plan *p, const struct task *t)
{
    return t->status.state < TASK_ASSIGNED || task_is_dead(p, t);
}

static size_t history_limit(const struct plan *p)
{
    const struct cluster *c = store_the_cluster(p->store);

    if (c == NULL || c->spec.orchestration.task_history == NULL)
        return TASK_HISTORY_DEFAULT;
    return *c->spec.orchestration.task_history < 0 ? SIZE_MAX
                                                   : (size_t)*c->spec.orchestration.task_history;
}

static void remove_asked(struct plan *p, const struct id *service_id)
{
    struct tasks_view tasks = plan_tasks_of_service(p, service_id);

    for (size_t i = 0; i < tasks.count; i++) {
        const struct task *t = tasks.items[i];

        if (t->desired_state == TASK_REMOVE && is_reapable(p, t))
            plan_remove(p, OBJECT_TASK, &t->id);
    }
}

/* Of one place. */
static void trim_place(struct plan *p, const struct task *const *tasks, size_t count, size_t limit)
{
    size_t ended = 0;

    for (size_t i = 0; i < count; i++)
        ended += !task_is_live(tasks[i]);
    for (size_t i = 0; i < count && ended > limit; i++)
        if (!task_is_live(tasks[i]) && is_reapable(p, tasks[i])) {
            plan_remove(p, OBJECT_TASK, &tasks[i]->id);
            ended--;
        }
}

void history_trim(struct plan *p, const struct id *service_id)
{
    size_t limit = history_limit(p);
    struct tasks_view tasks;

    remove_asked(p, service_id);
    if (limit == SIZE_MAX)
        return;
    tasks = tasks_by_place(p, service_id);
    for (size_t i = 0, end; i < tasks.count; i = end) {
        end = place_end(&tasks, i);
        trim_place(p, tasks.items + i, end - i, limit);
    }
}
