/* The set of units and the order of operations.
 *
 * Network rows become operations at once and in the order of the assignment, before those of
 * units, so that a sandbox is never made before its network is known. Units are visited in id
 * order. Reports are gathered for REPORT_INTERVAL_NS, so that a burst of starts is one
 * message; what the managers have not acknowledged is said again after a reconnect. */
#include "node/agent/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "node/agent/rows.h"
#include "node/agent/unit.h"

#define REPORT_INTERVAL_NS (20 * NS_PER_MS)
#define UNITS_MAX          65536

static const char shut_down_text[] = "the node shuts down";

/* A network row on its way to the overlay; owns a copy, because rows change under it. */
struct row_operation {
    struct list link;
    uint64_t token;
    enum agent_operation_kind kind;
    struct assigned row;
};

struct agent {
    struct id node_id;
    struct rows rows;
    struct omap units;              /* task id -> struct unit *, owned */
    struct map tokens;              /* token -> struct unit *, of operations under way */
    struct list queued, handed_out; /* row operations: waiting, and borrowed by the last turn */
    uint64_t next_token;
    size_t preparing; /* operations under way that count against AGENT_OPERATIONS_MAX */

    struct agent_operation *operations; /* of the last turn */
    size_t operation_count, operation_cap;

    struct report report; /* the last one */
    uint64_t sequence, acknowledged;
    mono_ns report_at; /* earliest next report */

    bool started;
    bool shutting_down;
    bool said_goodbye; /* on this connection */
    bool connected;
    mono_ns disconnected_at;
};

/* --- Units */

static struct unit *find_unit(const struct agent *a, const struct id *id)
{
    return omap_get(&a->units, id_slice(id));
}

static int add_unit(struct agent *a, const struct id *id, struct unit **out)
{
    struct unit *u = find_unit(a, id);
    int rc;

    if (u == NULL) {
        if (a->units.count >= UNITS_MAX)
            return ERR_FULL;
        u = calloc(1, sizeof(*u));
        if (u == NULL)
            return -ENOMEM;
        u->id = *id;
        u->acknowledged = true; /* nothing to say yet */
        rc = omap_set(&a->units, id_slice(id), u);
        if (rc < 0) {
            free(u);
            return rc;
        }
    }
    *out = u;
    return 0;
}

static void remove_unit(struct agent *a, struct unit *u)
{
    (void)omap_remove(&a->units, id_slice(&u->id));
    unit_deinit(u);
    free(u);
}

/* --- Rows */

static int queue_row(struct agent *a, enum agent_operation_kind kind, const struct assigned *row)
{
    struct row_operation *op = calloc(1, sizeof(*op));
    int rc;

    if (op == NULL)
        return -ENOMEM;
    rc = fields_copy(&assigned_type, row, &op->row);
    if (rc < 0) {
        free(op);
        return rc;
    }
    op->kind = kind;
    op->token = ++a->next_token;
    list_push_back(&a->queued, &op->link);
    return 0;
}

static void free_row_operations(struct list *head)
{
    struct list *link;

    while ((link = list_pop_front(head)) != NULL) {
        struct row_operation *op = CONTAINER_OF(link, struct row_operation, link);

        fields_deinit(&assigned_type, &op->row);
        free(op);
    }
}

static int on_task_row(struct agent *a, const struct assigned *before, const struct assigned *row)
{
    struct unit *u;
    int rc;

    if (row == NULL) {
        u = find_unit(a, &before->task->id);
        if (u != NULL)
            u->task = NULL;
        return 0;
    }
    rc = add_unit(a, &row->task->id, &u);
    if (rc < 0)
        return rc;
    if (u->task == NULL && u->status.state < row->task->status.state) {
        struct task_status status;

        rc = fields_copy(&task_status_type, &row->task->status, &status);
        if (rc < 0)
            return rc;
        fields_deinit(&task_status_type, &u->status);
        u->status = status;
    }
    u->task = row->task;
    return 0;
}

