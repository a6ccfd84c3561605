/* Sandboxes and the kernel side of networks: what the worker is told to do, and what follows.
 *
 * Operations run on the worker in the order in which they were submitted, so a network is up
 * before the sandbox that needed it. An operation carries copies; the tables change on the loop
 * only, when it is submitted and when it is done. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/overlay_impl.h"

struct box {
    struct plumb_sandbox spec;
    unsigned pending; /* operations under way */
    bool is_up;
    bool is_gone; /* destroyed, or never came up: freed with the last operation */
};

enum op_kind {
    OP_CLEAR_SYNC,
    OP_NETWORK_UP,
    OP_NETWORK_CHECK,
    OP_NETWORK_DOWN,
    OP_SANDBOX_UP,
    OP_SANDBOX_CHECK,
    OP_SANDBOX_DOWN,
    OP_REFUSE,
    OP_PURGE
};

struct op {
    struct work work;
    struct overlay *overlay;
    enum op_kind kind;
    struct plumb_network network;
    int tap_fds[OVERLAY_LANES_MAX];
    bool has_uso;
    struct box *box;
    struct plumb_sandbox sandbox;
    struct plumb_remote *remotes; /* OP_CLEAR_SYNC */
    size_t remote_count;
    bool is_refresh;
    struct id *keep; /* OP_PURGE */
    size_t keep_count;
    int rc;
    unsigned changes;
    char why[PLUMB_WHY_MAX];
    overlay_done done;
    void *ctx;
};

static void run_op(struct work *work)
{
    struct op *op = CONTAINER_OF(work, struct op, work);
    struct plumb *plumb = op->overlay->plumb;

    switch (op->kind) {
    case OP_CLEAR_SYNC:
        op->rc =
            plumb_clear_sync(plumb, &op->network.id, op->remotes, op->remote_count, op->is_refresh);
        op->remotes = NULL; /* taken */
        return;
    case OP_NETWORK_UP:
        op->rc =
            plumb_network_up(plumb, &op->network, op->tap_fds, &op->has_uso, &op->changes, op->why);
        return;
    case OP_NETWORK_CHECK:
        op->rc = plumb_network_up(plumb, &op->network, NULL, NULL, &op->changes, op->why);
        return;
    case OP_NETWORK_DOWN:
        plumb_network_down(plumb, &op->network.id);
        return;
    case OP_SANDBOX_UP:
    case OP_SANDBOX_CHECK:
        op->rc = plumb_sandbox_up(plumb, &op->sandbox, &op->changes, op->why);
        return;
    case OP_SANDBOX_DOWN:
        op->rc = plumb_sandbox_down(plumb, &op->sandbox, op->why);
        return;
    case OP_PURGE:
        plumb_purge(plumb, op->keep, op->keep_count);
        return;
    case OP_REFUSE:
        return; /* decided before; this only makes the answer asynchronous */
    }
}

static void on_op_done(struct work *work, bool is_cancelled);

static struct op *new_op(struct overlay *o, enum op_kind kind)
{
    struct op *op = calloc(1, sizeof(*op));

    if (op == NULL)
        return NULL;
    op->overlay = o;
    op->kind = kind;
    op->work.run = run_op;
    op->work.done = on_op_done;
    return op;
}

/* --- Networks -------------------------------------------------------------------------------- */

static void submit_network(struct overlay *o, struct net *n, enum op_kind kind)
{
    struct op *op = new_op(o, kind);

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
    op = new_op(o, OP_CLEAR_SYNC);
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

static void clear_sync_done(struct overlay *o, struct op *op)
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

static void count_drift(struct overlay *o, const struct id *subject, unsigned changes)
{
    if (changes == 0)
        return;
    o->drift_total += changes;
    overlay_tell(o, OVERLAY_DRIFT, subject, 0, changes, "kernel state was repaired");
}

static void network_done(struct overlay *o, struct op *op, bool is_cancelled)
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
        count_drift(o, &n->spec.id, op->changes);
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
        submit_network(o, n, OP_NETWORK_DOWN);
    overlay_net_forget(n);
    return 0;
}

/* --- Legs ------------------------------------------------------------------------------------ */

static void count_leg(struct overlay *o, const struct plumb_leg *leg, bool more)
{
    struct net *n = overlay_find_net(o, &leg->network_id);

    CHECK(n != NULL); /* it cannot be removed while a leg counts */
    n->leg_count += more ? 1 : SIZE_MAX;
}

