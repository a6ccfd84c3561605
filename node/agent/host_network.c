/* Rows about networks, translated for the overlay. A row that cannot be applied is logged; it
 * comes again with the next change of it, and the overlay's own reconciliation repairs the
 * kernel, so nothing waits for it here. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/agent/host_impl.h"

/* --- Texts to addresses. An absent text is "none". */

static int parse_addr(const char *text, struct ip_addr *out)
{
    const char *slash = text == NULL ? NULL : strchr(text, '/');

    *out = (struct ip_addr){ 0 };
    if (text == NULL || text[0] == '\0')
        return 0;
    return ip_parse(slice_of(text, slash != NULL ? (size_t)(slash - text) : strlen(text)), out);
}

/* "10.0.0.1:7947", "[fd00::1]:7947" or an address alone. */
static int parse_host_port(const char *text, struct ip_endpoint *out)
{
    const char *end = strrchr(text, ':');
    struct slice host = slice_of_str(text);

    *out = (struct ip_endpoint){ 0 };
    if (text[0] == '[') {
        const char *close = strchr(text, ']');

        if (close == NULL)
            return ERR_INVALID;
        host = slice_of(text + 1, (size_t)(close - text) - 1);
        end = close[1] == ':' ? close + 1 : NULL;
    } else if (end != NULL && end == strchr(text, ':')) {
        host = slice_of(text, (size_t)(end - text));
    } else {
        end = NULL; /* a bare address, perhaps of IPv6 */
    }
    if (end != NULL)
        out->port = (uint16_t)strtoul(end + 1, NULL, 10);
    return ip_parse(host, &out->addr);
}

/* --- Networks */

static int set_network(struct host *h, const struct network *n)
{
    struct overlay_network out = {
        .id = n->id,
        .vni = n->vni,
        .mtu = n->mtu,
        .encrypted = n->encrypted,
        .internal = n->spec.internal,
        .ingress = n->spec.ingress,
    };

    (void)snprintf(out.name, sizeof(out.name), "%s", n->spec.name);
    for (size_t i = 0; i < n->subnets.count; i++) {
        const struct subnet_config *c = &n->subnets.items[i];
        struct ip_prefix prefix;
        struct ip_addr gateway;
        int rc = ip_prefix_parse(slice_of_str(c->subnet), &prefix);

        if (rc == 0)
            rc = parse_addr(c->gateway, &gateway);
        if (rc < 0)
            return rc;
        if (prefix.addr.len == IP4_LEN) {
            out.subnet4 = prefix;
            out.gateway4 = gateway;
        } else {
            out.subnet6 = prefix;
            out.gateway6 = gateway;
        }
    }
    return overlay_network_set(h->cfg.overlay, &out);
}

/* --- Endpoints and the services behind them */

static int endpoint_addresses(const struct endpoint *e, struct ip_addr *ip4, struct ip_addr *ip6,
                              uint8_t mac[OVERLAY_MAC_LEN])
{
    int rc = parse_addr(e->addr, ip4);

    if (rc == 0)
        rc = parse_addr(e->addr6, ip6);
    if (rc == 0)
        overlay_mac(&e->network_id, ip_is_none(ip4) ? ip6 : ip4, e->generation, mac);
    return rc;
}

static int set_backend(struct host *h, const struct endpoint *e)
{
    struct overlay_backend b = {
        .network_id = e->network_id,
        .endpoint_id = e->id,
        .service_id = e->service_id,
        .node_id = e->node_id,
        .slot = e->slot,
        .task_name = e->task_name,
        .aliases = (const char *const *)e->aliases.items,
        .alias_count = e->aliases.count,
        .ready = e->ready,
        .gateway = e->gateway,
    };
    int rc = endpoint_addresses(e, &b.ip4, &b.ip6, b.mac);

    return rc < 0 ? rc : overlay_backend_set(h->cfg.services, &b);
}

static void on_gateway_made(void *ctx, int err, const char *why)
{
    (void)ctx;
    if (err < 0)
        log_error("agent",
                  "this node's address on an ingress network cannot be set up: %s; "
                  "published ports do not work here",
                  why);
}

