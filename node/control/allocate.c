#include "node/control/allocate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "node/control/allocate_port.h"
#include "overlaynet/ipam.h"

struct allocator {
    struct ipam *ipam;
    uint64_t seed;
    bool fresh; /* the leases are those of the store */
};

int allocator_new(uint64_t seed, struct allocator **out)
{
    struct allocator *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return -ENOMEM;
    a->seed = seed;
    *out = a;
    return 0;
}

void allocator_free(struct allocator *a)
{
    if (a == NULL)
        return;
    ipam_free(a->ipam);
    free(a);
}

void allocator_reset(struct allocator *a)
{
    a->fresh = false;
}

/* --- Text and addresses */

static int parse_cidr_addr(const char *text, struct ip_addr *out)
{
    const char *slash = strchr(text, '/');

    return ip_parse(slice_of(text, slash == NULL ? strlen(text) : (size_t)(slash - text)), out);
}

/* None stays absent. */
static int set_cidr(char **member, const struct ip_addr *addr, const struct ip_prefix *subnet)
{
    char text[IP_PREFIX_TEXT_MAX + 8], ip[IP_TEXT_MAX];

    if (ip_is_none(addr))
        return 0;
    (void)snprintf(text, sizeof(text), "%s/%u", ip_format(addr, ip), subnet->bits);
    return str_set(member, text);
}

/* --- Rebuilding */

static void to_ipam(const struct network *n, struct ipam_network *out)
{
    *out = (struct ipam_network){ .vni = n->vni };
    for (size_t i = 0; i < n->subnets.count; i++) {
        const struct subnet_config *c = &n->subnets.items[i];
        struct ip_prefix prefix;
        struct ip_addr gateway = { 0 };

        if (c->subnet == NULL || ip_prefix_parse(slice_of_str(c->subnet), &prefix) < 0)
            continue;
        if (c->gateway != NULL && parse_cidr_addr(c->gateway, &gateway) < 0)
            continue;
        if (prefix.addr.len == IP4_LEN) {
            out->subnet4 = prefix;
            out->gateway4 = gateway;
        } else {
            out->subnet6 = prefix;
            out->gateway6 = gateway;
        }
    }
}

static void reserve(struct allocator *a, const struct id *network, const struct id *owner,
                    const char *text)
{
    struct ip_addr addr;
    struct ipam_why why;
    int rc;

    if (text == NULL || text[0] == '\0' || parse_cidr_addr(text, &addr) < 0)
        return;
    rc = ipam_reserve(a->ipam, id_slice(network), id_slice(owner), &addr, &why);
    (void)rc; /* a clash in the store is older than we are; new leases avoid both */
}

static bool holds_addresses(const struct task *t)
{
    return !task_state_is_terminal(t->status.state);
}

static void rebuild_leases(struct allocator *a, const struct store *s)
{
    struct store_iter it;

    STORE_EACH(&it, s, OBJECT_SERVICE, struct service, v)
    for (size_t i = 0; i < v->endpoint.virtual_ips.count; i++)
        reserve(a, &v->endpoint.virtual_ips.items[i].network_id, &v->id,
                v->endpoint.virtual_ips.items[i].addr);
    STORE_EACH(&it, s, OBJECT_NODE, struct node, n)
    for (size_t i = 0; i < n->gateways.count; i++) {
        reserve(a, &n->gateways.items[i].network_id, &n->id, n->gateways.items[i].addr);
        reserve(a, &n->gateways.items[i].network_id, &n->id, n->gateways.items[i].addr6);
    }
    STORE_EACH(&it, s, OBJECT_TASK, struct task, t)
    for (size_t i = 0; holds_addresses(t) && i < t->attachments.count; i++) {
        reserve(a, &t->attachments.items[i].network_id, &t->id, t->attachments.items[i].addr);
        reserve(a, &t->attachments.items[i].network_id, &t->id, t->attachments.items[i].addr6);
    }
}

