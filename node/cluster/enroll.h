/* node/cluster/enroll.h - Becoming a member: join with a token, renew a certificate.
 *
 * Both are one connection of their own, because the one who asks may have no valid
 * certificate:
 *
 *     joiner                                         manager
 *       | -- TCP, Noise message 1 ------------------> |
 *       | <- Noise message 2: certificate, roots ---- |
 *       |    root digest == token's? signed by it?    |
 *       | -- Noise message 3: "join" ---------------> |
 *       | -- token secret, keys, description -------> |  on_enroll(), asked in its own time
 *       | <- certificate, roots, managers, keys ----- |
 *
 * A renewal shows the present certificate instead, which may have expired within its
 * grace, and proves by the handshake that it holds that certificate's key. */
#ifndef NODE_CLUSTER_ENROLL_H
#define NODE_CLUSTER_ENROLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "node/cluster/identity.h"
#include "node/cluster/link.h"
#include "node/cluster/token.h"

#define ENROLL_DESCRIPTION_LEN_MAX 8192
#define ENROLL_GOSSIP_KEYS_LEN_MAX 1024
#define ENROLL_MANAGERS_MAX        16
#define ENROLL_WHY_LEN_MAX         256

enum enroll_kind { ENROLL_JOIN = 1, ENROLL_RENEW = 2 };

/* --- The manager's side --- */

/* A request, lent to links_events.on_enroll. The keys are proven: the asker holds both secrets. */
struct link_enrollment {
    uint64_t ticket; /* names the request in the answer */
    enum enroll_kind kind;
    const char *address; /* where the request comes from */
    uint8_t identity_key[CLUSTER_KEY_LEN];
    uint8_t static_key[CLUSTER_KEY_LEN];
    uint8_t secret[TOKEN_SECRET_LEN]; /* JOIN: compare with token_secret_equal() */
    const struct cert *cert;          /* RENEW: signed by a trusted root, in date or in grace */
    struct slice description;         /* of the node, opaque here */
};

struct enroll_manager {
    struct id node;
    char address[LINK_ADDRESS_LEN];
};

struct enroll_grant {
    struct cert cert;
    struct trust trust;
    struct slice gossip_keys; /* opaque here; secret */
    size_t manager_count;
    struct enroll_manager managers[ENROLL_MANAGERS_MAX];
};

/* Answers a request. Copies.  ERR_CLOSED (the asker has gone; forget what was prepared),
 * ERR_INVALID (the grant does not fit the request), ERR_TOO_LARGE */
NODISCARD int link_enrollment_grant(struct links *l, uint64_t ticket,
                                    const struct enroll_grant *grant);

/* `err` is what the asker's result says, with `why` for people. ERR_UNAUTHENTICATED (wrong token)
 * counts against the asker's address: too many and it is refused for a while. */
void link_enrollment_refuse(struct links *l, uint64_t ticket, int err, const char *why);

/* --- The asking side: one flow, before or beside links --- */

struct enroll;

struct enroll_config {
    enum enroll_kind kind;
    const char *const
        *addresses; /* "host:2377", tried in turn until one answers; names are resolved */
    size_t address_count;
    const struct identity *identity; /* JOIN: the keys; RENEW: also certificate and roots */
    const struct join_token *token;  /* JOIN only */
    struct slice description;
};

struct enroll_result {
    int status;                       /* 0, or the last address's failure */
    const char *why;                  /* for people, names the address; "" on success */
    const struct enroll_grant *grant; /* NULL unless status is 0 */
    const char *local_address;        /* of this node, without port, as the manager reached us: the
                                       * default for an advertised address */
    const char *manager_address;      /* the one that answered */
};

/* Starts. Copies `cfg`. `done` is called exactly once, from the loop, and borrows the result to the
 * call; after it the handle is gone. Whole flow bounded: 10 s an address, 60 s for the answer.
 *   ERR_INVALID, -ENOMEM */
NODISCARD int enroll_start(struct uv_loop_s *loop, const struct enroll_config *cfg,
                           void (*done)(void *ctx, const struct enroll_result *result), void *ctx,
                           struct enroll **out);

/* Gives up: `done` comes with ERR_CLOSED. */
void enroll_cancel(struct enroll *e);

#endif /* NODE_CLUSTER_ENROLL_H */
