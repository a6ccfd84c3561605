/* The end of a rotation of the root: nobody may be locked out by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "tests/unit/node_control/support_cluster.h"

static const struct cluster *cluster_of(const struct world *w)
{
    return store_the_cluster(w->store);
}

/* Node `i` says that root `number` has signed its certificate. */
static void says(struct world *w, size_t i, uint8_t number)
{
    struct node_description d;
    struct report report = { .description = &d };

    assert_int_equal(
        fields_copy(&node_description_type, &store_node(w->store, &w->nodes[i])->description, &d),
        0);
    memset(d.issuer, number, sizeof(d.issuer));
    assert_int_equal(control_reported(w->control, &w->nodes[i], &report, w->now), 0);
    fields_deinit(&node_description_type, &d);
    (void)world_settle(w);
}

static int rotate(struct world *w, uint8_t number, uint64_t version)
{
    uint8_t signature[64] = { number }, secret[32] = { number };
    struct ca_root root = { .secret_key = { secret, sizeof(secret) },
                            .cross_signature = { signature, sizeof(signature) } };
    struct cluster_spec spec = { .ca = { .force_rotate = number } };
    int rc;

    memset(root.public_key, number, sizeof(root.public_key));
    rc = world_apply(w, admit_root_rotate(world_admit(w), version, &spec, &root));
    (void)world_settle(w);
    return rc;
}

static uint64_t version_of(const struct world *w)
{
    return cluster_of(w)->version.index;
}

/* Root 1, as init makes it. */
static void world_with_root(struct world *w, size_t nodes)
{
    struct transaction t = { 0 };
    struct store_changes changes;
    struct field_error why;
    struct ca_root *root;
    struct cluster copy;

    world_init(w, nodes);
    assert_int_equal(fields_copy(&cluster_type, cluster_of(w), &copy), 0);
    root = LIST_ADD(&copy.roots);
    assert_non_null(root);
    memset(root->public_key, 1, sizeof(root->public_key));
    assert_int_equal(
        transaction_update(&t, OBJECT_CLUSTER, (const struct object *)(const void *)&copy), 0);
    assert_int_equal(store_apply(w->store, ++w->index, &t, &changes, &why), 0);
    control_changed(w->control, &changes);
    fields_deinit(&transaction_type, &t);
    fields_deinit(&cluster_type, &copy);
    for (size_t i = 0; i < nodes; i++)
        says(w, i, 1);
}

static void assert_roots(const struct world *w, size_t count, uint8_t newest)
{
    const struct ca_root_list *roots = &cluster_of(w)->roots;

    assert_int_equal(roots->count, count);
    assert_int_equal(roots->items[0].public_key[0], newest);
}

static void test_the_old_root_goes_when_every_node_has_renewed(void **state)
{
    struct world w;

    (void)state;
    world_with_root(&w, 3);
    assert_int_equal(rotate(&w, 2, version_of(&w)), 0);
    assert_roots(&w, 2, 2);
    assert_int_equal(cluster_of(&w)->spec.ca.force_rotate, 2);
    assert_int_equal(cluster_of(&w)->roots.items[1].public_key[0], 1);
    says(&w, 0, 2);
    says(&w, 1, 2);
    assert_roots(&w, 2, 2);
    says(&w, 2, 2);
    assert_roots(&w, 1, 2);
    world_deinit(&w);
}

static void test_a_node_that_is_away_holds_the_end_up_until_it_is_removed(void **state)
{
    struct world w;

    (void)state;
    world_with_root(&w, 3);
    control_heard(w.control, &w.nodes[2], CONTROL_LEFT, w.now);
    assert_int_equal(rotate(&w, 2, version_of(&w)), 0);
    says(&w, 0, 2);
    says(&w, 1, 2);
    world_advance(&w, INT64_C(365) * 24 * 3600 * SECOND);
    (void)world_settle(&w);
    assert_roots(&w, 2, 2);
    assert_int_equal(
        world_apply(&w, admit_node_remove(world_admit(&w), &w.nodes[2], ADMIT_CAREFUL)), 0);
    (void)world_settle(&w);
    assert_roots(&w, 1, 2);
    world_deinit(&w);
}

static void test_a_new_leader_ends_what_the_old_one_saw_begin(void **state)
{
    struct world w;

    (void)state;
    world_with_root(&w, 2);
    assert_int_equal(rotate(&w, 2, version_of(&w)), 0);
    says(&w, 0, 2);
    control_stop(w.control);
    control_start(w.control, w.store, w.now);
    for (size_t i = 0; i < 2; i++)
        control_heard(w.control, &w.nodes[i], CONTROL_ALIVE, w.now);
    says(&w, 1, 2);
    assert_roots(&w, 1, 2);
    world_deinit(&w);
}

static void test_a_request_that_is_repeated_rotates_once(void **state)
{
    struct world w;
    uint64_t version;

    (void)state;
    world_with_root(&w, 1);
    version = version_of(&w);
    assert_int_equal(rotate(&w, 2, version), 0);
    assert_int_equal(rotate(&w, 2, version), ERR_STALE);
    assert_roots(&w, 2, 2);
    world_deinit(&w);
}

static void test_a_node_may_not_go_back_to_an_older_root_and_end_it(void **state)
{
    struct world w;

    (void)state;
    world_with_root(&w, 2);
    assert_int_equal(rotate(&w, 2, version_of(&w)), 0);
    says(&w, 0, 2);
    says(&w, 0, 1); /* restored from a backup: it counts as it is */
    says(&w, 1, 2);
    assert_roots(&w, 2, 2);
    world_deinit(&w);
}

static void test_rotations_pile_up_to_the_limit_and_end_together(void **state)
{
    struct world w;

    (void)state;
    world_with_root(&w, 1);
    for (uint8_t number = 2; number <= CLUSTER_ROOTS_MAX; number++)
        assert_int_equal(rotate(&w, number, version_of(&w)), 0);
    assert_int_equal(rotate(&w, 9, version_of(&w)), ERR_UNAVAILABLE);
    assert_non_null(strstr(world_error.text, "3 rotations"));
    says(&w, 0, 2); /* the newest counts, not one in between */
    assert_roots(&w, CLUSTER_ROOTS_MAX, CLUSTER_ROOTS_MAX);
    says(&w, 0, CLUSTER_ROOTS_MAX);
    assert_roots(&w, 1, CLUSTER_ROOTS_MAX);
    world_deinit(&w);
}

static void test_a_root_without_a_signature_is_refused(void **state)
{
    struct cluster_spec spec = { .ca = { .force_rotate = 1 } };
    struct ca_root root = { .public_key = { 7 } };
    struct world w;

    (void)state;
    world_with_root(&w, 1);
    assert_int_equal(
        world_apply(&w, admit_root_rotate(world_admit(&w), version_of(&w), &spec, &root)),
        ERR_INVALID);
    assert_roots(&w, 1, 1);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_old_root_goes_when_every_node_has_renewed),
        cmocka_unit_test(test_a_node_that_is_away_holds_the_end_up_until_it_is_removed),
        cmocka_unit_test(test_a_new_leader_ends_what_the_old_one_saw_begin),
        cmocka_unit_test(test_a_request_that_is_repeated_rotates_once),
        cmocka_unit_test(test_a_node_may_not_go_back_to_an_older_root_and_end_it),
        cmocka_unit_test(test_rotations_pile_up_to_the_limit_and_end_together),
        cmocka_unit_test(test_a_root_without_a_signature_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
