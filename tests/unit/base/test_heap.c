/* The heap of deadlines against a linear search. */
#include "base/heap.h"

#include "base/prng.h"
#include "tests/support/unit.h"

enum { TIMERS = 60 };

struct timer {
    struct heap_node node;
    bool is_set;
    mono_ns deadline;
    uint64_t order; /* of the last heap_set */
};

static struct timer *earliest(struct timer *timers)
{
    struct timer *best = NULL;

    for (int i = 0; i < TIMERS; i++) {
        struct timer *t = &timers[i];

        if (t->is_set && (best == NULL || t->deadline < best->deadline ||
                          (t->deadline == best->deadline && t->order < best->order)))
            best = t;
    }
    return best;
}

static void assert_valid(const struct heap_node *n, const struct heap_node *parent)
{
    if (n == NULL)
        return;
    assert_ptr_equal(n->parent, parent);
    if (parent != NULL)
        assert_true(parent->deadline < n->deadline ||
                    (parent->deadline == n->deadline && parent->sequence < n->sequence));
    assert_valid(n->left, n);
    assert_valid(n->right, n);
}

static void test_minimum_matches_a_linear_search(void **state)
{
    struct timer timers[TIMERS] = { 0 };
    struct heap h;
    struct prng p;
    uint64_t order = 0;
    size_t count = 0;

    (void)state;
    prng_init(&p, 4);
    heap_init(&h);
    for (int step = 0; step < 20000; step++) {
        struct timer *t = &timers[prng_below(&p, TIMERS)];

        if (prng_chance(&p, 0.6)) {
            t->deadline = prng_below(&p, 30); /* few values: many equal deadlines */
            t->order = ++order;
            count += !t->is_set;
            t->is_set = true;
            heap_set(&h, &t->node, t->deadline);
        } else {
            count -= t->is_set;
            t->is_set = false;
            heap_remove(&h, &t->node);
        }
        assert_int_equal(h.count, count);
        assert_int_equal(heap_node_is_set(&t->node), t->is_set);
        assert_valid(h.root, NULL);
        t = earliest(timers);
        assert_ptr_equal(heap_min(&h), t == NULL ? NULL : &t->node);
        assert_true(heap_deadline(&h) == (t == NULL ? MONO_NEVER : t->deadline));
    }
}

static void test_equal_deadlines_come_out_in_the_order_they_were_set(void **state)
{
    struct heap_node nodes[9] = { 0 };
    struct heap h;

    (void)state;
    heap_init(&h);
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        heap_set(&h, &nodes[i], 7);
    heap_set(&h, &nodes[0], 7); /* set again: now the last */
    for (size_t i = 1; i < ARRAY_LEN(nodes); i++)
        assert_ptr_equal(heap_pop_due(&h, 7), &nodes[i]);
    assert_ptr_equal(heap_pop_due(&h, 7), &nodes[0]);
    assert_null(heap_pop_due(&h, 7));
}

static void test_only_what_is_due_is_popped(void **state)
{
    struct heap_node node = { 0 };
    struct heap h;

    (void)state;
    heap_init(&h);
    heap_set(&h, &node, 10);
    assert_null(heap_pop_due(&h, 9));
    assert_ptr_equal(heap_pop_due(&h, 10), &node);
    heap_set(&h, &node, MONO_NEVER);
    assert_int_equal(h.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimum_matches_a_linear_search),
        cmocka_unit_test(test_equal_deadlines_come_out_in_the_order_they_were_set),
        cmocka_unit_test(test_only_what_is_due_is_popped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
