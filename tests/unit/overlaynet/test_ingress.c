/* The text of rules: published ports on the host and in sandboxes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "overlaynet/ingress.h"
#include "overlaynet/vip.h"
#include "support_services.h"

static struct services_table table;
static struct buf text;

static int set_up(void **state)
{
    (void)state;
    services_make(&table);
    buf_init(&text, 8 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    services_table_deinit(&table);
    buf_deinit(&text);
    return 0;
}

static size_t count_of(const char *needle)
{
    const char *at = (const char *)text.ptr;
    size_t n = 0;

    while ((at = strstr(at, needle)) != NULL) {
        n++;
        at++;
    }
    return n;
}

static void write_gateways(const char *network)
{
    const struct id id = services_id(network);

    buf_clear(&text);
    assert_int_equal(ingress_write_sandbox(&table, &id, 1, &text), 0);
    assert_int_equal(ingress_write_datagrams(&table, &id, 1, &text), 0);
    assert_int_equal(buf_append_byte(&text, '\0'), 0);
}

static void write_host(const char *node)
{
    const struct id network = services_id("blue"), id = services_id(node);

    buf_clear(&text);
    assert_int_equal(ingress_write_host(&table, &id, &network, 1, &text), 0);
    assert_int_equal(buf_append_byte(&text, '\0'), 0);
}

static void test_connections_through_a_gateway_are_marked_by_its_mac(void **state)
{
    const struct ip_addr gateway = services_ip("10.0.0.250");
    char needle[64];

    (void)state;
    (void)snprintf(needle, sizeof(needle), "02:00:00:00:00:fa : 0x%08x",
                   (unsigned)ingress_mark(&gateway));
    write_gateways("blue");
    assert_int_equal(count_of(needle), 1);
    assert_int_equal(count_of("update @asked "), 1);
    assert_int_equal(count_of("update @asked6 "), 1);
    write_gateways("red");
    assert_int_equal(text.len, 1);
}

static void publish(const char *service, uint16_t from, uint16_t to)
{
    const struct overlay_published port = { .protocol = 6,
                                            .published_port = from,
                                            .target_port = to };
    struct overlay_service s = { .network_id = services_id("blue"),
                                 .service_id = services_id(service),
                                 .name = service,
                                 .mode = OVERLAY_VIP,
                                 .vip = services_ip("10.0.0.100"),
                                 .ports = &port,
                                 .port_count = 1 };

    assert_int_equal(services_table_set(&table, &s), 1);
}

static void test_a_port_leads_to_backends_of_this_host_first(void **state)
{
    (void)state;
    publish("web", 8080, 80);
    write_host("near");
    assert_int_equal(count_of("tcp . 8080 . "), VIP_SLOTS_MIN);
    assert_int_equal(count_of(": 10.0.0.2 . 80"), VIP_SLOTS_MIN);
    write_host("far");
    assert_int_equal(count_of(": 10.0.0.3 . 80"), VIP_SLOTS_MIN);
    write_host("elsewhere");
    assert_int_equal(count_of(": 10.0.0.2 . 80"), VIP_SLOTS_MIN / 2);
    assert_int_equal(count_of(": 10.0.0.3 . 80"), VIP_SLOTS_MIN / 2);
}

static void test_a_port_published_twice_belongs_to_the_first(void **state)
{
    (void)state;
    publish("web", 8080, 80);
    publish("db", 8080, 5432);
    write_host("near");
    assert_int_equal(count_of("tcp . 8080 . "), VIP_SLOTS_MIN);
    assert_int_equal(count_of(". 5432"), 0);
}

static void test_without_ingress_networks_the_host_has_no_table(void **state)
{
    const struct id node = services_id("near");

    (void)state;
    assert_int_equal(ingress_write_host(&table, &node, NULL, 0, &text), 0);
    assert_int_equal(buf_append_byte(&text, '\0'), 0);
    assert_int_equal(count_of("{"), 0);
    assert_int_equal(count_of("delete table inet shoal_ingress"), 1);
}

/* A backend of "web" that has both families, and one that has IPv6 alone. */
static void give_ip6(void)
{
    struct overlay_backend both = { .network_id = services_id("blue"),
                                    .endpoint_id = services_id("a"),
                                    .service_id = services_id("web"),
                                    .node_id = services_id("near"),
                                    .ip4 = services_ip("10.0.0.2"),
                                    .ip6 = services_ip("fd00::2"),
                                    .slot = 1,
                                    .ready = true,
                                    .mac = { 2, 0, 0, 0, 0, 2 } };
    struct overlay_backend six = { .network_id = services_id("blue"),
                                   .endpoint_id = services_id("f"),
                                   .service_id = services_id("web"),
                                   .node_id = services_id("far"),
                                   .ip6 = services_ip("fd00::1"),
                                   .slot = 4,
                                   .ready = true };

    assert_int_equal(services_table_set_backend(&table, &both), 1);
    assert_int_equal(services_table_set_backend(&table, &six), 1);
}