static int rebuild(struct allocator *a, const struct store *s)
{
    const struct cluster *cluster = store_the_cluster(s);
    struct ipam_config cfg = { .seed = a->seed };
    struct store_iter it;
    int rc;

    if (cluster != NULL && cluster->address_pools.count > 0 &&
        ip_prefix_parse(slice_of_str(cluster->address_pools.items[0]), &cfg.pool4) < 0)
        cfg.pool4 = (struct ip_prefix){ 0 };
    if (cluster != NULL)
        cfg.subnet4_bits = (uint8_t)cluster->subnet_size;
    cfg.pool6 = ipam_ula((const uint8_t *)(cluster == NULL ? "shoal" : cluster->id.text));
    ipam_free(a->ipam);
    a->ipam = NULL;
    rc = ipam_new(&cfg, &a->ipam);
    if (rc < 0)
        return rc;
    STORE_EACH(&it, s, OBJECT_NETWORK, struct network, n)
    {
        struct ipam_network stored;
        struct ipam_why why;

        if (n->vni == 0)
            continue;
        to_ipam(n, &stored);
        rc = ipam_network_restore(a->ipam, id_slice(&n->id), &stored, &why);
        if (rc == -ENOMEM)
            return rc;
    }
    rebuild_leases(a, s);
    a->fresh = true;
    return 0;
}

void allocator_begin(struct allocator *a, struct plan *p)
{
    if (!a->fresh && rebuild(a, p->store) < 0)
        p->err = -ENOMEM;
}

static void release_task(struct allocator *a, const struct task *t)
{
    for (size_t i = 0; i < t->attachments.count; i++)
        ipam_release(a->ipam, id_slice(&t->attachments.items[i].network_id), id_slice(&t->id));
}

void allocator_changed(struct allocator *a, const struct store_changes *changes)
{
    if (!a->fresh)
        return;
    for (size_t i = 0; i < changes->count; i++) {
        const struct store_change *c = &changes->items[i];
        const struct task *before = (const struct task *)(const void *)c->before;
        const struct task *after = (const struct task *)(const void *)c->after;

        if (c->kind == OBJECT_TASK && before != NULL && holds_addresses(before) &&
            (after == NULL || !holds_addresses(after)))
            release_task(a, before);
        if (c->kind == OBJECT_SERVICE || c->kind == OBJECT_NETWORK || c->kind == OBJECT_CLUSTER)
            a->fresh = false; /* rare: virtual IPs and subnets are looked at anew */
    }
}

/* --- Networks */

static int set_subnet(struct network *n, const struct ip_prefix *subnet,
                      const struct ip_addr *gateway)
{
    char text[IP_PREFIX_TEXT_MAX], ip[IP_TEXT_MAX];
    struct subnet_config *c = LIST_ADD(&n->subnets);
    int rc;

    if (c == NULL)
        return -ENOMEM;
    rc = str_set(&c->subnet, ip_prefix_format(subnet, text));
    if (rc == 0)
        rc = str_set(&c->gateway, ip_format(gateway, ip));
    return rc;
}

static void allocate_network(struct allocator *a, struct plan *p, const struct id *id)
{
    struct network *n = plan_edit_network(p, id);
    struct ipam_network want = { 0 }, got;
    struct ipam_why why;
    int rc;

    if (n == NULL)
        return;
    for (size_t i = 0; n->spec.ipam != NULL && i < n->spec.ipam->configs.count; i++) {
        const struct subnet_config *c = &n->spec.ipam->configs.items[i];
        struct ip_prefix prefix;

        if (c->subnet == NULL || ip_prefix_parse(slice_of_str(c->subnet), &prefix) < 0)
            continue;
        if (prefix.addr.len == IP4_LEN)
            want.subnet4 = prefix;
        else
            want.subnet6 = prefix;
        if (c->gateway != NULL &&
            parse_cidr_addr(c->gateway,
                            prefix.addr.len == IP4_LEN ? &want.gateway4 : &want.gateway6) < 0)
            continue;
    }
    rc = ipam_network_create(a->ipam, id_slice(id), &want, n->spec.enable_ipv6, &got, &why);
    if (rc < 0)
        return; /* the tasks that want it say why: it has no subnet */
    n->vni = got.vni;
    rc = set_subnet(n, &got.subnet4, &got.gateway4);
    if (rc == 0 && !ip_is_none(&got.subnet6.addr))
        rc = set_subnet(n, &got.subnet6, &got.gateway6);
    if (rc < 0)
        p->err = rc;
}

static struct attachment_ref *find_gateway(const struct node *n, const struct id *network)
{
    for (size_t i = 0; i < n->gateways.count; i++)
        if (id_equal(&n->gateways.items[i].network_id, network))
            return &n->gateways.items[i];
    return NULL;
}

