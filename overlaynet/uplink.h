/* overlaynet/uplink.h - The way out of the cluster: a bridge of the host, masqueraded.
 *
 * Sandboxes that may talk to the outside get an interface "egress0" on the bridge "shoal0" in the
 * host's namespace, an address of the egress subnets, which never leave the host, and a default
 * route. Ports of the bridge are isolated: sandboxes reach the host and the world through it, not
 * each other. The host's own ports can be published to a sandbox. The address is written in the
 * alias of the port, which is how it survives restarts.
 */
#ifndef OVERLAYNET_UPLINK_H
#define OVERLAYNET_UPLINK_H

#include "base/attr.h"
#include "base/id.h"
#include "overlaynet/netlink.h"

#define UPLINK_BRIDGE "shoal0"
#define UPLINK_IFNAME "egress0"

struct uplink;

/* Makes the bridge and its rules. Borrows `nl`, which speaks to the host's namespace, until
 * uplink_free().
 *   ERR_CONFLICT  an egress subnet overlaps a route of this host */
NODISCARD int uplink_new(struct netlink *nl, const struct ip_prefix *egress4,
                         const struct ip_prefix *egress6, struct uplink **out, char *why);
void uplink_free(struct uplink *u); /* kernel objects stay; accepts NULL */

/* Connects a sandbox, or finds it connected. `sandbox` speaks to the namespace `netns`. */
NODISCARD int uplink_connect(struct uplink *u, const struct id *sandbox_id, struct netlink *sandbox,
                             int netns, unsigned *changes, char *why);
/* Ports of this host that lead to the sandbox, which is connected; they replace those of before.
 *   ERR_CONFLICT  another sandbox has one of them */
NODISCARD int uplink_publish(struct uplink *u, const struct id *sandbox_id,
                             const struct overlay_publish *ports, size_t count, char *why);

void uplink_disconnect(struct uplink *u, const struct id *sandbox_id);

/* The sandbox's address on the bridge; none when it is not connected. */
struct ip_addr uplink_addr(struct uplink *u, const struct id *sandbox_id);

/* Removes the ports of sandboxes that are not among `keep`. */
void uplink_purge(struct uplink *u, const struct id *keep, size_t count);

#endif /* OVERLAYNET_UPLINK_H */