static int on_row(void *ctx, const struct assigned *before, const struct assigned *row)
{
    struct agent *a = ctx;
    const struct assigned *any = row != NULL ? row : before;

    if (any->task != NULL)
        return on_task_row(a, before, row);
    if (any->secret != NULL || any->config != NULL)
        return 0; /* read when a container is created */
    return queue_row(a, row != NULL ? AGENT_NETWORK_SET : AGENT_NETWORK_REMOVE, any);
}

/* A row must have exactly the content that its key promises, or later look-ups trip over it. */
static bool is_sound(const struct assigned *row)
{
    const struct {
        const char *kind;
        const void *content;
    } members[] = {
        { "task/", row->task },       { "secret/", row->secret },   { "config/", row->config },
        { "network/", row->network }, { "port/", row->endpoint },   { "service/", row->service },
        { "peer/", row->peer },       { "cluster/", row->cluster },
    };
    size_t set = 0;
    bool kept = true;

    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (members[i].content != NULL) {
            set++;
            kept = kept && strncmp(row->key, members[i].kind, strlen(members[i].kind)) == 0;
        }
    if (row->task != NULL)
        kept = kept && strcmp(row->key + strlen("task/"), row->task->id.text) == 0;
    return kept && set == (row->gone ? 0 : 1);
}

static int assign(struct agent *a, const struct assign *rows)
{
    for (size_t i = 0; i < rows->rows.count; i++)
        if (!is_sound(&rows->rows.items[i]))
            return ERR_MALFORMED;
    return rows_assign(&a->rows, rows, on_row, a);
}

int agent_load(struct agent *a, const struct assign *rows)
{
    CHECK(!a->started);
    return assign(a, rows);
}

int agent_assign(struct agent *a, const struct assign *rows)
{
    return assign(a, rows);
}

uint64_t agent_version(const struct agent *a)
{
    return a->rows.version;
}

const struct assigned *agent_row(const struct agent *a, const char *key)
{
    return rows_get(&a->rows, key);
}

size_t agent_row_count(const struct agent *a)
{
    return a->rows.by_key.count;
}

const struct assigned *agent_next_row(const struct agent *a, const char *after_key)
{
    const struct omap_node *n;

    if (after_key == NULL) {
        n = omap_first(&a->rows.by_key);
    } else {
        n = omap_lower_bound(&a->rows.by_key, slice_of_str(after_key));
        if (n != NULL && slice_equal(omap_key(n), slice_of_str(after_key)))
            n = omap_next(n);
    }
    return n == NULL ? NULL : omap_value(n);
}

/* --- Life */

int agent_new(const struct id *node_id, struct agent **out)
{
    static const struct hash_seed no_outsider_chooses_tokens;
    struct agent *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return -ENOMEM;
    a->node_id = *node_id;
    rows_init(&a->rows);
    omap_init(&a->units);
    map_init(&a->tokens, &no_outsider_chooses_tokens, UNITS_MAX);
    list_init(&a->queued);
    list_init(&a->handed_out);
    *out = a;
    return 0;
}

void agent_free(struct agent *a)
{
    if (a == NULL)
        return;
    for (const struct omap_node *n = omap_first(&a->units); n != NULL; n = omap_next(n)) {
        struct unit *u = omap_value(n);

        unit_deinit(u);
        free(u);
    }
    omap_deinit(&a->units);
    map_deinit(&a->tokens);
    free_row_operations(&a->queued);
    free_row_operations(&a->handed_out);
    fields_deinit(&report_type, &a->report);
    rows_deinit(&a->rows);
    free(a->operations);
    free(a);
}

int agent_observe(struct agent *a, const struct agent_observed *o, wall_ns wall)
{
    struct unit *u;
    int rc;

    CHECK(!a->started);
    rc = add_unit(a, &o->task_id, &u);
    if (rc == 0)
        unit_observe(u, o, wall);
    return rc;
}

void agent_started(struct agent *a, mono_ns now)
{
    CHECK(!a->started);
    a->started = true;
    a->disconnected_at = now;
}

/* --- What happened */

