/* The table, the sandboxes that see it, and what the worker is told when it changes.
 *
 * A change marks the sandboxes of its network, and the host when ports may be concerned. The marked
 * ones get their rules anew at the end of the turn, but not sooner than FLUSH_PAUSE_MS after the
 * last time: while a hundred tasks start, each of their sandboxes is loaded a few times and not a
 * hundred times. One that is being worked on stays marked and follows when that is done. The
 * resolver reads the table itself and is never behind. */
#include "overlaynet/services_impl.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "overlaynet/overlay_impl.h"

#define RETRY_MS       2000
#define FLUSH_PAUSE_MS 200

static bool is_host(const struct box *b)
{
    return b == &b->services->host;
}

/* --- What the worker does -------------------------------------------------------------------- */

static void run_op(struct work *work)
{
    struct box_op *op = CONTAINER_OF(work, struct box_op, work);

    if (op->rc < 0)
        return; /* refused before; this only makes the answer asynchronous */
    if (is_host(op->box)) {
        op->rc = services_apply_host(&op->host, op->why, sizeof(op->why));
        return;
    }
    op->rc = services_apply_sandbox(&op->apply, op->why, sizeof(op->why));
}

static void on_flush(uv_timer_t *timer);

static void flush_after(struct overlay_services *s, uint64_t ms)
{
    if (!s->is_closing)
        (void)uv_timer_start(&s->flush, on_flush, ms, 0); /* cannot fail */
}

/* With this turn's other changes, unless the last flush was a moment ago. */
static void flush_soon(struct overlay_services *s)
{
    uint64_t due = s->flushed_ms + FLUSH_PAUSE_MS, now = uv_now(s->cfg.loop);

    flush_after(s, due > now ? due - now : 0);
}

static void drop_box_if_done(struct box *b)
{
    if (b->is_gone && b->pending == 0 && !is_host(b))
        free(b);
}

/* The sockets become the sandbox's seat. */
static int take_seat(struct box *b, struct box_op *op)
{
    struct resolver_seat *seat;
    int rc;

    if (b->is_gone || b->services->is_closing) {
        resolver_sockets_close(&op->sockets);
        return ERR_CLOSED;
    }
    rc = resolver_seat_new(b->services->resolver, &op->sockets, &seat);
    if (rc < 0)
        return rc;
    resolver_seat_close(b->seat); /* of an attach that was under way too */
    b->seat = seat;
    b->ports = op->sockets;
    resolver_seat_set_networks(seat, b->networks, b->network_count);
    return 0;
}

static void note_failure(struct box *b, const struct box_op *op)
{
    b->loaded = 0;
    if (b->is_gone || b->services->is_closing || (op->rc == -ENOENT && !is_host(b)))
        return; /* the sandbox went meanwhile */
    if (op->rc != ERR_UNAVAILABLE)
        log_warn_limited(b->id.text, "services", "%s%s: %s; trying again in %d ms",
                         is_host(b) ? "published ports" : "virtual IPs of sandbox ", b->id.text,
                         op->why[0] != '\0' ? op->why : err_text(op->rc), RETRY_MS);
    b->is_dirty = true;
    if (uv_is_active((const uv_handle_t *)&b->services->flush) == 0)
        flush_after(b->services, RETRY_MS);
}

static void free_op(struct box_op *op)
{
    buf_deinit(&op->rules);
    vip_plan_deinit(&op->plan);
    free(op->gateways);
    free(op->neighbours);
    free(op);
}

static void keep_neighbours(struct overlay_services *s, struct box_op *op)
{
    free(s->neighbours);
    s->neighbours = op->neighbours;
    s->neighbour_count = op->host.neighbour_count;
    op->neighbours = NULL;
}

static void on_op_done(struct work *work, bool is_cancelled)
{
    struct box_op *op = CONTAINER_OF(work, struct box_op, work);
    struct box *b = op->box;

    if (is_cancelled && op->rc == 0)
        op->rc = ERR_CLOSED;
    if (op->rc == 0 && op->apply.opens_sockets)
        op->rc = take_seat(b, op);
    b->pending--;
    if (op->rc == 0 && op->neighbours != NULL)
        keep_neighbours(b->services, op);
    if (op->rc == 0) {
        b->loaded = op->hash;
        b->loaded_text = op->text_hash;
        b->loaded_slots = op->plan.slots;
        if (b->is_dirty && uv_is_active((const uv_handle_t *)&b->services->flush) == 0)
            flush_soon(b->services);
    } else if (op->done == NULL) {
        note_failure(b, op);
    } else if (b->seat == NULL && b->pending == 0 && !b->is_gone && !is_host(b)) {
        (void)map_remove(&b->services->boxes, id_slice(&b->id)); /* `b` itself */
        b->is_gone = true;
    }
    if (op->done != NULL)
        op->done(op->ctx, op->rc, op->rc < 0 && op->why[0] == '\0' ? err_text(op->rc) : op->why);
    drop_box_if_done(b);
    free_op(op);
}

