#include "node/control/dispatcher_rows.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

struct derivation {
    const struct store *store;
    const struct omap *unreachable;
    const struct id *node;
    dispatcher_on_row *on_row;
    void *ctx;
};

static void offer(const struct derivation *d, const struct assigned *row)
{
    d->on_row(d->ctx, row);
}

/* --- Of tasks: itself, what it refers to, the networks it is on */

static void offer_task(const struct derivation *d, const struct task *t)
{
    char key[DISPATCHER_KEY_MAX];
    union {
        const struct task *shared;
        struct task *member; /* only read by on_row */
    } task = { .shared = t };

    (void)snprintf(key, sizeof(key), "task/%s", t->id.text);
    offer(d, &(struct assigned){ .key = key, .task = task.member });
}

static void offer_secret(const struct derivation *d, const char *id_text)
{
    char key[DISPATCHER_KEY_MAX];
    struct id id;
    union {
        const struct secret *shared;
        struct secret *member;
    } secret;

    if (id_parse(slice_of_str(id_text), &id) < 0)
        return;
    secret.shared = store_secret(d->store, &id);
    (void)snprintf(key, sizeof(key), "secret/%s", id.text);
    if (secret.shared != NULL)
        offer(d, &(struct assigned){ .key = key, .secret = secret.member });
}

static void offer_config(const struct derivation *d, const char *id_text)
{
    char key[DISPATCHER_KEY_MAX];
    struct id id;
    union {
        const struct config *shared;
        struct config *member;
    } config;

    if (id_parse(slice_of_str(id_text), &id) < 0)
        return;
    config.shared = store_config(d->store, &id);
    (void)snprintf(key, sizeof(key), "config/%s", id.text);
    if (config.shared != NULL)
        offer(d, &(struct assigned){ .key = key, .config = config.member });
}

static void offer_references(const struct derivation *d, const struct task *t)
{
    const struct task_container *c = t->spec.container;

    for (size_t i = 0; c != NULL && i < c->secrets.count; i++)
        offer_secret(d, c->secrets.items[i].secret_id);
    for (size_t i = 0; c != NULL && i < c->configs.count; i++)
        offer_config(d, c->configs.items[i].config_id);
}

/* --- Of networks: itself, every endpoint, every service on it */

static bool is_up(const struct derivation *d, const struct id *node)
{
    const struct node *n = store_node(d->store, node);

    return n != NULL && n->status.state == NODE_READY &&
           omap_get(d->unreachable, id_slice(node)) == NULL;
}

/* A node in doubt gets no connections from others. What runs on the node that is told this is ready
 * for its own clients all the same: who hears it is there. */
static bool is_ready(const struct derivation *d, const struct task *t)
{
    return t->status.state == TASK_RUNNING && t->status.healthy &&
           t->desired_state <= TASK_COMPLETE &&
           (id_equal(&t->node_id, d->node) || is_up(d, &t->node_id));
}

static void offer_endpoint(const struct derivation *d, const struct task *t,
                           const struct attachment *at)
{
    char key[DISPATCHER_KEY_MAX], name[256];
    struct endpoint e = { .id = t->id,
                          .network_id = at->network_id,
                          .node_id = t->node_id,
                          .addr = at->addr,
                          .addr6 = at->addr6,
                          .generation = at->generation,
                          .service_id = t->service_id,
                          .slot = t->slot,
                          .task_name = name,
                          .ready = is_ready(d, t),
                          .aliases = at->aliases };

    if (t->slot != 0)
        (void)snprintf(name, sizeof(name), "%s.%llu.%s",
                       t->service_name == NULL ? "" : t->service_name, (unsigned long long)t->slot,
                       t->id.text);
    else
        (void)snprintf(name, sizeof(name), "%s.%s.%s",
                       t->service_name == NULL ? "" : t->service_name, t->node_id.text, t->id.text);
    (void)snprintf(key, sizeof(key), "port/%s/%s", t->id.text, at->network_id.text);
    offer(d, &(struct assigned){ .key = key, .endpoint = &e });
}

