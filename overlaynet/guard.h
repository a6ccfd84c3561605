/* overlaynet/guard.h - What a container may send, decided from one frame. Pure.
 *
 * A frame must come from the MAC and the address that were given to the sender, and must be one
 * of: IPv4, IPv6, an ARP request or reply, a neighbour solicitation or advertisement, all about
 * the sender's own addresses. Refused are router advertisements and solicitations and redirects
 * (CVE-2020-13401), DHCP servers, IPv6 extension headers that hide what follows (RFC 7113), VLAN
 * tags and any other EtherType, and group destinations that neighbour resolution does not need.
 *
 * The same rules run at two places: guard_check() in the data path, for what leaves this host and
 * for what arrives from others; and, as a program made by guard_bpf.h, at each container's port of
 * the bridge, for what stays on the host. */
#ifndef OVERLAYNET_GUARD_H
#define OVERLAYNET_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "overlaynet/frame.h"

struct guard_identity {
    uint8_t mac[FRAME_MAC_LEN];
    bool has_ip4, has_ip6;
    bool any_source; /* a node's gateway: addresses are not checked */
    uint8_t ip4[4];
    uint8_t ip6[16];
};

enum guard_verdict {
    GUARD_PASS,
    GUARD_RESOLVE,       /* passes on the host only: ARP, or neighbour discovery */
    GUARD_FORGED_SOURCE, /* MAC or address of somebody else */
    GUARD_FORBIDDEN,     /* a protocol that containers may not send */
    GUARD_GROUP,         /* broadcast or multicast */
};

/* `frame` is what `view` was made from. */
enum guard_verdict guard_check(const uint8_t *frame, const struct frame_view *view,
                               const struct guard_identity *who);

#endif /* OVERLAYNET_GUARD_H */
