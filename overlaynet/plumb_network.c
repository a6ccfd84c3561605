/* A network's namespace with its bridge and uplink, and the static entries of one in clear. */
#include "overlaynet/plumb_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/netns.h"
#include "overlaynet/tap.h"

#define BRIDGE "br0"
#define TAP    "tap0"
#define CLEAR  "clear0"

void plumb_forget_network(struct wired_network *n)
{
    list_remove(&n->link);
    netlink_close(n->nl);
    if (n->netns >= 0)
        (void)close(n->netns);
    free(n->remotes);
    free(n);
}

struct wired_network *plumb_find_network(struct plumb *p, const struct id *id)
{
    LIST_EACH(it, &p->networks)
    {
        struct wired_network *n = CONTAINER_OF(it, struct wired_network, link);

        if (id_equal(&n->id, id))
            return n;
    }
    return NULL;
}

/* What holds for every namespace of ours; absent knobs are features that the kernel lacks. */
static void set_network_sysctls(void)
{
    /* The bridge itself never speaks on the network. */
    (void)netns_sysctl("ipv6/conf/all/disable_ipv6", "1");
    (void)netns_sysctl("ipv6/conf/default/disable_ipv6", "1");
    (void)netns_sysctl("ipv4/conf/all/arp_ignore", "8");
    /* Bridged frames are policed by our programs, not by rules for routed packets. */
    (void)netns_sysctl("bridge/bridge-nf-call-iptables", "0");
    (void)netns_sysctl("bridge/bridge-nf-call-ip6tables", "0");
    (void)netns_sysctl("bridge/bridge-nf-call-arptables", "0");
}

int plumb_open_netlink(int netns, struct netlink **out)
{
    int home, rc = netns_enter(netns, &home);

    if (rc < 0)
        return rc;
    rc = netlink_open(out);
    netns_leave(home);
    return rc;
}

static int wire_network(struct plumb *p, const struct id *id, struct wired_network **out,
                        unsigned *changes)
{
    struct wired_network *n = calloc(1, sizeof(*n));
    char path[OVERLAY_PATH_MAX];
    int created = 0, home, rc;

    if (n == NULL)
        return -ENOMEM;
    list_init(&n->link);
    n->id = *id;
    plumb_network_path(p, id, path);
    rc = n->netns = netns_open(path, &created);
    if (rc >= 0)
        rc = netns_enter(n->netns, &home);
    if (rc < 0)
        goto fail;
    set_network_sysctls();
    rc = netlink_open(&n->nl);
    netns_leave(home);
    if (rc < 0)
        goto fail;
    *changes += created != 0;
    list_push_back(&p->networks, &n->link);
    *out = n;
    return 0;
fail:
    plumb_forget_network(n);
    return rc;
}

static int open_tap(struct wired_network *n, unsigned lanes, int *tap_fds, bool *out_uso)
{
    int home, rc = netns_enter(n->netns, &home);

    if (rc < 0)
        return rc;
    rc = tap_open(TAP, tap_fds, lanes, out_uso);
    netns_leave(home);
    return rc;
}

static int bring_link_up(struct netlink *nl, const char *name, const struct netlink_link *want,
                         uint32_t *out_index, unsigned *changes)
{
    struct netlink_found is;
    int rc = netlink_find(nl, name, &is);

    if (rc < 0)
        return rc;
    *out_index = is.index;
    if (is.up && (want->mtu == 0 || is.mtu == want->mtu) && is.master == want->master)
        return 0;
    (*changes)++;
    return netlink_set_link(nl, is.index, want);
}

/* The bridge's way to other hosts. Flags before the link goes up: the first frame must find them.
 */
static int bring_uplink_up(struct wired_network *n, const char *name, uint32_t mtu,
                           unsigned *changes)
{
    struct netlink_link up = { .mtu = mtu, .up = true };
    struct netlink_found is;
    int rc = netlink_find(n->nl, name, &is);

    if (rc < 0)
        return rc;
    n->uplink = is.index;
    up.master = n->bridge;
    if (is.master != n->bridge)
        rc = netlink_set_link(n->nl, n->uplink, &(struct netlink_link){ .master = n->bridge });
    if (rc == 0)
        rc = netlink_set_port(n->nl, n->uplink, NETLINK_PORT_UPLINK);
    if (rc == 0)
        rc = bring_link_up(n->nl, name, &up, &n->uplink, changes);
    return rc;
}

