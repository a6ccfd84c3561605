/* gossip/candidate.h - Records of ids that the host has not spoken about.
 *
 * They are held unverified, in a table of fixed size whose longest untouched entry gives way; they
 * are not passed on, not probed and no part of the digest. Whoever fills the table holds the
 * cluster's key, and costs others no more than a second look. */
#ifndef GOSSIP_CANDIDATE_H
#define GOSSIP_CANDIDATE_H

#include "gossip/state.h"

void candidate_hold(struct gossip *g, node_ref ref, const struct record *r, struct slice bytes,
                    struct slice meta, const struct member *source);

/* The host trusts this new member: what it said as a candidate now counts. */
void candidate_admit(struct gossip *g, struct member *m);

/* The host refuses the id: it is not asked about it again for a while. */
void candidate_refuse(struct gossip *g, const struct id *id);

/* Candidates whose metadata has not arrived; the host could not judge them. */
size_t candidate_missing(const struct gossip *g, node_ref *out, size_t cap, node_ref *out_source);

/* True when a stranger's own record would tell the host something new. */
bool candidate_is_welcome(const struct gossip *g, node_ref ref);

/* The record of the nth candidate whose metadata is missing, or NULL: it has it itself. */
const struct blob *candidate_incomplete(const struct gossip *g, size_t nth);

void candidates_deinit(struct gossip *g);

#endif /* GOSSIP_CANDIDATE_H */
