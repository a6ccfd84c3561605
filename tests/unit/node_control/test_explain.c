/* What `service why` answers, case by case. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"
#include "tests/unit/node_control/support_explain.h"

#define ALL_MEMORY (INT64_C(8) << 30) /* of a node of the world */

static struct id create_global(struct world *w, struct task_spec task)
{
    struct global global = { 0 };
    char image[] = "web:1", name[] = "everywhere";
    struct task_container container = { .image = image };
    struct service_spec spec = { .name = name, .task = task, .mode.global = &global };
    struct id id;

    spec.task.container = &container;
    assert_int_equal(world_apply(w, admit_service_create(world_admit(w), &spec, &id)), 0);
    (void)world_settle(w);
    return id;
}

static void set_node(struct world *w, size_t i, enum availability availability)
{
    const struct node *n = store_node(w->store, &w->nodes[i]);
    struct node_spec spec = { .availability = availability, .role = n->spec.role };

    assert_int_equal(
        world_apply(w, admit_node_update(world_admit(w), &n->id, n->version.index, &spec)), 0);
    (void)world_settle(w);
}

static void lose_node(struct world *w, size_t i)
{
    control_heard(w->control, &w->nodes[i], CONTROL_UNREACHABLE, w->now);
    (void)world_settle(w);
}

/* --- Placement */

static void test_a_service_that_runs(void **state)
{
    struct world w;
    struct id web, nobody = { "" };
    struct service_why why;

    (void)state;
    world_init(&w, 2);
    web = world_create(&w, "web", 3, (struct task_spec){ 0 }, NULL);
    run_all(&w);
    assert_as_desired(&w, &web);
    assert_int_equal(explain_service(w.store, w.now.wall, &nobody, &why), ERR_NOT_FOUND);
    world_deinit(&w);
}

