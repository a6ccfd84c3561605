/* Addresses are leased by the same code that the managers use; the leases are in the aliases of
 * the ports: "shoal <sandbox id> <IPv4 address>". The IPv6 address has the same offset. */
#include "overlaynet/uplink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "overlaynet/bridge_port.h"
#include "overlaynet/forwarding.h"
#include "overlaynet/ipam.h"
#include "overlaynet/netns.h"
#include "overlaynet/nft.h"
#include "overlaynet/plumb.h"

#define PORT_ID_LEN 14

/* A port of the host that leads to a sandbox. */
struct published {
    struct id sandbox_id;
    struct overlay_publish port;
};

struct uplink {
    struct netlink *nl;
    struct ip_prefix subnet4, subnet6;
    struct ipam *leases;
    uint32_t bridge;
    struct published *published;
    size_t published_count;
    bool is_stale; /* the kernel's maps could not be written: again at the next occasion */
};

static const struct slice lease_network = { (const uint8_t *)"egress", 6 };

PRINTF_LIKE(3, 4) static int explain(char *why, int rc, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, PLUMB_WHY_MAX, format, args);
    va_end(args);
    return rc;
}

static void port_name(const struct id *sandbox_id, char out[OVERLAY_IFNAME_MAX])
{
    (void)snprintf(out, OVERLAY_IFNAME_MAX, "e%.*s", PORT_ID_LEN, sandbox_id->text);
}

/* --- Bridge and rules ------------------------------------------------------------------------ */

struct clash {
    const struct uplink *u;
    struct ip_prefix with;
};

static void find_clash(void *ctx, const struct ip_prefix *to, uint32_t index)
{
    struct clash *c = ctx;

    if (index != c->u->bridge &&
        (ip_prefix_overlap(to, &c->u->subnet4) || ip_prefix_overlap(to, &c->u->subnet6)))
        c->with = *to;
}

/* Rules are replaced, maps are kept: ports that an earlier run published stay open until the
 * sandboxes are stated again. Ports answer at 127.0.0.1, but at ::1 they refuse: with br_netfilter
 * the answers are led back to ::1 in the bridge, and what comes to ::1 from there is dropped. */
static int load_rules(const struct uplink *u, char *why)
{
    static const char *const format =
        "add table inet shoal_egress\n"
        "add map inet shoal_egress ports4 "
        "{ type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
        "add map inet shoal_egress ports6 "
        "{ type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
        "add chain inet shoal_egress postrouting { type nat hook postrouting priority 100; }\n"
        "add chain inet shoal_egress forward { type filter hook forward priority 0; }\n"
        "add chain inet shoal_egress prerouting { type nat hook prerouting priority -100; }\n"
        "add chain inet shoal_egress output { type nat hook output priority -100; }\n"
        "add chain inet shoal_egress loopback { type filter hook prerouting priority -300; }\n"
        "flush table inet shoal_egress\n"
        "add rule inet shoal_egress postrouting ip saddr %s oifname != " UPLINK_BRIDGE
        " masquerade\n"
        "add rule inet shoal_egress postrouting ip6 saddr %s oifname != " UPLINK_BRIDGE
        " masquerade\n"
        "add rule inet shoal_egress postrouting ip saddr 127.0.0.0/8 oifname " UPLINK_BRIDGE
        " masquerade\n"
        "add rule inet shoal_egress loopback iifname " UPLINK_BRIDGE " ip daddr 127.0.0.0/8 drop\n"
        "add rule inet shoal_egress forward iifname " UPLINK_BRIDGE
        " tcp flags syn tcp option maxseg size set rt mtu\n"
        "add rule inet shoal_egress forward iifname " UPLINK_BRIDGE " oifname " UPLINK_BRIDGE
        " drop\n"
        "add rule inet shoal_egress prerouting fib daddr type local "
        "dnat ip to meta l4proto . th dport map @ports4\n"
        "add rule inet shoal_egress prerouting fib daddr type local "
        "dnat ip6 to meta l4proto . th dport map @ports6\n"
        "add rule inet shoal_egress output fib daddr type local "
        "dnat ip to meta l4proto . th dport map @ports4\n"
        "add rule inet shoal_egress output ip6 daddr != ::1 fib daddr type local "
        "dnat ip6 to meta l4proto . th dport map @ports6\n";
    char four[IP_PREFIX_TEXT_MAX], six[IP_PREFIX_TEXT_MAX], text[4096];

    (void)snprintf(text, sizeof(text), format, ip_prefix_format(&u->subnet4, four),
                   ip_prefix_format(&u->subnet6, six));
    return nft_load(text, why, PLUMB_WHY_MAX);
}

