/* Each turn in which something changed, the rows of every connected node are derived anew and
 * compared, by hash, with what it was sent. What is common to many nodes is made once. */
#include "node/control/dispatcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/omap.h"

#define FRAME_BYTES_MAX (1 * MIB)
#define SESSIONS_MAX    16384

/* What a node has: key -> hash of the row, as a tagged pointer of a small struct. */
struct sent_row {
    uint64_t hash;
    uint64_t seen; /* the pass that still had it */
};

struct session {
    struct id node;
    struct omap sent; /* key -> struct sent_row *, owned */
    uint64_t version; /* 0: it has nothing, or we do not know what */
    uint64_t pass;
    bool connected;
};

struct dispatcher {
    struct omap sessions;    /* node id -> struct session *, owned */
    struct omap unreachable; /* node ids that gossip holds for unreachable */
    bool dirty;
};

int dispatcher_new(struct dispatcher **out)
{
    struct dispatcher *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return -ENOMEM;
    omap_init(&d->sessions);
    omap_init(&d->unreachable);
    *out = d;
    return 0;
}

static void clear_sent(struct session *s)
{
    for (const struct omap_node *n = omap_first(&s->sent); n != NULL; n = omap_next(n))
        free(omap_value(n));
    omap_deinit(&s->sent);
    omap_init(&s->sent);
    s->version = 0;
}

void dispatcher_clear(struct dispatcher *d)
{
    for (const struct omap_node *n = omap_first(&d->sessions); n != NULL; n = omap_next(n)) {
        struct session *s = omap_value(n);

        clear_sent(s);
        free(s);
    }
    omap_deinit(&d->sessions);
    omap_init(&d->sessions);
    omap_deinit(&d->unreachable);
    omap_init(&d->unreachable);
}

void dispatcher_free(struct dispatcher *d)
{
    if (d == NULL)
        return;
    dispatcher_clear(d);
    free(d);
}

int dispatcher_hello(struct dispatcher *d, const struct id *node, const struct hello *h)
{
    struct session *s = omap_get(&d->sessions, id_slice(node));

    if (s == NULL) {
        if (d->sessions.count >= SESSIONS_MAX)
            return ERR_FULL;
        s = calloc(1, sizeof(*s));
        if (s == NULL || omap_set(&d->sessions, id_slice(node), s) < 0) {
            free(s);
            return -ENOMEM;
        }
        s->node = *node;
        omap_init(&s->sent);
    }
    if (h->version == 0 || h->version != s->version)
        clear_sent(s);
    s->connected = true;
    d->dirty = true;
    return 0;
}

/* What it was sent is kept: it may come back at the same version. */
void dispatcher_gone(struct dispatcher *d, const struct id *node)
{
    struct session *s = omap_get(&d->sessions, id_slice(node));

    if (s != NULL)
        s->connected = false;
}

bool dispatcher_is_connected(const struct dispatcher *d, const struct id *node)
{
    const struct session *s = omap_get(&d->sessions, id_slice(node));

    return s != NULL && s->connected;
}

const struct id *dispatcher_next(const struct dispatcher *d, const struct id *after)
{
    const struct omap_node *n =
        after == NULL ? omap_first(&d->sessions) : omap_lower_bound(&d->sessions, id_slice(after));

    for (; n != NULL; n = omap_next(n)) {
        const struct session *s = omap_value(n);

        if (s->connected && (after == NULL || !id_equal(&s->node, after)))
            return &s->node;
    }
    return NULL;
}

void dispatcher_changed(struct dispatcher *d, const struct store_changes *changes)
{
    d->dirty = d->dirty || changes->count > 0;
}

void dispatcher_reset(struct dispatcher *d)
{
    d->dirty = true;
}

void dispatcher_reachable(struct dispatcher *d, const struct id *node, enum control_hearing what)
{
    bool was = omap_get(&d->unreachable, id_slice(node)) != NULL;
    bool is = what != CONTROL_ALIVE;

    if (was == is)
        return;
    if (!is)
        (void)omap_remove(&d->unreachable, id_slice(node));
    else if (omap_set(&d->unreachable, id_slice(node), d) < 0)
        return; /* the store says so soon */
    d->dirty = true;
}

/* --- Rows */

/* One pass over one node. */
struct pass {
    const struct dispatcher *dispatcher;
    const struct store *store;
    struct session *session;
    struct dispatcher_output *out;
    struct assign *frame; /* the one being filled; NULL until there is something to say */
    uint64_t base;
    size_t bytes;
    int err;
};

