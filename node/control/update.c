/* Rolling updates, from what is stored: a place is dirty while its task has another spec, busy
 * while its new task has not proven itself, and done after that. */
#include "node/control/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MONITOR_DEFAULT  (INT64_C(5) * 1000000000)
#define DEADLINE_DEFAULT (INT64_C(600) * 1000000000)

static const struct update_config defaults = { .parallelism = 1 };

static bool is_rolling_back(const struct service *s)
{
    return s->update_status != NULL && (s->update_status->state == UPDATE_ROLLBACK_STARTED ||
                                        s->update_status->state == UPDATE_ROLLBACK_PAUSED);
}

static const struct update_config *config_of(const struct service *s)
{
    const struct update_config *c = is_rolling_back(s) ? s->spec.rollback : s->spec.update;

    return c == NULL ? &defaults : c;
}

static int64_t monitor_of(const struct update_config *c)
{
    return c->monitor == NULL ? MONITOR_DEFAULT : *c->monitor;
}

static bool ports_differ(const struct service *s, const struct task *t)
{
    const struct port_list *now = &s->endpoint.ports;

    if (now->count != t->ports.count)
        return true;
    for (size_t i = 0; i < now->count; i++)
        if (!fields_equal(&port_type, &now->items[i], &t->ports.items[i]))
            return true;
    return false;
}

bool update_is_dirty(const struct service *s, const struct task *t)
{
    return t->spec_version != s->spec_version &&
           (!fields_equal(&task_spec_type, &t->spec, &s->spec.task) || ports_differ(s, t));
}

/* --- Where it stands */

/* A new task fails the update when it ends within the monitor time. */
static bool has_failed(const struct task *t, int64_t monitor)
{
    return (t->status.state == TASK_FAILED || t->status.state == TASK_REJECTED) &&
           (t->running_since == 0 || t->status.timestamp - t->running_since <= monitor);
}

static size_t count_failed(struct plan *p, const struct service *s, int64_t monitor)
{
    struct tasks_view tasks = plan_tasks_of_service(p, &s->id);
    wall_ns started = s->update_status == NULL ? 0 : s->update_status->started_at;
    size_t count = 0;

    for (size_t i = 0; i < tasks.count; i++)
        count += tasks.items[i]->spec_version == s->spec_version &&
                 tasks.items[i]->created_at >= started && has_failed(tasks.items[i], monitor);
    return count;
}

static void measure_place(struct plan *p, const struct service *s, const struct place *place,
                          const struct update_config *c, struct update_progress *out)
{
    const struct task *t = plan_get_task(p, &place->live);
    wall_ns proven;

    if (t == NULL)
        return;
    out->total++;
    if (update_is_dirty(s, t)) {
        out->dirty++;
        return;
    }
    if (t->spec_version != s->spec_version)
        return; /* the change does not concern its task */
    if (t->status.state < TASK_RUNNING || !id_is_none(&place->older)) {
        out->busy++;
        return;
    }
    if (t->status.state != TASK_RUNNING)
        return;
    proven = t->running_since + c->delay;
    if (proven > p->now.wall) {
        out->busy++;
        plan_wake_at(p, proven);
    }
    out->settles_at = MAX(out->settles_at, t->running_since + monitor_of(c));
}

struct update_progress update_measure(struct plan *p, const struct service *s,
                                      const struct places *places)
{
    const struct update_config *c = config_of(s);
    struct update_progress out = { 0 };

    for (size_t i = 0; i < places->count; i++)
        measure_place(p, s, &places->items[i], c, &out);
    out.failed = count_failed(p, s, monitor_of(c));
    return out;
}

/* --- What to say */

static void set_status(struct plan *p, const struct id *service_id, enum update_state state,
                       const char *message)
{
    struct service *s = plan_edit_service(p, service_id);

    if (s == NULL)
        return;
    if (s->update_status == NULL)
        s->update_status = calloc(1, sizeof(*s->update_status));
    if (s->update_status == NULL || str_set(&s->update_status->message, message) < 0) {
        p->err = -ENOMEM;
        return;
    }
    if (state == UPDATE_UPDATING || state == UPDATE_ROLLBACK_STARTED) {
        s->update_status->started_at = p->now.wall;
        s->update_status->completed_at = 0;
        s->update_status->progressed_at = p->now.wall;
    } else {
        s->update_status->completed_at = p->now.wall;
    }
    s->update_status->state = state;
}

/* The previous spec becomes the spec again; there is no rollback of a rollback. */
static void roll_back(struct plan *p, const struct id *service_id, const char *why)
{
    struct service *s = plan_edit_service(p, service_id);
    struct service_spec *previous;

    if (s == NULL)
        return;
    if (s->previous_spec == NULL) {
        set_status(p, service_id, UPDATE_PAUSED, why);
        return;
    }
    previous = s->previous_spec;
    s->previous_spec = NULL;
    fields_deinit(&service_spec_type, &s->spec);
    s->spec = *previous;
    free(previous);
    s->spec_version++;
    set_status(p, service_id, UPDATE_ROLLBACK_STARTED, why);
}

