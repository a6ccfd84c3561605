/* One turn: reports and hearsay go into the plan, then every dirty service is reconciled, then
 * the whole is handed out as one transaction. Dirty is what changed; a service that waits for a
 * time is looked at again then, with all the others: deadlines are few. */
#include "node/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "node/control/allocate.h"
#include "node/control/gossip_keys.h"
#include "node/control/nodes.h"
#include "node/control/plan.h"
#include "node/control/roots.h"
#include "node/control/service.h"

#define REPORTS_MAX 65536 /* waiting for a turn */

struct queued_report {
    struct list link;
    struct id node;
    struct report report;
};

/* Report sequences of one node. */
struct reporter {
    uint64_t in_plan, in_log, told;
};

struct control {
    struct control_config cfg;
    struct prng rng;
    struct allocator *allocator;
    struct hearsay *hearsay;
    struct gossip_keys gossip_keys;
    struct omap dirty;     /* service ids; values mean nothing */
    struct omap reporters; /* node id -> struct reporter *, owned */
    struct list reports;
    struct list planned_reports; /* in the plan that is under way */
    size_t report_count;
    bool all_dirty, nodes_dirty, networks_dirty;
    bool started, planning;
    mono_ns deadline; /* of the last turn */
};

int control_new(const struct control_config *cfg, struct control **out)
{
    struct control *c = calloc(1, sizeof(*c));
    int rc = c == NULL ? -ENOMEM : 0;

    if (c == NULL)
        return rc;
    c->cfg = *cfg;
    gossip_keys_init(&c->gossip_keys, cfg->key_seed);
    sodium_memzero(c->cfg.key_seed, sizeof(c->cfg.key_seed));
    prng_init(&c->rng, cfg->seed);
    omap_init(&c->dirty);
    omap_init(&c->reporters);
    list_init(&c->reports);
    list_init(&c->planned_reports);
    rc = allocator_new(prng_u64(&c->rng), &c->allocator);
    if (rc == 0)
        rc = hearsay_new(cfg, &c->hearsay);
    if (rc < 0) {
        control_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

static void drop_planned(struct control *c)
{
    struct list *link;

    while ((link = list_pop_front(&c->planned_reports)) != NULL) {
        struct queued_report *q = CONTAINER_OF(link, struct queued_report, link);

        fields_deinit(&report_type, &q->report);
        free(q);
        c->report_count--;
    }
}

static void drop_reports(struct control *c)
{
    list_splice_back(&c->planned_reports, &c->reports);
    drop_planned(c);
}

/* The plan was refused: what was reported in it comes first in the next one. */
static void requeue_reports(struct control *c)
{
    list_splice_back(&c->planned_reports, &c->reports);
    list_splice_back(&c->reports, &c->planned_reports);
}

static void drop_reporters(struct control *c)
{
    for (const struct omap_node *n = omap_first(&c->reporters); n != NULL; n = omap_next(n))
        free(omap_value(n));
    omap_deinit(&c->reporters);
    omap_init(&c->reporters);
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    drop_reports(c);
    drop_reporters(c);
    omap_deinit(&c->reporters);
    omap_deinit(&c->dirty);
    allocator_free(c->allocator);
    hearsay_free(c->hearsay);
    gossip_keys_deinit(&c->gossip_keys);
    free(c);
}

void control_start(struct control *c, const struct store *s, struct control_time now)
{
    (void)s;
    c->started = true;
    c->planning = false;
    gossip_keys_start(&c->gossip_keys);
    drop_reports(c);
    drop_reporters(c);
    hearsay_start(c->hearsay, now.mono);
    hearsay_add(c->hearsay, &c->cfg.node_id, CONTROL_ALIVE, now.mono);
    control_reset(c);
}

void control_stop(struct control *c)
{
    c->started = false;
    drop_reports(c);
}

void control_reset(struct control *c)
{
    c->all_dirty = c->nodes_dirty = c->networks_dirty = true;
    allocator_reset(c->allocator);
}

/* --- Dirt */

static void mark_dirty(struct control *c, const struct id *service)
{
    if (!id_is_none(service) && omap_set(&c->dirty, id_slice(service), c) < 0)
        c->all_dirty = true; /* more work, no mistake */
}

static void mark_change(struct control *c, const struct store_change *change)
{
    const struct object *any = change->after != NULL ? change->after : change->before;

    switch (change->kind) {
    case OBJECT_SERVICE:
        mark_dirty(c, &any->id);
        break;
    case OBJECT_TASK:
        mark_dirty(c, &((const struct task *)(const void *)any)->service_id);
        break;
    case OBJECT_NODE:
    case OBJECT_CLUSTER:
        c->nodes_dirty = c->networks_dirty = c->all_dirty = true;
        break;
    case OBJECT_NETWORK:
        c->networks_dirty = c->all_dirty = true;
        break;
    default:
        break;
    }
}

void control_changed(struct control *c, const struct store_changes *changes)
{
    allocator_changed(c->allocator, changes);
    for (size_t i = 0; i < changes->count; i++)
        mark_change(c, &changes->items[i]);
}

void control_heard(struct control *c, const struct id *node, enum control_hearing what,
                   struct control_time now)
{
    hearsay_add(c->hearsay, node, what, now.mono);
    c->nodes_dirty = true;
}

/* --- Reports */

static struct reporter *reporter_of(struct control *c, const struct id *node)
{
    struct reporter *r = omap_get(&c->reporters, id_slice(node));

    if (r != NULL)
        return r;
    r = calloc(1, sizeof(*r));
    if (r == NULL || omap_set(&c->reporters, id_slice(node), r) < 0) {
        free(r);
        return NULL;
    }
    return r;
}

int control_reported(struct control *c, const struct id *node, const struct report *r,
                     struct control_time now)
{
    struct queued_report *q;
    int rc;

    if (c->report_count >= REPORTS_MAX)
        return ERR_FULL;
    q = calloc(1, sizeof(*q));
    if (q == NULL)
        return -ENOMEM;
    rc = fields_copy(&report_type, r, &q->report);
    if (rc < 0) {
        free(q);
        return rc;
    }
    q->node = *node;
    list_push_back(&c->reports, &q->link);
    c->report_count++;
    control_heard(c, node, CONTROL_ALIVE, now);
    return 0;
}

bool control_next_ack(struct control *c, struct id *node, uint64_t *sequence)
{
    for (const struct omap_node *n = omap_first(&c->reporters); n != NULL; n = omap_next(n)) {
        struct reporter *r = omap_value(n);
        int rc;

        if (r->told >= r->in_log)
            continue;
        rc = id_parse(omap_key(n), node);
        CHECK(rc == 0); /* keys are ids */
        *sequence = r->told = r->in_log;
        return true;
    }
    return false;
}

uint64_t control_acknowledged(const struct control *c, const struct id *node)
{
    const struct reporter *r = omap_get(&c->reporters, id_slice(node));

    return r == NULL ? 0 : r->in_log;
}

/* States only go forward; the same state may bring new details. */
static void merge_status(struct plan *p, const struct id *node, const struct reported *r)
{
    const struct task *seen = plan_get_task(p, &r->task_id);
    struct task_status status;
    struct task *t;

    if (seen == NULL || !id_equal(&seen->node_id, node) || r->status.state < seen->status.state ||
        fields_equal(&task_status_type, &seen->status, &r->status))
        return;
    t = plan_edit_task(p, &r->task_id);
    if (t == NULL || fields_copy(&task_status_type, &r->status, &status) < 0) {
        p->err = -ENOMEM;
        return;
    }
    if (status.state >= TASK_RUNNING && t->running_since == 0 && status.state == TASK_RUNNING)
        t->running_since = status.timestamp;
    fields_deinit(&task_status_type, &t->status);
    t->status = status;
}

static void merge_description(struct plan *p, const struct id *node,
                              const struct node_description *description)
{
    const struct node *seen = plan_get_node(p, node);
    struct node_description copy;
    const char *addr;
    struct node *n;

    if (seen == NULL || fields_equal(&node_description_type, &seen->description, description))
        return;
    n = plan_edit_node(p, node);
    if (n == NULL || fields_copy(&node_description_type, description, &copy) < 0) {
        p->err = -ENOMEM;
        return;
    }
    fields_deinit(&node_description_type, &n->description);
    n->description = copy;
    addr = copy.link_addrs.count == 0 ? NULL : copy.link_addrs.items[0];
    if (n->manager != NULL && str_set(&n->manager->addr, addr) < 0)
        p->err = -ENOMEM;
}

/* Docker shows a node's address without a port. */
static void set_address(struct plan *p, const struct id *node)
{
    const struct node *seen = plan_get_node(p, node);
    const char *link, *colon;
    char addr[64];
    struct node *n;

    if (seen == NULL || seen->description.link_addrs.count == 0)
        return;
    link = seen->description.link_addrs.items[0];
    colon = strrchr(link, ':');
    if (colon == NULL || (size_t)(colon - link) >= sizeof(addr))
        return;
    memcpy(addr, link, (size_t)(colon - link));
    addr[colon - link] = '\0';
    if (seen->status.addr != NULL && strcmp(seen->status.addr, addr) == 0)
        return;
    n = plan_edit_node(p, node);
    if (n != NULL && str_set(&n->status.addr, addr) < 0)
        p->err = -ENOMEM;
}

static void merge_reports(struct control *c, struct plan *p)
{
    LIST_EACH(link, &c->reports)
    {
        struct queued_report *q = CONTAINER_OF(link, struct queued_report, link);
        struct reporter *r = reporter_of(c, &q->node);

        for (size_t i = 0; i < q->report.tasks.count; i++) {
            const struct task *t = plan_get_task(p, &q->report.tasks.items[i].task_id);

            merge_status(p, &q->node, &q->report.tasks.items[i]);
            if (t != NULL)
                mark_dirty(c, &t->service_id);
        }
        if (q->report.description != NULL)
            merge_description(p, &q->node, q->report.description);
        set_address(p, &q->node);
        if (r != NULL)
            r->in_plan = MAX(r->in_plan, q->report.sequence);
    }
}

/* --- Services */

static bool has_service(const struct objects_view *services, const struct id *id)
{
    size_t low = 0, high = services->count;

    while (low < high) { /* in id order, but for created ones, which no task refers to yet */
        size_t middle = low + (high - low) / 2;
        int order = id_cmp(&services->items[middle]->id, id);

        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void reconcile_set(struct control *c, struct plan *p, struct schedule **schedule,
                          const struct omap *services)
{
    for (const struct omap_node *n = omap_first(services); n != NULL && p->err == 0;
         n = omap_next(n)) {
        struct id id;
        int rc = id_parse(omap_key(n), &id);

        CHECK(rc == 0); /* keys are ids */
        service_reconcile(p, c->allocator, schedule, &id);
    }
}

/* Services that are gone, of which tasks are left. */
static void reconcile_gone(struct control *c, struct plan *p, struct schedule **schedule,
                           const struct objects_view *services)
{
    struct objects_view tasks = plan_all(p, OBJECT_TASK);
    struct omap gone;

    omap_init(&gone);
    for (size_t i = 0; i < tasks.count && p->err == 0; i++) {
        const struct id *service = &((const struct task *)(const void *)tasks.items[i])->service_id;

        if (!id_is_none(service) && !has_service(services, service) &&
            omap_set(&gone, id_slice(service), c) < 0)
            p->err = -ENOMEM;
    }
    reconcile_set(c, p, schedule, &gone);
    omap_deinit(&gone);
}

static void reconcile_all(struct control *c, struct plan *p, struct schedule **schedule)
{
    struct objects_view services = plan_all(p, OBJECT_SERVICE);

    for (size_t i = 0; i < services.count && p->err == 0; i++) {
        struct id id = services.items[i]->id;

        service_reconcile(p, c->allocator, schedule, &id);
    }
    reconcile_gone(c, p, schedule, &services);
}

static void clean(struct control *c)
{
    omap_deinit(&c->dirty);
    omap_init(&c->dirty);
    c->all_dirty = c->nodes_dirty = c->networks_dirty = false;
}

static void decide(struct control *c, struct plan *p)
{
    struct schedule *schedule = NULL;

    allocator_begin(c->allocator, p);
    merge_reports(c, p);
    if (nodes_reconcile(c->hearsay, p))
        c->all_dirty = true;
    if (c->nodes_dirty || c->all_dirty) {
        gossip_keys_reconcile(&c->gossip_keys, p);
        roots_reconcile(p);
    }
    if (c->networks_dirty)
        allocate_networks(c->allocator, p);
    if (c->all_dirty)
        reconcile_all(c, p, &schedule);
    else
        reconcile_set(c, p, &schedule, &c->dirty);
}

static bool is_due(const struct control *c, mono_ns now)
{
    return c->all_dirty || c->nodes_dirty || c->networks_dirty || c->dirty.count > 0 ||
           !list_is_empty(&c->reports) || now >= c->deadline;
}

/* All that was reported and dirty is in the plan. */
static void settle_turn(struct control *c)
{
    list_splice_back(&c->planned_reports, &c->reports);
    clean(c);
}

/* Some of it did not fit. Which reports are in it whole is not known, so none is acknowledged:
 * merging one twice changes nothing. */
static void go_on_later(struct control *c)
{
    for (const struct omap_node *n = omap_first(&c->reporters); n != NULL; n = omap_next(n)) {
        struct reporter *r = omap_value(n);

        r->in_plan = r->in_log;
    }
    control_reset(c);
}

int control_turn(struct control *c, const struct store *s, struct control_time now,
                 struct control_output *out)
{
    struct plan plan;
    bool cut;
    int rc;

    *out = (struct control_output){ .deadline_ns = MONO_NEVER };
    if (!c->started || c->planning || store_the_cluster(s) == NULL)
        return 0;
    if (!is_due(c, now.mono)) {
        out->deadline_ns = c->deadline;
        return 0;
    }
    if (now.mono >= c->deadline)
        c->all_dirty = true;
    plan_init(&plan, s, now, &c->rng);
    decide(c, &plan);
    rc = plan_finish(&plan, &out->plan);
    cut = plan.cut;
    if (!c->all_dirty) /* services that were not looked at still wait */
        plan.deadline = MIN(plan.deadline, c->deadline);
    out->deadline_ns = c->deadline = plan.deadline;
    plan_deinit(&plan);
    if (rc < 0) {
        fields_deinit(&transaction_type, &out->plan);
        allocator_reset(c->allocator);
        return rc;
    }
    if (cut)
        go_on_later(c);
    else
        settle_turn(c);
    if (out->plan.changes.count > 0)
        c->planning = true;
    else
        control_planned(c, 0); /* nothing to write is written at once */
    return 0;
}

void control_planned(struct control *c, int err)
{
    c->planning = false;
    if (err == 0)
        drop_planned(c);
    else
        requeue_reports(c);
    for (const struct omap_node *n = omap_first(&c->reporters); n != NULL; n = omap_next(n)) {
        struct reporter *r = omap_value(n);

        if (err == 0)
            r->in_log = r->in_plan;
        else
            r->in_plan = r->in_log;
    }
    if (err < 0)
        control_reset(c);
}
