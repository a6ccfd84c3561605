/* Who sends next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/units.h"
#include "node/cluster/link_sched.h"

#define PIECE        (16 * KIB)
#define BIT(channel) (1u << (channel))

/* Bytes that `channel` sends out of `rounds` pieces while all of `waiting` always wait. */
static size_t share_of(struct link_sched *s, unsigned waiting, enum link_channel channel,
                       size_t rounds)
{
    size_t sent = 0;

    for (size_t i = 0; i < rounds; i++) {
        enum link_channel c = link_sched_pick(s, waiting);

        link_sched_charge(s, c, PIECE);
        sent += c == channel;
    }
    return sent;
}

static void test_urgent_overtakes_bulk_at_the_next_piece(void **state)
{
    struct link_sched s;

    (void)state;
    link_sched_init(&s);
    (void)share_of(&s, BIT(LINK_BLOBS), LINK_BLOBS, 1000);
    assert_int_equal(link_sched_pick(&s, BIT(LINK_BLOBS) | BIT(LINK_RAFT)), LINK_RAFT);
}

static void test_waiting_long_earns_no_credit(void **state)
{
    struct link_sched s;

    (void)state;
    link_sched_init(&s);
    (void)share_of(&s, BIT(LINK_RAFT), LINK_RAFT, 1000);
    /* Had BLOBS saved up its thousand turns, RAFT would now wait for them. */
    assert_in_range(share_of(&s, BIT(LINK_BLOBS) | BIT(LINK_RAFT), LINK_RAFT, 170), 155, 165);
}

static void test_nothing_starves(void **state)
{
    const unsigned all = (2u << LINK_CHANNEL_MAX) - 2;
    struct link_sched s;

    (void)state;
    for (unsigned c = 1; c <= LINK_CHANNEL_MAX; c++) {
        link_sched_init(&s);
        assert_true(share_of(&s, all, (enum link_channel)c, 200) >= 4);
    }
}

static void test_shares_follow_the_weights(void **state)
{
    struct link_sched s;

    (void)state;
    link_sched_init(&s);
    assert_in_range(share_of(&s, BIT(LINK_FORWARD) | BIT(LINK_BLOBS), LINK_FORWARD, 500), 395, 405);
    link_sched_init(&s);
    assert_in_range(share_of(&s, BIT(LINK_LOGS) | BIT(LINK_BLOBS), LINK_LOGS, 500), 245, 255);
}

static void test_of_equals_the_more_urgent_goes_first(void **state)
{
    struct link_sched s;

    (void)state;
    link_sched_init(&s);
    assert_int_equal(link_sched_pick(&s, BIT(LINK_DISPATCH) | BIT(LINK_RAFT)), LINK_RAFT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urgent_overtakes_bulk_at_the_next_piece),
        cmocka_unit_test(test_waiting_long_earns_no_credit),
        cmocka_unit_test(test_nothing_starves),
        cmocka_unit_test(test_shares_follow_the_weights),
        cmocka_unit_test(test_of_equals_the_more_urgent_goes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
