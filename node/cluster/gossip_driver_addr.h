/* node/cluster/gossip_driver_addr.h - Socket addresses and the core's, private to the driver. */
#ifndef NODE_CLUSTER_GOSSIP_DRIVER_ADDR_H
#define NODE_CLUSTER_GOSSIP_DRIVER_ADDR_H

#include <sys/socket.h>

#include "gossip/gossip.h"

/* IPv4 in an IPv6 address (::ffff:a.b.c.d) becomes IPv4.  ERR_INVALID (another family) */
int gossip_addr_from_sockaddr(const struct sockaddr *sa, struct gossip_addr *out);

/* `family` is the sending socket's: an AF_INET6 socket reaches IPv4 as ::ffff:a.b.c.d. */
void gossip_addr_to_sockaddr(const struct gossip_addr *addr, int family,
                             struct sockaddr_storage *out);

#endif /* NODE_CLUSTER_GOSSIP_DRIVER_ADDR_H */
