/* A sandbox: its namespace, and a policed pair of interfaces for each leg. */
#include "overlaynet/plumb_impl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/bridge_port.h"
#include "overlaynet/netns.h"

#define PORT_ID_LEN 14 /* of the id's characters: an interface name has 15 */

static void port_name(const struct id *endpoint_id, char out[OVERLAY_IFNAME_MAX])
{
    (void)snprintf(out, OVERLAY_IFNAME_MAX, "p%.*s", PORT_ID_LEN, endpoint_id->text);
}

static void alias_of(const struct id *id, char out[64])
{
    (void)snprintf(out, 64, "shoal %s", id->text);
}

static struct guard_identity identity_of(const struct plumb_leg *leg)
{
    struct guard_identity who = { .has_ip4 = !ip_is_none(&leg->ip4),
                                  .has_ip6 = !ip_is_none(&leg->ip6),
                                  .any_source = leg->gateway };

    memcpy(who.mac, leg->mac, OVERLAY_MAC_LEN);
    memcpy(who.ip4, leg->ip4.bytes, IP4_LEN);
    memcpy(who.ip6, leg->ip6.bytes, IP6_LEN);
    return who;
}

/* In the sandbox's namespace: what its interface may believe from others. */
static void set_leg_sysctls(const struct plumb_leg *leg)
{
    static const struct {
        const char *knob, *value;
    } knobs[] = {
        { "ipv4/conf/%s/arp_announce", "2" }, /* ask with this interface's address only */
        { "ipv4/conf/%s/arp_ignore", "1" },
        { "ipv4/conf/%s/accept_redirects", "0" },
        { "ipv6/conf/%s/accept_ra", "0" },
        { "ipv6/conf/%s/autoconf", "0" },
        { "ipv6/conf/%s/accept_redirects", "0" },
        { "ipv6/conf/%s/addr_gen_mode", "1" }, /* no address that the guard would refuse */
    };
    char name[96];

    for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
        (void)snprintf(name, sizeof(name), "%.*s%s%s",
                       (int)(strchr(knobs[i].knob, '%') - knobs[i].knob), knobs[i].knob,
                       leg->ifname, strchr(knobs[i].knob, '%') + 2);
        (void)netns_sysctl(name, knobs[i].value); /* a kernel without IPv6 has nothing to set */
    }
    (void)snprintf(name, sizeof(name), "ipv6/conf/%s/disable_ipv6", leg->ifname);
    (void)netns_sysctl(name, ip_is_none(&leg->ip6) ? "1" : "0");
}

/* Addresses and state of the sandbox's side. `nl` speaks to its namespace. */
static int set_up_leg(struct netlink *nl, int netns, const struct plumb_leg *leg, unsigned *changes)
{
    struct netlink_found is;
    int home, rc = netlink_find(nl, leg->ifname, &is);
    bool other_mac;

    if (rc < 0)
        return rc;
    other_mac = memcmp(is.mac, leg->mac, OVERLAY_MAC_LEN) != 0;
    if (netns >= 0) {
        rc = netns_enter(netns, &home);
        if (rc < 0)
            return rc;
        set_leg_sysctls(leg);
        netns_leave(home);
    } else {
        set_leg_sysctls(leg);
    }
    if (!is.up || is.mtu != leg->mtu || other_mac)
        (*changes)++;
    /* The same MAC once more would make the kernel forget every neighbour, permanent ones too. */
    rc = netlink_set_link(nl, is.index,
                          &(struct netlink_link){ .mac = other_mac ? leg->mac : NULL,
                                                  .mtu = leg->mtu,
                                                  .gso_max_segs = PLUMB_GSO_SEGS,
                                                  .up = true });
    if (rc == 0 && !ip_is_none(&leg->ip4))
        rc = netlink_set_addr(nl, is.index, &leg->ip4, leg->bits4);
    if (rc == 0 && !ip_is_none(&leg->ip6))
        rc = netlink_set_addr(nl, is.index, &leg->ip6, leg->bits6);
    return rc;
}

/* Creates the pair; both ends stay down until they are policed. */
static int make_pair(struct wired_network *n, int netns, const struct plumb_leg *leg,
                     const char *port)
{
    char alias[64];
    struct netlink_link near = { .name = port, .mtu = leg->mtu, .alias = alias };
    struct netlink_link far = { .name = leg->ifname, .mtu = leg->mtu, .mac = leg->mac };
    int host, rc;

    alias_of(&leg->endpoint_id, alias);
    if (netns >= 0)
        return netlink_add_veth(n->nl, &near, &far, netns);
    host = netns_open_existing("/proc/thread-self/ns/net");
    if (host < 0)
        return host;
    rc = netlink_add_veth(n->nl, &near, &far, host);
    (void)close(host); /* read only */
    return rc;
}

static bool is_port_right(const struct wired_network *n, const struct netlink_found *port)
{
    return port->up && port->locked && port->master == n->bridge;
}