static void offer_endpoints(const struct derivation *d, const struct omap *networks)
{
    struct store_iter it;

    STORE_EACH(&it, d->store, OBJECT_TASK, struct task, t)
    {
        if (task_state_is_terminal(t->status.state) || t->status.state < TASK_ASSIGNED)
            continue;
        for (size_t i = 0; i < t->attachments.count; i++)
            if (omap_get(networks, id_slice(&t->attachments.items[i].network_id)) != NULL)
                offer_endpoint(d, t, &t->attachments.items[i]);
    }
}

static void offer_gateways(const struct derivation *d, const struct omap *networks)
{
    struct store_iter it;

    STORE_EACH(&it, d->store, OBJECT_NODE, struct node, n)
    for (size_t i = 0; i < n->gateways.count; i++) {
        const struct attachment_ref *g = &n->gateways.items[i];
        struct endpoint e = { .id = n->id,
                              .network_id = g->network_id,
                              .node_id = n->id,
                              .addr = g->addr,
                              .addr6 = g->addr6,
                              .generation = g->generation,
                              .gateway = true };
        char key[DISPATCHER_KEY_MAX];

        if (omap_get(networks, id_slice(&g->network_id)) == NULL)
            continue;
        (void)snprintf(key, sizeof(key), "port/%s/%s", n->id.text, g->network_id.text);
        offer(d, &(struct assigned){ .key = key, .endpoint = &e });
    }
}

static void offer_network(const struct derivation *d, const struct network *n)
{
    char key[DISPATCHER_KEY_MAX];
    union {
        const struct network *shared;
        struct network *member;
    } network = { .shared = n };

    (void)snprintf(key, sizeof(key), "network/%s", n->id.text);
    offer(d, &(struct assigned){ .key = key, .network = network.member });
}

/* Aliases that the service's spec gives on that network. */
static struct str_list aliases_on(const struct service *s, const struct id *network)
{
    const struct network_target_list *targets =
        s->spec.task.networks.count > 0 ? &s->spec.task.networks : &s->spec.networks;

    for (size_t i = 0; i < targets->count; i++)
        if (strcmp(targets->items[i].target, network->text) == 0)
            return targets->items[i].aliases;
    return (struct str_list){ 0 };
}

static bool is_on(const struct service *s, const struct network *n)
{
    const struct network_target_list *targets =
        s->spec.task.networks.count > 0 ? &s->spec.task.networks : &s->spec.networks;

    if (n->spec.ingress) {
        for (size_t i = 0; i < s->endpoint.ports.count; i++)
            if (s->endpoint.ports.items[i].publish_mode == PUBLISH_INGRESS)
                return true;
        return false;
    }
    for (size_t i = 0; i < targets->count; i++)
        if (strcmp(targets->items[i].target, n->id.text) == 0)
            return true;
    return false;
}

static void offer_service(const struct derivation *d, const struct service *s,
                          const struct network *n)
{
    char key[DISPATCHER_KEY_MAX], vip[64] = "";
    struct service_record r = { .service_id = s->id,
                                .network_id = n->id,
                                .name = s->spec.name,
                                .aliases = aliases_on(s, &n->id),
                                .mode = s->endpoint.spec.mode };

    for (size_t i = 0; i < s->endpoint.virtual_ips.count; i++) {
        const struct virtual_ip *v = &s->endpoint.virtual_ips.items[i];

        if (id_equal(&v->network_id, &n->id) && v->addr != NULL) {
            (void)snprintf(vip, sizeof(vip), "%.*s", (int)strcspn(v->addr, "/"), v->addr);
            r.vip = vip;
        }
    }
    if (n->spec.ingress)
        r.ports = s->endpoint.ports;
    (void)snprintf(key, sizeof(key), "service/%s/%s", s->id.text, n->id.text);
    offer(d, &(struct assigned){ .key = key, .service = &r });
}

