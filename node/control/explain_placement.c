/* Why no node suits a task: the verdicts of the scheduler's filters, counted. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/constraint.h"
#include "node/control/explain_impl.h"

#define AMOUNT_TEXT_MAX 32

/* --- Counting */

static int64_t wanted_memory(const struct task *t)
{
    return t->spec.resources == NULL || t->spec.resources->reservations == NULL
               ? 0
               : t->spec.resources->reservations->memory_bytes;
}

static int64_t wanted_cpus(const struct task *t)
{
    return t->spec.resources == NULL || t->spec.resources->reservations == NULL
               ? 0
               : t->spec.resources->reservations->nano_cpus;
}

static enum why_filter_kind kind_of_unready(const struct node *n)
{
    if (n->status.state != NODE_READY)
        return WHY_FILTER_DOWN;
    return n->spec.availability == AVAILABILITY_DRAIN ? WHY_FILTER_DRAINED : WHY_FILTER_PAUSED;
}

static enum why_filter_kind kind_of(const struct verdict *v, const struct task *t)
{
    switch (v->filter) {
    case FILTER_READY:
        return kind_of_unready(v->node);
    case FILTER_RESOURCES:
        return wanted_memory(t) > v->memory_left ? WHY_FILTER_MEMORY : WHY_FILTER_CPU;
    case FILTER_CONSTRAINT:
        return WHY_FILTER_CONSTRAINT;
    case FILTER_PLATFORM:
        return WHY_FILTER_PLATFORM;
    case FILTER_HOST_PORT:
        return WHY_FILTER_HOST_PORT;
    case FILTER_MAX_REPLICAS:
        return WHY_FILTER_REPLICAS;
    case FILTER_COUNT:
        break;
    }
    return WHY_FILTER_NONE;
}

static const char *failing_constraint(const struct verdict *v, const struct task *t)
{
    return v->filter == FILTER_CONSTRAINT
               ? constraints_refusing(&t->spec.placement->constraints, v->node)
               : NULL;
}

/* NULL: it is the first, or there are too many kinds to tell them all. */
static struct why_filter *find_filter(struct why_reason *r, enum why_filter_kind kind,
                                      const char *constraint)
{
    for (size_t i = 0; i < r->filters.count; i++) {
        struct why_filter *f = &r->filters.items[i];

        if (f->kind == kind && (constraint == NULL || strcmp(f->constraint, constraint) == 0))
            return f;
    }
    return NULL;
}

static void note_port(struct explainer *e, struct why_filter *f, const struct verdict *v,
                      const struct task *t)
{
    const struct port *port = NULL;
    const struct task *holder = schedule_port_holder(&e->p, t, v->node, &port);
    const struct service *s = holder == NULL ? NULL : plan_get_service(&e->p, &holder->service_id);
    const char *name = s != NULL ? s->spec.name : holder != NULL ? holder->service_name : NULL;

    f->port = port == NULL ? 0 : port->published_port;
    explain_say(e, &f->service, "%s", name == NULL ? "" : name);
}

/* The node becomes the example of its filter. */
static void note_node(struct explainer *e, struct why_filter *f, const struct verdict *v,
                      const struct task *t)
{
    f->node_id = v->node->id;
    explain_say(e, &f->node, "%s", explain_node_name(v->node));
    if (f->kind == WHY_FILTER_MEMORY || f->kind == WHY_FILTER_CPU) {
        f->wanted = f->kind == WHY_FILTER_MEMORY ? wanted_memory(t) : wanted_cpus(t);
        f->left = MAX(f->kind == WHY_FILTER_MEMORY ? v->memory_left : v->cpus_left, 0);
    } else if (f->kind == WHY_FILTER_REPLICAS) {
        f->wanted = (int64_t)t->spec.placement->max_replicas;
    } else if (f->kind == WHY_FILTER_HOST_PORT) {
        note_port(e, f, v, t);
    }
}

static bool has_more(const struct why_filter *f, const struct verdict *v)
{
    return (f->kind == WHY_FILTER_MEMORY && v->memory_left > f->left) ||
           (f->kind == WHY_FILTER_CPU && v->cpus_left > f->left);
}

static void count_verdict(struct explainer *e, struct why_reason *r, const struct verdict *v,
                          const struct task *t)
{
    const char *constraint = failing_constraint(v, t);
    struct why_filter *f = find_filter(r, kind_of(v, t), constraint);

    if (f == NULL) {
        if (r->filters.count == WHY_FILTERS_MAX)
            return;
        f = LIST_ADD(&r->filters);
        if (f == NULL) {
            e->p.err = -ENOMEM;
            return;
        }
        f->kind = kind_of(v, t);
        explain_say(e, &f->constraint, "%s", constraint == NULL ? "" : constraint);
        note_node(e, f, v, t);
    } else if (has_more(f, v)) {
        note_node(e, f, v, t);
    }
    f->nodes++;
}

/* --- Saying */

static const char *memory_text(int64_t bytes, char out[AMOUNT_TEXT_MAX])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double amount = (double)bytes;
    size_t unit = 0;

    while (amount >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        amount /= 1024;
        unit++;
    }
    (void)snprintf(out, AMOUNT_TEXT_MAX, "%.4g %s", amount, units[unit]);
    return out;
}