static bool counts_as_preparing(enum agent_operation_kind kind)
{
    return kind == AGENT_IMAGE_ENSURE || kind == AGENT_SANDBOX_CREATE ||
           kind == AGENT_CONTAINER_CREATE || kind == AGENT_CONTAINER_START;
}

void agent_result(struct agent *a, const struct agent_result *r, mono_ns now, wall_ns wall)
{
    struct unit *u = map_remove_u64(&a->tokens, r->token);

    if (u == NULL)
        return; /* of a network row or a cancellation: nothing waits for it */
    if (counts_as_preparing(u->operation))
        a->preparing--;
    unit_result(u, r, now, wall);
}

void agent_event(struct agent *a, const struct agent_event *e, mono_ns now, wall_ns wall)
{
    struct unit *u = find_unit(a, &e->task_id);

    (void)now;
    if (u != NULL)
        unit_event(u, e, wall);
}

void agent_connected(struct agent *a, mono_ns now)
{
    (void)now;
    a->connected = true;
    a->said_goodbye = false;
    for (const struct omap_node *n = omap_first(&a->units); n != NULL; n = omap_next(n)) {
        struct unit *u = omap_value(n);

        u->dirty = u->dirty || !u->acknowledged; /* the one who heard it may be gone */
    }
}

void agent_disconnected(struct agent *a, mono_ns now)
{
    if (a->connected)
        a->disconnected_at = now;
    a->connected = false;
}

void agent_shut_down(struct agent *a)
{
    a->shutting_down = true;
    for (const struct omap_node *n = omap_first(&a->units); n != NULL; n = omap_next(n))
        unit_cut_off(omap_value(n), shut_down_text);
}

void agent_acknowledged(struct agent *a, uint64_t sequence)
{
    if (sequence > a->sequence)
        return; /* of an earlier life of this agent */
    a->acknowledged = MAX(a->acknowledged, sequence);
    for (const struct omap_node *n = omap_first(&a->units); n != NULL; n = omap_next(n)) {
        struct unit *u = omap_value(n);

        if (!u->dirty && u->reported <= sequence)
            u->acknowledged = true;
    }
}

/* --- Turns */

static int add_operation(struct agent *a, const struct agent_operation *op)
{
    if (a->operation_count == a->operation_cap) {
        size_t cap = a->operation_cap == 0 ? 64 : 2 * a->operation_cap;
        struct agent_operation *items = realloc(a->operations, cap * sizeof(*items));

        if (items == NULL)
            return -ENOMEM;
        a->operations = items;
        a->operation_cap = cap;
    }
    a->operations[a->operation_count++] = *op;
    return 0;
}

static int hand_out_rows(struct agent *a)
{
    struct list *link;

    while ((link = list_first(&a->queued)) != NULL) {
        struct row_operation *op = CONTAINER_OF(link, struct row_operation, link);
        int rc = add_operation(
            a, &(struct agent_operation){ .token = op->token, .kind = op->kind, .row = &op->row });

        if (rc < 0)
            return rc;
        list_remove(link);
        list_push_back(&a->handed_out, link);
    }
    return 0;
}

/* Disconnect policies: how long each task may run without any manager in reach. */
static mono_ns cut_off_at(const struct agent *a, const struct unit *u)
{
    if (a->connected || u->cut_off != NULL || u->task == NULL || u->task->spec.disconnect == NULL ||
        u->task->spec.disconnect->stop_after == 0)
        return MONO_NEVER;
    return mono_after(a->disconnected_at, (mono_ns)u->task->spec.disconnect->stop_after);
}

