/* chaos/sim/cluster_overlay.c - overlaynet's contract without a network: which networks are
 * stated, and which sandboxes a computer holds, for they outlive the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"
#include "overlaynet/services.h"

struct sim_sandbox {
    struct id id;
    struct id networks[OVERLAY_ATTACHMENTS_MAX];
    size_t network_count;
    const struct overlay *asked; /* the life that last wanted it */
};

struct overlay {
    struct daemon *daemon;
    struct omap networks; /* ids that are stated */
};

struct op {
    uv_work_t req;
    struct overlay *overlay;
    bool destroys;
    struct sim_sandbox sandbox;
    overlay_done done;
    void *ctx;
    int err;
};

struct overlay *overlay_begin(struct daemon *d)
{
    struct overlay *o = calloc(1, sizeof(*o));

    CHECK(o != NULL);
    o->daemon = d;
    omap_init(&o->networks);
    return o;
}

void overlay_end(struct overlay *o)
{
    omap_deinit(&o->networks);
    free(o);
}

void sandboxes_clear(struct computer *c)
{
    for (const struct omap_node *n = omap_first(&c->sandboxes); n != NULL; n = omap_next(n))
        free(omap_value(n));
    omap_deinit(&c->sandboxes);
    omap_init(&c->sandboxes);
}

/* --- Desired state */

int overlay_network_set(struct overlay *o, const struct overlay_network *network)
{
    return omap_set(&o->networks, id_slice(&network->id), o);
}

static bool is_attached(const struct overlay *o, const struct id *network)
{
    const struct omap *all = &o->daemon->computer->sandboxes;

    for (const struct omap_node *n = omap_first(all); n != NULL; n = omap_next(n)) {
        const struct sim_sandbox *s = omap_value(n);

        for (size_t i = 0; i < s->network_count; i++)
            if (id_equal(&s->networks[i], network))
                return true;
    }
    return false;
}

int overlay_network_remove(struct overlay *o, const struct id *network_id)
{
    if (is_attached(o, network_id))
        return ERR_IN_USE;
    (void)omap_remove(&o->networks, id_slice(network_id));
    return 0;
}

int overlay_peer_set(struct overlay *o, const struct overlay_peer *peer)
{
    (void)o;
    (void)peer;
    return 0;
}

void overlay_peer_remove(struct overlay *o, const struct id *node_id)
{
    (void)o;
    (void)node_id;
}

int overlay_endpoint_set(struct overlay *o, const struct overlay_endpoint *endpoint)
{
    bool known = omap_get(&o->networks, id_slice(&endpoint->network_id)) != NULL;

    return known ? 0 : ERR_NOT_FOUND;
}

void overlay_endpoint_remove(struct overlay *o, const struct id *network_id,
                             const struct id *endpoint_id)
{
    (void)o;
    (void)network_id;
    (void)endpoint_id;
}

/* What an earlier life made and nobody has asked for since goes. */
void overlay_settle(struct overlay *o)
{
    struct omap *all = &o->daemon->computer->sandboxes;
    const struct omap_node *n = omap_first(all);

    while (n != NULL && !o->daemon->loop.dead) {
        struct sim_sandbox *s = omap_value(n);

        n = omap_next(n);
        if (s->asked == o)
            continue;
        (void)omap_remove(all, id_slice(&s->id));
        free(s);
    }
}

/* --- Sandboxes */

static void make(struct op *op)
{
    struct omap *all = &op->overlay->daemon->computer->sandboxes;
    struct sim_sandbox *s;

    for (size_t i = 0; i < op->sandbox.network_count; i++)
        if (omap_get(&op->overlay->networks, id_slice(&op->sandbox.networks[i])) == NULL) {
            op->err = ERR_NOT_FOUND;
            return;
        }
    s = omap_get(all, id_slice(&op->sandbox.id));
    if (s == NULL) {
        s = calloc(1, sizeof(*s));
        CHECK(s != NULL && omap_set(all, id_slice(&op->sandbox.id), s) == 0);
    }
    *s = op->sandbox;
    s->asked = op->overlay;
}

static void take_effect(uv_work_t *req)
{
    struct op *op = CONTAINER_OF(req, struct op, req);
    struct daemon *d = op->overlay->daemon;

    if (d->loop.dead)
        return;
    if (op->destroys)
        free(omap_remove(&d->computer->sandboxes, id_slice(&op->sandbox.id)));
    else
        make(op);
}

static void answer(uv_work_t *req, int status)
{
    struct op *op = CONTAINER_OF(req, struct op, req);

    (void)status;
    op->done(op->ctx, op->err, op->err < 0 ? err_text(op->err) : "");
    free(op);
}

static struct op *op_new(struct overlay *o, const struct id *id, overlay_done done, void *ctx)
{
    struct op *op = calloc(1, sizeof(*op));

    CHECK(op != NULL);
    op->overlay = o;
    op->sandbox.id = *id;
    op->done = done;
    op->ctx = ctx;
    return op;
}

static void op_start(struct op *op)
{
    struct daemon *d = op->overlay->daemon;

    loop_work(&d->loop, prng_range(&d->computer->prng, 100, 6000) * NS_PER_US, &op->req,
              take_effect, answer);
}

void overlay_sandbox_create(struct overlay *o, const struct overlay_sandbox *sandbox,
                            overlay_done done, void *ctx)
{
    struct op *op = op_new(o, &sandbox->id, done, ctx);

    for (size_t i = 0; i < sandbox->attachment_count; i++)
        op->sandbox.networks[op->sandbox.network_count++] = sandbox->attachments[i].network_id;
    op_start(op);
}

void overlay_sandbox_destroy(struct overlay *o, const struct id *sandbox_id, overlay_done done,
                             void *ctx)
{
    struct op *op = op_new(o, sandbox_id, done, ctx);

    op->destroys = true;
    op_start(op);
}

void overlay_sandbox_netns(const struct overlay *o, const struct id *sandbox_id,
                           char out[OVERLAY_PATH_MAX])
{
    (void)o;
    (void)snprintf(out, OVERLAY_PATH_MAX, "/run/netns/%s", sandbox_id->text);
}

/* --- Names and virtual IPs: no daemon here has any, so none of these is ever called. */

#define NOT_HERE UNREACHABLE("a simulated host has no overlay_services")

void overlay_services_settle(struct overlay_services *s)
{
    (void)s;
    NOT_HERE;
}

int overlay_service_set(struct overlay_services *s, const struct overlay_service *service)
{
    (void)s;
    (void)service;
    NOT_HERE;
}

void overlay_service_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *service_id)
{
    (void)s;
    (void)network_id;
    (void)service_id;
    NOT_HERE;
}

int overlay_backend_set(struct overlay_services *s, const struct overlay_backend *backend)
{
    (void)s;
    (void)backend;
    NOT_HERE;
}

void overlay_backend_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *endpoint_id)
{
    (void)s;
    (void)network_id;
    (void)endpoint_id;
    NOT_HERE;
}

void overlay_services_reachable(struct overlay_services *s, const struct id *node_id,
                                bool reachable)
{
    (void)s;
    (void)node_id;
    (void)reachable;
    NOT_HERE;
}

bool overlay_services_ip6(void)
{
    return true;
}

void overlay_services_attach(struct overlay_services *s, const struct overlay_sandbox *sandbox,
                             overlay_done done, void *ctx)
{
    (void)s;
    (void)sandbox;
    (void)done;
    (void)ctx;
    NOT_HERE;
}

void overlay_services_detach(struct overlay_services *s, const struct id *sandbox_id)
{
    (void)s;
    (void)sandbox_id;
    NOT_HERE;
}
