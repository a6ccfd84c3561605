/* overlaynet/ip.h - Addresses and prefixes of both families, and their text. Pure. */
#ifndef OVERLAYNET_IP_H
#define OVERLAYNET_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define IP4_LEN            4
#define IP6_LEN            16
#define IP_TEXT_MAX        48 /* with the NUL: "ffff:...:255.255.255.255" is 45 characters */
#define IP_PREFIX_TEXT_MAX 52 /* an address, '/', three digits, NUL */

/* All zero is "none", so absent addresses need no flag. */
struct ip_addr {
    uint8_t len;            /* IP4_LEN, IP6_LEN, or 0 for none */
    uint8_t bytes[IP6_LEN]; /* network order; those after len are zero */
};

struct ip_prefix {
    struct ip_addr addr; /* the network's own address: host bits are zero */
    uint8_t bits;        /* 0 to 8 * addr.len */
};

struct ip_endpoint {
    struct ip_addr addr;
    uint16_t port; /* host order */
};

struct ip_addr ip4_of_u32(uint32_t host_order);
uint32_t ip4_to_u32(const struct ip_addr *a); /* host order; `a` is an IPv4 address */

static inline bool ip_is_none(const struct ip_addr *a)
{
    return a->len == 0;
}

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);
int ip_cmp(const struct ip_addr *a, const struct ip_addr *b); /* IPv4 sorts before IPv6 */

bool ip_prefix_has(const struct ip_prefix *p, const struct ip_addr *a); /* false across families */
bool ip_prefix_overlap(const struct ip_prefix *a, const struct ip_prefix *b);
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);

/* The address `offset` places after the first one of the prefix; none when it lies outside. */
struct ip_addr ip_prefix_at(const struct ip_prefix *p, uint64_t offset);
/* The inverse, saturating at UINT64_MAX; `a` must be inside. */
uint64_t ip_prefix_offset(const struct ip_prefix *p, const struct ip_addr *a);
/* How many addresses, saturating at UINT64_MAX. */
uint64_t ip_prefix_size(const struct ip_prefix *p);

/* Texts: "10.0.3.9", "fd00::9", "10.0.3.0/24". ip_prefix_parse refuses host bits that are set,
 * because a typing error there silently means another network.
 *   ERR_MALFORMED; *out is written only on success */
NODISCARD int ip_parse(struct slice text, struct ip_addr *out);
NODISCARD int ip_prefix_parse(struct slice text, struct ip_prefix *out);

/* Canonical (RFC 5952) text, NUL-terminated; returns `out`. None is "-". */
const char *ip_format(const struct ip_addr *a, char out[IP_TEXT_MAX]);
const char *ip_prefix_format(const struct ip_prefix *p, char out[IP_PREFIX_TEXT_MAX]);

#endif /* OVERLAYNET_IP_H */