static int make_bridge(struct uplink *u)
{
    /* Left to itself a bridge has the lowest MAC of its ports, and changes it when they come and
     * go: what sandboxes remember of their gateway would be wrong for seconds. */
    static const uint8_t mac[OVERLAY_MAC_LEN] = { 0x02, 's', 'h', 'o', 'a', 'l' };
    struct netlink_link link = { .name = UPLINK_BRIDGE, .mac = mac, .up = true };
    struct ip_addr gateway4 = ip_prefix_at(&u->subnet4, 1);
    struct ip_addr gateway6 = ip_prefix_at(&u->subnet6, 1);
    int rc = netlink_add_bridge(u->nl, &link);

    if (rc < 0 && rc != ERR_EXISTS)
        return rc;
    u->bridge = netlink_index(u->nl, UPLINK_BRIDGE);
    rc = netlink_set_link(u->nl, u->bridge,
                          &(struct netlink_link){ .mac = mac, .alias = "shoal", .up = true });
    if (rc == 0)
        rc = netlink_set_addr(u->nl, u->bridge, &gateway4, u->subnet4.bits);
    if (rc == 0 && netns_sysctl("ipv6/conf/" UPLINK_BRIDGE "/disable_ipv6", "0") == 0)
        rc = netlink_set_addr(u->nl, u->bridge, &gateway6, u->subnet6.bits);
    return rc;
}

/* Leases of ports that an earlier run left. */
static void adopt_port(void *ctx, const struct netlink_found *found)
{
    struct uplink *u = ctx;
    struct ip_addr addr;
    struct id id;

    if (found->master != u->bridge || strncmp(found->alias, "shoal ", 6) != 0 ||
        strlen(found->alias) < 6 + ID_LEN + 2 ||
        id_parse(slice_of(found->alias + 6, ID_LEN), &id) < 0 ||
        ip_parse(slice_of_str(found->alias + 6 + ID_LEN + 1), &addr) < 0)
        return;
    if (ipam_reserve(u->leases, lease_network, id_slice(&id), &addr, NULL) < 0)
        return; /* a clash is left alone: both keep what they have */
}

static int open_leases(struct uplink *u)
{
    struct ipam_network n = { .subnet4 = u->subnet4, .vni = IPAM_VNI_MIN };
    struct ipam_config cfg = { 0 };
    int rc = ipam_new(&cfg, &u->leases);

    if (rc == 0)
        rc = ipam_network_restore(u->leases, lease_network, &n, NULL);
    if (rc == 0)
        rc = netlink_list_links(u->nl, adopt_port, u);
    return rc;
}

int uplink_new(struct netlink *nl, const struct ip_prefix *egress4, const struct ip_prefix *egress6,
               struct uplink **out, char *why)
{
    struct uplink *u = calloc(1, sizeof(*u));
    struct clash clash = { .u = u };
    char a[IP_PREFIX_TEXT_MAX];
    int rc = -ENOMEM;

