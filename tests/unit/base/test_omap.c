/* The ordered map against a sorted array. */
#include "base/omap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"

enum { KEYS = 3 * 256 };

/* Short keys over few letters, so that many are prefixes of others. Sorted by memcmp. */
struct twin {
    struct {
        char key[8];
        int *value;
    } rows[KEYS];
    size_t count;
};

static size_t twin_lower_bound(const struct twin *t, const char *key)
{
    size_t i = 0;

    while (i < t->count && strcmp(t->rows[i].key, key) < 0)
        i++;
    return i;
}

static void random_key(struct prng *p, char key[8])
{
    size_t len = prng_below(p, 6);

    for (size_t i = 0; i < len; i++)
        key[i] = (char)('a' + prng_below(p, 3));
    key[len] = '\0';
}

static void assert_same(const struct omap *m, const struct twin *t)
{
    const struct omap_node *n = omap_first(m);

    assert_int_equal(m->count, t->count);
    for (size_t i = 0; i < t->count; i++, n = omap_next(n)) {
        assert_non_null(n);
        assert_true(slice_equal(omap_key(n), slice_of_str(t->rows[i].key)));
        assert_ptr_equal(omap_value(n), t->rows[i].value);
    }
    assert_null(n);
    n = omap_last(m);
    for (size_t i = t->count; i > 0; i--, n = omap_prev(n))
        assert_true(slice_equal(omap_key(n), slice_of_str(t->rows[i - 1].key)));
    assert_null(n);
}

static void assert_bounds(const struct omap *m, const struct twin *t, const char *key)
{
    const struct omap_node *n = omap_lower_bound(m, slice_of_str(key));
    size_t at = twin_lower_bound(t, key);

    if (at == t->count) {
        assert_null(n);
        return;
    }
    assert_true(slice_equal(omap_key(n), slice_of_str(t->rows[at].key)));
    while (at < t->count && strncmp(t->rows[at].key, key, strlen(key)) == 0) {
        assert_true(omap_has_prefix(n, slice_of_str(key)));
        n = omap_next(n);
        at++;
    }
    assert_true(n == NULL || !omap_has_prefix(n, slice_of_str(key)));
}

static void test_contents_and_order_match_a_sorted_array(void **state)
{
    static int values[1000];
    struct twin *t = calloc(1, sizeof(*t));
    struct omap m;
    struct prng p;

    (void)state;
    prng_init(&p, 6);
    omap_init(&m);
    for (int step = 0; step < 20000; step++) {
        int *value = &values[prng_below(&p, ARRAY_LEN(values))];
        double growth = step / 4000 % 2 == 0 ? 0.7 : 0.3;
        bool there;
        char key[8];
        size_t at;

        random_key(&p, key);
        at = twin_lower_bound(t, key);
        there = at < t->count && strcmp(t->rows[at].key, key) == 0;
        assert_ptr_equal(omap_get(&m, slice_of_str(key)), there ? t->rows[at].value : NULL);
        if (prng_chance(&p, growth)) {
            assert_int_equal(omap_set(&m, slice_of_str(key), value), 0);
            if (!there) {
                memmove(&t->rows[at + 1], &t->rows[at], (t->count - at) * sizeof(t->rows[0]));
                memcpy(t->rows[at].key, key, sizeof(key));
                t->count++;
            }
            t->rows[at].value = value;
        } else {
            assert_ptr_equal(omap_remove(&m, slice_of_str(key)), there ? t->rows[at].value : NULL);
            if (there) {
                memmove(&t->rows[at], &t->rows[at + 1], (t->count - at - 1) * sizeof(t->rows[0]));
                t->count--;
            }
        }
        random_key(&p, key);
        assert_bounds(&m, t, key);
        if (step % 16 == 0)
            assert_same(&m, t);
    }
    omap_deinit(&m);
    omap_deinit(&m); /* again: allowed */
    free(t);
}

struct number {
    uint8_t key[4]; /* big-endian: sorts as the number */
};

