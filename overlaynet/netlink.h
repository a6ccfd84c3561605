/* overlaynet/netlink.h - The kernel's links, addresses, routes and bridge tables (rtnetlink).
 *
 * A socket speaks to the network namespace in which it was opened, for as long as it is open. All
 * calls wait for the kernel's answer and run on the plumbing thread. Names are at most
 * OVERLAY_IFNAME_MAX with the NUL. Setting is idempotent: what is so already is no error. */
#ifndef OVERLAYNET_NETLINK_H
#define OVERLAYNET_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "overlaynet/ip.h"
#include "overlaynet/overlay.h"

struct netlink;

/* Opens a socket to the thread's current network namespace.  -ENOMEM, errors of socket(2) */
NODISCARD int netlink_open(struct netlink **out);
void netlink_close(struct netlink *nl); /* accepts NULL */

/* What an interface is to be; zero leaves a property as it is. */
struct netlink_link {
    const char *name;
    uint32_t mtu;
    const uint8_t *mac;
    uint32_t master;       /* index of the bridge */
    uint32_t gso_max_segs; /* large frames must fit into one call of the data path */
    const char *alias;     /* ownership mark */
    bool up;
};

/*   ERR_EXISTS  the name is taken */
NODISCARD int netlink_add_bridge(struct netlink *nl, const struct netlink_link *link);
/* Creates both ends; the peer goes to the namespace of `peer_netns` (-1: this one).  ERR_EXISTS */
NODISCARD int netlink_add_veth(struct netlink *nl, const struct netlink_link *link,
                               const struct netlink_link *peer, int peer_netns);
/* A VXLAN device in the namespace `netns`, whose packets travel in this socket's: without learning,
 * and answering neighbour requests from its static table.  ERR_EXISTS */
NODISCARD int netlink_add_vxlan(struct netlink *nl, const struct netlink_link *link, uint32_t vni,
                                uint16_t port, bool is_ip6, int netns);
/* Changes an existing one.  ERR_NOT_FOUND */
NODISCARD int netlink_set_link(struct netlink *nl, uint32_t index, const struct netlink_link *link);
int netlink_delete_link(struct netlink *nl, uint32_t index); /* 0 when it is not there */

/* The index of a name; 0 = there is none. */
uint32_t netlink_index(struct netlink *nl, const char *name);

enum netlink_port_role {
    NETLINK_PORT_CONTAINER, /* locked to its MAC; takes no unknown unicast */
    NETLINK_PORT_UPLINK,    /* takes everything that nobody on this host has */
    NETLINK_PORT_EGRESS,    /* may talk to the host only */
};
NODISCARD int netlink_set_port(struct netlink *nl, uint32_t index, enum netlink_port_role role);

/* Static entry of the bridge that `port` belongs to. */
NODISCARD int netlink_set_fdb(struct netlink *nl, uint32_t port, const uint8_t *mac);
/* Static entry of a VXLAN device: the frames for `mac` go to `dest`. */
NODISCARD int netlink_set_vxlan_fdb(struct netlink *nl, uint32_t device, const uint8_t *mac,
                                    const struct ip_addr *dest);
int netlink_delete_vxlan_fdb(struct netlink *nl, uint32_t device, const uint8_t *mac);
/* Permanent neighbour of an interface. */
NODISCARD int netlink_set_neighbour(struct netlink *nl, uint32_t index, const struct ip_addr *addr,
                                    const uint8_t *mac);
int netlink_delete_neighbour(struct netlink *nl, uint32_t index, const struct ip_addr *addr);

/* An address with the length of its subnet; IPv6 without duplicate detection. */
NODISCARD int netlink_set_addr(struct netlink *nl, uint32_t index, const struct ip_addr *addr,
                               uint8_t bits);
/* A route through `gateway` (none: on the link). `to` none = default of the gateway's family. */
NODISCARD int netlink_set_route(struct netlink *nl, const struct ip_prefix *to,
                                const struct ip_addr *gateway, uint32_t index);

/* What is marked with `mark` goes by the routing table of that number, whose default route of the
 * gateway's family leads through `gateway`. */
NODISCARD int netlink_set_marked_route(struct netlink *nl, uint32_t mark,
                                       const struct ip_addr *gateway);

/* UDP that no other route takes goes by that routing table. `family`: IP4_LEN or IP6_LEN. */
NODISCARD int netlink_set_last_udp_table(struct netlink *nl, uint32_t table, uint8_t family);

/* Answers to ::1 may come in at this interface, once conntrack has led them back to it. What others
 * send to ::1 there is dropped by the kernel before. IPv4 has the sysctl route_localnet for this.
 */
NODISCARD int netlink_set_loopback_route(struct netlink *nl, uint32_t index);

/* Runs an eBPF program on what comes in at an interface (clsact, direct action). */
NODISCARD int netlink_set_ingress_program(struct netlink *nl, uint32_t index, int program_fd);

/* What is there. */
struct netlink_found {
    uint32_t index, master, mtu;
    bool up;
    bool locked; /* a port of a bridge: to static entries */
    char name[OVERLAY_IFNAME_MAX];
    char kind[16];  /* "veth", "bridge", "tun", .. */
    char alias[64]; /* "" = none */
    uint8_t mac[OVERLAY_MAC_LEN];
};

/*   ERR_NOT_FOUND  there is no interface of that name */
NODISCARD int netlink_find(struct netlink *nl, const char *name, struct netlink_found *out);

/* Calls back for each link, then returns. The callback must not use `nl`. */
NODISCARD int netlink_list_links(struct netlink *nl,
                                 void (*each)(void *ctx, const struct netlink_found *found),
                                 void *ctx);

/* Calls back for each route of the main table, default routes excepted. */
NODISCARD int
netlink_list_routes(struct netlink *nl,
                    void (*each)(void *ctx, const struct ip_prefix *to, uint32_t index), void *ctx);

#endif /* OVERLAYNET_NETLINK_H */