    if (u == NULL)
        return explain(why, rc, "out of memory");
    u->nl = nl;
    u->subnet4 = *egress4;
    u->subnet6 = *egress6;
    u->bridge = netlink_index(nl, UPLINK_BRIDGE);
    rc = netlink_list_routes(nl, find_clash, &clash);
    if (rc == 0 && clash.with.addr.len != 0) {
        rc = explain(why, ERR_CONFLICT,
                     "the subnet for outgoing traffic overlaps the route %s of this host: "
                     "configure another one",
                     ip_prefix_format(&clash.with, a));
        goto fail;
    }
    if (rc == 0)
        rc = make_bridge(u);
    if (rc == 0)
        rc = open_leases(u);
    if (rc < 0) {
        (void)explain(why, rc, "bridge %s: %s", UPLINK_BRIDGE, err_text(rc));
        goto fail;
    }
    (void)forwarding_enable(); /* without it sandboxes reach this host only */
    rc = load_rules(u, why);
    if (rc == 0) /* the rules come first: they drop what others would send there */
        (void)netns_sysctl("ipv4/conf/" UPLINK_BRIDGE "/route_localnet", "1");
    if (rc < 0)
        goto fail;
    *out = u;
    return 0;
fail:
    uplink_free(u);
    return rc;
}

void uplink_free(struct uplink *u)
{
    if (u == NULL)
        return;
    ipam_free(u->leases);
    free(u->published);
    free(u);
}

/* --- Sandboxes ------------------------------------------------------------------------------- */

struct ip_addr uplink_addr(struct uplink *u, const struct id *sandbox_id)
{
    return ipam_lookup(u->leases, lease_network, id_slice(sandbox_id), IP4_LEN);
}

/* The MAC needs to be known on this host only. */
static void mac_for(const struct id *sandbox_id, const struct ip_addr *addr,
                    uint8_t out[OVERLAY_MAC_LEN])
{
    overlay_mac(sandbox_id, addr, 0, out);
}

static int set_up_sandbox(struct uplink *u, struct netlink *nl, int netns,
                          const struct ip_addr *addr4, const struct ip_addr *addr6)
{
    struct ip_addr gateway4 = ip_prefix_at(&u->subnet4, 1);
    struct ip_addr gateway6 = ip_prefix_at(&u->subnet6, 1);
    const struct ip_prefix any = { 0 };
    uint32_t index = netlink_index(nl, UPLINK_IFNAME);
    int home, has_ip6, rc;

    rc = netns_enter(netns, &home);
    if (rc < 0)
        return rc;
    (void)netns_sysctl("ipv6/conf/" UPLINK_IFNAME "/accept_ra", "0");
    (void)netns_sysctl("ipv6/conf/" UPLINK_IFNAME "/addr_gen_mode", "1");
    has_ip6 = netns_sysctl("ipv6/conf/" UPLINK_IFNAME "/disable_ipv6", "0") == 0;
    netns_leave(home);
    rc = netlink_set_link(nl, index, &(struct netlink_link){ .up = true });
    if (rc == 0)
        rc = netlink_set_addr(nl, index, addr4, u->subnet4.bits);
    if (rc == 0)
        rc = netlink_set_route(nl, &any, &gateway4, index);
    if (rc == 0 && has_ip6)
        rc = netlink_set_addr(nl, index, addr6, u->subnet6.bits);
    if (rc == 0 && has_ip6)
        rc = netlink_set_route(nl, &any, &gateway6, index);
    return rc;
}

static int make_port(struct uplink *u, const struct id *sandbox_id, const char *port, int netns,
                     const struct ip_addr *addr4, const uint8_t *mac)
{
    char alias[64], text[IP_TEXT_MAX];
    struct netlink_link near = { .name = port, .alias = alias };
    struct netlink_link far = { .name = UPLINK_IFNAME, .mac = mac };

    (void)snprintf(alias, sizeof(alias), "shoal %s %s", sandbox_id->text, ip_format(addr4, text));
    return netlink_add_veth(u->nl, &near, &far, netns);
}

