/* node/cluster/token.h - Join tokens: SHTKN-1-<digest of the root key>-<secret>.
 *
 * The digest lets a joiner recognise the cluster over a link that it cannot trust yet; the
 * secret lets the cluster recognise the joiner, and which of the two secrets it is decides
 * the role. 256 bits and 128 bits in base 36, as in Docker's tokens. Pure. */
#ifndef NODE_CLUSTER_TOKEN_H
#define NODE_CLUSTER_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "node/cluster/cert.h"

#define TOKEN_SECRET_LEN 16
#define TOKEN_LEN        84 /* 8 + 50 + 1 + 25, without the NUL */

/* Secret: wipe after use. */
struct join_token {
    uint8_t root_digest[CLUSTER_KEY_LEN];
    uint8_t secret[TOKEN_SECRET_LEN];
};

/* The token for a cluster with this root. */
void token_init(struct join_token *t, const uint8_t root[CLUSTER_KEY_LEN],
                const uint8_t secret[TOKEN_SECRET_LEN]);

void token_format(const struct join_token *t, char out[TOKEN_LEN + 1]);

/*   ERR_MALFORMED; writes *out only on success */
NODISCARD int token_parse(struct slice text, struct join_token *out);

/* Whether the token was made for this root. */
bool token_is_for_root(const struct join_token *t, const uint8_t root[CLUSTER_KEY_LEN]);

/* In constant time. */
bool token_secret_equal(const uint8_t a[TOKEN_SECRET_LEN], const uint8_t b[TOKEN_SECRET_LEN]);

#endif /* NODE_CLUSTER_TOKEN_H */
