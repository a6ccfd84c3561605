/* Pseudo-random numbers: the published algorithm, streams that do not disturb each other. */
#include "base/prng.h"

#include "tests/support/unit.h"

static void test_numbers_are_those_of_the_reference(void **state)
{
    /* xoshiro256** from state {1, 2, 3, 4}: computed by hand for the first, and by the
     * reference algorithm for the others. */
    static const uint64_t want[] = { UINT64_C(11520), UINT64_C(0), UINT64_C(1509978240),
                                     UINT64_C(1215971899390074240) };
    struct prng p = { .state = { 1, 2, 3, 4 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_true(prng_u64(&p) == want[i]);
}

static void test_seeding_is_split_mix(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 0); /* the first output of SplitMix64 from 0 */
    assert_true(p.state[0] == UINT64_C(0xe220a8397b1dcdaf));
}

static void test_forks_depend_on_name_and_seed_only(void **state)
{
    struct prng a, b, fork_a, fork_b, other;

    (void)state;
    prng_init(&a, 9);
    prng_init(&b, 9);
    for (int i = 0; i < 100; i++)
        (void)prng_u64(&b); /* drawing from the parent leaves its forks alone */
    fork_a = prng_fork(&a, "network");
    fork_b = prng_fork(&b, "network");
    assert_memory_equal(&fork_a, &fork_b, sizeof(fork_a));
    other = prng_fork(&a, "disk");
    assert_memory_not_equal(&fork_a, &other, sizeof(other));
    fork_b = prng_fork_u64(&a, 1);
    other = prng_fork_u64(&a, 2);
    assert_memory_not_equal(&fork_b, &other, sizeof(other));
}

static void test_below_is_uniform_and_in_range(void **state)
{
    enum { N = 7, DRAWS = 70000 };
    unsigned seen[N] = { 0 };
    unsigned high = 0;
    struct prng p;

    (void)state;
    prng_init(&p, 10);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = prng_below(&p, N);

        assert_true(x < N);
        seen[x]++;
    }
    for (int i = 0; i < N; i++)
        assert_in_range(seen[i], 9600, 10400); /* 10000, more than 4 sigma either way */
    /* With n = 3/4 of 2^64 a plain modulo would give the lowest quarter twice as often. */
    for (int i = 0; i < DRAWS; i++)
        high += prng_below(&p, UINT64_C(3) << 62) >= UINT64_C(1) << 62;
    assert_in_range(high, DRAWS * 2 / 3 - 600, DRAWS * 2 / 3 + 600);
}

static void test_edges_of_ranges_and_chances(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 11);
    assert_int_equal(prng_below(&p, 1), 0);
    assert_int_equal(prng_range(&p, 5, 5), 5);
    (void)prng_range(&p, 0, UINT64_MAX); /* must not divide by zero */
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_range(&p, UINT64_MAX - 1, UINT64_MAX);

        assert_true(x >= UINT64_MAX - 1);
        assert_false(prng_chance(&p, 0));
        assert_true(prng_chance(&p, 1));
    }
}

static void test_bytes_fill_exactly_the_length(void **state)
{
    uint8_t bytes[24];
    struct prng p;

    (void)state;
    for (size_t len = 0; len <= 16; len++) {
        memset(bytes, 0xee, sizeof(bytes));
        prng_init(&p, 12);
        prng_bytes(&p, bytes + 4, len);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(bytes[i], 0xee);
        for (size_t i = 4 + len; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_those_of_the_reference),
        cmocka_unit_test(test_seeding_is_split_mix),
        cmocka_unit_test(test_forks_depend_on_name_and_seed_only),
        cmocka_unit_test(test_below_is_uniform_and_in_range),
        cmocka_unit_test(test_edges_of_ranges_and_chances),
        cmocka_unit_test(test_bytes_fill_exactly_the_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
