/* Where an update or a rollback stands. */
#include <errno.h>
#include <inttypes.h>

#include "node/control/explain_impl.h"

/* The newest task that failed with the spec of before the rollback; counts them all. */
static const struct task *failed_before(struct explainer *e, size_t *count)
{
    const struct task *newest = NULL;

    *count = 0;
    for (size_t i = 0; i < e->tasks.count; i++) {
        const struct task *t = e->tasks.items[i];

        if ((t->status.state != TASK_FAILED && t->status.state != TASK_REJECTED) ||
            t->spec_version + 1 != e->s->spec_version)
            continue;
        (*count)++;
        if (newest == NULL || t->status.timestamp > newest->status.timestamp)
            newest = t;
    }
    return newest;
}

static void note_cause(struct explainer *e, struct why_reason *r)
{
    size_t count;
    const struct task *failed = failed_before(e, &count);
    const char *err = failed == NULL ? NULL : failed->status.err;

    if (r == NULL || failed == NULL)
        return;
    r->task_id = failed->id;
    explain_say(e, &r->err, "%s", err == NULL ? "" : err);
}

static void say_progress(struct explainer *e, struct why_reason *r, const char *what,
                         const struct update_progress *at)
{
    if (r == NULL)
        return;
    r->since = e->s->update_status->started_at;
    explain_say(e, &r->message,
                "%s (%.*s): of %zu tasks %zu wait for their turn, and of those replaced %zu have "
                "yet to prove themselves",
                what, EXPLAIN_ERR(e->s->update_status->message), at->total, at->dirty, at->busy);
}

/* Nothing is left to replace, but what is new may still fail it. */
static void say_monitored(struct explainer *e, struct why_reason *r,
                          const struct update_progress *at)
{
    char left[DURATION_TEXT_MAX];

    if (r == NULL)
        return;
    r->since = e->s->update_status->started_at;
    r->until = at->settles_at;
    explain_duration(at->settles_at - e->p.now.wall, left);
    explain_say(e, &r->message,
                "every task is replaced; a failure within the next %s still counts against the "
                "update",
                left);
}

static void explain_running(struct explainer *e, const struct places *places, enum why_code code,
                            const char *what)
{
    struct update_progress at = update_measure(&e->p, e->s, places);

    if (at.dirty == 0 && at.busy == 0 && at.settles_at > e->p.now.wall)
        say_monitored(e, explain_service_reason(e, WHY_UPDATE_MONITORED), &at);
    else
        say_progress(e, explain_service_reason(e, code), what, &at);
}

static void explain_paused(struct explainer *e, enum why_code code, const char *what)
{
    struct why_reason *r = explain_service_reason(e, code);

    if (r == NULL)
        return;
    r->since = e->s->update_status->completed_at;
    explain_say(e, &r->message, "the %s is paused (%.*s): change the service, or roll it back",
                what, EXPLAIN_ERR(e->s->update_status->message));
}

static void explain_rolled_back(struct explainer *e)
{
    size_t count;
    const struct task *failed = failed_before(e, &count);
    struct why_reason *r = explain_service_reason(e, WHY_ROLLED_BACK);

    if (r == NULL)
        return;
    r->since = e->s->update_status->completed_at;
    note_cause(e, r);
    if (failed == NULL)
        explain_say(e, &r->message, "the service was rolled back to the spec before");
    else
        explain_say(e, &r->message,
                    "the update was rolled back after %zu failed task%s; the last said: %.*s",
                    count, count == 1 ? "" : "s",
                    EXPLAIN_ERR(failed->status.err == NULL ? "nothing" : failed->status.err));
}

void explain_update(struct explainer *e, const struct places *places)
{
    const struct update_status *u = e->s->update_status;

    switch (u == NULL ? UPDATE_NONE : u->state) {
    case UPDATE_UPDATING:
        explain_running(e, places, WHY_UPDATING, "the update goes on");
        return;
    case UPDATE_ROLLBACK_STARTED:
        explain_running(e, places, WHY_ROLLING_BACK, "the rollback goes on");
        return;
    case UPDATE_PAUSED:
        explain_paused(e, WHY_UPDATE_PAUSED, "update");
        return;
    case UPDATE_ROLLBACK_PAUSED:
        explain_paused(e, WHY_ROLLBACK_PAUSED, "rollback");
        return;
    case UPDATE_ROLLBACK_COMPLETED:
        explain_rolled_back(e);
        return;
    case UPDATE_NONE:
    case UPDATE_COMPLETED:
        return;
    }
}
