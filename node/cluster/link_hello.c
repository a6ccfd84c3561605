/* node/cluster/link_hello.c - see link_hello.h. */
#include "node/cluster/link_hello.h"

#include <string.h>

#include "base/err.h"

int offer_encode(struct buf *out)
{
    const struct link_offer offer = { .oldest = LINK_VERSION, .newest = LINK_VERSION };
    struct field_error err;

    return fields_encode(&link_offer_type, &offer, out, &err);
}

int offer_check(struct slice payload)
{
    struct link_offer offer;
    struct field_error err;
    int rc = fields_decode(&link_offer_type, payload, &offer, &err);

    if (rc < 0)
        return ERR_MALFORMED;
    return offer.oldest <= LINK_VERSION && LINK_VERSION <= offer.newest ? 0 : ERR_UNSUPPORTED;
}

int hello_encode(const struct identity *identity, enum link_purpose purpose, struct buf *out)
{
    struct cert cert = identity->cert;
    struct link_hello h = { .version = LINK_VERSION, .purpose = purpose };
    struct field_error err;
    int rc;

    rc = trust_to_roots(&identity->trust, &h.roots);
    if (rc == 0) {
        h.cert = purpose == LINK_PURPOSE_JOIN ? NULL : &cert;
        rc = fields_encode(&link_hello_type, &h, out, &err);
        h.cert = NULL; /* not the message's own */
    }
    fields_deinit(&link_hello_type, &h);
    return rc;
}

int hello_decode(struct slice payload, struct link_hello *out)
{
    struct field_error err;
    struct link_hello h;

    if (fields_decode(&link_hello_type, payload, &h, &err) < 0)
        return ERR_MALFORMED;
    if (h.version != LINK_VERSION) {
        fields_deinit(&link_hello_type, &h);
        return ERR_UNSUPPORTED;
    }
    *out = h;
    return 0;
}

int hello_check(const struct link_hello *h, const uint8_t static_key[CLUSTER_KEY_LEN],
                const struct trust *trust, wall_ns now)
{
    struct trust extended = *trust, shown;

    if ((h->cert == NULL) != (h->purpose == LINK_PURPOSE_JOIN))
        return ERR_MALFORMED;
    if (h->cert == NULL)
        return 0; /* claims nothing; it may only ask to join */
    if (memcmp(h->cert->static_key, static_key, CLUSTER_KEY_LEN) != 0)
        return ERR_UNAUTHENTICATED;
    trust_from_roots(&h->roots, &trust->cluster, &shown);
    trust_follow(&extended, &shown);
    return cert_check(h->cert, &extended, now,
                      h->purpose == LINK_PURPOSE_RENEW ? CERT_RENEWAL_GRACE_NS : 0);
}

int hello_check_as_joiner(const struct link_hello *h, const uint8_t static_key[CLUSTER_KEY_LEN],
                          const struct join_token *token, wall_ns now, struct trust *trust)
{
    struct trust shown, t = { 0 };
    int rc;

    if (h->cert == NULL || h->purpose != LINK_PURPOSE_MEMBER)
        return ERR_MALFORMED;
    t.cluster = h->cert->cluster; /* believed once the root that the token names has signed it */
    trust_from_roots(&h->roots, &t.cluster, &shown);
    for (size_t i = 0; i < shown.root_count && t.root_count == 0; i++) {
        if (token_is_for_root(token, shown.roots[i].key))
            t.roots[t.root_count++] = shown.roots[i];
    }
    if (t.root_count == 0)
        return ERR_WRONG_CLUSTER;
    rc = hello_check(h, static_key, &t, now);
    if (rc < 0)
        return rc;
    if (h->cert->role != ROLE_MANAGER)
        return ERR_FORBIDDEN;
    trust_follow(&t, &shown);
    *trust = t;
    return 0;
}