/* An address of each family that the network has; *out6 may be none. */
static int allocate_pair(struct allocator *a, const struct ipam_network *known,
                         const struct id *network, const struct id *owner, struct ip_addr *out4,
                         struct ip_addr *out6, struct ipam_why *why)
{
    int rc = ipam_allocate(a->ipam, id_slice(network), id_slice(owner), IP4_LEN, out4, why);

    *out6 = (struct ip_addr){ 0 };
    if (rc == 0 && !ip_is_none(&known->subnet6.addr))
        rc = ipam_allocate(a->ipam, id_slice(network), id_slice(owner), IP6_LEN, out6, why);
    return rc;
}

static bool has_all_families(const struct attachment_ref *gateway, const struct ipam_network *known)
{
    return gateway->addr6 != NULL || ip_is_none(&known->subnet6.addr);
}

/* Gives a node its address on an ingress network; to one that an older version gave an IPv4 address
 * only, the other one. */
static void allocate_gateway(struct allocator *a, struct plan *p, const struct node *node,
                             const struct id *network)
{
    const struct ipam_network *known = ipam_network_get(a->ipam, id_slice(network));
    struct attachment_ref *gateway = find_gateway(node, network);
    struct ip_addr addr, addr6;
    struct ipam_why why;
    struct node *n;

    if (known == NULL || (gateway != NULL && has_all_families(gateway, known)) ||
        allocate_pair(a, known, network, &node->id, &addr, &addr6, &why) < 0)
        return;
    n = plan_edit_node(p, &node->id);
    if (n == NULL)
        return;
    gateway = find_gateway(n, network);
    if (gateway == NULL) {
        gateway = LIST_ADD(&n->gateways);
        if (gateway == NULL || set_cidr(&gateway->addr, &addr, &known->subnet4) < 0) {
            p->err = -ENOMEM;
            return;
        }
        gateway->network_id = *network;
        gateway->generation = prng_u64(p->rng) | 1;
    }
    if (set_cidr(&gateway->addr6, &addr6, &known->subnet6) < 0)
        p->err = -ENOMEM;
}

/* Takes off a node's addresses on networks that are gone. Their leases went with these. */
static void drop_gateways(struct plan *p, const struct node *node)
{
    struct node *n = NULL;

    for (size_t i = node->gateways.count; i-- > 0;) {
        if (plan_get_network(p, &node->gateways.items[i].network_id) != NULL)
            continue;
        if (n == NULL)
            n = plan_edit_node(p, &node->id);
        if (n == NULL)
            return;
        fields_deinit(&attachment_ref_type, &n->gateways.items[i]);
        n->gateways.count--;
        memmove(&n->gateways.items[i], &n->gateways.items[i + 1],
                (n->gateways.count - i) * sizeof(n->gateways.items[i]));
    }
}

void allocate_networks(struct allocator *a, struct plan *p)
{
    struct objects_view networks = plan_all(p, OBJECT_NETWORK), nodes = plan_all(p, OBJECT_NODE);

    for (size_t i = 0; i < nodes.count; i++)
        drop_gateways(p, (const struct node *)(const void *)nodes.items[i]);
    for (size_t i = 0; i < networks.count; i++) {
        const struct network *n = (const struct network *)(const void *)networks.items[i];
        bool ingress = n->spec.ingress;
        struct id id = n->id;

        if (n->vni == 0)
            allocate_network(a, p, &id);
        for (size_t j = 0; ingress && j < nodes.count; j++)
            allocate_gateway(a, p, (const struct node *)(const void *)nodes.items[j], &id);
    }
}

/* --- Services */

static const struct network *ingress_network(struct plan *p)
{
    struct objects_view networks = plan_all(p, OBJECT_NETWORK);

    for (size_t i = 0; i < networks.count; i++) {
        const struct network *n = (const struct network *)(const void *)networks.items[i];

        if (n->spec.ingress)
            return n;
    }
    return NULL;
}

static bool publishes_on_ingress(const struct service *s)
{
    const struct endpoint_spec *e = s->spec.endpoint;

    for (size_t i = 0; e != NULL && i < e->ports.count; i++)
        if (e->ports.items[i].publish_mode == PUBLISH_INGRESS)
            return true;
    return false;
}

