/* Sandboxes and their legs, which are endpoints of this node for as long as they exist. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "overlaynet/overlay_op.h"

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

bool overlay_box_submit(struct overlay *o, struct box *b, enum op_kind kind, overlay_done done,
                        void *ctx)
{
    struct op *op = overlay_op_new(o, kind);

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
    struct op *op = overlay_op_new(o, OP_REFUSE);

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
            overlay_net_submit(o, n, OP_NETWORK_UP);
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
    if (!overlay_box_submit(o, b, OP_SANDBOX_UP, done, ctx))
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
    if (!overlay_box_submit(o, b, OP_SANDBOX_DOWN, done, ctx)) {
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

void overlay_sandbox_done(struct overlay *o, struct op *op, bool is_cancelled)
{
    struct box *b = op->box;

    if (op->kind == OP_SANDBOX_CHECK && op->rc == 0 && !is_cancelled && !b->is_gone)
        overlay_count_drift(o, &b->spec.id, op->changes);
    if (op->kind == OP_SANDBOX_UP && op->rc == 0 && !is_cancelled)
        b->is_up = true;
    if (op->kind == OP_SANDBOX_UP && op->rc < 0 && !is_cancelled && !b->is_up && !b->is_gone &&
        b->pending == 1) {
        /* It never came up: take back what was made. The answer is the first error. */
        (void)overlay_box_submit(o, b, OP_SANDBOX_DOWN, NULL, NULL);
        forget_box(o, b);
    }
    if (--b->pending == 0 && b->is_gone)
        free(b);
}

void overlay_free_sandboxes(struct overlay *o)
{
    struct map_iter it = { 0 };

    while (map_next(&o->sandboxes, &it))
        free(it.value);
    map_deinit(&o->sandboxes);
}
