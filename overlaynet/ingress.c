/* The backends of a port are spread over slots, of which a random one is taken: one rule and one
 * map for all ports of a family, whatever their number. */
#include "overlaynet/ingress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "overlaynet/vip.h"

#define MARK_BASE     0x53000000u
#define PROTOCOL_TCP  6
#define PORTS_BY_BYTE 8192 /* a bit for each port */
#define ASKERS_MAX    65536
#define ASKED_S       180 /* conntrack keeps a UDP flow with answers for 120 */

uint32_t ingress_mark(const struct ip_addr *gateway4)
{
    return MARK_BASE | (ip4_to_u32(gateway4) & 0xffffffu);
}

/* --- The host -------------------------------------------------------------------------------- */

struct ports {
    const struct services_table *table;
    const struct id *node_id;
    struct buf *out;
    uint8_t family;                  /* IP4_LEN or IP6_LEN */
    uint8_t taken[2][PORTS_BY_BYTE]; /* by an earlier service */
    size_t count;
};

static const struct ip_addr *addr_of(const struct ports *p, const struct backend *b)
{
    return p->family == IP4_LEN ? &b->ip4 : &b->ip6;
}

static bool is_here(const struct ports *p, const struct backend *b)
{
    return id_equal(&b->node_id, p->node_id);
}

static bool takes(const struct ports *p, const struct backend *b, bool only_here)
{
    return services_table_takes(p->table, b) && !ip_is_none(addr_of(p, b)) &&
           (!only_here || is_here(p, b));
}

static size_t count_backends(const struct ports *p, const struct service_group *g, bool only_here)
{
    size_t n = 0;

    LIST_EACH(it, &g->backends)
    n += takes(p, CONTAINER_OF(it, struct backend, link), only_here);
    return n;
}

static int write_port(struct ports *p, const struct service_group *g,
                      const struct overlay_published *port)
{
    bool only_here = count_backends(p, g, true) > 0;
    size_t n = count_backends(p, g, only_here), i = 0;
    char text[IP_TEXT_MAX];
    int rc = 0;

    LIST_EACH(it, &g->backends)
    {
        const struct backend *b = CONTAINER_OF(it, struct backend, link);

        if (!takes(p, b, only_here))
            continue;
        for (size_t slot = i; rc == 0 && slot < VIP_SLOTS_MIN; slot += n)
            rc = buf_printf(p->out, "%s\n      %s . %u . %zu : %s . %u",
                            p->count++ == 0 ? "    elements = {" : ",",
                            port->protocol == PROTOCOL_TCP ? "tcp" : "udp", port->published_port,
                            slot, ip_format(addr_of(p, b), text), port->target_port);
        i++;
    }
    return rc;
}

static bool take(struct ports *p, const struct overlay_published *port)
{
    uint8_t *byte = &p->taken[port->protocol == PROTOCOL_TCP][port->published_port / 8];
    uint8_t bit = (uint8_t)(1u << port->published_port % 8);

    if ((*byte & bit) != 0)
        return false;
    *byte |= bit;
    return true;
}

static int write_ports(struct ports *p, const struct id *networks, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        const struct service_net *net = services_table_net(p->table, &networks[i]);
        struct map_iter it = { 0 };

        while (rc == 0 && net != NULL && map_next(&net->groups, &it)) {
            const struct service_group *g = it.value;

            for (size_t k = 0; rc == 0 && k < g->port_count; k++)
                if (take(p, &g->ports[k]))
                    rc = write_port(p, g, &g->ports[k]);
        }
    }
    if (rc == 0 && p->count > 0)
        rc = buf_append_str(p->out, "\n    }\n");
    return rc;
}

/* A leg takes what belongs to connections that left through it, and nothing else: containers of
 * the network reach neither the host nor what is behind it. */
static int write_leg(const struct id *network, struct buf *out)
{
    char name[OVERLAY_IFNAME_MAX];

    (void)snprintf(name, sizeof(name), INGRESS_IFNAME_FORMAT, network->text);
    return buf_printf(out,
                      "  chain source {\n"
                      "    oifname \"%s\" fib saddr type local masquerade\n"
                      "    oifname \"%s\" iifname \"shoal0\" masquerade\n"
                      "  }\n"
                      "  chain loopback {\n"
                      "    iifname \"%s\" ip daddr 127.0.0.0/8 drop\n"
                      "  }\n"
                      "  chain to_host {\n"
                      "    iifname \"%s\" ct direction original drop\n"
                      "  }\n"
                      "  chain through_host {\n"
                      "    iifname \"%s\" ct direction original drop\n"
                      "  }\n",
                      name, name, name, name, name);
}

