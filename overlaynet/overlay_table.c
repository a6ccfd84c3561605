/* Desired state: which nodes there are, and where each endpoint is.
 *
 * Lanes read the endpoint tables while they change here; so an endpoint is never changed but
 * replaced, and what is taken out goes to the reclaimer. A peer object exists for every node that
 * an endpoint names, stated or not; only a stated one can have keys. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/overlay_impl.h"

struct peer *overlay_find_peer(const struct overlay *o, const struct id *node_id)
{
    return map_get(&o->peers, id_slice(node_id));
}

static uint64_t id_key(const struct overlay *o, const struct id *id)
{
    return hash_bytes(&o->seed, id_slice(id)) | UINT64_C(1) << 63;
}

/* --- Peers ----------------------------------------------------------------------------------- */

static int get_peer(struct overlay *o, const struct id *node_id, struct peer **out)
{
    struct peer *p = overlay_find_peer(o, node_id);
    int rc;

    if (p == NULL) {
        p = calloc(1, sizeof(*p));
        if (p == NULL)
            return -ENOMEM;
        p->fabric.node_id = *node_id;
        p->fabric.path_mtu = o->underlay_mtu;
        pmtu_init(&p->pmtu, o->underlay_mtu);
        p->fabric.session.handshake_at = MONO_NEVER;
        rc = map_set(&o->peers, id_slice(node_id), p);
        if (rc == 0)
            rc = map_set_u64(&o->peer_marks, (uint64_t)(uintptr_t)&p->fabric, p);
        if (rc < 0) {
            (void)map_remove(&o->peers, id_slice(node_id)); /* `p`, freed here */
            free(p);
            return rc;
        }
    }
    *out = p;
    return 0;
}

static void free_peer(void *object)
{
    struct peer *p = object;

    free(atomic_load_explicit(&p->fabric.path, memory_order_relaxed));
    sodium_memzero(p, sizeof(*p));
    free(p);
}

static void drop_peer_if_unused(struct overlay *o, struct peer *p)
{
    if (p->fabric.is_stated || p->fabric.endpoint_count > 0)
        return;
    (void)map_remove(&o->peers, id_slice(&p->fabric.node_id)); /* `p` itself, as the next */
    (void)map_remove_u64(&o->peer_marks, (uint64_t)(uintptr_t)&p->fabric);
    reclaim_later(&o->fabric.reclaim, p, free_peer);
}

static uint64_t key_number(const uint8_t static_public[OVERLAY_KEY_LEN])
{
    uint8_t key_id[SESSION_KEY_ID_LEN];
    uint64_t number = 0;

    session_key_id(static_public, key_id);
    for (int i = 0; i < SESSION_KEY_ID_LEN; i++)
        number = number << 8 | key_id[i];
    return number;
}

static void unstate_peer(struct overlay *o, struct peer *p)
{
    if (!p->fabric.is_stated)
        return;
    (void)table_remove(&o->fabric.key_ids, p->key_number); /* `p->fabric`, which stays */
    overlay_peer_drop_sessions(o, p);
    p->fabric.is_stated = false;
}

static int state_peer(struct overlay *o, struct peer *p, const uint8_t *static_public)
{
    uint64_t number = key_number(static_public);
    void *old = NULL;
    int rc;

    if (number == 0 || table_get(&o->fabric.key_ids, number) != NULL)
        return ERR_CONFLICT;
    rc = session_init(&p->fabric.session, &o->local, static_public);
    if (rc < 0)
        return ERR_INVALID;
    atomic_store_explicit(&p->fabric.stamp_seen, 0, memory_order_relaxed);
    rc = table_set(&o->fabric.key_ids, number, &p->fabric, &old);
    if (rc < 0)
        return rc;
    p->key_number = number;
    p->fabric.is_stated = true;
    return 0;
}

/* In clear, endpoints are reached at the first address of their node. */
static void sync_all_clear(struct overlay *o)
{
    struct map_iter it = { 0 };

    while (map_next(&o->nets, &it))
        overlay_sync_clear(it.value, false);
}