static struct assign *open_frame(struct pass *p)
{
    struct dispatcher_message *items;
    struct assign *frame;

    if (p->frame != NULL && p->frame->rows.count < ASSIGNED_MAX && p->bytes < FRAME_BYTES_MAX)
        return p->frame;
    items = realloc(p->out->items, (p->out->count + 1) * sizeof(*items));
    if (items == NULL)
        return NULL;
    p->out->items = items;
    frame = calloc(1, sizeof(*frame));
    if (frame == NULL)
        return NULL;
    if (p->frame != NULL)
        p->frame->more = true;
    frame->base = p->base;
    frame->version = store_applied(p->store);
    items[p->out->count++] =
        (struct dispatcher_message){ .node = p->session->node,
                                     .frame = { .kind = DISPATCH_ASSIGN, .assign = frame } };
    p->bytes = 0;
    p->frame = frame;
    return frame;
}

/* Sends the row if the node does not have it so. Borrows `row`, whose key is set. */
static void offer(struct pass *p, const struct assigned *row)
{
    uint64_t hash = fields_hash(&assigned_type, row);
    struct sent_row *sent = omap_get(&p->session->sent, slice_of_str(row->key));
    struct assign *frame;
    struct assigned *copy;

    if (p->err < 0)
        return;
    if (sent == NULL) {
        sent = calloc(1, sizeof(*sent));
        if (sent == NULL || omap_set(&p->session->sent, slice_of_str(row->key), sent) < 0) {
            free(sent);
            p->err = -ENOMEM;
            return;
        }
    } else if (sent->hash == hash) {
        sent->seen = p->session->pass;
        return;
    }
    sent->hash = hash;
    sent->seen = p->session->pass;
    frame = open_frame(p);
    copy = frame == NULL ? NULL : LIST_ADD(&frame->rows);
    if (copy == NULL || fields_copy(&assigned_type, row, copy) < 0) {
        p->err = -ENOMEM;
        return;
    }
    p->bytes += 256 + (row->secret != NULL ? row->secret->spec.data.len : 0) +
                (row->config != NULL ? row->config->spec.data.len : 0);
}

#define KEY_MAX 96

/* --- Of tasks: itself, what it refers to, the networks it is on */

static void offer_task(struct pass *p, const struct task *t)
{
    char key[KEY_MAX];
    union {
        const struct task *shared;
        struct task *member; /* only read by offer() */
    } task = { .shared = t };

    (void)snprintf(key, sizeof(key), "task/%s", t->id.text);
    offer(p, &(struct assigned){ .key = key, .task = task.member });
}

static void offer_secret(struct pass *p, const char *id_text)
{
    char key[KEY_MAX];
    struct id id;
    union {
        const struct secret *shared;
        struct secret *member;
    } secret;

    if (id_parse(slice_of_str(id_text), &id) < 0)
        return;
    secret.shared = store_secret(p->store, &id);
    (void)snprintf(key, sizeof(key), "secret/%s", id.text);
    if (secret.shared != NULL)
        offer(p, &(struct assigned){ .key = key, .secret = secret.member });
}

static void offer_config(struct pass *p, const char *id_text)
{
    char key[KEY_MAX];
    struct id id;
    union {
        const struct config *shared;
        struct config *member;
    } config;

    if (id_parse(slice_of_str(id_text), &id) < 0)
        return;
    config.shared = store_config(p->store, &id);
    (void)snprintf(key, sizeof(key), "config/%s", id.text);
    if (config.shared != NULL)
        offer(p, &(struct assigned){ .key = key, .config = config.member });
}

static void offer_references(struct pass *p, const struct task *t)
{
    const struct task_container *c = t->spec.container;

    for (size_t i = 0; c != NULL && i < c->secrets.count; i++)
        offer_secret(p, c->secrets.items[i].secret_id);
    for (size_t i = 0; c != NULL && i < c->configs.count; i++)
        offer_config(p, c->configs.items[i].config_id);
}

/* --- Of networks: itself, every endpoint, every service on it */

static bool is_up(const struct pass *p, const struct id *node)
{
    const struct node *n = store_node(p->store, node);

    return n != NULL && n->status.state == NODE_READY &&
           omap_get(&p->dispatcher->unreachable, id_slice(node)) == NULL;
}

