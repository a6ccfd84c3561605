/* An entry that changes is made anew and takes the place of the old one, so that a refusal leaves
 * the old one as it was. Empty groups and networks go with their last content. */
#include "overlaynet/services_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define NODES_MAX OVERLAY_PEERS_MAX

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool services_is_name(const char *name)
{
    size_t len = 0, label = 0;

    if (name == NULL)
        return false;
    for (; name[len] != '\0'; len++) {
        char c = lower(name[len]);

        if (len == SERVICES_NAME_MAX)
            return false;
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            continue;
        }
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') ||
            ++label > 63)
            return false;
    }
    return label > 0;
}

/* --- Names ----------------------------------------------------------------------------------- */

static void names_free(struct names *n)
{
    for (size_t i = 0; n->texts != NULL && i < n->count; i++)
        free(n->texts[i]);
    free(n->texts);
    free(n->owners);
    *n = (struct names){ 0 };
}

static char *lower_copy(const char *text)
{
    size_t len = strlen(text);
    char *out = malloc(len + 1);

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i <= len; i++)
        out[i] = lower(text[i]);
    return out;
}

/* Copies; `first` may be NULL. Nobody can find them yet. */
static int names_copy(struct names *n, const char *first, const char *const *more, size_t count)
{
    size_t max = count + 1;

    if (count > OVERLAY_ALIASES_MAX || (first != NULL && !services_is_name(first)))
        return ERR_INVALID;
    n->texts = calloc(max, sizeof(*n->texts));
    n->owners = calloc(max, sizeof(*n->owners));
    if (n->texts == NULL || n->owners == NULL)
        goto fail;
    for (size_t i = 0; i < max; i++) {
        const char *text = i == 0 ? first : more[i - 1];

        if (text == NULL && i == 0)
            continue;
        if (!services_is_name(text)) {
            names_free(n);
            return ERR_INVALID;
        }
        n->texts[n->count] = lower_copy(text);
        if (n->texts[n->count] == NULL)
            goto fail;
        list_init(&n->owners[n->count].link);
        n->count++;
    }
    return 0;
fail:
    names_free(n);
    return -ENOMEM;
}

static void names_hide(struct service_net *net, struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        struct slice key = slice_of_str(n->texts[i]);
        struct name_entry *e = map_get(&net->names, key);

        if (!list_is_linked(&n->owners[i].link))
            continue;
        list_remove(&n->owners[i].link);
        if (--e->owner_count == 0)
            free(map_remove(&net->names, key));
    }
}

static int name_show(struct service_net *net, const char *text, struct name_owner *owner)
{
    struct name_entry *e = map_get(&net->names, slice_of_str(text));

    if (e == NULL) {
        int rc;

        e = calloc(1, sizeof(*e));
        if (e == NULL)
            return -ENOMEM;
        list_init(&e->owners);
        rc = map_set(&net->names, slice_of_str(text), e);
        if (rc < 0) {
            free(e);
            return rc;
        }
    }
    list_push_back(&e->owners, &owner->link);
    e->owner_count++;
    return 0;
}

static int names_show(struct service_net *net, struct names *n, struct service_group *group,
                      struct backend *backend)
{
    for (size_t i = 0; i < n->count; i++) {
        int rc;

        n->owners[i].group = group;
        n->owners[i].backend = backend;
        rc = name_show(net, n->texts[i], &n->owners[i]);
        if (rc < 0) {
            names_hide(net, n);
            return rc;
        }
    }
    return 0;
}

static bool names_equal(const struct names *a, const struct names *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->texts[i], b->texts[i]) != 0)
            return false;
    return true;
}

const struct name_entry *service_net_find(const struct service_net *net, struct slice name)
{
    char text[SERVICES_NAME_MAX];

    if (name.len > sizeof(text))
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        text[i] = lower((char)name.ptr[i]);
    return map_get(&net->names, slice_of(text, name.len));
}

/* --- Networks and groups --------------------------------------------------------------------- */

struct service_net *services_table_net(const struct services_table *t, const struct id *network_id)
{
    return map_get(&t->nets, id_slice(network_id));
}

static int make_net(struct services_table *t, const struct id *id, struct service_net **out)
{
    struct service_net *net = services_table_net(t, id);
    int rc;

    if (net == NULL) {
        net = calloc(1, sizeof(*net));
        if (net == NULL)
            return -ENOMEM;
        net->id = *id;
        map_init(&net->groups, &t->seed, SERVICES_MAX);
        map_init(&net->backends, &t->seed, SERVICES_BACKENDS_MAX);
        map_init(&net->names, &t->seed, 4 * (size_t)SERVICES_BACKENDS_MAX);
        rc = map_set(&t->nets, id_slice(id), net);
        if (rc < 0) {
            free(net);
            return rc;
        }
    }
    *out = net;
    return 0;
}

