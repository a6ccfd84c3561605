/* tests/unit/raft/test_quorum.c - Majorities, against a slow twin that tries every subset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/prng.h"
#include "raft/quorum.h"

enum { NODES = 7 };

/* A random configuration of up to NODES members; joint more often than not. */
static void draw_conf(struct prng *p, struct raft_conf *c)
{
    *c = (struct raft_conf){ .epoch = 1, .joint = prng_chance(p, 0.6) };
    c->member_count = (uint32_t)prng_range(p, 1, NODES);
    for (uint32_t i = 0; i < c->member_count; i++) {
        c->members[i].id = i + 1;
        c->members[i].flags = prng_chance(p, 0.7) ? RAFT_VOTER : 0;
        if (c->joint && prng_chance(p, 0.6))
            c->members[i].flags |= RAFT_VOTER_OLD;
        if (c->joint && c->members[i].flags == RAFT_VOTER_OLD && prng_chance(p, 0.5))
            c->members[i].flags |= RAFT_LEAVING; /* says nothing about who decides now */
    }
    c->members[0].flags |= RAFT_VOTER | (c->joint ? RAFT_VOTER_OLD : 0u);
}

/* Slow twin: is the set of members a majority of one half? */
static bool is_majority(const struct raft_conf *c, uint32_t half, const bool *in_set)
{
    int voters = 0, in = 0;

    for (uint32_t i = 0; i < c->member_count; i++)
        if ((c->members[i].flags & half) != 0) {
            voters++;
            in += in_set[i];
        }
    return 2 * in > voters;
}

static bool decides(const struct raft_conf *c, const bool *in_set)
{
    return is_majority(c, RAFT_VOTER, in_set) &&
           (!c->joint || is_majority(c, RAFT_VOTER_OLD, in_set));
}

static void test_reached_is_what_both_majorities_have(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 1);
    for (int round = 0; round < 20000; round++) {
        struct raft_conf c;
        uint64_t values[NODES];
        bool set[NODES];
        uint64_t reached;

        draw_conf(&p, &c);
        for (int i = 0; i < NODES; i++)
            values[i] = prng_below(&p, 6);
        reached = quorum_reached(&c, values);
        for (uint64_t v = 0; v < 7; v++) {
            for (int i = 0; i < NODES; i++)
                set[i] = values[i] >= v;
            assert_int_equal(decides(&c, set), v <= reached);
        }
    }
}

static void test_tally_is_decided_exactly_when_no_ballot_can_change_it(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 2);
    for (int round = 0; round < 20000; round++) {
        struct raft_conf c;
        enum ballot ballots[NODES];
        bool granted[NODES], possible[NODES];
        enum tally want = TALLY_OPEN;

        draw_conf(&p, &c);
        for (int i = 0; i < NODES; i++) {
            ballots[i] = (enum ballot)prng_below(&p, 3);
            granted[i] = ballots[i] == BALLOT_GRANTED;
            possible[i] = ballots[i] != BALLOT_REJECTED;
        }
        if (decides(&c, granted))
            want = TALLY_WON;
        else if (!decides(&c, possible))
            want = TALLY_LOST;
        assert_int_equal(quorum_tally(&c, ballots), want);
    }
}

static void test_two_decisions_always_share_a_member(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 3);
    for (int round = 0; round < 20000; round++) {
        struct raft_conf c;
        bool one[NODES], other[NODES], shared = false;

        draw_conf(&p, &c);
        for (int i = 0; i < NODES; i++) {
            one[i] = prng_chance(&p, 0.6);
            other[i] = prng_chance(&p, 0.6);
        }
        for (uint32_t i = 0; i < c.member_count; i++)
            shared |= one[i] && other[i];
        if (decides(&c, one) && decides(&c, other))
            assert_true(shared);
    }
}

static void test_a_sole_voter_is_alone_in_both_halves(void **state)
{
    struct raft_conf c = { .epoch = 1, .member_count = 3 };

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        c.members[i].id = i + 1;
    c.members[0].flags = RAFT_VOTER;
    assert_true(quorum_is_sole_voter(&c, 1));
    assert_false(quorum_is_sole_voter(&c, 2));
    c.joint = true;
    c.members[0].flags = RAFT_VOTER | RAFT_VOTER_OLD;
    c.members[1].flags = RAFT_VOTER_OLD;
    assert_false(quorum_is_sole_voter(&c, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reached_is_what_both_majorities_have),
        cmocka_unit_test(test_tally_is_decided_exactly_when_no_ballot_can_change_it),
        cmocka_unit_test(test_two_decisions_always_share_a_member),
        cmocka_unit_test(test_a_sole_voter_is_alone_in_both_halves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
