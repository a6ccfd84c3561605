/* Carrying out operations on the worker, left-overs of an earlier run, and drift. */
#include "overlaynet/overlay_op.h"

#include <stdlib.h>

#include "base/err.h"

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

void overlay_count_drift(struct overlay *o, const struct id *subject, unsigned changes)
{
    if (changes == 0)
        return;
    o->drift_total += changes;
    overlay_tell(o, OVERLAY_DRIFT, subject, 0, changes, "kernel state was repaired");
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
        overlay_net_done(o, op, is_cancelled);
        break;
    case OP_CLEAR_SYNC:
        overlay_clear_sync_done(o, op);
        break;
    case OP_SANDBOX_UP:
    case OP_SANDBOX_CHECK:
    case OP_SANDBOX_DOWN:
        overlay_sandbox_done(o, op, is_cancelled);
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

struct op *overlay_op_new(struct overlay *o, enum op_kind kind)
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

/* --- Left-overs and drift --------------------------------------------------------------------- */

void overlay_settle(struct overlay *o)
{
    struct op *op = overlay_op_new(o, OP_PURGE);
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
            overlay_net_submit(o, n, OP_NETWORK_CHECK);
            overlay_sync_clear(n, true);
        } else if (n->state == NET_FAILED && n->leg_count > 0) {
            overlay_net_submit(o, n, OP_NETWORK_UP);
        }
    }
    it = (struct map_iter){ 0 };
    while (map_next(&o->sandboxes, &it)) {
        struct box *b = it.value;

        if (b->pending == 0)
            (void)overlay_box_submit(o, b, OP_SANDBOX_CHECK, NULL, NULL); /* or next time */
    }
}
