/* The kernel side of networks: up, checked, down, and the static entries of those in clear. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/overlay_op.h"

void overlay_net_submit(struct overlay *o, struct net *n, enum op_kind kind)
{
    struct op *op = overlay_op_new(o, kind);

    if (op == NULL)
        return; /* the next reconciliation tries again */
    op->network = (struct plumb_network){ .id = n->spec.id,
                                          .mtu = overlay_net_mtu(o, n),
                                          .lanes = o->fabric.lane_count,
                                          .clear = !n->spec.encrypted,
                                          .vni = n->spec.vni,
                                          .clear_port = o->cfg.clear_port,
                                          .clear_ip6 = o->cfg.bind.addr.len == IP6_LEN };
    if (kind == OP_NETWORK_UP)
        n->state = NET_RISING;
    worker_submit(o->worker, &op->work);
}

/* A snapshot of the endpoints of other nodes whose address is known. */
static size_t list_remotes(const struct net *n, struct plumb_remote *out, size_t cap)
{
    const struct fabric_endpoint *e;
    size_t count = 0;

    for (size_t i = 0; (e = table_next(&n->by_id, &i)) != NULL && count < cap;) {
        struct ip_endpoint host = { 0 };

        if (e->peer != NULL && e->peer->is_stated)
            host = session_addr(&e->peer->session);
        if (ip_is_none(&host.addr))
            continue;
        memset(&out[count], 0, sizeof(out[count]));
        memcpy(out[count].mac, e->identity.mac, OVERLAY_MAC_LEN);
        out[count].ip4.len = e->identity.has_ip4 ? IP4_LEN : 0;
        memcpy(out[count].ip4.bytes, e->identity.ip4, IP4_LEN);
        out[count].ip6.len = e->identity.has_ip6 ? IP6_LEN : 0;
        memcpy(out[count].ip6.bytes, e->identity.ip6, IP6_LEN);
        out[count++].host = host.addr;
    }
    return count;
}

static int compare_remotes(const void *a, const void *b)
{
    const struct plumb_remote *x = a, *y = b;

    return memcmp(x->mac, y->mac, OVERLAY_MAC_LEN);
}

/* One job at a time: changes that come meanwhile are in the next snapshot. */
void overlay_sync_clear(struct net *n, bool refresh)
{
    struct overlay *o = n->overlay;
    struct op *op;

    if (n->spec.encrypted || n->state != NET_UP || o->is_closing)
        return;
    n->is_dirty = n->is_syncing;
    if (n->is_syncing)
        return;
    op = overlay_op_new(o, OP_CLEAR_SYNC);
    if (op != NULL)
        op->remotes = calloc(n->by_id.count + 1, sizeof(*op->remotes));
    if (op == NULL || op->remotes == NULL) {
        free(op);
        return; /* the next reconciliation tries again */
    }
    op->network.id = n->spec.id;
    op->is_refresh = refresh;
    op->remote_count = list_remotes(n, op->remotes, n->by_id.count);
    qsort(op->remotes, op->remote_count, sizeof(*op->remotes), compare_remotes);
    n->is_syncing = true;
    worker_submit(o->worker, &op->work);
}

void overlay_clear_sync_done(struct overlay *o, struct op *op)
{
    struct net *n = overlay_find_net(o, &op->network.id);

    free(op->remotes);
    if (n == NULL)
        return;
    n->is_syncing = false;
    if (n->is_dirty)
        overlay_sync_clear(n, false);
}

static void clear_up(struct net *n)
{
    n->state = NET_UP;
    overlay_tell(n->overlay, OVERLAY_NETWORK_READY, &n->spec.id, 0, 0, "");
    overlay_sync_clear(n, true);
}

static void close_taps(const struct op *op)
{
    if (op->network.clear)
        return;
    for (unsigned i = 0; i < op->network.lanes; i++)
        (void)close(op->tap_fds[i]);
}

void overlay_net_done(struct overlay *o, struct op *op, bool is_cancelled)
{
    struct net *n = overlay_find_net(o, &op->network.id);

    if (op->kind == OP_NETWORK_UP && !is_cancelled && op->rc == 0) {
        if (n == NULL || n->state != NET_RISING || o->is_closing) {
            close_taps(op);
            return;
        }
        if (op->network.clear) {
            clear_up(n);
            return;
        }
        o->fabric.tap_uso = op->has_uso;
        overlay_net_publish(n, op->tap_fds);
    } else if (n != NULL && op->kind == OP_NETWORK_UP) {
        n->state = NET_FAILED;
        overlay_tell(o, OVERLAY_NETWORK_FAILED, &n->spec.id, op->rc, 0, op->why);
    } else if (n != NULL && op->kind == OP_NETWORK_CHECK && op->rc == 0) {
        overlay_count_drift(o, &n->spec.id, op->changes);
    }
}

int overlay_network_remove(struct overlay *o, const struct id *network_id)
{
    struct net *n = overlay_find_net(o, network_id);

    if (n == NULL)
        return 0;
    if (n->leg_count > 0)
        return ERR_IN_USE;
    if (n->state != NET_DOWN)
        overlay_net_submit(o, n, OP_NETWORK_DOWN);
    overlay_net_forget(n);
    return 0;
}
