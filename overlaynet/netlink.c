/* Messages are built in one buffer, sent, and answered by an acknowledgement: one at a time. Links
 * are made here; the rest is by noun: netlink_bridge.c, netlink_route.c, netlink_list.c. */
#include "overlaynet/netlink_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"

int netlink_open(struct netlink **out)
{
    struct netlink *nl = calloc(1, sizeof(*nl));
    int rc;

    if (nl == NULL)
        return -ENOMEM;
    nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (nl->socket == NULL || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        rc = -errno;
        netlink_close(nl);
        return rc;
    }
    *out = nl;
    return 0;
}

void netlink_close(struct netlink *nl)
{
    if (nl == NULL)
        return;
    if (nl->socket != NULL)
        (void)mnl_socket_close(nl->socket); /* nothing was buffered */
    free(nl);
}

/* --- Exchange -------------------------------------------------------------------------------- */

struct nlmsghdr *netlink_begin(struct netlink *nl, uint16_t type, unsigned flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(nl->message);

    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++nl->sequence;
    return h;
}

int netlink_exchange(struct netlink *nl, struct nlmsghdr *h, mnl_cb_t each, void *ctx)
{
    unsigned port = mnl_socket_get_portid(nl->socket);
    int rc;

    if (mnl_socket_sendto(nl->socket, h, h->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl->socket, nl->answer, sizeof(nl->answer));

        if (n < 0)
            return -errno;
        rc = mnl_cb_run(nl->answer, (size_t)n, nl->sequence, port, each, ctx);
        if (rc == MNL_CB_STOP)
            return 0;
        if (rc < 0)
            return errno == EEXIST ? ERR_EXISTS : -errno;
    }
}

int netlink_request(struct netlink *nl, struct nlmsghdr *h)
{
    h->nlmsg_flags |= NLM_F_ACK;
    return netlink_exchange(nl, h, NULL, NULL);
}

int netlink_gone_is_done(int rc)
{
    return rc == -ENODEV || rc == -ENOENT || rc == -ESRCH ? 0 : rc;
}

uint8_t netlink_family(const struct ip_addr *a)
{
    return a->len == IP4_LEN ? AF_INET : AF_INET6;
}

/* --- Links ----------------------------------------------------------------------------------- */

static void put_link(struct nlmsghdr *h, const struct netlink_link *l)
{
    if (l->name != NULL)
        mnl_attr_put_strz(h, IFLA_IFNAME, l->name);
    if (l->mtu != 0)
        mnl_attr_put_u32(h, IFLA_MTU, l->mtu);
    if (l->mac != NULL)
        mnl_attr_put(h, IFLA_ADDRESS, OVERLAY_MAC_LEN, l->mac);
    if (l->master != 0)
        mnl_attr_put_u32(h, IFLA_MASTER, l->master);
    if (l->gso_max_segs != 0)
        mnl_attr_put_u32(h, IFLA_GSO_MAX_SEGS, l->gso_max_segs);
    if (l->alias != NULL)
        mnl_attr_put_str(h, IFLA_IFALIAS, l->alias);
}

static struct nlmsghdr *begin_link(struct netlink *nl, unsigned flags, uint32_t index, bool up)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_NEWLINK, flags);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

    i->ifi_family = AF_UNSPEC;
    i->ifi_index = (int)index;
    i->ifi_flags = up ? IFF_UP : 0;
    i->ifi_change = up ? IFF_UP : 0;
    return h;
}

int netlink_add_bridge(struct netlink *nl, const struct netlink_link *link)
{
    struct nlmsghdr *h = begin_link(nl, NLM_F_CREATE | NLM_F_EXCL, 0, link->up);
    struct nlattr *info, *data;

    put_link(h, link);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    mnl_attr_put_u32(h, IFLA_BR_STP_STATE, 0);
    mnl_attr_put_u8(h, IFLA_BR_MCAST_SNOOPING, 0);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    return netlink_request(nl, h);
}

int netlink_add_veth(struct netlink *nl, const struct netlink_link *link,
                     const struct netlink_link *peer, int peer_netns)
{
    struct nlmsghdr *h = begin_link(nl, NLM_F_CREATE | NLM_F_EXCL, 0, link->up);
    struct nlattr *info, *data, *other;
    struct ifinfomsg *i;

    put_link(h, link);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    other = mnl_attr_nest_start(h, VETH_INFO_PEER);
    i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
    i->ifi_family = AF_UNSPEC;
    put_link(h, peer);
    if (peer_netns >= 0)
        mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)peer_netns);
    mnl_attr_nest_end(h, other);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    return netlink_request(nl, h);
}

int netlink_add_vxlan(struct netlink *nl, const struct netlink_link *link, uint32_t vni,
                      uint16_t port, bool is_ip6, int netns)
{
    static const uint8_t any6[IP6_LEN] = { 0 };
    struct nlmsghdr *h = begin_link(nl, NLM_F_CREATE | NLM_F_EXCL, 0, link->up);
    struct nlattr *info, *data;

    put_link(h, link);
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)netns);
    info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "vxlan");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    mnl_attr_put_u32(h, IFLA_VXLAN_ID, vni);
    mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(port));
    mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0);
    mnl_attr_put_u8(h, IFLA_VXLAN_PROXY, 1);
    if (is_ip6)
        mnl_attr_put(h, IFLA_VXLAN_LOCAL6, IP6_LEN, any6);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    return netlink_request(nl, h);
}

int netlink_set_link(struct netlink *nl, uint32_t index, const struct netlink_link *link)
{
    struct nlmsghdr *h = begin_link(nl, 0, index, link->up);
    int rc;

    put_link(h, link);
    rc = netlink_request(nl, h);
    return rc == -ENODEV ? ERR_NOT_FOUND : rc;
}

int netlink_delete_link(struct netlink *nl, uint32_t index)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_DELLINK, 0);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

    i->ifi_family = AF_UNSPEC;
    i->ifi_index = (int)index;
    return netlink_gone_is_done(netlink_request(nl, h));
}

uint32_t netlink_index(struct netlink *nl, const char *name)
{
    struct netlink_found found;

    return netlink_find(nl, name, &found) == 0 ? found.index : 0;
}