static int turn_unit(struct agent *a, struct unit *u, mono_ns now, wall_ns wall)
{
    struct agent_operation op = { .task = u->task };
    int kind, rc;

    if (u->task == NULL && a->rows.version == 0)
        return 0;         /* nobody has said yet what should be here: what runs, runs on */
    if (a->shutting_down) /* one that was assigned since */
        unit_cut_off(u, shut_down_text);
    if (cut_off_at(a, u) <= now)
        unit_cut_off(u, "no manager was reachable");
    kind = unit_next(u, now, wall);
    if (kind == UNIT_NOTHING)
        return 0;
    op.kind = (enum agent_operation_kind)kind;
    if (counts_as_preparing(op.kind) && a->preparing >= AGENT_OPERATIONS_MAX)
        return 0; /* one that ends makes room */
    op.task_id = u->id;
    op.token = ++a->next_token;
    rc = add_operation(a, &op);
    if (rc < 0)
        return rc;
    if (op.kind != AGENT_IMAGE_PULL_CANCEL) {
        rc = map_set_u64(&a->tokens, op.token, u);
        if (rc < 0) {
            a->operation_count--;
            return rc;
        }
        if (counts_as_preparing(op.kind))
            a->preparing++;
    }
    unit_begin(u, op.kind, op.token);
    return 0;
}

static int turn_units(struct agent *a, mono_ns now, wall_ns wall, mono_ns *deadline)
{
    const struct omap_node *n = omap_first(&a->units);

    while (n != NULL) {
        struct unit *u = omap_value(n);
        int rc = turn_unit(a, u, now, wall);

        n = omap_next(n);
        if (rc < 0)
            return rc;
        if (u->token == 0 && u->retry_at > now)
            *deadline = MIN(*deadline, u->retry_at);
        *deadline = MIN(*deadline, cut_off_at(a, u));
        if (unit_is_gone(u))
            remove_unit(a, u);
    }
    return 0;
}

static bool has_news(const struct unit *u)
{
    return u->task != NULL && u->dirty;
}

static int build_report(struct agent *a, struct report *out)
{
    for (const struct omap_node *n = omap_first(&a->units); n != NULL; n = omap_next(n)) {
        const struct unit *u = omap_value(n);
        struct reported *row;
        int rc;

        if (!has_news(u) || out->tasks.count >= ASSIGNED_MAX)
            continue;
        row = LIST_ADD(&out->tasks);
        if (row == NULL)
            return -ENOMEM;
        row->task_id = u->id;
        rc = fields_copy(&task_status_type, &u->status, &row->status);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int make_report(struct agent *a, mono_ns now, struct agent_output *out)
{
    struct report report = { .sequence = a->sequence + 1, .stopping = a->shutting_down };
    bool owes_goodbye = a->shutting_down && !a->said_goodbye;
    int rc;

    if (!a->connected)
        return 0;
    rc = build_report(a, &report);
    if (rc < 0 || (report.tasks.count == 0 && !owes_goodbye)) {
        fields_deinit(&report_type, &report);
        return rc;
    }
    if (now < a->report_at) {
        fields_deinit(&report_type, &report);
        out->deadline_ns = MIN(out->deadline_ns, a->report_at);
        return 0;
    }
    a->sequence++;
    for (size_t i = 0; i < report.tasks.count; i++) {
        struct unit *u = find_unit(a, &report.tasks.items[i].task_id);

        u->dirty = false;
        u->reported = a->sequence;
    }
    a->said_goodbye = a->shutting_down;
    a->report_at = mono_after(now, REPORT_INTERVAL_NS);
    if (report.tasks.count >= ASSIGNED_MAX)
        out->deadline_ns = MIN(out->deadline_ns, a->report_at); /* for the rest */
    fields_deinit(&report_type, &a->report);
    a->report = report;
    out->report = &a->report;
    return 0;
}

void agent_turn(struct agent *a, mono_ns now, wall_ns wall, struct agent_output *out)
{
    int rc;

    *out = (struct agent_output){ .deadline_ns = MONO_NEVER };
    free_row_operations(&a->handed_out);
    a->operation_count = 0;
    if (!a->started)
        return;
    rc = hand_out_rows(a);
    if (rc == 0)
        rc = turn_units(a, now, wall, &out->deadline_ns);
    /* What was begun is handed out even when memory ran out half-way. */
    out->operations = (struct agent_operations){ a->operations, a->operation_count };
    if (rc == 0)
        rc = make_report(a, now, out);
    if (rc == -ENOMEM)
        out->deadline_ns = mono_after(now, 100 * NS_PER_MS);
}