static void test_each_family_leads_to_backends_that_have_it(void **state)
{
    (void)state;
    give_ip6();
    publish("web", 8080, 80);
    write_host("elsewhere");
    assert_int_equal(count_of(": fd00::2 . 80"), VIP_SLOTS_MIN / 2);
    assert_int_equal(count_of(": fd00::1 . 80"), VIP_SLOTS_MIN / 2);
    assert_int_equal(count_of(": 10.0.0.2 . 80"), VIP_SLOTS_MIN / 2);
    assert_int_equal(count_of(": 10.0.0.3 . 80"), VIP_SLOTS_MIN / 2);
    write_host("far"); /* of each family the nearest */
    assert_int_equal(count_of(": fd00::1 . 80"), VIP_SLOTS_MIN);
    assert_int_equal(count_of(": 10.0.0.3 . 80"), VIP_SLOTS_MIN);
}

static void test_ip6_backends_of_published_ports_are_neighbours(void **state)
{
    const struct id network = services_id("blue");
    const uint8_t mac[OVERLAY_MAC_LEN] = { 2, 0, 0, 0, 0, 2 };
    struct ip_addr one = services_ip("fd00::1"), two = services_ip("fd00::2");
    struct ingress_neighbour *all;
    size_t count;

    (void)state;
    give_ip6();
    assert_int_equal(ingress_neighbours(&table, &network, 1, &all, &count), 0);
    assert_int_equal(count, 0); /* "db" has an IPv6 backend, but nothing is published */
    free(all);
    publish("web", 8080, 80);
    assert_int_equal(ingress_neighbours(&table, &network, 1, &all, &count), 0);
    assert_int_equal(count, 2);
    assert_true(ip_equal(&all[0].addr, &one));
    assert_true(ip_equal(&all[1].addr, &two));
    assert_memory_equal(all[1].mac, mac, OVERLAY_MAC_LEN);
    assert_true(ingress_neighbour_cmp(&all[0], &all[1]) < 0);
    free(all);
}

#define TO_PORTS                                                                               \
    "    fib daddr type local dnat ip to meta l4proto . th dport . numgen random mod 16 map "  \
    "@ports4\n"                                                                                \
    "    fib daddr type local dnat ip6 to meta l4proto . th dport . numgen random mod 16 map " \
    "@ports6\n"

/* The whole text, so that a change of it is seen as one. */
static void test_the_table_of_the_host(void **state)
{
    static const char expected[] =
        "table inet shoal_ingress\n"
        "delete table inet shoal_ingress\n"
        "table inet shoal_ingress {\n"
        "  map ports4 {\n"
        "    typeof meta l4proto . th dport . numgen random mod 16 : ip daddr . th dport\n"
        "  }\n"
        "  map ports6 {\n"
        "    typeof meta l4proto . th dport . numgen random mod 16 : ip6 daddr . th dport\n"
        "  }\n"
        "  chain from_outside {\n"
        "    type nat hook prerouting priority dstnat\n" TO_PORTS "  }\n"
        "  chain from_here {\n"
        "    type nat hook output priority -100\n" TO_PORTS "  }\n"
        "  chain source { type nat hook postrouting priority srcnat; }\n"
        "  chain loopback { type filter hook prerouting priority raw; }\n"
        "  chain to_host { type filter hook input priority filter; }\n"
        "  chain through_host { type filter hook forward priority filter; }\n"
        "  chain source {\n"
        "    oifname \"sh-blue0000\" fib saddr type local masquerade\n"
        "    oifname \"sh-blue0000\" iifname \"shoal0\" masquerade\n"
        "  }\n"
        "  chain loopback {\n"
        "    iifname \"sh-blue0000\" ip daddr 127.0.0.0/8 drop\n"
        "  }\n"
        "  chain to_host {\n"
        "    iifname \"sh-blue0000\" ct direction original drop\n"
        "  }\n"
        "  chain through_host {\n"
        "    iifname \"sh-blue0000\" ct direction original drop\n"
        "  }\n"
        "}\n";

    (void)state;
    write_host("near");
    assert_string_equal((const char *)text.ptr, expected);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_connections_through_a_gateway_are_marked_by_its_mac),
        TEST(test_a_port_leads_to_backends_of_this_host_first),
        TEST(test_a_port_published_twice_belongs_to_the_first),
        TEST(test_without_ingress_networks_the_host_has_no_table),
        TEST(test_each_family_leads_to_backends_that_have_it),
        TEST(test_ip6_backends_of_published_ports_are_neighbours),
        TEST(test_the_table_of_the_host),
    };

    return cmocka_run_group_tests_name("ingress", tests, NULL, NULL);
}
