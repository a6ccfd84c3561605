/* Which networks there are, and which subnets and VNIs are theirs. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/ipam_impl.h"

void ipam_explain(struct ipam_why *why, const char *format, ...)
{
    va_list args;

    if (why == NULL)
        return;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
}

static struct slice network_name(const struct network *n)
{
    return slice_of(n->name, n->name_len);
}

/* --- Table ----------------------------------------------------------------------------------- */

static bool is_pool_sane(const struct ip_prefix *pool, uint8_t len, uint8_t piece_bits)
{
    return pool->addr.len == 0 || (pool->addr.len == len && pool->bits <= piece_bits);
}

int ipam_new(const struct ipam_config *cfg, struct ipam **out)
{
    struct ipam *t;
    struct ipam_config c = *cfg;

    if (c.subnet4_bits == 0)
        c.subnet4_bits = 24;
    if (c.pool4.addr.len == 0)
        c.pool4 = (struct ip_prefix){ .addr = ip4_of_u32(UINT32_C(10) << 24), .bits = 8 };
    if (c.subnet4_bits < IPAM_SUBNET4_BITS_MIN || c.subnet4_bits > IPAM_SUBNET4_BITS_MAX ||
        !is_pool_sane(&c.pool4, IP4_LEN, c.subnet4_bits) || !is_pool_sane(&c.pool6, IP6_LEN, 64))
        return ERR_INVALID;
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return -ENOMEM;
    t->cfg = c;
    memcpy(t->seed.key, &c.seed, sizeof(c.seed));
    t->vni_cursor = IPAM_VNI_MIN;
    map_init(&t->networks, &t->seed, IPAM_NETWORKS_MAX);
    map_init(&t->vnis, &t->seed, IPAM_NETWORKS_MAX);
    *out = t;
    return 0;
}

static void network_free(struct network *n)
{
    struct map_iter it = { 0 };

    while (map_next(&n->leases, &it))
        free(it.value);
    map_deinit(&n->leases);
    for (int f = 0; f < FAMILIES; f++)
        ip_range_deinit(&n->range[f]);
    free(n);
}

void ipam_free(struct ipam *t)
{
    struct map_iter it = { 0 };

    if (t == NULL)
        return;
    while (map_next(&t->networks, &it))
        network_free(it.value);
    map_deinit(&t->networks);
    map_deinit(&t->vnis);
    free(t->routes);
    free(t);
}

struct ip_prefix ipam_ula(const uint8_t random[5])
{
    struct ip_prefix p = { .addr = { .len = IP6_LEN, .bytes = { 0xfd } }, .bits = 48 };

    memcpy(p.addr.bytes + 1, random, 5);
    return p;
}

int ipam_routes_set(struct ipam *t, const struct ip_prefix *routes, size_t count)
{
    struct ip_prefix *copy = NULL;

    if (count > IPAM_ROUTES_MAX)
        return ERR_FULL;
    if (count > 0) {
        copy = malloc(count * sizeof(*copy));
        if (copy == NULL)
            return -ENOMEM;
        memcpy(copy, routes, count * sizeof(*copy));
    }
    free(t->routes);
    t->routes = copy;
    t->route_count = count;
    return 0;
}

/* A default route covers everything and clashes with nothing. */
static const struct ip_prefix *find_route(const struct ipam *t, const struct ip_prefix *subnet)
{
    for (size_t i = 0; i < t->route_count; i++)
        if (t->routes[i].bits != 0 && ip_prefix_overlap(&t->routes[i], subnet))
            return &t->routes[i];
    return NULL;
}

static const struct network *find_overlap(const struct ipam *t, const struct ip_prefix *subnet)
{
    struct map_iter it = { 0 };

    while (map_next(&t->networks, &it)) {
        const struct network *n = it.value;

        if (ip_prefix_overlap(&n->subnets.subnet4, subnet) ||
            ip_prefix_overlap(&n->subnets.subnet6, subnet))
            return n;
    }
    return NULL;
}

