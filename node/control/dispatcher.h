/* node/control/dispatcher.h - What each node must know, and the difference to what it knows.
 *
 * From the store it derives, per connected node, its rows: dispatcher_rows.h. It remembers what it
 * sent, and sends what differs. A node that reconnects to the same leader at the version it was
 * left at gets the difference; any other gets everything (base 0) and compares for itself.
 *
 * Pure, like control.h. Runs on the leader only. */
#ifndef NODE_CONTROL_DISPATCHER_H
#define NODE_CONTROL_DISPATCHER_H

#include "node/control/control.h"

struct dispatcher;

struct dispatcher_message {
    struct id node;
    struct dispatch frame; /* owned by the output */
};

struct dispatcher_output {
    struct dispatcher_message *items;
    size_t count;
};

NODISCARD int dispatcher_new(struct dispatcher **out); /* -ENOMEM */
void dispatcher_free(struct dispatcher *d);

/* A node's agent said HELLO; it is connected until dispatcher_gone.
 *   ERR_FULL (16384 nodes are known), -ENOMEM */
NODISCARD int dispatcher_hello(struct dispatcher *d, const struct id *node, const struct hello *h);
void dispatcher_gone(struct dispatcher *d, const struct id *node);
void dispatcher_clear(struct dispatcher *d); /* no longer leader */
bool dispatcher_is_connected(const struct dispatcher *d, const struct id *node);
/* The connected nodes in id order, from the first after `after`; NULL starts, NULL ends. */
const struct id *dispatcher_next(const struct dispatcher *d, const struct id *after);

void dispatcher_changed(struct dispatcher *d, const struct store_changes *changes);
void dispatcher_reset(struct dispatcher *d);
/* Liveness counts for who may receive traffic, before any entry says so. */
void dispatcher_reachable(struct dispatcher *d, const struct id *node, enum control_hearing what);

/* The frames to send now. The caller frees with dispatcher_output_deinit.  -ENOMEM: try again */
NODISCARD int dispatcher_turn(struct dispatcher *d, const struct store *s,
                              struct dispatcher_output *out);
void dispatcher_output_deinit(struct dispatcher_output *out);

#endif /* NODE_CONTROL_DISPATCHER_H */