size_t allocate_wishes(struct plan *p, const struct service *s, struct network_wish **out)
{
    const struct network_target_list *targets =
        s->spec.task.networks.count > 0 ? &s->spec.task.networks : &s->spec.networks;
    struct network_wish *wishes = arena_alloc(&p->arena, targets->count + 1, sizeof(*wishes));
    const struct network *ingress;
    size_t count = 0;

    if (wishes == NULL) {
        p->err = -ENOMEM;
        return 0;
    }
    ingress = publishes_on_ingress(s) ? ingress_network(p) : NULL;
    if (ingress != NULL)
        wishes[count++] = (struct network_wish){ .network_id = ingress->id };
    for (size_t i = 0; i < targets->count; i++) {
        struct id id;

        if (id_parse(slice_of_str(targets->items[i].target), &id) == 0 &&
            plan_get_network(p, &id) != NULL)
            wishes[count++] = (struct network_wish){ id, &targets->items[i].aliases };
    }
    *out = wishes;
    return count;
}

static const struct virtual_ip *find_vip(const struct service *s, const struct id *network)
{
    for (size_t i = 0; i < s->endpoint.virtual_ips.count; i++)
        if (id_equal(&s->endpoint.virtual_ips.items[i].network_id, network))
            return &s->endpoint.virtual_ips.items[i];
    return NULL;
}

static bool allocate_vip(struct allocator *a, struct plan *p, struct service *s,
                         const struct id *network, struct field_error *why)
{
    const struct ipam_network *known = ipam_network_get(a->ipam, id_slice(network));
    struct virtual_ip *vip;
    struct ipam_why reason = { "the network has no subnet" };
    struct ip_addr addr;
    int rc = known == NULL ? ERR_EXHAUSTED
                           : ipam_allocate(a->ipam, id_slice(network), id_slice(&s->id), IP4_LEN,
                                           &addr, &reason);

    if (rc < 0) {
        (void)snprintf(why->text, sizeof(why->text), "no virtual IP: %s", reason.text);
        return false;
    }
    vip = LIST_ADD(&s->endpoint.virtual_ips);
    if (vip == NULL || set_cidr(&vip->addr, &addr, &known->subnet4) < 0) {
        p->err = -ENOMEM;
        return false;
    }
    vip->network_id = *network;
    return true;
}

static bool wishes_have(const struct network_wish *wishes, size_t count, const struct id *network)
{
    for (size_t i = 0; i < count; i++)
        if (id_equal(&wishes[i].network_id, network))
            return true;
    return false;
}

/* Virtual IPs of networks that the service has left, or of all with dnsrr. */
static void drop_vips(struct allocator *a, struct service *s, const struct network_wish *wishes,
                      size_t count)
{
    struct virtual_ip_list *vips = &s->endpoint.virtual_ips;
    size_t kept = 0;

    for (size_t i = 0; i < vips->count; i++) {
        if (wishes_have(wishes, count, &vips->items[i].network_id)) {
            struct virtual_ip keep = vips->items[i];

            vips->items[kept++] = keep;
            continue;
        }
        ipam_release(a->ipam, id_slice(&vips->items[i].network_id), id_slice(&s->id));
        fields_deinit(&virtual_ip_type, &vips->items[i]);
    }
    vips->count = kept;
}

static bool is_allocated(const struct service *s, const struct network_wish *wishes, size_t count)
{
    bool vip = s->endpoint.spec.mode == ENDPOINT_VIP;
    enum endpoint_mode mode = s->spec.endpoint == NULL ? ENDPOINT_VIP : s->spec.endpoint->mode;
    size_t ports = s->spec.endpoint == NULL ? 0 : s->spec.endpoint->ports.count;

    if (s->endpoint.spec.mode != mode || s->endpoint.ports.count != ports)
        return false;
    for (size_t i = 0; i < ports; i++) {
        const struct port *wanted = &s->spec.endpoint->ports.items[i];
        const struct port *given = &s->endpoint.ports.items[i];

        if (wanted->target_port != given->target_port || wanted->protocol != given->protocol ||
            wanted->publish_mode != given->publish_mode ||
            (wanted->published_port != 0 && wanted->published_port != given->published_port) ||
            (given->published_port == 0 && given->publish_mode == PUBLISH_INGRESS))
            return false;
    }
    if (s->endpoint.virtual_ips.count != (vip ? count : 0))
        return false;
    for (size_t i = 0; vip && i < count; i++)
        if (find_vip(s, &wishes[i].network_id) == NULL)
            return false;
    return true;
}

