/* What the managers decide about services and nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "tests/unit/node_control/support_cluster.h"

static void test_one_plan_assigns_all_replicas(void **state)
{
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 3);
    web = world_service(&w, "web", 6);
    assert_int_equal(world_settle(&w), 1);
    assert_int_equal(world_count(&w, &web, TASK_ASSIGNED), 6);
    for (size_t i = 0; i < 3; i++) {
        struct store_iter it;
        size_t on_node = 0;

        STORE_EACH_OF_NODE(&it, w.store, &w.nodes[i], t)
        on_node++;
        assert_int_equal(on_node, 2);
    }
    world_agents(&w);
    assert_int_equal(world_count(&w, &web, TASK_RUNNING), 6);
    assert_int_equal(world_settle(&w), 0); /* nothing to do: nothing is written */
    world_deinit(&w);
}

static void test_a_failed_task_is_tried_again_after_its_delay(void **state)
{
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 2);
    web = world_service(&w, "web", 1);
    (void)world_settle(&w);
    world_agents(&w);
    world_report(&w, world_task(&w, &web, 1), TASK_FAILED, 1);
    (void)world_settle(&w);
    world_agents(&w);
    assert_int_equal(world_count(&w, &web, TASK_READY), 1); /* prepared, and waiting */
    world_advance(&w, 5 * SECOND);
    (void)world_settle(&w);
    world_agents(&w);
    assert_int_equal(world_count(&w, &web, TASK_RUNNING), 1);
    assert_int_equal(world_count(&w, &web, TASK_FAILED), 1); /* history */
    world_deinit(&w);
}

static void test_tasks_of_a_dead_node_are_replaced_at_once(void **state)
{
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 3);
    web = world_service(&w, "web", 6);
    (void)world_settle(&w);
    world_agents(&w);
    control_heard(w.control, &w.nodes[2], CONTROL_UNREACHABLE, w.now);
    (void)world_settle(&w);
    world_agents(&w);
    assert_int_equal(store_node(w.store, &w.nodes[2])->status.state, NODE_DOWN);
    for (uint64_t slot = 1; slot <= 6; slot++) {
        const struct task *t = world_task(&w, &web, slot);

        assert_non_null(t);
        assert_int_equal(t->status.state, TASK_RUNNING);
        assert_false(id_equal(&t->node_id, &w.nodes[2]));
    }
    world_deinit(&w);
}

static void test_a_service_that_waits_is_not_forgotten_over_others(void **state)
{
    struct control_output out;
    struct world w;
    struct id waits;

    (void)state;
    world_init(&w, 2);
    waits = world_service(&w, "waits", 1);
    world_agents(&w);
    world_agents(&w);
    world_report(&w, world_task(&w, &waits, 1), TASK_FAILED, 1); /* restarted in 5 s */
    (void)world_settle(&w);
    world_agents(&w); /* its successor is prepared and waits */
    (void)world_service(&w, "other", 1);
    world_agents(&w);
    assert_int_equal(control_turn(w.control, w.store, w.now, &out), 0);
    assert_true(out.deadline_ns <= w.now.mono + 5 * NS_PER_S);
    fields_deinit(&transaction_type, &out.plan);
    world_deinit(&w);
}

static void test_drain_replaces_before_it_stops(void **state)
{
    struct world w;
    struct node_spec spec = { .availability = AVAILABILITY_DRAIN };
    struct id web;

    (void)state;
    world_init(&w, 3);
    web = world_service(&w, "web", 3);
    (void)world_settle(&w);
    world_agents(&w);
    assert_int_equal(
        world_apply(&w, admit_node_update(world_admit(&w), &w.nodes[1],
                                          store_node(w.store, &w.nodes[1])->version.index, &spec)),
        0);
    (void)world_settle(&w);
    assert_int_equal(world_count(&w, &web, TASK_RUNNING), 3); /* nobody was stopped yet */
    world_agents(&w);
    world_agents(&w);
    for (uint64_t slot = 1; slot <= 3; slot++)
        assert_false(id_equal(&world_task(&w, &web, slot)->node_id, &w.nodes[1]));
    assert_int_equal(world_count(&w, &web, TASK_RUNNING), 3);
    world_deinit(&w);
}

static size_t count_image(struct world *w, const struct id *service, const char *image)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_SERVICE(&it, w->store, service, t)
    count += t->desired_state <= TASK_RUNNING && t->status.state == TASK_RUNNING &&
             strcmp(t->spec.container->image, image) == 0;
    return count;
}

