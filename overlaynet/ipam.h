/* overlaynet/ipam.h - Who has which address: subnets, leases and VNIs. Pure.
 *
 * The managers' control code owns one struct ipam. Nothing here is stored: on becoming leader,
 * control rebuilds it from the replicated objects and then allocates:
 *
 *     ipam_network_restore  for every network        (its subnets and VNI)
 *     ipam_reserve          for every VIP and task address
 *     ipam_network_create, ipam_allocate, ipam_release ..   from then on
 *
 * Subnets are cut from pools: IPv4 from 10.0.0.0/8 in pieces of /24, IPv6 from a unique local
 * prefix (RFC 4193) in pieces of /64, unless the user names a subnet. A subnet that overlaps
 * another network's or a route of a host is never handed out.
 *
 * A lease belongs to an owner, named by any bytes up to IPAM_OWNER_LEN_MAX: a task's or a
 * service's id. An owner has at most one lease for each network and family, so allocating again
 * returns the same address: a decision may be recomputed at no cost.
 *
 * Reuse is late: allocation goes round the subnet and takes a released address again only after
 * all others, because caches elsewhere still map it to its last owner. The order of calls alone
 * decides what comes out. The first address of a subnet is its gateway; the network and broadcast
 * addresses are never leased. In IPv6 the lowest 2^20 addresses of a subnet are used.
 *
 * Functions that can refuse a user's wish take a struct ipam_why and put a sentence in it that
 * names the network, the value and the figures. Not thread-safe. */
#ifndef OVERLAYNET_IPAM_H
#define OVERLAYNET_IPAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "overlaynet/ip.h"

#define IPAM_OWNER_LEN_MAX      64
#define IPAM_NETWORKS_MAX       65536
#define IPAM_ROUTES_MAX         4096
#define IPAM_SUBNET4_BITS_MIN   12 /* the largest subnet: a million addresses */
#define IPAM_SUBNET4_BITS_MAX   29 /* the smallest: five addresses beside the gateway */
#define IPAM_SUBNET6_BITS_MIN   48
#define IPAM_SUBNET6_BITS_MAX   120
#define IPAM_SUBNET6_LEASES_MAX (UINT64_C(1) << 20)
#define IPAM_VNI_MIN            4096 /* lower ones are not usable on every system */
#define IPAM_VNI_MAX            16777215

struct ipam;

struct ipam_config {
    struct ip_prefix pool4; /* none = 10.0.0.0/8 */
    uint8_t subnet4_bits;   /* what an automatic subnet gets; 0 = 24 */
    struct ip_prefix pool6; /* none = no automatic IPv6 subnets: a unique local prefix is the
                             * cluster's own random choice; see ipam_ula() */
    uint64_t seed;          /* spreads internal hash tables; results do not depend on it */
};

/* The subnets and the VNI of a network: what is stored with the network object. */
struct ipam_network {
    struct ip_prefix subnet4; /* none or IPv4 */
    struct ip_addr gateway4;  /* none = the first address */
    struct ip_prefix subnet6; /* none or IPv6 */
    struct ip_addr gateway6;
    uint32_t vni; /* 0 = choose one */
};

struct ipam_usage {
    uint64_t size4, leased4; /* leasable addresses and how many of them are leased */
    uint64_t size6, leased6;
};

/* Why something was refused, for the user who asked. */
struct ipam_why {
    char text[240];
};

/* Creates an empty table. Copies `cfg`. The caller owns *out: ipam_free().
 *   ERR_INVALID (a pool of the wrong family or size), -ENOMEM */
NODISCARD int ipam_new(const struct ipam_config *cfg, struct ipam **out);
void ipam_free(struct ipam *t); /* accepts NULL */

/* The /48 unique local prefix of 40 random bits: RFC 4193 section 3.2.1. */
struct ip_prefix ipam_ula(const uint8_t random[5]);

/* Replaces the list of routes that hosts have and that automatic subnets keep away from; named
 * subnets that overlap are refused. Networks that exist keep their subnets: see
 * ipam_route_clash(). Copies.  ERR_FULL (IPAM_ROUTES_MAX), -ENOMEM */
NODISCARD int ipam_routes_set(struct ipam *t, const struct ip_prefix *routes, size_t count);

/* True when a subnet of the network overlaps a host's route; fills `why` (may be NULL). */
bool ipam_route_clash(const struct ipam *t, struct slice network, struct ipam_why *why);

/* Adds a network. `want` names what the user asked for; what is none or 0 is chosen. `want6`
 * asks for an automatic IPv6 subnet. The result is what must be stored. Borrows `network` (the
 * key: its id, up to IPAM_OWNER_LEN_MAX bytes) and copies it. Networks whose `subnet4` and
 * `subnet6` are both none get an automatic IPv4 subnet.
 *   ERR_EXISTS (the id), ERR_CONFLICT (overlaps another network or a route; VNI in use),
 *   ERR_INVALID (size, family, gateway outside), ERR_EXHAUSTED (no free piece in the pool, no
 *   free VNI; `why` has the figures), ERR_FULL, -ENOMEM */
NODISCARD int ipam_network_create(struct ipam *t, struct slice network,
                                  const struct ipam_network *want, bool want6,
                                  struct ipam_network *out, struct ipam_why *why);

/* Adds a network as stored. Unlike creation it accepts overlaps with routes: the network exists.
 *   ERR_EXISTS, ERR_CONFLICT (another network's subnet or VNI), ERR_INVALID, ERR_FULL, -ENOMEM */
NODISCARD int ipam_network_restore(struct ipam *t, struct slice network,
                                   const struct ipam_network *stored, struct ipam_why *why);

/* Forgets a network with all its leases; unknown is no error. Its VNI is reused late. */
void ipam_network_remove(struct ipam *t, struct slice network);

/* The network as added; NULL when unknown. Borrows until the network is removed. */
const struct ipam_network *ipam_network_get(const struct ipam *t, struct slice network);

/* Leases the next free address of one family (IP4_LEN or IP6_LEN) to `owner`; one that the owner
 * has already is returned again.
 *   ERR_NOT_FOUND (network, or it has no subnet of the family), ERR_EXHAUSTED (`why`: "network
 *   back: 253 of 253 addresses of 10.0.3.0/24 are leased"), ERR_TOO_LARGE (owner), -ENOMEM */
NODISCARD int ipam_allocate(struct ipam *t, struct slice network, struct slice owner,
                            uint8_t family_len, struct ip_addr *out, struct ipam_why *why);

/* Leases a certain address: on rebuild, and where a user names one. Repeating it is no error.
 *   ERR_NOT_FOUND (network), ERR_INVALID (outside the subnet, network or broadcast address, the
 *   gateway), ERR_CONFLICT (leased to another owner, or the owner has another one), -ENOMEM */
NODISCARD int ipam_reserve(struct ipam *t, struct slice network, struct slice owner,
                           const struct ip_addr *addr, struct ipam_why *why);

/* The owner's address; none when it has none there. */
struct ip_addr ipam_lookup(const struct ipam *t, struct slice network, struct slice owner,
                           uint8_t family_len);

/* Gives back what the owner has in the network, in both families; nothing is no error. */
void ipam_release(struct ipam *t, struct slice network, struct slice owner);

/* Figures of a network.  ERR_NOT_FOUND */
NODISCARD int ipam_usage(const struct ipam *t, struct slice network, struct ipam_usage *out);

#endif /* OVERLAYNET_IPAM_H */
