/* raft/quorum.c - Majorities. A learner's value is never looked at, and the two halves of a joint
 * configuration are never added up: both must agree, each for itself ([Raft] 6). */
#include "raft/quorum.h"

static uint64_t reached_in_half(const struct raft_conf *c, const uint64_t *values, uint32_t half)
{
    uint64_t sorted[RAFT_MEMBERS_MAX];
    size_t n = 0;

    for (uint32_t i = 0; i < c->member_count; i++) {
        size_t at = n;

        if ((c->members[i].flags & half) == 0)
            continue;
        for (; at > 0 && sorted[at - 1] < values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
        n++;
    }
    return n == 0 ? 0 : sorted[n / 2]; /* descending: n / 2 others have at least as much */
}

uint64_t quorum_reached(const struct raft_conf *c, const uint64_t *values)
{
    uint64_t reached = reached_in_half(c, values, RAFT_VOTER);

    if (c->joint) {
        uint64_t old = reached_in_half(c, values, RAFT_VOTER_OLD);

        reached = old < reached ? old : reached;
    }
    return reached;
}

static enum tally tally_half(const struct raft_conf *c, const enum ballot *ballots, uint32_t half)
{
    size_t voters = 0, granted = 0, rejected = 0;

    for (uint32_t i = 0; i < c->member_count; i++) {
        if ((c->members[i].flags & half) == 0)
            continue;
        voters++;
        granted += ballots[i] == BALLOT_GRANTED;
        rejected += ballots[i] == BALLOT_REJECTED;
    }
    if (granted > voters / 2)
        return TALLY_WON;
    return voters - rejected > voters / 2 ? TALLY_OPEN : TALLY_LOST;
}

enum tally quorum_tally(const struct raft_conf *c, const enum ballot *ballots)
{
    enum tally fresh = tally_half(c, ballots, RAFT_VOTER);
    enum tally old = c->joint ? tally_half(c, ballots, RAFT_VOTER_OLD) : TALLY_WON;

    if (fresh == TALLY_LOST || old == TALLY_LOST)
        return TALLY_LOST;
    return fresh == TALLY_WON && old == TALLY_WON ? TALLY_WON : TALLY_OPEN;
}

bool quorum_is_sole_voter(const struct raft_conf *c, raft_node_id id)
{
    bool voter = false;

    for (uint32_t i = 0; i < c->member_count; i++) {
        if ((c->members[i].flags & (RAFT_VOTER | RAFT_VOTER_OLD)) == 0)
            continue;
        if (c->members[i].id != id)
            return false;
        voter = true;
    }
    return voter;
}
