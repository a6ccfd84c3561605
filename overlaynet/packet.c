/* Octets in, fields out. Anything that is not exactly ours is refused here. */
#include "overlaynet/packet.h"

#include "base/err.h"

#define VXLAN_I_BIT 0x08

void packet_header_write(const struct packet_header *h, uint8_t out[PACKET_HEADER_LEN])
{
    out[0] = VXLAN_I_BIT;
    out[1] = (uint8_t)(PACKET_VERSION << 4 | h->type);
    out[2] = (uint8_t)(h->session >> 8);
    out[3] = (uint8_t)h->session;
    out[4] = (uint8_t)(h->vni >> 16);
    out[5] = (uint8_t)(h->vni >> 8);
    out[6] = (uint8_t)h->vni;
    out[7] = h->flags;
    for (int i = 0; i < 8; i++)
        out[8 + i] = (uint8_t)(h->counter >> (56 - 8 * i));
}

int packet_header_read(const uint8_t *packet, size_t len, struct packet_header *out)
{
    struct packet_header h;
    uint8_t type;

    if (len < PACKET_OVERHEAD || packet[0] != VXLAN_I_BIT || packet[1] >> 4 != PACKET_VERSION)
        return ERR_MALFORMED;
    type = packet[1] & 0x0f;
    if (type < PACKET_DATA || type > PACKET_CONTROL || (packet[7] & ~PACKET_FLAGS_KNOWN) != 0)
        return ERR_MALFORMED;
    h = (struct packet_header){
        .type = (enum packet_type)type,
        .session = (uint16_t)(packet[2] << 8 | packet[3]),
        .vni = (uint32_t)packet[4] << 16 | (uint32_t)packet[5] << 8 | packet[6],
        .flags = packet[7],
    };
    for (int i = 0; i < 8; i++)
        h.counter = h.counter << 8 | packet[8 + i];
    /* The control lane carries control packets and nothing else does: each has its own counters. */
    if ((h.type == PACKET_CONTROL) != ((h.session & PACKET_LANE_MASK) == PACKET_LANE_CONTROL) &&
        (h.type == PACKET_CONTROL || h.type == PACKET_DATA))
        return ERR_MALFORMED;
    if (h.type != PACKET_DATA && (h.vni != 0 || h.flags != 0))
        return ERR_MALFORMED;
    *out = h;
    return 0;
}

void packet_control_write(const struct packet_control *c, uint8_t out[PACKET_CONTROL_LEN])
{
    out[0] = (uint8_t)c->kind;
    out[1] = 0;
    out[2] = (uint8_t)(c->size >> 8);
    out[3] = (uint8_t)c->size;
}

int packet_control_read(const uint8_t *bytes, size_t len, struct packet_control *out)
{
    struct packet_control c;

    if (len < PACKET_CONTROL_LEN || bytes[0] < PACKET_KEEPALIVE || bytes[0] > PACKET_PROBE_ACK ||
        bytes[1] != 0)
        return ERR_MALFORMED;
    c.kind = (enum packet_control_kind)bytes[0];
    c.size = (uint16_t)(bytes[2] << 8 | bytes[3]);
    if (c.kind == PACKET_PROBE ? c.size != len + PACKET_OVERHEAD : len != PACKET_CONTROL_LEN)
        return ERR_MALFORMED;
    *out = c;
    return 0;
}
