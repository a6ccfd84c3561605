/* When a node asks for a new certificate, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/attr.h"
#include "node/cluster/ca.h"
#include "node/cluster/renewal.h"

#define DAY  (INT64_C(24) * 3600 * (wall_ns)NS_PER_S)
#define HOUR (INT64_C(3600) * (wall_ns)NS_PER_S)
#define NOW  (INT64_C(1790000000) * (wall_ns)NS_PER_S)
#define BOOT (7 * NS_PER_S) /* of the monotonic clock at NOW */

static struct ca ca;

static struct cert issue(uint8_t number, wall_ns validity)
{
    const uint8_t random[ID_RANDOM_LEN] = { number };
    struct cert c = { .cluster = id_from_random(random), .node = id_from_random(random) };

    assert_int_equal(ca_issue_valid(&ca, &c, NOW, validity), 0);
    return c;
}

static struct renewal_wish fitting(const struct cert *c)
{
    struct renewal_wish wish = { .is_known = true, .role = c->role };

    memcpy(wish.root, c->issuer, CLUSTER_KEY_LEN);
    return wish;
}

static void test_age_counts_between_half_and_two_thirds(void **state)
{
    const wall_ns validities[] = { HOUR, DAY, 90 * DAY, 3650 * DAY };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(validities); i++) {
        for (uint8_t n = 1; n < 100; n++) {
            struct cert c = issue(n, validities[i]);
            wall_ns whole = c.not_after - c.not_before, at = renewal_at(&c);

            assert_true(at >= c.not_before + whole / 2);
            assert_true(at <= c.not_before + whole / 3 * 2);
            assert_true(at > NOW + validities[i] / 3); /* back-dating does not make it due */
            assert_int_equal(at, renewal_at(&c));
        }
    }
}

static void test_nodes_that_joined_together_renew_apart(void **state)
{
    unsigned per_day[20] = { 0 };

    (void)state;
    for (uint8_t n = 0; n < 200; n++) {
        struct cert c = issue(n, 90 * DAY);
        wall_ns after_half = renewal_at(&c) - cert_renew_at(&c);

        per_day[after_half / DAY]++;
    }
    for (size_t day = 0; day < 15; day++)
        assert_in_range(per_day[day], 1, 40); /* 200 of them in 15 days */
}

/* The daemon asks, waits as told, and asks again: it must not miss the moment. */
static void test_a_daemon_that_sleeps_as_told_renews_in_time(void **state)
{
    struct cert c = issue(1, 90 * DAY);
    struct renewal_wish wish = fitting(&c);
    struct renewal r = { 0 };
    wall_ns wall = NOW;
    mono_ns mono = BOOT;
    unsigned questions = 0;

    (void)state;
    for (;;) {
        mono_ns wait = renewal_wait(&r, &c, &wish, wall, mono);

        if (wait == 0)
            break;
        assert_true(wait <= RENEWAL_LOOK_NS);
        wall += (wall_ns)wait;
        mono += wait;
        questions++;
    }
    assert_int_equal(wall, renewal_at(&c));
    assert_in_range(questions, 45 * 24, 61 * 24);
    wish.is_known = false; /* before the managers have said anything, too */
    assert_int_equal(renewal_wait(&r, &c, &wish, wall, mono), 0);
}

static void test_a_clock_that_is_set_is_noticed_within_the_hour(void **state)
{
    struct cert c = issue(1, 90 * DAY);
    struct renewal_wish wish = fitting(&c);
    struct renewal r = { 0 };

    (void)state;
    assert_int_equal(renewal_wait(&r, &c, &wish, NOW, BOOT), RENEWAL_LOOK_NS);
    assert_int_equal(renewal_wait(&r, &c, &wish, NOW + 80 * DAY, BOOT + RENEWAL_LOOK_NS), 0);
    assert_int_equal(renewal_wait(&r, &c, &wish, NOW + 300 * DAY, BOOT + RENEWAL_LOOK_NS), 0);
}

static void test_another_role_is_asked_for_at_once(void **state)
{
    struct cert c = issue(1, 90 * DAY);
    struct renewal_wish wish = fitting(&c);
    struct renewal r = { 0 };

    (void)state;
    wish.role = ROLE_MANAGER;
    assert_int_equal(renewal_wait(&r, &c, &wish, NOW, BOOT), 0);
    wish.is_known = false;
    assert_true(renewal_wait(&r, &c, &wish, NOW, BOOT) > 0);
}

