/* Addresses: text, subnets out of pools, leases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "overlaynet/ipam.h"

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p = { 0 };

    assert_int_equal(ip_prefix_parse(slice_of_str(text), &p), 0);
    return p;
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr a = { 0 };

    assert_int_equal(ip_parse(slice_of_str(text), &a), 0);
    return a;
}

static struct ipam *new_table(const struct ipam_config *cfg)
{
    struct ipam *t = NULL;

    assert_int_equal(ipam_new(cfg, &t), 0);
    return t;
}

static struct ipam_network create(struct ipam *t, const char *id, const char *subnet)
{
    struct ipam_network want = { 0 }, got = { 0 };

    if (subnet != NULL)
        want.subnet4 = prefix(subnet);
    assert_int_equal(ipam_network_create(t, slice_of_str(id), &want, false, &got, NULL), 0);
    return got;
}

static void assert_addr(const struct ip_addr *a, const char *text)
{
    char buf[IP_TEXT_MAX];

    assert_string_equal(ip_format(a, buf), text);
}

static void test_text_is_canonical_and_strict(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } cases[] = {
        { "10.0.3.9", "10.0.3.9" },
        { "0.0.0.0", "0.0.0.0" },
        { "10.0.3", NULL },
        { "10.0.3.256", NULL },
        { "10.0.03.1", NULL },
        { "10.0.3.9 ", NULL },
        { "", NULL },
        { "::", "::" },
        { "::1", "::1" },
        { "fd00::", "fd00::" },
        { "FD00:0:0:1::9", "fd00:0:0:1::9" },
        { "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
        { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
        { "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
        { "::ffff:10.0.0.1", "::ffff:a00:1" },
        { "1:2:3:4:5:6:7:8:9", NULL },
        { "1::2::3", NULL },
        { "1:2:3:4:5:6:7:8::", NULL },
        { "1:", NULL },
        { ":1", NULL },
        { "12345::", NULL },
        { "::10.0.0.1.2", NULL },
        { "fe80::1%eth0", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ip_addr a = { 0 };
        int rc = ip_parse(slice_of_str(cases[i].in), &a);

        print_message("  '%s'\n", cases[i].in);
        assert_int_equal(rc, cases[i].out == NULL ? ERR_MALFORMED : 0);
        if (cases[i].out != NULL)
            assert_addr(&a, cases[i].out);
    }
}

static void test_prefix_with_host_bits_is_refused(void **state)
{
    struct ip_prefix p;

    (void)state;
    assert_int_equal(ip_prefix_parse(slice_of_str("10.0.9.1/24"), &p), ERR_MALFORMED);
    assert_int_equal(ip_prefix_parse(slice_of_str("10.0.9.0/33"), &p), ERR_MALFORMED);
    assert_int_equal(ip_prefix_parse(slice_of_str("10.0.9.0/"), &p), ERR_MALFORMED);
    assert_int_equal(ip_prefix_parse(slice_of_str("10.0.9.0"), &p), ERR_MALFORMED);
    assert_int_equal(ip_prefix_parse(slice_of_str("fd00::/129"), &p), ERR_MALFORMED);
    assert_int_equal(ip_prefix_parse(slice_of_str("0.0.0.0/0"), &p), 0);
}

static void test_offset_and_address_are_inverse(void **state)
{
    static const char *const prefixes[] = { "10.16.0.0/12", "10.0.3.0/24", "fd00:1:2:3::/64",
                                            "fd00::/49" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        struct ip_prefix p = prefix(prefixes[i]);

        for (uint64_t offset = 0; offset < ip_prefix_size(&p) && offset < 100000; offset += 251) {
            struct ip_addr a = ip_prefix_at(&p, offset);

            assert_true(ip_prefix_has(&p, &a));
            assert_int_equal(ip_prefix_offset(&p, &a), offset);
        }
    }
}

static void test_subnets_come_from_the_pool_and_avoid_routes_and_networks(void **state)
{
    struct ipam_config cfg = { .pool4 = prefix("10.0.0.0/21") };
    struct ip_prefix routes[] = { prefix("10.0.1.128/25"), prefix("0.0.0.0/0") };
    struct ipam *t = new_table(&cfg);
    struct ipam_network want = { 0 }, got;
    struct ipam_why why;
    char text[IP_PREFIX_TEXT_MAX];

    (void)state;
    assert_int_equal(ipam_routes_set(t, routes, ARRAY_LEN(routes)), 0);
    (void)create(t, "named", "10.0.2.0/23");
    got = create(t, "a", NULL);
    assert_string_equal(ip_prefix_format(&got.subnet4, text), "10.0.0.0/24");
    assert_addr(&got.gateway4, "10.0.0.1");
    got = create(t, "b", NULL); /* .1 is a route, .2 and .3 are taken */
    assert_string_equal(ip_prefix_format(&got.subnet4, text), "10.0.4.0/24");
    ipam_network_remove(t, slice_of_str("a"));
    got = create(t, "c", NULL); /* the piece just given back comes last */
    assert_string_equal(ip_prefix_format(&got.subnet4, text), "10.0.5.0/24");
    (void)create(t, "d", NULL);
    (void)create(t, "e", NULL);
    got = create(t, "f", NULL);
    assert_string_equal(ip_prefix_format(&got.subnet4, text), "10.0.0.0/24");
    assert_int_equal(ipam_network_create(t, slice_of_str("g"), &want, false, &got, &why),
                     ERR_EXHAUSTED);
    assert_string_equal(why.text, "network g: no free /24 is left in the pool 10.0.0.0/21: 8 "
                                  "pieces, 6 networks, 2 routes of hosts");
    ipam_free(t);
}

