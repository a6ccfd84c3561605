/* gossip/digest.h - Finding and mending differences between two views, with packets.
 *
 * Every packet carries the sum of the hashes of all that its sender holds. When it differs from
 * ours and gossip does not mend that by itself, the two compare:
 *     SUMMARY  hash of each of 256 buckets of members (large groups only)
 *     ITEMS    (ref, version) of each member of the buckets that differ, as many as fit
 *     RECORD, ACCUSATION, WANT   what the other lacks or has otherwise, both ways
 * One datagram each way per step, one comparison at a time; what is lost is found again with the
 * next packet. When that does not converge, or too much differs, a stream does it: exchange.h. */
#ifndef GOSSIP_DIGEST_H
#define GOSSIP_DIGEST_H

#include "gossip/state.h"

/* A packet of `from`, at `addr`, carried `digest`. */
void digest_heard(struct gossip *g, struct member *from, const struct gossip_addr *addr,
                  uint64_t digest);

/* The same of a node whose record is not here, which may know us all the same: one that came back
 * with nothing, and is its own only contact, hears of the others no other way. At most once a
 * second. */
void digest_heard_of_stranger(struct gossip *g, const struct gossip_addr *addr, uint64_t digest);

/* Each returns false when the message is malformed. */
bool digest_on_summary(struct gossip *g, const struct member *from, const struct gossip_addr *addr,
                       struct slice body);
bool digest_on_items(struct gossip *g, const struct gossip_addr *addr, struct slice body);
bool digest_on_want(struct gossip *g, const struct gossip_addr *addr, struct slice body);

#endif /* GOSSIP_DIGEST_H */
