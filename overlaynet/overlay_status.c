/* Figures: sums over what each lane counts for itself, and what there is of everything. */
#include "base/err.h"
#include "overlaynet/overlay_impl.h"

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
