/* The hash map against an array searched from the front; order of iteration; limits. */
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/prng.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"

static const struct hash_seed SEED = { { 1, 2, 3 } };

enum { KEYS = 400 };

/* Keys of all lengths around the inline limit; key 0 is empty. */
static struct slice key_of(size_t i, char text[64])
{
    size_t len = i % 50;

    memset(text, 'k', len);
    for (size_t at = 0; at < len && at < 4; at++)
        text[at] = (char)('a' + (i >> (4 * at)) % 16);
    return slice_of(text, len);
}

struct twin {
    size_t order[KEYS]; /* numbers of the keys that are there, oldest first */
    int *values[KEYS];
    size_t count;
};

static size_t twin_find(const struct twin *t, size_t key)
{
    size_t i = 0;

    while (i < t->count && t->order[i] != key)
        i++;
    return i;
}

static void assert_same(const struct map *m, const struct twin *t)
{
    struct map_iter it = { 0 };
    char text[64];
    size_t i = 0;

    assert_int_equal(m->count, t->count);
    while (map_next(m, &it)) {
        assert_true(i < t->count);
        assert_true(slice_equal(it.key, key_of(t->order[i], text)));
        assert_ptr_equal(it.value, t->values[t->order[i]]);
        i++;
    }
    assert_int_equal(i, t->count);
}

static bool key_is_unique(size_t k)
{
    char a[64], b[64];

    for (size_t i = 0; i < k; i++)
        if (slice_equal(key_of(i, a), key_of(k, b)))
            return false;
    return true;
}

static void test_contents_and_order_match_an_array(void **state)
{
    static int values[1000];
    struct twin *t = calloc(1, sizeof(*t));
    bool usable[KEYS];
    struct map m;
    struct prng p;

    (void)state;
    prng_init(&p, 5);
    map_init(&m, &SEED, KEYS);
    for (size_t k = 0; k < KEYS; k++)
        usable[k] = key_is_unique(k);
    for (int step = 0; step < 20000; step++) {
        size_t k = prng_below(&p, KEYS), at = twin_find(t, k);
        int *value = &values[prng_below(&p, ARRAY_LEN(values))];
        double growth = step / 4000 % 2 == 0 ? 0.7 : 0.3; /* fill, then empty, .. */
        char text[64];
        struct slice key = key_of(k, text);

        if (!usable[k])
            continue;
        assert_ptr_equal(map_get(&m, key), at < t->count ? t->values[k] : NULL);
        if (prng_chance(&p, growth)) {
            assert_int_equal(map_set(&m, key, value), 0);
            t->values[k] = value;
            if (at == t->count)
                t->order[t->count++] = k;
        } else {
            assert_ptr_equal(map_remove(&m, key), at < t->count ? t->values[k] : NULL);
            if (at < t->count) {
                memmove(&t->order[at], &t->order[at + 1],
                        (t->count - at - 1) * sizeof(t->order[0]));
                t->count--;
            }
        }
        if (step % 16 == 0)
            assert_same(&m, t);
    }
    assert_same(&m, t);
    map_clear(&m);
    t->count = 0;
    assert_same(&m, t);
    map_deinit(&m);
    free(t);
}

static void test_order_does_not_depend_on_the_seed(void **state)
{
    int value = 0;

    (void)state;
    for (uint8_t seed = 0; seed < 10; seed++) {
        struct map_iter it = { 0 };
        struct map m;

        map_init(&m, &(struct hash_seed){ { seed } }, 100);
        for (uint64_t i = 0; i < 100; i++)
            assert_int_equal(map_set_u64(&m, i * i, &value), 0);
        for (uint64_t i = 0; map_next(&m, &it); i++)
            assert_int_equal(map_iter_u64(&it), i * i);
        map_deinit(&m);
    }
}

static void test_entries_may_leave_during_a_walk(void **state)
{
    struct map_iter it = { 0 };
    int value = 0;
    struct map m;

    (void)state;
    map_init(&m, &SEED, 100);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(map_set_u64(&m, i, &value), 0);
    while (map_next(&m, &it))
        if (map_iter_u64(&it) % 3 != 0)
            assert_non_null(map_remove_u64(&m, map_iter_u64(&it)));
    assert_int_equal(m.count, 34);
    assert_null(map_get_u64(&m, 1));
    assert_ptr_equal(map_get_u64(&m, 99), &value);
    map_deinit(&m);
}

static void test_limits_are_answers(void **state)
{
    uint8_t *long_key = calloc(1, MAP_KEY_LEN_MAX + 1);
    int value = 0;
    struct map m;

    (void)state;
    map_init(&m, &SEED, 2);
    assert_int_equal(map_set(&m, slice_of(long_key, MAP_KEY_LEN_MAX + 1), &value), ERR_TOO_LARGE);
    assert_int_equal(map_set(&m, slice_of(long_key, MAP_KEY_LEN_MAX), &value), 0);
    assert_int_equal(map_set_u64(&m, 1, &value), 0);
    assert_int_equal(map_set_u64(&m, 2, &value), ERR_FULL);
    assert_int_equal(map_set_u64(&m, 1, &value), 0); /* present: not a new entry */
    assert_non_null(map_remove_u64(&m, 1));
    assert_int_equal(map_set_u64(&m, 2, &value), 0);
    map_deinit(&m);
    free(long_key);
}

static void test_memory_does_not_grow_with_churn(void **state)
{
    int value = 0;
    struct map m;

    (void)state;
    map_init(&m, &SEED, 1000);
    for (uint64_t i = 0; i < 100000; i++) {
        assert_int_equal(map_set_u64(&m, i, &value), 0);
        if (i >= 10)
            assert_non_null(map_remove_u64(&m, i - 10));
    }
    assert_true(m.entry_cap <= 32);
    map_deinit(&m);
}

static void test_out_of_memory_changes_nothing(void **state)
{
    char text[64];
    int value = 0;
    struct map m;

    (void)state;
    map_init(&m, &SEED, 100);
    for (size_t k = 40; k < 50; k++) { /* long keys: a key of their own, and growth at times */
        unsigned n = 0;
        int rc;

        do {
            oom_fail_at(++n);
            rc = map_set(&m, key_of(k, text), &value);
            if (rc < 0) {
                assert_int_equal(rc, -ENOMEM);
                assert_int_equal(m.count, k - 40);
                assert_null(map_get(&m, key_of(k, text)));
            }
        } while (oom_has_failed());
        assert_ptr_equal(map_get(&m, key_of(k, text)), &value);
    }
    map_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents_and_order_match_an_array),
        cmocka_unit_test(test_order_does_not_depend_on_the_seed),
        cmocka_unit_test(test_entries_may_leave_during_a_walk),
        cmocka_unit_test(test_limits_are_answers),
        cmocka_unit_test(test_memory_does_not_grow_with_churn),
        cmocka_unit_test(test_out_of_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
