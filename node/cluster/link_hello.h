/* node/cluster/link_hello.h - Who is at the other end: the rules of the handshake. Pure.
 *
 *     dialler                                     responder
 *        | -- message 1: offer (versions) -----------> |  offer_check
 *        |    hello_check or        <-- message 2: --- |
 *        |    hello_check_as_joiner      hello         |
 *        | -- message 3: hello ----------------------> |  hello_check
 *
 * A certificate counts only together with the Noise handshake that proves its static key. */
#ifndef NODE_CLUSTER_LINK_HELLO_H
#define NODE_CLUSTER_LINK_HELLO_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"
#include "node/cluster/identity.h"
#include "node/cluster/link_msg.h"
#include "node/cluster/token.h"

NODISCARD int offer_encode(struct buf *out);

/*   ERR_UNSUPPORTED (no version in common), ERR_MALFORMED */
NODISCARD int offer_check(struct slice payload);

/* Our own hello: without the certificate when we join. */
NODISCARD int hello_encode(const struct identity *identity, enum link_purpose purpose,
                           struct buf *out);

/* The form only. The result is owned: fields_deinit(&link_hello_type, out).  ERR_MALFORMED,
 * ERR_UNSUPPORTED (version) */
NODISCARD int hello_decode(struct slice payload, struct link_hello *out);

/* Whether the peer is who it says, for the purpose it says: the certificate names `static_key`,
 * which the handshake proved, and cert_check() believes it, by our roots or those that follow from
 * them. ERR_MALFORMED (no certificate, or one too many), ERR_UNAUTHENTICATED, ERR_WRONG_CLUSTER,
 *   ERR_EXPIRED */
NODISCARD int hello_check(const struct link_hello *h, const uint8_t static_key[CLUSTER_KEY_LEN],
                          const struct trust *trust, wall_ns now);

/* The same for one who knows of the cluster only what its token says. *trust is what to believe
 * from now on: the token's root and those that follow from it. ERR_WRONG_CLUSTER (none of its roots
 * is the token's), ERR_FORBIDDEN (not a manager), as above */
NODISCARD int hello_check_as_joiner(const struct link_hello *h,
                                    const uint8_t static_key[CLUSTER_KEY_LEN],
                                    const struct join_token *token, wall_ns now,
                                    struct trust *trust);

#endif /* NODE_CLUSTER_LINK_HELLO_H */