static int state_leg(struct overlay *o, const struct plumb_leg *leg, uint64_t generation)
{
    struct overlay_endpoint e = {
        .network_id = leg->network_id,
        .endpoint_id = leg->endpoint_id,
        .node_id = o->cfg.node_id,
        .ip4 = leg->ip4,
        .ip6 = leg->ip6,
        .generation = generation,
        .gateway = leg->gateway,
    };

    memcpy(e.mac, leg->mac, OVERLAY_MAC_LEN);
    return overlay_endpoint_set(o, &e);
}

static void drop_legs(struct overlay *o, const struct plumb_sandbox *s)
{
    for (size_t i = 0; i < s->leg_count; i++) {
        overlay_endpoint_remove(o, &s->legs[i].network_id, &s->legs[i].endpoint_id);
        count_leg(o, &s->legs[i], false);
    }
}

static bool has_leg(const struct plumb_sandbox *s, const struct plumb_leg *leg)
{
    for (size_t i = 0; i < s->leg_count; i++)
        if (id_equal(&s->legs[i].network_id, &leg->network_id) &&
            id_equal(&s->legs[i].endpoint_id, &leg->endpoint_id))
            return true;
    return false;
}

static bool is_ifname(const char *name)
{
    size_t len = strnlen(name, OVERLAY_IFNAME_MAX);

    return len > 0 && len < OVERLAY_IFNAME_MAX && strpbrk(name, "/: %\t\n") == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "lo") != 0;
}

static int fill_leg(struct overlay *o, const struct overlay_attachment *a, bool egress,
                    struct plumb_leg *out, char *why)
{
    const struct net *n = overlay_find_net(o, &a->network_id);

    if (n == NULL) {
        (void)snprintf(why, PLUMB_WHY_MAX, "network %.25s is not known here", a->network_id.text);
        return ERR_NOT_FOUND;
    }
    if (!is_ifname(a->ifname)) {
        (void)snprintf(why, PLUMB_WHY_MAX, "interface name '%.15s' cannot be used", a->ifname);
        return ERR_INVALID;
    }
    if (egress && n->spec.internal) {
        (void)snprintf(why, PLUMB_WHY_MAX, "network %.64s is internal: there is no way out of it",
                       n->spec.name);
        return ERR_INVALID;
    }
    *out = (struct plumb_leg){
        .network_id = a->network_id,
        .endpoint_id = a->endpoint_id,
        .ip4 = a->ip4,
        .ip6 = a->ip6,
        .bits4 = n->spec.subnet4.bits,
        .bits6 = n->spec.subnet6.bits,
        .mtu = overlay_net_mtu(o, n),
        .gateway = a->gateway,
    };
    memcpy(out->mac, a->mac, OVERLAY_MAC_LEN);
    memcpy(out->ifname, a->ifname, OVERLAY_IFNAME_MAX);
    return 0;
}

static int fill_spec(struct overlay *o, const struct overlay_sandbox *s, struct plumb_sandbox *out,
                     char *why)
{
    *out = (struct plumb_sandbox){ .id = s->id, .in_host = s->in_host, .egress = s->egress };
    if (s->publish_count > (s->egress ? OVERLAY_PUBLISH_MAX : 0)) {
        (void)snprintf(why, PLUMB_WHY_MAX, "published ports: at most %d, and only with a way out",
                       OVERLAY_PUBLISH_MAX);
        return ERR_INVALID;
    }
    for (size_t i = 0; i < s->publish_count; i++) {
        const struct overlay_publish *port = &s->publish[i];

        if ((port->protocol != IPPROTO_TCP && port->protocol != IPPROTO_UDP) ||
            port->host_port == 0 || port->target_port == 0) {
            (void)snprintf(why, PLUMB_WHY_MAX, "published port %u: TCP or UDP, 1 to 65535",
                           port->host_port);
            return ERR_INVALID;
        }
        out->publish[out->publish_count++] = *port;
    }
    if (id_is_none(&s->id) || s->attachment_count > OVERLAY_ATTACHMENTS_MAX ||
        (s->in_host && s->egress)) {
        (void)snprintf(why, PLUMB_WHY_MAX,
                       "sandbox without id, with more than %d attachments, or "
                       "in the host with a way out",
                       OVERLAY_ATTACHMENTS_MAX);
        return ERR_INVALID;
    }
    for (size_t i = 0; i < s->attachment_count; i++) {
        int rc = fill_leg(o, &s->attachments[i], s->egress, &out->legs[i], why);

        if (rc < 0)
            return rc;
        out->leg_count++;
    }
    return 0;
}