static void give_up(struct plan *p, const struct service *s, const char *why)
{
    struct id id = s->id;

    if (is_rolling_back(s)) {
        set_status(p, &id, UPDATE_ROLLBACK_PAUSED, why);
        return;
    }
    switch (config_of(s)->failure_action) {
    case FAILURE_CONTINUE:
        return;
    case FAILURE_PAUSE:
        set_status(p, &id, UPDATE_PAUSED, why);
        return;
    case FAILURE_ROLLBACK:
        roll_back(p, &id, why);
        return;
    }
}

/* --- What to do */

static void update_place(struct plan *p, const struct service *s, struct place *place,
                         const struct update_config *c)
{
    bool start_first = c->order == ORDER_START_FIRST && !place->live_is_dead;
    struct place at = { .slot = place->slot, .node_id = place->node_id };
    struct task *t;

    if (!start_first)
        task_shut(p, &place->live, TASK_SHUTDOWN);
    t = service_new_task(p, s, &at, start_first ? TASK_RUNNING : TASK_READY, 0, 0);
    if (t == NULL)
        return;
    place->older = start_first ? place->live : (struct id){ "" };
    place->live = t->id;
    place->live_is_dead = false;
    place->count++;
}

static void update_some(struct plan *p, const struct service *s, struct places *places,
                        const struct update_config *c, size_t room)
{
    for (size_t i = 0; i < places->count && room > 0 && p->err == 0; i++) {
        const struct task *t = plan_get_task(p, &places->items[i].live);

        if (t == NULL || !update_is_dirty(s, t))
            continue;
        update_place(p, s, &places->items[i], c);
        room--;
    }
}

static void note_progress(struct plan *p, const struct id *id)
{
    struct service *s = plan_edit_service(p, id);

    if (s != NULL && s->update_status != NULL)
        s->update_status->progressed_at = p->now.wall;
}

static bool is_stuck(struct plan *p, const struct service *s, const struct update_config *c)
{
    int64_t deadline = c->progress_deadline == NULL ? DEADLINE_DEFAULT : *c->progress_deadline;
    wall_ns at = s->update_status->progressed_at + deadline;

    if (deadline == 0)
        return false;
    if (p->now.wall >= at)
        return true;
    plan_wake_at(p, at);
    return false;
}

static void complete(struct plan *p, const struct service *s, const struct update_progress *now)
{
    struct id id = s->id;

    if (now->settles_at > p->now.wall) {
        plan_wake_at(p, now->settles_at);
        return;
    }
    if (is_rolling_back(s))
        set_status(p, &id, UPDATE_ROLLBACK_COMPLETED, "rollback completed");
    else
        set_status(p, &id, UPDATE_COMPLETED, "update completed");
}

static void advance(struct plan *p, const struct id *id, struct places *places)
{
    const struct service *s = plan_get_service(p, id);
    const struct update_config *c = config_of(s);
    struct update_progress now = update_measure(p, s, places);
    size_t parallelism = c->parallelism == 0 ? SIZE_MAX : (size_t)c->parallelism;
    char why[160];

    if (now.failed > 0 && (double)now.failed > c->max_failure_ratio * (double)MAX(now.total, 1u) &&
        c->failure_action != FAILURE_CONTINUE) {
        (void)snprintf(why, sizeof(why),
                       "update paused due to failure or early termination of "
                       "task (%zu of %zu)",
                       now.failed, now.total);
        give_up(p, s, why);
        return;
    }
    if (now.dirty == 0 && now.busy == 0) {
        complete(p, s, &now);
        return;
    }
    if (now.dirty > 0 && now.busy < parallelism) {
        update_some(p, s, places, c, parallelism - now.busy);
        note_progress(p, id);
        return;
    }
    if (is_stuck(p, s, c)) {
        (void)snprintf(why, sizeof(why),
                       "no progress within the deadline: %zu of %zu tasks are "
                       "not running",
                       now.busy, now.total);
        give_up(p, s, why);
    }
}

static size_t count_dirty(struct plan *p, const struct service *s, const struct places *places)
{
    size_t dirty = 0;

    for (size_t i = 0; i < places->count; i++) {
        const struct task *t = plan_get_task(p, &places->items[i].live);

        dirty += t != NULL && update_is_dirty(s, t);
    }
    return dirty;
}

void update_reconcile(struct plan *p, const struct id *service_id, struct places *places)
{
    const struct service *s = plan_get_service(p, service_id);
    enum update_state state = s->update_status == NULL ? UPDATE_NONE : s->update_status->state;

    switch (state) {
    case UPDATE_PAUSED:
    case UPDATE_ROLLBACK_PAUSED:
        return; /* until the user says otherwise */
    case UPDATE_NONE:
    case UPDATE_COMPLETED:
    case UPDATE_ROLLBACK_COMPLETED:
        if (count_dirty(p, s, places) == 0)
            return;
        set_status(p, service_id, UPDATE_UPDATING, "update in progress");
        break;
    case UPDATE_UPDATING:
    case UPDATE_ROLLBACK_STARTED:
        break;
    }
    advance(p, service_id, places);
}
