#include "node/control/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "node/control/constraint.h"

#define RECENT_FAILURE_NS   (INT64_C(5) * 60 * 1000000000)
#define RECENT_FAILURES_MAX 5
#define FULL                1000000 /* tasks that a node with recent failures seems to have */

struct host {
    const struct node *node;
    int64_t cpus_left, memory_left;
    size_t tasks;          /* of all services */
    size_t service_tasks;  /* of the service being placed */
    size_t service_failed; /* lately */
    size_t replaced;       /* of service_tasks, those that end once the task being placed runs */
};

/* A task in service_tasks. */
struct seat {
    uint64_t slot;
    struct host *host;
};

struct schedule {
    struct host *hosts;
    size_t host_count;
    struct id service;  /* whose counts are in service_tasks */
    struct seat *seats; /* of that service, by slot */
    size_t seat_count;
};

/* --- Counting */

static const struct resources *reservations(const struct task *t)
{
    return t->spec.resources == NULL ? NULL : t->spec.resources->reservations;
}

static bool holds_resources(const struct task *t)
{
    return !task_state_is_terminal(t->status.state) && t->status.state >= TASK_ASSIGNED;
}

static void count_task(struct host *h, const struct task *t, int sign)
{
    const struct resources *r = reservations(t);

    h->tasks = sign > 0 ? h->tasks + 1 : h->tasks - 1;
    if (r != NULL) {
        h->cpus_left -= sign * r->nano_cpus;
        h->memory_left -= sign * r->memory_bytes;
    }
}

static void count_host(struct plan *p, struct host *h)
{
    struct tasks_view tasks = plan_tasks_of_node(p, &h->node->id);

    h->cpus_left = h->node->description.resources.nano_cpus;
    h->memory_left = h->node->description.resources.memory_bytes;
    for (size_t i = 0; i < tasks.count; i++)
        if (holds_resources(tasks.items[i]))
            count_task(h, tasks.items[i], 1);
}

struct schedule *schedule_new(struct plan *p)
{
    struct objects_view nodes = plan_all(p, OBJECT_NODE);
    struct schedule *s = arena_alloc(&p->arena, 1, sizeof(*s));

    if (s != NULL)
        s->hosts = arena_alloc(&p->arena, nodes.count + 1, sizeof(*s->hosts));
    if (s == NULL || s->hosts == NULL) {
        p->err = -ENOMEM;
        return NULL;
    }
    for (size_t i = 0; i < nodes.count; i++) {
        s->hosts[i].node = (const struct node *)(const void *)nodes.items[i];
        count_host(p, &s->hosts[i]);
    }
    s->host_count = nodes.count;
    return s;
}

static struct host *find_host(struct schedule *s, const struct id *node)
{
    for (size_t i = 0; i < s->host_count; i++)
        if (id_equal(&s->hosts[i].node->id, node))
            return &s->hosts[i];
    return NULL;
}

static bool failed_lately(const struct plan *p, const struct task *t)
{
    return (t->status.state == TASK_FAILED || t->status.state == TASK_REJECTED) &&
           p->now.wall - t->status.timestamp < RECENT_FAILURE_NS;
}

static int compare_seats(const void *a, const void *b)
{
    const struct seat *x = a, *y = b;

    return (x->slot > y->slot) - (x->slot < y->slot);
}

/* Counts of one service are gathered when its first task is placed. */
static void count_service(struct schedule *s, struct plan *p, const struct id *service)
{
    struct tasks_view tasks;

    if (id_equal(&s->service, service))
        return;
    s->service = *service;
    for (size_t i = 0; i < s->host_count; i++)
        s->hosts[i].service_tasks = s->hosts[i].service_failed = 0;
    tasks = plan_tasks_of_service(p, service);
    s->seats = arena_alloc(&p->arena, tasks.count + 1, sizeof(*s->seats));
    s->seat_count = 0;
    if (s->seats == NULL) {
        p->err = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < tasks.count; i++) {
        const struct task *t = tasks.items[i];
        struct host *h = find_host(s, &t->node_id);

        if (h == NULL)
            continue;
        if (t->desired_state <= TASK_COMPLETE && !task_state_is_terminal(t->status.state)) {
            s->seats[s->seat_count++] = (struct seat){ .slot = t->slot, .host = h };
            h->service_tasks++;
        }
        h->service_failed += failed_lately(p, t);
    }
    qsort(s->seats, s->seat_count, sizeof(*s->seats), compare_seats);
}

/* Marks what `t` replaces, so that an update that starts first leaves the spread as it is.  A
 * global service's tasks stay where they are. */
static void mark_replaced(struct schedule *s, const struct task *t)
{
    size_t first = 0, end = s->seat_count;

    for (size_t i = 0; i < s->host_count; i++)
        s->hosts[i].replaced = 0;
    if (t->slot == 0)
        return;
    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (s->seats[middle].slot < t->slot)
            first = middle + 1;
        else
            end = middle;
    }
    for (; first < s->seat_count && s->seats[first].slot == t->slot; first++)
        s->seats[first].host->replaced++;
}