/* This node's own leg of an ingress network: an interface of the host. */
static void make_gateway(struct host *h, const struct endpoint *e, const struct overlay_endpoint *o)
{
    struct overlay_attachment leg = {
        .network_id = o->network_id,
        .endpoint_id = o->endpoint_id,
        .ip4 = o->ip4,
        .ip6 = overlay_services_ip6() ? o->ip6 : (struct ip_addr){ 0 },
        .generation = o->generation,
        .gateway = true,
    };
    struct overlay_sandbox sandbox = {
        .id = e->network_id, /* one gateway per network: no sandbox of a task has that id */
        .in_host = true,
        .attachments = &leg,
        .attachment_count = 1,
    };

    memcpy(leg.mac, o->mac, sizeof(leg.mac));
    (void)snprintf(leg.ifname, sizeof(leg.ifname), "sh-%.8s", e->network_id.text);
    overlay_sandbox_create(h->cfg.overlay, &sandbox, on_gateway_made, NULL);
}

static int set_endpoint(struct host *h, const struct endpoint *e)
{
    struct overlay_endpoint out = {
        .network_id = e->network_id,
        .endpoint_id = e->id,
        .node_id = e->node_id,
        .generation = e->generation,
        .gateway = e->gateway,
    };
    int rc = endpoint_addresses(e, &out.ip4, &out.ip6, out.mac);

    if (rc == 0)
        rc = overlay_endpoint_set(h->cfg.overlay, &out);
    if (rc == 0 && e->gateway && id_equal(&e->node_id, &h->cfg.node_id))
        make_gateway(h, e, &out);
    if (rc == 0 && h->cfg.services != NULL)
        rc = set_backend(h, e);
    return rc;
}

static int set_service(struct host *h, const struct service_record *s)
{
    struct overlay_published ports[OVERLAY_PORTS_MAX];
    struct overlay_service out = {
        .network_id = s->network_id,
        .service_id = s->service_id,
        .name = s->name,
        .aliases = (const char *const *)s->aliases.items,
        .alias_count = s->aliases.count,
        .mode = s->mode == ENDPOINT_VIP ? OVERLAY_VIP : OVERLAY_DNSRR,
        .ports = ports,
    };
    int rc = parse_addr(s->vip, &out.vip);

    if (h->cfg.services == NULL)
        return 0;
    for (size_t i = 0; i < s->ports.count && out.port_count < OVERLAY_PORTS_MAX; i++)
        ports[out.port_count++] = (struct overlay_published){
            .protocol = s->ports.items[i].protocol == PORT_UDP ? IPPROTO_UDP : IPPROTO_TCP,
            .published_port = (uint16_t)s->ports.items[i].published_port,
            .target_port = (uint16_t)s->ports.items[i].target_port,
        };
    return rc < 0 ? rc : overlay_service_set(h->cfg.services, &out);
}

/* --- Peers */

static int set_peer(struct host *h, const struct peer *p)
{
    struct overlay_peer out = { .node_id = p->id };

    memcpy(out.static_public, p->static_key, sizeof(out.static_public));
    for (size_t i = 0; i < p->data_addrs.count && out.addr_count < OVERLAY_PEER_ADDRS_MAX; i++)
        if (parse_host_port(p->data_addrs.items[i], &out.addrs[out.addr_count]) == 0)
            out.addr_count++;
    h->cfg.on_peer(h->cfg.ctx, p, false);
    host_reachable(h, &p->id, p->reachable);
    return overlay_peer_set(h->cfg.overlay, &out);
}

/* --- Rows */

/* The last task on a network stops a little later than its row goes. */
static int remove_network(struct host *h, const struct id *id)
{
    int rc = overlay_network_remove(h->cfg.overlay, id);

    if (rc == ERR_IN_USE && h->leaving_count < LEAVING_MAX) {
        h->leaving[h->leaving_count++] = *id;
        return 0;
    }
    return rc;
}

static void stay(struct host *h, const struct id *id)
{
    for (size_t i = 0; i < h->leaving_count; i++)
        if (id_equal(&h->leaving[i], id)) {
            h->leaving[i] = h->leaving[--h->leaving_count];
            return;
        }
}

void host_network_retry(struct host *h)
{
    size_t count = h->leaving_count;
    struct id leaving[LEAVING_MAX];

    memcpy(leaving, h->leaving, count * sizeof(leaving[0]));
    h->leaving_count = 0;
    for (size_t i = 0; i < count; i++)
        if (remove_network(h, &leaving[i]) < 0)
            log_warn("agent", "network %s cannot be removed", leaving[i].text);
}

