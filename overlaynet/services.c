/* The table, the sandboxes that see it, and what the worker is told when it changes. */
#include "overlaynet/services.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "overlaynet/netns.h"
#include "overlaynet/overlay_impl.h"
#include "overlaynet/services_table.h"

/* A sandbox that was attached. */
struct box {
    struct id id;
    size_t network_count;
    struct id networks[OVERLAY_ATTACHMENTS_MAX];
};

struct overlay_services {
    struct overlay_services_config cfg;
    struct worker *worker;
    struct services_table table;
    struct map boxes; /* struct box, by id */
    bool is_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct attach_op {
    struct work work;
    char path[OVERLAY_PATH_MAX];
    int rc;
    char why[PLUMB_WHY_MAX];
    overlay_done done;
    void *ctx;
};

/* --- Life ------------------------------------------------------------------------------------ */

int overlay_services_open(const struct overlay_services_config *cfg, struct overlay_services **out,
                          char *why, size_t why_len)
{
    struct overlay_services *s = calloc(1, sizeof(*s));
    struct hash_seed seed;
    int rc;

    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    rc = worker_new(cfg->loop, &s->worker);
    if (rc < 0) {
        if (why != NULL)
            (void)snprintf(why, why_len, "no thread for names and ports: %s", err_text(rc));
        free(s);
        return rc;
    }
    randombytes_buf(&seed, sizeof(seed));
    services_table_init(&s->table, &seed);
    map_init(&s->boxes, &seed, OVERLAY_SANDBOXES_MAX);
    *out = s;
    return 0;
}

static void on_worker_closed(void *ctx)
{
    struct overlay_services *s = ctx;
    struct map_iter it = { 0 };

    while (map_next(&s->boxes, &it))
        free(it.value);
    map_deinit(&s->boxes);
    services_table_deinit(&s->table);
    s->closed(s->closed_ctx);
    free(s);
}

void overlay_services_close(struct overlay_services *s, void (*done)(void *ctx), void *ctx)
{
    s->is_closing = true;
    s->closed = done;
    s->closed_ctx = ctx;
    worker_close(s->worker, on_worker_closed, s);
}

void overlay_services_settle(struct overlay_services *s)
{
    (void)s;
}

/* --- Desired state --------------------------------------------------------------------------- */

int overlay_service_set(struct overlay_services *s, const struct overlay_service *service)
{
    int rc = ERR_NOT_FOUND;

    if (overlay_find_net(s->cfg.overlay, &service->network_id) != NULL)
        rc = services_table_set(&s->table, service);
    return rc < 0 ? rc : 0;
}

void overlay_service_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *service_id)
{
    (void)services_table_remove(&s->table, network_id, service_id);
}

int overlay_backend_set(struct overlay_services *s, const struct overlay_backend *backend)
{
    int rc = ERR_NOT_FOUND;

    if (overlay_find_net(s->cfg.overlay, &backend->network_id) != NULL)
        rc = services_table_set_backend(&s->table, backend);
    return rc < 0 ? rc : 0;
}

void overlay_backend_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *endpoint_id)
{
    (void)services_table_remove_backend(&s->table, network_id, endpoint_id);
}

void overlay_services_reachable(struct overlay_services *s, const struct id *node_id,
                                bool reachable)
{
    int rc = services_table_reachable(&s->table, node_id, reachable);

    if (rc < 0)
        log_warn("services", "node %s: that it is %s was not taken in: %s", node_id->text,
                 reachable ? "reachable" : "unreachable", err_text(rc));
}

/* --- Sandboxes ------------------------------------------------------------------------------- */

static void run_attach(struct work *work)
{
    struct attach_op *op = CONTAINER_OF(work, struct attach_op, work);
    int netns;

    if (op->rc < 0)
        return; /* refused before; this only makes the answer asynchronous */
    netns = netns_open_existing(op->path);
    op->rc = netns < 0 ? netns : 0;
    if (netns < 0)
        (void)snprintf(op->why, sizeof(op->why), "namespace of the sandbox: %s", err_text(netns));
    else
        (void)close(netns);
}

static void on_attached(struct work *work, bool is_cancelled)
{
    struct attach_op *op = CONTAINER_OF(work, struct attach_op, work);

    if (is_cancelled && op->rc == 0)
        op->rc = ERR_CLOSED;
    op->done(op->ctx, op->rc, op->rc < 0 && op->why[0] == '\0' ? err_text(op->rc) : op->why);
    free(op);
}

static int find_or_make_box(struct overlay_services *s, const struct id *id, struct box **out)
{
    struct box *b = map_get(&s->boxes, id_slice(id));
    int rc = 0;

    if (b == NULL) {
        b = calloc(1, sizeof(*b));
        if (b == NULL)
            return -ENOMEM;
        b->id = *id;
        rc = map_set(&s->boxes, id_slice(id), b);
        if (rc < 0) {
            free(b);
            return rc;
        }
    }
    *out = b;
    return 0;
}

void overlay_services_attach(struct overlay_services *s, const struct overlay_sandbox *sandbox,
                             overlay_done done, void *ctx)
{
    struct attach_op *op = calloc(1, sizeof(*op));
    struct box *b;

    if (op == NULL) { /* the one case in which the answer comes at once */
        done(ctx, -ENOMEM, err_text(-ENOMEM));
        return;
    }
    op->work.run = run_attach;
    op->work.done = on_attached;
    op->done = done;
    op->ctx = ctx;
    op->rc = s->is_closing ? ERR_CLOSED : 0;
    if (sandbox->attachment_count > OVERLAY_ATTACHMENTS_MAX)
        op->rc = ERR_INVALID;
    if (op->rc == 0)
        op->rc = find_or_make_box(s, &sandbox->id, &b);
    if (op->rc == 0) {
        b->network_count = sandbox->attachment_count;
        for (size_t i = 0; i < sandbox->attachment_count; i++)
            b->networks[i] = sandbox->attachments[i].network_id;
    }
    overlay_sandbox_netns(s->cfg.overlay, &sandbox->id, op->path);
    worker_submit(s->worker, &op->work);
}

void overlay_services_detach(struct overlay_services *s, const struct id *sandbox_id)
{
    free(map_remove(&s->boxes, id_slice(sandbox_id)));
}