/* --- Filters */

static bool has_platform(const struct task *t, const struct node *n)
{
    const struct placement *placement = t->spec.placement;

    if (placement == NULL || placement->platforms.count == 0)
        return true;
    for (size_t i = 0; i < placement->platforms.count; i++) {
        const struct platform *wanted = &placement->platforms.items[i];
        struct constraint c = { .key = "node.platform.arch", .equal = true };

        if (wanted->architecture == NULL || wanted->architecture[0] == '\0')
            return true;
        (void)snprintf(c.value, sizeof(c.value), "%s", wanted->architecture);
        if (constraint_holds(&c, n))
            return true;
    }
    return false;
}

static bool has_resources(const struct task *t, const struct host *h)
{
    const struct resources *r = reservations(t);

    return r == NULL || (r->nano_cpus <= h->cpus_left && r->memory_bytes <= h->memory_left);
}

/* The port of `a` that clashes with one of `b`; NULL: none does. */
static const struct port *clashing_port(const struct task *a, const struct task *b)
{
    for (size_t i = 0; i < a->ports.count; i++)
        for (size_t j = 0; j < b->ports.count; j++)
            if (a->ports.items[i].publish_mode == PUBLISH_HOST &&
                b->ports.items[j].publish_mode == PUBLISH_HOST &&
                a->ports.items[i].published_port == b->ports.items[j].published_port &&
                a->ports.items[i].protocol == b->ports.items[j].protocol)
                return &a->ports.items[i];
    return NULL;
}

static bool wants_host_ports(const struct task *t)
{
    for (size_t i = 0; i < t->ports.count; i++)
        if (t->ports.items[i].publish_mode == PUBLISH_HOST && t->ports.items[i].published_port != 0)
            return true;
    return false;
}

const struct task *schedule_port_holder(struct plan *p, const struct task *t, const struct node *n,
                                        const struct port **port)
{
    struct tasks_view tasks;

    if (!wants_host_ports(t))
        return NULL;
    tasks = plan_tasks_of_node(p, &n->id);
    for (size_t i = 0; i < tasks.count; i++) {
        if (!holds_resources(tasks.items[i]) || id_equal(&tasks.items[i]->id, &t->id))
            continue;
        *port = clashing_port(t, tasks.items[i]);
        if (*port != NULL)
            return tasks.items[i];
    }
    return NULL;
}

enum number_place { BEFORE, AFTER, NOWHERE };

static const struct {
    const char *text;
    enum number_place number;
} filter_texts[] = {
#define FILTER_TEXT(name, text, number) { text, number },
    FILTER_LIST(FILTER_TEXT)
#undef FILTER_TEXT
};

/* The first filter that refuses; FILTER_COUNT: none does. */
static enum filter refusal(struct plan *p, const struct task *t, const struct host *h)
{
    const struct placement *placement = t->spec.placement;
    const struct port *port;

    if (!node_takes_tasks(h->node))
        return FILTER_READY;
    if (!has_resources(t, h))
        return FILTER_RESOURCES;
    if (placement != NULL && !constraints_hold(&placement->constraints, h->node))
        return FILTER_CONSTRAINT;
    if (!has_platform(t, h->node))
        return FILTER_PLATFORM;
    if (schedule_port_holder(p, t, h->node, &port) != NULL)
        return FILTER_HOST_PORT;
    if (placement != NULL && placement->max_replicas != 0 &&
        h->service_tasks >= placement->max_replicas)
        return FILTER_MAX_REPLICAS;
    return FILTER_COUNT;
}

/* A global service's task belongs to one node. */
static bool may_go_to(const struct task *t, const struct host *h)
{
    return id_is_none(&t->node_id) || id_equal(&t->node_id, &h->node->id);
}

struct verdicts schedule_verdicts(struct schedule *s, struct plan *p, const struct task *t)
{
    struct verdicts v = { .items = arena_alloc(&p->arena, s->host_count + 1, sizeof(*v.items)) };

    if (v.items == NULL) {
        p->err = -ENOMEM;
        return v;
    }
    count_service(s, p, &t->service_id);
    for (size_t i = 0; i < s->host_count; i++) {
        const struct host *h = &s->hosts[i];

        if (may_go_to(t, h))
            v.items[v.count++] = (struct verdict){ .node = h->node,
                                                   .filter = refusal(p, t, h),
                                                   .cpus_left = h->cpus_left,
                                                   .memory_left = h->memory_left };
    }
    return v;
}

/* --- Scores */

static const char *spread_value(const struct placement_preference *preference, const struct node *n)
{
    const char *key = preference->spread == NULL ? "" : preference->spread->descriptor;
    const char *value = NULL;

    if (strncmp(key, "node.labels.", 12) == 0)
        value = str_map_get(&n->spec.labels, key + 12);
    else if (strncmp(key, "engine.labels.", 14) == 0)
        value = str_map_get(&n->description.engine.labels, key + 14);
    return value == NULL ? "" : value;
}