/* States all legs; on failure those that `was` did not have are taken back. */
static int state_legs(struct overlay *o, const struct overlay_sandbox *s,
                      const struct plumb_sandbox *spec, const struct plumb_sandbox *was, char *why)
{
    for (size_t i = 0; i < spec->leg_count; i++) {
        int rc = state_leg(o, &spec->legs[i], s->attachments[i].generation);

        if (rc == 0)
            continue;
        (void)snprintf(why, PLUMB_WHY_MAX, "endpoint %s: %s", spec->legs[i].endpoint_id.text,
                       rc == ERR_CONFLICT ? "its address belongs to another endpoint"
                                          : err_text(rc));
        for (size_t k = 0; k < i; k++)
            if (was == NULL || !has_leg(was, &spec->legs[k]))
                overlay_endpoint_remove(o, &spec->legs[k].network_id, &spec->legs[k].endpoint_id);
        return rc;
    }
    return 0;
}

/* --- Sandboxes ------------------------------------------------------------------------------- */

static struct box *find_box(const struct overlay *o, const struct id *id)
{
    return map_get(&o->sandboxes, id_slice(id));
}

static bool submit_box(struct overlay *o, struct box *b, enum op_kind kind, overlay_done done,
                       void *ctx)
{
    struct op *op = new_op(o, kind);

    if (op == NULL)
        return false;
    op->box = b;
    op->sandbox = b->spec;
    op->done = done;
    op->ctx = ctx;
    b->pending++;
    worker_submit(o->worker, &op->work);
    return true;
}

static void refuse(struct overlay *o, int rc, const char *why, overlay_done done, void *ctx)
{
    struct op *op = new_op(o, OP_REFUSE);

    if (op ==
        NULL) { /* the one case in which the answer comes at once: there is no memory to wait */
        done(ctx, rc, why);
        return;
    }
    op->rc = rc;
    op->done = done;
    op->ctx = ctx;
    (void)snprintf(op->why, sizeof(op->why), "%s", why);
    worker_submit(o->worker, &op->work);
}

static void forget_box(struct overlay *o, struct box *b)
{
    drop_legs(o, &b->spec);
    b->spec.leg_count = 0;
    b->is_gone = true;
    (void)map_remove(&o->sandboxes, id_slice(&b->spec.id)); /* `b` itself */
}

static int make_box(struct overlay *o, const struct plumb_sandbox *spec, struct box **out)
{
    struct box *b = calloc(1, sizeof(*b));
    int rc;

    if (b == NULL)
        return -ENOMEM;
    b->spec.id = spec->id;
    rc = map_set(&o->sandboxes, id_slice(&spec->id), b);
    if (rc < 0) {
        free(b);
        return rc;
    }
    *out = b;
    return 0;
}

/* Replaces what the sandbox is to be; legs that it has no longer stop being endpoints. */
static void change_spec(struct overlay *o, struct box *b, const struct plumb_sandbox *spec)
{
    for (size_t i = 0; i < spec->leg_count; i++)
        count_leg(o, &spec->legs[i], true);
    for (size_t i = 0; i < b->spec.leg_count; i++) {
        const struct plumb_leg *leg = &b->spec.legs[i];

        if (!has_leg(spec, leg))
            overlay_endpoint_remove(o, &leg->network_id, &leg->endpoint_id);
        count_leg(o, leg, false);
    }
    b->spec = *spec;
}

static void raise_networks(struct overlay *o, const struct plumb_sandbox *spec)
{
    for (size_t i = 0; i < spec->leg_count; i++) {
        struct net *n = overlay_find_net(o, &spec->legs[i].network_id);

        if (n->state == NET_DOWN || n->state == NET_FAILED)
            submit_network(o, n, OP_NETWORK_UP);
    }
}

void overlay_sandbox_create(struct overlay *o, const struct overlay_sandbox *sandbox,
                            overlay_done done, void *ctx)
{
    struct plumb_sandbox spec;
    char why[PLUMB_WHY_MAX] = "";
    struct box *b = find_box(o, &sandbox->id);
    int rc = o->is_closing ? ERR_CLOSED : fill_spec(o, sandbox, &spec, why);

    if (rc == 0)
        rc = state_legs(o, sandbox, &spec, b == NULL ? NULL : &b->spec, why);
    if (rc == 0 && b == NULL) {
        rc = make_box(o, &spec, &b);
        if (rc < 0)
            for (size_t i = 0; i < spec.leg_count; i++)
                overlay_endpoint_remove(o, &spec.legs[i].network_id, &spec.legs[i].endpoint_id);
    }
    if (rc < 0) {
        refuse(o, rc, why[0] == '\0' ? err_text(rc) : why, done, ctx);
        return;
    }
    change_spec(o, b, &spec);
    raise_networks(o, &spec);
    if (!submit_box(o, b, OP_SANDBOX_UP, done, ctx))
        refuse(o, -ENOMEM, err_text(-ENOMEM), done, ctx);
}

