/* What rules say: virtual IPs in sandboxes, as a plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "overlaynet/vip.h"
#include "support_services.h"

static struct services_table table;
static struct vip_plan plan;

static int set_up(void **state)
{
    (void)state;
    services_make(&table);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    services_table_deinit(&table);
    vip_plan_deinit(&plan);
    return 0;
}

/* The plan of a sandbox on that network. */
static void plan_sandbox(const char *network, uint64_t salt)
{
    const struct id id = services_id(network);

    vip_plan_deinit(&plan);
    assert_int_equal(vip_plan_make(&table, &id, 1, salt, &plan), 0);
}

/* Elements of the map that lead from `vip` to `to`; NULL = any. */
static size_t leads(const char *vip, const char *to)
{
    const struct ip_addr from = services_ip(vip), back = services_ip(to);
    size_t n = 0;

    for (size_t i = 0; i < plan.count; i++)
        n += (vip == NULL || ip_equal(&plan.items[i].vip, &from)) &&
             (to == NULL || ip_equal(&plan.items[i].to, &back));
    return n;
}

static bool is_idle(const char *vip)
{
    const struct ip_addr addr = services_ip(vip);

    for (size_t i = 0; i < plan.idle_count; i++)
        if (ip_equal(&plan.idle[i], &addr))
            return true;
    return false;
}

static void test_every_slot_leads_to_a_ready_backend(void **state)
{
    (void)state;
    for (uint64_t salt = 0; salt < 3; salt++) {
        uint32_t seen = 0;

        plan_sandbox("blue", salt);
        assert_int_equal(plan.slots, VIP_SLOTS_MIN);
        for (size_t i = 0; i < plan.count; i++)
            seen |= UINT32_C(1) << plan.items[i].slot;
        assert_int_equal(seen, (1u << VIP_SLOTS_MIN) - 1);
        assert_int_equal(leads("10.0.0.100", NULL), VIP_SLOTS_MIN);
        assert_int_equal(leads("10.0.0.100", "10.0.0.2"), VIP_SLOTS_MIN / 2);
        assert_int_equal(leads("10.0.0.100", "10.0.0.3"), VIP_SLOTS_MIN / 2);
        assert_int_equal(plan.count, VIP_SLOTS_MIN); /* nothing of "red", nothing unready */
    }
}

static void test_salt_decides_who_gets_more_when_shares_cannot_be_equal(void **state)
{
    size_t most = 0, least = SIZE_MAX;

    (void)state;
    services_add_backend(&table, "blue", "web", 7, true);
    for (uint64_t salt = 0; salt < 3; salt++) {
        size_t n;

        plan_sandbox("blue", salt);
        n = leads(NULL, "10.0.0.7");
        most = n > most ? n : most;
        least = n < least ? n : least;
    }
    assert_int_equal(least, 5);
    assert_int_equal(most, 6);
}

static void test_a_virtual_ip_without_ready_backend_refuses(void **state)
{
    (void)state;
    plan_sandbox("red", 0);
    assert_int_equal(plan.count, 0);
    assert_int_equal(plan.idle_count, 2);
    assert_true(is_idle("10.9.0.100"));
    assert_true(is_idle("10.9.0.101"));
}

static void test_many_backends_get_more_slots(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        services_add_backend(&table, "blue", "web", 300 + i, true);
    plan_sandbox("blue", 0);
    assert_int_equal(plan.slots, 64);
    assert_int_equal(plan.count, 64);
    for (unsigned i = 0; i < 1000; i++)
        services_add_backend(&table, "blue", "web", 1000 + i, true);
    plan_sandbox("blue", 0);
    assert_int_equal(plan.slots, VIP_SLOTS_MAX);
}

static void test_a_plan_s_hash_tells_what_is_in_it(void **state)
{
    static const struct hash_seed seed;
    uint64_t before, after;

    (void)state;
    plan_sandbox("blue", 0);
    before = vip_plan_hash(&plan, &seed);
    plan_sandbox("blue", 0);
    assert_true(vip_plan_hash(&plan, &seed) == before);
    services_add_backend(&table, "blue", "web", 7, false); /* not ready: nothing changes */
    plan_sandbox("blue", 0);
    assert_true(vip_plan_hash(&plan, &seed) == before);
    services_add_backend(&table, "blue", "web", 8, true);
    plan_sandbox("blue", 0);
    after = vip_plan_hash(&plan, &seed);
    assert_true(after != before);
    services_add_service(&table, "blue", "idle", OVERLAY_VIP, "10.0.0.200"); /* must refuse */
    plan_sandbox("blue", 0);
    assert_true(vip_plan_hash(&plan, &seed) != after);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_every_slot_leads_to_a_ready_backend),
        TEST(test_salt_decides_who_gets_more_when_shares_cannot_be_equal),
        TEST(test_a_virtual_ip_without_ready_backend_refuses),
        TEST(test_many_backends_get_more_slots),
        TEST(test_a_plan_s_hash_tells_what_is_in_it),
    };

    return cmocka_run_group_tests_name("vip", tests, NULL, NULL);
}
