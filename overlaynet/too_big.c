/* As much of the packet as its sender needs to find the connection: headers and eight bytes. */
#include "overlaynet/too_big.h"

#include <string.h>

#include "overlaynet/ip.h"

#define PROTO_ICMP4                1
#define ICMP4_UNREACHABLE          3
#define ICMP4_FRAGMENTATION_NEEDED 4
#define ICMP6_TOO_BIG              2
#define ICMP6_INFORMATIONAL        128

/* RFC 1122 3.2.2: no error about an error. */
static bool is_error(const uint8_t *frame, const struct frame_view *v)
{
    uint8_t type = v->len > v->l4 ? frame[v->l4] : 0;

    if (v->version == 6)
        return v->protocol == FRAME_PROTO_ICMP6 && type < ICMP6_INFORMATIONAL;
    return v->protocol == PROTO_ICMP4 && (type == 3 || type == 4 || type == 5 || type == 11);
}

static size_t answer_ip4(const uint8_t *frame, const struct frame_view *v, uint32_t mtu,
                         uint8_t *out)
{
    const uint8_t *ask = frame + FRAME_ETH_LEN;
    size_t quoted = MIN(v->len - FRAME_ETH_LEN, MIN(v->l4 - FRAME_ETH_LEN + 8, 64));
    struct frame_view reply = { .version = 4, .l4 = FRAME_ETH_LEN + 20 };
    uint8_t *ip = out + FRAME_ETH_LEN, *icmp = ip + 20;

    memset(ip, 0, 28);
    ip[0] = 0x45;
    frame_put16(ip + 2, (unsigned)(28 + quoted));
    ip[8] = 64;
    ip[9] = PROTO_ICMP4;
    memcpy(ip + 12, ask + 16, IP4_LEN);
    memcpy(ip + 16, ask + 12, IP4_LEN);
    frame_fix_ip_checksum(out, &reply);
    icmp[0] = ICMP4_UNREACHABLE;
    icmp[1] = ICMP4_FRAGMENTATION_NEEDED;
    frame_put16(icmp + 6, mtu);
    memcpy(icmp + 8, ask, quoted);
    frame_put16(icmp + 2, (uint16_t)~frame_fold(frame_sum(0, icmp, 8 + quoted)));
    return FRAME_ETH_LEN + 28 + quoted;
}

static size_t answer_ip6(const uint8_t *frame, const struct frame_view *v, uint32_t mtu,
                         uint8_t *out)
{
    const uint8_t *ask = frame + FRAME_ETH_LEN;
    size_t quoted = MIN(v->len - FRAME_ETH_LEN, 64);
    struct frame_view reply = { .version = 6, .protocol = FRAME_PROTO_ICMP6 };
    uint8_t *ip = out + FRAME_ETH_LEN, *icmp = ip + 40;

    memset(ip, 0, 48);
    ip[0] = 0x60;
    frame_put16(ip + 4, (unsigned)(8 + quoted));
    ip[6] = FRAME_PROTO_ICMP6;
    ip[7] = 64;
    memcpy(ip + 8, ask + 24, IP6_LEN);
    memcpy(ip + 24, ask + 8, IP6_LEN);
    icmp[0] = ICMP6_TOO_BIG;
    frame_put32(icmp + 4, mtu);
    memcpy(icmp + 8, ask, quoted);
    frame_put16(icmp + 2, (uint16_t)~frame_fold(frame_sum(frame_pseudo_sum(out, &reply, 8 + quoted),
                                                          icmp, 8 + quoted)));
    return FRAME_ETH_LEN + 48 + quoted;
}

size_t too_big_answer(const uint8_t *frame, const struct frame_view *v, uint32_t mtu,
                      uint8_t out[TOO_BIG_LEN_MAX])
{
    if (v->version == 0 || is_error(frame, v))
        return 0;
    memcpy(out, frame_source(frame), FRAME_MAC_LEN);
    memcpy(out + FRAME_MAC_LEN, frame, FRAME_MAC_LEN);
    memcpy(out + 12, frame + 12, 2);
    return v->version == 4 ? answer_ip4(frame, v, mtu, out) : answer_ip6(frame, v, mtu, out);
}
