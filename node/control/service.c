/* One service: first what must go, then what must come, then what may start. */
#include "node/control/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/constraint.h"

/* --- New tasks */

static int copy_ports(const struct service *s, struct task *t)
{
    for (size_t i = 0; i < s->endpoint.ports.count; i++) {
        struct port *port = LIST_ADD(&t->ports);

        if (port == NULL || fields_copy(&port_type, &s->endpoint.ports.items[i], port) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* What its tasks are to reach. */
static enum task_state wanted_state(const struct service *s)
{
    return service_is_job(&s->spec) ? TASK_COMPLETE : TASK_RUNNING;
}

static int stamp_iteration(const struct service *s, struct task *t)
{
    if (!service_is_job(&s->spec))
        return 0;
    t->job_iteration = calloc(1, sizeof(*t->job_iteration));
    if (t->job_iteration == NULL)
        return -ENOMEM;
    t->job_iteration->index = service_iteration(s);
    return 0;
}

struct task *service_new_task(struct plan *p, const struct service *s, const struct place *at,
                              enum task_state desired, wall_ns start_after, uint64_t restart_count)
{
    struct task *t = (struct task *)(void *)plan_create(p, OBJECT_TASK);
    int rc;

    if (t == NULL)
        return NULL;
    t->service_id = s->id;
    t->slot = at->slot;
    t->node_id = at->node_id;
    t->desired_state = desired == TASK_RUNNING ? wanted_state(s) : desired;
    t->spec_version = s->spec_version;
    t->start_after = start_after;
    t->restart_count = restart_count;
    t->status.state = TASK_NEW;
    t->status.timestamp = p->now.wall;
    rc = fields_copy(&task_spec_type, &s->spec.task, &t->spec);
    if (rc == 0)
        rc = str_set(&t->service_name, s->spec.name);
    if (rc == 0)
        rc = str_set(&t->status.message, "created");
    for (size_t i = 0; i < s->spec.labels.count && rc == 0; i++)
        rc = str_map_set(&t->labels, s->spec.labels.items[i].key, s->spec.labels.items[i].value);
    if (rc == 0)
        rc = copy_ports(s, t);
    if (rc == 0)
        rc = stamp_iteration(s, t);
    if (rc < 0) {
        p->err = rc;
        return NULL;
    }
    return t;
}

/* --- What ended is tried again */

static void restart_place(struct plan *p, const struct service *s, struct place *place)
{
    const struct task *dead = plan_get_task(p, &place->live);
    struct restart r = restart_decide(p, s, dead);
    struct task *t;

    if (!r.allowed)
        return; /* it stays as what it ended as; the place counts as taken */
    if (dead->status.state == TASK_REJECTED && r.at > p->now.wall) {
        plan_wake_at(p, r.at); /* preparing is what failed: it waits too */
        return;
    }
    task_shut(p, &place->live, TASK_SHUTDOWN);
    t = service_new_task(p, s, place, TASK_READY, r.at, r.count);
    if (t == NULL)
        return;
    place->live = t->id;
    place->live_is_dead = false;
    place->count++;
}

void service_restart_dead(struct plan *p, const struct service *s, struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        if (places->items[i].live_is_dead)
            restart_place(p, s, &places->items[i]);
}

/* --- Replicated: as many places as asked for */

static uint64_t wanted_replicas(const struct service *s)
{
    const struct replicated *r = s->spec.mode.replicated;

    return r == NULL || r->replicas == NULL ? 1 : *r->replicas;
}

static size_t count_live(const struct places *places)
{
    size_t count = 0;

    for (size_t i = 0; i < places->count; i++)
        count += !id_is_none(&places->items[i].live);
    return count;
}

void service_open_slots(struct plan *p, const struct service *s, const struct places *places,
                        uint64_t last, uint64_t count)
{
    size_t i = 0;

    for (uint64_t slot = 1; slot <= last && count > 0 && p->err == 0; slot++) {
        while (i < places->count && places->items[i].slot < slot)
            i++;
        if (i < places->count && places->items[i].slot == slot &&
            !id_is_none(&places->items[i].live))
            continue;
        (void)service_new_task(p, s, &(struct place){ .slot = slot }, TASK_RUNNING, 0,
                               0); /* p->err says if it failed */
        count--;
    }
}

static void reconcile_replicated(struct plan *p, const struct service *s, struct places *places)
{
    uint64_t wanted = wanted_replicas(s);
    size_t live = count_live(places);

    if (live > wanted)
        scale_down(p, places, live - (size_t)wanted);
    service_restart_dead(p, s, places);
    if (live < wanted)
        service_open_slots(p, s, places, UINT64_MAX, MIN(wanted - live, PLAN_NEW_TASKS_MAX));
}

/* --- Global: a place on every node that suits */

static struct place *place_on(struct places *places, const struct id *node)
{
    for (size_t i = 0; i < places->count; i++)
        if (id_equal(&places->items[i].node_id, node))
            return &places->items[i];
    return NULL;
}

static bool keeps_tasks(const struct service *s, const struct node *n)
{
    const struct placement *placement = s->spec.task.placement;

    return n->spec.availability != AVAILABILITY_DRAIN &&
           (placement == NULL || constraints_hold(&placement->constraints, n));
}

static void reconcile_global_node(struct plan *p, const struct service *s, struct places *places,
                                  const struct node *n)
{
    struct place *at = place_on(places, &n->id);
    struct place fresh = { .node_id = n->id };

    if (!keeps_tasks(s, n)) {
        if (at != NULL && !id_is_none(&at->live) && !at->is_done)
            task_shut(p, &at->live, TASK_SHUTDOWN);
        return;
    }
    if (!node_takes_tasks(n))
        return; /* what is there stays */
    if (at == NULL || id_is_none(&at->live))
        (void)service_new_task(p, s, &fresh, TASK_RUNNING, 0, 0); /* p->err says if it failed */
    else if (at->live_is_dead)
        restart_place(p, s, at);
}

static void reconcile_global(struct plan *p, const struct service *s, struct places *places)
{
    struct objects_view nodes = plan_all(p, OBJECT_NODE);

    for (size_t i = 0; i < nodes.count; i++)
        reconcile_global_node(p, s, places, (const struct node *)(const void *)nodes.items[i]);
    for (size_t i = 0; i < places->count; i++) {
        struct place *at = &places->items[i];

        if (plan_get_node(p, &at->node_id) == NULL && !id_is_none(&at->live))
            task_shut(p, &at->live, TASK_REMOVE);
    }
}

/* --- Drain: a replacement elsewhere first, unless the service asked for stop-first. A job's work
 * is never done by two at a time. */

static bool starts_first(const struct service *s)
{
    if (service_is_job(&s->spec))
        return false;
    return s->spec.update == NULL || s->spec.update->order == ORDER_START_FIRST;
}

static bool must_move(struct plan *p, const struct task *t)
{
    const struct node *n = plan_get_node(p, &t->node_id);
    const struct placement *placement = t->spec.placement;

    return n != NULL && (n->spec.availability == AVAILABILITY_DRAIN ||
                         (placement != NULL && !constraints_hold(&placement->constraints, n)));
}

static void migrate_place(struct plan *p, const struct service *s, struct place *place)
{
    const struct task *t = plan_get_task(p, &place->live);
    struct task *replacement;

    if (t == NULL || place->live_is_dead || place->is_done || !must_move(p, t) ||
        !id_is_none(&place->older))
        return;
    if (!starts_first(s))
        task_shut(p, &place->live, TASK_SHUTDOWN);
    replacement = service_new_task(p, s, &(struct place){ .slot = place->slot },
                                   starts_first(s) ? TASK_RUNNING : TASK_READY, 0, 0);
    if (replacement == NULL)
        return;
    place->older = starts_first(s) ? place->live : (struct id){ "" };
    place->live = replacement->id;
    place->count++;
}

/* --- What may start, and what has been replaced */

static bool is_running(const struct task *t)
{
    return t->status.state == TASK_RUNNING && t->status.healthy;
}

/* Somebody of the place who has not stopped yet, on a node that can still stop it. */
static bool predecessor_runs(struct plan *p, const struct task *const *place, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct task *t = plan_get_task(p, &place[i]->id);

        if (t != NULL && !task_is_live(t) && t->status.state >= TASK_ASSIGNED &&
            !task_is_dead(p, t))
            return true;
    }
    return false;
}

static void start_place(struct plan *p, const struct service *s, const struct task *const *place,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct task *t = plan_get_task(p, &place[i]->id);
        struct task *edited;

        if (t == NULL || t->desired_state != TASK_READY || predecessor_runs(p, place, count))
            continue;
        if (t->start_after > p->now.wall) {
            plan_wake_at(p, t->start_after);
            continue;
        }
        edited = plan_edit_task(p, &t->id);
        if (edited != NULL)
            edited->desired_state = wanted_state(s);
    }
}

static void start_prepared(struct plan *p, const struct service *s)
{
    struct tasks_view tasks = tasks_by_place(p, &s->id);

    for (size_t i = 0, end; i < tasks.count; i = end) {
        end = place_end(&tasks, i);
        start_place(p, s, tasks.items + i, end - i);
    }
}

static void retire_replaced(struct plan *p, const struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        const struct task *live = plan_get_task(p, &places->items[i].live);

        if (!id_is_none(&places->items[i].older) && live != NULL && is_running(live))
            task_shut(p, &places->items[i].older, TASK_SHUTDOWN);
    }
}

