/* overlaynet/frame.h - Finding the headers of an Ethernet frame, and Internet checksums. Pure.
 *
 * Frames come from containers and from other hosts: every length in them is checked before it is
 * used. A view borrows nothing; it is offsets into the frame it was made from. */
#ifndef OVERLAYNET_FRAME_H
#define OVERLAYNET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define FRAME_ETH_LEN 14
#define FRAME_MAC_LEN 6
#define FRAME_LEN_MAX (FRAME_ETH_LEN + 65535)

#define FRAME_TYPE_IP4 0x0800
#define FRAME_TYPE_ARP 0x0806
#define FRAME_TYPE_IP6 0x86dd

#define FRAME_PROTO_HOPOPTS  0
#define FRAME_PROTO_TCP      6
#define FRAME_PROTO_UDP      17
#define FRAME_PROTO_ROUTING  43
#define FRAME_PROTO_FRAGMENT 44
#define FRAME_PROTO_ICMP6    58
#define FRAME_PROTO_DSTOPTS  60

struct frame_view {
    size_t len;       /* of the frame without padding after the IP packet */
    uint16_t type;    /* EtherType */
    uint8_t version;  /* 4 or 6; 0 = not IP */
    uint8_t protocol; /* of IP; the first next-header in IPv6 */
    bool is_fragment; /* not the whole IP packet: no transport header is looked for */
    size_t l4;        /* offset of the transport header; 0 = none that we know */
    size_t payload;   /* offset behind the TCP or UDP header; 0 = neither */
};

/*   ERR_MALFORMED  a header is cut off or its lengths contradict the frame's */
NODISCARD int frame_parse(const uint8_t *frame, size_t len, struct frame_view *out);

static inline bool frame_is_group(const uint8_t *frame)
{
    return (frame[0] & 1) != 0;
}

static inline const uint8_t *frame_source(const uint8_t *frame)
{
    return frame + FRAME_MAC_LEN;
}

static inline uint16_t frame_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t frame_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void frame_put16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void frame_put32(uint8_t *p, uint32_t value)
{
    frame_put16(p, value >> 16);
    frame_put16(p + 2, value & 0xffff);
}

/* RFC 1071: sums 16-bit words into `sum`, padding an odd end with zero; fold at the end. */
uint64_t frame_sum(uint64_t sum, const uint8_t *bytes, size_t len);
uint16_t frame_fold(uint64_t sum); /* not complemented */

/* Sum of the pseudo-header (RFC 9293 s. 3.1, RFC 8200 s. 8.1) for `l4_len` bytes. */
uint64_t frame_pseudo_sum(const uint8_t *frame, const struct frame_view *v, size_t l4_len);

/* Recomputes the IPv4 header checksum; nothing for IPv6. */
void frame_fix_ip_checksum(uint8_t *frame, const struct frame_view *v);

/* Where the checksum of the TCP or UDP header is, from its start. */
static inline size_t frame_checksum_offset(uint8_t protocol)
{
    return protocol == FRAME_PROTO_TCP ? 16 : 6;
}

#endif /* OVERLAYNET_FRAME_H */