static void test_wishes_are_checked_and_the_answer_names_the_clash(void **state)
{
    static const struct {
        const char *subnet, *gateway;
        uint32_t vni;
        int rc;
        const char *why;
    } cases[] = {
        { "10.1.9.0/24", NULL, 0, ERR_CONFLICT,
          "network new: subnet 10.1.9.0/24 overlaps 10.1.8.0/22 of network back" },
        { "192.168.1.0/24", NULL, 0, ERR_CONFLICT,
          "network new: subnet 192.168.1.0/24 overlaps the route 192.168.0.0/16 of a host" },
        { "10.8.0.0/11", NULL, 0, ERR_MALFORMED, "" },
        { "10.32.0.0/11", NULL, 0, ERR_INVALID,
          "network new: subnet 10.32.0.0/11: prefix is 12 to 29" },
        { "10.3.0.0/30", NULL, 0, ERR_INVALID,
          "network new: subnet 10.3.0.0/30: prefix is 12 to 29" },
        { "10.3.0.0/24", "10.4.0.1", 0, ERR_INVALID,
          "network new: gateway 10.4.0.1 is outside its subnet 10.3.0.0/24" },
        { "10.3.0.0/24", NULL, 7, ERR_INVALID, "network new: VNI 7 is outside 4096 to 16777215" },
        { "10.3.0.0/24", NULL, 4096, ERR_CONFLICT,
          "network new: VNI 4096 belongs to network back" },
        { "10.3.0.0/24", "10.3.0.254", 5000, 0, "" },
    };
    struct ipam_config cfg = { 0 };
    struct ip_prefix route = prefix("192.168.0.0/16");
    struct ipam *t = new_table(&cfg);

    (void)state;
    assert_int_equal(ipam_routes_set(t, &route, 1), 0);
    assert_int_equal(create(t, "back", "10.1.8.0/22").vni, IPAM_VNI_MIN);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ipam_network want = { .vni = cases[i].vni }, got;
        struct ipam_why why = { "" };
        int rc = ip_prefix_parse(slice_of_str(cases[i].subnet), &want.subnet4);

        if (cases[i].gateway != NULL)
            want.gateway4 = addr(cases[i].gateway);
        if (rc == 0)
            rc = ipam_network_create(t, slice_of_str("new"), &want, false, &got, &why);
        print_message("  %s: %s\n", cases[i].subnet, why.text);
        assert_int_equal(rc, cases[i].rc);
        assert_string_equal(why.text, cases[i].why);
    }
    assert_false(ipam_route_clash(t, slice_of_str("back"), NULL));
    route = prefix("10.1.8.128/25");
    assert_int_equal(ipam_routes_set(t, &route, 1), 0);
    assert_true(ipam_route_clash(t, slice_of_str("back"), NULL));
    ipam_free(t);
}

