/* Desired state: which networks there are. Lanes know one from the moment its TAP exists; a change
 * of what sandboxes were made for is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/overlay_impl.h"

struct net *overlay_find_net(const struct overlay *o, const struct id *id)
{
    return map_get(&o->nets, id_slice(id));
}

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

    overlay_forget_endpoints(n);
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

void overlay_free_networks(struct overlay *o)
{
    struct map_iter it = { 0 };

    while (map_next(&o->nets, &it))
        free_net(it.value);
    map_deinit(&o->nets);
    table_deinit(&o->fabric.networks);
}