static void test_each_filter_says_what_it_refuses(void **state)
{
    char nowhere[] = "node.labels.zone==nowhere", *constraints[] = { nowhere };
    char arch[] = "pdp11";
    struct platform platform = { .architecture = arch };
    struct resources much = { .memory_bytes = ALL_MEMORY + (INT64_C(1) << 29) };
    struct resources many = { .nano_cpus = 900 * SECOND };
    struct resource_requirements memory = { .reservations = &much },
                                 cpus = { .reservations = &many };
    struct placement constrained = { .constraints = { constraints, 1 } };
    struct placement foreign = { .platforms = { &platform, 1 } };
    const struct {
        struct task_spec task;
        enum why_filter_kind kind;
        const char *message;
    } rows[] = {
        { { .resources = &memory },
          WHY_FILTER_MEMORY,
          "no suitable node: not enough memory on 1: reserves 8.5 GiB, at most 8 GiB is free (on "
          "h1)" },
        { { .resources = &cpus },
          WHY_FILTER_CPU,
          "no suitable node: not enough CPUs on 1: reserves 900, at most 4 is free (on h1)" },
        { { .placement = &constrained },
          WHY_FILTER_CONSTRAINT,
          "no suitable node: constraint node.labels.zone==nowhere refused 1 of 1 (such as h1)" },
        { { .placement = &foreign },
          WHY_FILTER_PLATFORM,
          "no suitable node: the image is not for the platform of 1 of 1 (h1 is unknown, wanted is "
          "pdp11)" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct service_why why;
        struct id id;

        world_init(&w, 1);
        id = world_create(&w, "lost", 1, rows[i].task, NULL);
        assert_why(&w, &id, WHY_NO_SUITABLE_NODE, rows[i].message);
        why = explain(&w, &id);
        assert_false(why.as_desired);
        assert_string_equal(why.message, "1 of 1 tasks is not as it should be");
        assert_int_equal(why.places.count, 1);
        assert_int_equal(why.places.items[0].slot, 1);
        assert_int_equal(why.places.items[0].filters.count, 1);
        assert_int_equal(why.places.items[0].filters.items[0].kind, rows[i].kind);
        assert_int_equal(why.places.items[0].filters.items[0].nodes, 1);
        fields_deinit(&service_why_type, &why);
        world_deinit(&w);
    }
}

static void test_nodes_that_take_no_tasks(void **state)
{
    struct world w;
    struct service_why why;
    const struct why_filter_list *filters;
    struct id id;

    (void)state;
    world_init(&w, 4);
    set_node(&w, 0, AVAILABILITY_DRAIN);
    set_node(&w, 1, AVAILABILITY_DRAIN);
    set_node(&w, 2, AVAILABILITY_PAUSE);
    lose_node(&w, 3);
    id = world_create(&w, "lost", 1, (struct task_spec){ 0 }, NULL);
    why = explain(&w, &id);
    filters = &why.places.items[0].filters;
    assert_int_equal(filters->count, 3); /* what refuses most comes first */
    assert_string_equal(filters->items[0].message, filters->items[0].node[1] == '1'
                                                       ? "2 of 4 are drained (such as h1)"
                                                       : "2 of 4 are drained (such as h2)");
    assert_string_equal(filters->items[1].message, "1 of 4 is down (such as h4)");
    assert_string_equal(filters->items[2].message, "1 of 4 is paused (such as h3)");
    fields_deinit(&service_why_type, &why);
    world_deinit(&w);
}

static void test_the_node_with_most_memory_is_the_example(void **state)
{
    struct resources half = { .memory_bytes = ALL_MEMORY / 2 },
                     all = { .memory_bytes = ALL_MEMORY };
    struct resource_requirements first = { .reservations = &half },
                                 second = { .reservations = &all };
    const struct why_filter *f;
    struct service_why why;
    struct world w;
    struct id id, filler;

    (void)state;
    world_init(&w, 2);
    filler = world_create(&w, "filler", 3, (struct task_spec){ .resources = &first }, NULL);
    assert_int_equal(world_count(&w, &filler, TASK_ASSIGNED), 3);
    id = world_create(&w, "large", 1, (struct task_spec){ .resources = &second }, NULL);
    why = explain(&w, &id);
    f = &why.places.items[0].filters.items[0];
    assert_int_equal(f->wanted, ALL_MEMORY);
    assert_int_equal(f->left, ALL_MEMORY / 2);
    assert_int_equal(f->nodes, 2);
    fields_deinit(&service_why_type, &why);
    world_deinit(&w);
}

static void test_ports_and_replicas_per_node(void **state)
{
    struct placement one = { .max_replicas = 1 };
    struct port port = { .target_port = 80, .published_port = 8080, .publish_mode = PUBLISH_HOST };
    struct endpoint_spec endpoint = { .ports = { &port, 1 } };
    struct world w;
    struct id spread, late;

    (void)state;
    world_init(&w, 1);
    spread = world_create(&w, "spread", 2, (struct task_spec){ .placement = &one }, NULL);
    (void)world_create(&w, "open", 1, (struct task_spec){ 0 }, &endpoint);
    late = world_create(&w, "late", 1, (struct task_spec){ 0 }, &endpoint);
    run_all(&w);
    assert_why(&w, &spread, WHY_NO_SUITABLE_NODE,
               "no suitable node: 1 of 1 already runs the most that a node may have, 1 (such as "
               "h1)");
    assert_why(&w, &late, WHY_NO_SUITABLE_NODE,
               "no suitable node: port 8080 of the host is taken on 1 of 1 (on h1 by service "
               "open)");
    world_deinit(&w);
}

static void test_a_global_service_that_no_node_suits(void **state)
{
    char nowhere[] = "node.hostname==h9", *constraints[] = { nowhere };
    struct placement constrained = { .constraints = { constraints, 1 } };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 1);
    id = create_global(&w, (struct task_spec){ .placement = &constrained });
    assert_why(&w, &id, WHY_NO_SUITABLE_NODE,
               "no suitable node: constraint node.hostname==h9 refused 1 of 1 (such as h1)");
    world_deinit(&w);
}

static void test_many_places_are_counted(void **state)
{
    struct resources much = { .memory_bytes = ALL_MEMORY + 1 };
    struct resource_requirements memory = { .reservations = &much };
    struct world w;
    struct service_why why;
    struct id id;

    (void)state;
    world_init(&w, 2);
    id = world_create(&w, "many", WHY_PLACES_MAX + 7, (struct task_spec){ .resources = &memory },
                      NULL);
    why = explain(&w, &id);
    assert_int_equal(why.places.count, WHY_PLACES_MAX);
    assert_int_equal(why.places_left_out, 7);
    for (size_t i = 1; i < why.places.count; i++) { /* all say the same */
        assert_int_equal(why.places.items[i].code, WHY_NO_SUITABLE_NODE);
        assert_int_equal(why.places.items[i].filters.count, 1);
        assert_string_equal(why.places.items[i].message, why.places.items[0].message);
    }
    fields_deinit(&service_why_type, &why);
    world_deinit(&w);
}

/* --- What ended */

