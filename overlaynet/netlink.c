/* Messages are built in one buffer, sent, and answered by an acknowledgement: one at a time. */
#include "overlaynet/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"

#define MESSAGE_ROOM 4096
#define ANSWER_ROOM  32768

#define MARKED_RULE_PRIORITY 5380  /* after the table of local addresses, before the main one */
#define LAST_RULE_PRIORITY   40000 /* after all that exist from the start */

struct netlink {
    struct mnl_socket *socket;
    unsigned sequence;
    char message[MESSAGE_ROOM];
    char answer[ANSWER_ROOM];
};

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

static struct nlmsghdr *begin(struct netlink *nl, uint16_t type, unsigned flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(nl->message);

    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++nl->sequence;
    return h;
}

/* Sends the message and handles the answer, calling `each` for every part of a dump. */
static int exchange(struct netlink *nl, struct nlmsghdr *h, mnl_cb_t each, void *ctx)
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

static int request(struct netlink *nl, struct nlmsghdr *h)
{
    h->nlmsg_flags |= NLM_F_ACK;
    return exchange(nl, h, NULL, NULL);
}

static int not_there_is_done(int rc)
{
    return rc == -ENODEV || rc == -ENOENT || rc == -ESRCH ? 0 : rc;
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
    struct nlmsghdr *h = begin(nl, RTM_NEWLINK, flags);
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
    return request(nl, h);
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
    return request(nl, h);
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
    return request(nl, h);
}

int netlink_set_link(struct netlink *nl, uint32_t index, const struct netlink_link *link)
{
    struct nlmsghdr *h = begin_link(nl, 0, index, link->up);
    int rc;

    put_link(h, link);
    rc = request(nl, h);
    return rc == -ENODEV ? ERR_NOT_FOUND : rc;
}

int netlink_delete_link(struct netlink *nl, uint32_t index)
{
    struct nlmsghdr *h = begin(nl, RTM_DELLINK, 0);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

    i->ifi_family = AF_UNSPEC;
    i->ifi_index = (int)index;
    return not_there_is_done(request(nl, h));
}

uint32_t netlink_index(struct netlink *nl, const char *name)
{
    struct netlink_found found;

    return netlink_find(nl, name, &found) == 0 ? found.index : 0;
}

/* --- Bridge ---------------------------------------------------------------------------------- */

int netlink_set_port(struct netlink *nl, uint32_t index, enum netlink_port_role role)
{
    struct nlmsghdr *h = begin(nl, RTM_SETLINK, 0);
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
    return request(nl, h);
}

static struct nlmsghdr *begin_neigh(struct netlink *nl, uint16_t type, unsigned flags,
                                    uint8_t family, uint32_t index)
{
    struct nlmsghdr *h = begin(nl, type, flags);
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
    return request(nl, h);
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
    return request(nl, h);
}

int netlink_delete_vxlan_fdb(struct netlink *nl, uint32_t device, const uint8_t *mac)
{
    struct nlmsghdr *h = begin_neigh(nl, RTM_DELNEIGH, 0, AF_BRIDGE, device);

    neigh_of(h)->ndm_flags = NTF_SELF;
    mnl_attr_put(h, NDA_LLADDR, OVERLAY_MAC_LEN, mac);
    return not_there_is_done(request(nl, h));
}

static uint8_t family_of(const struct ip_addr *a)
{
    return a->len == IP4_LEN ? AF_INET : AF_INET6;
}

int netlink_set_neighbour(struct netlink *nl, uint32_t index, const struct ip_addr *addr,
                          const uint8_t *mac)
{
    struct nlmsghdr *h =
        begin_neigh(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, family_of(addr), index);

    neigh_of(h)->ndm_state = NUD_PERMANENT;
    mnl_attr_put(h, NDA_DST, addr->len, addr->bytes);
    mnl_attr_put(h, NDA_LLADDR, OVERLAY_MAC_LEN, mac);
    return request(nl, h);
}

int netlink_delete_neighbour(struct netlink *nl, uint32_t index, const struct ip_addr *addr)
{
    struct nlmsghdr *h = begin_neigh(nl, RTM_DELNEIGH, 0, family_of(addr), index);

    mnl_attr_put(h, NDA_DST, addr->len, addr->bytes);
    return not_there_is_done(request(nl, h));
}

/* --- Addresses and routes -------------------------------------------------------------------- */