static int open_clear(struct plumb *p, struct wired_network *n, const struct plumb_network *network,
                      unsigned *changes)
{
    struct netlink_link link = { .name = CLEAR, .mtu = network->mtu };
    int home, rc;

    if (netlink_index(n->nl, CLEAR) != 0)
        return 0;
    rc = netlink_add_vxlan(p->host, &link, network->vni, network->clear_port, network->clear_ip6,
                           n->netns);
    if (rc == 0)
        rc = netns_enter(n->netns, &home);
    if (rc < 0)
        return rc;
    (*changes)++;
    /* It answers solicitations only while IPv6 is on; it has no address to speak from. */
    (void)netns_sysctl("ipv6/conf/" CLEAR "/addr_gen_mode", "1");
    (void)netns_sysctl("ipv6/conf/" CLEAR "/disable_ipv6", "0");
    netns_leave(home);
    return 0;
}

int plumb_network_up(struct plumb *p, const struct plumb_network *network, int *tap_fds,
                     bool *out_uso, unsigned *changes, char *why)
{
    struct wired_network *n = plumb_find_network(p, &network->id);
    struct netlink_link bridge = { .name = BRIDGE, .mtu = network->mtu, .up = true };
    const char *uplink = network->clear ? CLEAR : TAP;
    int rc = 0;

    if (n == NULL) {
        rc = wire_network(p, &network->id, &n, changes);
        if (rc < 0)
            return plumb_explain(why, rc, "namespace of the network: %s", err_text(rc));
    }
    rc = netlink_add_bridge(n->nl, &bridge);
    if (rc == 0)
        (*changes)++;
    if (rc == 0 || rc == ERR_EXISTS)
        rc = bring_link_up(n->nl, BRIDGE, &(struct netlink_link){ .mtu = network->mtu, .up = true },
                           &n->bridge, changes);
    if (rc < 0)
        return plumb_explain(why, rc, "bridge %s: %s", BRIDGE, err_text(rc));
    if (network->clear)
        rc = open_clear(p, n, network, changes);
    else if (tap_fds != NULL)
        rc = open_tap(n, network->lanes, tap_fds, out_uso);
    if (rc < 0)
        return plumb_explain(why, rc, "device %s: %s", uplink, err_text(rc));
    rc = bring_uplink_up(n, uplink, network->mtu, changes);
    if (rc < 0) {
        for (unsigned i = 0; !network->clear && tap_fds != NULL && i < network->lanes; i++)
            (void)close(tap_fds[i]);
        return plumb_explain(why, rc, "device %s: %s", uplink, err_text(rc));
    }
    return 0;
}

void plumb_network_down(struct plumb *p, const struct id *network_id)
{
    struct wired_network *n = plumb_find_network(p, network_id);
    char path[OVERLAY_PATH_MAX];

    if (n != NULL)
        plumb_forget_network(n);
    plumb_network_path(p, network_id, path);
    (void)netns_delete(path); /* what stays is removed at the next start's purge */
}

/* --- Static entries of networks in clear -------------------------------------------------------
 */

static int write_remote(struct wired_network *n, const struct plumb_remote *r)
{
    int rc = netlink_set_vxlan_fdb(n->nl, n->uplink, r->mac, &r->host);

    if (rc == 0 && !ip_is_none(&r->ip4))
        rc = netlink_set_neighbour(n->nl, n->uplink, &r->ip4, r->mac);
    if (rc == 0 && !ip_is_none(&r->ip6))
        rc = netlink_set_neighbour(n->nl, n->uplink, &r->ip6, r->mac);
    return rc;
}

static int erase_remote(struct wired_network *n, const struct plumb_remote *r)
{
    int rc = netlink_delete_vxlan_fdb(n->nl, n->uplink, r->mac);

    if (rc == 0 && !ip_is_none(&r->ip4))
        rc = netlink_delete_neighbour(n->nl, n->uplink, &r->ip4);
    if (rc == 0 && !ip_is_none(&r->ip6))
        rc = netlink_delete_neighbour(n->nl, n->uplink, &r->ip6);
    return rc;
}

int plumb_clear_sync(struct plumb *p, const struct id *network_id, struct plumb_remote *remotes,
                     size_t count, bool refresh)
{
    struct wired_network *n = plumb_find_network(p, network_id);
    size_t i = 0, k = 0;
    int rc = n == NULL ? ERR_NOT_FOUND : 0;

    /* Both lists are sorted: what only the old one has goes, what differs is written. */
    while (rc == 0 && (i < n->remote_count || k < count)) {
        const struct plumb_remote *was = i < n->remote_count ? &n->remotes[i] : NULL;
        const struct plumb_remote *is = k < count ? &remotes[k] : NULL;
        int order = was == NULL ? 1 : is == NULL ? -1 : memcmp(was->mac, is->mac, OVERLAY_MAC_LEN);

        if (order < 0)
            rc = erase_remote(n, was);
        else if (order > 0 || refresh || memcmp(was, is, sizeof(*is)) != 0)
            rc = write_remote(n, is);
        i += order <= 0;
        k += order >= 0;
    }
    if (rc < 0) {
        free(remotes);
        return rc;
    }
    free(n->remotes);
    n->remotes = remotes;
    n->remote_count = count;
    return 0;
}