static void offer_networks(const struct derivation *d, const struct omap *networks)
{
    struct store_iter it, services;

    STORE_EACH(&it, d->store, OBJECT_NETWORK, struct network, n)
    {
        if (omap_get(networks, id_slice(&n->id)) == NULL || n->vni == 0)
            continue;
        offer_network(d, n);
        STORE_EACH(&services, d->store, OBJECT_SERVICE, struct service, s)
        if (is_on(s, n))
            offer_service(d, s, n);
    }
    offer_endpoints(d, networks);
    offer_gateways(d, networks);
}

/* --- Of the cluster */

static void offer_cluster(const struct derivation *d)
{
    const struct cluster *c = store_the_cluster(d->store);
    const struct node *n = store_node(d->store, d->node);
    struct ca_root roots[4];
    struct cluster_record r;
    char key[DISPATCHER_KEY_MAX];

    if (c == NULL || n == NULL)
        return;
    r = (struct cluster_record){ .id = c->id,
                                 .gossip_keys = c->gossip_keys,
                                 .role = n->spec.role,
                                 .data_port = c->data_port,
                                 .raft_id = n->manager == NULL ? 0 : n->manager->raft_id };
    r.roots.items = roots;
    for (size_t i = 0; i < c->roots.count && i < ARRAY_LEN(roots); i++) {
        roots[i] = c->roots.items[i];
        roots[i].secret_key = (struct bytes){ 0 }; /* managers have it from the log */
        r.roots.count++;
    }
    (void)snprintf(key, sizeof(key), "cluster/%s", c->id.text);
    offer(d, &(struct assigned){ .key = key, .cluster = &r });
}

static void offer_peers(const struct derivation *d)
{
    struct store_iter it;

    STORE_EACH(&it, d->store, OBJECT_NODE, struct node, n)
    {
        struct peer r = { .id = n->id,
                          .hostname = n->description.hostname,
                          .link_addrs = n->description.link_addrs,
                          .gossip_addr = n->description.gossip_addr,
                          .data_addrs = n->description.data_addrs,
                          .role = n->spec.role,
                          .reachable = is_up(d, &n->id) };
        char key[DISPATCHER_KEY_MAX];

        if (id_equal(&n->id, d->node))
            continue;
        memcpy(r.identity_key, n->identity_key, sizeof(r.identity_key));
        memcpy(r.static_key, n->static_key, sizeof(r.static_key));
        (void)snprintf(key, sizeof(key), "peer/%s", n->id.text);
        offer(d, &(struct assigned){ .key = key, .peer = &r });
    }
}

/* --- All of a node */

/* A task is the node's until it has stopped and the managers have forgotten it. */
static bool concerns_node(const struct task *t)
{
    return t->status.state >= TASK_ASSIGNED;
}

static int gather_networks(const struct derivation *d, struct omap *networks)
{
    struct store_iter it;
    int rc = 0;

    STORE_EACH(&it, d->store, OBJECT_NETWORK, struct network, n)
    if (n->spec.ingress && rc == 0) /* every node takes part in ingress */
        rc = omap_set(networks, id_slice(&n->id), networks);
    STORE_EACH_OF_NODE(&it, d->store, d->node, t)
    for (size_t i = 0; i < t->attachments.count && rc == 0; i++)
        if (concerns_node(t) && !task_state_is_terminal(t->status.state))
            rc = omap_set(networks, id_slice(&t->attachments.items[i].network_id), networks);
    return rc;
}

int dispatcher_rows(const struct store *s, const struct omap *unreachable, const struct id *node,
                    dispatcher_on_row *on_row, void *ctx)
{
    const struct derivation d = {
        .store = s, .unreachable = unreachable, .node = node, .on_row = on_row, .ctx = ctx
    };
    struct omap networks;
    struct store_iter it;
    int rc;

    omap_init(&networks);
    rc = gather_networks(&d, &networks);
    if (rc == 0) {
        offer_cluster(&d);
        offer_peers(&d);
        offer_networks(&d, &networks);
        STORE_EACH_OF_NODE(&it, s, node, t)
        if (concerns_node(t)) {
            offer_references(&d, t);
            offer_task(&d, t);
        }
    }
    omap_deinit(&networks);
    return rc;
}
