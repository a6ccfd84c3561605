/* A name is first understood (whose backends, or which virtual IP), then answered. */
#include "overlaynet/resolver_answer.h"

#include <string.h>

struct choice {
    const struct services_table *table;
    struct prng *random;
    uint8_t family; /* IP4_LEN or IP6_LEN; 0 = a type that is no address */
    bool is_known;
    struct ip_addr vip;
    const struct ip_addr *addrs[RESOLVER_ANSWERS_MAX];
    size_t count, seen; /* seen: also those that were not chosen */
};

/* Algorithm R (Vitter 1985): every backend is among the chosen with the same probability. */
static void choose(struct choice *c, const struct backend *b)
{
    const struct ip_addr *addr = c->family == IP6_LEN ? &b->ip6 : &b->ip4;
    uint64_t at;

    if (c->family == 0 || ip_is_none(addr) || !services_table_takes(c->table, b))
        return;
    c->seen++;
    if (c->count < RESOLVER_ANSWERS_MAX) {
        c->addrs[c->count++] = addr;
        return;
    }
    at = prng_below(c->random, c->seen);
    if (at < RESOLVER_ANSWERS_MAX)
        c->addrs[at] = addr;
}

static void choose_group(struct choice *c, const struct service_group *g)
{
    LIST_EACH(it, &g->backends)
    choose(c, CONTAINER_OF(it, struct backend, link));
}

/* The service that has a name; NULL = none. */
static const struct service_group *find_group(const struct service_net *net, struct slice name)
{
    const struct name_entry *e = service_net_find(net, name);

    if (e == NULL)
        return NULL;
    LIST_EACH(it, &e->owners)
    {
        const struct name_owner *o = CONTAINER_OF(it, struct name_owner, link);

        if (o->group != NULL)
            return o->group;
    }
    return NULL;
}

static bool has_prefix(struct slice name, const char *prefix)
{
    size_t len = strlen(prefix);

    if (name.len <= len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((name.ptr[i] | 0x20) != (prefix[i] | 0x20))
            return false;
    return true;
}

/* "3.web": the number, and what follows the dot. */
static bool read_slot(struct slice name, uint64_t *slot, struct slice *rest)
{
    size_t i = 0;

    *slot = 0;
    while (i < name.len && i < 18 && name.ptr[i] >= '0' && name.ptr[i] <= '9')
        *slot = *slot * 10 + (uint64_t)(name.ptr[i++] - '0');
    if (i == 0 || i + 1 >= name.len || name.ptr[i] != '.')
        return false;
    *rest = slice_of(name.ptr + i + 1, name.len - i - 1);
    return *slot != 0;
}

/* Whoever has the name itself: a service, or tasks by their names and aliases. */
static bool choose_owners(struct choice *c, const struct service_net *net, struct slice name)
{
    const struct name_entry *e = service_net_find(net, name);
    const struct service_group *g = find_group(net, name);

    if (e == NULL)
        return false;
    if (g == NULL) {
        LIST_EACH(it, &e->owners)
        choose(c, CONTAINER_OF(it, struct name_owner, link)->backend);
    } else if (g->mode == OVERLAY_VIP && !ip_is_none(&g->vip)) {
        if (g->vip.len == c->family)
            c->vip = g->vip;
    } else {
        choose_group(c, g);
    }
    return true;
}

static bool choose_tasks(struct choice *c, const struct service_net *net, struct slice name)
{
    const struct service_group *g = NULL;

    if (has_prefix(name, "tasks."))
        g = find_group(net, slice_of(name.ptr + 6, name.len - 6));
    if (g != NULL)
        choose_group(c, g);
    return g != NULL;
}

static bool choose_slot(struct choice *c, const struct service_net *net, struct slice name,
                        bool *is_ours)
{
    const struct service_group *g = NULL;
    bool found = false;
    struct slice rest;
    uint64_t slot;

    if (read_slot(name, &slot, &rest))
        g = find_group(net, rest);
    if (g == NULL)
        return false;
    *is_ours = true;
    LIST_EACH(it, &g->backends)
    {
        const struct backend *b = CONTAINER_OF(it, struct backend, link);

        if (b->slot == slot) {
            found = true;
            choose(c, b);
        }
    }
    return found;
}

static void shuffle(struct choice *c)
{
    for (size_t i = c->count; i > 1; i--) {
        size_t k = (size_t)prng_below(c->random, i);
        const struct ip_addr *a = c->addrs[i - 1];

        c->addrs[i - 1] = c->addrs[k];
        c->addrs[k] = a;
    }
}

/* Fills `c`; false: no name of ours. */
static bool look_up(struct choice *c, const struct resolver_view *view, struct slice name)
{
    bool is_ours = false;

    for (size_t i = 0; i < view->network_count; i++) {
        const struct service_net *net = services_table_net(view->table, &view->networks[i]);

        if (net == NULL)
            continue;
        if (choose_owners(c, net, name) || choose_tasks(c, net, name) ||
            choose_slot(c, net, name, &is_ours))
            c->is_known = true;
        if (c->count > 0 || !ip_is_none(&c->vip))
            return true;
    }
    return is_ours || c->is_known;
}

size_t resolver_udp_max(const struct dns_query *q)
{
    return q->udp_size < DNS_UDP_MAX ? q->udp_size : DNS_UDP_MAX;
}

size_t resolver_refuse(struct slice query, const struct dns_query *q, enum dns_rcode rcode,
                       uint8_t *out, size_t max)
{
    struct dns_reply r;

    dns_reply_start(&r, query, q, out, max);
    return dns_reply_finish(&r, rcode);
}

enum resolver_verdict resolver_answer(const struct resolver_view *view, struct slice query,
                                      struct prng *random, struct dns_query *q, uint8_t *out,
                                      size_t max, size_t *out_len)
{
    struct choice c = { .table = view->table, .random = random };
    struct dns_reply r;

    if (dns_query_read(query, q) < 0)
        return RESOLVER_DROP;
    if (q->opcode != 0 || !q->has_question) {
        *out_len = resolver_refuse(query, q, q->opcode != 0 ? DNS_NOTIMP : DNS_FORMERR, out, max);
        return RESOLVER_REPLY;
    }
    if (q->type == DNS_TYPE_A || q->type == DNS_TYPE_ANY)
        c.family = IP4_LEN;
    else if (q->type == DNS_TYPE_AAAA)
        c.family = IP6_LEN;
    if (q->class != DNS_CLASS_IN || q->name[0] == '\0' || !look_up(&c, view, slice_of_str(q->name)))
        return RESOLVER_FORWARD;
    dns_reply_start(&r, query, q, out, max);
    if (!ip_is_none(&c.vip))
        dns_reply_add(&r, &c.vip, RESOLVER_TTL_VIP_S);
    shuffle(&c);
    for (size_t i = 0; i < c.count; i++)
        dns_reply_add(&r, c.addrs[i], RESOLVER_TTL_TASK_S);
    *out_len = dns_reply_finish(&r, c.is_known ? DNS_NOERROR : DNS_NXDOMAIN);
    return RESOLVER_REPLY;
}
