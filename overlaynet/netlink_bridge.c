/* Ports of bridges, the static tables of bridges and VXLAN devices, and the program at a port. */
#include "overlaynet/netlink_impl.h"

#include <arpa/inet.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <sys/socket.h>

#include "base/err.h"

int netlink_set_port(struct netlink *nl, uint32_t index, enum netlink_port_role role)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_SETLINK, 0);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
    bool is_container = role == NETLINK_PORT_CONTAINER, is_uplink = role == NETLINK_PORT_UPLINK;
    struct nlattr *info;

    i->ifi_family = AF_BRIDGE;
    i->ifi_index = (int)index;
    info = mnl_attr_nest_start(h, IFLA_PROTINFO);
    mnl_attr_put_u8(h, IFLA_BRPORT_LEARNING, 0);
    mnl_attr_put_u8(h, IFLA_BRPORT_UNICAST_FLOOD, is_uplink);
    /* ARP and neighbour solicitations must reach the others of this host, and the data path. */
    mnl_attr_put_u8(h, IFLA_BRPORT_MCAST_FLOOD, is_container || is_uplink);
    mnl_attr_put_u8(h, IFLA_BRPORT_BCAST_FLOOD, is_container || is_uplink);
    mnl_attr_put_u8(h, IFLA_BRPORT_LOCKED, is_container || role == NETLINK_PORT_EGRESS);
    mnl_attr_put_u8(h, IFLA_BRPORT_ISOLATED, role == NETLINK_PORT_EGRESS);
    mnl_attr_nest_end(h, info);
    return netlink_request(nl, h);
}

static struct nlmsghdr *begin_neigh(struct netlink *nl, uint16_t type, unsigned flags,
                                    uint8_t family, uint32_t index)
{
    struct nlmsghdr *h = netlink_begin(nl, type, flags);
    struct ndmsg *n = mnl_nlmsg_put_extra_header(h, sizeof(*n));

    n->ndm_family = family;
    n->ndm_ifindex = (int)index;
    return h;
}

static struct ndmsg *neigh_of(struct nlmsghdr *h)
{
    return mnl_nlmsg_get_payload(h);
}

int netlink_set_fdb(struct netlink *nl, uint32_t port, const uint8_t *mac)
{
    struct nlmsghdr *h =
        begin_neigh(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, AF_BRIDGE, port);

    neigh_of(h)->ndm_state = NUD_NOARP; /* static: not aged, but not of the bridge itself */
    neigh_of(h)->ndm_flags = NTF_MASTER;
    mnl_attr_put(h, NDA_LLADDR, OVERLAY_MAC_LEN, mac);
    return netlink_request(nl, h);
}

int netlink_set_vxlan_fdb(struct netlink *nl, uint32_t device, const uint8_t *mac,
                          const struct ip_addr *dest)
{
    struct nlmsghdr *h =
        begin_neigh(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, AF_BRIDGE, device);

    neigh_of(h)->ndm_state = NUD_NOARP | NUD_PERMANENT;
    neigh_of(h)->ndm_flags = NTF_SELF;
    mnl_attr_put(h, NDA_LLADDR, OVERLAY_MAC_LEN, mac);
    mnl_attr_put(h, NDA_DST, dest->len, dest->bytes);
    return netlink_request(nl, h);
}

int netlink_delete_vxlan_fdb(struct netlink *nl, uint32_t device, const uint8_t *mac)
{
    struct nlmsghdr *h = begin_neigh(nl, RTM_DELNEIGH, 0, AF_BRIDGE, device);

    neigh_of(h)->ndm_flags = NTF_SELF;
    mnl_attr_put(h, NDA_LLADDR, OVERLAY_MAC_LEN, mac);
    return netlink_gone_is_done(netlink_request(nl, h));
}

int netlink_set_neighbour(struct netlink *nl, uint32_t index, const struct ip_addr *addr,
                          const uint8_t *mac)
{
    struct nlmsghdr *h =
        begin_neigh(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, netlink_family(addr), index);

    neigh_of(h)->ndm_state = NUD_PERMANENT;
    mnl_attr_put(h, NDA_DST, addr->len, addr->bytes);
    mnl_attr_put(h, NDA_LLADDR, OVERLAY_MAC_LEN, mac);
    return netlink_request(nl, h);
}

int netlink_delete_neighbour(struct netlink *nl, uint32_t index, const struct ip_addr *addr)
{
    struct nlmsghdr *h = begin_neigh(nl, RTM_DELNEIGH, 0, netlink_family(addr), index);

    mnl_attr_put(h, NDA_DST, addr->len, addr->bytes);
    return netlink_gone_is_done(netlink_request(nl, h));
}

/* --- Program at ingress ---------------------------------------------------------------------- */

static struct nlmsghdr *begin_tc(struct netlink *nl, uint16_t type, unsigned flags, uint32_t index,
                                 uint32_t parent, uint32_t handle, uint32_t info)
{
    struct nlmsghdr *h = netlink_begin(nl, type, flags);
    struct tcmsg *t = mnl_nlmsg_put_extra_header(h, sizeof(*t));

    t->tcm_family = AF_UNSPEC;
    t->tcm_ifindex = (int)index;
    t->tcm_parent = parent;
    t->tcm_handle = handle;
    t->tcm_info = info;
    return h;
}

int netlink_set_ingress_program(struct netlink *nl, uint32_t index, int program_fd)
{
    const uint32_t priority = 1, handle = 1;
    struct nlattr *options;
    struct nlmsghdr *h;
    int rc;

    h = begin_tc(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, TC_H_CLSACT,
                 TC_H_MAKE(TC_H_CLSACT, 0), 0);
    mnl_attr_put_strz(h, TCA_KIND, "clsact");
    rc = netlink_request(nl, h);
    if (rc < 0 && rc != ERR_EXISTS)
        return rc;
    h = begin_tc(nl, RTM_NEWTFILTER, NLM_F_CREATE, index, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
                 handle, priority << 16 | (uint32_t)htons(ETH_P_ALL));
    mnl_attr_put_strz(h, TCA_KIND, "bpf");
    options = mnl_attr_nest_start(h, TCA_OPTIONS);
    mnl_attr_put_u32(h, TCA_BPF_FD, (uint32_t)program_fd);
    mnl_attr_put_strz(h, TCA_BPF_NAME, "shoal_guard");
    mnl_attr_put_u32(h, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    mnl_attr_nest_end(h, options);
    return netlink_request(nl, h);
}
