#include "tests/unit/node_agent/support_agent.h"

#include <stdio.h>
#include <stdlib.h>

struct id id_of(unsigned n)
{
    uint8_t bits[ID_RANDOM_LEN] = { 0 };

    bits[ID_RANDOM_LEN - 1] = (uint8_t)n;
    bits[ID_RANDOM_LEN - 2] = (uint8_t)(n >> 8);
    return id_from_random(bits);
}

void bench_open_stopped(struct bench *b)
{
    struct id self = id_of(60000);

    *b = (struct bench){ .now = NS_PER_S, .wall = INT64_C(1700000000) * (int64_t)NS_PER_S };
    assert_int_equal(agent_new(&self, &b->agent), 0);
}

void bench_open(struct bench *b)
{
    bench_open_stopped(b);
    agent_started(b->agent, b->now);
    agent_connected(b->agent, b->now);
}

void bench_close(struct bench *b)
{
    agent_free(b->agent);
}

/* --- Rows */

static struct assigned *add_row(struct assign *f, const char *kind, unsigned n)
{
    struct assigned *row = LIST_ADD(&f->rows);
    char key[64];

    assert_non_null(row);
    (void)snprintf(key, sizeof(key), "%s/%s", kind, id_of(n).text);
    assert_int_equal(str_set(&row->key, key), 0);
    return row;
}

struct task *frame_task(struct assign *f, unsigned n, enum task_state desired)
{
    struct assigned *row = add_row(f, "task", n);
    struct task *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    t->id = id_of(n);
    t->slot = n;
    t->status.state = TASK_ASSIGNED;
    t->desired_state = desired;
    t->spec.container = calloc(1, sizeof(*t->spec.container));
    assert_non_null(t->spec.container);
    assert_int_equal(str_set(&t->spec.container->image, "web:1"), 0);
    row->task = t;
    return t;
}

void frame_network(struct assign *f, unsigned n)
{
    struct assigned *row = add_row(f, "network", n);

    row->network = calloc(1, sizeof(*row->network));
    assert_non_null(row->network);
    row->network->id = id_of(n);
    assert_int_equal(str_set(&row->network->spec.name, "back"), 0);
}

void frame_gone(struct assign *f, const char *kind, unsigned n)
{
    add_row(f, kind, n)->gone = true;
}

static int assign(struct bench *b, struct assign *f)
{
    int rc;

    f->version = ++b->version;
    rc = agent_assign(b->agent, f);
    fields_deinit(&assign_type, f);
    return rc;
}

int bench_assign(struct bench *b, struct assign *f)
{
    f->base = agent_version(b->agent);
    return assign(b, f);
}

int bench_assign_all(struct bench *b, struct assign *f)
{
    f->base = 0;
    return assign(b, f);
}

void bench_task(struct bench *b, unsigned n, enum task_state desired)
{
    struct assign f = { 0 };

    (void)frame_task(&f, n, desired); /* the frame owns it */
    assert_int_equal(bench_assign(b, &f), 0);
}

/* --- Turns */

void bench_turn(struct bench *b)
{
    struct agent_output out;

    b->now += MS;
    b->wall += (int64_t)MS;
    agent_turn(b->agent, b->now, b->wall, &out);
    b->count = 0;
    for (size_t i = 0; i < out.operations.count; i++) {
        const struct agent_operation *op = &out.operations.items[i];
        struct seen *s = &b->seen[b->count++];

        assert_true(b->count < OPERATIONS_SEEN_MAX);
        *s = (struct seen){ .token = op->token, .kind = op->kind, .task_id = op->task_id };
        if (op->row != NULL)
            (void)snprintf(s->row, sizeof(s->row), "%s", op->row->key);
    }
    b->deadline = out.deadline_ns;
    b->report = out.report;
}

void bench_turn_later(struct bench *b)
{
    b->now += 20 * MS;
    bench_turn(b);
}

void bench_answer(struct bench *b, size_t i, int err)
{
    struct agent_result r = { .token = b->seen[i].token, .err = err };

    assert_true(i < b->count);
    if (err < 0)
        r.message = "as the test wants";
    agent_result(b->agent, &r, b->now, b->wall);
}

size_t bench_settle(struct bench *b)
{
    size_t total = 0;

    for (int turn = 0; turn < 100; turn++) {
        bench_turn(b);
        if (b->count == 0)
            return total;
        for (size_t i = 0; i < b->count; i++)
            bench_answer(b, i, 0);
        total += b->count;
    }
    fail_msg("the agent never comes to rest");
    return total;
}

void bench_start_task(struct bench *b, unsigned n)
{
    struct assign f = { 0 };

    (void)frame_task(&f, n, TASK_RUNNING); /* the frame owns it */
    assert_int_equal(agent_version(b->agent) == 0 ? bench_assign_all(b, &f) : bench_assign(b, &f),
                     0);
    (void)bench_settle(b);
    bench_turn_later(b);
}

/* --- Reports. One is due at most every 20 ms, so the test waits that long. */

const struct task_status *bench_status(const struct bench *b, unsigned n)
{
    struct id id = id_of(n);

    for (size_t i = 0; b->report != NULL && i < b->report->tasks.count; i++)
        if (id_equal(&b->report->tasks.items[i].task_id, &id))
            return &b->report->tasks.items[i].status;
    return NULL;
}

enum task_state bench_state(const struct bench *b, unsigned n)
{
    const struct task_status *s = bench_status(b, n);

    return s == NULL ? TASK_NEW : s->state;
}