bool ipam_route_clash(const struct ipam *t, struct slice network, struct ipam_why *why)
{
    const struct ipam_network *n = ipam_network_get(t, network);
    const struct ip_prefix *subnets[FAMILIES];

    if (n == NULL)
        return false;
    subnets[FAMILY4] = &n->subnet4;
    subnets[FAMILY6] = &n->subnet6;
    for (int f = 0; f < FAMILIES; f++) {
        const struct ip_prefix *route = find_route(t, subnets[f]);
        char a[IP_PREFIX_TEXT_MAX], b[IP_PREFIX_TEXT_MAX];

        if (route == NULL)
            continue;
        ipam_explain(why, "network %.*s: subnet %s overlaps the route %s of a host", TEXT(network),
                     ip_prefix_format(subnets[f], a), ip_prefix_format(route, b));
        return true;
    }
    return false;
}

/* --- Networks -------------------------------------------------------------------------------- */

static int check_subnet(struct slice network, const struct ip_prefix *subnet, uint8_t len,
                        uint8_t bits_min, uint8_t bits_max, struct ipam_why *why)
{
    char text[IP_PREFIX_TEXT_MAX];

    if (subnet->addr.len == 0)
        return 0;
    if (subnet->addr.len != len) {
        ipam_explain(why, "network %.*s: subnet %s is of the wrong address family", TEXT(network),
                     ip_prefix_format(subnet, text));
        return ERR_INVALID;
    }
    if (subnet->bits < bits_min || subnet->bits > bits_max) {
        ipam_explain(why, "network %.*s: subnet %s: prefix is %u to %u", TEXT(network),
                     ip_prefix_format(subnet, text), bits_min, bits_max);
        return ERR_INVALID;
    }
    return 0;
}

/* A gateway that is none becomes the first address. */
static int check_gateway(struct slice network, const struct ip_prefix *subnet,
                         struct ip_addr *gateway, struct ipam_why *why)
{
    char a[IP_TEXT_MAX], b[IP_PREFIX_TEXT_MAX];

    if (ip_is_none(gateway)) {
        *gateway = ip_prefix_at(subnet, 1);
        return 0;
    }
    if (ip_prefix_has(subnet, gateway))
        return 0;
    ipam_explain(why, "network %.*s: gateway %s is outside its subnet %s", TEXT(network),
                 ip_format(gateway, a), ip_prefix_format(subnet, b));
    return ERR_INVALID;
}

static int check_network(struct slice network, struct ipam_network *n, struct ipam_why *why)
{
    int rc;

    rc = check_subnet(network, &n->subnet4, IP4_LEN, IPAM_SUBNET4_BITS_MIN, IPAM_SUBNET4_BITS_MAX,
                      why);
    if (rc == 0)
        rc = check_subnet(network, &n->subnet6, IP6_LEN, IPAM_SUBNET6_BITS_MIN,
                          IPAM_SUBNET6_BITS_MAX, why);
    if (rc == 0)
        rc = check_gateway(network, &n->subnet4, &n->gateway4, why);
    if (rc == 0)
        rc = check_gateway(network, &n->subnet6, &n->gateway6, why);
    if (rc == 0 && n->vni != 0 && (n->vni < IPAM_VNI_MIN || n->vni > IPAM_VNI_MAX)) {
        ipam_explain(why, "network %.*s: VNI %" PRIu32 " is outside %d to %d", TEXT(network),
                     n->vni, IPAM_VNI_MIN, IPAM_VNI_MAX);
        rc = ERR_INVALID;
    }
    return rc;
}

static int check_overlap(const struct ipam *t, struct slice network, const struct ip_prefix *subnet,
                         struct ipam_why *why)
{
    const struct network *other = find_overlap(t, subnet);
    const struct ip_prefix *theirs;
    char a[IP_PREFIX_TEXT_MAX], b[IP_PREFIX_TEXT_MAX];

    if (other == NULL)
        return 0;
    theirs = subnet->addr.len == IP4_LEN ? &other->subnets.subnet4 : &other->subnets.subnet6;
    ipam_explain(why, "network %.*s: subnet %s overlaps %s of network %.*s", TEXT(network),
                 ip_prefix_format(subnet, a), ip_prefix_format(theirs, b),
                 TEXT(network_name(other)));
    return ERR_CONFLICT;
}

