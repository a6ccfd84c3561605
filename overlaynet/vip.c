/* One map for each family: an nftables map has values of one type. */
#include "overlaynet/vip.h"

#include "base/err.h"
#include "overlaynet/ingress.h"

struct writer {
    const struct services_table *table;
    const struct id *networks;
    size_t count;
    uint64_t salt;
    unsigned slots;
    struct buf *out;
};

static const struct ip_addr *addr_of(const struct backend *b, uint8_t family)
{
    return family == IP4_LEN ? &b->ip4 : &b->ip6;
}

static bool takes(const struct services_table *t, const struct backend *b, uint8_t family)
{
    return services_table_takes(t, b) && !ip_is_none(addr_of(b, family));
}

static size_t count_takers(const struct services_table *t, const struct service_group *g)
{
    size_t n = 0;

    LIST_EACH(it, &g->backends)
    n += takes(t, CONTAINER_OF(it, struct backend, link), g->vip.len);
    return n;
}

static bool has_vip(const struct service_group *g, uint8_t family)
{
    return g->is_stated && g->mode == OVERLAY_VIP && g->vip.len == family;
}

/* Calls for every service with a virtual IP of the family. */
static int each_vip(struct writer *w, uint8_t family,
                    int (*call)(struct writer *w, const struct service_group *g, size_t *written))
{
    size_t written = 0;
    int rc = 0;

    for (size_t i = 0; i < w->count; i++) {
        const struct service_net *net = services_table_net(w->table, &w->networks[i]);
        struct map_iter it = { 0 };

        while (rc == 0 && net != NULL && map_next(&net->groups, &it))
            if (has_vip(it.value, family))
                rc = call(w, it.value, &written);
    }
    return rc == 0 && written > 0 ? buf_append_str(w->out, "\n    }\n") : rc;
}

unsigned vip_slots(const struct services_table *table, const struct id *networks, size_t count)
{
    size_t vips = 0, most = 0;
    unsigned slots = VIP_SLOTS_MIN;

    for (size_t i = 0; i < count; i++) {
        const struct service_net *net = services_table_net(table, &networks[i]);
        struct map_iter it = { 0 };

        while (net != NULL && map_next(&net->groups, &it)) {
            const struct service_group *g = it.value;
            size_t n = has_vip(g, g->vip.len) ? count_takers(table, g) : 0;

            vips += n > 0;
            most = n > most ? n : most;
        }
    }
    while (slots < VIP_SLOTS_MAX && slots < most && vips * slots * 2 <= VIP_ELEMENTS_MAX)
        slots *= 2;
    return slots;
}

/* Backend i of n has the slots s with (s + salt) mod n = i. */
static int write_slots(struct writer *w, const struct service_group *g, size_t *written)
{
    size_t n = count_takers(w->table, g), i = 0;
    char vip[IP_TEXT_MAX], to[IP_TEXT_MAX];
    int rc = 0;

    (void)ip_format(&g->vip, vip);
    LIST_EACH(it, &g->backends)
    {
        const struct backend *b = CONTAINER_OF(it, struct backend, link);

        if (!takes(w->table, b, g->vip.len))
            continue;
        for (size_t s = (i + n - (size_t)(w->salt % n)) % n; rc == 0 && s < w->slots; s += n)
            rc = buf_printf(w->out, "%s\n      %s . %zu : %s",
                            (*written)++ == 0 ? "    elements = {" : ",", vip, s,
                            ip_format(addr_of(b, g->vip.len), to));
        i++;
    }
    return rc;
}

static int write_idle(struct writer *w, const struct service_group *g, size_t *written)
{
    char vip[IP_TEXT_MAX];

    if (count_takers(w->table, g) > 0)
        return 0;
    return buf_printf(w->out, "%s\n      %s", (*written)++ == 0 ? "    elements = {" : ",",
                      ip_format(&g->vip, vip));
}

static int write_family(struct writer *w, uint8_t family)
{
    const char *ip = family == IP4_LEN ? "ip" : "ip6";
    int rc = buf_printf(w->out,
                        "  map slots_%s {\n    typeof %s daddr . numgen random mod %u : %s daddr\n",
                        ip, ip, w->slots, ip);

    if (rc == 0)
        rc = each_vip(w, family, write_slots);
    if (rc == 0)
        rc = buf_printf(w->out, "  }\n  set idle_%s {\n    typeof %s daddr\n", ip, ip);
    if (rc == 0)
        rc = each_vip(w, family, write_idle);
    return rc < 0 ? rc : buf_append_str(w->out, "  }\n");
}

int vip_write_sandbox(const struct services_table *table, const struct id *networks, size_t count,
                      uint64_t salt, struct buf *out)
{
    struct writer w = { .table = table,
                        .networks = networks,
                        .count = count,
                        .salt = salt,
                        .slots = vip_slots(table, networks, count),
                        .out = out };
    int rc = buf_append_str(out, "table inet shoal_services\n"
                                 "delete table inet shoal_services\n"
                                 "table inet shoal_services {\n");

    if (rc == 0)
        rc = write_family(&w, IP4_LEN);
    if (rc == 0)
        rc = write_family(&w, IP6_LEN);
    if (rc == 0)
        rc = buf_printf(out,
                        "  chain connecting {\n"
                        "    type nat hook output priority -100\n"
                        "    ip daddr " OVERLAY_RESOLVER_ADDRESS
                        " udp dport 53 dnat ip to " OVERLAY_RESOLVER_ADDRESS ":$resolver_udp\n"
                        "    ip daddr " OVERLAY_RESOLVER_ADDRESS
                        " tcp dport 53 dnat ip to " OVERLAY_RESOLVER_ADDRESS ":$resolver_tcp\n"
                        "    dnat ip to ip daddr . numgen random mod %u map @slots_ip\n"
                        "    dnat ip6 to ip6 daddr . numgen random mod %u map @slots_ip6\n"
                        "  }\n"
                        "  chain refusing {\n"
                        "    type filter hook output priority filter\n"
                        "    ip daddr @idle_ip meta l4proto tcp reject with tcp reset\n"
                        "    ip daddr @idle_ip reject with icmp port-unreachable\n"
                        "    ip6 daddr @idle_ip6 meta l4proto tcp reject with tcp reset\n"
                        "    ip6 daddr @idle_ip6 reject with icmpv6 port-unreachable\n"
                        "  }\n",
                        w.slots, w.slots);
    if (rc == 0)
        rc = ingress_write_sandbox(table, networks, count, out);
    if (rc == 0)
        rc = buf_append_str(out, "}\n");
    return rc < 0 ? rc : ingress_write_datagrams(table, networks, count, out);
}
