/* The key that seals gossip: who has it when, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "node/control/gossip_keys.h"
#include "tests/unit/node_control/support_cluster.h"

#define HOUR (3600 * SECOND)

static const struct cluster *cluster_of(const struct world *w)
{
    return store_the_cluster(w->store);
}

/* A key as init makes it. The change is applied as a request's would be. */
static void give_first_key(struct world *w)
{
    struct transaction t = { .at = w->now.wall };
    struct store_changes changes;
    struct field_error why;
    struct gossip_secret *secret;
    struct cluster copy;

    assert_int_equal(fields_copy(&cluster_type, cluster_of(w), &copy), 0);
    secret = LIST_ADD(&copy.gossip_keys);
    assert_non_null(secret);
    secret->epoch = 1;
    assert_int_equal(bytes_set(&secret->key, slice_of("0123456789abcdef0123456789abcdef", 32)), 0);
    copy.gossip_key_rotated_at = w->now.wall;
    copy.gossip_key_index = store_applied(w->store);
    assert_int_equal(
        transaction_update(&t, OBJECT_CLUSTER, (const struct object *)(const void *)&copy), 0);
    assert_int_equal(store_apply(w->store, ++w->index, &t, &changes, &why), 0);
    control_changed(w->control, &changes);
    fields_deinit(&transaction_type, &t);
    fields_deinit(&cluster_type, &copy);
    (void)world_settle(w);
}

static void world_with_key(struct world *w, size_t nodes)
{
    world_init(w, nodes);
    give_first_key(w);
}

/* Node `i` says which key seals there and which is the newest that opens. */
static void says(struct world *w, size_t i, uint64_t first, uint64_t newest)
{
    struct node_description d;
    struct report report = { .description = &d };

    assert_int_equal(
        fields_copy(&node_description_type, &store_node(w->store, &w->nodes[i])->description, &d),
        0);
    d.gossip_key = first;
    d.gossip_key_newest = newest;
    assert_int_equal(control_reported(w->control, &w->nodes[i], &report, w->now), 0);
    fields_deinit(&node_description_type, &d);
    (void)world_settle(w);
}

static void assert_keys(const struct world *w, size_t count, uint64_t first, uint64_t second)
{
    const struct gossip_secret_list *keys = &cluster_of(w)->gossip_keys;

    assert_int_equal(keys->count, count);
    assert_int_equal(keys->items[0].epoch, first);
    if (count > 1)
        assert_int_equal(keys->items[1].epoch, second);
}

static void begin_by_period(struct world *w)
{
    world_advance(w, 12 * HOUR);
    (void)world_settle(w);
    assert_keys(w, 2, 1, 2);
}

static void remove_node(struct world *w, size_t i)
{
    assert_int_equal(world_apply(w, admit_node_remove(world_admit(w), &w->nodes[i], ADMIT_FORCE)),
                     0);
    (void)world_settle(w);
}

static void test_a_key_is_given_out_used_and_then_alone(void **state)
{
    struct world w;
    struct bytes fresh;

    (void)state;
    world_with_key(&w, 3);
    world_advance(&w, 12 * HOUR - SECOND);
    (void)world_settle(&w);
    assert_keys(&w, 1, 1, 0);
    world_advance(&w, SECOND);
    (void)world_settle(&w);
    assert_keys(&w, 2, 1, 2); /* the old one still seals */
    fresh = cluster_of(&w)->gossip_keys.items[1].key;
    assert_int_equal(fresh.len, 32);
    says(&w, 0, 1, 2);
    says(&w, 1, 1, 2);
    assert_keys(&w, 2, 1, 2); /* the third could not read it yet */
    says(&w, 2, 1, 2);
    assert_keys(&w, 2, 2, 1);
    says(&w, 0, 2, 2);
    says(&w, 1, 2, 2);
    assert_keys(&w, 2, 2, 1); /* the third still seals with the old one */
    says(&w, 2, 2, 2);
    assert_keys(&w, 1, 2, 0);
    world_advance(&w, 11 * HOUR);
    (void)world_settle(&w);
    assert_keys(&w, 1, 2, 0); /* the next period has begun with the new key */
    world_advance(&w, HOUR);
    (void)world_settle(&w);
    assert_keys(&w, 2, 2, 3);
    world_deinit(&w);
}

static void test_the_deadline_is_when_the_period_ends(void **state)
{
    struct control_output out;
    struct world w;

    (void)state;
    world_with_key(&w, 1);
    world_advance(&w, HOUR);
    assert_int_equal(control_turn(w.control, w.store, w.now, &out), 0);
    assert_int_equal(out.deadline_ns, w.now.mono + (mono_ns)(11 * HOUR));
    fields_deinit(&transaction_type, &out.plan);
    world_deinit(&w);
}

static void test_a_node_that_does_not_answer_holds_nobody_up_for_long(void **state)
{
    struct world w;

    (void)state;
    world_with_key(&w, 2);
    begin_by_period(&w);
    says(&w, 0, 1, 2);
    world_advance(&w, (int64_t)GOSSIP_KEY_WAIT_NS - SECOND);
    (void)world_settle(&w);
    assert_keys(&w, 2, 1, 2);
    world_advance(&w, SECOND);
    (void)world_settle(&w);
    assert_keys(&w, 2, 2, 1);
    says(&w, 0, 2, 2);
    assert_keys(&w, 2, 2, 1); /* the wait begins anew with each step */
    world_advance(&w, (int64_t)GOSSIP_KEY_WAIT_NS);
    (void)world_settle(&w);
    assert_keys(&w, 1, 2, 0);
    world_deinit(&w);
}