int netlink_set_addr(struct netlink *nl, uint32_t index, const struct ip_addr *addr, uint8_t bits)
{
    struct nlmsghdr *h = begin(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));
    int rc;

    a->ifa_family = family_of(addr);
    a->ifa_prefixlen = bits;
    a->ifa_index = index;
    mnl_attr_put(h, IFA_LOCAL, addr->len, addr->bytes);
    mnl_attr_put(h, IFA_ADDRESS, addr->len, addr->bytes);
    if (addr->len == IP6_LEN)
        mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NODAD | IFA_F_PERMANENT);
    rc = request(nl, h);
    return rc == ERR_EXISTS ? 0 : rc;
}

int netlink_set_route(struct netlink *nl, const struct ip_prefix *to, const struct ip_addr *gateway,
                      uint32_t index)
{
    struct nlmsghdr *h = begin(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->rtm_family = to->addr.len != 0 ? family_of(&to->addr) : family_of(gateway);
    r->rtm_dst_len = to->bits;
    r->rtm_table = RT_TABLE_MAIN;
    r->rtm_protocol = RTPROT_STATIC;
    r->rtm_scope = ip_is_none(gateway) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    r->rtm_type = RTN_UNICAST;
    if (to->bits != 0)
        mnl_attr_put(h, RTA_DST, to->addr.len, to->addr.bytes);
    if (!ip_is_none(gateway))
        mnl_attr_put(h, RTA_GATEWAY, gateway->len, gateway->bytes);
    mnl_attr_put_u32(h, RTA_OIF, index);
    return request(nl, h);
}

static struct nlmsghdr *begin_rule(struct netlink *nl, uint32_t table, uint32_t priority)
{
    struct nlmsghdr *h = begin(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->family = AF_INET;
    r->action = FR_ACT_TO_TBL;
    mnl_attr_put_u32(h, FRA_TABLE, table);
    mnl_attr_put_u32(h, FRA_PRIORITY, priority);
    return h;
}

static int add_rule(struct netlink *nl, struct nlmsghdr *h)
{
    int rc = request(nl, h);

    return rc == ERR_EXISTS ? 0 : rc;
}

static int add_marked_rule(struct netlink *nl, uint32_t mark)
{
    struct nlmsghdr *h = begin_rule(nl, mark, MARKED_RULE_PRIORITY);

    mnl_attr_put_u32(h, FRA_FWMARK, mark);
    return add_rule(nl, h);
}

int netlink_set_last_udp_table(struct netlink *nl, uint32_t table)
{
    struct nlmsghdr *h = begin_rule(nl, table, LAST_RULE_PRIORITY);

    mnl_attr_put_u8(h, FRA_IP_PROTO, IPPROTO_UDP);
    return add_rule(nl, h);
}

int netlink_set_marked_route(struct netlink *nl, uint32_t mark, const struct ip_addr *gateway)
{
    struct nlmsghdr *h = begin(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
    int rc;

    r->rtm_family = AF_INET;
    r->rtm_table = RT_TABLE_UNSPEC; /* the attribute has it */
    r->rtm_protocol = RTPROT_STATIC;
    r->rtm_scope = RT_SCOPE_UNIVERSE;
    r->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(h, RTA_TABLE, mark);
    mnl_attr_put(h, RTA_GATEWAY, gateway->len, gateway->bytes);
    rc = request(nl, h);
    return rc < 0 ? rc : add_marked_rule(nl, mark);
}

/* --- Program at ingress ---------------------------------------------------------------------- */

static struct nlmsghdr *begin_tc(struct netlink *nl, uint16_t type, unsigned flags, uint32_t index,
                                 uint32_t parent, uint32_t handle, uint32_t info)
{
    struct nlmsghdr *h = begin(nl, type, flags);
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
    rc = request(nl, h);
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
    return request(nl, h);
}

/* --- Listing --------------------------------------------------------------------------------- */

struct link_dump {
    void (*each)(void *ctx, const struct netlink_found *found);
    void *ctx;
};

static void copy_text(char *out, size_t cap, const struct nlattr *a)
{
    size_t len = MIN((size_t)mnl_attr_get_payload_len(a), cap - 1);

    memcpy(out, mnl_attr_get_payload(a), len);
    out[len] = '\0';
}

static int on_port_attr(const struct nlattr *a, void *ctx)
{
    struct netlink_found *f = ctx;

    if (mnl_attr_get_type(a) == IFLA_BRPORT_LOCKED)
        f->locked = mnl_attr_get_u8(a) != 0;
    return MNL_CB_OK;
}

static int on_kind(const struct nlattr *a, void *ctx)
{
    struct netlink_found *f = ctx;

    if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
        copy_text(f->kind, sizeof(f->kind), a);
    if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_DATA)
        return mnl_attr_parse_nested(a, on_port_attr, f);
    return MNL_CB_OK;
}

static int on_link_attr(const struct nlattr *a, void *ctx)
{
    struct netlink_found *f = ctx;

    switch (mnl_attr_get_type(a)) {
    case IFLA_IFNAME:
        copy_text(f->name, sizeof(f->name), a);
        break;
    case IFLA_IFALIAS:
        copy_text(f->alias, sizeof(f->alias), a);
        break;
    case IFLA_MTU:
        f->mtu = mnl_attr_get_u32(a);
        break;
    case IFLA_MASTER:
        f->master = mnl_attr_get_u32(a);
        break;
    case IFLA_ADDRESS:
        if (mnl_attr_get_payload_len(a) == OVERLAY_MAC_LEN)
            memcpy(f->mac, mnl_attr_get_payload(a), OVERLAY_MAC_LEN);
        break;
    case IFLA_LINKINFO:
        return mnl_attr_parse_nested(a, on_kind, f);
    default:
        break;
    }
    return MNL_CB_OK;
}

static int each_link(const struct nlmsghdr *h, void *ctx)
{
    const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
    const struct link_dump *d = ctx;
    struct netlink_found f = { .index = (uint32_t)i->ifi_index,
                               .up = (i->ifi_flags & IFF_UP) != 0 };

    if (mnl_attr_parse(h, sizeof(*i), on_link_attr, &f) >= 0)
        d->each(d->ctx, &f);
    return MNL_CB_OK;
}

static void keep_link(void *ctx, const struct netlink_found *found)
{
    *(struct netlink_found *)ctx = *found;
}

int netlink_find(struct netlink *nl, const char *name, struct netlink_found *out)
{
    struct netlink_found found = { 0 };
    struct link_dump d = { .each = keep_link, .ctx = &found };
    struct nlmsghdr *h = begin(nl, RTM_GETLINK, NLM_F_ACK);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
    int rc;

    i->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    rc = exchange(nl, h, each_link, &d);
    if (rc == 0)
        *out = found;
    return rc == -ENODEV ? ERR_NOT_FOUND : rc;
}

int netlink_list_links(struct netlink *nl, void (*each)(void *ctx, const struct netlink_found *),
                       void *ctx)
{
    struct link_dump d = { .each = each, .ctx = ctx };
    struct nlmsghdr *h = begin(nl, RTM_GETLINK, NLM_F_DUMP);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

    i->ifi_family = AF_UNSPEC;
    return exchange(nl, h, each_link, &d);
}

struct route_dump {
    void (*each)(void *ctx, const struct ip_prefix *to, uint32_t index);
    void *ctx;
};

struct route_found {
    struct ip_prefix to;
    uint32_t index;
};

static int on_route_attr(const struct nlattr *a, void *ctx)
{
    struct route_found *f = ctx;
    size_t len = mnl_attr_get_payload_len(a);

    if (mnl_attr_get_type(a) == RTA_OIF)
        f->index = mnl_attr_get_u32(a);
    if (mnl_attr_get_type(a) == RTA_DST && (len == IP4_LEN || len == IP6_LEN)) {
        f->to.addr.len = (uint8_t)len;
        memcpy(f->to.addr.bytes, mnl_attr_get_payload(a), len);
    }
    return MNL_CB_OK;
}

static int each_route(const struct nlmsghdr *h, void *ctx)
{
    const struct rtmsg *r = mnl_nlmsg_get_payload(h);
    const struct route_dump *d = ctx;
    struct route_found f = { .to = { .bits = r->rtm_dst_len } };

    if (r->rtm_table != RT_TABLE_MAIN || r->rtm_type != RTN_UNICAST || r->rtm_dst_len == 0)
        return MNL_CB_OK;
    if (mnl_attr_parse(h, sizeof(*r), on_route_attr, &f) >= 0 && f.to.addr.len != 0)
        d->each(d->ctx, &f.to, f.index);
    return MNL_CB_OK;
}

int netlink_list_routes(struct netlink *nl,
                        void (*each)(void *ctx, const struct ip_prefix *to, uint32_t index),
                        void *ctx)
{
    struct route_dump d = { .each = each, .ctx = ctx };
    struct nlmsghdr *h = begin(nl, RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->rtm_family = AF_UNSPEC;
    return exchange(nl, h, each_route, &d);
}
