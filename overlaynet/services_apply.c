/* Enters the namespace, loads the rules, makes the routes, leaves. */
#include "overlaynet/services_apply.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/forwarding.h"
#include "overlaynet/netlink.h"
#include "overlaynet/netns.h"
#include "overlaynet/nft.h"

/* Replies of a connection through a gateway leave by another interface than a route to the client
 * would say, and what arrives looks as if it came to the wrong one. */
static void allow_marked_routes(const struct services_apply_sandbox *a)
{
    char name[96];

    (void)netns_sysctl("ipv4/tcp_fwmark_accept", "1");
    (void)netns_sysctl("ipv4/fwmark_reflect", "1");
    (void)netns_sysctl("ipv6/fwmark_reflect", "1");
    (void)netns_sysctl("ipv4/conf/all/rp_filter", "0");
    for (size_t i = 0; i < a->leg_count; i++) {
        (void)snprintf(name, sizeof(name), "ipv4/conf/%s/rp_filter", a->ifnames[i]);
        (void)netns_sysctl(name, "0"); /* absent when the leg has gone meanwhile */
    }
}

static int make_marked_route(struct netlink *nl, const struct ingress_gateway *g)
{
    uint32_t mark = ingress_mark(&g->ip4);
    int rc = netlink_set_marked_route(nl, mark, &g->ip4);

    if (rc == 0 && !ip_is_none(&g->ip6))
        rc = netlink_set_marked_route(nl, mark, &g->ip6);
    return rc;
}

/* An unmarked answer must find some route before the rules can say which. */
static int make_last_routes(struct netlink *nl, const struct services_apply_sandbox *a)
{
    int rc = netlink_set_last_udp_table(nl, ingress_mark(&a->gateways[0].ip4), IP4_LEN);

    for (size_t i = 0; rc == 0 && i < a->gateway_count; i++)
        if (!ip_is_none(&a->gateways[i].ip6))
            return netlink_set_last_udp_table(nl, ingress_mark(&a->gateways[i].ip4), IP6_LEN);
    return rc;
}

static int make_marked_routes(const struct services_apply_sandbox *a)
{
    struct netlink *nl = NULL;
    int rc = 0;

    if (a->gateway_count == 0)
        return 0;
    allow_marked_routes(a);
    rc = netlink_open(&nl);
    for (size_t i = 0; rc == 0 && i < a->gateway_count; i++)
        rc = make_marked_route(nl, &a->gateways[i]);
    if (rc == 0)
        rc = make_last_routes(nl, a);
    netlink_close(nl);
    return rc;
}

static int send_rules(const struct services_apply_sandbox *a)
{
    struct vip_ports ports = { .udp = a->sockets->udp_port, .tcp = a->sockets->tcp_port };
    struct nft_batch batch;
    int rc;

    nft_batch_begin(&batch, VIP_TABLE, SERVICES_RULES_MAX);
    if (a->is_whole)
        vip_write_table(a->plan, &ports, &batch);
    else
        vip_write_contents(a->plan, &batch);
    if (a->is_whole && a->clears_text)
        nft_table_remove(&batch, SERVICES_MARKS_TABLE);
    rc = nft_batch_end(&batch);
    if (rc == 0)
        rc = nft_send(&batch);
    nft_batch_deinit(&batch);
    return rc;
}

static int load(const struct services_apply_sandbox *a, char *why, size_t why_len)
{
    int rc = send_rules(a);

    if (rc == -ENOENT) { /* that is how callers know that the sandbox has gone */
        (void)snprintf(why, why_len, "rules of virtual IPs: %s",
                       a->is_whole ? "the kernel lacks an expression of nf_tables"
                                   : "somebody has taken them away");
        return ERR_UNSUPPORTED;
    }
    if (rc < 0) {
        (void)snprintf(why, why_len, "rules of virtual IPs: %s", err_text(rc));
        return rc;
    }
    return a->has_text ? nft_load((const char *)a->text->ptr, why, why_len) : 0;
}