/* Tasks of the service on all nodes that share the preference's value with this one, up to and
 * with preference number `depth`. */
static size_t spread_load(const struct schedule *s, const struct task *t, const struct host *h,
                          size_t depth)
{
    size_t load = 0;

    for (size_t i = 0; i < s->host_count; i++) {
        bool same = true;

        for (size_t d = 0; d <= depth && same; d++) {
            const struct placement_preference *pref = &t->spec.placement->preferences.items[d];

            same = strcmp(spread_value(pref, s->hosts[i].node), spread_value(pref, h->node)) == 0;
        }
        if (same)
            load += s->hosts[i].service_tasks - s->hosts[i].replaced;
    }
    return load;
}

static size_t service_load(const struct host *h)
{
    return h->service_tasks - h->replaced + (h->service_failed >= RECENT_FAILURES_MAX ? FULL : 0);
}

static bool is_better(const struct schedule *s, const struct task *t, const struct host *a,
                      const struct host *b)
{
    size_t preferences = t->spec.placement == NULL ? 0 : t->spec.placement->preferences.count;

    for (size_t d = 0; d < preferences; d++) {
        size_t load_a = spread_load(s, t, a, d), load_b = spread_load(s, t, b, d);

        if (load_a != load_b)
            return load_a < load_b;
    }
    if (service_load(a) != service_load(b))
        return service_load(a) < service_load(b);
    if (a->tasks != b->tasks)
        return a->tasks < b->tasks;
    if (a->memory_left != b->memory_left)
        return a->memory_left > b->memory_left;
    return id_cmp(&a->node->id, &b->node->id) < 0;
}

/* --- Placing */

/* What most nodes were refused for comes first. */
static enum filter most_refusing(const size_t *refused)
{
    enum filter most = FILTER_READY;

    for (enum filter f = FILTER_READY; f < FILTER_COUNT; f++)
        if (refused[f] > refused[most])
            most = f;
    return most;
}

static size_t describe(enum filter f, size_t nodes, char *out, size_t len)
{
    const char *plural = nodes == 1 ? "" : "s";
    int written = 0;

    switch (filter_texts[f].number) {
    case BEFORE:
        written = snprintf(out, len, "%zu node%s %s", nodes, plural, filter_texts[f].text);
        break;
    case AFTER:
        written = snprintf(out, len, "%s on %zu node%s", filter_texts[f].text, nodes, plural);
        break;
    case NOWHERE:
        written = snprintf(out, len, "%s", filter_texts[f].text);
        break;
    }
    return MIN((size_t)written, len - 1);
}

static void explain(struct plan *p, const struct id *task_id, size_t *refused)
{
    struct task *t = plan_edit_task(p, task_id);
    char text[512] = "no suitable node";
    size_t used = strlen(text);
    const char *link = " (";

    for (enum filter f = most_refusing(refused); refused[f] > 0; f = most_refusing(refused)) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", link);
        used += describe(f, refused[f], text + used, sizeof(text) - used);
        refused[f] = 0;
        link = "; ";
    }
    if (link[0] == ';')
        (void)snprintf(text + used, sizeof(text) - used, ")");
    if (t != NULL && (str_set(&t->status.err, text) < 0 ||
                      str_set(&t->status.message, "pending task scheduling") < 0))
        p->err = -ENOMEM;
}

static void place(struct plan *p, const struct id *task_id, struct host *h)
{
    struct task *t = plan_edit_task(p, task_id);

    if (t == NULL)
        return;
    CHECK(id_is_none(&t->node_id) || id_equal(&t->node_id, &h->node->id));
    t->node_id = h->node->id;
    t->status.state = TASK_ASSIGNED;
    t->status.timestamp = p->now.wall;
    if (str_set(&t->status.message, "scheduler assigned task to node") < 0 ||
        str_set(&t->status.err, NULL) < 0)
        p->err = -ENOMEM;
    h->service_tasks++;
    count_task(h, t, 1);
}

void schedule_task(struct schedule *s, struct plan *p, const struct id *task_id)
{
    const struct task *t = plan_get_task(p, task_id);
    size_t refused[FILTER_COUNT] = { 0 };
    struct host *best = NULL;

    if (t == NULL || t->status.state != TASK_PENDING)
        return;
    count_service(s, p, &t->service_id);
    mark_replaced(s, t);
    for (size_t i = 0; i < s->host_count; i++) {
        struct host *h = &s->hosts[i];
        enum filter f;

        if (!may_go_to(t, h))
            continue;
        f = refusal(p, t, h);
        if (f != FILTER_COUNT)
            refused[f]++;
        else if (best == NULL || is_better(s, t, h, best))
            best = h;
    }
    if (best == NULL)
        explain(p, task_id, refused);
    else
        place(p, task_id, best);
}