int overlay_peer_set(struct overlay *o, const struct overlay_peer *peer)
{
    struct ip_endpoint addrs[OVERLAY_PEER_ADDRS_MAX];
    struct peer *p = NULL;
    int rc;

    if (id_is_none(&peer->node_id) || peer->addr_count > OVERLAY_PEER_ADDRS_MAX)
        return ERR_INVALID;
    if (id_equal(&peer->node_id, &o->cfg.node_id))
        return 0;
    for (size_t i = 0; i < peer->addr_count; i++) {
        addrs[i] = peer->addrs[i];
        if (addrs[i].port == 0)
            addrs[i].port = OVERLAY_PORT_DEFAULT;
    }
    rc = get_peer(o, &peer->node_id, &p);
    if (rc < 0)
        return rc;
    if (p->fabric.is_stated &&
        memcmp(p->fabric.session.remote_static, peer->static_public, OVERLAY_KEY_LEN) != 0)
        unstate_peer(o, p);
    if (!p->fabric.is_stated) {
        rc = state_peer(o, p, peer->static_public);
        if (rc < 0) {
            drop_peer_if_unused(o, p);
            return rc;
        }
    }
    session_set_addrs(&p->fabric.session, addrs, peer->addr_count);
    overlay_peer_want(o, p);
    sync_all_clear(o);
    return 0;
}

void overlay_peer_remove(struct overlay *o, const struct id *node_id)
{
    struct peer *p = overlay_find_peer(o, node_id);

    if (p == NULL)
        return;
    unstate_peer(o, p);
    drop_peer_if_unused(o, p);
}

/* --- Membership: who shares a network with us ------------------------------------------------- */

static void share(const struct net *n, struct peer *p, bool more)
{
    struct overlay *o = n->overlay;

    if (!n->spec.encrypted)
        return; /* needs no keys */
    p->shared += more ? 1 : SIZE_MAX;
    overlay_peer_want(o, p);
}

static int add_member(struct net *n, struct peer *p)
{
    struct slice key = id_slice(&p->fabric.node_id);
    struct member *m = map_get(&n->members, key);
    int rc;

    if (m == NULL) {
        m = calloc(1, sizeof(*m));
        if (m == NULL)
            return -ENOMEM;
        m->peer = p;
        rc = map_set(&n->members, key, m);
        if (rc < 0) {
            free(m);
            return rc;
        }
        if (n->local_count > 0)
            share(n, p, true);
    }
    m->endpoint_count++;
    p->fabric.endpoint_count++;
    return 0;
}

static void remove_member(struct net *n, struct peer *p)
{
    struct slice key = id_slice(&p->fabric.node_id);
    struct member *m = map_get(&n->members, key);

    CHECK(m != NULL && m->endpoint_count > 0);
    p->fabric.endpoint_count--;
    if (--m->endpoint_count == 0) {
        (void)map_remove(&n->members, key); /* `m` itself */
        free(m);
        if (n->local_count > 0)
            share(n, p, false);
    }
    drop_peer_if_unused(n->overlay, p);
}

static void count_local(struct net *n, bool more)
{
    struct map_iter it = { 0 };
    bool was_here = n->local_count > 0;

    n->local_count += more ? 1 : SIZE_MAX;
    if (was_here == (n->local_count > 0))
        return;
    while (map_next(&n->members, &it))
        share(n, ((struct member *)it.value)->peer, more);
}

/* --- Endpoints ------------------------------------------------------------------------------- */

static struct peer *peer_of(const struct fabric_endpoint *e)
{
    return e->peer == NULL ? NULL : CONTAINER_OF(e->peer, struct peer, fabric);
}

static struct ip_addr addr4_of(const struct fabric_endpoint *e)
{
    struct ip_addr a = { .len = IP4_LEN };

    memcpy(a.bytes, e->identity.ip4, IP4_LEN);
    return a;
}

