#include "node/control/service.h"

#include <errno.h>
#include <stdlib.h>

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

/* --- Tasks by place: by slot, or of a global service, which has none, by node */

static int compare_place(const struct task *a, const struct task *b)
{
    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    return a->slot != 0 ? 0 : id_cmp(&a->node_id, &b->node_id);
}

static int compare_tasks(const void *a, const void *b)
{
    const struct task *x = *(const struct task *const *)a, *y = *(const struct task *const *)b;
    int order = compare_place(x, y);

    if (order == 0 && x->created_at != y->created_at)
        order = x->created_at < y->created_at ? -1 : 1;
    return order != 0 ? order : id_cmp(&x->id, &y->id);
}

struct tasks_view tasks_by_place(struct plan *p, const struct id *service_id)
{
    struct tasks_view tasks = plan_tasks_of_service(p, service_id);

    if (tasks.count > 1)
        qsort(tasks.items, tasks.count, sizeof(tasks.items[0]), compare_tasks);
    return tasks;
}

size_t place_end(const struct tasks_view *tasks, size_t begin)
{
    size_t end = begin + 1;

    while (end < tasks->count && compare_place(tasks->items[begin], tasks->items[end]) == 0)
        end++;
    return end;
}

/* --- Places */

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

static void look_at_live(struct plan *p, const struct service *s, struct place *place)
{
    const struct task *live = plan_get_task(p, &place->live);

    place->is_done =
        live != NULL && service_is_job(&s->spec) && live->status.state == TASK_COMPLETE;
    place->live_is_dead = live != NULL && !place->is_done && task_is_dead(p, live);
}

struct places places_of(struct plan *p, const struct service *s)
{
    struct tasks_view tasks = tasks_by_place(p, &s->id);
    struct places places = { 0 };

    places.items = arena_alloc(&p->arena, tasks.count + 1, sizeof(*places.items));
    if (places.items == NULL) {
        p->err = -ENOMEM;
        return places;
    }
    for (size_t i = 0; i < tasks.count; i = place_end(&tasks, i)) {
        struct place at = { .slot = tasks.items[i]->slot };

        if (service_is_global(&s->spec))
            at.node_id = tasks.items[i]->node_id;
        for (size_t j = i, end = place_end(&tasks, i); j < end; j++)
            if (tasks.items[j]->desired_state < TASK_REMOVE)
                count_in(p, &at, tasks.items[j]);
        if (at.count == 0)
            continue;
        look_at_live(p, s, &at);
        places.items[places.count++] = at;
    }
    return places;
}