bool allocate_service(struct allocator *a, struct plan *p, const struct id *service_id,
                      struct field_error *why)
{
    const struct service *seen = plan_get_service(p, service_id);
    struct network_wish *wishes = NULL;
    struct service *s;
    size_t count;
    bool ok;

    if (seen == NULL)
        return false;
    count = allocate_wishes(p, seen, &wishes);
    if (is_allocated(seen, wishes, count))
        return true;
    s = plan_edit_service(p, service_id);
    if (s == NULL)
        return false;
    fields_deinit(&endpoint_spec_type, &s->endpoint.spec);
    if (s->spec.endpoint != NULL &&
        fields_copy(&endpoint_spec_type, s->spec.endpoint, &s->endpoint.spec) < 0)
        p->err = -ENOMEM;
    ok = allocate_ports(p, s, why);
    if (s->endpoint.spec.mode != ENDPOINT_VIP)
        count = 0;
    drop_vips(a, s, wishes, count);
    for (size_t i = 0; i < count; i++)
        if (find_vip(s, &wishes[i].network_id) == NULL &&
            !allocate_vip(a, p, s, &wishes[i].network_id, why))
            ok = false;
    return ok;
}

/* --- Tasks */

static int attach(struct allocator *a, struct plan *p, struct task *t,
                  const struct network_wish *wish, struct ipam_why *why)
{
    const struct ipam_network *known = ipam_network_get(a->ipam, id_slice(&wish->network_id));
    struct attachment *at;
    struct ip_addr addr, addr6;
    int rc;

    if (known == NULL) {
        (void)snprintf(why->text, sizeof(why->text),
                       "network %s has no subnet: no pool has room for one", wish->network_id.text);
        return ERR_EXHAUSTED;
    }
    rc = allocate_pair(a, known, &wish->network_id, &t->id, &addr, &addr6, why);
    if (rc < 0)
        return rc;
    at = LIST_ADD(&t->attachments);
    if (at == NULL)
        return -ENOMEM;
    at->network_id = wish->network_id;
    at->generation = prng_u64(p->rng) | 1;
    rc = set_cidr(&at->addr, &addr, &known->subnet4);
    if (rc == 0)
        rc = set_cidr(&at->addr6, &addr6, &known->subnet6);
    for (size_t i = 0; rc == 0 && wish->aliases != NULL && i < wish->aliases->count; i++)
        rc = str_list_append(&at->aliases, wish->aliases->items[i]);
    return rc;
}

static void drop_attachments(struct allocator *a, struct task *t)
{
    release_task(a, t);
    for (size_t i = 0; i < t->attachments.count; i++)
        fields_deinit(&attachment_type, &t->attachments.items[i]);
    t->attachments.count = 0;
}

void allocate_task(struct allocator *a, struct plan *p, const struct id *task_id)
{
    const struct task *seen = plan_get_task(p, task_id);
    const struct service *s = seen == NULL ? NULL : plan_get_service(p, &seen->service_id);
    struct network_wish *wishes = NULL;
    struct ipam_why why = { "" };
    struct task *t;
    size_t count;
    int rc = 0;

    if (s == NULL || seen->status.state != TASK_NEW)
        return;
    count = allocate_wishes(p, s, &wishes);
    t = plan_edit_task(p, task_id);
    if (t == NULL)
        return;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = attach(a, p, t, &wishes[i], &why);
    if (rc == -ENOMEM) {
        p->err = rc;
        return;
    }
    if (rc < 0) {
        drop_attachments(a, t);
        if (str_set(&t->status.err, why.text) < 0 ||
            str_set(&t->status.message, "waiting for an address") < 0)
            p->err = -ENOMEM;
        return;
    }
    t->status.state = TASK_PENDING;
    t->status.timestamp = p->now.wall;
    if (str_set(&t->status.message, "pending task scheduling") < 0 ||
        str_set(&t->status.err, NULL) < 0)
        p->err = -ENOMEM;
}
