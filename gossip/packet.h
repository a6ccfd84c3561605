/* gossip/packet.h - From a datagram to the files that know what its messages mean. */
#ifndef GOSSIP_PACKET_H
#define GOSSIP_PACKET_H

#include "gossip/state.h"

void packet_receive(struct gossip *g, const struct gossip_addr *addr, struct slice bytes);

#endif /* GOSSIP_PACKET_H */