static void test_a_slash_24_serves_253_and_says_when_it_is_full(void **state)
{
    struct ipam_config cfg = { 0 };
    struct ipam *t = new_table(&cfg);
    struct slice net = slice_of_str("back");
    struct ip_addr a, again;
    struct ipam_why why;
    char owner[16];

    (void)state;
    (void)create(t, "back", "10.0.3.0/24");
    for (int i = 0; i < 253; i++) {
        (void)snprintf(owner, sizeof(owner), "task%d", i);
        assert_int_equal(ipam_allocate(t, net, slice_of_str(owner), IP4_LEN, &a, &why), 0);
        assert_int_equal(a.bytes[3], i + 2); /* .0 and .1 are the network and its gateway */
        assert_int_equal(ipam_allocate(t, net, slice_of_str(owner), IP4_LEN, &again, &why), 0);
        assert_true(ip_equal(&a, &again));
    }
    assert_int_equal(ipam_allocate(t, net, slice_of_str("late"), IP4_LEN, &a, &why), ERR_EXHAUSTED);
    assert_string_equal(why.text, "network back: 253 of 253 addresses of 10.0.3.0/24 are leased");
    again = ipam_lookup(t, net, slice_of_str("late"), IP4_LEN);
    assert_true(ip_is_none(&again));
    ipam_release(t, net, slice_of_str("task100"));
    assert_int_equal(ipam_allocate(t, net, slice_of_str("late"), IP4_LEN, &a, &why), 0);
    assert_addr(&a, "10.0.3.102");
    ipam_free(t);
}

static void test_a_released_address_comes_back_last(void **state)
{
    struct ipam_config cfg = { 0 };
    struct ipam *t = new_table(&cfg);
    struct slice net = slice_of_str("back");
    struct ip_addr a;

    (void)state;
    (void)create(t, "back", "10.0.3.0/29"); /* .2 to .6 */
    assert_int_equal(ipam_allocate(t, net, slice_of_str("a"), IP4_LEN, &a, NULL), 0);
    assert_addr(&a, "10.0.3.2");
    ipam_release(t, net, slice_of_str("a"));
    ipam_release(t, net, slice_of_str("a"));
    for (int i = 3; i <= 6; i++) {
        char owner[2] = { (char)('a' + i), 0 };

        assert_int_equal(ipam_allocate(t, net, slice_of_str(owner), IP4_LEN, &a, NULL), 0);
        assert_int_equal(a.bytes[3], i);
    }
    assert_int_equal(ipam_allocate(t, net, slice_of_str("z"), IP4_LEN, &a, NULL), 0);
    assert_addr(&a, "10.0.3.2");
    ipam_free(t);
}

static void test_a_rebuilt_table_keeps_leases_and_goes_on_behind_them(void **state)
{
    struct ipam_config cfg = { 0 };
    struct ipam *t = new_table(&cfg);
    struct slice net = slice_of_str("back");
    struct ipam_network stored = { .subnet4 = prefix("10.0.3.0/24"), .vni = 4711 };
    struct ip_addr a = addr("10.0.3.9"), b = addr("10.0.3.10");
    struct ipam_usage usage;

    (void)state;
    assert_int_equal(ipam_network_restore(t, net, &stored, NULL), 0);
    assert_int_equal(ipam_network_restore(t, net, &stored, NULL), ERR_EXISTS);
    assert_int_equal(ipam_reserve(t, net, slice_of_str("web"), &a, NULL), 0);
    assert_int_equal(ipam_reserve(t, net, slice_of_str("web"), &a, NULL), 0);
    assert_int_equal(ipam_reserve(t, net, slice_of_str("web"), &b, NULL), ERR_CONFLICT);
    assert_int_equal(ipam_reserve(t, net, slice_of_str("db"), &a, NULL), ERR_CONFLICT);
    b = addr("10.0.3.1");
    assert_int_equal(ipam_reserve(t, net, slice_of_str("db"), &b, NULL), ERR_INVALID);
    b = addr("10.0.3.255");
    assert_int_equal(ipam_reserve(t, net, slice_of_str("db"), &b, NULL), ERR_INVALID);
    b = addr("10.0.4.2");
    assert_int_equal(ipam_reserve(t, net, slice_of_str("db"), &b, NULL), ERR_INVALID);
    assert_int_equal(ipam_allocate(t, net, slice_of_str("db"), IP4_LEN, &b, NULL), 0);
    assert_addr(&b, "10.0.3.10");
    assert_int_equal(create(t, "front", NULL).vni, 4712);
    assert_int_equal(ipam_usage(t, net, &usage), 0);
    assert_int_equal(usage.leased4, 2);
    assert_int_equal(usage.size4, 253);
    ipam_free(t);
}