static const char *cpus_text(int64_t nano_cpus, char out[AMOUNT_TEXT_MAX])
{
    (void)snprintf(out, AMOUNT_TEXT_MAX, "%.4g", (double)nano_cpus / 1e9);
    return out;
}

static void say_resources(struct explainer *e, struct why_filter *f)
{
    bool memory = f->kind == WHY_FILTER_MEMORY;
    const char *(*text)(int64_t, char *) = memory ? memory_text : cpus_text;
    char wanted[AMOUNT_TEXT_MAX], left[AMOUNT_TEXT_MAX];

    explain_say(e, &f->message,
                "not enough %s on %" PRIu64 ": reserves %s, at most %s is free (on %s)",
                memory ? "memory" : "CPUs", f->nodes, text(f->wanted, wanted), text(f->left, left),
                f->node);
}

static void say_filter(struct explainer *e, struct why_filter *f, size_t all, const struct task *t)
{
    const struct node *example = plan_get_node(&e->p, &f->node_id);
    const char *be = f->nodes == 1 ? "is" : "are";

    switch (f->kind) {
    case WHY_FILTER_NONE:
        explain_say(e, &f->message, "%" PRIu64 " of %zu would do (such as %s)", f->nodes, all,
                    f->node);
        return;
    case WHY_FILTER_DOWN:
    case WHY_FILTER_DRAINED:
    case WHY_FILTER_PAUSED:
        explain_say(e, &f->message, "%" PRIu64 " of %zu %s %s (such as %s)", f->nodes, all, be,
                    enum_text(&why_filter_kind_names, (int)f->kind), f->node);
        return;
    case WHY_FILTER_CPU:
    case WHY_FILTER_MEMORY:
        say_resources(e, f);
        return;
    case WHY_FILTER_CONSTRAINT:
        explain_say(e, &f->message, "constraint %s refused %" PRIu64 " of %zu (such as %s)",
                    f->constraint, f->nodes, all, f->node);
        return;
    case WHY_FILTER_PLATFORM:
        explain_say(e, &f->message,
                    "the image is not for the platform of %" PRIu64 " of %zu (%s is %s, wanted is "
                    "%s)",
                    f->nodes, all, f->node,
                    example == NULL || example->description.platform.architecture == NULL
                        ? "unknown"
                        : example->description.platform.architecture,
                    t->spec.placement->platforms.items[0].architecture);
        return;
    case WHY_FILTER_HOST_PORT:
        explain_say(e, &f->message,
                    "port %" PRIu32 " of the host is taken on %" PRIu64 " of %zu (on %s by service "
                    "%s)",
                    f->port, f->nodes, all, f->node, f->service == NULL ? "" : f->service);
        return;
    case WHY_FILTER_REPLICAS:
        explain_say(e, &f->message,
                    "%" PRIu64 " of %zu already %s the most that a node may have, %" PRId64
                    " (such as %s)",
                    f->nodes, all, f->nodes == 1 ? "runs" : "run", f->wanted, f->node);
        return;
    }
}

/* What refuses most comes first. */
static int compare_filters(const void *a, const void *b)
{
    const struct why_filter *x = a, *y = b;

    if (x->nodes != y->nodes)
        return x->nodes > y->nodes ? -1 : 1;
    return x->kind < y->kind ? -1 : x->kind > y->kind;
}

static bool fits_somewhere(const struct why_reason *r)
{
    for (size_t i = 0; i < r->filters.count; i++)
        if (r->filters.items[i].kind == WHY_FILTER_NONE)
            return true;
    return false;
}

static void say_all(struct explainer *e, struct why_reason *r, size_t all)
{
    char text[1024];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < r->filters.count && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i == 0 ? "" : "; ",
                                 r->filters.items[i].message);
    if (all == 0)
        explain_say(e, &r->message, "no suitable node: the cluster has none that it may run on");
    else
        explain_say(e, &r->message, "no suitable node: %.*s", EXPLAIN_ERR(text));
}

void explain_placement(struct explainer *e, struct why_reason *r, const struct task *t)
{
    struct verdicts v = { 0 };

    if (e->schedule == NULL)
        e->schedule = schedule_new(&e->p);
    if (e->schedule != NULL)
        v = schedule_verdicts(e->schedule, &e->p, t);
    for (size_t i = 0; i < v.count && e->p.err == 0; i++)
        count_verdict(e, r, &v.items[i], t);
    for (size_t i = 0; i < r->filters.count && e->p.err == 0; i++)
        say_filter(e, &r->filters.items[i], v.count, t);
    if (e->p.err < 0)
        return;
    if (r->filters.count > 1)
        qsort(r->filters.items, r->filters.count, sizeof(r->filters.items[0]), compare_filters);
    if (fits_somewhere(r)) {
        r->code = WHY_WAITS_FOR_MANAGERS;
        explain_say(e, &r->message, "is about to get a node");
    } else {
        r->code = WHY_NO_SUITABLE_NODE;
        say_all(e, r, v.count);
    }
}
