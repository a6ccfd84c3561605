/* gossip/suspicion.h - From accusation to verdict, with Lifeguard's decaying time-out.
 *
 * A verdict is local: it falls when the time-out of the suspicion is over, which is long while one
 * member accuses and short once enough have: [Lifeguard] IV-B. Unlike in memberlist nobody spreads
 * "dead"; everyone hears the accusations and concludes alone, so a node that was asleep or cut
 * off and concludes wrongly does so for itself only. */
#ifndef GOSSIP_SUSPICION_H
#define GOSSIP_SUSPICION_H

#include "gossip/state.h"

/* Holds an accusation of the incarnation held, whose signature was checked. False: held
 * already, or there are enough of lower accusers. */
bool suspicion_add(struct gossip *g, struct member *m, node_ref accuser, struct blob *blob);

/* Would an accusation by this accuser be held? */
bool suspicion_wants(const struct member *m, node_ref accuser);

/* An accusation that is held, or not wanted, was heard again. */
void suspicion_heard(struct gossip *g, struct member *m, node_ref accuser);

/* As many accusers as any verdict asks for: one more adds nothing. */
bool suspicion_is_confirmed(const struct member *m);

/* Forgets the case: refuted, left or forgotten. The status is the caller's. */
void suspicion_drop(struct gossip *g, struct member *m);

/* How long after the first accusation the verdict falls, for a group of n with `count` accusers. */
mono_ns suspicion_timeout(const struct gossip_config *cfg, size_t n, unsigned count);

void suspicion_run(struct gossip *g);
mono_ns suspicion_deadline(const struct gossip *g);

#endif /* GOSSIP_SUSPICION_H */
