/* Ingress networks: every node has an address on each, of every family that the network has; also
 * on those that older versions made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "tests/unit/node_control/support_cluster.h"

static const struct network *ingress(const struct world *w)
{
    struct store_iter it;

    STORE_EACH(&it, w->store, OBJECT_NETWORK, struct network, n)
    if (n->spec.ingress)
        return n;
    fail_msg("there is no ingress network");
    return NULL;
}

static const struct attachment_ref *gateway(const struct world *w, size_t node)
{
    const struct node *n = store_node(w->store, &w->nodes[node]);

    assert_int_equal(n->gateways.count, 1);
    assert_true(id_equal(&n->gateways.items[0].network_id, &ingress(w)->id));
    return &n->gateways.items[0];
}

/* How nodes looked before published ports answered over IPv6. */
static void forget_gateways_ip6(struct world *w)
{
    for (size_t i = 0; i < w->node_count; i++) {
        struct admit *a = world_admit(w);
        struct node n;

        assert_int_equal(fields_copy(&node_type, store_node(w->store, &w->nodes[i]), &n), 0);
        assert_int_equal(str_set(&n.gateways.items[0].addr6, NULL), 0);
        assert_int_equal(
            transaction_update(a->out, OBJECT_NODE, (const struct object *)(const void *)&n), 0);
        assert_int_equal(world_apply(w, 0), 0);
        fields_deinit(&node_type, &n);
    }
}

/* How the ingress network looked then, unless it was asked for with IPv6. */
static void forget_networks_ip6(struct world *w)
{
    struct admit *a = world_admit(w);
    struct network n;

    assert_int_equal(fields_copy(&network_type, ingress(w), &n), 0);
    assert_int_equal(n.subnets.count, 2);
    n.spec.enable_ipv6 = false;
    fields_deinit(&subnet_config_type, &n.subnets.items[--n.subnets.count]);
    assert_int_equal(
        transaction_update(a->out, OBJECT_NETWORK, (const struct object *)(const void *)&n), 0);
    assert_int_equal(world_apply(w, 0), 0);
    fields_deinit(&network_type, &n);
}

/* The manager that leads now knows only the store. */
static size_t another_leads(struct world *w)
{
    control_stop(w->control);
    control_start(w->control, w->store, w->now);
    return world_settle(w);
}

static struct id publish(struct world *w)
{
    struct port port = { .target_port = 80, .published_port = 8080 };
    struct endpoint_spec endpoint = { .ports = { .items = &port, .count = 1 } };

    return world_create(w, "web", 1, (struct task_spec){ 0 }, &endpoint);
}

static void test_every_node_has_an_address_of_both_families(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 3);
    for (size_t i = 0; i < w.node_count; i++) {
        assert_non_null(gateway(&w, i)->addr);
        assert_non_null(strchr(gateway(&w, i)->addr6, ':'));
        assert_true(i == 0 || strcmp(gateway(&w, i)->addr6, gateway(&w, 0)->addr6) != 0);
    }
    world_deinit(&w);
}

/* A network that was made with IPv6 when nodes had no addresses in it of that family. */
static void test_what_an_older_version_left_out_is_made_up_for(void **state)
{
    char addr[64];
    uint64_t generation;
    struct world w;

    (void)state;
    world_init(&w, 3);
    forget_gateways_ip6(&w);
    (void)snprintf(addr, sizeof(addr), "%s", gateway(&w, 1)->addr);
    generation = gateway(&w, 1)->generation;
    assert_int_equal(another_leads(&w), 1);
    for (size_t i = 0; i < w.node_count; i++) {
        assert_non_null(gateway(&w, i)->addr6);
        assert_true(i == 0 || strcmp(gateway(&w, i)->addr6, gateway(&w, 0)->addr6) != 0);
    }
    assert_string_equal(gateway(&w, 1)->addr, addr); /* connections go through it */
    assert_true(gateway(&w, 1)->generation == generation);
    assert_int_equal(another_leads(&w), 0);
    world_deinit(&w);
}

static void test_an_ingress_network_of_one_family_stays_so(void **state)
{
    const struct task *t;
    struct id service;
    struct world w;

    (void)state;
    world_init(&w, 2);
    forget_networks_ip6(&w);
    forget_gateways_ip6(&w);
    assert_int_equal(another_leads(&w), 0);
    for (size_t i = 0; i < w.node_count; i++) {
        assert_non_null(gateway(&w, i)->addr);
        assert_null(gateway(&w, i)->addr6);
    }
    service = publish(&w);
    world_agents(&w);
    assert_int_equal(world_count(&w, &service, TASK_RUNNING), 1);
    t = world_task(&w, &service, 1);
    assert_int_equal(t->attachments.count, 1);
    assert_true(id_equal(&t->attachments.items[0].network_id, &ingress(&w)->id));
    assert_non_null(t->attachments.items[0].addr);
    assert_null(t->attachments.items[0].addr6);
    world_deinit(&w);
}

static void test_with_the_network_go_the_addresses_on_it(void **state)
{
    char name[] = "ingress";
    struct network_spec spec = { .name = name, .ingress = true };
    struct id id;
    struct world w;

    (void)state;
    world_init(&w, 2);
    id = ingress(&w)->id;
    assert_int_equal(world_apply(&w, admit_network_remove(world_admit(&w), &id)), 0);
    (void)world_settle(&w);
    for (size_t i = 0; i < w.node_count; i++)
        assert_int_equal(store_node(w.store, &w.nodes[i])->gateways.count, 0);
    assert_int_equal(world_apply(&w, admit_network_create(world_admit(&w), &spec, &id)), 0);
    (void)world_settle(&w);
    for (size_t i = 0; i < w.node_count; i++)
        assert_non_null(gateway(&w, i)->addr6);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_node_has_an_address_of_both_families),
        cmocka_unit_test(test_what_an_older_version_left_out_is_made_up_for),
        cmocka_unit_test(test_an_ingress_network_of_one_family_stays_so),
        cmocka_unit_test(test_with_the_network_go_the_addresses_on_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
