/* Which tasks of a service go first: what does not run, then from the fullest node, then the
 * highest slot. */
#include <errno.h>

#include "node/control/service.h"

struct candidate {
    struct place *place; /* NULL: it is gone */
    int rank;
    size_t node; /* its position in the list of nodes; their number: it has none */
};

static size_t position_of(const struct objects_view *nodes, const struct id *id)
{
    size_t low = 0, high = nodes->count;

    while (low < high) { /* in id order; no turn makes nodes */
        size_t middle = low + (high - low) / 2;
        int order = id_cmp(&nodes->items[middle]->id, id);

        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return nodes->count;
}

static int rank_of(const struct place *place, const struct task *t)
{
    return t == NULL || place->live_is_dead ? 0 : t->status.state < TASK_RUNNING ? 1 : 2;
}

static bool goes_before(const struct candidate *a, const struct candidate *b, const size_t *load)
{
    if (a->rank != b->rank)
        return a->rank < b->rank;
    if (load[a->node] != load[b->node])
        return load[a->node] > load[b->node];
    return a->place->slot > b->place->slot;
}

static void take(struct plan *p, struct candidate *c, size_t *load)
{
    task_shut(p, &c->place->live, TASK_REMOVE);
    if (!id_is_none(&c->place->older))
        task_shut(p, &c->place->older, TASK_REMOVE);
    c->place->live = c->place->older = (struct id){ "" };
    c->place->live_is_dead = false; /* nobody is there to be tried again */
    c->place = NULL;
    load[c->node]--;
}

void scale_down(struct plan *p, struct places *places, size_t surplus)
{
    struct objects_view nodes = plan_all(p, OBJECT_NODE);
    struct candidate *all = arena_alloc(&p->arena, places->count + 1, sizeof(*all));
    size_t *load = arena_alloc(&p->arena, nodes.count + 1, sizeof(*load)), count = 0;

    if (all == NULL || load == NULL) {
        p->err = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < places->count; i++) {
        struct place *place = &places->items[i];
        const struct task *t = plan_get_task(p, &place->live);

        if (t == NULL)
            continue;
        all[count] = (struct candidate){ .place = place,
                                         .rank = rank_of(place, t),
                                         .node = position_of(&nodes, &t->node_id) };
        load[all[count++].node]++;
    }
    while (surplus-- > 0) {
        struct candidate *first = NULL;

        for (size_t i = 0; i < count; i++)
            if (all[i].place != NULL && (first == NULL || goes_before(&all[i], first, load)))
                first = &all[i];
        if (first == NULL)
            return;
        take(p, first, load);
    }
}
