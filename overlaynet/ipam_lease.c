/* Leases as a bitmap and an owner table for each network. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/err.h"
#include "overlaynet/ipam_impl.h"

static const struct ip_prefix *subnet_of(const struct network *n, int family)
{
    return family == FAMILY4 ? &n->subnets.subnet4 : &n->subnets.subnet6;
}

/* The owner's lease record, made if needed. */
static int get_lease(struct network *n, struct slice owner, struct lease **out)
{
    struct lease *l = map_get(&n->leases, owner);
    int rc;

    if (owner.len == 0 || owner.len > IPAM_OWNER_LEN_MAX)
        return ERR_TOO_LARGE;
    if (l == NULL) {
        l = malloc(sizeof(*l));
        if (l == NULL)
            return -ENOMEM;
        *l = (struct lease){ .offset = { IP_RANGE_NONE, IP_RANGE_NONE } };
        rc = map_set(&n->leases, owner, l);
        if (rc < 0) {
            free(l);
            return rc;
        }
    }
    *out = l;
    return 0;
}

static void drop_lease_if_empty(struct network *n, struct slice owner, struct lease *l)
{
    if (l->offset[FAMILY4] != IP_RANGE_NONE || l->offset[FAMILY6] != IP_RANGE_NONE)
        return;
    (void)map_remove(&n->leases, owner); /* `l` itself */
    free(l);
}

int ipam_allocate(struct ipam *t, struct slice network, struct slice owner, uint8_t family_len,
                  struct ip_addr *out, struct ipam_why *why)
{
    int family = family_len == IP4_LEN ? FAMILY4 : FAMILY6;
    struct network *n = map_get(&t->networks, network);
    struct lease *l = NULL;
    struct ip_range *r;
    uint64_t offset;
    int rc;

    if (n == NULL || subnet_of(n, family)->addr.len == 0) {
        ipam_explain(why, "network %.*s: %s", TEXT(network),
                     n == NULL ? "unknown" : "has no subnet of that address family");
        return ERR_NOT_FOUND;
    }
    r = &n->range[family];
    rc = get_lease(n, owner, &l);
    if (rc < 0)
        return rc;
    offset = l->offset[family];
    if (offset == IP_RANGE_NONE) {
        offset = ip_range_next(r);
        rc = offset == IP_RANGE_NONE ? ERR_EXHAUSTED : ip_range_mark(r, offset);
        if (rc < 0) {
            char text[IP_PREFIX_TEXT_MAX];

            ipam_explain(why, "network %.*s: %" PRIu64 " of %" PRIu64 " addresses of %s are leased",
                         TEXT(network), r->leased, ip_range_size(r),
                         ip_prefix_format(subnet_of(n, family), text));
            drop_lease_if_empty(n, owner, l);
            return rc;
        }
        ip_range_advance(r, offset);
        l->offset[family] = offset;
    }
    *out = ip_prefix_at(subnet_of(n, family), offset);
    return 0;
}

int ipam_reserve(struct ipam *t, struct slice network, struct slice owner,
                 const struct ip_addr *addr, struct ipam_why *why)
{
    int family = addr->len == IP4_LEN ? FAMILY4 : FAMILY6;
    struct network *n = map_get(&t->networks, network);
    struct lease *l = NULL;
    struct ip_range *r;
    uint64_t offset;
    char text[IP_TEXT_MAX];
    int rc;

    (void)ip_format(addr, text);
    if (n == NULL) {
        ipam_explain(why, "network %.*s: unknown", TEXT(network));
        return ERR_NOT_FOUND;
    }
    r = &n->range[family];
    if (!ip_prefix_has(subnet_of(n, family), addr) ||
        (offset = ip_prefix_offset(subnet_of(n, family), addr)) < r->first || offset > r->last ||
        offset == r->gateway) {
        ipam_explain(why, "network %.*s: %s cannot be leased: it is outside the subnet or reserved",
                     TEXT(network), text);
        return ERR_INVALID;
    }
    rc = get_lease(n, owner, &l);
    if (rc < 0)
        return rc;
    if (l->offset[family] == offset)
        return 0;
    if (l->offset[family] != IP_RANGE_NONE || ip_range_used(r, offset)) {
        ipam_explain(why, "network %.*s: %s: %s", TEXT(network), text,
                     l->offset[family] != IP_RANGE_NONE ? "the owner has another address"
                                                        : "leased to another owner");
        rc = ERR_CONFLICT;
    } else {
        rc = ip_range_mark(r, offset);
    }
    if (rc < 0) {
        drop_lease_if_empty(n, owner, l);
        return rc;
    }
    l->offset[family] = offset;
    if (offset >= r->cursor) /* after a rebuild, go on behind the highest lease */
        ip_range_advance(r, offset);
    return 0;
}

struct ip_addr ipam_lookup(const struct ipam *t, struct slice network, struct slice owner,
                           uint8_t family_len)
{
    int family = family_len == IP4_LEN ? FAMILY4 : FAMILY6;
    const struct network *n = map_get(&t->networks, network);
    const struct lease *l = n == NULL ? NULL : map_get(&n->leases, owner);

    if (l == NULL || l->offset[family] == IP_RANGE_NONE)
        return (struct ip_addr){ 0 };
    return ip_prefix_at(subnet_of(n, family), l->offset[family]);
}

void ipam_release(struct ipam *t, struct slice network, struct slice owner)
{
    struct network *n = map_get(&t->networks, network);
    struct lease *l = n == NULL ? NULL : map_remove(&n->leases, owner);

    if (l == NULL)
        return;
    for (int f = 0; f < FAMILIES; f++)
        if (l->offset[f] != IP_RANGE_NONE)
            ip_range_clear(&n->range[f], l->offset[f]);
    free(l);
}

int ipam_usage(const struct ipam *t, struct slice network, struct ipam_usage *out)
{
    const struct network *n = map_get(&t->networks, network);

    if (n == NULL)
        return ERR_NOT_FOUND;
    *out = (struct ipam_usage){
        .size4 = ip_range_size(&n->range[FAMILY4]),
        .leased4 = n->range[FAMILY4].leased,
        .size6 = ip_range_size(&n->range[FAMILY6]),
        .leased6 = n->range[FAMILY6].leased,
    };
    return 0;
}
