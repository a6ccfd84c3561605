/* tests/unit/raft/test_session.c - A retried command runs once. [Diss] 6.3 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/prng.h"
#include "raft/session.h"

static enum session_verdict check(struct session_table *t, raft_index index, uint64_t session,
                                  uint64_t sequence)
{
    int32_t result = -77;
    enum session_verdict v = session_check(t, index, session, sequence, &result);

    if (v == SESSION_REPEAT)
        assert_int_equal(result, (int32_t)sequence); /* what the tests store */
    return v;
}

static void test_a_repeat_gets_the_first_result(void **state)
{
    struct session_table *t;

    (void)state;
    assert_int_equal(session_new(&t), 0);
    session_open(t, 10);
    assert_int_equal(check(t, 11, 10, 1), SESSION_APPLY);
    session_done(t, 10, 1, 1);
    assert_int_equal(check(t, 12, 10, 1), SESSION_REPEAT);
    assert_int_equal(check(t, 13, 10, 3), SESSION_APPLY); /* out of order is fine */
    session_done(t, 10, 3, 3);
    assert_int_equal(check(t, 14, 10, 2), SESSION_APPLY);
    assert_int_equal(check(t, 15, 0, 1), SESSION_APPLY); /* no session, no promise */
    session_free(t);
}

static void test_what_is_not_known_is_gone_and_never_runs(void **state)
{
    struct session_table *t;

    (void)state;
    assert_int_equal(session_new(&t), 0);
    assert_int_equal(check(t, 1, 5, 1), SESSION_GONE);
    session_open(t, 10);
    assert_int_equal(check(t, 11, 10, 0), SESSION_GONE);
    session_done(t, 10, SESSION_WINDOW + 5, 7);
    assert_int_equal(check(t, 12, 10, 5), SESSION_GONE); /* fell out of the window open */
    assert_int_equal(check(t, 13, 10, 6), SESSION_APPLY);
    session_done(t, 10, 100000, 7); /* a jump */
    assert_int_equal(check(t, 14, 10, 6), SESSION_GONE);
    session_free(t);
}

static void test_the_session_used_longest_ago_makes_room(void **state)
{
    struct session_table *t;

    (void)state;
    assert_int_equal(session_new(&t), 0);
    for (uint64_t id = 1; id <= SESSION_MAX; id++)
        session_open(t, id);
    assert_int_equal(check(t, 1000, 1, 1), SESSION_APPLY); /* now 2 is the oldest */
    session_open(t, 1001);
    assert_int_equal(check(t, 1002, 2, 1), SESSION_GONE);
    assert_int_equal(check(t, 1003, 1, 1), SESSION_APPLY);
    session_free(t);
}

/* Slow twin: everything that ran, for ever. */
static void test_against_a_twin_that_forgets_nothing(void **state)
{
    static uint8_t bytes[SESSION_LEN_MAX], again[SESSION_LEN_MAX];
    static bool ran[4][2000];
    struct session_table *t, *copy;
    struct prng p;

    (void)state;
    prng_init(&p, 9);
    assert_int_equal(session_new(&t), 0);
    assert_int_equal(session_new(&copy), 0);
    for (uint64_t id = 1; id <= 3; id++)
        session_open(t, id);
    for (raft_index index = 10; index < 30000; index++) {
        uint64_t session = 1 + prng_below(&p, 3);
        uint64_t sequence = 1 + index / 20 - prng_below(&p, index < 6000 ? index / 20 + 1 : 300);

        switch (check(t, index, session, sequence)) {
        case SESSION_APPLY:
            assert_false(ran[session][sequence]);
            ran[session][sequence] = true;
            session_done(t, session, sequence, (int32_t)sequence);
            break;
        case SESSION_REPEAT:
            assert_true(ran[session][sequence]);
            break;
        case SESSION_GONE:
            break;
        }
        if (index % 1000 == 0) { /* a snapshot in between changes nothing */
            size_t len = session_encode(t, bytes);

            assert_int_equal(session_decode(copy, slice_of(bytes, len)), 0);
            assert_int_equal(session_encode(copy, again), len);
            assert_memory_equal(bytes, again, len);
            assert_int_equal(session_decode(copy, slice_of(bytes, len - 1)), ERR_MALFORMED);
            assert_int_equal(session_decode(t, slice_of(bytes, len)), 0);
        }
    }
    session_free(t);
    session_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repeat_gets_the_first_result),
        cmocka_unit_test(test_what_is_not_known_is_gone_and_never_runs),
        cmocka_unit_test(test_the_session_used_longest_ago_makes_room),
        cmocka_unit_test(test_against_a_twin_that_forgets_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
