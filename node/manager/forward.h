/* node/manager/forward.h - Proposals on their way to the leader.
 *
 * A manager that is not the leader sends the transaction over a stream of the FORWARD channel:
 *     follower -> leader   header: "propose"; data: the encoded transaction; finish
 *     leader -> follower   data: FORWARD_REPLY {err, why, index}; finish
 * It is proposed there at most once. When the stream ends without a reply the outcome is
 * unknown. The follower then waits until `index` is applied here. */
#ifndef NODE_MANAGER_FORWARD_H
#define NODE_MANAGER_FORWARD_H

#include "base/fields.h"
#include "node/cluster/link.h"

#define FORWARD_REPLY_FIELDS(X, S)              \
    X(S, 1, I64, ANY, err, NULL, OPTIONAL)      \
    X(S, 2, STR, LEN(320), why, NULL, OPTIONAL) \
    X(S, 3, U64, ANY, index, NULL, OPTIONAL)
FIELDS_STRUCT(forward_reply, FORWARD_REPLY_FIELDS);

typedef void (*forward_done)(void *owner, int err, const char *why, uint64_t index);

struct forward;
struct forward_request;

/* Handles the FORWARD channel of `links`; both are borrowed until forward_close(). `propose`
 * borrows `bytes` and answers by forward_answer(), once.  -ENOMEM */
NODISCARD int forward_open(struct links *links,
                           void (*propose)(void *ctx, struct forward_request *request,
                                           struct slice bytes),
                           void *ctx, struct forward **out);

/* Everything that `propose` got is answered. What this side asked and has no reply to is done
 * now: ERR_UNKNOWN_OUTCOME. Accepts NULL. */
void forward_close(struct forward *f);

/* The follower's side. Borrows `bytes`. `done` exactly once, perhaps before it returns. */
void forward_propose(struct forward *f, const struct id *leader, struct slice bytes,
                     forward_done done, void *owner);

/* The leader's side. */
void forward_answer(struct forward_request *request, int err, const char *why, uint64_t index);

#endif /* NODE_MANAGER_FORWARD_H */