int uplink_connect(struct uplink *u, const struct id *sandbox_id, struct netlink *sandbox,
                   int netns, unsigned *changes, char *why)
{
    struct guard_identity who = { .has_ip4 = true, .has_ip6 = true };
    char name[OVERLAY_IFNAME_MAX];
    struct ip_addr addr4, addr6;
    struct ipam_why lease_why = { "" };
    struct netlink_found port;
    int rc;

    rc = ipam_allocate(u->leases, lease_network, id_slice(sandbox_id), IP4_LEN, &addr4, &lease_why);
    if (rc < 0)
        return explain(why, rc, "way out: %s", lease_why.text);
    addr6 = ip_prefix_at(&u->subnet6, ip_prefix_offset(&u->subnet4, &addr4));
    mac_for(sandbox_id, &addr4, who.mac);
    memcpy(who.ip4, addr4.bytes, IP4_LEN);
    memcpy(who.ip6, addr6.bytes, IP6_LEN);
    port_name(sandbox_id, name);
    rc = netlink_find(u->nl, name, &port);
    if (rc == 0 && netlink_index(sandbox, UPLINK_IFNAME) == 0) {
        rc =
            netlink_delete_link(u->nl, port.index); /* its other end went with an older namespace */
        rc = rc == 0 ? ERR_NOT_FOUND : rc;
    }
    if (rc == ERR_NOT_FOUND) {
        rc = make_port(u, sandbox_id, name, netns, &addr4, who.mac);
        if (rc == 0)
            rc = netlink_find(u->nl, name, &port);
    }
    if (rc == 0 && !(port.up && port.locked && port.master == u->bridge)) {
        (*changes)++;
        rc = bridge_port_set_up(u->nl, port.index, u->bridge, NETLINK_PORT_EGRESS, &who);
    }
    if (rc == 0)
        rc = set_up_sandbox(u, sandbox, netns, &addr4, &addr6);
    return rc < 0 ? explain(why, rc, "interface %s: %s", UPLINK_IFNAME, err_text(rc)) : 0;
}

/* --- Published ports ------------------------------------------------------------------------- */

static struct ip_addr addr6_of(const struct uplink *u, const struct ip_addr *addr4)
{
    return ip_prefix_at(&u->subnet6, ip_prefix_offset(&u->subnet4, addr4));
}

/* Writes all of both maps, in one transaction: the list is short, and this is always right. */
static int load_published(const struct uplink *u, char *why)
{
    struct buf text;
    int rc;

    buf_init(&text, NFT_TEXT_MAX);
    rc = buf_append_str(&text, "flush map inet shoal_egress ports4\n"
                               "flush map inet shoal_egress ports6\n");
    for (size_t i = 0; rc == 0 && i < u->published_count; i++) {
        const struct published *p = &u->published[i];
        struct ip_addr addr4 =
            ipam_lookup(u->leases, lease_network, id_slice(&p->sandbox_id), IP4_LEN);
        struct ip_addr addr6 = addr6_of(u, &addr4);
        char four[IP_TEXT_MAX], six[IP_TEXT_MAX];

        rc = buf_printf(&text,
                        "add element inet shoal_egress ports4 { %u . %u : %s . %u }\n"
                        "add element inet shoal_egress ports6 { %u . %u : %s . %u }\n",
                        p->port.protocol, p->port.host_port, ip_format(&addr4, four),
                        p->port.target_port, p->port.protocol, p->port.host_port,
                        ip_format(&addr6, six), p->port.target_port);
    }
    if (rc == 0)
        rc = buf_append_byte(&text, 0);
    if (rc == 0)
        rc = nft_load((const char *)text.ptr, why, PLUMB_WHY_MAX);
    buf_deinit(&text);
    return rc;
}

static void drop_published(struct uplink *u, const struct id *sandbox_id)
{
    size_t kept = 0;

    for (size_t i = 0; i < u->published_count; i++)
        if (!id_equal(&u->published[i].sandbox_id, sandbox_id))
            u->published[kept++] = u->published[i];
    u->published_count = kept;
}

