/* overlaynet/bridge_port.h - The bridge's side of a sandbox's interface. */
#ifndef OVERLAYNET_BRIDGE_PORT_H
#define OVERLAYNET_BRIDGE_PORT_H

#include <stdint.h>

#include "base/attr.h"
#include "overlaynet/guard.h"
#include "overlaynet/netlink.h"

/* Polices the interface `port`, puts it on the bridge, locks it to its MAC, and only then brings it
 * up: the first frame must find everything.  errors of netlink and of bpf(2) */
NODISCARD int bridge_port_set_up(struct netlink *nl, uint32_t port, uint32_t bridge,
                                 enum netlink_port_role role, const struct guard_identity *who);

#endif /* OVERLAYNET_BRIDGE_PORT_H */
