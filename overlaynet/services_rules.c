/* The rules of a sandbox are its virtual IPs, as a plan for the kernel, and the way back to
 * gateways, as text for nft. Those of the host lead its published ports to backends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "overlaynet/overlay_impl.h"
#include "overlaynet/services_impl.h"

/* Of all that the worker puts in force: the rules, and what goes with them. */
static uint64_t hash_of(const struct overlay_services *s, uint64_t rules, const void *more,
                        size_t more_len)
{
    return rules ^ (hash_bytes(&s->seed, slice_of(more, more_len)) << 1);
}

/* --- Rules of a sandbox ---------------------------------------------------------------------- */

static int collect_gateways(const struct box *b, struct box_op *op)
{
    const struct services_table *t = &b->services->table;
    size_t max = 0;

    for (size_t i = 0; i < b->network_count; i++) {
        const struct service_net *net = services_table_net(t, &b->networks[i]);

        max += net == NULL ? 0 : net->gateway_count;
    }
    op->gateways = calloc(max + 1, sizeof(*op->gateways));
    if (op->gateways == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < b->network_count; i++) {
        const struct service_net *net = services_table_net(t, &b->networks[i]);
        struct map_iter it = { 0 };

        while (net != NULL && net->gateway_count > 0 && map_next(&net->backends, &it)) {
            const struct backend *g = it.value;

            if (!g->gateway || ip_is_none(&g->ip4))
                continue;
            op->gateways[op->apply.gateway_count].ip4 = g->ip4;
            if (b->has_ip6[i])
                op->gateways[op->apply.gateway_count].ip6 = g->ip6;
            op->apply.gateway_count++;
        }
    }
    op->apply.gateways = op->gateways;
    return 0;
}

#define MARKS_BEGIN                                                                \
    "table inet " SERVICES_MARKS_TABLE "\ndelete table inet " SERVICES_MARKS_TABLE \
    "\ntable inet " SERVICES_MARKS_TABLE " {\n"

/* The way back to gateways, which few sandboxes have and which seldom changes: as text. */
static int write_text(const struct box *b, struct buf *out)
{
    const struct services_table *t = &b->services->table;
    int rc = buf_append_str(out, MARKS_BEGIN);

    if (rc == 0)
        rc = ingress_write_sandbox(t, b->networks, b->network_count, out);
    if (rc == 0 && out->len == strlen(MARKS_BEGIN)) {
        buf_clear(out);
        return 0;
    }
    if (rc == 0)
        rc = buf_append_str(out, "}\n");
    if (rc == 0)
        rc = ingress_write_datagrams(t, b->networks, b->network_count, out);
    return rc == 0 ? buf_append_byte(out, '\0') : rc;
}

int services_write_sandbox(struct box *b, struct box_op *op)
{
    struct overlay_services *s = b->services;
    uint64_t salt = hash_bytes(&s->seed, id_slice(&b->id));
    int rc = vip_plan_make(&s->table, b->networks, b->network_count, salt, &op->plan);

    if (rc == 0)
        rc = write_text(b, &op->rules);
    if (rc == 0)
        rc = collect_gateways(b, op);
    if (rc < 0)
        return rc;
    op->text_hash = op->rules.len == 0 ? 0 : hash_bytes(&s->seed, buf_slice(&op->rules));
    op->hash = hash_of(s, vip_plan_hash(&op->plan, &s->seed) ^ op->text_hash, op->gateways,
                       op->apply.gateway_count * sizeof(*op->gateways));
    overlay_sandbox_netns(s->cfg.overlay, &b->id, op->path);
    op->apply.netns_path = op->path;
    op->apply.plan = &op->plan;
    op->apply.text = &op->rules;
    op->apply.has_text = op->rules.len > 0 && (b->loaded == 0 || op->text_hash != b->loaded_text);
    op->apply.clears_text = op->text_hash == 0;
    op->apply.is_whole = b->loaded == 0 || op->plan.slots != b->loaded_slots ||
                         (op->text_hash == 0 && b->loaded_text != 0);
    op->apply.sockets = &op->sockets;
    op->apply.leg_count = b->network_count;
    memcpy(op->apply.ifnames, b->ifnames, sizeof(b->ifnames));
    return 0;
}

/* --- Rules of the host ----------------------------------------------------------------------- */

bool services_is_ingress(const struct overlay_services *s, const struct id *network_id)
{
    const struct net *n = overlay_find_net(s->cfg.overlay, network_id);

    return n != NULL && n->spec.ingress;
}

/* Ports are open only where there is a leg to lead to the backends. */
static const struct backend *find_leg(const struct overlay_services *s,
                                      const struct service_net *net)
{
    struct map_iter it = { 0 };

    while (net->gateway_count > 0 && map_next(&net->backends, &it)) {
        const struct backend *b = it.value;

        if (b->gateway && id_equal(&b->node_id, &s->cfg.node_id))
            return b;
    }
    return NULL;
}

int services_write_host(struct box *b, struct box_op *op)
{
    struct overlay_services *s = b->services;
    struct map_iter it = { 0 };
    struct id of_ip6[SERVICES_INGRESS_NETWORKS_MAX];
    size_t count = 0, count6 = 0;
    int rc;

    while (map_next(&s->table.nets, &it) && count < SERVICES_INGRESS_NETWORKS_MAX) {
        const struct service_net *net = it.value;
        const struct backend *leg = services_is_ingress(s, &net->id) ? find_leg(s, net) : NULL;

        if (leg == NULL)
            continue;
        op->has_ip6[count] = !ip_is_none(&leg->ip6);
        op->networks[count++] = net->id;
        if (!ip_is_none(&leg->ip6))
            of_ip6[count6++] = net->id;
    }
    rc = ingress_write_host(&s->table, &s->cfg.node_id, op->networks, count, &op->rules);
    if (rc == 0)
        rc = ingress_neighbours(&s->table, of_ip6, count6, &op->neighbours,
                                &op->host.neighbour_count);
    if (rc < 0)
        return rc;
    op->hash = hash_of(s, hash_bytes(&s->seed, buf_slice(&op->rules)), op->neighbours,
                       op->host.neighbour_count * sizeof(*op->neighbours));
    op->host.rules = &op->rules;
    op->host.networks = op->networks;
    op->host.has_ip6 = op->has_ip6;
    op->host.network_count = count;
    op->host.neighbours = op->neighbours;
    op->host.before = s->neighbours;
    op->host.before_count = s->neighbour_count;
    return buf_append_byte(&op->rules, '\0');
}