static int check_vni(const struct ipam *t, struct slice network, uint32_t vni, struct ipam_why *why)
{
    const struct network *other = vni == 0 ? NULL : map_get_u64(&t->vnis, vni);

    if (other == NULL)
        return 0;
    ipam_explain(why, "network %.*s: VNI %" PRIu32 " belongs to network %.*s", TEXT(network), vni,
                 TEXT(network_name(other)));
    return ERR_CONFLICT;
}

/* The next piece of a pool that overlaps nothing. */
static int choose_subnet(struct ipam *t, struct slice network, int family, struct ip_prefix *out,
                         struct ipam_why *why)
{
    const struct ip_prefix *pool = family == FAMILY4 ? &t->cfg.pool4 : &t->cfg.pool6;
    uint8_t bits = family == FAMILY4 ? t->cfg.subnet4_bits : 64;
    uint64_t pieces, *cursor = &t->pool_cursor[family];
    char text[IP_PREFIX_TEXT_MAX];

    if (pool->addr.len == 0) {
        ipam_explain(why, "network %.*s: there is no IPv6 pool: name a subnet", TEXT(network));
        return ERR_INVALID;
    }
    pieces = bits - pool->bits >= 20 ? UINT64_C(1) << 20 : UINT64_C(1) << (bits - pool->bits);
    for (uint64_t tries = 0; tries < pieces; tries++) {
        uint64_t piece = (*cursor + tries) % pieces;
        struct ip_prefix p = { .addr = pool->addr, .bits = bits };

        for (unsigned b = 0; b < 20 && b < (unsigned)(bits - pool->bits); b++) {
            unsigned at = bits - 1 - b; /* place the piece number just above the host bits */

            p.addr.bytes[at / 8] |= (uint8_t)((piece >> b & 1) << (7 - at % 8));
        }
        if (find_overlap(t, &p) != NULL || find_route(t, &p) != NULL)
            continue;
        *cursor = (piece + 1) % pieces;
        *out = p;
        return 0;
    }
    ipam_explain(why,
                 "network %.*s: no free /%u is left in the pool %s: %" PRIu64
                 " pieces, %zu networks, "
                 "%zu routes of hosts",
                 TEXT(network), bits, ip_prefix_format(pool, text), pieces, t->networks.count,
                 t->route_count);
    return ERR_EXHAUSTED;
}

static int choose_vni(struct ipam *t, struct slice network, uint32_t *out, struct ipam_why *why)
{
    const uint32_t all = IPAM_VNI_MAX - IPAM_VNI_MIN + 1;

    /* IPAM_NETWORKS_MAX is far below the number of VNIs, so this ends early. */
    for (uint32_t tries = 0; tries < all; tries++) {
        uint32_t vni = IPAM_VNI_MIN + (t->vni_cursor - IPAM_VNI_MIN + tries) % all;

        if (map_get_u64(&t->vnis, vni) != NULL)
            continue;
        t->vni_cursor = vni == IPAM_VNI_MAX ? IPAM_VNI_MIN : vni + 1;
        *out = vni;
        return 0;
    }
    ipam_explain(why, "network %.*s: all %" PRIu32 " VNIs are in use", TEXT(network), all);
    return ERR_EXHAUSTED;
}

static int insert_network(struct ipam *t, struct slice id, const struct ipam_network *subnets,
                          struct ipam_why *why)
{
    struct network *n = calloc(1, sizeof(*n));
    int rc = -ENOMEM;

    if (n == NULL)
        goto out;
    n->subnets = *subnets;
    n->name_len = id.len;
    memcpy(n->name, id.ptr, id.len);
    map_init(&n->leases, &t->seed, 2 * IPAM_SUBNET6_LEASES_MAX);
    ip_range_init(&n->range[FAMILY4], &subnets->subnet4, &subnets->gateway4);
    ip_range_init(&n->range[FAMILY6], &subnets->subnet6, &subnets->gateway6);
    rc = map_set(&t->networks, id, n);
    if (rc < 0)
        goto out;
    rc = map_set_u64(&t->vnis, subnets->vni, n);
    if (rc < 0)
        (void)map_remove(&t->networks, id); /* it was set above */
out:
    if (rc == ERR_FULL)
        ipam_explain(why, "network %.*s: there are already %d networks", TEXT(id),
                     IPAM_NETWORKS_MAX);
    if (rc < 0)
        free(n);
    return rc;
}

