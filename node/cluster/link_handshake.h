/* node/cluster/link_handshake.h - The three messages before a connection is sealed.
 *
 *     dialler                          responder
 *     start, put_offer  -- 1 -->       read_offer
 *     read_hello        <-- 2 --       put_hello
 *     put_hello         -- 3 -->       read_hello
 *     split                            split
 *
 * Works on the keys inside struct conn; the connection carries the records. `put` functions write
 * one whole record into `record`, which has room for RECORD_HEAD_LEN + HANDSHAKE_LEN_MAX, and
 * return its length. All return < 0 when the connection must end. */
#ifndef NODE_CLUSTER_LINK_HANDSHAKE_H
#define NODE_CLUSTER_LINK_HANDSHAKE_H

#include "base/attr.h"
#include "base/slice.h"
#include "node/cluster/link_msg.h"

struct conn;

NODISCARD int handshake_start(struct conn *c); /* by the dialler; read_offer does it itself */
NODISCARD int handshake_put_offer(struct conn *c, uint8_t *record);
NODISCARD int handshake_read_offer(struct conn *c, struct slice message);
NODISCARD int handshake_put_hello(struct conn *c, enum link_purpose purpose, uint8_t *record);

/* Also the proof of the peer's static key: c->static_key. The result is owned. */
NODISCARD int handshake_read_hello(struct conn *c, struct slice message, struct link_hello *out);

/* Leaves the two ciphers and the hash; the rest is wiped. */
NODISCARD int handshake_split(struct conn *c);

#endif /* NODE_CLUSTER_LINK_HANDSHAKE_H */
