/* What `service why` answers while a service changes: fewer replicas, updates and their ends. */
#include "tests/support/unit.h"
#include "tests/unit/node_control/support_explain.h"

static void test_scaled_to_zero(void **state)
{
    struct world w;
    struct service_why why;
    struct id web;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 2, (struct task_spec){ 0 }, NULL);
    run_all(&w);
    world_change(&w, &web, 0, "web:1", NULL);
    why = explain(&w, &web);
    assert_false(why.as_desired);
    assert_int_equal(why.reasons.items[1].code, WHY_STOPPING);
    assert_string_equal(why.reasons.items[1].message, "2 tasks are still to stop (such as one on "
                                                      "h1)");
    fields_deinit(&service_why_type, &why);
    run_all(&w);
    why = explain(&w, &web);
    assert_true(why.as_desired);
    assert_int_equal(why.reasons.count, 1);
    assert_int_equal(why.reasons.items[0].code, WHY_SCALED_TO_ZERO);
    fields_deinit(&service_why_type, &why);
    world_deinit(&w);
}

static void test_an_update_on_its_way(void **state)
{
    struct world w;
    struct id web;
    struct service_why why;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 2, (struct task_spec){ 0 }, NULL);
    run_all(&w);
    world_change(&w, &web, 2, "web:2", NULL);
    why = explain(&w, &web);
    assert_int_equal(why.reasons.items[0].code, WHY_UPDATING);
    assert_string_equal(why.reasons.items[0].message,
                        "the update goes on (update in progress): of 2 tasks 1 wait for their turn,"
                        " and of those replaced 1 have yet to prove themselves");
    assert_int_equal(why.places.count, 2);
    assert_int_equal(why.places.items[0].code, WHY_WAITS_FOR_PREDECESSOR);
    assert_string_equal(why.places.items[1].message,
                        "runs on h1 with the spec of before; it is replaced when its turn comes");
    fields_deinit(&service_why_type, &why);
    for (int i = 0; i < 8; i++)
        world_agents(&w);
    assert_why(&w, &web, WHY_UPDATE_MONITORED,
               "every task is replaced; a failure within the next 5s still counts against the "
               "update");
    world_advance(&w, 6 * SECOND);
    (void)world_settle(&w);
    assert_as_desired(&w, &web);
    world_deinit(&w);
}

/* The new spec's tasks fail until the update gives up and all is at rest. */
static void fail_update(struct world *w, const struct id *web, enum failure_action action)
{
    const struct update_config update = { .parallelism = 1, .failure_action = action };

    world_change(w, web, 2, "broken:1", &update);
    for (int round = 0; round < 30; round++) {
        struct store_iter it;

        STORE_EACH_OF_SERVICE(&it, w->store, web, t)
        if (strcmp(t->spec.container->image, "broken:1") == 0 && t->status.state >= TASK_ASSIGNED &&
            t->status.state < TASK_FAILED && t->desired_state == TASK_RUNNING) {
            report(w, t, TASK_FAILED, "it is broken");
            break;
        }
        world_agents(w);
        world_advance(w, SECOND);
        (void)world_settle(w);
    }
}

static void test_an_update_that_is_rolled_back(void **state)
{
    struct world w;
    struct service_why why;
    struct id web;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 2, (struct task_spec){ 0 }, NULL);
    run_all(&w);
    fail_update(&w, &web, FAILURE_ROLLBACK);
    why = explain(&w, &web);
    assert_true(why.as_desired);
    assert_int_equal(why.reasons.count, 1);
    assert_int_equal(why.reasons.items[0].code, WHY_ROLLED_BACK);
    assert_string_equal(
        why.reasons.items[0].message,
        "the update was rolled back after 1 failed task; the last said: it is broken");
    fields_deinit(&service_why_type, &why);
    world_deinit(&w);
}

static void test_an_update_that_is_paused(void **state)
{
    struct world w;
    struct service_why why;
    struct id web;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 2, (struct task_spec){ 0 }, NULL);
    run_all(&w);
    fail_update(&w, &web, FAILURE_PAUSE);
    why = explain(&w, &web);
    assert_false(why.as_desired);
    assert_int_equal(why.reasons.items[0].code, WHY_UPDATE_PAUSED);
    assert_string_equal(why.reasons.items[0].message,
                        "the update is paused (update paused due to failure or early termination "
                        "of task (1 of 2)): change the service, or roll it back");
    assert_int_equal(why.places.items[why.places.count - 1].code, WHY_OUTDATED);
    fields_deinit(&service_why_type, &why);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scaled_to_zero),
        cmocka_unit_test(test_an_update_on_its_way),
        cmocka_unit_test(test_an_update_that_is_rolled_back),
        cmocka_unit_test(test_an_update_that_is_paused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