/* What creation and restoration have in common; fills gateways of `n`. */
static int admit_network(const struct ipam *t, struct slice id, struct ipam_network *n,
                         struct ipam_why *why)
{
    int rc;

    if (id.len == 0 || id.len > IPAM_OWNER_LEN_MAX)
        return ERR_INVALID;
    if (map_get(&t->networks, id) != NULL)
        return ERR_EXISTS;
    rc = check_network(id, n, why);
    if (rc == 0)
        rc = check_overlap(t, id, &n->subnet4, why);
    if (rc == 0)
        rc = check_overlap(t, id, &n->subnet6, why);
    if (rc == 0)
        rc = check_vni(t, id, n->vni, why);
    return rc;
}

static int check_routes(const struct ipam *t, struct slice id, const struct ip_prefix *subnet,
                        struct ipam_why *why)
{
    const struct ip_prefix *route = find_route(t, subnet);
    char a[IP_PREFIX_TEXT_MAX], b[IP_PREFIX_TEXT_MAX];

    if (route == NULL)
        return 0;
    ipam_explain(why, "network %.*s: subnet %s overlaps the route %s of a host", TEXT(id),
                 ip_prefix_format(subnet, a), ip_prefix_format(route, b));
    return ERR_CONFLICT;
}

int ipam_network_create(struct ipam *t, struct slice network, const struct ipam_network *want,
                        bool want6, struct ipam_network *out, struct ipam_why *why)
{
    struct ipam_network n = *want;
    int rc;

    rc = admit_network(t, network, &n, why);
    if (rc == 0)
        rc = check_routes(t, network, &n.subnet4, why);
    if (rc == 0)
        rc = check_routes(t, network, &n.subnet6, why);
    if (rc == 0 && n.subnet4.addr.len == 0 && n.subnet6.addr.len == 0)
        rc = choose_subnet(t, network, FAMILY4, &n.subnet4, why);
    if (rc == 0 && want6 && n.subnet6.addr.len == 0)
        rc = choose_subnet(t, network, FAMILY6, &n.subnet6, why);
    if (rc == 0 && n.vni == 0)
        rc = choose_vni(t, network, &n.vni, why);
    if (rc == 0)
        rc = check_network(network, &n, why); /* gateways of the chosen subnets */
    if (rc == 0)
        rc = insert_network(t, network, &n, why);
    if (rc == 0)
        *out = n;
    return rc;
}

int ipam_network_restore(struct ipam *t, struct slice network, const struct ipam_network *stored,
                         struct ipam_why *why)
{
    struct ipam_network n = *stored;
    int rc;

    if (n.vni == 0 || (n.subnet4.addr.len == 0 && n.subnet6.addr.len == 0)) {
        ipam_explain(why, "network %.*s: stored without VNI or subnet", TEXT(network));
        return ERR_INVALID;
    }
    rc = admit_network(t, network, &n, why);
    if (rc == 0)
        rc = insert_network(t, network, &n, why);
    if (rc == 0 && n.vni >= t->vni_cursor)
        t->vni_cursor = n.vni == IPAM_VNI_MAX ? IPAM_VNI_MIN : n.vni + 1;
    return rc;
}

void ipam_network_remove(struct ipam *t, struct slice network)
{
    struct network *n = map_remove(&t->networks, network);

    if (n == NULL)
        return;
    (void)map_remove_u64(&t->vnis, n->subnets.vni); /* `n` itself */
    network_free(n);
}

const struct ipam_network *ipam_network_get(const struct ipam *t, struct slice network)
{
    const struct network *n = map_get(&t->networks, network);

    return n == NULL ? NULL : &n->subnets;
}