#define INGRESS_CLEAR "table inet shoal_ingress\ndelete table inet shoal_ingress\n"
#define TO_PORT                                                                                    \
    "fib daddr type local dnat ip to meta l4proto . th dport . numgen random mod %d map @ports4\n" \
    "    fib daddr type local dnat ip6 to meta l4proto . th dport . numgen random mod %d map "     \
    "@ports6\n"

static int write_map(const struct services_table *table, const struct id *node_id,
                     const struct id *networks, size_t count, uint8_t family, struct buf *out)
{
    struct ports p = { .table = table, .node_id = node_id, .out = out, .family = family };
    int rc =
        buf_printf(out,
                   "  map ports%c {\n"
                   "    typeof meta l4proto . th dport . numgen random mod %d"
                   " : %s daddr . th dport\n",
                   family == IP4_LEN ? '4' : '6', VIP_SLOTS_MIN, family == IP4_LEN ? "ip" : "ip6");

    if (rc == 0)
        rc = write_ports(&p, networks, count);
    return rc < 0 ? rc : buf_append_str(out, "  }\n");
}

int ingress_write_host(const struct services_table *table, const struct id *node_id,
                       const struct id *networks, size_t count, struct buf *out)
{
    int rc;

    if (count == 0)
        return buf_append_str(out, INGRESS_CLEAR);
    rc = buf_append_str(out, INGRESS_CLEAR "table inet shoal_ingress {\n");
    if (rc == 0)
        rc = write_map(table, node_id, networks, count, IP4_LEN, out);
    if (rc == 0)
        rc = write_map(table, node_id, networks, count, IP6_LEN, out);
    if (rc == 0)
        rc = buf_printf(out,
                        "  chain from_outside {\n"
                        "    type nat hook prerouting priority dstnat\n"
                        "    " TO_PORT "  }\n"
                        "  chain from_here {\n"
                        "    type nat hook output priority -100\n"
                        "    " TO_PORT "  }\n"
                        "  chain source { type nat hook postrouting priority srcnat; }\n"
                        "  chain loopback { type filter hook prerouting priority raw; }\n"
                        "  chain to_host { type filter hook input priority filter; }\n"
                        "  chain through_host { type filter hook forward priority filter; }\n",
                        VIP_SLOTS_MIN, VIP_SLOTS_MIN, VIP_SLOTS_MIN, VIP_SLOTS_MIN);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = write_leg(&networks[i], out);
    return rc < 0 ? rc : buf_append_str(out, "}\n");
}

static bool is_neighbour(const struct services_table *table, const struct backend *b)
{
    return services_table_takes(table, b) && !ip_is_none(&b->ip6);
}

/* Fills in when there is room given; returns how many there are. */
static size_t each_neighbour(const struct services_table *table, const struct service_net *net,
                             struct ingress_neighbour *out)
{
    struct map_iter it = { 0 };
    size_t n = 0;

    while (net != NULL && map_next(&net->groups, &it)) {
        const struct service_group *g = it.value;

        if (g->port_count == 0)
            continue;
        LIST_EACH(link, &g->backends)
        {
            const struct backend *b = CONTAINER_OF(link, struct backend, link);

            if (!is_neighbour(table, b))
                continue;
            if (out != NULL) {
                out[n] = (struct ingress_neighbour){ .network_id = net->id, .addr = b->ip6 };
                memcpy(out[n].mac, b->mac, OVERLAY_MAC_LEN);
            }
            n++;
        }
    }
    return n;
}

int ingress_neighbour_cmp(const struct ingress_neighbour *a, const struct ingress_neighbour *b)
{
    int by_network = memcmp(&a->network_id, &b->network_id, sizeof(a->network_id));

    return by_network != 0 ? by_network : ip_cmp(&a->addr, &b->addr);
}

static int cmp_neighbours(const void *a, const void *b)
{
    return ingress_neighbour_cmp(a, b);
}

int ingress_neighbours(const struct services_table *table, const struct id *networks, size_t count,
                       struct ingress_neighbour **out, size_t *out_count)
{
    struct ingress_neighbour *all;
    size_t n = 0, filled = 0;

    for (size_t i = 0; i < count; i++)
        n += each_neighbour(table, services_table_net(table, &networks[i]), NULL);
    all = calloc(n + 1, sizeof(*all));
    if (all == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        filled += each_neighbour(table, services_table_net(table, &networks[i]), all + filled);
    qsort(all, n, sizeof(*all), cmp_neighbours);
    *out = all;
    *out_count = n;
    return 0;
}

/* --- Sandboxes ------------------------------------------------------------------------------- */

static bool is_gateway(const struct backend *b)
{
    return b->gateway && !ip_is_none(&b->ip4);
}

static int write_gateways(const struct services_table *table, const struct id *network,
                          struct buf *out, size_t *written)
{
    const struct service_net *net = services_table_net(table, network);
    struct map_iter it = { 0 };
    int rc = 0;

