/* One map for each family: an nf_tables map has values of one type. As nft(8) would list it:
 *
 *     table inet shoal_services {
 *       map slots_ip { type ipv4_addr . integer : ipv4_addr; elements = { VIP . SLOT : BACKEND, ..
 * } } set idle_ip { type ipv4_addr; elements = { VIP, .. } }          (both for ip6 too) chain
 * connecting { type nat hook output priority -100; ip daddr 127.0.0.11 udp dport 53 dnat ip to
 * 127.0.0.11:PORT   (tcp too) dnat ip to ip daddr . numgen random mod SLOTS map @slots_ip   (ip6
 * too)
 *       }
 *       chain refusing { type filter hook output priority filter;
 *         ip daddr @idle_ip meta l4proto tcp reject with tcp reset
 *         ip daddr @idle_ip reject with icmp port-unreachable           (ip6 too)
 *       }
 *     }
 */
#include "overlaynet/vip.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>

#include "base/err.h"

#define CHAIN_CONNECTING "connecting"
#define CHAIN_REFUSING   "refusing"
#define NAT_PRIORITY     (-100)
#define ICMP_PORT        3 /* code of "port unreachable" */
#define ICMP6_PORT       4
#define PROTOCOL_TCP     6
#define PROTOCOL_UDP     17

/* --- Plan ------------------------------------------------------------------------------------ */

static bool takes(const struct services_table *t, const struct backend *b, uint8_t family)
{
    return services_table_takes(t, b) && !ip_is_none(family == IP4_LEN ? &b->ip4 : &b->ip6);
}

static size_t count_takers(const struct services_table *t, const struct service_group *g)
{
    size_t n = 0;

    LIST_EACH(it, &g->backends)
    n += takes(t, CONTAINER_OF(it, struct backend, link), g->vip.len);
    return n;
}

static bool has_vip(const struct service_group *g)
{
    return g->is_stated && g->mode == OVERLAY_VIP && !ip_is_none(&g->vip);
}

struct census {
    size_t served, idle, most; /* virtual IPs with and without backends; the most of one */
};

static struct census count_vips(const struct services_table *table, const struct id *networks,
                                size_t count)
{
    struct census c = { 0 };

    for (size_t i = 0; i < count; i++) {
        const struct service_net *net = services_table_net(table, &networks[i]);
        struct map_iter it = { 0 };

        while (net != NULL && map_next(&net->groups, &it)) {
            size_t n = has_vip(it.value) ? count_takers(table, it.value) : 0;

            c.served += n > 0;
            c.idle += n == 0 && has_vip(it.value);
            c.most = n > c.most ? n : c.most;
        }
    }
    return c;
}

static unsigned choose_slots(const struct census *c)
{
    unsigned slots = VIP_SLOTS_MIN;

    while (slots < VIP_SLOTS_MAX && slots < c->most && c->served * slots * 2 <= VIP_ELEMENTS_MAX)
        slots *= 2;
    return slots;
}

/* Backend i of n has the slots s with (s + salt) mod n = i. */
static void fill_slots(const struct services_table *t, const struct service_group *g, uint64_t salt,
                       struct vip_plan *p)
{
    size_t n = count_takers(t, g), i = 0;

    LIST_EACH(it, &g->backends)
    {
        const struct backend *b = CONTAINER_OF(it, struct backend, link);

        if (!takes(t, b, g->vip.len))
            continue;
        for (size_t s = (i + n - (size_t)(salt % n)) % n; s < p->slots; s += n)
            p->items[p->count++] = (struct vip_slot){ .vip = g->vip,
                                                      .to = g->vip.len == IP4_LEN ? b->ip4 : b->ip6,
                                                      .slot = (uint32_t)s };
        i++;
    }
    if (n == 0)
        p->idle[p->idle_count++] = g->vip;
}

int vip_plan_make(const struct services_table *table, const struct id *networks, size_t count,
                  uint64_t salt, struct vip_plan *out)
{
    struct census c = count_vips(table, networks, count);

    *out = (struct vip_plan){ .slots = choose_slots(&c) };
    out->items = calloc(c.served * out->slots + 1, sizeof(*out->items));
    out->idle = calloc(c.idle + 1, sizeof(*out->idle));
    if (out->items == NULL || out->idle == NULL) {
        vip_plan_deinit(out);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct service_net *net = services_table_net(table, &networks[i]);
        struct map_iter it = { 0 };

        while (net != NULL && map_next(&net->groups, &it))
            if (has_vip(it.value))
                fill_slots(table, it.value, salt, out);
    }
    return 0;
}

void vip_plan_deinit(struct vip_plan *p)
{
    free(p->items);
    free(p->idle);
    *p = (struct vip_plan){ 0 };
}

uint64_t vip_plan_hash(const struct vip_plan *p, const struct hash_seed *seed)
{
    const uint64_t parts[] = {
        p->slots,
        hash_bytes(seed, slice_of(p->items, p->count * sizeof(*p->items))),
        hash_bytes(seed, slice_of(p->idle, p->idle_count * sizeof(*p->idle))),
    };

    return hash_bytes(seed, slice_of(parts, sizeof(parts)));
}

/* --- Contents -------------------------------------------------------------------------------- */

/* What differs between IPv4 and IPv6. */
struct family {
    uint8_t len;
    uint8_t protocol; /* NFPROTO_* */
    uint32_t daddr_at, type;
    uint32_t after; /* the register behind an address in NFT_REG_1 */
    const char *slots, *idle;
    uint8_t port_unreachable;
};

