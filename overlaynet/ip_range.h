/* overlaynet/ip_range.h - Which offsets of a subnet are leased. Pure; private to address
 * allocation. */
#ifndef OVERLAYNET_IP_RANGE_H
#define OVERLAYNET_IP_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "overlaynet/ip.h"

#define IP_RANGE_NONE UINT64_MAX

/* The leasable offsets of a subnet are first..last; the gateway is skipped. */
struct ip_range {
    uint64_t first, last;
    uint64_t gateway; /* offset, or IP_RANGE_NONE when outside first..last */
    uint64_t cursor;  /* where the next search starts */
    uint64_t leased;
    uint64_t *words; /* bitmap; offsets beyond it are free */
    size_t word_count;
};

/* Nothing can be leased from a subnet without an address. */
void ip_range_init(struct ip_range *r, const struct ip_prefix *subnet,
                   const struct ip_addr *gateway);
void ip_range_deinit(struct ip_range *r);

uint64_t ip_range_size(const struct ip_range *r); /* all that can be leased, without the gateway */
bool ip_range_used(const struct ip_range *r, uint64_t offset);

/* Leases a free offset.  -ENOMEM */
NODISCARD int ip_range_mark(struct ip_range *r, uint64_t offset);
void ip_range_clear(struct ip_range *r, uint64_t offset); /* must be leased */

/* The free offset that is to be given out next, or IP_RANGE_NONE. */
uint64_t ip_range_next(const struct ip_range *r);
void ip_range_advance(struct ip_range *r, uint64_t taken); /* the next search starts behind it */

#endif /* OVERLAYNET_IP_RANGE_H */
