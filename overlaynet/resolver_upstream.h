/* overlaynet/resolver_upstream.h - Asking the host's resolvers, as /etc/resolv.conf names them.
 *
 * Runs in the host's network namespace on the loop, by c-ares: retries, other servers, TCP when an
 * answer was cut. A changed resolv.conf is taken up with the next question. */
#ifndef OVERLAYNET_RESOLVER_UPSTREAM_H
#define OVERLAYNET_RESOLVER_UPSTREAM_H

#include "base/attr.h"
#include "base/slice.h"

#define UPSTREAM_PENDING_MAX 1024
#define UPSTREAM_TIMEOUT_MS  2000 /* for the first try of a server; doubles */
#define UPSTREAM_TRIES       2

struct upstream;
struct uv_loop_s;

NODISCARD int upstream_new(struct uv_loop_s *loop, struct upstream **out); /* -ENOMEM, .. */

/* Ends all questions with ERR_CLOSED. */
void upstream_close(struct upstream *u, void (*closed)(void *ctx), void *ctx);

/* `err` 0 or ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_FULL, ERR_CLOSED; the reply is borrowed. Always
 * called, once, perhaps before upstream_ask() returns. */
typedef void (*upstream_done)(void *ctx, int err, struct slice reply);

/* Asks; copies the query, which is a well-formed one, and gives it an id of its own. */
void upstream_ask(struct upstream *u, struct slice query, upstream_done done, void *ctx);

#endif /* OVERLAYNET_RESOLVER_UPSTREAM_H */