static int set_row(struct host *h, const struct assigned *row)
{
    if (row->network != NULL) {
        stay(h, &row->network->id);
        return set_network(h, row->network);
    }
    if (row->endpoint != NULL)
        return set_endpoint(h, row->endpoint);
    if (row->service != NULL)
        return set_service(h, row->service);
    if (row->peer != NULL)
        return set_peer(h, row->peer);
    if (row->cluster != NULL)
        h->cfg.on_cluster(h->cfg.ctx, row->cluster);
    return 0;
}

static void remove_endpoint(struct host *h, const struct endpoint *e)
{
    if (h->cfg.services != NULL)
        overlay_backend_remove(h->cfg.services, &e->network_id, &e->id);
    if (e->gateway && id_equal(&e->node_id, &h->cfg.node_id))
        overlay_sandbox_destroy(h->cfg.overlay, &e->network_id, on_gateway_made, NULL);
    overlay_endpoint_remove(h->cfg.overlay, &e->network_id, &e->id);
}

static int remove_row(struct host *h, const struct assigned *row)
{
    if (row->network != NULL)
        return remove_network(h, &row->network->id);
    if (row->endpoint != NULL)
        remove_endpoint(h, row->endpoint);
    if (row->service != NULL && h->cfg.services != NULL)
        overlay_service_remove(h->cfg.services, &row->service->network_id,
                               &row->service->service_id);
    if (row->peer != NULL) {
        h->cfg.on_peer(h->cfg.ctx, row->peer, true);
        overlay_peer_remove(h->cfg.overlay, &row->peer->id);
    }
    return 0;
}

void host_network_row(struct host *h, const struct agent_operation *op)
{
    int rc = op->kind == AGENT_NETWORK_SET ? set_row(h, op->row) : remove_row(h, op->row);

    if (rc < 0)
        log_warn("agent", "%s cannot be %s: %s", op->row->key,
                 op->kind == AGENT_NETWORK_SET ? "set up" : "removed", err_text(rc));
}

/* --- A task's sandbox */

static int add_attachment(const struct host *h, const struct task *task, size_t i,
                          struct host_sandbox *out, struct field_error *err)
{
    const struct attachment *a = &task->attachments.items[i];
    struct overlay_attachment *leg = &out->attachments[out->sandbox.attachment_count];
    const struct assigned *row;
    char key[64];
    int rc;

    (void)snprintf(key, sizeof(key), "network/%s", a->network_id.text);
    row = agent_row(h->agent, key);
    if (row == NULL) {
        (void)snprintf(err->text, sizeof(err->text), "network %s has not arrived on this node",
                       a->network_id.text);
        return ERR_UNAVAILABLE;
    }
    *leg = (struct overlay_attachment){ .network_id = a->network_id,
                                        .endpoint_id = task->id,
                                        .generation = a->generation };
    rc = parse_addr(a->addr, &leg->ip4);
    if (rc == 0 && (!row->network->spec.ingress || overlay_services_ip6()))
        rc = parse_addr(a->addr6, &leg->ip6);
    if (rc < 0) {
        (void)snprintf(err->text, sizeof(err->text), "address %s: %s", a->addr, err_text(rc));
        return rc;
    }
    overlay_mac(&leg->network_id, ip_is_none(&leg->ip4) ? &leg->ip6 : &leg->ip4, leg->generation,
                leg->mac);
    (void)snprintf(leg->ifname, sizeof(leg->ifname), "eth%zu", out->sandbox.attachment_count);
    if (row->network->spec.internal)
        out->sandbox.egress = false;
    out->sandbox.attachment_count++;
    return 0;
}

int host_sandbox_of(const struct host *h, const struct task *task, struct host_sandbox *out,
                    struct field_error *err)
{
    *out = (struct host_sandbox){ .sandbox = { .id = task->id, .egress = true } };
    out->sandbox.attachments = out->attachments;
    out->sandbox.publish = out->publish;
    for (size_t i = 0; i < task->attachments.count; i++) {
        int rc = i < OVERLAY_ATTACHMENTS_MAX ? add_attachment(h, task, i, out, err) : ERR_FULL;

        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < task->ports.count && out->sandbox.publish_count < OVERLAY_PUBLISH_MAX;
         i++) {
        const struct port *p = &task->ports.items[i];

        if (p->publish_mode == PUBLISH_HOST)
            out->publish[out->sandbox.publish_count++] = (struct overlay_publish){
                .protocol = p->protocol == PORT_UDP ? IPPROTO_UDP : IPPROTO_TCP,
                .host_port = (uint16_t)p->published_port,
                .target_port = (uint16_t)p->target_port,
            };
    }
    return 0;
}
