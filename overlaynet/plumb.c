/* Networks and sandboxes. The way out of the cluster is in uplink.c. */
#include "overlaynet/plumb.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/list.h"
#include "overlaynet/bridge_port.h"
#include "overlaynet/netlink.h"
#include "overlaynet/netns.h"
#include "overlaynet/tap.h"
#include "overlaynet/uplink.h"

#define BRIDGE      "br0"
#define TAP         "tap0"
#define CLEAR       "clear0"
#define PORT_ID_LEN 14 /* of the id's characters: an interface name has 15 */

/* A network that is up on this host, as the worker thread knows it. */
struct wired_network {
    struct list link;
    struct id id;
    int netns;
    struct netlink *nl;
    uint32_t bridge, uplink;
    struct plumb_remote *remotes; /* static entries of a network in clear, sorted by MAC */
    size_t remote_count;
};

struct plumb {
    char run_dir[OVERLAY_PATH_MAX];
    struct netlink *host;
    struct uplink *uplink; /* NULL = none */
    struct list networks;
};

PRINTF_LIKE(3, 4) static int explain(char *why, int rc, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, PLUMB_WHY_MAX, format, args);
    va_end(args);
    return rc;
}

void plumb_sandbox_path(const char *run_dir, const struct id *id, char out[OVERLAY_PATH_MAX])
{
    (void)snprintf(out, OVERLAY_PATH_MAX, "%s/netns/%s", run_dir, id->text);
}

static void network_path(const struct plumb *p, const struct id *id, char out[OVERLAY_PATH_MAX])
{
    (void)snprintf(out, OVERLAY_PATH_MAX, "%.200s/netns/net-%s", p->run_dir, id->text);
}

static void port_name(const struct id *endpoint_id, char out[OVERLAY_IFNAME_MAX])
{
    (void)snprintf(out, OVERLAY_IFNAME_MAX, "p%.*s", PORT_ID_LEN, endpoint_id->text);
}

static void alias_of(const struct id *id, char out[64])
{
    (void)snprintf(out, 64, "shoal %s", id->text);
}

/* --- Life ------------------------------------------------------------------------------------ */

int plumb_new(const struct plumb_config *cfg, struct plumb **out, char *why)
{
    struct plumb *p = calloc(1, sizeof(*p));
    char path[OVERLAY_PATH_MAX];
    int rc;

    if (p == NULL)
        return explain(why, -ENOMEM, "out of memory");
    list_init(&p->networks);
    (void)snprintf(p->run_dir, sizeof(p->run_dir), "%s", cfg->run_dir);
    (void)snprintf(path, sizeof(path), "%.200s/netns", cfg->run_dir);
    if ((mkdir(cfg->run_dir, 0755) < 0 && errno != EEXIST) ||
        (mkdir(path, 0755) < 0 && errno != EEXIST)) {
        rc = explain(why, -errno, "cannot create %s: %s", path, strerror(errno));
        goto fail;
    }
    rc = netlink_open(&p->host);
    if (rc < 0) {
        (void)explain(why, rc, "cannot open a netlink socket: %s", err_text(rc));
        goto fail;
    }
    if (!cfg->no_egress) {
        rc = uplink_new(p->host, &cfg->egress4, &cfg->egress6, &p->uplink, why);
        if (rc < 0)
            goto fail;
    }
    *out = p;
    return 0;
fail:
    plumb_free(p);
    return rc;
}

static void forget_network(struct wired_network *n)
{
    list_remove(&n->link);
    netlink_close(n->nl);
    if (n->netns >= 0)
        (void)close(n->netns);
    free(n->remotes);
    free(n);
}

void plumb_free(struct plumb *p)
{
    if (p == NULL)
        return;
    LIST_EACH_SAFE(it, &p->networks)
    forget_network(CONTAINER_OF(it, struct wired_network, link));
    uplink_free(p->uplink);
    netlink_close(p->host);
    free(p);
}

static struct wired_network *find_network(struct plumb *p, const struct id *id)
{
    LIST_EACH(it, &p->networks)
    {
        struct wired_network *n = CONTAINER_OF(it, struct wired_network, link);

        if (id_equal(&n->id, id))
            return n;
    }
    return NULL;
}

/* --- Networks -------------------------------------------------------------------------------- */

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

