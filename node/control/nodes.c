#include "node/control/nodes.h"

#include <errno.h>
#include <stdlib.h>

struct heard {
    enum control_hearing what;
    mono_ns since;
};

struct hearsay {
    mono_ns unreachable_grace, unknown_grace, started;
    struct omap by_node; /* id -> struct heard *, owned */
};

int hearsay_new(const struct control_config *cfg, struct hearsay **out)
{
    struct hearsay *h = calloc(1, sizeof(*h));

    if (h == NULL)
        return -ENOMEM;
    h->unreachable_grace = cfg->unreachable_grace_ns;
    h->unknown_grace = cfg->unknown_grace_ns;
    omap_init(&h->by_node);
    *out = h;
    return 0;
}

static void forget_all(struct hearsay *h)
{
    for (const struct omap_node *n = omap_first(&h->by_node); n != NULL; n = omap_next(n))
        free(omap_value(n));
    omap_deinit(&h->by_node);
    omap_init(&h->by_node);
}

void hearsay_free(struct hearsay *h)
{
    if (h == NULL)
        return;
    forget_all(h);
    free(h);
}

void hearsay_start(struct hearsay *h, mono_ns now)
{
    forget_all(h);
    h->started = now;
}

void hearsay_add(struct hearsay *h, const struct id *node, enum control_hearing what, mono_ns now)
{
    struct heard *heard = omap_get(&h->by_node, id_slice(node));

    if (heard == NULL) {
        heard = calloc(1, sizeof(*heard));
        if (heard == NULL || omap_set(&h->by_node, id_slice(node), heard) < 0) {
            free(heard);
            return; /* it is heard of again */
        }
    } else if (heard->what == what) {
        return;
    }
    *heard = (struct heard){ .what = what, .since = now };
}

/* The state that follows from what was heard; `*at` is when it may change by itself. */
static enum node_state state_of(const struct hearsay *h, const struct node *n, mono_ns now,
                                mono_ns *at)
{
    const struct heard *heard = omap_get(&h->by_node, id_slice(&n->id));

    *at = MONO_NEVER;
    if (heard == NULL) {
        if (n->status.state != NODE_READY)
            return n->status.state;
        *at = mono_after(h->started, h->unknown_grace);
        return now >= *at ? NODE_DOWN : NODE_READY;
    }
    switch (heard->what) {
    case CONTROL_ALIVE:
        return NODE_READY;
    case CONTROL_LEFT:
        return NODE_DOWN;
    case CONTROL_UNREACHABLE:
        *at = mono_after(heard->since, h->unreachable_grace);
        return now >= *at ? NODE_DOWN : n->status.state;
    }
    return n->status.state;
}

static const char *message_of(const struct hearsay *h, const struct node *n, enum node_state state)
{
    const struct heard *heard = omap_get(&h->by_node, id_slice(&n->id));

    if (state == NODE_READY)
        return "";
    if (heard != NULL && heard->what == CONTROL_LEFT)
        return "the node has left or was stopped";
    return "the node does not answer";
}

static void set_state(struct plan *p, const struct id *id, enum node_state state,
                      const char *message)
{
    struct node *n = plan_edit_node(p, id);

    if (n == NULL)
        return;
    n->status.state = state;
    n->status.since = p->now.wall;
    if (n->manager != NULL)
        n->manager->reachability =
            state == NODE_READY ? REACHABILITY_REACHABLE : REACHABILITY_UNREACHABLE;
    if (str_set(&n->status.message, message) < 0)
        p->err = -ENOMEM;
}

/* A node that is to be a manager gets the id that it has in raft; one that no longer is loses it.
 */
static void assign_raft_id(struct plan *p, const struct node *seen)
{
    bool wanted = seen->spec.role == ROLE_MANAGER;
    bool has = seen->manager != NULL && seen->manager->raft_id != 0;
    struct node *n;

    if (wanted == has)
        return;
    n = plan_edit_node(p, &seen->id);
    if (n == NULL)
        return;
    if (!wanted) {
        fields_deinit(&manager_status_type, n->manager);
        free(n->manager);
        n->manager = NULL;
        return;
    }
    if (n->manager == NULL)
        n->manager = calloc(1, sizeof(*n->manager));
    if (n->manager == NULL) {
        p->err = -ENOMEM;
        return;
    }
    n->manager->raft_id = prng_u64(p->rng) | 1;
    n->manager->reachability = REACHABILITY_REACHABLE;
    if (n->description.link_addrs.count > 0 &&
        str_set(&n->manager->addr, n->description.link_addrs.items[0]) < 0)
        p->err = -ENOMEM;
}

bool nodes_reconcile(struct hearsay *h, struct plan *p)
{
    struct objects_view nodes = plan_all(p, OBJECT_NODE);
    bool changed = false;

    for (size_t i = 0; i < nodes.count; i++) {
        const struct node *n = (const struct node *)(const void *)nodes.items[i];
        mono_ns at;
        enum node_state state = state_of(h, n, p->now.mono, &at);
        struct id id = n->id;

        if (at != MONO_NEVER && at > p->now.mono)
            p->deadline = MIN(p->deadline, at);
        assign_raft_id(p, n);
        if (state != n->status.state) {
            set_state(p, &id, state, message_of(h, n, state));
            changed = true;
        }
    }
    return changed;
}

size_t nodes_count_managers(const struct store *s)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH(&it, s, OBJECT_NODE, struct node, n)
    count += n->spec.role == ROLE_MANAGER;
    return count;
}