static void drop_net_if_empty(struct services_table *t, struct service_net *net)
{
    if (net->groups.count > 0 || net->backends.count > 0)
        return;
    CHECK(net->names.count == 0);
    (void)map_remove(&t->nets, id_slice(&net->id)); /* `net` itself */
    map_deinit(&net->groups);
    map_deinit(&net->backends);
    map_deinit(&net->names);
    free(net);
}

/* Ids that are no service's, such as that of a gateway, are their own group. */
static int make_group(struct service_net *net, const struct id *service_id,
                      struct service_group **out)
{
    struct service_group *g = map_get(&net->groups, id_slice(service_id));
    int rc;

    if (g == NULL) {
        g = calloc(1, sizeof(*g));
        if (g == NULL)
            return -ENOMEM;
        g->net = net;
        g->service_id = *service_id;
        list_init(&g->backends);
        rc = map_set(&net->groups, id_slice(service_id), g);
        if (rc < 0) {
            free(g);
            return rc;
        }
    }
    *out = g;
    return 0;
}

static void unstate_group(struct service_group *g)
{
    names_hide(g->net, &g->names);
    names_free(&g->names);
    free(g->ports);
    g->ports = NULL;
    g->port_count = 0;
    g->vip = (struct ip_addr){ 0 };
    g->is_stated = false;
}

static void drop_group_if_empty(struct service_group *g)
{
    if (g->is_stated || !list_is_empty(&g->backends))
        return;
    (void)map_remove(&g->net->groups, id_slice(&g->service_id)); /* `g` itself */
    free(g);
}

/* --- Services -------------------------------------------------------------------------------- */

static int check_service(const struct overlay_service *s)
{
    if (id_is_none(&s->service_id) || id_is_none(&s->network_id) || s->name == NULL ||
        s->port_count > OVERLAY_PORTS_MAX)
        return ERR_INVALID;
    for (size_t i = 0; i < s->port_count; i++) {
        const struct overlay_published *p = &s->ports[i];

        if ((p->protocol != 6 && p->protocol != 17) || p->published_port == 0 ||
            p->target_port == 0)
            return ERR_INVALID;
    }
    return 0;
}

static bool ports_equal(const struct service_group *g, const struct overlay_service *s)
{
    if (g->port_count != s->port_count)
        return false;
    for (size_t i = 0; i < g->port_count; i++)
        if (g->ports[i].protocol != s->ports[i].protocol ||
            g->ports[i].published_port != s->ports[i].published_port ||
            g->ports[i].target_port != s->ports[i].target_port)
            return false;
    return true;
}

static int set_group(struct service_group *g, const struct overlay_service *s)
{
    struct overlay_published *ports = NULL;
    struct names names = { 0 }, old = g->names;
    int rc = names_copy(&names, s->name, s->aliases, s->alias_count);

    if (rc < 0)
        return rc;
    if (g->is_stated && g->mode == s->mode && ip_equal(&g->vip, &s->vip) && ports_equal(g, s) &&
        names_equal(&g->names, &names)) {
        names_free(&names);
        return 0;
    }
    rc = -ENOMEM;
    ports = calloc(s->port_count + 1, sizeof(*ports));
    if (ports == NULL)
        goto fail;
    rc = names_show(g->net, &names, g, NULL);
    if (rc < 0)
        goto fail;
    names_hide(g->net, &old);
    names_free(&old);
    for (size_t i = 0; i < s->port_count; i++)
        ports[i] = s->ports[i];
    free(g->ports);
    g->ports = ports;
    g->port_count = s->port_count;
    g->names = names;
    g->mode = s->mode;
    g->vip = s->vip;
    g->is_stated = true;
    return 1;
fail:
    free(ports);
    names_free(&names);
    return rc;
}

int services_table_set(struct services_table *t, const struct overlay_service *service)
{
    struct service_group *g;
    struct service_net *net;
    int rc = check_service(service);

    if (rc == 0)
        rc = make_net(t, &service->network_id, &net);
    if (rc < 0)
        return rc;
    rc = make_group(net, &service->service_id, &g);
    if (rc == 0) {
        rc = set_group(g, service);
        drop_group_if_empty(g);
    }
    drop_net_if_empty(t, net);
    return rc;
}

int services_table_remove(struct services_table *t, const struct id *network_id,
                          const struct id *service_id)
{
    struct service_net *net = services_table_net(t, network_id);
    struct service_group *g = net == NULL ? NULL : map_get(&net->groups, id_slice(service_id));

    if (g == NULL || !g->is_stated)
        return 0;
    unstate_group(g);
    drop_group_if_empty(g);
    drop_net_if_empty(t, net);
    return 1;
}

/* --- Backends -------------------------------------------------------------------------------- */

static void free_backend(struct backend *b)
{
    struct service_group *g = b->group;

    names_hide(g->net, &b->names);
    names_free(&b->names);
    list_remove(&b->link);
    g->net->gateway_count -= b->gateway;
    free(b);
    drop_group_if_empty(g);
}

