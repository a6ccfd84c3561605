/* overlaynet/vip.h - Virtual IPs: the rules inside a sandbox. Pure.
 *
 * Where a connection begins, in the sandbox of the client, its destination is changed to a ready
 * backend: one rule looks up (virtual IP, random slot) in one flat map. After that it is an
 * ordinary connection between two containers: no hop, no change of source, and conntrack keeps
 * what is established when a backend leaves the map. A virtual IP without a ready backend refuses
 * at once. Why so: docs/decisions/virtual-ips.md. */
#ifndef OVERLAYNET_VIP_H
#define OVERLAYNET_VIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "overlaynet/services_table.h"

#define VIP_SLOTS_MIN    16 /* for each virtual IP: so many backends get the same share */
#define VIP_SLOTS_MAX    256
#define VIP_ELEMENTS_MAX 65536 /* of the map, before slots become fewer than backends */

/* How many slots each virtual IP of these networks gets: a power of two. */
unsigned vip_slots(const struct services_table *table, const struct id *networks, size_t count);

/* Appends the whole table of a sandbox: resolver, virtual IPs, the way back to gateways. It
 * replaces the one before. The text uses $resolver_udp and $resolver_tcp, which the caller
 * defines: the ports at OVERLAY_RESOLVER_ADDRESS. `salt` differs between sandboxes, so that a
 * share that cannot be equal falls on other backends in each.  ERR_TOO_LARGE, -ENOMEM */
NODISCARD int vip_write_sandbox(const struct services_table *table, const struct id *networks,
                                size_t count, uint64_t salt, struct buf *out);

#endif /* OVERLAYNET_VIP_H */
