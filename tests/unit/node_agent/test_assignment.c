/* Assignments as they arrive: what is taken in, what is refused, and what happens when memory runs
 * out on the way. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "tests/support/oom.h"
#include "tests/unit/node_agent/support_agent.h"

/* --- Bad input */

static void test_a_difference_needs_its_base(void **state)
{
    struct assign f = { .base = 5, .version = 6 };
    struct bench b;

    (void)state;
    bench_open(&b);
    assert_int_equal(agent_assign(b.agent, &f), ERR_STALE);
    bench_start_task(&b, 1);
    f = (struct assign){ .base = b.version + 1, .version = b.version + 2 };
    assert_int_equal(agent_assign(b.agent, &f), ERR_STALE);
    assert_int_equal(agent_version(b.agent), b.version);
    bench_close(&b);
}

static void test_a_row_must_be_what_its_key_says(void **state)
{
    static const char *const keys[] = { "task/x", "secret/x" };
    struct bench b;

    (void)state;
    bench_open(&b);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct assign empty = { 0 }, both = { 0 }, wrong = { 0 };

        frame_network(&empty, 1);
        fields_deinit(&network_type, empty.rows.items[0].network);
        free(empty.rows.items[0].network);
        empty.rows.items[0].network = NULL;
        assert_int_equal(str_set(&empty.rows.items[0].key, keys[i]), 0);
        assert_int_equal(bench_assign_all(&b, &empty), ERR_MALFORMED);

        frame_network(&both, 1);
        both.rows.items[0].secret = calloc(1, sizeof(struct secret));
        assert_int_equal(bench_assign_all(&b, &both), ERR_MALFORMED);

        frame_network(&wrong, 1);
        assert_int_equal(str_set(&wrong.rows.items[0].key, keys[i]), 0);
        assert_int_equal(bench_assign_all(&b, &wrong), ERR_MALFORMED);
    }
    bench_turn(&b);
    assert_int_equal(b.count, 0);
    bench_close(&b);
}

static void test_a_cut_assignment_changes_nothing(void **state)
{
    struct assign f = { 0 };
    struct bench b;

    (void)state;
    bench_open(&b);
    bench_start_task(&b, 1);
    (void)frame_task(&f, 2, TASK_RUNNING); /* the frame owns it */
    f.more = true;
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn(&b);
    assert_int_equal(b.count, 0);
    (void)frame_task(&f, 2, TASK_RUNNING); /* from the start again, in one */
    assert_int_equal(bench_assign_all(&b, &f), 0);
    bench_turn(&b);
    assert_int_equal(b.count, 2); /* 1 is stopped, 2 prepared */
    bench_close(&b);
}

/* --- Memory that runs out */

/* Whatever could not be remembered is asked for again, and then nothing of it is missing. */
static void test_memory_may_run_out_at_any_point(void **state)
{
    bool failed = true;

    (void)state;
    for (unsigned n = 1; failed; n++) {
        struct assign f = { 0 }, again = { 0 };
        struct bench b;
        int rc;

        bench_open(&b);
        frame_network(&f, 9);
        (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
        frame_network(&again, 9);
        (void)frame_task(&again, 1, TASK_RUNNING);
        f.version = 1;
        oom_fail_at(n);
        rc = agent_assign(b.agent, &f);
        failed = oom_has_failed();
        assert_int_equal(rc, failed ? -ENOMEM : 0);
        fields_deinit(&assign_type, &f);
        if (failed)
            assert_int_equal(agent_version(b.agent), 0);
        assert_int_equal(bench_assign_all(&b, &again), 0);
        bench_turn(&b);
        assert_int_equal(b.count, 2);
        assert_int_equal(b.seen[0].kind, AGENT_NETWORK_SET);
        assert_int_equal(b.seen[1].kind, AGENT_IMAGE_ENSURE);
        bench_close(&b);
    }
}

static void test_memory_may_run_out_in_a_difference(void **state)
{
    bool failed = true;

    (void)state;
    for (unsigned n = 1; failed; n++) {
        struct assign f = { 0 }, again = { 0 };
        struct bench b;
        int rc;

        bench_open(&b);
        frame_network(&f, 9);
        (void)frame_task(&f, 1, TASK_READY); /* the frame owns it */
        assert_int_equal(bench_assign_all(&b, &f), 0);
        (void)bench_settle(&b);
        frame_gone(&f, "network", 9);
        (void)frame_task(&f, 1, TASK_RUNNING);
        (void)frame_task(&f, 2, TASK_READY);
        (void)frame_task(&again, 1, TASK_RUNNING);
        (void)frame_task(&again, 2, TASK_READY);
        f.base = b.version;
        f.version = b.version + 1;
        oom_fail_at(n);
        rc = agent_assign(b.agent, &f);
        failed = oom_has_failed();
        assert_int_equal(rc, failed ? -ENOMEM : 0); /* after a failure all of it comes again */
        fields_deinit(&assign_type, &f);
        bench_turn(&b); /* what it points to is still there */
        for (size_t i = 0; i < b.count; i++)
            bench_answer(&b, i, 0);
        assert_int_equal(bench_assign_all(&b, &again), 0);
        (void)bench_settle(&b);
        bench_turn_later(&b);
        assert_int_equal(agent_row_count(b.agent), 2);
        agent_connected(b.agent, b.now);
        bench_turn_later(&b);
        assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
        assert_int_equal(bench_state(&b, 2), TASK_READY);
        bench_close(&b);
    }
}

static void test_a_turn_without_memory_is_taken_again(void **state)
{
    bool failed = true;

    (void)state;
    for (unsigned n = 1; failed; n++) {
        struct assign f = { 0 };
        struct bench b;

        bench_open(&b);
        (void)frame_task(&f, 1, TASK_RUNNING); /* the frame owns it */
        assert_int_equal(bench_assign_all(&b, &f), 0);
        oom_fail_at(n);
        bench_turn(&b);
        failed = oom_has_failed();
        if (failed && b.count == 0)
            assert_true(b.deadline <= b.now + 100 * MS);
        for (size_t i = 0; i < b.count; i++)
            bench_answer(&b, i, 0);
        (void)bench_settle(&b);
        agent_connected(b.agent, b.now);
        bench_turn_later(&b);
        assert_int_equal(bench_state(&b, 1), TASK_RUNNING);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_difference_needs_its_base),
        cmocka_unit_test(test_a_row_must_be_what_its_key_says),
        cmocka_unit_test(test_a_cut_assignment_changes_nothing),
        cmocka_unit_test(test_memory_may_run_out_at_any_point),
        cmocka_unit_test(test_memory_may_run_out_in_a_difference),
        cmocka_unit_test(test_a_turn_without_memory_is_taken_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
