/* chaos/sim/cluster_goal.c - What users asked for, beside what runs. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/cluster_sim.h"

/* How long nothing has happened before two of a slot are a mistake. A node that was cut off and
 * given up learns only then that its tasks run elsewhere. */
#define CALM_NS (25 * NS_PER_S)

static char why[256];

static const struct sim_container *container_of_task(const struct world *w, const struct task *t)
{
    struct computer *c = computer_by_id(w, &t->node_id);

    return c == NULL ? NULL : container_find(c, t->id.text);
}

/* --- While things happen: never two of a slot, unless the service is updated start-first */

static bool may_overlap(const struct service *s)
{
    return s == NULL || s->spec.update == NULL || s->spec.update->order == ORDER_START_FIRST;
}

static void check_slot(struct world *w, const struct sim_container *k, const struct computer *at)
{
    struct daemon *leader = leading_daemon(w);
    const struct service *s =
        leader == NULL ? NULL : store_service(manager_store(leader->manager), &k->service);

    if (may_overlap(s) || k->slot == 0)
        return;
    for (unsigned i = 0; i < w->computer_count; i++)
        LIST_EACH(link, &w->computers[i].containers)
        {
            const struct sim_container *other = CONTAINER_OF(link, struct sim_container, link);

            if (other != k && other->state == CONTAINER_RUNNING && other->slot == k->slot &&
                id_equal(&other->service, &k->service))
                world_fail(w, "%u: task %.6s starts while %.6s of the same slot runs on %u",
                           at->index, k->task.text, other->task.text, i);
        }
}

void check_container_started(struct computer *c, struct sim_container *k)
{
    struct world *w = c->world;

    w->result.starts++;
    if (w->clock.now > w->calm_since + CALM_NS)
        check_slot(w, k, c);
}

/* --- At the end */

static bool node_may_run(const struct node *n)
{
    return n->status.state == NODE_READY && n->spec.availability != AVAILABILITY_DRAIN;
}

static uint64_t wanted_replicas(const struct store *s, const struct service *service)
{
    const struct replicated *r = service->spec.mode.replicated;
    struct store_iter it;
    uint64_t count = 0;

    if (service->spec.mode.global == NULL)
        return r == NULL || r->replicas == NULL ? 1 : *r->replicas;
    STORE_EACH(&it, s, OBJECT_NODE, struct node, n)
    count += node_may_run(n);
    return count;
}

static const char *service_is_off(const struct world *w, const struct store *s,
                                  const struct service *service)
{
    const char *image = service->spec.task.container->image;
    uint64_t running = 0, wanted = wanted_replicas(s, service);
    struct store_iter it;

    if (service->update_status != NULL &&
        (service->update_status->state == UPDATE_UPDATING ||
         service->update_status->state == UPDATE_ROLLBACK_STARTED)) {
        (void)snprintf(why, sizeof(why), "the update of %s does not end", service->spec.name);
        return why;
    }
    STORE_EACH_OF_SERVICE(&it, s, &service->id, t)
    {
        const struct sim_container *k = container_of_task(w, t);
        bool runs = k != NULL && k->state == CONTAINER_RUNNING;

        if (t->desired_state == TASK_RUNNING && t->status.state == TASK_RUNNING) {
            if (!runs) {
                (void)snprintf(why, sizeof(why), "task %.6s is said to run but does not",
                               t->id.text);
                return why;
            }
            if (strcmp(k->spec.image, image) != 0) {
                (void)snprintf(why, sizeof(why), "task %.6s of %s has the image of before",
                               t->id.text, service->spec.name);
                return why;
            }
            running++;
        } else if (runs) {
            (void)snprintf(why, sizeof(why), "task %.6s runs but is %s, wanted %s", t->id.text,
                           enum_text(&task_state_names, (int)t->status.state),
                           enum_text(&task_state_names, (int)t->desired_state));
            return why;
        }
    }
    if (running == wanted)
        return NULL;
    (void)snprintf(why, sizeof(why), "%s has %llu of %llu replicas", service->spec.name,
                   (unsigned long long)running, (unsigned long long)wanted);
    return why;
}

/* A node's leg on an ingress network is a sandbox with the network's id. */
static const char *sandboxes_are_off(const struct computer *c, const struct store *s)
{
    for (const struct omap_node *n = omap_first(&c->sandboxes); n != NULL; n = omap_next(n)) {
        const struct sim_container *k;
        struct id id;

        CHECK(id_parse(omap_key(n), &id) == 0);
        k = container_find(c, id.text);
        if (store_network(s, &id) != NULL || (k != NULL && k->state == CONTAINER_RUNNING))
            continue;
        (void)snprintf(why, sizeof(why), "%u: sandbox %.6s is left over", c->index, id.text);
        return why;
    }
    return NULL;
}

static const char *computer_is_off(const struct computer *c, const struct store *s)
{
    const struct node *n = store_node(s, &c->id);

    if (n == NULL || n->status.state != NODE_READY) {
        (void)snprintf(why, sizeof(why), "node %u is not ready", c->index);
        return why;
    }
    LIST_EACH(link, &c->containers)
    {
        const struct sim_container *k = CONTAINER_OF(link, struct sim_container, link);
        const struct task *t = store_task(s, &k->task);

        if (t == NULL || !id_equal(&t->node_id, &c->id)) {
            (void)snprintf(why, sizeof(why), "%u: container %.6s is nobody's", c->index,
                           k->spec.id);
            return why;
        }
        if (k->state == CONTAINER_RUNNING && n->spec.availability == AVAILABILITY_DRAIN) {
            (void)snprintf(why, sizeof(why), "%u: container %.6s runs on a drained node", c->index,
                           k->spec.id);
            return why;
        }
    }
    return sandboxes_are_off(c, s);
}

static const char *managers_are_off(const struct world *w, const struct daemon *leader)
{
    const struct store *s = manager_store(leader->manager);
    struct store_iter it;

    STORE_EACH(&it, s, OBJECT_NODE, struct node, n)
    {
        struct computer *c = computer_by_id(w, &n->id);
        struct daemon *d = c == NULL ? NULL : c->daemon;
        bool manages = d != NULL && d->manager != NULL && !d->closing_manager;

        if (manages != (n->spec.role == ROLE_MANAGER)) {
            (void)snprintf(why, sizeof(why), "node %u is %s manager but should%s be",
                           c == NULL ? 99 : c->index, manages ? "a" : "no", manages ? " not" : "");
            return why;
        }
        if (manages && store_applied(manager_store(d->manager)) != store_applied(s)) {
            (void)snprintf(why, sizeof(why), "manager %u lags behind", c->index);
            return why;
        }
    }
    return NULL;
}

const char *check_unsettled(struct world *w)
{
    struct daemon *leader = leading_daemon(w);
    const struct store *s;
    const char *off = NULL;
    struct store_iter it;

    if (leader == NULL)
        return "there is no leader";
    s = manager_store(leader->manager);
    for (unsigned i = 0; i < w->computer_count && off == NULL; i++)
        off = computer_is_off(&w->computers[i], s);
    STORE_EACH(&it, s, OBJECT_SERVICE, struct service, service)
    if (off == NULL)
        off = service_is_off(w, s, service);
    if (off == NULL)
        off = managers_are_off(w, leader);
    return off;
}
