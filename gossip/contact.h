/* gossip/contact.h - Trying what does not answer, for as long as it is a member.
 *
 * Two kinds: addresses that the host configured, and members found unreachable. Each is tried after
 * 1 s, 2 s, 4 s .. contact_interval_max and then for ever at that pace; this is what heals a
 * partition of any length. All unreachable members together get CONTACTS_PER_S attempts, so a
 * node that lost thousands does not flood; configured contacts are not part of that sum. */
#ifndef GOSSIP_CONTACT_H
#define GOSSIP_CONTACT_H

#include "gossip/state.h"

#define CONTACTS_PER_S 4

void contact_set(struct gossip *g, const struct gossip_contact *list, size_t count);

/* A member has become unreachable; its suspicion's timer now means the next attempt. */
void contact_schedule(struct gossip *g, struct suspicion *s);
void contact_retry(struct gossip *g, struct suspicion *s);

/* Somebody answered at `addr`. */
void contact_answered(struct gossip *g, const struct gossip_addr *addr, node_ref sender);

void contact_run(struct gossip *g);
mono_ns contact_deadline(const struct gossip *g);

#endif /* GOSSIP_CONTACT_H */
