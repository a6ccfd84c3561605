/* What each node is told, and when it is told less than everything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "tests/support/oom.h"
#include "tests/unit/node_control/support_cluster.h"

/* Two nodes, with one task each of a service that publishes a port. */
struct bench {
    struct world w;
    struct dispatcher *dispatcher;
    struct dispatcher_output out; /* of the last turn */
    struct id service, ingress;
};

static void turn(struct bench *b)
{
    dispatcher_output_deinit(&b->out);
    dispatcher_reset(b->dispatcher);
    assert_int_equal(dispatcher_turn(b->dispatcher, b->w.store, &b->out), 0);
}

static void hello(struct bench *b, size_t node, uint64_t version)
{
    assert_int_equal(
        dispatcher_hello(b->dispatcher, &b->w.nodes[node], &(struct hello){ .version = version }),
        0);
}

static void open_bench(struct bench *b)
{
    struct port port = { .target_port = 80, .published_port = 8080 };
    struct endpoint_spec endpoint = { .ports = { .items = &port, .count = 1 } };

    *b = (struct bench){ .dispatcher = NULL };
    world_init(&b->w, 2);
    b->service = world_create(&b->w, "web", 2, (struct task_spec){ 0 }, &endpoint);
    world_agents(&b->w);
    b->ingress = world_task(&b->w, &b->service, 1)->attachments.items[0].network_id;
    assert_int_equal(dispatcher_new(&b->dispatcher), 0);
}

static void open_told(struct bench *b)
{
    open_bench(b);
    hello(b, 0, 0);
    hello(b, 1, 0);
    turn(b);
}

static void close_bench(struct bench *b)
{
    dispatcher_output_deinit(&b->out);
    dispatcher_free(b->dispatcher);
    world_deinit(&b->w);
}

static const struct task *task_on(const struct bench *b, size_t node)
{
    struct store_iter it;

    STORE_EACH_OF_NODE(&it, b->w.store, &b->w.nodes[node], t)
    return t;
    fail_msg("node %zu has no task", node);
    return NULL;
}

static const struct assign *told(const struct bench *b, size_t node)
{
    for (size_t i = 0; i < b->out.count; i++)
        if (id_equal(&b->out.items[i].node, &b->w.nodes[node]))
            return b->out.items[i].frame.assign;
    return NULL;
}

/* The row that the last turn had for a node. NULL: none. */
static const struct assigned *row_of(const struct bench *b, size_t node, const char *kind,
                                     const struct id *id, const struct id *network)
{
    const struct assign *a = told(b, node);
    char key[64];

    (void)snprintf(key, sizeof(key), "%s/%s%s%s", kind, id->text, network == NULL ? "" : "/",
                   network == NULL ? "" : network->text);
    for (size_t i = 0; a != NULL && i < a->rows.count; i++)
        if (strcmp(a->rows.items[i].key, key) == 0)
            return &a->rows.items[i];
    return NULL;
}

static const struct endpoint *endpoint_of(const struct bench *b, size_t node, const struct task *t)
{
    const struct assigned *row = row_of(b, node, "port", &t->id, &b->ingress);

    return row == NULL ? NULL : row->endpoint;
}

static void test_a_node_is_told_of_its_tasks_and_of_all_on_their_networks(void **state)
{
    struct bench b;

    (void)state;
    open_told(&b);
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(told(&b, i));
        assert_int_equal(told(&b, i)->base, 0);
        assert_non_null(row_of(&b, i, "task", &task_on(&b, i)->id, NULL));
        assert_null(row_of(&b, i, "task", &task_on(&b, 1 - i)->id, NULL));
        assert_non_null(row_of(&b, i, "service", &b.service, &b.ingress));
        assert_non_null(row_of(&b, i, "peer", &b.w.nodes[1 - i], NULL));
        assert_null(row_of(&b, i, "peer", &b.w.nodes[i], NULL));
        for (size_t k = 0; k < 2; k++) {
            assert_true(endpoint_of(&b, i, task_on(&b, k))->ready);
            assert_true(row_of(&b, i, "port", &b.w.nodes[k], &b.ingress)->endpoint->gateway);
        }
    }
    turn(&b);
    assert_int_equal(b.out.count, 0); /* nothing is new */
    close_bench(&b);
}

static void test_what_differs_is_told_alone(void **state)
{
    struct bench b;
    uint64_t version;

    (void)state;
    open_told(&b);
    version = told(&b, 1)->version;
    assert_int_equal(world_apply(&b.w, admit_service_remove(world_admit(&b.w), &b.service)), 0);
    turn(&b);
    assert_true(told(&b, 1)->base == version);
    assert_true(row_of(&b, 1, "service", &b.service, &b.ingress)->gone);
    assert_null(row_of(&b, 1, "peer", &b.w.nodes[0], NULL));
    close_bench(&b);
}

static void test_who_comes_back_at_its_version_is_told_the_difference(void **state)
{
    struct bench b;
    uint64_t version;

    (void)state;
    open_told(&b);
    version = told(&b, 1)->version;
    dispatcher_gone(b.dispatcher, &b.w.nodes[1]);
    turn(&b);
    assert_null(told(&b, 1));
    hello(&b, 1, version);
    turn(&b);
    assert_null(told(&b, 1));
    hello(&b, 1, version - 1);
    turn(&b);
    assert_int_equal(told(&b, 1)->base, 0);
    assert_non_null(row_of(&b, 1, "task", &task_on(&b, 1)->id, NULL));
    close_bench(&b);
}

/* Gossip is quick to doubt and may be wrong. Others avoid the node meanwhile; that it has heard
 * this shows that it is there, and what runs on it is the nearest for its own clients. */
static void test_a_node_in_doubt_goes_on_serving_its_own_clients(void **state)
{
    struct bench b;
    const struct task *t;

    (void)state;
    open_told(&b);
    t = task_on(&b, 1);
    dispatcher_reachable(b.dispatcher, &b.w.nodes[1], CONTROL_UNREACHABLE);
    turn(&b);
    assert_false(endpoint_of(&b, 0, t)->ready);
    assert_false(row_of(&b, 0, "peer", &b.w.nodes[1], NULL)->peer->reachable);
    assert_null(told(&b, 1)); /* no news */
    dispatcher_reachable(b.dispatcher, &b.w.nodes[1], CONTROL_ALIVE);
    turn(&b);
    assert_true(endpoint_of(&b, 0, t)->ready);
    close_bench(&b);
}

static void test_after_memory_ran_out_everything_is_told_again(void **state)
{
    bool failed = true;

    (void)state;
    for (unsigned n = 1; failed; n++) {
        struct bench b;
        int rc;

        open_bench(&b);
        hello(&b, 0, 0);
        oom_fail_at(n);
        rc = dispatcher_turn(b.dispatcher, b.w.store, &b.out);
        failed = oom_has_failed();
        assert_int_equal(rc, failed ? -ENOMEM : 0);
        if (failed) {
            assert_int_equal(b.out.count, 0);
            turn(&b);
        }
        assert_int_equal(told(&b, 0)->base, 0);
        assert_non_null(row_of(&b, 0, "task", &task_on(&b, 0)->id, NULL));
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_is_told_of_its_tasks_and_of_all_on_their_networks),
        cmocka_unit_test(test_what_differs_is_told_alone),
        cmocka_unit_test(test_who_comes_back_at_its_version_is_told_the_difference),
        cmocka_unit_test(test_a_node_in_doubt_goes_on_serving_its_own_clients),
        cmocka_unit_test(test_after_memory_ran_out_everything_is_told_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
