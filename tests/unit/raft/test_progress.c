/* tests/unit/raft/test_progress.c - Flow control: windows, stale answers, probing. RT-002 ..
 * RT-004, raft_flow_control_test, raft_snap_test */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "raft/progress.h"

static const struct raft_config cfg = { .inflight_max = 3, .inflight_bytes_max = 100 };

static struct progress replicating(raft_index match)
{
    struct progress p;

    memset(&p, 0, sizeof(p));
    progress_init(&p, 2, match, 0);
    (void)progress_acked(&p, match);
    progress_probe(&p, match + 1);
    p.flow = RAFT_REPLICATE;
    return p;
}

static void test_a_probe_is_alone_until_answered(void **state)
{
    struct progress p;

    (void)state;
    memset(&p, 0, sizeof(p));
    progress_init(&p, 2, 5, 0);
    assert_true(progress_is_open(&p, &cfg));
    progress_sent(&p, 6, 1, 10);
    assert_false(progress_is_open(&p, &cfg));
    assert_int_equal(p.next, 6); /* optimism is for replicating */
    progress_heard(&p, &cfg);    /* an answer to a heartbeat older than the probe */
    assert_false(progress_is_open(&p, &cfg));
    p.stalled = true; /* a heartbeat after it */
    progress_heard(&p, &cfg);
    assert_true(progress_is_open(&p, &cfg));
}

static void test_the_window_closes_by_messages_and_by_bytes(void **state)
{
    struct progress p = replicating(1);

    (void)state;
    for (raft_index i = 2; i <= 4; i++) {
        assert_true(progress_is_open(&p, &cfg));
        progress_sent(&p, i, 1, 10);
    }
    assert_false(progress_is_open(&p, &cfg));
    assert_true(progress_acked(&p, 3));
    assert_int_equal(p.window_count, 1);
    progress_sent(&p, 5, 1, 200); /* one message may overshoot */
    assert_false(progress_is_open(&p, &cfg));
    assert_true(progress_acked(&p, 5));
    assert_true(progress_is_open(&p, &cfg));
    assert_int_equal(p.window_bytes, 0);
}

static void test_an_old_ack_frees_nothing_and_moves_nothing(void **state)
{
    struct progress p = replicating(5);

    (void)state;
    progress_sent(&p, 6, 1, 10);
    progress_sent(&p, 7, 1, 10);
    assert_false(progress_acked(&p, 4));
    assert_int_equal(p.match, 5);
    assert_int_equal(p.next, 8);
    assert_int_equal(p.window_count, 2);
}

static void test_each_heartbeat_answer_frees_one_slot_of_a_full_window(void **state)
{
    struct progress p = replicating(1);

    (void)state;
    for (raft_index i = 2; i <= 4; i++)
        progress_sent(&p, i, 1, 10);
    progress_heard(&p, &cfg);
    assert_int_equal(p.window_count, 2);
    progress_heard(&p, &cfg); /* it is open: nothing more to free */
    assert_int_equal(p.window_count, 2);
}

static void test_rejections(void **state)
{
    const struct {
        const char *why;
        enum raft_flow flow;
        raft_index match, next, rejected, probe;
        bool news;
        raft_index next_after;
    } cases[] = {
        { "probing: back to the hint", RAFT_PROBE, 2, 10, 9, 5, true, 5 },
        { "probing: never to what matches", RAFT_PROBE, 4, 10, 9, 2, true, 5 },
        { "probing: always a step back", RAFT_PROBE, 2, 10, 9, 20, true, 9 },
        { "probing: of an older probe", RAFT_PROBE, 2, 10, 7, 3, false, 10 },
        { "replicating: back to what matches", RAFT_REPLICATE, 4, 10, 9, 7, true, 5 },
        { "replicating: overtaken by an ack", RAFT_REPLICATE, 4, 10, 4, 2, false, 10 },
        { "waiting for a snapshot: nothing to reject", RAFT_SNAPSHOT, 4, 10, 9, 7, false, 10 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct progress p;

        print_message("  %s\n", cases[i].why);
        memset(&p, 0, sizeof(p));
        p.flow = cases[i].flow;
        p.match = cases[i].match;
        p.next = cases[i].next;
        assert_int_equal(progress_rejected(&p, cases[i].rejected, cases[i].probe), cases[i].news);
        assert_int_equal(p.next, cases[i].next_after);
        assert_true(p.next > p.match);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_probe_is_alone_until_answered),
        cmocka_unit_test(test_the_window_closes_by_messages_and_by_bytes),
        cmocka_unit_test(test_an_old_ack_frees_nothing_and_moves_nothing),
        cmocka_unit_test(test_each_heartbeat_answer_frees_one_slot_of_a_full_window),
        cmocka_unit_test(test_rejections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
