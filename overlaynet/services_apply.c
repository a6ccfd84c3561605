/* Enters the namespace, loads the rules, makes the routes, leaves. */
#include "overlaynet/services_apply.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/ingress.h"
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
    (void)netns_sysctl("ipv4/conf/all/rp_filter", "0");
    for (size_t i = 0; i < a->leg_count; i++) {
        (void)snprintf(name, sizeof(name), "ipv4/conf/%s/rp_filter", a->ifnames[i]);
        (void)netns_sysctl(name, "0"); /* absent when the leg has gone meanwhile */
    }
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
        rc = netlink_set_marked_route(nl, ingress_mark(&a->gateways[i]), &a->gateways[i]);
    if (rc == 0) /* an unmarked answer must find some route before the rules can say which */
        rc = netlink_set_last_udp_table(nl, ingress_mark(&a->gateways[0]));
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

/* So that published ports also answer at 127.0.0.1; the rules drop what others would send there. */
static int allow_loopback(const struct id *network)
{
    char ifname[OVERLAY_IFNAME_MAX], name[96];

    (void)snprintf(ifname, sizeof(ifname), INGRESS_IFNAME_FORMAT, network->text);
    (void)snprintf(name, sizeof(name), "ipv4/conf/%s/route_localnet", ifname);
    return netns_sysctl(name, "1");
}

int services_apply_host(const struct buf *rules, const struct id *networks, size_t count, char *why,
                        size_t why_len)
{
    int rc = nft_load((const char *)rules->ptr, why, why_len);

    if (rc < 0 || count == 0)
        return rc;
    rc = netns_sysctl("ipv4/ip_forward", "1");
    if (rc < 0)
        (void)snprintf(why, why_len, "net.ipv4.ip_forward: %s", err_text(rc));
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = allow_loopback(&networks[i]);
        if (rc < 0)
            (void)snprintf(why, why_len, "the host has no leg on ingress network %s yet",
                           networks[i].text);
    }
    return rc == -ENOENT ? ERR_UNAVAILABLE : rc;
}