static struct box_op *new_op(struct box *b, overlay_done done, void *ctx)
{
    struct box_op *op = calloc(1, sizeof(*op));

    if (op == NULL)
        return NULL;
    buf_init(&op->rules, SERVICES_RULES_MAX);
    op->work.run = run_op;
    op->work.done = on_op_done;
    op->box = b;
    op->done = done;
    op->ctx = ctx;
    op->sockets = b->ports;
    return op;
}

static void submit(struct box_op *op)
{
    op->box->pending++;
    worker_submit(op->box->services->worker, &op->work);
}

/* --- Flush ----------------------------------------------------------------------------------- */

static void flush_box(struct box *b)
{
    struct box_op *op;
    int rc;

    if (!b->is_dirty || b->pending > 0)
        return; /* what is pending flushes again when it is done */
    b->is_dirty = false;
    op = new_op(b, NULL, NULL);
    rc = op == NULL   ? -ENOMEM
         : is_host(b) ? services_write_host(b, op)
                      : services_write_sandbox(b, op);
    if (rc == 0 && op->hash != b->loaded) {
        submit(op);
        return;
    }
    if (rc < 0) {
        log_warn_limited(b->id.text, "services", "rules of %s: %s; trying again in %d ms",
                         is_host(b) ? "published ports" : b->id.text, err_text(rc), RETRY_MS);
        b->is_dirty = true;
        flush_after(b->services, RETRY_MS);
    }
    if (op != NULL)
        free_op(op);
}

static void on_flush(uv_timer_t *timer)
{
    struct overlay_services *s = CONTAINER_OF(timer, struct overlay_services, flush);
    struct map_iter it = { 0 };

    s->flushed_ms = uv_now(s->cfg.loop);
    while (map_next(&s->boxes, &it)) {
        struct box *b = it.value;

        if (b->seat != NULL) /* until it is attached nothing is there to change */
            flush_box(b);
    }
    if (s->is_settled && !s->cfg.no_ingress)
        flush_box(&s->host);
}

/* `network_id` NULL: all. */
static void mark(struct overlay_services *s, const struct id *network_id)
{
    struct map_iter it = { 0 };

    while (map_next(&s->boxes, &it)) {
        struct box *b = it.value;

        for (size_t i = 0; i < b->network_count; i++)
            if (network_id == NULL || id_equal(&b->networks[i], network_id))
                b->is_dirty = true;
    }
    if (network_id == NULL || services_is_ingress(s, network_id))
        s->host.is_dirty = true;
    flush_soon(s);
}

/* --- Life ------------------------------------------------------------------------------------ */

int overlay_services_open(const struct overlay_services_config *cfg, struct overlay_services **out,
                          char *why, size_t why_len)
{
    struct overlay_services *s = calloc(1, sizeof(*s));
    int rc;

    if (s == NULL)
        return -ENOMEM;
    s->cfg = *cfg;
    s->host.services = s;
    randombytes_buf(&s->seed, sizeof(s->seed));
    rc = worker_new(cfg->loop, &s->worker);
    if (rc < 0) {
        if (why != NULL)
            (void)snprintf(why, why_len, "no thread for names and ports: %s", err_text(rc));
        free(s);
        return rc;
    }
    rc = resolver_new(cfg->loop, &s->table, &s->resolver);
    if (rc < 0 && why != NULL)
        (void)snprintf(why, why_len, "the resolver cannot start: %s", err_text(rc));
    services_table_init(&s->table, &s->seed);
    map_init(&s->boxes, &s->seed, OVERLAY_SANDBOXES_MAX);
    (void)uv_timer_init(cfg->loop, &s->flush);
    if (rc < 0) {
        overlay_services_close(s, NULL, NULL);
        return rc;
    }
    *out = s;
    return 0;
}

static void on_part_closed(void *ctx)
{
    struct overlay_services *s = ctx;
    struct map_iter it = { 0 };

    if (--s->open_parts > 0)
        return;
    while (map_next(&s->boxes, &it))
        free(it.value);
    map_deinit(&s->boxes);
    free(s->neighbours);
    services_table_deinit(&s->table);
    if (s->closed != NULL)
        s->closed(s->closed_ctx);
    free(s);
}

static void on_flush_closed(uv_handle_t *handle)
{
    on_part_closed(CONTAINER_OF((uv_timer_t *)handle, struct overlay_services, flush));
}