static struct ip_addr addr6_of(const struct fabric_endpoint *e)
{
    struct ip_addr a = { .len = IP6_LEN };

    memcpy(a.bytes, e->identity.ip6, IP6_LEN);
    return a;
}

static void take_out(struct table *t, uint64_t key, const struct fabric_endpoint *e)
{
    if (table_get(t, key) == e)
        (void)table_remove(t, key); /* `e`, which the caller retires */
}

static void remove_endpoint(struct net *n, struct fabric_endpoint *e)
{
    struct overlay *o = n->overlay;
    struct ip_addr a4 = addr4_of(e), a6 = addr6_of(e);
    struct peer *p = peer_of(e);

    take_out(&n->by_id, id_key(o, &e->endpoint_id), e);
    take_out(&n->fabric->by_mac, fabric_mac_key(e->identity.mac), e);
    if (e->identity.has_ip4)
        take_out(&n->fabric->by_ip, fabric_ip_key(&o->fabric, &a4), e);
    if (e->identity.has_ip6)
        take_out(&n->fabric->by_ip, fabric_ip_key(&o->fabric, &a6), e);
    reclaim_later(&o->fabric.reclaim, e, free);
    overlay_sync_clear(n, false);
    o->endpoint_count--;
    if (p != NULL)
        remove_member(n, p);
    else
        count_local(n, false);
}

static int insert_endpoint(struct net *n, struct fabric_endpoint *e)
{
    struct overlay *o = n->overlay;
    struct ip_addr a4 = addr4_of(e), a6 = addr6_of(e);
    void *old = NULL;
    int rc;

    rc = table_set(&n->by_id, id_key(o, &e->endpoint_id), e, &old);
    if (rc == 0)
        rc = table_set(&n->fabric->by_mac, fabric_mac_key(e->identity.mac), e, &old);
    if (rc == 0 && e->identity.has_ip4)
        rc = table_set(&n->fabric->by_ip, fabric_ip_key(&o->fabric, &a4), e, &old);
    if (rc == 0 && e->identity.has_ip6)
        rc = table_set(&n->fabric->by_ip, fabric_ip_key(&o->fabric, &a6), e, &old);
    return rc;
}

/* The other endpoint that has the MAC or address; a younger allocation takes it over. */
static int displace(struct net *n, struct fabric_endpoint *other, const struct overlay_endpoint *e)
{
    if (other == NULL || id_equal(&other->endpoint_id, &e->endpoint_id))
        return 0;
    if (other->generation >= e->generation)
        return ERR_CONFLICT;
    remove_endpoint(n, other);
    return 0;
}

static int displace_all(struct net *n, const struct overlay_endpoint *e)
{
    const struct fabric *f = &n->overlay->fabric;
    int rc = displace(n, table_get(&n->fabric->by_mac, fabric_mac_key(e->mac)), e);

    if (rc == 0 && !ip_is_none(&e->ip4))
        rc = displace(n, lane_find_ip(f, n->fabric, &e->ip4), e);
    if (rc == 0 && !ip_is_none(&e->ip6))
        rc = displace(n, lane_find_ip(f, n->fabric, &e->ip6), e);
    return rc;
}

static bool is_same(const struct fabric_endpoint *a, const struct fabric_endpoint *b)
{
    return a->peer == b->peer && a->generation == b->generation &&
           memcmp(&a->identity, &b->identity, sizeof(a->identity)) == 0;
}

static void fill_endpoint(struct fabric_endpoint *out, const struct overlay_endpoint *e,
                          struct peer *p)
{
    memset(out, 0, sizeof(*out));
    out->peer = p == NULL ? NULL : &p->fabric;
    out->endpoint_id = e->endpoint_id;
    out->generation = e->generation;
    out->identity.has_ip4 = !ip_is_none(&e->ip4);
    out->identity.has_ip6 = !ip_is_none(&e->ip6);
    out->identity.any_source = e->gateway;
    memcpy(out->identity.mac, e->mac, OVERLAY_MAC_LEN);
    memcpy(out->identity.ip4, e->ip4.bytes, IP4_LEN);
    memcpy(out->identity.ip6, e->ip6.bytes, IP6_LEN);
}

