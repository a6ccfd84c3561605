/* gossip/probe.h - Asking members whether they are there: [SWIM] 3.1 and 4.3.
 *
 *     ping ---- rtt time-out ----> ping again, and GOSSIP_HELPERS members ping too
 *          ---- another, twice --> ping again
 *          ---- another ---------> failed
 *
 * The time-out follows the member's measured round trip (RFC 6298) and is stretched by local health
 * ([Lifeguard] IV-A). Members take their turns in a shuffled round, so each is probed at least
 * once in 2n - 1 intervals. A ping tells an accused member of what, before anything else does:
 * [Lifeguard] IV-C. */
#ifndef GOSSIP_PROBE_H
#define GOSSIP_PROBE_H

#include "gossip/state.h"
#include "gossip/wire.h"

/* Probes a member now, unless a probe of ours is under way. */
void probe_start(struct gossip *g, struct member *m);

/* One attempt to reach what may have come back: a member, or with m NULL an address. */
void probe_contact(struct gossip *g, struct member *m, const struct gossip_addr *addr);

/* `from` is the sender when it is a member, `addr` where its packet came from. */
void probe_on_ping(struct gossip *g, const struct message_ping *ping, node_ref sender,
                   struct member *from, const struct gossip_addr *addr);
void probe_on_ack(struct gossip *g, const struct message_ack *ack, node_ref sender);
void probe_on_ping_req(struct gossip *g, const struct message_ping_req *req,
                       const struct gossip_addr *addr);
void probe_on_nack(struct gossip *g, const struct message_nack *nack);

void probe_on_send_failed(struct gossip *g, const struct gossip_addr *addr);
void probe_on_link_alive(struct gossip *g, struct member *m);
void probe_on_link_lost(struct gossip *g, struct member *m);

/* True while the host's link speaks for the member. */
bool probe_is_held(const struct gossip *g, const struct member *m);

void probe_run(struct gossip *g);
mono_ns probe_deadline(const struct gossip *g);

#endif /* GOSSIP_PROBE_H */
