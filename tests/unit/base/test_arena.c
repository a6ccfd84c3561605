/* The arena: what it hands out is zeroed, aligned and apart; its limit and overflow hold. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>

#include "base/prng.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"

static void test_allocations_are_zeroed_aligned_and_do_not_overlap(void **state)
{
    enum { COUNT = 500 };
    struct {
        uint8_t *ptr;
        size_t len;
    } given[COUNT];
    struct arena a;
    struct prng p;

    (void)state;
    prng_init(&p, 2);
    arena_init(&a, SIZE_MAX);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            given[i].len = prng_below(&p, prng_chance(&p, 0.05) ? 200000 : 300);
            given[i].ptr = arena_alloc(&a, 1, given[i].len);
            assert_non_null(given[i].ptr);
            assert_int_equal((uintptr_t)given[i].ptr % alignof(max_align_t), 0);
            for (size_t j = 0; j < given[i].len; j++)
                assert_int_equal(given[i].ptr[j], 0);
            memset(given[i].ptr, (int)(i & 0xff), given[i].len);
        }
        for (size_t i = 0; i < COUNT; i++)
            for (size_t j = 0; j < given[i].len; j++)
                assert_int_equal(given[i].ptr[j], i & 0xff);
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    arena_deinit(&a);
}

static void test_limit_and_overflow_are_refused(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 64);
    assert_non_null(arena_alloc(&a, 4, 16));
    assert_true(arena_would_exceed(&a, 1, 1));
    assert_null(arena_alloc(&a, 1, 1));
    arena_reset(&a);
    assert_false(arena_would_exceed(&a, 1, 64));
    assert_true(arena_would_exceed(&a, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(&a, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(&a, SIZE_MAX / 16 + 1, 16)); /* the product wraps to 0 */
    assert_null(arena_alloc(&a, 1, SIZE_MAX));
    assert_null(arena_copy_str(&a, slice_of("x", SIZE_MAX)));
    arena_deinit(&a);
}

static void test_copies_are_equal(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1000);
    assert_string_equal(arena_copy_str(&a, slice_of("hello", 4)), "hell");
    assert_string_equal(arena_copy_str(&a, slice_of(NULL, 0)), "");
    assert_memory_equal(arena_copy(&a, "abc", 3), "abc", 3);
    assert_non_null(arena_copy(&a, NULL, 0));
    arena_deinit(&a);
}

static void test_out_of_memory_is_null_and_not_the_limit(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1000);
    oom_fail_at(1);
    assert_null(arena_alloc(&a, 1, 8));
    assert_true(oom_has_failed());
    assert_false(arena_would_exceed(&a, 1, 8));
    assert_non_null(arena_alloc(&a, 1, 8));
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations_are_zeroed_aligned_and_do_not_overlap),
        cmocka_unit_test(test_limit_and_overflow_are_refused),
        cmocka_unit_test(test_copies_are_equal),
        cmocka_unit_test(test_out_of_memory_is_null_and_not_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