/* --- Allocation and scheduling of what is new */

static void block_tasks(struct plan *p, const struct id *service_id, const char *why)
{
    struct tasks_view tasks = plan_tasks_of_service(p, service_id);

    for (size_t i = 0; i < tasks.count; i++) {
        struct task *t;

        if (tasks.items[i]->status.state != TASK_NEW)
            continue;
        t = plan_edit_task(p, &tasks.items[i]->id);
        if (t != NULL && str_set(&t->status.err, why) < 0)
            p->err = -ENOMEM;
    }
}

static void place_tasks(struct plan *p, struct allocator *a, struct schedule **s,
                        const struct id *service_id)
{
    struct tasks_view tasks = plan_tasks_of_service(p, service_id);

    for (size_t i = 0; i < tasks.count && p->err == 0; i++) {
        struct id id = tasks.items[i]->id;

        if (tasks.items[i]->status.state > TASK_PENDING || !task_is_live(tasks.items[i]))
            continue;
        if (*s == NULL)
            *s = schedule_new(p);
        allocate_task(a, p, &id);
        if (*s != NULL)
            schedule_task(*s, p, &id);
    }
}

/* Tasks made in this turn, before ports were allocated, get the ports now. */
static void refresh_ports(struct plan *p, const struct id *service_id)
{
    const struct service *s = plan_get_service(p, service_id);
    struct tasks_view tasks = plan_tasks_of_service(p, service_id);

    for (size_t i = 0; i < tasks.count; i++) {
        struct task *t;

        if (tasks.items[i]->status.state != TASK_NEW ||
            tasks.items[i]->ports.count == s->endpoint.ports.count)
            continue;
        t = plan_edit_task(p, &tasks.items[i]->id);
        if (t == NULL)
            return;
        for (size_t j = 0; j < t->ports.count; j++)
            fields_deinit(&port_type, &t->ports.items[j]);
        t->ports.count = 0;
        if (copy_ports(s, t) < 0)
            p->err = -ENOMEM;
    }
}

