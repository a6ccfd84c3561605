/* Addresses, routes, and the rules that choose a routing table. */
#include "overlaynet/netlink_impl.h"

#include <linux/fib_rules.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/err.h"

#define MARKED_RULE_PRIORITY  5380  /* after the table of local addresses, before the main one */
#define LAST_RULE_PRIORITY    40000 /* after all that exist from the start */
#define LOOPBACK_ROUTE_METRIC 1024

int netlink_set_addr(struct netlink *nl, uint32_t index, const struct ip_addr *addr, uint8_t bits)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));
    int rc;

    a->ifa_family = netlink_family(addr);
    a->ifa_prefixlen = bits;
    a->ifa_index = index;
    mnl_attr_put(h, IFA_LOCAL, addr->len, addr->bytes);
    mnl_attr_put(h, IFA_ADDRESS, addr->len, addr->bytes);
    if (addr->len == IP6_LEN)
        mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NODAD | IFA_F_PERMANENT);
    rc = netlink_request(nl, h);
    return rc == ERR_EXISTS ? 0 : rc;
}

int netlink_set_route(struct netlink *nl, const struct ip_prefix *to, const struct ip_addr *gateway,
                      uint32_t index)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->rtm_family = to->addr.len != 0 ? netlink_family(&to->addr) : netlink_family(gateway);
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
    return netlink_request(nl, h);
}

static struct nlmsghdr *begin_rule(struct netlink *nl, uint8_t family, uint32_t table,
                                   uint32_t priority)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->family = family == IP4_LEN ? AF_INET : AF_INET6;
    r->action = FR_ACT_TO_TBL;
    mnl_attr_put_u32(h, FRA_TABLE, table);
    mnl_attr_put_u32(h, FRA_PRIORITY, priority);
    return h;
}

static int add_rule(struct netlink *nl, struct nlmsghdr *h)
{
    int rc = netlink_request(nl, h);

    return rc == ERR_EXISTS ? 0 : rc;
}

static int add_marked_rule(struct netlink *nl, uint8_t family, uint32_t mark)
{
    struct nlmsghdr *h = begin_rule(nl, family, mark, MARKED_RULE_PRIORITY);

    mnl_attr_put_u32(h, FRA_FWMARK, mark);
    return add_rule(nl, h);
}

int netlink_set_last_udp_table(struct netlink *nl, uint32_t table, uint8_t family)
{
    struct nlmsghdr *h = begin_rule(nl, family, table, LAST_RULE_PRIORITY);

    mnl_attr_put_u8(h, FRA_IP_PROTO, IPPROTO_UDP);
    return add_rule(nl, h);
}

int netlink_set_marked_route(struct netlink *nl, uint32_t mark, const struct ip_addr *gateway)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));
    int rc;

    r->rtm_family = netlink_family(gateway);
    r->rtm_table = RT_TABLE_UNSPEC; /* the attribute has it */
    r->rtm_protocol = RTPROT_STATIC;
    r->rtm_scope = RT_SCOPE_UNIVERSE;
    r->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(h, RTA_TABLE, mark);
    mnl_attr_put(h, RTA_GATEWAY, gateway->len, gateway->bytes);
    rc = netlink_request(nl, h);
    return rc < 0 ? rc : add_marked_rule(nl, gateway->len, mark);
}

int netlink_set_loopback_route(struct netlink *nl, uint32_t index)
{
    struct nlmsghdr *h = netlink_begin(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->rtm_family = AF_INET6;
    r->rtm_dst_len = 128;
    r->rtm_table = RT_TABLE_LOCAL;
    r->rtm_protocol = RTPROT_STATIC;
    r->rtm_scope = RT_SCOPE_UNIVERSE;
    r->rtm_type = RTN_LOCAL;
    mnl_attr_put(h, RTA_DST, sizeof(in6addr_loopback), &in6addr_loopback);
    mnl_attr_put_u32(h, RTA_OIF, index);
    /* Behind that of lo, and its own: a route of the same metric would be replaced. */
    mnl_attr_put_u32(h, RTA_PRIORITY, LOOPBACK_ROUTE_METRIC + index);
    return netlink_request(nl, h);
}
