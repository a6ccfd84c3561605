#include "node/control/service.h"

#include <errno.h>

bool task_is_live(const struct task *t)
{
    return t->desired_state <= TASK_COMPLETE;
}

bool task_is_dead(struct plan *p, const struct task *t)
{
    const struct node *n;

    if (task_state_is_terminal(t->status.state))
        return true;
    if (id_is_none(&t->node_id))
        return false;
    n = plan_get_node(p, &t->node_id);
    return n == NULL || n->status.state == NODE_DOWN || n->status.state == NODE_DISCONNECTED;
}

void task_shut(struct plan *p, const struct id *task_id, enum task_state desired)
{
    const struct task *seen = plan_get_task(p, task_id);
    struct task *t;

    if (seen == NULL || seen->desired_state >= desired)
        return;
    t = plan_edit_task(p, task_id);
    if (t != NULL)
        t->desired_state = desired;
}

static bool is_at(const struct place *place, const struct service *s, const struct task *t)
{
    return service_is_global(&s->spec) ? id_equal(&place->node_id, &t->node_id)
                                       : place->slot == t->slot;
}

static struct place *find_place(struct places *places, const struct service *s,
                                const struct task *t)
{
    for (size_t i = 0; i < places->count; i++)
        if (is_at(&places->items[i], s, t))
            return &places->items[i];
    places->items[places->count] = (struct place){ .slot = t->slot };
    if (service_is_global(&s->spec))
        places->items[places->count].node_id = t->node_id;
    return &places->items[places->count++];
}

/* The newer of two live tasks is the place's; created_at orders, the id breaks ties. */
static bool is_newer(const struct task *a, const struct task *b)
{
    if (a->spec_version != b->spec_version)
        return a->spec_version > b->spec_version;
    if (a->created_at != b->created_at)
        return a->created_at > b->created_at;
    return id_cmp(&a->id, &b->id) > 0;
}

static void count_in(struct plan *p, struct place *place, const struct task *t)
{
    const struct task *holder = plan_get_task(p, &place->live);

    place->count++;
    if (!task_is_live(t))
        return;
    if (holder == NULL) {
        place->live = t->id;
    } else if (is_newer(t, holder)) {
        place->older = holder->id;
        place->live = t->id;
    } else {
        place->older = t->id;
    }
}

struct places places_of(struct plan *p, const struct service *s)
{
    struct tasks_view tasks = plan_tasks_of_service(p, &s->id);
    struct places places = { 0 };

    places.items = arena_alloc(&p->arena, tasks.count + 1, sizeof(*places.items));
    if (places.items == NULL) {
        p->err = -ENOMEM;
        return places;
    }
    for (size_t i = 0; i < tasks.count; i++)
        if (tasks.items[i]->desired_state < TASK_REMOVE)
            count_in(p, find_place(&places, s, tasks.items[i]), tasks.items[i]);
    for (size_t i = 0; i < places.count; i++) {
        const struct task *live = plan_get_task(p, &places.items[i].live);

        places.items[i].is_done =
            live != NULL && service_is_job(&s->spec) && live->status.state == TASK_COMPLETE;
        places.items[i].live_is_dead =
            live != NULL && !places.items[i].is_done && task_is_dead(p, live);
    }
    return places;
}
