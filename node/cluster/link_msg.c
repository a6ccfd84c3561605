/* node/cluster/link_msg.c - see link_msg.h. */
#include "node/cluster/link_msg.h"

#include <errno.h>
#include <string.h>

FIELDS_ENUM_DEFINE(link_purpose, LINK_PURPOSE_ENUM);
FIELDS_DEFINE(link_offer, LINK_OFFER_FIELDS);
FIELDS_DEFINE(link_hello, LINK_HELLO_FIELDS);
FIELDS_DEFINE(enroll_request, ENROLL_REQUEST_FIELDS);
FIELDS_DEFINE(enroll_peer, ENROLL_PEER_FIELDS);
FIELDS_DEFINE(enroll_answer, ENROLL_ANSWER_FIELDS);
FIELDS_DEFINE(enroll_refusal, ENROLL_REFUSAL_FIELDS);
FIELDS_DEFINE(membership, MEMBERSHIP_FIELDS);
FIELDS_DEFINE(node_secrets, NODE_SECRETS_FIELDS);

void trust_from_roots(const struct trust_root_list *roots, const struct id *cluster,
                      struct trust *out)
{
    memset(out, 0, sizeof(*out));
    out->cluster = *cluster;
    out->root_count = MIN(roots->count, TRUST_ROOTS_MAX);
    if (out->root_count > 0)
        memcpy(out->roots, roots->items, out->root_count * sizeof(*roots->items));
}

int trust_to_roots(const struct trust *t, struct trust_root_list *out)
{
    for (size_t i = 0; i < t->root_count; i++) {
        struct trust_root *root = LIST_ADD(out);

        if (root == NULL)
            return -ENOMEM; /* the caller frees what holds the list */
        *root = t->roots[i];
    }
    return 0;
}
