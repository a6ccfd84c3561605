/* overlaynet/vip.h - Virtual IPs: the rules inside a sandbox. Pure.
 *
 * Where a connection begins, in the sandbox of the client, its destination is changed to a ready
 * backend: one rule looks up (virtual IP, random slot) in one flat map. After that it is an
 * ordinary connection between two containers: no hop, no change of source, and conntrack keeps
 * what is established when a backend leaves the map. A virtual IP without a ready backend refuses
 * at once. Why so: docs/decisions/virtual-ips.md.
 *
 * What is in the map is a plan; it goes to the kernel as a whole table, or as new contents of the
 * maps of a table that is there already. */
#ifndef OVERLAYNET_VIP_H
#define OVERLAYNET_VIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "overlaynet/nft_batch.h"
#include "overlaynet/services_table.h"

#define VIP_TABLE        "shoal_services"
#define VIP_SLOTS_MIN    16 /* for each virtual IP: so many backends get the same share */
#define VIP_SLOTS_MAX    256
#define VIP_ELEMENTS_MAX 65536 /* of the map, before slots become fewer than backends */

/* One element of the map. */
struct vip_slot {
    struct ip_addr vip, to;
    uint8_t zero[2]; /* no padding: it is hashed */
    uint32_t slot;
};

struct vip_plan {
    unsigned slots; /* of each virtual IP: a power of two */
    struct vip_slot *items;
    size_t count;
    struct ip_addr *idle; /* virtual IPs without a ready backend */
    size_t idle_count;
};

/* Fills *out, for vip_plan_deinit(). `salt` differs between sandboxes, so that a share that cannot
 * be equal falls on other backends in each.  -ENOMEM */
NODISCARD int vip_plan_make(const struct services_table *table, const struct id *networks,
                            size_t count, uint64_t salt, struct vip_plan *out);
void vip_plan_deinit(struct vip_plan *p);
uint64_t vip_plan_hash(const struct vip_plan *p, const struct hash_seed *seed);

/* The resolver's ports at OVERLAY_RESOLVER_ADDRESS. */
struct vip_ports {
    uint16_t udp, tcp;
};

/* Writes the whole table, which replaces the one before: resolver and virtual IPs. */
void vip_write_table(const struct vip_plan *p, const struct vip_ports *ports, struct nft_batch *b);
/* Writes new contents of the maps. The table in force has the same `slots`. */
void vip_write_contents(const struct vip_plan *p, struct nft_batch *b);

#endif /* OVERLAYNET_VIP_H */
