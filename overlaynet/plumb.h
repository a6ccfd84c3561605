/* overlaynet/plumb.h - Makes the kernel's network objects what they should be.
 *
 * All of it runs on the worker thread, which owns a struct plumb. Every function compares what is
 * there with what should be and changes the difference, so the first call creates, one after a
 * restart adopts, and a later one repairs; *changes counts what was changed.
 *
 *     namespace net-<network>           namespace of a sandbox
 *       br0 --- tap0 ===> lanes            (or clear0: kernel VXLAN)
 *        |----- p<endpoint> ------------- eth0
 *                                         egress0 ------- e<sandbox> --- shoal0 (host) --- world
 *
 * Names come from ids, so a thing that has the right name in the right namespace is ours; links
 * in the host's namespace carry an alias "shoal <id>" besides, and are touched only with it. */
#ifndef OVERLAYNET_PLUMB_H
#define OVERLAYNET_PLUMB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/id.h"
#include "overlaynet/guard.h"
#include "overlaynet/overlay.h"

#define PLUMB_WHY_MAX  256
#define PLUMB_GSO_SEGS 44 /* pieces of one large frame that fit one call: LANE_BURST_MAX / 1472 */

struct plumb;

struct plumb_config {
    const char *run_dir; /* copied */
    struct ip_prefix egress4, egress6;
    bool no_egress;
};

struct plumb_network {
    struct id id;
    uint32_t mtu;
    unsigned lanes;
    bool clear; /* kernel VXLAN instead of a TAP, with the next three */
    uint32_t vni;
    uint16_t clear_port;
    bool clear_ip6; /* the underlay is IPv6 */
};

/* An endpoint of another host in a network in clear. */
struct plumb_remote {
    uint8_t mac[OVERLAY_MAC_LEN];
    struct ip_addr ip4, ip6;
    struct ip_addr host;
};

struct plumb_leg {
    struct id network_id, endpoint_id;
    struct ip_addr ip4, ip6;
    uint8_t bits4, bits6;
    uint8_t mac[OVERLAY_MAC_LEN];
    uint32_t mtu;
    bool gateway;
    char ifname[OVERLAY_IFNAME_MAX];
};

struct plumb_sandbox {
    struct id id;
    bool in_host, egress;
    size_t leg_count;
    struct plumb_leg legs[OVERLAY_ATTACHMENTS_MAX];
    size_t publish_count;
    struct overlay_publish publish[OVERLAY_PUBLISH_MAX];
};

/* Creates the directories. `why` is of PLUMB_WHY_MAX everywhere.
 *   ERR_CONFLICT (the egress subnet overlaps a route), -ENOMEM, errors of the kernel */
NODISCARD int plumb_new(const struct plumb_config *cfg, struct plumb **out, char *why);
void plumb_free(struct plumb *p); /* kernel objects stay; accepts NULL */

/* Brings a network up. With `tap_fds` (for network->lanes descriptors, which the caller takes) the
 * TAP's queues are opened too; without, only the rest is checked. */
NODISCARD int plumb_network_up(struct plumb *p, const struct plumb_network *network, int *tap_fds,
                               bool *out_uso, unsigned *changes, char *why);
void plumb_network_down(struct plumb *p, const struct id *network_id);

/* Makes the static entries of a network in clear those of `remotes`, sorted by MAC, which it takes
 * (free(3)). All that is there is written again when `refresh`. */
NODISCARD int plumb_clear_sync(struct plumb *p, const struct id *network_id,
                               struct plumb_remote *remotes, size_t count, bool refresh);

/* Brings a sandbox up; its networks are up. Ports of endpoints that it has no longer are removed.
 * A failed creation is taken back by plumb_sandbox_down(). */
NODISCARD int plumb_sandbox_up(struct plumb *p, const struct plumb_sandbox *sandbox,
                               unsigned *changes, char *why);
NODISCARD int plumb_sandbox_down(struct plumb *p, const struct plumb_sandbox *sandbox, char *why);

/* Removes namespaces under run_dir and links of ours that belong to none of the ids (networks and
 * sandboxes together). */
void plumb_purge(struct plumb *p, const struct id *keep, size_t count);

void plumb_sandbox_path(const char *run_dir, const struct id *id, char out[OVERLAY_PATH_MAX]);

#endif /* OVERLAYNET_PLUMB_H */