static int connect_leg(struct plumb *p, struct netlink *nl, int netns, const struct plumb_leg *leg,
                       unsigned *changes, char *why)
{
    struct wired_network *n = plumb_find_network(p, &leg->network_id);
    struct guard_identity who = identity_of(leg);
    char name[OVERLAY_IFNAME_MAX];
    struct netlink_found port;
    int rc;

    if (n == NULL)
        return plumb_explain(why, ERR_NOT_FOUND, "network %s is not up", leg->network_id.text);
    port_name(&leg->endpoint_id, name);
    rc = netlink_find(n->nl, name, &port);
    if (rc == 0 && netlink_index(nl, leg->ifname) == 0) {
        rc = netlink_delete_link(n->nl, port.index); /* its other end went with an older sandbox */
        rc = rc == 0 ? ERR_NOT_FOUND : rc;
    }
    if (rc == ERR_NOT_FOUND) {
        rc = make_pair(n, netns, leg, name);
        if (rc == 0)
            rc = netlink_find(n->nl, name, &port);
    }
    if (rc == 0 && !is_port_right(n, &port)) {
        (*changes)++;
        rc = bridge_port_set_up(n->nl, port.index, n->bridge, NETLINK_PORT_CONTAINER, &who);
    }
    if (rc == 0)
        rc = set_up_leg(nl, netns, leg, changes);
    if (rc < 0)
        return plumb_explain(why, rc, "interface %s: %s", leg->ifname, err_text(rc));
    return 0;
}

/* Interfaces of the sandbox that it should not have. */
struct stray_search {
    const struct plumb_sandbox *sandbox;
    uint32_t found[OVERLAY_ATTACHMENTS_MAX];
    size_t count;
};

static void match_stray(void *ctx, const struct netlink_found *found)
{
    struct stray_search *s = ctx;

    if (strcmp(found->kind, "veth") != 0 || s->count == ARRAY_LEN(s->found))
        return;
    if (strcmp(found->name, UPLINK_IFNAME) == 0 && s->sandbox->egress)
        return;
    for (size_t i = 0; i < s->sandbox->leg_count; i++)
        if (strcmp(found->name, s->sandbox->legs[i].ifname) == 0)
            return;
    s->found[s->count++] = found->index;
}

static int remove_strays(struct netlink *nl, const struct plumb_sandbox *sandbox, unsigned *changes)
{
    struct stray_search s = { .sandbox = sandbox };
    int rc = netlink_list_links(nl, match_stray, &s);

    for (size_t i = 0; rc == 0 && i < s.count; i++) {
        rc = netlink_delete_link(nl, s.found[i]);
        (*changes)++;
    }
    return rc;
}

static int connect_legs(struct plumb *p, struct netlink *nl, int netns,
                        const struct plumb_sandbox *sandbox, unsigned *changes, char *why)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sandbox->leg_count; i++)
        rc = connect_leg(p, nl, netns, &sandbox->legs[i], changes, why);
    return rc;
}

int plumb_sandbox_up(struct plumb *p, const struct plumb_sandbox *sandbox, unsigned *changes,
                     char *why)
{
    struct netlink_link up = { .up = true };
    struct netlink *nl = NULL;
    char path[OVERLAY_PATH_MAX];
    int netns, created = 0, rc;

    if (sandbox->in_host)
        return connect_legs(p, p->host, -1, sandbox, changes, why);
    if (sandbox->egress && p->uplink == NULL)
        return plumb_explain(why, ERR_UNSUPPORTED, "this node gives sandboxes no way out");
    plumb_sandbox_path(p->run_dir, &sandbox->id, path);
    netns = netns_open(path, &created);
    if (netns < 0)
        return plumb_explain(why, netns, "namespace %s: %s", path, err_text(netns));
    *changes += created != 0;
    rc = plumb_open_netlink(netns, &nl);
    if (rc == 0)
        rc = netlink_set_link(nl, netlink_index(nl, "lo"), &up);
    if (rc == 0 && created == 0)
        rc = remove_strays(nl, sandbox, changes);
    if (rc < 0)
        (void)plumb_explain(why, rc, "namespace %s: %s", path, err_text(rc));
    else
        rc = connect_legs(p, nl, netns, sandbox, changes, why);
    if (rc == 0 && sandbox->egress)
        rc = uplink_connect(p->uplink, &sandbox->id, nl, netns, changes, why);
    if (rc == 0 && sandbox->egress)
        rc = uplink_publish(p->uplink, &sandbox->id, sandbox->publish, sandbox->publish_count, why);
    netlink_close(nl);
    (void)close(netns);
    return rc;
}

int plumb_sandbox_down(struct plumb *p, const struct plumb_sandbox *sandbox, char *why)
{
    char path[OVERLAY_PATH_MAX], port[OVERLAY_IFNAME_MAX];
    int rc;

    for (size_t i = 0; i < sandbox->leg_count; i++) {
        struct wired_network *n = plumb_find_network(p, &sandbox->legs[i].network_id);

        port_name(&sandbox->legs[i].endpoint_id, port);
        if (n != NULL && netlink_index(n->nl, port) != 0)
            (void)netlink_delete_link(n->nl, netlink_index(n->nl, port)); /* takes its peer along */
    }
    if (sandbox->in_host)
        return 0;
    if (p->uplink != NULL)
        uplink_disconnect(p->uplink, &sandbox->id);
    plumb_sandbox_path(p->run_dir, &sandbox->id, path);
    rc = netns_delete(path);
    return rc < 0 ? plumb_explain(why, rc, "namespace %s: %s", path, err_text(rc)) : 0;
}