static void test_another_root_is_followed_by_each_node_a_little_later(void **state)
{
    unsigned halves[2] = { 0 };

    (void)state;
    for (uint8_t n = 0; n < 100; n++) {
        struct cert c = issue(n, 90 * DAY);
        struct renewal_wish wish = fitting(&c);
        struct renewal r = { 0 };
        mono_ns wait;

        assert_true(renewal_wait(&r, &c, &wish, NOW, BOOT) > RENEWAL_ROOT_SPREAD_NS);
        wish.root[0] ^= 1;
        wait = renewal_wait(&r, &c, &wish, NOW, BOOT);
        assert_in_range(wait, 0, RENEWAL_ROOT_SPREAD_NS);
        halves[wait > RENEWAL_ROOT_SPREAD_NS / 2]++;
        /* Asked again it does not begin anew. */
        assert_int_equal(renewal_wait(&r, &c, &wish, NOW, BOOT + wait / 2), wait - wait / 2);
        assert_int_equal(renewal_wait(&r, &c, &wish, NOW, BOOT + wait), 0);
        /* A rotation that is taken back is forgotten. */
        wish.root[0] ^= 1;
        assert_true(renewal_wait(&r, &c, &wish, NOW, BOOT + wait) > RENEWAL_ROOT_SPREAD_NS);
    }
    assert_in_range(halves[0], 25, 75);
}

static void test_failures_are_repeated_with_growing_pauses_for_ever(void **state)
{
    struct cert c = issue(1, 90 * DAY);
    struct renewal_wish wish = fitting(&c);
    struct renewal r = { 0 };
    mono_ns mono = BOOT, longest = 0;

    (void)state;
    wish.role = ROLE_MANAGER;
    for (unsigned i = 0; i < 1000; i++) {
        mono_ns wait;

        assert_int_equal(renewal_wait(&r, &c, &wish, NOW, mono), 0);
        renewal_failed(&r, mono, i * UINT64_C(0x9e3779b97f4a7c15));
        wait = renewal_wait(&r, &c, &wish, NOW, mono);
        assert_in_range(wait, RENEWAL_PAUSE_MIN_NS / 2, RENEWAL_PAUSE_MAX_NS);
        longest = MAX(longest, wait);
        mono += wait;
    }
    assert_true(longest > RENEWAL_PAUSE_MAX_NS / 2);
    renewal_done(&r);
    renewal_failed(&r, mono, 0);
    assert_in_range(renewal_wait(&r, &c, &wish, NOW, mono), 0, RENEWAL_PAUSE_MIN_NS);
}

static void test_a_certificate_of_an_older_root_takes_no_newer_ones_place(void **state)
{
    const uint8_t seed[CLUSTER_KEY_LEN] = { 2 };
    struct cert of_old = issue(1, 90 * DAY), of_new = of_old;
    struct renewal_wish wish = fitting(&of_old);
    struct ca next;

    (void)state;
    ca_init(&next, seed);
    assert_int_equal(ca_issue(&next, &of_new, NOW), 0);
    assert_true(renewal_accepts(&of_old, &of_old, &wish));
    memcpy(wish.root, next.root, CLUSTER_KEY_LEN);
    assert_true(renewal_accepts(&of_old, &of_new, &wish));
    assert_true(renewal_accepts(&of_old, &of_old, &wish)); /* no worse than before */
    assert_true(renewal_accepts(&of_new, &of_new, &wish));
    assert_false(renewal_accepts(&of_new, &of_old, &wish));
}

static int make_ca(void **state)
{
    const uint8_t seed[CLUSTER_KEY_LEN] = { 1 };

    (void)state;
    ca_init(&ca, seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_age_counts_between_half_and_two_thirds),
        cmocka_unit_test(test_nodes_that_joined_together_renew_apart),
        cmocka_unit_test(test_a_daemon_that_sleeps_as_told_renews_in_time),
        cmocka_unit_test(test_a_clock_that_is_set_is_noticed_within_the_hour),
        cmocka_unit_test(test_another_role_is_asked_for_at_once),
        cmocka_unit_test(test_another_root_is_followed_by_each_node_a_little_later),
        cmocka_unit_test(test_failures_are_repeated_with_growing_pauses_for_ever),
        cmocka_unit_test(test_a_certificate_of_an_older_root_takes_no_newer_ones_place),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, make_ca, NULL);
}
