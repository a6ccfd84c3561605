/* Where tasks go, and what is said of one that fits nowhere: Docker's words. */
#include <stdlib.h>

#include "base/err.h"
#include "tests/support/unit.h"
#include "tests/unit/node_control/support_cluster.h"

static int64_t all_memory(void)
{
    return INT64_C(8) << 30;
}

static void set_node(struct world *w, size_t i, enum availability availability, const char *zone)
{
    const struct node *n = store_node(w->store, &w->nodes[i]);
    struct node_spec spec = { .availability = availability, .role = n->spec.role };

    if (zone != NULL)
        assert_int_equal(str_map_set(&spec.labels, "zone", zone), 0);
    assert_int_equal(
        world_apply(w, admit_node_update(world_admit(w), &n->id, n->version.index, &spec)), 0);
    str_map_clear(&spec.labels);
    (void)world_settle(w);
}

/* Of the one task that is pending. */
static const char *reason(struct world *w, const struct id *service)
{
    const char *text = NULL;
    struct store_iter it;

    assert_int_equal(world_count(w, service, TASK_PENDING), 1);
    STORE_EACH_OF_SERVICE(&it, w->store, service, t)
    if (t->status.state == TASK_PENDING) {
        assert_string_equal(t->status.message, "pending task scheduling");
        text = t->status.err;
    }
    return text;
}

static void test_each_refusal_has_its_words(void **state)
{
    char nowhere[] = "node.labels.zone==nowhere", *constraints[] = { nowhere };
    char arch[] = "pdp11";
    struct platform platform = { .architecture = arch };
    struct resources much = { .memory_bytes = all_memory() + 1 };
    struct resource_requirements resources = { .reservations = &much };
    struct placement constrained = { .constraints = { constraints, 1 } };
    struct placement foreign = { .platforms = { &platform, 1 } };
    const struct {
        struct task_spec task;
        const char *reason;
    } rows[] = {
        { { .resources = &resources }, "no suitable node (insufficient resources on 2 nodes)" },
        { { .placement = &constrained },
          "no suitable node (scheduling constraints not satisfied on 2 nodes)" },
        { { .placement = &foreign }, "no suitable node (unsupported platform on 2 nodes)" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        struct id id;

        world_init(&w, 2);
        id = world_create(&w, "lost", 1, rows[i].task, NULL);
        assert_string_equal(reason(&w, &id), rows[i].reason);
        world_deinit(&w);
    }
}

static void test_what_refuses_most_nodes_is_said_first(void **state)
{
    char there[] = "node.labels.zone==there", *constraints[] = { there };
    struct resources much = { .memory_bytes = all_memory() + 1 };
    struct resource_requirements resources = { .reservations = &much };
    struct placement constrained = { .constraints = { constraints, 1 } };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 4);
    set_node(&w, 1, AVAILABILITY_PAUSE, NULL);
    id = world_create(&w, "lost", 1, (struct task_spec){ .placement = &constrained }, NULL);
    assert_string_equal(reason(&w, &id),
                        "no suitable node (scheduling constraints not satisfied on 3 nodes; "
                        "1 node not available for new tasks)");
    set_node(&w, 2, AVAILABILITY_DRAIN, NULL); /* the reason follows what changes */
    set_node(&w, 3, AVAILABILITY_PAUSE, NULL);
    assert_string_equal(reason(&w, &id), "no suitable node (3 nodes not available for new tasks; "
                                         "scheduling constraints not satisfied on 1 node)");
    set_node(&w, 0, AVAILABILITY_ACTIVE, "there");
    assert_int_equal(world_count(&w, &id, TASK_ASSIGNED), 1);
    assert_null(world_task(&w, &id, 1)->status.err); /* and goes when it no longer holds */

    id = world_create(&w, "large", 1,
                      (struct task_spec){ .placement = &constrained, .resources = &resources },
                      NULL);
    assert_string_equal(reason(&w, &id), "no suitable node (3 nodes not available for new tasks; "
                                         "insufficient resources on 1 node)");
    world_deinit(&w);
}

static void test_too_many_for_a_node(void **state)
{
    struct placement one = { .max_replicas = 1 };
    struct port port = { .target_port = 80, .published_port = 8080, .publish_mode = PUBLISH_HOST };
    struct endpoint_spec endpoint = { .ports = { &port, 1 } };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 2);
    id = world_create(&w, "spread", 3, (struct task_spec){ .placement = &one }, NULL);
    assert_int_equal(world_count(&w, &id, TASK_ASSIGNED), 2);
    assert_string_equal(reason(&w, &id), "no suitable node (max replicas per node limit exceed)");
    id = world_create(&w, "open", 3, (struct task_spec){ 0 }, &endpoint);
    assert_int_equal(world_count(&w, &id, TASK_ASSIGNED), 2);
    assert_string_equal(reason(&w, &id),
                        "no suitable node (host-mode port already in use on 2 nodes)");
    world_deinit(&w);
}

