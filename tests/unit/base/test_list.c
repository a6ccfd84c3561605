/* The intrusive list against an array of numbers. */
#include "base/list.h"

#include "base/prng.h"
#include "tests/support/unit.h"

enum { ITEMS = 20 };

struct item {
    int number;
    struct list link;
};

static int number_of(struct list *link)
{
    return CONTAINER_OF(link, struct item, link)->number;
}

static void assert_same(const struct list *head, const int *twin, size_t count)
{
    size_t i = 0;

    LIST_EACH(it, head)
    {
        assert_true(i < count);
        assert_int_equal(number_of(it), twin[i++]);
        assert_ptr_equal(it->prev->next, it);
        assert_ptr_equal(it->next->prev, it);
    }
    assert_int_equal(i, count);
    if (count == 0) {
        assert_null(list_first(head));
        assert_null(list_last(head));
    } else {
        assert_int_equal(number_of(list_first(head)), twin[0]);
        assert_int_equal(number_of(list_last(head)), twin[count - 1]);
    }
}

static void test_order_matches_an_array(void **state)
{
    struct item items[ITEMS];
    int twin[ITEMS];
    size_t count = 0;
    struct list head;
    struct prng p;

    (void)state;
    prng_init(&p, 3);
    list_init(&head);
    for (int i = 0; i < ITEMS; i++) {
        items[i].number = i;
        list_init(&items[i].link);
    }
    for (int step = 0; step < 5000; step++) {
        struct item *it = &items[prng_below(&p, ITEMS)];

        if (list_is_linked(&it->link)) {
            size_t at = 0;

            while (twin[at] != it->number)
                at++;
            memmove(&twin[at], &twin[at + 1], (count - at - 1) * sizeof(twin[0]));
            count--;
            list_remove(&it->link);
            list_remove(&it->link); /* again: allowed */
        } else if (prng_chance(&p, 0.5)) {
            twin[count++] = it->number;
            list_push_back(&head, &it->link);
        } else {
            memmove(&twin[1], &twin[0], count * sizeof(twin[0]));
            twin[0] = it->number;
            count++;
            list_push_front(&head, &it->link);
        }
        assert_same(&head, twin, count);
    }
}

static void test_splice_moves_all_to_the_end(void **state)
{
    struct item items[4];
    struct list a, b;

    (void)state;
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        list_push_back(i < 2 ? &a : &b, &items[i].link);
    }
    list_splice_back(&a, &b);
    assert_same(&a, (const int[]){ 0, 1, 2, 3 }, 4);
    assert_true(list_is_empty(&b));
    list_splice_back(&a, &b);
    assert_same(&a, (const int[]){ 0, 1, 2, 3 }, 4);
    list_splice_back(&b, &a);
    assert_same(&b, (const int[]){ 0, 1, 2, 3 }, 4);
}

static void test_items_may_leave_during_a_safe_walk(void **state)
{
    struct item items[4];
    struct list head;

    (void)state;
    list_init(&head);
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        list_push_back(&head, &items[i].link);
    }
    LIST_EACH_SAFE(it, &head)
    {
        if (number_of(it) % 2 == 0)
            list_remove(it);
    }
    assert_same(&head, (const int[]){ 1, 3 }, 2);
    assert_int_equal(number_of(list_pop_front(&head)), 1);
    assert_int_equal(number_of(list_pop_front(&head)), 3);
    assert_null(list_pop_front(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_matches_an_array),
        cmocka_unit_test(test_splice_moves_all_to_the_end),
        cmocka_unit_test(test_items_may_leave_during_a_safe_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
