/* One pass over the headers, no loops over options: what is behind them is found by lengths. */
#include "overlaynet/frame.h"

#include <string.h>

#include "base/err.h"

#define IP4_HEADER_MIN 20
#define IP6_HEADER_LEN 40
#define TCP_HEADER_MIN 20
#define UDP_HEADER_LEN 8

/* Finds the TCP or UDP header; other protocols have none that we need. */
static int parse_transport(const uint8_t *frame, struct frame_view *v)
{
    size_t room = v->len - v->l4;

    if (v->is_fragment)
        return 0;
    if (v->protocol == FRAME_PROTO_TCP) {
        size_t header;

        if (room < TCP_HEADER_MIN)
            return ERR_MALFORMED;
        header = (size_t)(frame[v->l4 + 12] >> 4) * 4;
        if (header < TCP_HEADER_MIN || header > room)
            return ERR_MALFORMED;
        v->payload = v->l4 + header;
    } else if (v->protocol == FRAME_PROTO_UDP) {
        if (room < UDP_HEADER_LEN)
            return ERR_MALFORMED;
        v->payload = v->l4 + UDP_HEADER_LEN;
    }
    return 0;
}

static int parse_ip4(const uint8_t *frame, size_t len, struct frame_view *v)
{
    const uint8_t *ip = frame + FRAME_ETH_LEN;
    size_t room = len - FRAME_ETH_LEN, header, total;

    if (room < IP4_HEADER_MIN || ip[0] >> 4 != 4)
        return ERR_MALFORMED;
    header = (size_t)(ip[0] & 0x0f) * 4;
    total = frame_get16(ip + 2);
    if (header < IP4_HEADER_MIN || total < header || total > room)
        return ERR_MALFORMED;
    v->version = 4;
    v->protocol = ip[9];
    v->is_fragment = (frame_get16(ip + 6) & 0x3fff) != 0; /* offset or "more fragments" */
    v->len = FRAME_ETH_LEN + total;
    v->l4 = FRAME_ETH_LEN + header;
    return parse_transport(frame, v);
}

static int parse_ip6(const uint8_t *frame, size_t len, struct frame_view *v)
{
    const uint8_t *ip = frame + FRAME_ETH_LEN;
    size_t room = len - FRAME_ETH_LEN, total;

    if (room < IP6_HEADER_LEN || ip[0] >> 4 != 6)
        return ERR_MALFORMED;
    total = IP6_HEADER_LEN + (size_t)frame_get16(ip + 4);
    if (total > room)
        return ERR_MALFORMED;
    v->version = 6;
    v->protocol = ip[6];
    v->is_fragment = v->protocol == FRAME_PROTO_FRAGMENT;
    v->len = FRAME_ETH_LEN + total;
    v->l4 = FRAME_ETH_LEN + IP6_HEADER_LEN;
    return parse_transport(frame, v);
}

int frame_parse(const uint8_t *frame, size_t len, struct frame_view *out)
{
    struct frame_view v = { .len = len };
    int rc = 0;

    if (len < FRAME_ETH_LEN || len > FRAME_LEN_MAX)
        return ERR_MALFORMED;
    v.type = frame_get16(frame + 12);
    if (v.type == FRAME_TYPE_IP4)
        rc = parse_ip4(frame, len, &v);
    else if (v.type == FRAME_TYPE_IP6)
        rc = parse_ip6(frame, len, &v);
    if (rc == 0)
        *out = v;
    return rc;
}

uint64_t frame_sum(uint64_t sum, const uint8_t *bytes, size_t len)
{
    for (; len >= 2; bytes += 2, len -= 2)
        sum += frame_get16(bytes);
    if (len != 0)
        sum += (uint64_t)bytes[0] << 8;
    return sum;
}

uint16_t frame_fold(uint64_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint64_t frame_pseudo_sum(const uint8_t *frame, const struct frame_view *v, size_t l4_len)
{
    const uint8_t *ip = frame + FRAME_ETH_LEN;
    uint64_t sum = (uint64_t)v->protocol + l4_len;

    return v->version == 4 ? frame_sum(sum, ip + 12, 8) : frame_sum(sum, ip + 8, 32);
}

void frame_fix_ip_checksum(uint8_t *frame, const struct frame_view *v)
{
    uint8_t *ip = frame + FRAME_ETH_LEN;

    if (v->version != 4)
        return;
    frame_put16(ip + 10, 0);
    frame_put16(ip + 10, (uint16_t)~frame_fold(frame_sum(0, ip, v->l4 - FRAME_ETH_LEN)));
}