/* Opens the namespace and a socket inside it; enters nothing for longer than that. */
static int open_netlink_at(int netns, struct netlink **out)
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
    network_path(p, id, path);
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
    forget_network(n);
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
    struct wired_network *n = find_network(p, &network->id);
    struct netlink_link bridge = { .name = BRIDGE, .mtu = network->mtu, .up = true };
    const char *uplink = network->clear ? CLEAR : TAP;
    int rc = 0;

    if (n == NULL) {
        rc = wire_network(p, &network->id, &n, changes);
        if (rc < 0)
            return explain(why, rc, "namespace of the network: %s", err_text(rc));
    }
    rc = netlink_add_bridge(n->nl, &bridge);
    if (rc == 0)
        (*changes)++;
    if (rc == 0 || rc == ERR_EXISTS)
        rc = bring_link_up(n->nl, BRIDGE, &(struct netlink_link){ .mtu = network->mtu, .up = true },
                           &n->bridge, changes);
    if (rc < 0)
        return explain(why, rc, "bridge %s: %s", BRIDGE, err_text(rc));
    if (network->clear)
        rc = open_clear(p, n, network, changes);
    else if (tap_fds != NULL)
        rc = open_tap(n, network->lanes, tap_fds, out_uso);
    if (rc < 0)
        return explain(why, rc, "device %s: %s", uplink, err_text(rc));
    rc = bring_uplink_up(n, uplink, network->mtu, changes);
    if (rc < 0) {
        for (unsigned i = 0; !network->clear && tap_fds != NULL && i < network->lanes; i++)
            (void)close(tap_fds[i]);
        return explain(why, rc, "device %s: %s", uplink, err_text(rc));
    }
    return 0;
}

void plumb_network_down(struct plumb *p, const struct id *network_id)
{
    struct wired_network *n = find_network(p, network_id);
    char path[OVERLAY_PATH_MAX];

    if (n != NULL)
        forget_network(n);
    network_path(p, network_id, path);
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
    struct wired_network *n = find_network(p, network_id);
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

/* --- Sandboxes ------------------------------------------------------------------------------- */

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

    if (rc < 0)
        return rc;
    if (netns >= 0) {
        rc = netns_enter(netns, &home);
        if (rc < 0)
            return rc;
        set_leg_sysctls(leg);
        netns_leave(home);
    } else {
        set_leg_sysctls(leg);
    }
    if (!is.up || is.mtu != leg->mtu || memcmp(is.mac, leg->mac, OVERLAY_MAC_LEN) != 0)
        (*changes)++;
    rc = netlink_set_link(
        nl, is.index,
        &(struct netlink_link){
            .mac = leg->mac, .mtu = leg->mtu, .gso_max_segs = PLUMB_GSO_SEGS, .up = true });
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
    struct wired_network *n = find_network(p, &leg->network_id);
    struct guard_identity who = identity_of(leg);
    char name[OVERLAY_IFNAME_MAX];
    struct netlink_found port;
    int rc;

    if (n == NULL)
        return explain(why, ERR_NOT_FOUND, "network %s is not up", leg->network_id.text);
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
        return explain(why, rc, "interface %s: %s", leg->ifname, err_text(rc));
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
        return explain(why, ERR_UNSUPPORTED, "this node gives sandboxes no way out");
    plumb_sandbox_path(p->run_dir, &sandbox->id, path);
    netns = netns_open(path, &created);
    if (netns < 0)
        return explain(why, netns, "namespace %s: %s", path, err_text(netns));
    *changes += created != 0;
    rc = open_netlink_at(netns, &nl);
    if (rc == 0)
        rc = netlink_set_link(nl, netlink_index(nl, "lo"), &up);
    if (rc == 0 && created == 0)
        rc = remove_strays(nl, sandbox, changes);
    if (rc < 0)
        (void)explain(why, rc, "namespace %s: %s", path, err_text(rc));
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
        struct wired_network *n = find_network(p, &sandbox->legs[i].network_id);

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
    return rc < 0 ? explain(why, rc, "namespace %s: %s", path, err_text(rc)) : 0;
}

/* --- Left-overs ------------------------------------------------------------------------------ */

static bool is_kept(const struct id *keep, size_t count, const char *name)
{
    const char *text = strncmp(name, "net-", 4) == 0 ? name + 4 : name;

    for (size_t i = 0; i < count; i++)
        if (strcmp(keep[i].text, text) == 0)
            return true;
    return false;
}

void plumb_purge(struct plumb *p, const struct id *keep, size_t count)
{
    char path[OVERLAY_PATH_MAX + NAME_MAX];
    struct dirent *entry;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%.200s/netns", p->run_dir);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || is_kept(keep, count, entry->d_name))
            continue;
        (void)snprintf(path, sizeof(path), "%.200s/netns/%s", p->run_dir, entry->d_name);
        (void)netns_delete(path); /* busy ones are tried again at the next start */
    }
    if (dir != NULL)
        (void)closedir(dir);
    if (p->uplink != NULL)
        uplink_purge(p->uplink, keep, count);
}
