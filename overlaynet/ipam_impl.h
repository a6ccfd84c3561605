/* overlaynet/ipam_impl.h - What the files of the address table share. Private to the folder.
 *
 * struct ipam -> networks (in order of creation) -> two ranges (IPv4, IPv6). */
#ifndef OVERLAYNET_IPAM_IMPL_H
#define OVERLAYNET_IPAM_IMPL_H

#include "base/map.h"
#include "overlaynet/ip_range.h"
#include "overlaynet/ipam.h"

enum { FAMILY4, FAMILY6, FAMILIES };

struct lease {
    uint64_t offset[FAMILIES]; /* IP_RANGE_NONE = none */
};

struct network {
    struct ipam_network subnets;
    struct ip_range range[FAMILIES];
    struct map leases; /* owner -> struct lease */
    size_t name_len;
    uint8_t name[IPAM_OWNER_LEN_MAX];
};

struct ipam {
    struct ipam_config cfg;
    struct hash_seed seed;
    struct map networks; /* id -> struct network */
    struct map vnis;     /* number -> struct network */
    struct ip_prefix *routes;
    size_t route_count;
    uint32_t vni_cursor;
    uint64_t pool_cursor[FAMILIES]; /* piece of the pool where the next search starts */
};

/* An id as printf arguments for "%.*s". */
#define TEXT(s) (int)(s).len, (const char *)(s).ptr

PRINTF_LIKE(2, 3) void ipam_explain(struct ipam_why *why, const char *format, ...);

#endif /* OVERLAYNET_IPAM_IMPL_H */