static bool backend_equal(const struct backend *a, const struct backend *b)
{
    return a->group == b->group && id_equal(&a->node_id, &b->node_id) &&
           ip_equal(&a->ip4, &b->ip4) && ip_equal(&a->ip6, &b->ip6) && a->slot == b->slot &&
           a->ready == b->ready && a->gateway == b->gateway &&
           memcmp(a->mac, b->mac, OVERLAY_MAC_LEN) == 0 && names_equal(&a->names, &b->names);
}

static int make_backend(struct service_net *net, const struct overlay_backend *in,
                        struct backend **out)
{
    struct backend *b = calloc(1, sizeof(*b));
    int rc;

    if (b == NULL)
        return -ENOMEM;
    *b = (struct backend){ .endpoint_id = in->endpoint_id,
                           .node_id = in->node_id,
                           .ip4 = in->ip4,
                           .ip6 = in->ip6,
                           .slot = in->slot,
                           .ready = in->ready,
                           .gateway = in->gateway };
    list_init(&b->link);
    memcpy(b->mac, in->mac, OVERLAY_MAC_LEN);
    rc = names_copy(&b->names,
                    in->task_name == NULL || in->task_name[0] == '\0' ? NULL : in->task_name,
                    in->aliases, in->alias_count);
    if (rc == 0)
        rc = make_group(net, id_is_none(&in->service_id) ? &in->endpoint_id : &in->service_id,
                        &b->group);
    if (rc < 0) {
        names_free(&b->names);
        free(b);
        return rc;
    }
    list_push_back(&b->group->backends, &b->link);
    net->gateway_count += b->gateway;
    *out = b;
    return 0;
}

static int set_backend(struct service_net *net, const struct overlay_backend *in)
{
    struct backend *old = map_get(&net->backends, id_slice(&in->endpoint_id)), *b;
    int rc = make_backend(net, in, &b);

    if (rc < 0)
        return rc;
    if (old != NULL && backend_equal(old, b)) {
        free_backend(b);
        return 0;
    }
    rc = names_show(net, &b->names, NULL, b);
    if (rc == 0)
        rc = map_set(&net->backends, id_slice(&b->endpoint_id), b);
    if (rc < 0) {
        free_backend(b);
        return rc;
    }
    if (old != NULL)
        free_backend(old);
    return 1;
}

int services_table_set_backend(struct services_table *t, const struct overlay_backend *backend)
{
    struct service_net *net;
    int rc;

    if (id_is_none(&backend->endpoint_id) || id_is_none(&backend->network_id) ||
        (ip_is_none(&backend->ip4) && ip_is_none(&backend->ip6)) ||
        (!ip_is_none(&backend->ip4) && backend->ip4.len != IP4_LEN) ||
        (!ip_is_none(&backend->ip6) && backend->ip6.len != IP6_LEN))
        return ERR_INVALID;
    rc = make_net(t, &backend->network_id, &net);
    if (rc < 0)
        return rc;
    rc = set_backend(net, backend);
    drop_net_if_empty(t, net);
    return rc;
}

int services_table_remove_backend(struct services_table *t, const struct id *network_id,
                                  const struct id *endpoint_id)
{
    struct service_net *net = services_table_net(t, network_id);
    struct backend *b = net == NULL ? NULL : map_remove(&net->backends, id_slice(endpoint_id));

    if (b == NULL)
        return 0;
    free_backend(b);
    drop_net_if_empty(t, net);
    return 1;
}

bool services_table_takes(const struct services_table *t, const struct backend *b)
{
    return b->ready && !b->gateway && map_get(&t->unreachable, id_slice(&b->node_id)) == NULL;
}

int services_table_reachable(struct services_table *t, const struct id *node_id, bool reachable)
{
    bool was = map_get(&t->unreachable, id_slice(node_id)) == NULL;
    int rc;

    if (was == reachable)
        return 0;
    if (reachable) {
        (void)map_remove(&t->unreachable, id_slice(node_id)); /* the table itself */
        return 1;
    }
    rc = map_set(&t->unreachable, id_slice(node_id), t);
    return rc < 0 ? rc : 1;
}

/* --- Life ------------------------------------------------------------------------------------ */

void services_table_init(struct services_table *t, const struct hash_seed *seed)
{
    t->seed = *seed;
    map_init(&t->nets, seed, OVERLAY_NETWORKS_MAX);
    map_init(&t->unreachable, seed, NODES_MAX);
}

static void free_net(struct services_table *t, struct service_net *net)
{
    struct map_iter it = { 0 };

    while (map_next(&net->backends, &it))
        free_backend(map_remove(&net->backends, it.key));
    it = (struct map_iter){ 0 };
    while (map_next(&net->groups, &it)) {
        struct service_group *g = it.value;

        unstate_group(g);
        drop_group_if_empty(g);
    }
    drop_net_if_empty(t, net);
}

void services_table_deinit(struct services_table *t)
{
    struct map_iter it = { 0 };

    while (map_next(&t->nets, &it))
        free_net(t, it.value);
    map_deinit(&t->nets);
    map_deinit(&t->unreachable);
}
