/* node/control/dispatcher_rows.h - What one node must know, row by row. Pure.
 *
 * The rows of dispatch.h: the cluster's keys, the other nodes, the networks that its tasks are on
 * and the ingress networks, each with all endpoints and services, and its tasks, each after the
 * secrets and configs that it refers to. */
#ifndef NODE_CONTROL_DISPATCHER_ROWS_H
#define NODE_CONTROL_DISPATCHER_ROWS_H

#include "base/omap.h"
#include "node/object/dispatch.h"
#include "node/store/store.h"

#define DISPATCHER_KEY_MAX 96 /* of a row's key, with its end */

/* Borrows `row`, whose key is set, for the call. */
typedef void dispatcher_on_row(void *ctx, const struct assigned *row);

/* Calls on_row for every row of `node`. `unreachable` has the ids of nodes that gossip holds for
 * unreachable; their endpoints are not ready, except to themselves.  -ENOMEM (nothing was handed
 * out) */
NODISCARD int dispatcher_rows(const struct store *s, const struct omap *unreachable,
                              const struct id *node, dispatcher_on_row *on_row, void *ctx);

#endif /* NODE_CONTROL_DISPATCHER_ROWS_H */