static void test_both_families_belong_to_one_owner(void **state)
{
    const uint8_t random[5] = { 1, 2, 3, 4, 5 };
    struct ipam_config cfg = { .pool6 = ipam_ula(random) };
    struct ipam *t = new_table(&cfg);
    struct ipam_network want = { 0 }, got;
    struct slice net = slice_of_str("dual"), owner = slice_of_str("t1");
    struct ip_addr a;
    char text[IP_PREFIX_TEXT_MAX];

    (void)state;
    assert_int_equal(ipam_network_create(t, net, &want, true, &got, NULL), 0);
    assert_string_equal(ip_prefix_format(&got.subnet6, text), "fd01:203:405::/64");
    assert_int_equal(ipam_allocate(t, net, owner, IP4_LEN, &a, NULL), 0);
    assert_addr(&a, "10.0.0.2");
    assert_int_equal(ipam_allocate(t, net, owner, IP6_LEN, &a, NULL), 0);
    assert_addr(&a, "fd01:203:405::2");
    ipam_release(t, net, owner);
    a = ipam_lookup(t, net, owner, IP6_LEN);
    assert_true(ip_is_none(&a));
    ipam_free(t);
}

/* The largest subnet, filled to the last address, then emptied: no address twice. */
static void test_a_slash_12_fills_completely(void **state)
{
    struct ipam_config cfg = { 0 };
    struct ipam *t = new_table(&cfg);
    struct slice net = slice_of_str("huge");
    struct ipam_usage usage;
    struct ip_addr a;
    uint32_t count = 0, last = 0;

    (void)state;
    (void)create(t, "huge", "10.16.0.0/12");
    for (;; count++) {
        int rc = ipam_allocate(t, net, slice_of(&count, sizeof(count)), IP4_LEN, &a, NULL);

        if (rc == ERR_EXHAUSTED)
            break;
        assert_int_equal(rc, 0);
        assert_true(ip4_to_u32(&a) > last);
        last = ip4_to_u32(&a);
    }
    assert_int_equal(count, (1 << 20) - 3);
    for (uint32_t i = 0; i < count; i++)
        ipam_release(t, net, slice_of(&i, sizeof(i)));
    assert_int_equal(ipam_usage(t, net, &usage), 0);
    assert_int_equal(usage.leased4, 0);
    ipam_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_canonical_and_strict),
        cmocka_unit_test(test_prefix_with_host_bits_is_refused),
        cmocka_unit_test(test_offset_and_address_are_inverse),
        cmocka_unit_test(test_subnets_come_from_the_pool_and_avoid_routes_and_networks),
        cmocka_unit_test(test_wishes_are_checked_and_the_answer_names_the_clash),
        cmocka_unit_test(test_a_slash_24_serves_253_and_says_when_it_is_full),
        cmocka_unit_test(test_a_released_address_comes_back_last),
        cmocka_unit_test(test_a_rebuilt_table_keeps_leases_and_goes_on_behind_them),
        cmocka_unit_test(test_both_families_belong_to_one_owner),
        cmocka_unit_test(test_a_slash_12_fills_completely),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