static void remove_all(struct plan *p, const struct id *service_id)
{
    struct tasks_view tasks = plan_tasks_of_service(p, service_id);

    for (size_t i = 0; i < tasks.count; i++)
        task_shut(p, &tasks.items[i]->id, TASK_REMOVE);
}

static void reconcile_places(struct plan *p, const struct service *s, struct places *places)
{
    if (service_is_global(&s->spec)) {
        reconcile_global(p, s, places);
        return;
    }
    if (s->spec.mode.replicated_job != NULL)
        jobs_reconcile(p, s, places);
    else
        reconcile_replicated(p, s, places);
    for (size_t i = 0; i < places->count; i++)
        migrate_place(p, s, &places->items[i]);
}

void service_reconcile(struct plan *p, struct allocator *a, struct schedule **schedule,
                       const struct id *service_id)
{
    const struct service *s = plan_get_service(p, service_id);
    struct field_error why = { "" };
    struct places places;
    bool allocated;

    if (s == NULL || s->pending_delete) {
        remove_all(p, service_id);
        history_trim(p, service_id);
        return;
    }
    allocated = allocate_service(a, p, service_id, &why);
    s = plan_get_service(p, service_id);
    jobs_retire(p, s);
    places = places_of(p, s);
    reconcile_places(p, s, &places);
    if (!service_is_job(&s->spec))
        update_reconcile(p, service_id, &places);
    s = plan_get_service(p, service_id);
    retire_replaced(p, &places);
    start_prepared(p, s);
    refresh_ports(p, service_id);
    if (allocated)
        place_tasks(p, a, schedule, service_id);
    else
        block_tasks(p, service_id, why.text);
    history_trim(p, service_id);
}
