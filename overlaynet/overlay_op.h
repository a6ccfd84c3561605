/* overlaynet/overlay_op.h - What the worker is told to do, and what follows. Private to overlay_op,
 * overlay_net and overlay_sandbox.
 *
 * Operations run on the worker in the order in which they were submitted, so a network is up
 * before the sandbox that needed it. An operation carries copies; the tables change on the loop
 * only, when it is submitted and when it is done. */
#ifndef OVERLAYNET_OVERLAY_OP_H
#define OVERLAYNET_OVERLAY_OP_H

#include "overlaynet/overlay_impl.h"

/* A sandbox. */
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

/* Submit op->work to the worker; it is freed when it is done. NULL: out of memory. */
struct op *overlay_op_new(struct overlay *o, enum op_kind kind);

/* overlay_net_op.c */
void overlay_net_submit(struct overlay *o, struct net *n, enum op_kind kind);
void overlay_net_done(struct overlay *o, struct op *op, bool is_cancelled);
void overlay_clear_sync_done(struct overlay *o, struct op *op);

/* overlay_sandbox.c */
bool overlay_box_submit(struct overlay *o, struct box *b, enum op_kind kind, overlay_done done,
                        void *ctx);
void overlay_sandbox_done(struct overlay *o, struct op *op, bool is_cancelled);

/* The kernel was not as it should be: says so. */
void overlay_count_drift(struct overlay *o, const struct id *subject, unsigned changes);

#endif /* OVERLAYNET_OVERLAY_OP_H */
