/* Which manager an agent talks to. */
#include <stdio.h>

#include "node/finder.h"
#include "tests/support/unit.h"

static struct id manager(unsigned n)
{
    struct id id = { "" };

    (void)snprintf(id.text, sizeof(id.text), "%025u", n);
    return id;
}

static void served_by(struct finder *f, unsigned n)
{
    struct id id = manager(n);

    finder_init(f);
    finder_add(f, &id);
    assert_true(finder_turn(f, 1));
    finder_served(f, &id);
    assert_int_equal(f->deadline, MONO_NEVER);
}

static void test_a_served_agent_is_content(void **state)
{
    struct finder f;

    (void)state;
    served_by(&f, 1);
    assert_false(finder_turn(&f, NS_PER_S));
}

static void test_a_redirect_is_followed_at_once(void **state)
{
    struct id other = manager(2);
    struct finder f;

    (void)state;
    served_by(&f, 1);
    finder_redirect(&f, &other, 5);
    assert_true(finder_turn(&f, 5));
    assert_true(id_equal(&f.target, &other));
}

/* A leader that lost its majority and has it again knows nothing of those it served before. */
static void test_the_same_leader_elected_anew_is_asked_again(void **state)
{
    struct id same = manager(1);
    struct finder f;

    (void)state;
    served_by(&f, 1);
    finder_redirect(&f, &same, 5);
    assert_true(finder_turn(&f, 5));
    assert_true(id_equal(&f.target, &same));
    assert_int_equal(f.state, FINDER_ASKING);
}

/* It answers a HELLO that came too early with its own name: that is no reason for the next. */
static void test_a_leader_that_is_being_asked_is_not_asked_twice(void **state)
{
    struct id same = manager(1);
    struct finder f;

    (void)state;
    finder_init(&f);
    finder_add(&f, &same);
    assert_true(finder_turn(&f, 1));
    finder_redirect(&f, &same, 5);
    assert_false(finder_turn(&f, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_served_agent_is_content),
        cmocka_unit_test(test_a_redirect_is_followed_at_once),
        cmocka_unit_test(test_the_same_leader_elected_anew_is_asked_again),
        cmocka_unit_test(test_a_leader_that_is_being_asked_is_not_asked_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