static void test_a_failed_task_waits(void **state)
{
    uint64_t attempts = 5;
    struct restart_policy policy = { .condition = RESTART_ANY, .max_attempts = &attempts };
    struct world w;
    struct service_why why;
    struct id web;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 1, (struct task_spec){ .restart = &policy }, NULL);
    run_all(&w);
    report(&w, world_task(&w, &web, 1), TASK_FAILED, "non-zero exit (3)");
    run_all(&w); /* its successor is prepared */
    world_advance(&w, 2 * SECOND);
    assert_why(&w, &web, WHY_BACKS_OFF,
               "non-zero exit (3); it is tried again in 3s (attempt 1, 4 more after that)");
    why = explain(&w, &web);
    assert_int_equal(why.places.items[0].until, w.now.wall + 3 * SECOND);
    assert_int_equal(*why.places.items[0].attempts_left, 4);
    fields_deinit(&service_why_type, &why);
    world_advance(&w, 3 * SECOND);
    (void)world_settle(&w);
    run_all(&w);
    assert_as_desired(&w, &web);
    world_deinit(&w);
}

static void test_a_missing_image(void **state)
{
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 1, (struct task_spec){ 0 }, NULL);
    report(&w, world_task(&w, &web, 1), TASK_REJECTED, "No such image: web:1");
    assert_why(&w, &web, WHY_IMAGE_MISSING,
               "No such image: web:1; it is tried again in 5s (attempt 1)");
    world_advance(&w, 5 * SECOND);
    (void)world_settle(&w);
    report(&w, world_task(&w, &web, 1), TASK_PREPARING, NULL);
    world_advance(&w, 7 * SECOND);
    assert_why(&w, &web, WHY_WAITS_FOR_NODE,
               "waits on h1 to be prepared: image, networks, volumes, since 7s; the task before it "
               "said: No such image: web:1");
    world_deinit(&w);
}

/* A node tries what may pass several times before it gives a task up, and says what it met. */
static void test_a_node_that_tries_again_says_what_it_met(void **state)
{
    struct world w;
    struct id web;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 1, (struct task_spec){ 0 }, NULL);
    report(&w, world_task(&w, &web, 1), TASK_PREPARING, "No such image: web:1");
    world_advance(&w, 7 * SECOND);
    assert_why(&w, &web, WHY_IMAGE_MISSING, "h1 keeps trying, since 7s: No such image: web:1");
    report(&w, world_task(&w, &web, 1), TASK_PREPARING, "no room on the disk");
    assert_why(&w, &web, WHY_WAITS_FOR_NODE, "h1 keeps trying, since 1s: no room on the disk");
    world_deinit(&w);
}

static void test_what_is_given_up(void **state)
{
    uint64_t attempts = 1;
    struct restart_policy none = { .condition = RESTART_NONE };
    struct restart_policy once = { .condition = RESTART_ON_FAILURE, .max_attempts = &attempts };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 1);
    id = world_create(&w, "none", 1, (struct task_spec){ .restart = &none }, NULL);
    run_all(&w);
    report(&w, world_task(&w, &id, 1), TASK_FAILED, "killed");
    assert_why(&w, &id, WHY_GIVEN_UP,
               "the task has ended (killed) and is not restarted: the restart condition is none");
    id = world_create(&w, "once", 1, (struct task_spec){ .restart = &once }, NULL);
    for (int i = 0; i < 2; i++) {
        world_advance(&w, 5 * SECOND);
        (void)world_settle(&w);
        run_all(&w);
        report(&w, world_task(&w, &id, 1), TASK_FAILED, "killed");
    }
    assert_why(&w, &id, WHY_GIVEN_UP,
               "killed; all 1 attempts to restart it are used up: change the service");
    world_deinit(&w);
}

static void test_a_task_that_is_lost_with_its_node(void **state)
{
    struct world w;
    struct service_why why;
    struct id web, all;
    size_t lost;

    (void)state;
    world_init(&w, 2);
    web = world_create(&w, "web", 1, (struct task_spec){ 0 }, NULL);
    all = create_global(&w, (struct task_spec){ 0 });
    run_all(&w);
    lost = id_equal(&world_task(&w, &web, 1)->node_id, &w.nodes[1]) ? 1 : 0;
    lose_node(&w, lost);
    world_advance(&w, 4 * SECOND);
    why = explain(&w, &web);
    assert_int_equal(why.places.count, 1);
    assert_int_equal(why.places.items[0].code, WHY_NODE_LOST);
    assert_string_equal(why.places.items[0].message,
                        lost == 1 ? "waits on h1 to be accepted, since 4s; it replaces the task "
                                    "that was lost with h2"
                                  : "waits on h2 to be accepted, since 4s; it replaces the task "
                                    "that was lost with h1");
    fields_deinit(&service_why_type, &why);
    assert_why(&w, &all, WHY_NODE_LOST,
               lost == 1 ? "h2 is down (the node does not answer): the task waits for the node to "
                           "come back"
                         : "h1 is down (the node does not answer): the task waits for the node to "
                           "come back");
    world_deinit(&w);
}

/* --- Addresses */

