/* overlaynet/services_apply.h - What the worker does for names, virtual IPs and published ports.
 *
 * Everything is made by loading a whole table: the first time creates, a repetition repairs, one
 * after a restart adopts. Runs on the worker thread. */
#ifndef OVERLAYNET_SERVICES_APPLY_H
#define OVERLAYNET_SERVICES_APPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "overlaynet/resolver.h"

#define SERVICES_INGRESS_NETWORKS_MAX 16
#define SERVICES_RULES_MAX            (64u << 20) /* bytes of one table's text */

struct services_apply_sandbox {
    const char *netns_path;
    const struct buf *rules; /* vip_write_sandbox() */
    size_t leg_count;
    char ifnames[OVERLAY_ATTACHMENTS_MAX][OVERLAY_IFNAME_MAX];
    const struct ip_addr *gateways; /* of its ingress networks */
    size_t gateway_count;
    bool opens_sockets;               /* else `sockets` has the ports of those that are open */
    struct resolver_sockets *sockets; /* on success the caller's, when opened */
};

/* `why` of `why_len` has a sentence on failure.
 *   -ENOENT (no such namespace), ERR_INVALID (rules refused), errors of the kernel */
NODISCARD int services_apply_sandbox(const struct services_apply_sandbox *a, char *why,
                                     size_t why_len);

/* In the host's namespace. `networks` are those with a leg of this host.
 *   ERR_UNAVAILABLE  a leg is not there yet: try again */
NODISCARD int services_apply_host(const struct buf *rules, const struct id *networks, size_t count,
                                  char *why, size_t why_len);

#endif /* OVERLAYNET_SERVICES_APPLY_H */
