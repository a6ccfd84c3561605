/* What a sandbox is told about a name: query bytes in, reply bytes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "overlaynet/resolver_answer.h"
#include "support_services.h"

static struct services_table table;
static struct prng prng;

static int set_up(void **state)
{
    (void)state;
    services_make(&table);
    prng_init(&prng, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    services_table_deinit(&table);
    return 0;
}

static size_t make_query(const char *name, uint16_t type, uint8_t out[512])
{
    size_t at = 12;

    memset(out, 0, 512);
    out[0] = 0xab;
    out[1] = 0xcd;
    out[2] = 1; /* recursion desired */
    out[5] = 1;
    while (*name != '\0') {
        size_t len = strcspn(name, ".");

        out[at++] = (uint8_t)len;
        memcpy(out + at, name, len);
        at += len;
        name += len + (name[len] == '.');
    }
    at++;
    out[at + 1] = (uint8_t)type;
    out[at + 3] = DNS_CLASS_IN;
    return at + 4;
}

struct told {
    enum resolver_verdict verdict;
    int rcode;
    size_t answers, len;
    bool is_truncated;
    uint32_t ttl;
    char first[IP_TEXT_MAX];
};

static struct told ask_of(const char *name, uint16_t type, const struct id *networks, size_t count)
{
    const struct resolver_view view = { .table = &table,
                                        .networks = networks,
                                        .network_count = count };
    uint8_t query[512], reply[512];
    struct told t = { .rcode = -1 };
    struct dns_query q;
    size_t len = make_query(name, type, query);

    t.verdict =
        resolver_answer(&view, slice_of(query, len), &prng, &q, reply, sizeof(reply), &t.len);
    if (t.verdict != RESOLVER_REPLY)
        return t;
    assert_int_equal(dns_id(reply), 0xabcd);
    assert_memory_equal(reply + 12, query + 12, len - 12);
    assert_int_equal(reply[2] & 0x81, 0x81); /* an answer, to a recursive question */
    t.rcode = reply[3] & 15;
    t.is_truncated = (reply[2] & 2) != 0;
    t.answers = (size_t)(reply[6] << 8 | reply[7]);
    if (t.answers > 0) {
        struct ip_addr addr = { .len = type == DNS_TYPE_AAAA ? IP6_LEN : IP4_LEN };

        memcpy(addr.bytes, reply + len + 12, addr.len);
        t.ttl = reply[len + 9];
        (void)ip_format(&addr, t.first);
    }
    return t;
}

static struct told ask(const char *name)
{
    const struct id networks[] = { services_id("blue") };

    return ask_of(name, DNS_TYPE_A, networks, 1);
}

static void test_names(void **state)
{
    const struct {
        const char *why, *name;
        int rcode; /* -1: forwarded */
        size_t answers;
        const char *first; /* NULL: any */
    } cases[] = {
        { "a service is its virtual IP", "web", 0, 1, "10.0.0.100" },
        { "case does not matter", "WeB", 0, 1, "10.0.0.100" },
        { "an alias is the service", "www", 0, 1, "10.0.0.100" },
        { "tasks. gives the ready backends", "tasks.web", 0, 2, NULL },
        { "tasks. of an alias too", "tasks.www", 0, 2, NULL },
        { "a slot is one backend", "2.web", 0, 1, "10.0.0.3" },
        { "a slot that is not ready is there, without address", "3.web", 0, 0, NULL },
        { "a slot that is not there is no name", "9.web", 3, 0, NULL },
        { "a task by its name", "web.1.aaa", 0, 1, "10.0.0.2" },
        { "an alias of tasks", "fast", 0, 1, "10.0.0.2" },
        { "round robin by names gives backends", "db", 0, 1, "10.0.0.9" },
        { "another network's service is not seen", "secret", -1, 0, NULL },
        { "other names are for others", "example.com", -1, 0, NULL },
        { "gateways have no names", "gateway", -1, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct told t = ask(cases[i].name);

        print_message("  %s\n", cases[i].why);
        assert_int_equal(t.rcode, cases[i].rcode);
        assert_int_equal(t.answers, cases[i].answers);
        assert_true(t.ttl <= 5);
        if (cases[i].first != NULL)
            assert_string_equal(t.first, cases[i].first);
    }
}

static void test_other_types_of_a_known_name_are_empty_not_unknown(void **state)
{
    const struct id networks[] = { services_id("blue") };
    struct told t;

    (void)state;
    t = ask_of("web", DNS_TYPE_AAAA, networks, 1);
    assert_int_equal(t.verdict, RESOLVER_REPLY);
    assert_int_equal(t.rcode, DNS_NOERROR);
    assert_int_equal(t.answers, 0);
    t = ask_of("web", 15, networks, 1);
    assert_int_equal(t.rcode, DNS_NOERROR);
    assert_int_equal(t.answers, 0);
    t = ask_of("db", DNS_TYPE_AAAA, networks, 1);
    assert_int_equal(t.answers, 1);
    assert_string_equal(t.first, "fd00::9");
}

static void test_only_attached_networks_answer_and_in_their_order(void **state)
{
    const struct id both[] = { services_id("red"), services_id("blue") };

    (void)state;
    assert_string_equal(ask_of("web", DNS_TYPE_A, both, 2).first, "10.9.0.100");
    assert_string_equal(ask_of("web", DNS_TYPE_A, both + 1, 1).first, "10.0.0.100");
    assert_string_equal(ask_of("db", DNS_TYPE_A, both, 2).first, "10.0.0.9");
    assert_int_equal(ask_of("web", DNS_TYPE_A, NULL, 0).verdict, RESOLVER_FORWARD);
}

static void test_backends_of_an_unreachable_node_are_not_told(void **state)
{
    const struct id far = services_id("far");

    (void)state;
    assert_int_equal(services_table_reachable(&table, &far, false), 1);
    assert_int_equal(services_table_reachable(&table, &far, false), 0);
    assert_int_equal(ask("tasks.web").answers, 1);
    assert_string_equal(ask("tasks.web").first, "10.0.0.2");
    assert_int_equal(services_table_reachable(&table, &far, true), 1);
    assert_int_equal(ask("tasks.web").answers, 2);
}

static void test_removal_takes_the_names_along(void **state)
{
    const struct id net = services_id("blue"), web = services_id("web"), a = services_id("a");

    (void)state;
    assert_int_equal(services_table_remove(&table, &net, &web), 1);
    assert_int_equal(services_table_remove(&table, &net, &web), 0);
    assert_int_equal(ask("web").verdict, RESOLVER_FORWARD);
    assert_int_equal(ask("tasks.web").verdict, RESOLVER_FORWARD);
    assert_int_equal(ask("web.1.aaa").answers, 1); /* the task is still there */
    assert_int_equal(services_table_remove_backend(&table, &net, &a), 1);
    assert_int_equal(ask("web.1.aaa").verdict, RESOLVER_FORWARD);
}

static void test_a_name_taken_twice_answers_for_the_first_until_that_goes(void **state)
{
    const struct id net = services_id("blue"), web = services_id("web");
    struct overlay_service twin = { .network_id = net,
                                    .service_id = services_id("twin"),
                                    .name = "web",
                                    .vip = services_ip("10.0.0.200") };

    (void)state;
    assert_int_equal(services_table_set(&table, &twin), 1);
    assert_string_equal(ask("web").first, "10.0.0.100");
    assert_int_equal(services_table_remove(&table, &net, &web), 1);
    assert_string_equal(ask("web").first, "10.0.0.200");
}

static void test_more_backends_than_fit_are_cut_and_say_so(void **state)
{
    struct told t;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        services_add_backend(&table, "blue", "big", 1000 + i, true);
    services_add_service(&table, "blue", "big", OVERLAY_DNSRR, NULL);
    t = ask("big");
    assert_true(t.is_truncated);
    assert_true(t.answers > 20 && t.answers < 100);
    assert_true(t.len <= 512);
}

static void test_every_backend_comes_first_sometimes(void **state)
{
    bool first = false, second = false;

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct told t = ask("tasks.web");

        first = first || strcmp(t.first, "10.0.0.2") == 0;
        second = second || strcmp(t.first, "10.0.0.3") == 0;
    }
    assert_true(first && second);
}