/* What is reserved is counted, and free again once its task has ended. */
static void test_reservations_are_held_while_a_task_runs(void **state)
{
    struct resources half = { .memory_bytes = all_memory() / 2 };
    struct resource_requirements resources = { .reservations = &half };
    struct world w;
    struct id first, second;

    (void)state;
    world_init(&w, 1);
    first = world_create(&w, "first", 2, (struct task_spec){ .resources = &resources }, NULL);
    second = world_create(&w, "second", 1, (struct task_spec){ .resources = &resources }, NULL);
    assert_string_equal(reason(&w, &second), "no suitable node (insufficient resources on 1 node)");
    assert_int_equal(world_apply(&w, admit_service_remove(world_admit(&w), &first)), 0);
    (void)world_settle(&w);
    world_agents(&w);
    assert_int_equal(
        world_count(&w, &second, TASK_RUNNING) + world_count(&w, &second, TASK_ASSIGNED), 1);
    world_deinit(&w);
}

static size_t running_on(struct world *w, const struct id *service, const struct id *node)
{
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_SERVICE(&it, w->store, service, t)
    count += t->desired_state == TASK_RUNNING && id_equal(&t->node_id, node);
    return count;
}

/* With start-first the old task runs until the new one does; it must not push the new one aside,
 * to a node that has less to do otherwise. */
static void test_an_update_keeps_the_spread(void **state)
{
    char west[] = "node.labels.zone==west", *constraints[] = { west };
    struct placement in_west = { .constraints = { constraints, 1 } };
    struct update_config start_first = { .parallelism = 1, .order = ORDER_START_FIRST };
    char descriptor[] = "node.labels.zone";
    struct spread zone = { .descriptor = descriptor };
    struct placement_preference preference = { .spread = &zone };
    struct placement placement = { .preferences = { &preference, 1 } };

    (void)state;
    for (size_t i = 0; i < 2; i++) { /* by a preference, and without */
        struct task_spec task = { .placement = i == 0 ? &placement : NULL };
        struct world w;
        struct id id;

        world_init(&w, 2);
        set_node(&w, 0, AVAILABILITY_ACTIVE, "east");
        set_node(&w, 1, AVAILABILITY_ACTIVE, "west");
        (void)world_create(&w, "busy", 3, (struct task_spec){ .placement = &in_west }, NULL);
        id = world_create(&w, "web", 2, task, NULL);
        world_agents(&w);
        for (char image[] = "web:2"; image[4] < '5'; image[4]++) {
            world_change(&w, &id, 2, image, &start_first);
            for (int turn = 0; turn < 20; turn++) {
                world_agents(&w);
                world_advance(&w, SECOND);
            }
            assert_int_equal(world_live(&w, &id), 2);
            assert_int_equal(running_on(&w, &id, &w.nodes[0]), 1);
            assert_int_equal(running_on(&w, &id, &w.nodes[1]), 1);
        }
        world_deinit(&w);
    }
}

/* Also of one service, and none that the service asks for by number. */
static void test_open_ports_are_all_different(void **state)
{
    struct port ports[] = { { .target_port = 80 },
                            { .target_port = 81 },
                            { .target_port = 82, .published_port = 30001 } };
    struct endpoint_spec endpoint = { .ports = { ports, ARRAY_LEN(ports) } };
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 1);
    for (uint32_t first = 30000; first < 30004; first += 3) {
        const struct port_list *given;

        ports[2].published_port = first + 1;
        id =
            world_create(&w, first == 30000 ? "one" : "two", 1, (struct task_spec){ 0 }, &endpoint);
        given = &store_service(w.store, &id)->endpoint.ports;
        assert_int_equal(given->items[0].published_port, first);
        assert_int_equal(given->items[1].published_port, first + 2);
        assert_int_equal(given->items[2].published_port, first + 1);
    }
    world_deinit(&w);
}

/* A port that comes first in the list is not given one that the service has for another. */
static void test_a_port_that_is_added_leaves_the_others_theirs(void **state)
{
    struct port port = { .target_port = 80 };
    struct endpoint_spec endpoint = { .ports = { &port, 1 } };
    struct service_spec spec;
    const struct service *s;
    struct port *added;
    struct world w;
    struct id id;

    (void)state;
    world_init(&w, 1);
    id = world_create(&w, "one", 1, (struct task_spec){ 0 }, &endpoint);
    s = store_service(w.store, &id);
    assert_int_equal(fields_copy(&service_spec_type, &s->spec, &spec), 0);
    added = LIST_ADD(&spec.endpoint->ports);
    assert_non_null(added);
    *added = spec.endpoint->ports.items[0];
    spec.endpoint->ports.items[0].target_port = 79;
    assert_int_equal(
        world_apply(&w, admit_service_update(world_admit(&w), &id, s->version.index, &spec)), 0);
    fields_deinit(&service_spec_type, &spec);
    (void)world_settle(&w);
    s = store_service(w.store, &id);
    assert_int_equal(s->endpoint.ports.items[0].published_port, 30001);
    assert_int_equal(s->endpoint.ports.items[1].published_port, 30000);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_refusal_has_its_words),
        cmocka_unit_test(test_what_refuses_most_nodes_is_said_first),
        cmocka_unit_test(test_too_many_for_a_node),
        cmocka_unit_test(test_reservations_are_held_while_a_task_runs),
        cmocka_unit_test(test_an_update_keeps_the_spread),
        cmocka_unit_test(test_open_ports_are_all_different),
        cmocka_unit_test(test_a_port_that_is_added_leaves_the_others_theirs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
