/* node/cluster/link_msg.h - The messages of the handshake and of enrolment. Tags are forever. */
#ifndef NODE_CLUSTER_LINK_MSG_H
#define NODE_CLUSTER_LINK_MSG_H

#include "base/fields.h"
#include "node/cluster/cert.h"
#include "node/cluster/enroll.h"

#define LINK_VERSION 1 /* of the protocol: the newest and so far the only one */

/* Payload of the first handshake message, in clear: what the dialler can speak. */
#define LINK_OFFER_FIELDS(X, S)                           \
    X(S, 1, U32, RANGE(1, 65535), oldest, NULL, REQUIRED) \
    X(S, 2, U32, RANGE(1, 65535), newest, NULL, REQUIRED)
FIELDS_STRUCT(link_offer, LINK_OFFER_FIELDS);

/* What a connection is for; the responder always says LINK_PURPOSE_MEMBER. */
#define LINK_PURPOSE_ENUM(X)            \
    X(LINK_PURPOSE_MEMBER, 1, "member") \
    X(LINK_PURPOSE_JOIN, 2, "join")     \
    X(LINK_PURPOSE_RENEW, 3, "renew")
FIELDS_ENUM(link_purpose, LINK_PURPOSE_ENUM);

/* Payload of the second and third: who I am, and the roots that I believe. Also the body of
 * FRAME_CERT, when that changes. */
#define LINK_HELLO_FIELDS(X, S)                                                          \
    X(S, 1, U32, RANGE(1, 65535), version, NULL, REQUIRED) /* chosen by the responder */ \
    X(S, 2, ENUM, link_purpose, purpose, NULL, REQUIRED)                                 \
    X(S, 3, OPT, cert, cert, NULL, OPTIONAL) /* absent: a joiner */                      \
    X(S, 4, LIST, OF(trust_root, TRUST_ROOTS_MAX), roots, NULL, OPTIONAL)
FIELDS_STRUCT(link_hello, LINK_HELLO_FIELDS);

#define ENROLL_DOMAIN "shoal enrolment 1" /* of the signature */

/* Body of FRAME_ENROLL. The signature is the identity key's, over the hash of this handshake. */
#define ENROLL_REQUEST_FIELDS(X, S)                                                          \
    X(S, 1, FIXED, SIZE(TOKEN_SECRET_LEN), secret, NULL, SECRET(OPTIONAL)) /* joiner only */ \
    X(S, 2, FIXED, SIZE(CLUSTER_KEY_LEN), identity_key, NULL, REQUIRED)                      \
    X(S, 3, FIXED, SIZE(CLUSTER_SIGNATURE_LEN), signature, NULL, REQUIRED)                   \
    X(S, 4, BYTES, LEN(ENROLL_DESCRIPTION_LEN_MAX), description, NULL, OPTIONAL)
FIELDS_STRUCT(enroll_request, ENROLL_REQUEST_FIELDS);

#define ENROLL_PEER_FIELDS(X, S)           \
    X(S, 1, ID, ANY, node, NULL, REQUIRED) \
    X(S, 2, STR, LEN(1, LINK_ADDRESS_LEN - 1), address, NULL, REQUIRED)
FIELDS_STRUCT(enroll_peer, ENROLL_PEER_FIELDS);

/* Body of FRAME_GRANT. */
#define ENROLL_ANSWER_FIELDS(X, S)                                                       \
    X(S, 1, STRUCT, cert, cert, NULL, REQUIRED)                                          \
    X(S, 2, LIST, OF(trust_root, TRUST_ROOTS_MAX), roots, NULL, OPTIONAL)                \
    X(S, 3, BYTES, LEN(ENROLL_GOSSIP_KEYS_LEN_MAX), gossip_keys, NULL, SECRET(OPTIONAL)) \
    X(S, 4, LIST, OF(enroll_peer, ENROLL_MANAGERS_MAX), managers, NULL, OPTIONAL)
FIELDS_STRUCT(enroll_answer, ENROLL_ANSWER_FIELDS);

/* Body of FRAME_REFUSE. */
#define ENROLL_REFUSAL_FIELDS(X, S)         \
    X(S, 1, I32, ANY, code, NULL, REQUIRED) \
    X(S, 2, STR, LEN(ENROLL_WHY_LEN_MAX), why, NULL, OPTIONAL)
FIELDS_STRUCT(enroll_refusal, ENROLL_REFUSAL_FIELDS);

/* Contents of the file `membership`. */
#define MEMBERSHIP_FIELDS(X, S)                 \
    X(S, 1, STRUCT, cert, cert, NULL, REQUIRED) \
    X(S, 2, LIST, OF(trust_root, TRUST_ROOTS_MAX), roots, NULL, OPTIONAL)
FIELDS_STRUCT(membership, MEMBERSHIP_FIELDS);

/* Contents of the file `keys`. */
#define NODE_SECRETS_FIELDS(X, S)                                                \
    X(S, 1, FIXED, SIZE(CLUSTER_KEY_LEN), identity_seed, NULL, SECRET(REQUIRED)) \
    X(S, 2, FIXED, SIZE(CLUSTER_KEY_LEN), static_secret, NULL, SECRET(REQUIRED))
FIELDS_STRUCT(node_secrets, NODE_SECRETS_FIELDS);

/* A list of roots as what is trusted, and back. The result of trust_to_roots() is owned. */
void trust_from_roots(const struct trust_root_list *roots, const struct id *cluster,
                      struct trust *out);
NODISCARD int trust_to_roots(const struct trust *t, struct trust_root_list *out);

#endif /* NODE_CLUSTER_LINK_MSG_H */