static void test_an_update_goes_place_by_place(void **state)
{
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 3);
    web = world_service(&w, "web", 4);
    (void)world_settle(&w);
    world_agents(&w);
    world_change(&w, &web, 4, "web:2", NULL);
    assert_int_equal(store_service(w.store, &web)->update_status->state, UPDATE_UPDATING);
    for (size_t done = 0; done < 40 && count_image(&w, &web, "web:2") < 4; done++) {
        assert_true(count_image(&w, &web, "web:1") + count_image(&w, &web, "web:2") >= 3);
        world_agents(&w);
    }
    assert_int_equal(count_image(&w, &web, "web:2"), 4);
    world_advance(&w, 6 * SECOND);
    (void)world_settle(&w);
    assert_int_equal(store_service(w.store, &web)->update_status->state, UPDATE_COMPLETED);
    world_deinit(&w);
}

static void test_a_failing_update_rolls_back(void **state)
{
    const struct update_config update = { .parallelism = 1, .failure_action = FAILURE_ROLLBACK };
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 3);
    web = world_service(&w, "web", 3);
    (void)world_settle(&w);
    world_agents(&w);
    world_change(&w, &web, 3, "broken:1", &update);
    for (int round = 0; round < 60; round++) {
        struct store_iter it;

        STORE_EACH_OF_SERVICE(&it, w.store, &web, t)
        if (strcmp(t->spec.container->image, "broken:1") == 0 && t->status.state >= TASK_ASSIGNED &&
            t->status.state < TASK_FAILED && t->desired_state == TASK_RUNNING)
            world_report(&w, t, TASK_FAILED, 1);
        (void)world_settle(&w);
        world_agents(&w);
        world_advance(&w, SECOND);
        (void)world_settle(&w);
    }
    assert_int_equal(store_service(w.store, &web)->update_status->state, UPDATE_ROLLBACK_COMPLETED);
    assert_int_equal(count_image(&w, &web, "web:1"), 3);
    world_deinit(&w);
}

/* In one plan: the place is taken away, and its task has just ended. */
static void test_scaling_down_takes_a_place_whose_task_has_ended(void **state)
{
    struct service_spec spec = { 0 };
    const struct service *s;
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 2);
    web = world_service(&w, "web", 2);
    (void)world_settle(&w);
    world_agents(&w);
    world_report(&w, world_task(&w, &web, 2), TASK_FAILED, 1);
    (void)world_settle(&w);
    world_agents(&w);
    world_report(&w, world_task(&w, &web, 2), TASK_FAILED, 1);
    s = store_service(w.store, &web);
    assert_int_equal(fields_copy(&service_spec_type, &s->spec, &spec), 0);
    *spec.mode.replicated->replicas = 1;
    assert_int_equal(
        world_apply(&w, admit_service_update(world_admit(&w), &web, s->version.index, &spec)), 0);
    fields_deinit(&service_spec_type, &spec);
    (void)world_settle(&w);
    world_agents(&w);
    assert_int_equal(world_live(&w, &web), 1);
    world_deinit(&w);
}

static void test_scaling_down_and_removing_leave_nothing(void **state)
{
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 2);
    web = world_service(&w, "web", 5);
    (void)world_settle(&w);
    world_agents(&w);
    assert_int_equal(world_apply(&w, admit_service_remove(world_admit(&w), &web)), 0);
    (void)world_settle(&w);
    world_agents(&w);
    world_agents(&w);
    assert_int_equal(store_count(w.store, OBJECT_TASK), 0);
    world_deinit(&w);
}

static void test_a_task_that_fits_nowhere_says_why(void **state)
{
    char constraint[] = "node.labels.zone==nowhere", *constraints[] = { constraint };
    char image[] = "web:1", name[] = "lost";
    struct placement placement = { .constraints = { .items = constraints, .count = 1 } };
    struct task_container container = { .image = image };
    struct service_spec spec = { .name = name };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 2);
    spec.task.container = &container;
    spec.task.placement = &placement;
    assert_int_equal(world_apply(&w, admit_service_create(world_admit(&w), &spec, &id)), 0);
    (void)world_settle(&w);
    assert_int_equal(world_count(&w, &id, TASK_PENDING), 1);
    assert_string_equal(world_task(&w, &id, 1)->status.err,
                        "no suitable node (scheduling constraints not satisfied on 2 nodes)");
    world_deinit(&w);
}