static bool is_ready(const struct pass *p, const struct task *t)
{
    return t->status.state == TASK_RUNNING && t->status.healthy &&
           t->desired_state <= TASK_COMPLETE && is_up(p, &t->node_id);
}

static void offer_endpoint(struct pass *p, const struct task *t, const struct attachment *at)
{
    char key[KEY_MAX], name[256];
    struct endpoint e = { .id = t->id,
                          .network_id = at->network_id,
                          .node_id = t->node_id,
                          .addr = at->addr,
                          .addr6 = at->addr6,
                          .generation = at->generation,
                          .service_id = t->service_id,
                          .slot = t->slot,
                          .task_name = name,
                          .ready = is_ready(p, t),
                          .aliases = at->aliases };

    if (t->slot != 0)
        (void)snprintf(name, sizeof(name), "%s.%llu.%s",
                       t->service_name == NULL ? "" : t->service_name, (unsigned long long)t->slot,
                       t->id.text);
    else
        (void)snprintf(name, sizeof(name), "%s.%s.%s",
                       t->service_name == NULL ? "" : t->service_name, t->node_id.text, t->id.text);
    (void)snprintf(key, sizeof(key), "port/%s/%s", t->id.text, at->network_id.text);
    offer(p, &(struct assigned){ .key = key, .endpoint = &e });
}

static void offer_endpoints(struct pass *p, const struct omap *networks)
{
    struct store_iter it;

    STORE_EACH(&it, p->store, OBJECT_TASK, struct task, t)
    {
        if (task_state_is_terminal(t->status.state) || t->status.state < TASK_ASSIGNED)
            continue;
        for (size_t i = 0; i < t->attachments.count; i++)
            if (omap_get(networks, id_slice(&t->attachments.items[i].network_id)) != NULL)
                offer_endpoint(p, t, &t->attachments.items[i]);
    }
}

static void offer_gateways(struct pass *p, const struct omap *networks)
{
    struct store_iter it;

    STORE_EACH(&it, p->store, OBJECT_NODE, struct node, n)
    for (size_t i = 0; i < n->gateways.count; i++) {
        const struct attachment_ref *g = &n->gateways.items[i];
        struct endpoint e = { .id = n->id,
                              .network_id = g->network_id,
                              .node_id = n->id,
                              .addr = g->addr,
                              .addr6 = g->addr6,
                              .generation = g->generation,
                              .gateway = true };
        char key[KEY_MAX];

        if (omap_get(networks, id_slice(&g->network_id)) == NULL)
            continue;
        (void)snprintf(key, sizeof(key), "port/%s/%s", n->id.text, g->network_id.text);
        offer(p, &(struct assigned){ .key = key, .endpoint = &e });
    }
}

