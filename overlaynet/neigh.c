/* The reply goes to the asker alone, as if the owner had sent it. */
#include "overlaynet/neigh.h"

#include <string.h>

#define ARP_REQUEST               1
#define ARP_REPLY                 2
#define SOLICIT                   135
#define ADVERT                    136
#define ADVERT_SOLICITED_OVERRIDE 0x60

struct ip_addr neigh_question(const uint8_t *frame, const struct frame_view *v)
{
    struct ip_addr a = { 0 };

    if (v->type == FRAME_TYPE_ARP && frame[FRAME_ETH_LEN + 7] == ARP_REQUEST) {
        a.len = IP4_LEN;
        memcpy(a.bytes, frame + FRAME_ETH_LEN + 24, IP4_LEN);
    } else if (v->version == 6 && frame[v->l4] == SOLICIT) {
        a.len = IP6_LEN;
        memcpy(a.bytes, frame + v->l4 + 8, IP6_LEN);
    }
    return a;
}

static size_t answer_arp(const uint8_t *frame, const uint8_t *mac, uint8_t *out)
{
    const uint8_t *ask = frame + FRAME_ETH_LEN;
    uint8_t *arp = out + FRAME_ETH_LEN;

    memcpy(arp, ask, 7); /* types and lengths */
    arp[7] = ARP_REPLY;
    memcpy(arp + 8, mac, FRAME_MAC_LEN);
    memcpy(arp + 14, ask + 24, IP4_LEN);
    memcpy(arp + 18, ask + 8, FRAME_MAC_LEN + IP4_LEN); /* the asker */
    return FRAME_ETH_LEN + 28;
}

static size_t answer_solicitation(const uint8_t *frame, const struct frame_view *v,
                                  const uint8_t *mac, uint8_t *out)
{
    uint8_t *ip = out + FRAME_ETH_LEN, *icmp = ip + 40;
    struct frame_view reply = { .version = 6, .protocol = FRAME_PROTO_ICMP6 };
    uint64_t sum;

    memset(ip, 0, 72);
    ip[0] = 0x60;
    frame_put16(ip + 4, 32);
    ip[6] = FRAME_PROTO_ICMP6;
    ip[7] = 255; /* RFC 4861 7.1.2: proves that no router passed it on */
    memcpy(ip + 8, frame + v->l4 + 8, IP6_LEN);
    memcpy(ip + 24, frame + FRAME_ETH_LEN + 8, IP6_LEN);
    icmp[0] = ADVERT;
    icmp[4] = ADVERT_SOLICITED_OVERRIDE;
    memcpy(icmp + 8, frame + v->l4 + 8, IP6_LEN);
    icmp[24] = 2; /* target link-layer address, one unit of eight bytes */
    icmp[25] = 1;
    memcpy(icmp + 26, mac, FRAME_MAC_LEN);
    sum = frame_sum(frame_pseudo_sum(out, &reply, 32), icmp, 32);
    frame_put16(icmp + 2, (uint16_t)~frame_fold(sum));
    return FRAME_ETH_LEN + 72;
}

size_t neigh_answer(const uint8_t *frame, const struct frame_view *v,
                    const uint8_t mac[FRAME_MAC_LEN], uint8_t out[NEIGH_REPLY_LEN_MAX])
{
    memcpy(out, frame_source(frame), FRAME_MAC_LEN);
    memcpy(out + FRAME_MAC_LEN, mac, FRAME_MAC_LEN);
    memcpy(out + 12, frame + 12, 2);
    return v->type == FRAME_TYPE_ARP ? answer_arp(frame, mac, out)
                                     : answer_solicitation(frame, v, mac, out);
}