/* As Docker does it. There are more of them than there are pairs of words. */
static void test_a_service_without_a_name_gets_one(void **state)
{
    char image[] = "web:1", none[] = "";
    uint64_t replicas = 0;
    struct replicated replicated = { .replicas = &replicas };
    struct task_container container = { .image = image };
    struct service_spec spec = { .task.container = &container, .mode.replicated = &replicated };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 1);
    for (size_t i = 0; i < 1100; i++) {
        spec.name = i % 2 == 0 ? NULL : none;
        assert_int_equal(world_apply(&w, admit_service_create(world_admit(&w), &spec, &id)), 0);
        assert_non_null(strchr(store_service(w.store, &id)->spec.name, '_'));
    }
    spec.name = NULL; /* an update must say what it is about */
    assert_int_equal(world_apply(&w, admit_service_update(world_admit(&w), &id, w.index, &spec)),
                     ERR_INVALID);
    world_deinit(&w);
}

/* One log entry holds so many changes: what is more follows in the next ones. */
static void test_more_than_one_entry_holds_takes_more_entries(void **state)
{
    struct world w;
    struct id many, few;

    (void)state;
    world_init(&w, 3);
    many = world_service(&w, "many", CHANGES_MAX + 900);
    assert_true(world_settle(&w) > 1);
    assert_int_equal(world_count(&w, &many, TASK_ASSIGNED), CHANGES_MAX + 900);
    few = world_service(&w, "few", 2);
    (void)world_settle(&w);
    assert_int_equal(world_apply(&w, admit_service_remove(world_admit(&w), &many)), 0);
    assert_true(world_settle(&w) > 1);
    assert_int_equal(world_live(&w, &many), 0);
    world_agents(&w);
    world_agents(&w);
    assert_int_equal(store_count(w.store, OBJECT_TASK), 2);
    assert_int_equal(world_count(&w, &few, TASK_RUNNING), 2);
    world_deinit(&w);
}

/* A report is in the log when all of it is. */
static void test_a_report_that_does_not_fit_is_not_acknowledged(void **state)
{
    struct reported_list rows = { 0 };
    struct report report = { .sequence = 9 };
    struct control_output out;
    struct store_iter it;
    struct world w;
    struct id many;

    (void)state;
    world_init(&w, 1);
    many = world_service(&w, "many", CHANGES_MAX);
    (void)world_settle(&w);
    STORE_EACH_OF_SERVICE(&it, w.store, &many, t)
    {
        struct reported *row = LIST_ADD(&rows);

        assert_non_null(row);
        row->task_id = t->id;
        row->status.state = TASK_RUNNING;
        row->status.healthy = true;
    }
    report.tasks = rows;
    (void)world_service(&w, "few", 10); /* these changes come first */
    assert_int_equal(control_reported(w.control, &w.nodes[0], &report, w.now), 0);
    assert_int_equal(control_turn(w.control, w.store, w.now, &out), 0);
    assert_true(out.plan.changes.count <= CHANGES_MAX);
    world_plan(&w, &out);
    assert_int_equal(control_acknowledged(w.control, &w.nodes[0]), 0);
    (void)world_settle(&w);
    assert_int_equal(control_acknowledged(w.control, &w.nodes[0]), 9);
    assert_int_equal(world_count(&w, &many, TASK_RUNNING), CHANGES_MAX);
    fields_deinit(&report_type, &report);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_plan_assigns_all_replicas),
        cmocka_unit_test(test_a_failed_task_is_tried_again_after_its_delay),
        cmocka_unit_test(test_tasks_of_a_dead_node_are_replaced_at_once),
        cmocka_unit_test(test_a_service_that_waits_is_not_forgotten_over_others),
        cmocka_unit_test(test_drain_replaces_before_it_stops),
        cmocka_unit_test(test_an_update_goes_place_by_place),
        cmocka_unit_test(test_a_failing_update_rolls_back),
        cmocka_unit_test(test_scaling_down_takes_a_place_whose_task_has_ended),
        cmocka_unit_test(test_scaling_down_and_removing_leave_nothing),
        cmocka_unit_test(test_a_task_that_fits_nowhere_says_why),
        cmocka_unit_test(test_a_service_without_a_name_gets_one),
        cmocka_unit_test(test_more_than_one_entry_holds_takes_more_entries),
        cmocka_unit_test(test_a_report_that_does_not_fit_is_not_acknowledged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
