/* Jobs are places too: slot or node, each done once its live task has completed. What differs is
 * that only so many slots are open at a time, and that an iteration ends the tasks of the one
 * before. */
#include "node/control/service.h"

static bool is_current(const struct service *s, const struct task *t)
{
    return t->job_iteration != NULL && t->job_iteration->index == service_iteration(s);
}

void jobs_retire(struct plan *p, const struct service *s)
{
    struct tasks_view tasks;

    if (!service_is_job(&s->spec))
        return;
    tasks = plan_tasks_of_service(p, &s->id);
    for (size_t i = 0; i < tasks.count; i++) {
        struct id id = tasks.items[i]->id;

        if (is_current(s, tasks.items[i]))
            continue;
        /* What has ended is history; what runs is of no use to anybody. */
        task_shut(p, &id,
                  task_state_is_terminal(tasks.items[i]->status.state) ? TASK_SHUTDOWN
                                                                       : TASK_REMOVE);
    }
}

/* Slots whose work is under way. One that is given up is neither that nor done: it holds its slot,
 * but no other back. */
static uint64_t count_open(const struct places *places)
{
    uint64_t open = 0;

    for (size_t i = 0; i < places->count; i++)
        open += !id_is_none(&places->items[i].live) && !places->items[i].is_done &&
                !places->items[i].live_is_dead;
    return open;
}

void jobs_reconcile(struct plan *p, const struct service *s, struct places *places)
{
    const struct replicated_job *job = s->spec.mode.replicated_job;
    uint64_t limit = job->max_concurrent == NULL ? 1 : *job->max_concurrent;
    uint64_t total = job->total_completions == NULL ? limit : *job->total_completions;
    uint64_t open;

    service_restart_dead(p, s, places);
    open = count_open(places);
    if (open < limit)
        service_open_slots(p, s, places, total, MIN(limit - open, PLAN_NEW_TASKS_MAX));
}
