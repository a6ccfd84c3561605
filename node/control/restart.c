/* Docker's policy, with exponential back-off: a task that ended soon after its start doubles the
 * delay, up to five minutes; one that ran for a while starts over. */
#include "node/control/service.h"

#define DELAY_DEFAULT (INT64_C(5) * 1000000000)
#define DELAY_MAX     (INT64_C(300) * 1000000000)
#define RAN_WELL      (INT64_C(60) * 1000000000)

static bool condition_holds(enum restart_condition condition, enum task_state state)
{
    switch (condition) {
    case RESTART_ANY:
        return true;
    case RESTART_ON_FAILURE:
        return state != TASK_COMPLETE;
    case RESTART_NONE:
        return false;
    }
    return false;
}

static int64_t back_off(int64_t delay, uint64_t count)
{
    for (uint64_t i = 1; i < count && delay < DELAY_MAX; i++)
        delay *= 2;
    return MAX(MIN(delay, DELAY_MAX), 0);
}

static bool ran_well(const struct task *t)
{
    return t->running_since != 0 && t->status.timestamp - t->running_since >= RAN_WELL;
}

uint64_t restart_attempts_max(const struct service *s)
{
    const struct restart_policy *policy = s->spec.task.restart;

    return policy == NULL || policy->max_attempts == NULL ? 0 : *policy->max_attempts;
}

struct restart restart_decide(struct plan *p, const struct service *s, const struct task *dead)
{
    const struct restart_policy *policy = s->spec.task.restart;
    int64_t delay = policy == NULL || policy->delay == NULL ? DELAY_DEFAULT : *policy->delay;
    enum restart_condition condition = policy == NULL ? RESTART_ANY : policy->condition;
    uint64_t max = restart_attempts_max(s);
    int64_t window = policy == NULL || policy->window == NULL ? 0 : *policy->window;
    struct restart r = { .count = ran_well(dead) ? 1 : dead->restart_count + 1 };

    if (!task_state_is_terminal(dead->status.state)) { /* its node is gone: no fault of its own */
        r.allowed = true;
        r.count = 0;
        return r;
    }
    if (window != 0 && dead->status.timestamp - dead->created_at >= window)
        r.count = 1; /* attempts are counted within the window */
    r.allowed = condition_holds(condition, dead->status.state) && (max == 0 || r.count <= max);
    if (dead->status.state == TASK_SHUTDOWN) /* stopped from outside: nothing is wrong with it */
        r.at = p->now.wall;
    else
        r.at = dead->status.timestamp + back_off(delay, r.count);
    return r;
}