void overlay_sandbox_destroy(struct overlay *o, const struct id *sandbox_id, overlay_done done,
                             void *ctx)
{
    struct box *b = find_box(o, sandbox_id);

    if (b == NULL || o->is_closing) {
        refuse(o, b == NULL ? 0 : ERR_CLOSED, "", done, ctx);
        return;
    }
    if (!submit_box(o, b, OP_SANDBOX_DOWN, done, ctx)) {
        refuse(o, -ENOMEM, err_text(-ENOMEM), done, ctx);
        return;
    }
    forget_box(o, b);
}

void overlay_sandbox_netns(const struct overlay *o, const struct id *sandbox_id,
                           char out[OVERLAY_PATH_MAX])
{
    plumb_sandbox_path(o->run_dir, sandbox_id, out);
}

static void sandbox_done(struct overlay *o, struct op *op, bool is_cancelled)
{
    struct box *b = op->box;

    if (op->kind == OP_SANDBOX_CHECK && op->rc == 0 && !is_cancelled && !b->is_gone)
        count_drift(o, &b->spec.id, op->changes);
    if (op->kind == OP_SANDBOX_UP && op->rc == 0 && !is_cancelled)
        b->is_up = true;
    if (op->kind == OP_SANDBOX_UP && op->rc < 0 && !is_cancelled && !b->is_up && !b->is_gone &&
        b->pending == 1) {
        /* It never came up: take back what was made. The answer is the first error. */
        (void)submit_box(o, b, OP_SANDBOX_DOWN, NULL, NULL);
        forget_box(o, b);
    }
    if (--b->pending == 0 && b->is_gone)
        free(b);
}

static void on_op_done(struct work *work, bool is_cancelled)
{
    struct op *op = CONTAINER_OF(work, struct op, work);
    struct overlay *o = op->overlay;

    if (is_cancelled && op->rc == 0)
        op->rc = ERR_CLOSED;
    switch (op->kind) {
    case OP_NETWORK_UP:
    case OP_NETWORK_CHECK:
    case OP_NETWORK_DOWN:
        network_done(o, op, is_cancelled);
        break;
    case OP_CLEAR_SYNC:
        clear_sync_done(o, op);
        break;
    case OP_SANDBOX_UP:
    case OP_SANDBOX_CHECK:
    case OP_SANDBOX_DOWN:
        sandbox_done(o, op, is_cancelled);
        break;
    case OP_PURGE:
    case OP_REFUSE:
        break;
    }
    if (op->done != NULL)
        op->done(op->ctx, op->rc, op->rc < 0 && op->why[0] == '\0' ? err_text(op->rc) : op->why);
    free(op->keep);
    free(op);
}

/* --- Left-overs and drift --------------------------------------------------------------------- */

void overlay_settle(struct overlay *o)
{
    struct op *op = new_op(o, OP_PURGE);
    struct map_iter it = { 0 };

    if (op == NULL)
        return;
    op->keep = calloc(o->nets.count + o->sandboxes.count + 1, sizeof(*op->keep));
    if (op->keep == NULL) {
        free(op);
        return; /* left-overs stay until the next start */
    }
    while (map_next(&o->nets, &it))
        op->keep[op->keep_count++] = ((struct net *)it.value)->spec.id;
    it = (struct map_iter){ 0 };
    while (map_next(&o->sandboxes, &it))
        op->keep[op->keep_count++] = ((struct box *)it.value)->spec.id;
    worker_submit(o->worker, &op->work);
}

void overlay_reconcile(struct overlay *o)
{
    struct map_iter it = { 0 };

    while (map_next(&o->nets, &it)) {
        struct net *n = it.value;

        if (n->state == NET_UP) {
            submit_network(o, n, OP_NETWORK_CHECK);
            overlay_sync_clear(n, true);
        } else if (n->state == NET_FAILED && n->leg_count > 0) {
            submit_network(o, n, OP_NETWORK_UP);
        }
    }
    it = (struct map_iter){ 0 };
    while (map_next(&o->sandboxes, &it)) {
        struct box *b = it.value;

        if (b->pending == 0)
            (void)submit_box(o, b, OP_SANDBOX_CHECK, NULL, NULL); /* or next time */
    }
}

void overlay_free_sandboxes(struct overlay *o)
{
    struct map_iter it = { 0 };

    while (map_next(&o->sandboxes, &it))
        free(it.value);
    map_deinit(&o->sandboxes);
}