static const struct family families[] = {
    { .len = IP4_LEN,
      .protocol = NFPROTO_IPV4,
      .daddr_at = 16,
      .type = NFT_TYPE_IP4,
      .after = NFT_REG32_01,
      .slots = "slots_ip",
      .idle = "idle_ip",
      .port_unreachable = ICMP_PORT },
    { .len = IP6_LEN,
      .protocol = NFPROTO_IPV6,
      .daddr_at = 24,
      .type = NFT_TYPE_IP6,
      .after = NFT_REG_2,
      .slots = "slots_ip6",
      .idle = "idle_ip6",
      .port_unreachable = ICMP6_PORT },
};

static void add_elements(const struct vip_plan *p, const struct family *f, struct nft_batch *b)
{
    uint8_t key[IP6_LEN + sizeof(uint32_t)];

    for (size_t i = 0; i < p->count; i++) {
        const struct vip_slot *s = &p->items[i];

        if (s->vip.len != f->len)
            continue;
        memcpy(key, s->vip.bytes, f->len);
        memcpy(key + f->len, &s->slot, sizeof(s->slot)); /* as numgen leaves it in its register */
        nft_element_add(b, f->slots, key, f->len + sizeof(s->slot), s->to.bytes, f->len);
    }
    for (size_t i = 0; i < p->idle_count; i++)
        if (p->idle[i].len == f->len)
            nft_element_add(b, f->idle, p->idle[i].bytes, f->len, NULL, 0);
}

void vip_write_contents(const struct vip_plan *p, struct nft_batch *b)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        nft_set_flush(b, families[i].slots);
        nft_set_flush(b, families[i].idle);
        add_elements(p, &families[i], b);
    }
}

/* --- The table ------------------------------------------------------------------------------- */

static void add_sets(const struct family *f, struct nft_batch *b)
{
    nft_set_add(b, &(struct nft_set){ .name = f->slots,
                                      .key_type = f->type << 6 | NFT_TYPE_INTEGER,
                                      .key_len = f->len + (uint32_t)sizeof(uint32_t),
                                      .data_type = f->type,
                                      .data_len = f->len });
    nft_set_add(b, &(struct nft_set){ .name = f->idle, .key_type = f->type, .key_len = f->len });
}

static void need_meta(struct nft_batch *b, uint32_t key, uint8_t value)
{
    nft_meta(b, key, NFT_REG_1);
    nft_need_equal(b, NFT_REG_1, &value, sizeof(value));
}

/* The destination's address, in NFT_REG_1. */
static void load_daddr(const struct family *f, struct nft_batch *b)
{
    need_meta(b, NFT_META_NFPROTO, f->protocol);
    nft_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->daddr_at, f->len, NFT_REG_1);
}

static void lead_to_resolver(uint8_t protocol, uint16_t port, struct nft_batch *b)
{
    static const uint8_t address[] = { 127, 0, 0, 11 }, asked[] = { 0, 53 };
    const uint8_t answering[] = { (uint8_t)(port >> 8), (uint8_t)port };

    nft_rule_begin(b, CHAIN_CONNECTING);
    load_daddr(&families[0], b);
    nft_need_equal(b, NFT_REG_1, address, sizeof(address));
    need_meta(b, NFT_META_L4PROTO, protocol);
    nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(asked), NFT_REG_1);
    nft_need_equal(b, NFT_REG_1, asked, sizeof(asked));
    nft_immediate(b, address, sizeof(address), NFT_REG_1);
    nft_immediate(b, answering, sizeof(answering), NFT_REG_2);
    nft_dnat(b, NFPROTO_IPV4, NFT_REG_1, NFT_REG_2);
    nft_rule_end(b);
}

static void lead_to_backend(const struct family *f, unsigned slots, struct nft_batch *b)
{
    nft_rule_begin(b, CHAIN_CONNECTING);
    load_daddr(f, b);
    nft_random(b, slots, f->after);
    nft_lookup(b, f->slots, NFT_REG_1, NFT_REG_1);
    nft_dnat(b, f->protocol, NFT_REG_1, 0);
    nft_rule_end(b);
}

static void refuse(const struct family *f, struct nft_batch *b)
{
    nft_rule_begin(b, CHAIN_REFUSING);
    load_daddr(f, b);
    nft_lookup(b, f->idle, NFT_REG_1, 0);
    need_meta(b, NFT_META_L4PROTO, PROTOCOL_TCP);
    nft_reject(b, NFT_REJECT_TCP_RST, 0);
    nft_rule_end(b);
    nft_rule_begin(b, CHAIN_REFUSING);
    load_daddr(f, b);
    nft_lookup(b, f->idle, NFT_REG_1, 0);
    nft_reject(b, NFT_REJECT_ICMP_UNREACH, f->port_unreachable);
    nft_rule_end(b);
}

void vip_write_table(const struct vip_plan *p, const struct vip_ports *ports, struct nft_batch *b)
{
    nft_table_replace(b);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        add_sets(&families[i], b);
        add_elements(p, &families[i], b);
    }
    nft_chain_add(b, CHAIN_CONNECTING, "nat", NF_INET_LOCAL_OUT, NAT_PRIORITY);
    nft_chain_add(b, CHAIN_REFUSING, "filter", NF_INET_LOCAL_OUT, 0);
    lead_to_resolver(PROTOCOL_UDP, ports->udp, b);
    lead_to_resolver(PROTOCOL_TCP, ports->tcp, b);
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        lead_to_backend(&families[i], p->slots, b);
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        refuse(&families[i], b);
}
