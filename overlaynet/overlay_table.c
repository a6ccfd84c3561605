/* Desired state: which networks there are, which nodes, and where each endpoint is.
 *
 * Lanes read the endpoint tables while they change here; so an endpoint is never changed but
 * replaced, and what is taken out goes to the reclaimer. A peer object exists for every node that
 * an endpoint names, stated or not; only a stated one can have keys. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/overlay_impl.h"

struct net *overlay_find_net(const struct overlay *o, const struct id *id)
{
    return map_get(&o->nets, id_slice(id));
}

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

/* --- Networks -------------------------------------------------------------------------------- */

uint32_t overlay_net_mtu(const struct overlay *o, const struct net *n)
{
    bool is_ip6 = o->cfg.bind.addr.len == IP6_LEN;

    if (n->spec.mtu != 0)
        return n->spec.mtu;
    return o->underlay_mtu - (is_ip6 ? PACKET_UDP6_OVERHEAD : PACKET_UDP4_OVERHEAD) -
           (n->spec.encrypted ? PACKET_OVERHEAD : OVERLAY_VXLAN_HEADER_LEN) - FRAME_ETH_LEN;
}

static int check_network(const struct overlay_network *s)
{
    if (id_is_none(&s->id) || s->vni == 0 || s->vni > 0xffffff ||
        memchr(s->name, '\0', sizeof(s->name)) == NULL)
        return ERR_INVALID;
    if (s->subnet4.addr.len != 0 && s->subnet4.addr.len != IP4_LEN)
        return ERR_INVALID;
    if (s->subnet6.addr.len != 0 && s->subnet6.addr.len != IP6_LEN)
        return ERR_INVALID;
    if (s->subnet4.addr.len == 0 && s->subnet6.addr.len == 0)
        return ERR_INVALID;
    return s->mtu != 0 && (s->mtu < 576 || s->mtu > 65521) ? ERR_INVALID : 0;
}

static void free_fabric_network(void *object)
{
    struct fabric_network *f = object;

    for (unsigned i = 0; i < f->port_count; i++)
        if (f->ports[i].tap_fd >= 0)
            (void)close(f->ports[i].tap_fd);
    table_deinit(&f->by_mac);
    table_deinit(&f->by_ip);
    free(f);
}

static struct fabric_network *new_fabric_network(struct overlay *o, uint32_t vni)
{
    size_t len = sizeof(struct fabric_network) + o->fabric.lane_count * sizeof(struct fabric_port);
    struct fabric_network *f = aligned_alloc(64, (len + 63) / 64 * 64);

    if (f == NULL)
        return NULL;
    memset(f, 0, len);
    f->vni = vni;
    f->port_count = o->fabric.lane_count;
    table_init(&f->by_mac, &o->fabric.reclaim);
    table_init(&f->by_ip, &o->fabric.reclaim);
    for (unsigned i = 0; i < f->port_count; i++) {
        f->ports[i].network = f;
        f->ports[i].tap_fd = -1;
    }
    return f;
}

static struct net *find_vni(const struct overlay *o, uint32_t vni)
{
    struct map_iter it = { 0 };

    while (map_next(&o->nets, &it))
        if (((struct net *)it.value)->spec.vni == vni)
            return it.value;
    return NULL;
}

static int change_network(struct net *n, const struct overlay_network *s)
{
    if (s->vni != n->spec.vni || s->encrypted != n->spec.encrypted ||
        s->ingress != n->spec.ingress || !ip_prefix_equal(&s->subnet4, &n->spec.subnet4) ||
        !ip_prefix_equal(&s->subnet6, &n->spec.subnet6))
        return ERR_CONFLICT;
    n->spec = *s; /* the next reconciliation applies a new mtu */
    return 0;
}

int overlay_network_set(struct overlay *o, const struct overlay_network *network)
{
    struct net *n = overlay_find_net(o, &network->id);
    int rc = check_network(network);

    if (rc < 0)
        return rc;
    if (n != NULL)
        return change_network(n, network);
    if (find_vni(o, network->vni) != NULL)
        return ERR_CONFLICT;
    n = calloc(1, sizeof(*n));
    if (n == NULL)
        return -ENOMEM;
    n->overlay = o;
    n->spec = *network;
    table_init(&n->by_id, &o->fabric.reclaim);
    map_init(&n->members, &o->seed, OVERLAY_PEERS_MAX);
    n->fabric = new_fabric_network(o, network->vni);
    rc = n->fabric == NULL ? -ENOMEM : map_set(&o->nets, id_slice(&network->id), n);
    if (rc < 0) {
        if (n->fabric != NULL)
            free_fabric_network(n->fabric);
        free(n);
    }
    return rc;
}

void overlay_net_publish(struct net *n, const int *tap_fds)
{
    struct overlay *o = n->overlay;
    void *old = NULL;
    int rc;

    for (unsigned i = 0; i < n->fabric->port_count; i++)
        n->fabric->ports[i].tap_fd = tap_fds[i];
    rc = table_set(&o->fabric.networks, n->spec.vni, n->fabric, &old);
    for (unsigned i = 0; rc == 0 && i < n->fabric->port_count; i++)
        rc = lane_watch(o->fabric.lanes[i], &n->fabric->ports[i]);
    n->is_published = true;
    n->state = rc == 0 ? NET_UP : NET_FAILED;
    overlay_tell(o, rc == 0 ? OVERLAY_NETWORK_READY : OVERLAY_NETWORK_FAILED, &n->spec.id, rc, 0,
                 rc == 0 ? "" : err_text(rc));
}