static void offer_network(struct pass *p, const struct network *n)
{
    char key[KEY_MAX];
    union {
        const struct network *shared;
        struct network *member;
    } network = { .shared = n };

    (void)snprintf(key, sizeof(key), "network/%s", n->id.text);
    offer(p, &(struct assigned){ .key = key, .network = network.member });
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

static void offer_service(struct pass *p, const struct service *s, const struct network *n)
{
    char key[KEY_MAX], vip[64] = "";
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
    offer(p, &(struct assigned){ .key = key, .service = &r });
}

static void offer_networks(struct pass *p, const struct omap *networks)
{
    struct store_iter it, services;

    STORE_EACH(&it, p->store, OBJECT_NETWORK, struct network, n)
    {
        if (omap_get(networks, id_slice(&n->id)) == NULL || n->vni == 0)
            continue;
        offer_network(p, n);
        STORE_EACH(&services, p->store, OBJECT_SERVICE, struct service, s)
        if (is_on(s, n))
            offer_service(p, s, n);
    }
    offer_endpoints(p, networks);
    offer_gateways(p, networks);
}

/* --- Of the cluster */

static void offer_cluster(struct pass *p)
{
    const struct cluster *c = store_the_cluster(p->store);
    const struct node *n = store_node(p->store, &p->session->node);
    struct ca_root roots[4];
    struct cluster_record r;
    char key[KEY_MAX];

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
    offer(p, &(struct assigned){ .key = key, .cluster = &r });
}

static void offer_peers(struct pass *p)
{
    struct store_iter it;

    STORE_EACH(&it, p->store, OBJECT_NODE, struct node, n)
    {
        struct peer r = { .id = n->id,
                          .hostname = n->description.hostname,
                          .link_addrs = n->description.link_addrs,
                          .gossip_addr = n->description.gossip_addr,
                          .data_addrs = n->description.data_addrs,
                          .role = n->spec.role,
                          .reachable = is_up(p, &n->id) };
        char key[KEY_MAX];

        if (id_equal(&n->id, &p->session->node))
            continue;
        memcpy(r.identity_key, n->identity_key, sizeof(r.identity_key));
        memcpy(r.static_key, n->static_key, sizeof(r.static_key));
        (void)snprintf(key, sizeof(key), "peer/%s", n->id.text);
        offer(p, &(struct assigned){ .key = key, .peer = &r });
    }
}

/* --- A node's pass */

/* A task is the node's until it has stopped and the managers have forgotten it. */
static bool concerns_node(const struct task *t)
{
    return t->status.state >= TASK_ASSIGNED;
}

static int gather_networks(struct pass *p, struct omap *networks)
{
    struct store_iter it;
    int rc = 0;

    STORE_EACH(&it, p->store, OBJECT_NETWORK, struct network, n)
    if (n->spec.ingress && rc == 0) /* every node takes part in ingress */
        rc = omap_set(networks, id_slice(&n->id), p);
    STORE_EACH_OF_NODE(&it, p->store, &p->session->node, t)
    for (size_t i = 0; i < t->attachments.count && rc == 0; i++)
        if (concerns_node(t) && !task_state_is_terminal(t->status.state))
            rc = omap_set(networks, id_slice(&t->attachments.items[i].network_id), p);
    return rc;
}

/* Rows that this pass did not see are gone. */
static void withdraw(struct pass *p)
{
    const struct omap_node *n = omap_first(&p->session->sent);

    while (n != NULL && p->err == 0) {
        struct sent_row *sent = omap_value(n);
        struct slice key = omap_key(n);
        struct assign *frame;
        struct assigned *row;
        char text[KEY_MAX];

        n = omap_next(n);
        if (sent->seen == p->session->pass)
            continue;
        (void)snprintf(text, sizeof(text), "%.*s", (int)key.len, (const char *)key.ptr);
        frame = open_frame(p);
        row = frame == NULL ? NULL : LIST_ADD(&frame->rows);
        if (row == NULL || str_set(&row->key, text) < 0) {
            p->err = -ENOMEM;
            return;
        }
        row->gone = true;
        (void)omap_remove(&p->session->sent, slice_of_str(text));
        free(sent);
    }
}

static int turn_session(const struct dispatcher *d, const struct store *s, struct session *session,
                        struct dispatcher_output *out)
{
    struct pass p = {
        .dispatcher = d, .store = s, .session = session, .out = out, .base = session->version
    };
    struct omap networks;
    struct store_iter it;

    session->pass++;
    omap_init(&networks);
    p.err = gather_networks(&p, &networks);
    offer_cluster(&p);
    offer_peers(&p);
    offer_networks(&p, &networks);
    STORE_EACH_OF_NODE(&it, s, &session->node, t)
    if (concerns_node(t)) {
        offer_references(&p, t);
        offer_task(&p, t);
    }
    withdraw(&p);
    omap_deinit(&networks);
    if (p.err == 0 && p.frame != NULL)
        session->version = store_applied(s);
    return p.err;
}

int dispatcher_turn(struct dispatcher *d, const struct store *s, struct dispatcher_output *out)
{
    int rc = 0;

    *out = (struct dispatcher_output){ 0 };
    if (!d->dirty)
        return 0;
    for (const struct omap_node *n = omap_first(&d->sessions); n != NULL && rc == 0;
         n = omap_next(n)) {
        struct session *session = omap_value(n);

        if (session->connected)
            rc = turn_session(d, s, session, out);
    }
    if (rc < 0) { /* nothing of this turn is sent: say everything next time */
        for (const struct omap_node *n = omap_first(&d->sessions); n != NULL; n = omap_next(n))
            clear_sent(omap_value(n));
        dispatcher_output_deinit(out);
        return rc;
    }
    d->dirty = false;
    return 0;
}

void dispatcher_output_deinit(struct dispatcher_output *out)
{
    for (size_t i = 0; i < out->count; i++)
        fields_deinit(&dispatch_type, &out->items[i].frame);
    free(out->items);
    *out = (struct dispatcher_output){ 0 };
}
