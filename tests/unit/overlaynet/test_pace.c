/* Dense streams of datagrams are left to gather, nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/attr.h"
#include "overlaynet/pace.h"

/* Turns `gap` apart, each the same; returns the last wait. */
static mono_ns run(struct pace *p, mono_ns *now, int turns, mono_ns gap, struct pace_turn turn)
{
    mono_ns wait = 0;

    for (int i = 0; i < turns; i++) {
        *now += gap;
        wait = pace_after(p, &turn, *now);
    }
    return wait;
}

#define SENT(n)     ((struct pace_turn){ .sent = (n) })
#define RECEIVED(n) ((struct pace_turn){ .received = (n) })

static void test_only_a_dense_stream_waits(void **state)
{
    const struct {
        const char *why;
        mono_ns gap;
        unsigned datagrams;
        bool waits;
    } cases[] = {
        { "100 000 each second, one a turn", 10 * NS_PER_US, 1, true },
        { "100 000 each second, gathered", 60 * NS_PER_US, 6, true },
        { "the border: 80 000", 50 * NS_PER_US, 4, true },
        { "just below", 51 * NS_PER_US, 4, false },
        { "a question and its answer, as fast as a machine can", 20 * NS_PER_US, 1, false },
        { "a call", 20 * NS_PER_MS, 1, false },
        { "a burst each millisecond, less in all", NS_PER_MS, 60, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const mono_ns expected = cases[i].waits ? PACE_WAIT_NS : 0;
        struct pace sender = { 0 }, receiver = { 0 };
        mono_ns now = 5 * NS_PER_S;

        print_message("  %s\n", cases[i].why);
        assert_int_equal(run(&sender, &now, 100, cases[i].gap, SENT(cases[i].datagrams)), expected);
        assert_int_equal(run(&receiver, &now, 100, cases[i].gap, RECEIVED(cases[i].datagrams)),
                         expected);
    }
}

static void test_questions_and_answers_never_wait(void **state)
{
    struct pace p = { 0 };
    mono_ns now = NS_PER_S;

    (void)state;
    for (int i = 0; i < 1000; i++) { /* at any rate */
        assert_int_equal(run(&p, &now, 1, 10 * NS_PER_US, SENT(8)), 0);
        assert_int_equal(run(&p, &now, 1, 10 * NS_PER_US, RECEIVED(8)), 0);
        assert_true(pace_is_idle(&p));
    }
    for (int i = 0; i < 1000; i++) { /* in one turn */
        struct pace_turn both = { .sent = 8, .received = 8 };

        assert_int_equal(run(&p, &now, 1, 10 * NS_PER_US, both), 0);
        assert_true(pace_is_idle(&p));
    }
}

static void test_other_traffic_ends_the_waiting(void **state)
{
    const struct pace_turn other = { .sent = 1, .others = 1 };
    struct pace p = { 0 };
    mono_ns now = NS_PER_S;

    (void)state;
    assert_int_equal(run(&p, &now, 100, 10 * NS_PER_US, SENT(1)), PACE_WAIT_NS);
    assert_int_equal(run(&p, &now, 1, 10 * NS_PER_US, other), 0);
    assert_int_equal(run(&p, &now, 5, 10 * NS_PER_US, SENT(1)), 0); /* until the window ends */
    assert_int_equal(run(&p, &now, 100, 10 * NS_PER_US, SENT(1)), PACE_WAIT_NS);
}

/* One answer is enough: who gets answers may wait for the next. */
static void test_a_datagram_the_other_way_ends_the_waiting(void **state)
{
    struct pace p = { 0 };
    mono_ns now = NS_PER_S;

    (void)state;
    assert_int_equal(run(&p, &now, 100, 10 * NS_PER_US, RECEIVED(1)), PACE_WAIT_NS);
    assert_int_equal(run(&p, &now, 1, 10 * NS_PER_US, SENT(1)), 0);
    assert_int_equal(run(&p, &now, 5, 10 * NS_PER_US, RECEIVED(1)), 0);
    assert_int_equal(run(&p, &now, 100, 10 * NS_PER_US, RECEIVED(1)), PACE_WAIT_NS);
}

static void test_a_stream_that_stops_is_forgotten_soon(void **state)
{
    struct pace p = { 0 };
    mono_ns now = NS_PER_S;

    (void)state;
    assert_int_equal(run(&p, &now, 100, 10 * NS_PER_US, SENT(1)), PACE_WAIT_NS);
    /* The sender had lost the processor. */
    assert_int_equal(run(&p, &now, 1, PACE_HOLD_NS / 2, SENT(1)), PACE_WAIT_NS);
    assert_int_equal(run(&p, &now, 1, PACE_HOLD_NS, SENT(1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_a_dense_stream_waits),
        cmocka_unit_test(test_questions_and_answers_never_wait),
        cmocka_unit_test(test_other_traffic_ends_the_waiting),
        cmocka_unit_test(test_a_datagram_the_other_way_ends_the_waiting),
        cmocka_unit_test(test_a_stream_that_stops_is_forgotten_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