static void test_queries_that_make_no_sense(void **state)
{
    const struct resolver_view view = { .table = &table };
    uint8_t query[512], reply[512];
    struct dns_query q;
    size_t len = make_query("web", DNS_TYPE_A, query), out = 0;

    (void)state;
    assert_int_equal(resolver_answer(&view, slice_of(query, 11), &prng, &q, reply, 512, &out),
                     RESOLVER_DROP);
    query[2] |= 0x80; /* a reply */
    assert_int_equal(resolver_answer(&view, slice_of(query, len), &prng, &q, reply, 512, &out),
                     RESOLVER_DROP);
    query[2] = 0x10; /* a status request */
    assert_int_equal(resolver_answer(&view, slice_of(query, len), &prng, &q, reply, 512, &out),
                     RESOLVER_REPLY);
    assert_int_equal(reply[3] & 15, DNS_NOTIMP);
    query[2] = 0;
    assert_int_equal(resolver_answer(&view, slice_of(query, len - 3), &prng, &q, reply, 512, &out),
                     RESOLVER_REPLY);
    assert_int_equal(reply[3] & 15, DNS_FORMERR);
    assert_int_equal(out, DNS_HEADER_LEN);
    query[12] = 0xc0; /* a question's name has no pointers */
    assert_int_equal(resolver_answer(&view, slice_of(query, len), &prng, &q, reply, 512, &out),
                     RESOLVER_REPLY);
    assert_int_equal(reply[3] & 15, DNS_FORMERR);
}

static void test_edns_size_is_read_and_answered(void **state)
{
    static const uint8_t opt[] = { 0, 0, DNS_TYPE_OPT, 0x10, 0, 0, 0, 0, 0, 0, 0 };
    uint8_t query[512], reply[512];
    struct dns_query q;
    size_t len = make_query("web", DNS_TYPE_A, query);

    (void)state;
    memcpy(query + len, opt, sizeof(opt));
    query[11] = 1;
    assert_int_equal(dns_query_read(slice_of(query, len + sizeof(opt)), &q), 0);
    assert_true(q.has_edns);
    assert_int_equal(q.udp_size, 4096);
    assert_int_equal(resolver_udp_max(&q), DNS_UDP_MAX);
    assert_int_equal(resolver_refuse(slice_of(query, len), &q, DNS_SERVFAIL, reply, sizeof(reply)),
                     len + sizeof(opt));
    assert_int_equal(reply[11], 1);
    assert_int_equal(reply[3] & 15, DNS_SERVFAIL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_other_types_of_a_known_name_are_empty_not_unknown),
        TEST(test_only_attached_networks_answer_and_in_their_order),
        TEST(test_backends_of_an_unreachable_node_are_not_told),
        TEST(test_removal_takes_the_names_along),
        TEST(test_a_name_taken_twice_answers_for_the_first_until_that_goes),
        TEST(test_more_backends_than_fit_are_cut_and_say_so),
        TEST(test_every_backend_comes_first_sometimes),
        TEST(test_queries_that_make_no_sense),
        TEST(test_edns_size_is_read_and_answered),
    };

    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
