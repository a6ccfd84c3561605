/* Straight-line rules: identity first, then protocol, then destination. */
#include "overlaynet/guard.h"

#include <string.h>

#define ARP_LEN                 28
#define ICMP6_ROUTER_SOLICIT    133
#define ICMP6_NEIGHBOUR_SOLICIT 135
#define ICMP6_NEIGHBOUR_ADVERT  136
#define ICMP6_REDIRECT          137
#define DHCP4_SERVER_PORT       67
#define DHCP6_SERVER_PORT       547

static bool owns_ip4(const struct guard_identity *who, const uint8_t *ip)
{
    return who->any_source || (who->has_ip4 && memcmp(ip, who->ip4, 4) == 0);
}

static bool owns_ip6(const struct guard_identity *who, const uint8_t *ip)
{
    return who->any_source || (who->has_ip6 && memcmp(ip, who->ip6, 16) == 0);
}

/* RFC 826: Ethernet and IPv4, request or reply, about the sender's own address only. */
static enum guard_verdict check_arp(const uint8_t *frame, size_t len,
                                    const struct guard_identity *who)
{
    static const uint8_t fixed[] = { 0, 1, 8, 0, 6, 4, 0 };
    const uint8_t *arp = frame + FRAME_ETH_LEN;

    if (len < FRAME_ETH_LEN + ARP_LEN || memcmp(arp, fixed, sizeof(fixed)) != 0 ||
        (arp[7] != 1 && arp[7] != 2))
        return GUARD_FORBIDDEN;
    if (memcmp(arp + 8, who->mac, FRAME_MAC_LEN) != 0 || !who->has_ip4 ||
        memcmp(arp + 14, who->ip4, 4) != 0)
        return GUARD_FORGED_SOURCE;
    return GUARD_RESOLVE;
}

/* RFC 4861: router messages and redirects are never a container's to send; an advertisement is for
 * its own address only. */
static enum guard_verdict check_icmp6(const uint8_t *frame, const struct frame_view *v,
                                      const struct guard_identity *who)
{
    const uint8_t *icmp = frame + v->l4;

    if (v->len < v->l4 + 4)
        return GUARD_FORBIDDEN;
    if (icmp[0] < ICMP6_ROUTER_SOLICIT || icmp[0] > ICMP6_REDIRECT)
        return frame_is_group(frame) ? GUARD_GROUP : GUARD_PASS;
    if (icmp[0] != ICMP6_NEIGHBOUR_SOLICIT && icmp[0] != ICMP6_NEIGHBOUR_ADVERT)
        return GUARD_FORBIDDEN;
    if (v->len < v->l4 + 24)
        return GUARD_FORBIDDEN;
    if (icmp[0] == ICMP6_NEIGHBOUR_ADVERT && (!who->has_ip6 || memcmp(icmp + 8, who->ip6, 16) != 0))
        return GUARD_FORGED_SOURCE;
    return GUARD_RESOLVE;
}

static bool is_dhcp_server(const uint8_t *frame, const struct frame_view *v)
{
    uint16_t port;

    if (v->protocol != FRAME_PROTO_UDP || v->payload == 0)
        return false;
    port = frame_get16(frame + v->l4);
    return port == (v->version == 4 ? DHCP4_SERVER_PORT : DHCP6_SERVER_PORT);
}

enum guard_verdict guard_check(const uint8_t *frame, const struct frame_view *v,
                               const struct guard_identity *who)
{
    const uint8_t *ip = frame + FRAME_ETH_LEN;

    if (memcmp(frame_source(frame), who->mac, FRAME_MAC_LEN) != 0)
        return GUARD_FORGED_SOURCE;
    if (v->type == FRAME_TYPE_ARP)
        return check_arp(frame, v->len, who);
    if (v->version == 0)
        return GUARD_FORBIDDEN;
    if (v->version == 4 ? !owns_ip4(who, ip + 12) : !owns_ip6(who, ip + 8))
        return GUARD_FORGED_SOURCE;
    if (v->version == 6) {
        if (v->protocol == FRAME_PROTO_HOPOPTS || v->protocol == FRAME_PROTO_ROUTING ||
            v->protocol == FRAME_PROTO_DSTOPTS)
            return GUARD_FORBIDDEN;
        if (v->protocol == FRAME_PROTO_ICMP6)
            return check_icmp6(frame, v, who);
    }
    if (is_dhcp_server(frame, v))
        return GUARD_FORBIDDEN;
    return frame_is_group(frame) ? GUARD_GROUP : GUARD_PASS;
}