    while (rc == 0 && net != NULL && map_next(&net->backends, &it)) {
        const struct backend *b = it.value;

        if (!is_gateway(b))
            continue;
        rc = buf_printf(out, "%s\n      %02x:%02x:%02x:%02x:%02x:%02x : 0x%08" PRIx32,
                        (*written)++ == 0 ? "  map gateways {\n    type ether_addr : mark\n"
                                            "    elements = {"
                                          : ",",
                        b->mac[0], b->mac[1], b->mac[2], b->mac[3], b->mac[4], b->mac[5],
                        ingress_mark(&b->ip4));
    }
    return rc;
}

static bool has_gateway(const struct services_table *table, const struct id *network)
{
    const struct service_net *net = services_table_net(table, network);
    struct map_iter it = { 0 };

    while (net != NULL && map_next(&net->backends, &it))
        if (is_gateway(it.value))
            return true;
    return false;
}

int ingress_write_sandbox(const struct services_table *table, const struct id *networks,
                          size_t count, struct buf *out)
{
    size_t written = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = write_gateways(table, &networks[i], out, &written);
    if (rc < 0 || written == 0)
        return rc;
    return buf_append_str(out, "\n    }\n  }\n"
                               "  chain arriving {\n"
                               "    type filter hook prerouting priority mangle\n"
                               "    ct state new ct mark set ether saddr map @gateways\n"
                               "    ct direction original ct mark != 0 meta mark set ct mark\n"
                               "  }\n"
                               "  chain answers {\n"
                               "    type route hook output priority mangle\n"
                               "    ct direction reply ct mark != 0 meta mark set ct mark\n"
                               "  }\n");
}

/* An unconnected UDP socket answers from whatever address the route to the client suggests, which
 * belongs to no connection. So who asked, and where, is kept for a while; before an answer meets
 * the connections it gets the address that was asked, and the way back. A table of its own, that
 * stays when the others are replaced: what was asked before is answered after. nft 1.0.6 confuses
 * the registers of maps with longer keys than 16 bytes that a rule fills, so IPv6 has the askers in
 * a set and what they asked by their address alone; the way back is the connection's. */
int ingress_write_datagrams(const struct services_table *table, const struct id *networks,
                            size_t count, struct buf *out)
{
    bool has = false;

    for (size_t i = 0; i < count; i++)
        has = has || has_gateway(table, &networks[i]);
    if (!has)
        return 0;
    return buf_printf(out,
                      "table inet shoal_datagrams {\n"
                      "  map asked {\n"
                      "    type ipv4_addr . inet_service . inet_service : ipv4_addr\n"
                      "    size %d; flags dynamic,timeout; timeout %ds\n"
                      "  }\n"
                      "  map through {\n"
                      "    type ipv4_addr . inet_service . inet_service : mark\n"
                      "    size %d; flags dynamic,timeout; timeout %ds\n"
                      "  }\n"
                      "  set asked6 {\n"
                      "    type ipv6_addr . inet_service . inet_service\n"
                      "    size %d; flags dynamic,timeout; timeout %ds\n"
                      "  }\n"
                      "  map asked6_at {\n"
                      "    type ipv6_addr : ipv6_addr\n"
                      "    size %d; flags dynamic,timeout; timeout %ds\n"
                      "  }\n"
                      "  chain arriving { type filter hook prerouting priority -149; }\n"
                      "  chain answers { type route hook output priority raw; }\n"
                      "}\n"
                      "flush chain inet shoal_datagrams arriving\n"
                      "flush chain inet shoal_datagrams answers\n"
                      "table inet shoal_datagrams {\n"
                      "  chain arriving {\n"
                      "    meta l4proto != udp return\n"
                      "    ct direction original ct mark != 0"
                      " update @asked { ip saddr . udp sport . udp dport : ip daddr }"
                      " update @through { ip saddr . udp sport . udp dport : ct mark }\n"
                      "    ct direction original ct mark != 0"
                      " update @asked6 { ip6 saddr . udp sport . udp dport }"
                      " update @asked6_at { ip6 saddr : ip6 daddr }\n"
                      "  }\n"
                      "  chain answers {\n"
                      "    meta mark set ip daddr . udp dport . udp sport map @through"
                      " ip saddr set ip daddr . udp dport . udp sport map @asked\n"
                      "    ip6 daddr . udp dport . udp sport @asked6"
                      " ip6 saddr set ip6 daddr map @asked6_at\n"
                      "  }\n"
                      "}\n",
                      ASKERS_MAX, ASKED_S, ASKERS_MAX, ASKED_S, ASKERS_MAX, ASKED_S, ASKERS_MAX,
                      ASKED_S);
}