static void test_a_node_that_is_down_is_not_waited_for(void **state)
{
    struct world w;

    (void)state;
    world_with_key(&w, 2);
    control_heard(w.control, &w.nodes[1], CONTROL_LEFT, w.now);
    begin_by_period(&w);
    says(&w, 0, 1, 2);
    assert_keys(&w, 2, 2, 1);
    world_deinit(&w);
}

static void test_a_removed_node_is_locked_out_at_once(void **state)
{
    struct world w;

    (void)state;
    world_with_key(&w, 3);
    remove_node(&w, 2);
    assert_keys(&w, 2, 1, 2);
    says(&w, 0, 1, 2);
    says(&w, 1, 1, 2);
    says(&w, 0, 2, 2);
    says(&w, 1, 2, 2);
    assert_keys(&w, 1, 2, 0);
    world_advance(&w, HOUR);
    (void)world_settle(&w);
    assert_keys(&w, 1, 2, 0); /* once is enough */
    world_deinit(&w);
}

static void test_a_key_that_a_removed_node_may_have_is_never_used(void **state)
{
    struct world w;
    uint8_t known[32];

    (void)state;
    world_with_key(&w, 3);
    begin_by_period(&w);
    memcpy(known, cluster_of(&w)->gossip_keys.items[1].key.ptr, sizeof(known));
    remove_node(&w, 2);
    assert_keys(&w, 2, 1, 3); /* 2 has gone without having been used */
    assert_memory_not_equal(cluster_of(&w)->gossip_keys.items[1].key.ptr, known, sizeof(known));
    says(&w, 0, 1, 2); /* what they said of key 2 does not count for 3 */
    says(&w, 1, 1, 2);
    assert_keys(&w, 2, 1, 3);
    world_deinit(&w);
}

static void test_a_node_removed_while_keys_settle_begins_the_next_rotation(void **state)
{
    struct world w;

    (void)state;
    world_with_key(&w, 3);
    begin_by_period(&w);
    for (size_t i = 0; i < 3; i++)
        says(&w, i, 1, 2);
    assert_keys(&w, 2, 2, 1);
    remove_node(&w, 2);
    says(&w, 0, 2, 2);
    says(&w, 1, 2, 2);
    assert_keys(&w, 2, 2, 3); /* 1 was dropped, and 3 follows without a pause */
    world_deinit(&w);
}

static void test_a_new_leader_goes_on_and_waits_anew(void **state)
{
    struct world w;

    (void)state;
    world_with_key(&w, 2);
    begin_by_period(&w);
    world_advance(&w, (int64_t)GOSSIP_KEY_WAIT_NS - SECOND);
    (void)world_settle(&w);
    control_stop(w.control);
    control_start(w.control, w.store, w.now);
    for (size_t i = 0; i < 2; i++)
        control_heard(w.control, &w.nodes[i], CONTROL_ALIVE, w.now);
    world_advance(&w, SECOND);
    (void)world_settle(&w);
    assert_keys(&w, 2, 1, 2);
    says(&w, 0, 1, 2);
    says(&w, 1, 1, 2);
    assert_keys(&w, 2, 2, 1);
    world_deinit(&w);
}

/* An agent that is slow, or lies, cannot make keys that do not exist count. */
static void test_reports_of_older_and_newer_keys_are_no_steps(void **state)
{
    struct world w;

    (void)state;
    world_with_key(&w, 2);
    says(&w, 1, 9, 9);
    assert_keys(&w, 1, 1, 0);
    begin_by_period(&w);
    says(&w, 0, 1, 1);
    assert_keys(&w, 2, 1, 2);
    world_deinit(&w);
}

static void test_a_clock_that_was_set_back_does_not_stop_rotation(void **state)
{
    struct world w;

    (void)state;
    world_with_key(&w, 1);
    w.now.wall -= 30 * 24 * HOUR;
    control_reset(w.control);
    (void)world_settle(&w);
    assert_keys(&w, 2, 1, 2);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_given_out_used_and_then_alone),
        cmocka_unit_test(test_the_deadline_is_when_the_period_ends),
        cmocka_unit_test(test_a_node_that_does_not_answer_holds_nobody_up_for_long),
        cmocka_unit_test(test_a_node_that_is_down_is_not_waited_for),
        cmocka_unit_test(test_a_removed_node_is_locked_out_at_once),
        cmocka_unit_test(test_a_key_that_a_removed_node_may_have_is_never_used),
        cmocka_unit_test(test_a_node_removed_while_keys_settle_begins_the_next_rotation),
        cmocka_unit_test(test_a_new_leader_goes_on_and_waits_anew),
        cmocka_unit_test(test_reports_of_older_and_newer_keys_are_no_steps),
        cmocka_unit_test(test_a_clock_that_was_set_back_does_not_stop_rotation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