static int check_endpoint(const struct net *n, const struct overlay_endpoint *e)
{
    static const uint8_t no_mac[OVERLAY_MAC_LEN] = { 0 };

    if (id_is_none(&e->endpoint_id) || id_is_none(&e->node_id) || (e->mac[0] & 1) != 0 ||
        memcmp(e->mac, no_mac, OVERLAY_MAC_LEN) == 0)
        return ERR_INVALID;
    if (ip_is_none(&e->ip4) && ip_is_none(&e->ip6))
        return ERR_INVALID;
    if (!ip_is_none(&e->ip4) && !ip_prefix_has(&n->spec.subnet4, &e->ip4))
        return ERR_INVALID;
    if (!ip_is_none(&e->ip6) && !ip_prefix_has(&n->spec.subnet6, &e->ip6))
        return ERR_INVALID;
    return 0;
}

int overlay_endpoint_set(struct overlay *o, const struct overlay_endpoint *endpoint)
{
    struct net *n = overlay_find_net(o, &endpoint->network_id);
    struct fabric_endpoint *e = NULL, *old;
    struct peer *p = NULL;
    int rc;

    if (n == NULL)
        return ERR_NOT_FOUND;
    rc = check_endpoint(n, endpoint);
    if (rc < 0)
        return rc;
    old = table_get(&n->by_id, id_key(o, &endpoint->endpoint_id));
    if (old != NULL && old->generation > endpoint->generation)
        return ERR_STALE;
    if (old == NULL && o->endpoint_count >= OVERLAY_ENDPOINTS_MAX)
        return ERR_FULL;
    if (!id_equal(&endpoint->node_id, &o->cfg.node_id)) {
        rc = get_peer(o, &endpoint->node_id, &p);
        if (rc < 0)
            return rc;
    }
    e = malloc(sizeof(*e));
    rc = e == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        fill_endpoint(e, endpoint, p);
        if (old != NULL && is_same(old, e)) {
            free(e);
            return 0;
        }
        rc = displace_all(n, endpoint);
    }
    if (rc == 0 && p != NULL)
        rc = add_member(n, p);
    if (rc < 0) {
        free(e);
        if (p != NULL)
            drop_peer_if_unused(o, p);
        return rc;
    }
    if (p == NULL)
        count_local(n, true);
    o->endpoint_count++;
    /* The new one goes in before the old one goes out: lanes always find one of them. */
    rc = insert_endpoint(n, e);
    if (rc < 0)
        remove_endpoint(n, e);
    if (old != NULL)
        remove_endpoint(n, old);
    overlay_sync_clear(n, false);
    return rc;
}

void overlay_endpoint_remove(struct overlay *o, const struct id *network_id,
                             const struct id *endpoint_id)
{
    struct net *n = overlay_find_net(o, network_id);
    struct fabric_endpoint *e = n == NULL ? NULL : table_get(&n->by_id, id_key(o, endpoint_id));

    if (e != NULL)
        remove_endpoint(n, e);
}

void overlay_forget_endpoints(struct net *n)
{
    struct fabric_endpoint *e;

    for (size_t i = 0; (e = table_next(&n->by_id, &i)) != NULL;)
        remove_endpoint(n, e);
}

/* --- Life ------------------------------------------------------------------------------------ */

void overlay_free_tables(struct overlay *o)
{
    struct map_iter it = { 0 };

    overlay_free_networks(o);
    while (map_next(&o->peers, &it)) {
        struct peer *p = it.value;

        unstate_peer(o, p);
        reclaim_later(&o->fabric.reclaim, p, free_peer);
    }
    map_deinit(&o->peers);
    map_deinit(&o->peer_marks);
    table_deinit(&o->fabric.key_ids);
}
