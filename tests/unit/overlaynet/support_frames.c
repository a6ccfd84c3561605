#include "support_frames.h"

#include <stdlib.h>
#include <string.h>

const struct guard_identity alice = { .mac = { 2, 0, 0, 0, 0, 1 },
                                      .has_ip4 = true,
                                      .has_ip6 = true,
                                      .ip4 = { 10, 0, 9, 1 },
                                      .ip6 = { 0xfd, 0, 0, 9, [15] = 1 } };
const struct guard_identity bob = { .mac = { 2, 0, 0, 0, 0, 2 },
                                    .has_ip4 = true,
                                    .has_ip6 = true,
                                    .ip4 = { 10, 0, 9, 2 },
                                    .ip6 = { 0xfd, 0, 0, 9, [15] = 2 } };

static size_t put_ip4(const struct frame_recipe *r, size_t l4_len, uint8_t *ip)
{
    memset(ip, 0, 20);
    ip[0] = 0x45;
    frame_put16(ip + 2, (unsigned)(20 + l4_len));
    frame_put16(ip + 4, r->ip_id);
    ip[6] = r->dont_fragment ? 0x40 : 0;
    ip[8] = 64;
    ip[9] = r->protocol;
    memcpy(ip + 12, alice.ip4, 4);
    memcpy(ip + 16, bob.ip4, 4);
    frame_put16(ip + 10, (uint16_t)~frame_fold(frame_sum(0, ip, 20)));
    return 20;
}

static size_t put_ip6(const struct frame_recipe *r, size_t l4_len, uint8_t *ip)
{
    memset(ip, 0, 40);
    ip[0] = 0x60;
    frame_put16(ip + 4, (unsigned)l4_len);
    ip[6] = r->protocol;
    ip[7] = 64;
    memcpy(ip + 8, alice.ip6, 16);
    memcpy(ip + 24, bob.ip6, 16);
    return 40;
}

size_t frame_make(const struct frame_recipe *r, uint8_t *out)
{
    size_t header = r->protocol == FRAME_PROTO_TCP   ? 20U + r->tcp_options
                    : r->protocol == FRAME_PROTO_UDP ? 8
                                                     : 0;
    size_t l4_len = header + r->payload_len, len = FRAME_ETH_LEN;
    struct frame_view v = { .version = r->version, .protocol = r->protocol };
    uint8_t *l4;

    memcpy(out, bob.mac, 6);
    memcpy(out + 6, alice.mac, 6);
    frame_put16(out + 12, r->version == 4 ? FRAME_TYPE_IP4 : FRAME_TYPE_IP6);
    len += r->version == 4 ? put_ip4(r, l4_len, out + len) : put_ip6(r, l4_len, out + len);
    l4 = out + len;
    memset(l4, 0, header);
    for (size_t i = 0; i < r->payload_len; i++)
        l4[header + i] = (uint8_t)(i % 251);
    if (header != 0) {
        frame_put16(l4, r->source_port != 0 ? r->source_port : 1000);
        frame_put16(l4 + 2, 80);
        frame_put16(l4 + frame_checksum_offset(r->protocol),
                    frame_fold(frame_pseudo_sum(out, &v, l4_len)));
    }
    if (r->protocol == FRAME_PROTO_TCP) {
        frame_put32(l4 + 4, r->seq);
        l4[12] = (uint8_t)(header / 4 << 4);
        l4[13] = r->tcp_flags;
        memset(l4 + 20, 1, r->tcp_options); /* no-operation */
    } else if (r->protocol == FRAME_PROTO_UDP) {
        frame_put16(l4 + 4, (unsigned)l4_len);
    }
    return len + l4_len;
}

void frame_complete(uint8_t *frame, size_t len)
{
    struct frame_view v;
    uint8_t *field;

    if (frame_parse(frame, len, &v) < 0 || v.payload == 0)
        abort();
    field = frame + v.l4 + frame_checksum_offset(v.protocol);
    frame_put16(field, (uint16_t)~frame_fold(frame_sum(0, frame + v.l4, v.len - v.l4)));
}

int frame_is_sound(const uint8_t *frame, size_t len)
{
    uint8_t *copy = malloc(len);
    struct frame_view v;
    int is_sound = 1;

    memcpy(copy, frame, len);
    if (frame_parse(copy, len, &v) < 0 || v.len != len || v.payload == 0) {
        is_sound = 0;
    } else {
        if (v.version == 4 &&
            frame_fold(frame_sum(0, copy + FRAME_ETH_LEN, v.l4 - FRAME_ETH_LEN)) != 0xffff)
            is_sound = 0;
        if (frame_fold(frame_sum(frame_pseudo_sum(copy, &v, v.len - v.l4), copy + v.l4,
                                 v.len - v.l4)) != 0xffff)
            is_sound = 0;
    }
    free(copy);
    return is_sound;
}