static struct number number_key(uint32_t i)
{
    return (
        struct number){ { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
}

static struct slice number_slice(const struct number *n)
{
    return slice_of(n->key, sizeof(n->key));
}

/* The twin test above cannot see a tree that has become a list. An AVL tree of depth d has at
 * least F(d + 2) - 1 nodes, where F are the Fibonacci numbers. */
static void assert_shallow(const struct omap *m)
{
    size_t nodes_min = 1, nodes_min_next = 2, depth_max = 0;

    while (nodes_min <= m->count) {
        size_t sum = nodes_min + nodes_min_next + 1;

        nodes_min = nodes_min_next;
        nodes_min_next = sum;
        depth_max++;
    }
    for (const struct omap_node *n = omap_first(m); n != NULL; n = omap_next(n))
        assert_true(omap_depth(m, omap_key(n)) <= depth_max);
}

static void test_depth_stays_logarithmic(void **state)
{
    enum { COUNT = 1 << 12 };
    int value = 0;
    struct omap m;
    struct prng p;

    (void)state;
    prng_init(&p, 8);
    omap_init(&m);
    for (uint32_t i = 0; i < COUNT; i++) { /* ascending: the worst order for a plain tree */
        struct number n = number_key(i);

        assert_int_equal(omap_set(&m, number_slice(&n), &value), 0);
    }
    assert_shallow(&m);
    for (uint32_t i = 0; i < COUNT / 2; i++) { /* one side only */
        struct number n = number_key(i);

        assert_non_null(omap_remove(&m, number_slice(&n)));
        if (i % 64 == 0)
            assert_shallow(&m);
    }
    for (int i = 0; i < COUNT; i++) { /* anywhere, often with two children */
        struct number n = number_key((uint32_t)prng_range(&p, COUNT / 2, COUNT - 1));

        (void)omap_remove(&m, number_slice(&n)); /* or gone already */
        if (i % 16 == 0)
            assert_shallow(&m);
    }
    omap_deinit(&m);
}

static void test_depth_of_small_trees_is_exactly_bounded(void **state)
{
    int value = 0;
    struct prng p;

    (void)state;
    prng_init(&p, 9);
    for (int round = 0; round < 500; round++) {
        struct omap m;

        omap_init(&m);
        for (int i = 0; i < 60; i++) {
            struct number n = number_key((uint32_t)prng_below(&p, 40));

            if (i < 30 || prng_chance(&p, 0.2))
                assert_int_equal(omap_set(&m, number_slice(&n), &value), 0);
            else
                (void)omap_remove(&m, number_slice(&n)); /* there or not */
            assert_shallow(&m);
        }
        omap_deinit(&m);
    }
}

static void test_nodes_stay_while_others_come_and_go(void **state)
{
    const struct omap_node *kept;
    int value = 0;
    struct omap m;
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    omap_init(&m);
    assert_int_equal(omap_set(&m, slice_of_str("mmm"), &value), 0);
    kept = omap_find(&m, slice_of_str("mmm"));
    for (int i = 0; i < 2000; i++) {
        char key[8];

        random_key(&p, key);
        if (prng_chance(&p, 0.5))
            assert_int_equal(omap_set(&m, slice_of_str(key), &value), 0);
        else
            (void)omap_remove(&m, slice_of_str(key)); /* there or not */
        assert_ptr_equal(omap_find(&m, slice_of_str("mmm")), kept);
    }
    omap_deinit(&m);
}

static void test_out_of_memory_changes_nothing(void **state)
{
    int value = 0;
    struct omap m;

    (void)state;
    omap_init(&m);
    oom_fail_at(1);
    assert_int_equal(omap_set(&m, slice_of_str("a"), &value), -ENOMEM);
    assert_true(oom_has_failed());
    assert_int_equal(m.count, 0);
    assert_null(omap_first(&m));
    assert_int_equal(omap_set(&m, slice_of_str("a"), &value), 0);
    omap_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents_and_order_match_a_sorted_array),
        cmocka_unit_test(test_depth_stays_logarithmic),
        cmocka_unit_test(test_depth_of_small_trees_is_exactly_bounded),
        cmocka_unit_test(test_nodes_stay_while_others_come_and_go),
        cmocka_unit_test(test_out_of_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