static const struct published *find_published(const struct uplink *u,
                                              const struct overlay_publish *port)
{
    for (size_t i = 0; i < u->published_count; i++)
        if (u->published[i].port.protocol == port->protocol &&
            u->published[i].port.host_port == port->host_port)
            return &u->published[i];
    return NULL;
}

/* True when the sandbox's ports are these already. */
static bool is_published(const struct uplink *u, const struct id *sandbox_id,
                         const struct overlay_publish *ports, size_t count)
{
    size_t have = 0;

    for (size_t i = 0; i < u->published_count; i++)
        have += id_equal(&u->published[i].sandbox_id, sandbox_id);
    for (size_t i = 0; i < count; i++) {
        const struct published *p = find_published(u, &ports[i]);

        if (p == NULL || !id_equal(&p->sandbox_id, sandbox_id) ||
            p->port.target_port != ports[i].target_port)
            return false;
    }
    return have == count;
}

int uplink_publish(struct uplink *u, const struct id *sandbox_id,
                   const struct overlay_publish *ports, size_t count, char *why)
{
    struct published *more;

    if (!u->is_stale && is_published(u, sandbox_id, ports, count))
        return 0;
    drop_published(u, sandbox_id);
    more = realloc(u->published, (u->published_count + count + 1) * sizeof(*more));
    if (more == NULL)
        return explain(why, -ENOMEM, "out of memory");
    u->published = more;
    for (size_t i = 0; i < count; i++) {
        if (find_published(u, &ports[i]) != NULL) {
            drop_published(u, sandbox_id);
            return explain(why, ERR_CONFLICT, "port %u of this host leads to another sandbox",
                           ports[i].host_port);
        }
        u->published[u->published_count++] =
            (struct published){ .sandbox_id = *sandbox_id, .port = ports[i] };
    }
    u->is_stale = false;
    return load_published(u, why);
}

void uplink_disconnect(struct uplink *u, const struct id *sandbox_id)
{
    char port[OVERLAY_IFNAME_MAX], why[PLUMB_WHY_MAX];
    size_t before = u->published_count;
    uint32_t index;

    drop_published(u, sandbox_id);
    if (u->published_count != before && load_published(u, why) < 0)
        u->is_stale = true;

    port_name(sandbox_id, port);
    index = netlink_index(u->nl, port);
    if (index != 0)
        (void)netlink_delete_link(u->nl, index); /* what stays is purged at the next start */
    ipam_release(u->leases, lease_network, id_slice(sandbox_id));
}

struct purge {
    struct uplink *u;
    const struct id *keep;
    size_t keep_count;
    struct id found[64];
    size_t count;
};

static void match_left_over(void *ctx, const struct netlink_found *found)
{
    struct purge *p = ctx;
    struct id id;

    if (found->master != p->u->bridge || p->count == ARRAY_LEN(p->found) ||
        strncmp(found->alias, "shoal ", 6) != 0 || strlen(found->alias) < 6 + ID_LEN ||
        id_parse(slice_of(found->alias + 6, ID_LEN), &id) < 0)
        return;
    for (size_t i = 0; i < p->keep_count; i++)
        if (id_equal(&p->keep[i], &id))
            return;
    p->found[p->count++] = id;
}

void uplink_purge(struct uplink *u, const struct id *keep, size_t count)
{
    struct purge p = { .u = u, .keep = keep, .keep_count = count };
    char why[PLUMB_WHY_MAX];

    do { /* in portions */
        p.count = 0;
        if (netlink_list_links(u->nl, match_left_over, &p) < 0)
            return;
        for (size_t i = 0; i < p.count; i++)
            uplink_disconnect(u, &p.found[i]);
    } while (p.count == ARRAY_LEN(p.found));
    u->is_stale = load_published(u, why) < 0; /* ports of sandboxes of before go */
}