static void free_net(struct net *n)
{
    struct overlay *o = n->overlay;
    struct fabric_endpoint *e;

    for (size_t i = 0; (e = table_next(&n->by_id, &i)) != NULL;)
        remove_endpoint(n, e);
    if (n->is_published) {
        for (unsigned i = 0; i < n->fabric->port_count; i++)
            if (o->fabric.lanes[i] != NULL)
                lane_unwatch(o->fabric.lanes[i], &n->fabric->ports[i]);
        (void)table_remove(&o->fabric.networks, n->spec.vni); /* n->fabric, retired here */
    }
    reclaim_later(&o->fabric.reclaim, n->fabric, free_fabric_network);
    table_deinit(&n->by_id);
    map_deinit(&n->members);
    free(n);
}

void overlay_net_forget(struct net *n)
{
    (void)map_remove(&n->overlay->nets, id_slice(&n->spec.id)); /* `n` itself */
    free_net(n);
}

void overlay_free_tables(struct overlay *o)
{
    struct map_iter it = { 0 };

    while (map_next(&o->nets, &it))
        free_net(it.value);
    map_deinit(&o->nets);
    it = (struct map_iter){ 0 };
    while (map_next(&o->peers, &it)) {
        struct peer *p = it.value;

        unstate_peer(o, p);
        reclaim_later(&o->fabric.reclaim, p, free_peer);
    }
    map_deinit(&o->peers);
    map_deinit(&o->peer_marks);
    table_deinit(&o->fabric.networks);
    table_deinit(&o->fabric.key_ids);
}

/* --- Figures --------------------------------------------------------------------------------- */

static void add_counters(struct overlay_counters *out, const struct fabric_counters *c)
{
#define ADD(name) out->name += atomic_load_explicit(&c->name, memory_order_relaxed);
    FABRIC_COUNTER_LIST(ADD)
#undef ADD
#define ADD(name, meaning) \
    out->drops.name += atomic_load_explicit(&c->drop_##name, memory_order_relaxed);
    OVERLAY_DROP_LIST(ADD)
#undef ADD
}

static void add_network(struct overlay_counters *out, const struct net *n)
{
    for (unsigned i = 0; i < n->fabric->port_count; i++)
        add_counters(out, &n->fabric->ports[i].counters);
}

int overlay_stats(const struct overlay *o, const struct id *network_id,
                  struct overlay_counters *out)
{
    struct overlay_counters sum = { 0 };

    if (network_id != NULL) {
        const struct net *n = overlay_find_net(o, network_id);

        if (n == NULL)
            return ERR_NOT_FOUND;
        add_network(&sum, n);
    } else {
        struct map_iter it = { 0 };

        while (map_next(&o->nets, &it))
            add_network(&sum, it.value);
        for (unsigned i = 0; i < o->fabric.lane_count; i++)
            add_counters(&sum, &o->fabric.common[i]);
    }
    *out = sum;
    return 0;
}

int overlay_peer_status(const struct overlay *o, const struct id *node_id,
                        struct overlay_peer_status *out)
{
    const struct peer *p = overlay_find_peer(o, node_id);
    const struct session *s;

    if (p == NULL || !p->fabric.is_stated)
        return ERR_NOT_FOUND;
    s = &p->fabric.session;
    *out = (struct overlay_peer_status){
        .up = s->is_up,
        .addr = session_addr(s),
        .path_mtu = p->fabric.path_mtu,
        .session_age_ns = s->current.is_set ? overlay_now(o) - s->current.since : 0,
        .handshakes = s->handshakes,
        .cipher = s->current.is_set ? aead_suite_name(s->current.suite) : "",
    };
    return 0;
}

void overlay_status(const struct overlay *o, struct overlay_status *out)
{
    struct map_iter it = { 0 };
    size_t bytes = o->endpoint_count * sizeof(struct fabric_endpoint);

    while (map_next(&o->nets, &it)) {
        const struct net *n = it.value;

        bytes += sizeof(*n) + table_memory(&n->by_id) + table_memory(&n->fabric->by_mac) +
                 table_memory(&n->fabric->by_ip);
    }
    bytes += o->peers.count * sizeof(struct peer);
    *out = (struct overlay_status){
        .networks = o->nets.count,
        .peers = o->peers.count,
        .peers_up = o->peers_up,
        .endpoints = o->endpoint_count,
        .sandboxes = o->sandboxes.count,
        .memory_bytes = bytes,
        .lanes = o->fabric.lane_count,
        .cipher_engine = aead_engine(),
        .udp_gso = atomic_load_explicit(&o->fabric.udp_gso, memory_order_relaxed),
        .udp_gro = o->fabric.udp_gro,
        .tap_uso = o->fabric.tap_uso,
        .drift_total = o->drift_total,
    };
}
