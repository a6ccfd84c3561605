/* overlaynet/services_apply.h - What the worker does for names, virtual IPs and published ports.
 *
 * Tables are loaded whole: the first time creates, a repetition repairs, one after a restart
 * adopts. The maps of virtual IPs, which change with every backend, are filled anew alone while
 * their table is known to be there. Runs on the worker thread. */
#ifndef OVERLAYNET_SERVICES_APPLY_H
#define OVERLAYNET_SERVICES_APPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "overlaynet/ingress.h"
#include "overlaynet/resolver.h"
#include "overlaynet/vip.h"

#define SERVICES_INGRESS_NETWORKS_MAX 16
#define SERVICES_RULES_MAX            (64u << 20) /* bytes of one table, as text or as a batch */
#define SERVICES_MARKS_TABLE          "shoal_gateways"

struct services_apply_sandbox {
    const char *netns_path;
    const struct vip_plan *plan;
    bool is_whole;          /* the table anew, and not the contents of one that is there */
    const struct buf *text; /* of the way back to gateways; ends with NUL */
    bool has_text;          /* load it */
    bool clears_text;       /* whole: there is none, and what an earlier one made goes */
    size_t leg_count;
    char ifnames[OVERLAY_ATTACHMENTS_MAX][OVERLAY_IFNAME_MAX];
    const struct ingress_gateway *gateways; /* of its ingress networks */
    size_t gateway_count;
    bool opens_sockets;               /* else `sockets` has the ports of those that are open */
    struct resolver_sockets *sockets; /* on success the caller's, when opened */
};

/* `why` of `why_len` has a sentence on failure.
 *   -ENOENT (no such namespace, no such table), ERR_INVALID (text refused), errors of the kernel */
NODISCARD int services_apply_sandbox(const struct services_apply_sandbox *a, char *why,
                                     size_t why_len);

struct services_apply_host {
    const struct buf *rules;   /* ingress_write_host() */
    const struct id *networks; /* those with a leg of this host */
    const bool
        *has_ip6; /* whether that leg has an address of IPv6; one on an older network lacks it */
    size_t network_count;
    const struct ingress_neighbour *neighbours, *before; /* both sorted; `before` are in force */
    size_t neighbour_count, before_count;
};

/* In the host's namespace.
 *   ERR_UNAVAILABLE  a leg is not there yet: try again */
NODISCARD int services_apply_host(const struct services_apply_host *a, char *why, size_t why_len);

#endif /* OVERLAYNET_SERVICES_APPLY_H */