static int apply_inside(const struct services_apply_sandbox *a, char *why, size_t why_len)
{
    int rc = a->opens_sockets ? resolver_sockets_open(a->sockets) : 0;

    if (rc < 0) {
        (void)snprintf(why, why_len, "resolver at " OVERLAY_RESOLVER_ADDRESS ": %s", err_text(rc));
        return rc;
    }
    rc = load(a, why, why_len);
    if (rc == 0) {
        rc = make_marked_routes(a);
        if (rc < 0)
            (void)snprintf(why, why_len, "routes back to gateways: %s", err_text(rc));
    }
    if (rc < 0 && a->opens_sockets)
        resolver_sockets_close(a->sockets);
    return rc;
}

int services_apply_sandbox(const struct services_apply_sandbox *a, char *why, size_t why_len)
{
    int netns = netns_open_existing(a->netns_path);
    int home, rc;

    rc = netns < 0 ? netns : netns_enter(netns, &home);
    if (rc < 0) {
        (void)snprintf(why, why_len, "namespace of the sandbox: %s", err_text(rc));
    } else {
        rc = apply_inside(a, why, why_len);
        netns_leave(home);
    }
    if (netns >= 0)
        (void)close(netns);
    return rc;
}

static uint32_t leg_index(struct netlink *nl, const struct id *network)
{
    char ifname[OVERLAY_IFNAME_MAX];

    (void)snprintf(ifname, sizeof(ifname), INGRESS_IFNAME_FORMAT, network->text);
    return netlink_index(nl, ifname);
}

/* Both lists are sorted: what is in the first alone has gone. */
static void forget_neighbours(struct netlink *nl, const struct services_apply_host *a)
{
    size_t k = 0;

    for (size_t i = 0; i < a->before_count; i++) {
        const struct ingress_neighbour *was = &a->before[i];
        uint32_t index;

        while (k < a->neighbour_count && ingress_neighbour_cmp(&a->neighbours[k], was) < 0)
            k++;
        if (k < a->neighbour_count && ingress_neighbour_cmp(&a->neighbours[k], was) == 0)
            continue;
        index = leg_index(nl, &was->network_id);
        if (index != 0)
            (void)netlink_delete_neighbour(nl, index, &was->addr); /* right or unused */
    }
}

static int set_neighbours(const struct services_apply_host *a)
{
    struct netlink *nl = NULL;
    int rc = netlink_open(&nl);

    for (size_t i = 0; rc == 0 && i < a->neighbour_count; i++) {
        const struct ingress_neighbour *n = &a->neighbours[i];
        uint32_t index = leg_index(nl, &n->network_id);

        rc = index == 0 ? -ENOENT : netlink_set_neighbour(nl, index, &n->addr, n->mac);
    }
    if (rc == 0)
        forget_neighbours(nl, a);
    netlink_close(nl);
    return rc;
}

/* So that published ports also answer at 127.0.0.1 and ::1; the rules and the kernel drop what
 * others would send there. */
static int allow_loopback(const struct id *network, bool has_ip6)
{
    char ifname[OVERLAY_IFNAME_MAX];

    (void)snprintf(ifname, sizeof(ifname), INGRESS_IFNAME_FORMAT, network->text);
    return forwarding_allow_loopback(ifname, has_ip6);
}

int services_apply_host(const struct services_apply_host *a, char *why, size_t why_len)
{
    int rc = nft_load((const char *)a->rules->ptr, why, why_len);

    if (rc < 0 || a->network_count == 0)
        return rc;
    rc = forwarding_enable();
    if (rc < 0)
        (void)snprintf(why, why_len, "net.ipv4.ip_forward: %s", err_text(rc));
    for (size_t i = 0; rc == 0 && i < a->network_count; i++) {
        rc = allow_loopback(&a->networks[i], a->has_ip6[i]);
        if (rc < 0)
            (void)snprintf(why, why_len, "the host has no leg on ingress network %s yet",
                           a->networks[i].text);
    }
    if (rc == 0 && overlay_services_ip6()) {
        rc = set_neighbours(a);
        if (rc < 0)
            (void)snprintf(why, why_len, "IPv6 neighbours on the ingress network: %s",
                           err_text(rc));
    }
    return rc == -ENOENT ? ERR_UNAVAILABLE : rc;
}
