/* overlaynet/ingress.h - Published ports: the rules of the host and of the sandboxes behind. Pure.
 *
 *     client -> host:8080   DNAT to a backend, one of this host first; source unchanged
 *            -> gateway leg of the host on the ingress network -> backend's sandbox
 *     the sandbox marks the connection with the gateway whose MAC it came from, and routes what it
 *     answers back through that gateway, where the DNAT is undone
 *
 * So services see the client's address, whichever node it came to. Connections of the host itself
 * and of its sandboxes are masqueraded as the gateway: they have no address that could be routed
 * back. Answers of unconnected UDP sockets get the address that was asked before conntrack sees
 * them, and a sandbox without any other way takes the one through a gateway for UDP.
 *
 * IPv4 leads to IPv4 and IPv6 to IPv6: the network has subnets of both, nothing is translated. A
 * backend that has an address of one family takes connections of that one.
 */
#ifndef OVERLAYNET_INGRESS_H
#define OVERLAYNET_INGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "overlaynet/services_table.h"

#define INGRESS_IFNAME_FORMAT "sh-%.8s" /* the host's leg; the argument is the network's id */

/* A node's leg on an ingress network. */
struct ingress_gateway {
    struct ip_addr ip4, ip6; /* ip6 may be none */
};

/* Mark of the connections that came through a gateway, of both families, and number of the routing
 * table that leads back: a function of its address, so that what an earlier run left is right or
 * unused. */
uint32_t ingress_mark(const struct ip_addr *gateway4);

/* Appends the host's rules: a table that replaces the one before. `networks` are those with
 * published ports. ERR_TOO_LARGE, -ENOMEM */
NODISCARD int ingress_write_host(const struct services_table *table, const struct id *node_id,
                                 const struct id *networks, size_t count, struct buf *out);

/* An IPv6 backend of a published port. The host's leg has no link-local address (nobody would let
 * it pass), so the kernel has none to ask for neighbours from on behalf of a client: it is told
 * them. */
struct ingress_neighbour {
    struct id network_id;
    struct ip_addr addr;
    uint8_t mac[OVERLAY_MAC_LEN];
};

int ingress_neighbour_cmp(const struct ingress_neighbour *a, const struct ingress_neighbour *b);

/* In ascending order. The caller owns *out: free().  -ENOMEM */
NODISCARD int ingress_neighbours(const struct services_table *table, const struct id *networks,
                                 size_t count, struct ingress_neighbour **out, size_t *out_count);

/* Appends what a sandbox's table needs to route answers back; nothing when there is no gateway. */
NODISCARD int ingress_write_sandbox(const struct services_table *table, const struct id *networks,
                                    size_t count, struct buf *out);

/* Appends a table for answers of unconnected UDP sockets; nothing when there is no gateway. It
 * stays when the table above is replaced. */
NODISCARD int ingress_write_datagrams(const struct services_table *table, const struct id *networks,
                                      size_t count, struct buf *out);

#endif /* OVERLAYNET_INGRESS_H */
