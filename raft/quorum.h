/* raft/quorum.h - Majorities, in one configuration or in both halves of a joint one. Pure.
 *
 * Each function takes one value per member of the configuration, in the order of its members. */
#ifndef RAFT_QUORUM_H
#define RAFT_QUORUM_H

#include "raft/conf.h"

/* The largest v such that a majority of the voters, in each half, has a value of at least v:
 * the commit index from match indices, the time of the last contact with a quorum, the round of
 * reads that a quorum has answered. */
uint64_t quorum_reached(const struct raft_conf *c, const uint64_t *values);

enum ballot { BALLOT_OPEN, BALLOT_GRANTED, BALLOT_REJECTED };
enum tally { TALLY_OPEN, TALLY_WON, TALLY_LOST };

/* Won when a majority of each half has granted; lost when some half cannot any more. */
enum tally quorum_tally(const struct raft_conf *c, const enum ballot *ballots);

/* Whether `id` alone is a majority wherever it counts: no one else has to be asked. */
bool quorum_is_sole_voter(const struct raft_conf *c, raft_node_id id);

#endif /* RAFT_QUORUM_H */