static void test_a_network_that_is_full(void **state)
{
    char name[] = "small", subnet[] = "10.9.0.0/29";
    struct subnet_config config = { .subnet = subnet };
    struct ipam_options ipam = { .configs = { &config, 1 } };
    struct network_spec spec = { .name = name, .ipam = &ipam };
    struct network_target target = { .target = name };
    struct world w;
    struct service_why why;
    struct id network, id;

    (void)state;
    world_init(&w, 1);
    assert_int_equal(world_apply(&w, admit_network_create(world_admit(&w), &spec, &network)), 0);
    (void)world_settle(&w);
    id = world_create(&w, "crowd", 6, (struct task_spec){ .networks = { &target, 1 } }, NULL);
    run_all(&w);
    why = explain(&w, &id);
    assert_true(why.places.count > 0 && why.places.count < 6);
    assert_int_equal(why.places.items[0].code, WHY_NO_FREE_ADDRESS);
    assert_memory_equal(why.places.items[0].message, "no address is to be had: ", 25);
    fields_deinit(&service_why_type, &why);
    world_deinit(&w);
}

static void test_no_port_is_left_to_publish(void **state)
{
    static struct port ports[1000];
    struct endpoint_spec endpoint = { .ports = { ports, ARRAY_LEN(ports) } };
    struct world w;
    struct id id;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ports); i++)
        ports[i] = (struct port){ .target_port = (uint32_t)i + 1 };
    world_init(&w, 1);
    (void)world_create(&w, "first", 1, (struct task_spec){ 0 }, &endpoint);
    (void)world_create(&w, "second", 1, (struct task_spec){ 0 }, &endpoint);
    id = world_create(&w, "third", 1, (struct task_spec){ 0 }, &endpoint);
    assert_why(&w, &id, WHY_NO_FREE_PORT,
               "no port is left to publish: no published port between 30000 and 32767 is free");
    world_deinit(&w);
}

/* --- The rest */

static void test_memory_that_runs_out_is_an_error(void **state)
{
    char nowhere[] = "node.labels.zone==nowhere", *constraints[] = { nowhere };
    struct placement constrained = { .constraints = { constraints, 1 } };
    struct service_why why;
    struct world w;
    struct id id;
    unsigned n = 0;
    bool failed;

    (void)state;
    world_init(&w, 2);
    id = world_create(&w, "lost", 2, (struct task_spec){ .placement = &constrained }, NULL);
    do {
        int rc;

        oom_fail_at(++n);
        rc = explain_service(w.store, w.now.wall, &id, &why);
        failed = oom_has_failed();
        assert_int_equal(rc, failed ? -ENOMEM : 0);
    } while (failed);
    fields_deinit(&service_why_type, &why);
    assert_true(n > 10);
    world_deinit(&w);
}

/* A node's own words are cut between characters: the answer is JSON. */
static void test_long_errors_stay_text(void **state)
{
    char err[2 * 1024];
    struct world w;
    struct service_why why;
    json_t *json;
    struct id web;

    (void)state;
    world_init(&w, 1);
    web = world_create(&w, "web", 1, (struct task_spec){ 0 }, NULL);
    for (size_t offset = 0; offset < 3; offset++) {
        memset(err, 'x', sizeof(err));
        for (size_t i = offset; i + 3 < sizeof(err); i += 3)
            memcpy(err + i, "\xe2\x82\xac", 3);
        err[offset + 3 * 600] = '\0';
        report(&w, world_task(&w, &web, 1), TASK_REJECTED, err);
        why = explain(&w, &web);
        assert_int_equal(fields_to_json(&service_why_type, &why, FIELDS_JSON_PLAIN, &json), 0);
        json_decref(json);
        fields_deinit(&service_why_type, &why);
        world_advance(&w, 400 * SECOND);
        (void)world_settle(&w);
    }
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_service_that_runs),
        cmocka_unit_test(test_each_filter_says_what_it_refuses),
        cmocka_unit_test(test_nodes_that_take_no_tasks),
        cmocka_unit_test(test_the_node_with_most_memory_is_the_example),
        cmocka_unit_test(test_ports_and_replicas_per_node),
        cmocka_unit_test(test_a_global_service_that_no_node_suits),
        cmocka_unit_test(test_many_places_are_counted),
        cmocka_unit_test(test_a_failed_task_waits),
        cmocka_unit_test(test_a_missing_image),
        cmocka_unit_test(test_a_node_that_tries_again_says_what_it_met),
        cmocka_unit_test(test_what_is_given_up),
        cmocka_unit_test(test_a_task_that_is_lost_with_its_node),
        cmocka_unit_test(test_a_network_that_is_full),
        cmocka_unit_test(test_no_port_is_left_to_publish),
        cmocka_unit_test(test_memory_that_runs_out_is_an_error),
        cmocka_unit_test(test_long_errors_stay_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