void overlay_services_close(struct overlay_services *s, void (*done)(void *ctx), void *ctx)
{
    s->is_closing = true;
    s->closed = done;
    s->closed_ctx = ctx;
    s->open_parts = s->resolver == NULL ? 2 : 3;
    worker_close(s->worker, on_part_closed, s);
    uv_close((uv_handle_t *)&s->flush, on_flush_closed);
    if (s->resolver != NULL)
        resolver_close(s->resolver, on_part_closed, s);
}

void overlay_services_settle(struct overlay_services *s)
{
    s->is_settled = true;
    s->host.is_dirty = true;
    flush_after(s, 0);
}

/* --- Desired state --------------------------------------------------------------------------- */

int overlay_service_set(struct overlay_services *s, const struct overlay_service *service)
{
    int rc = ERR_NOT_FOUND;

    if (overlay_find_net(s->cfg.overlay, &service->network_id) != NULL)
        rc = services_table_set(&s->table, service);
    if (rc > 0)
        mark(s, &service->network_id);
    return rc < 0 ? rc : 0;
}

void overlay_service_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *service_id)
{
    if (services_table_remove(&s->table, network_id, service_id) > 0)
        mark(s, network_id);
}

int overlay_backend_set(struct overlay_services *s, const struct overlay_backend *backend)
{
    int rc = ERR_NOT_FOUND;

    if (overlay_find_net(s->cfg.overlay, &backend->network_id) != NULL)
        rc = services_table_set_backend(&s->table, backend);
    if (rc > 0)
        mark(s, &backend->network_id);
    return rc < 0 ? rc : 0;
}

void overlay_backend_remove(struct overlay_services *s, const struct id *network_id,
                            const struct id *endpoint_id)
{
    if (services_table_remove_backend(&s->table, network_id, endpoint_id) > 0)
        mark(s, network_id);
}

void overlay_services_reachable(struct overlay_services *s, const struct id *node_id,
                                bool reachable)
{
    int rc = services_table_reachable(&s->table, node_id, reachable);

    if (rc > 0)
        mark(s, NULL);
    if (rc < 0)
        log_warn("services", "node %s: that it is %s was not taken in: %s", node_id->text,
                 reachable ? "reachable" : "unreachable", err_text(rc));
}

/* --- Sandboxes ------------------------------------------------------------------------------- */

static int find_or_make_box(struct overlay_services *s, const struct id *id, struct box **out)
{
    struct box *b = map_get(&s->boxes, id_slice(id));
    int rc = 0;

    if (b == NULL) {
        b = calloc(1, sizeof(*b));
        if (b == NULL)
            return -ENOMEM;
        b->services = s;
        b->id = *id;
        b->ports = (struct resolver_sockets){ .udp = -1, .tcp = -1 };
        rc = map_set(&s->boxes, id_slice(id), b);
        if (rc < 0) {
            free(b);
            return rc;
        }
    }
    *out = b;
    return 0;
}

static void set_networks(struct box *b, const struct overlay_sandbox *sandbox)
{
    b->network_count = sandbox->attachment_count;
    for (size_t i = 0; i < sandbox->attachment_count; i++) {
        b->networks[i] = sandbox->attachments[i].network_id;
        b->has_ip6[i] = !ip_is_none(&sandbox->attachments[i].ip6);
        memcpy(b->ifnames[i], sandbox->attachments[i].ifname, OVERLAY_IFNAME_MAX);
    }
    if (b->seat != NULL)
        resolver_seat_set_networks(b->seat, b->networks, b->network_count);
}

bool overlay_services_ip6(void)
{
    return access("/proc/sys/net/ipv6", F_OK) == 0;
}

void overlay_services_attach(struct overlay_services *s, const struct overlay_sandbox *sandbox,
                             overlay_done done, void *ctx)
{
    struct box *b = &s->host; /* stands in when the sandbox is refused */
    struct box_op *op;
    int rc = 0;

    if (s->is_closing)
        rc = ERR_CLOSED;
    else if (sandbox->attachment_count > OVERLAY_ATTACHMENTS_MAX || id_is_none(&sandbox->id))
        rc = ERR_INVALID;
    if (rc == 0)
        rc = find_or_make_box(s, &sandbox->id, &b);
    op = new_op(b, done, ctx);
    if (op == NULL) { /* the one case in which the answer comes at once */
        done(ctx, -ENOMEM, err_text(-ENOMEM));
        return;
    }
    if (rc == 0) {
        set_networks(b, sandbox);
        b->is_dirty = false;
        b->loaded = 0;
        op->apply.opens_sockets = b->seat == NULL;
        rc = services_write_sandbox(b, op);
    }
    op->rc = rc;
    submit(op);
}

void overlay_services_detach(struct overlay_services *s, const struct id *sandbox_id)
{
    struct box *b = map_remove(&s->boxes, id_slice(sandbox_id));

    if (b == NULL)
        return;
    resolver_seat_close(b->seat);
    b->seat = NULL;
    b->is_gone = true;
    drop_box_if_done(b);
}
