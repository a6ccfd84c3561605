/* What is there: one link by name, all links, all routes. */
#include "overlaynet/netlink_impl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/list.h"

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
    struct nlmsghdr *h = netlink_begin(nl, RTM_GETLINK, NLM_F_ACK);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
    int rc;

    i->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    rc = netlink_exchange(nl, h, each_link, &d);
    if (rc == 0)
        *out = found;
    return rc == -ENODEV ? ERR_NOT_FOUND : rc;
}

int netlink_list_links(struct netlink *nl, void (*each)(void *ctx, const struct netlink_found *),
                       void *ctx)
{
    struct link_dump d = { .each = each, .ctx = ctx };
    struct nlmsghdr *h = netlink_begin(nl, RTM_GETLINK, NLM_F_DUMP);
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

    i->ifi_family = AF_UNSPEC;
    return netlink_exchange(nl, h, each_link, &d);
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
    struct nlmsghdr *h = netlink_begin(nl, RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

    r->rtm_family = AF_UNSPEC;
    return netlink_exchange(nl, h, each_route, &d);
}
