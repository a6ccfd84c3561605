/* TCP and UDP as RFC 9293 and RFC 768 have them; the rules for joining are those of the kernel's
 * receive offload, so that cutting what was joined gives the same packets again. */
#include "overlaynet/segment.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define IP4_DONT_FRAGMENT 0x40
#define TCP_FLAGS         13 /* offset in the TCP header */
#define TCP_FIN           0x01
#define TCP_SYN           0x02
#define TCP_RST           0x04
#define TCP_PSH           0x08
#define TCP_URG           0x20
#define TCP_CWR           0x80

/* --- Cutting --------------------------------------------------------------------------------- */

/* A partial checksum that is not where TCP and UDP have it is completed here. */
static int complete_checksum(struct segment_cut *c, const struct vnet_header *h)
{
    size_t start = h->checksum_start, field = start + h->checksum_offset;
    uint16_t sum;

    if (start >= c->view.len || field + 2 > c->view.len || start < FRAME_ETH_LEN)
        return ERR_MALFORMED;
    sum = (uint16_t)~frame_fold(frame_sum(0, c->frame + start, c->view.len - start));
    frame_put16(c->frame + field, sum == 0 ? 0xffff : sum); /* 0 means "none" in UDP */
    return 0;
}

static int start_checksum(struct segment_cut *c, const struct vnet_header *h)
{
    if ((h->flags & VNET_NEEDS_CHECKSUM) == 0)
        return 0;
    if (c->view.payload != 0 && h->checksum_start == c->view.l4 &&
        h->checksum_offset == frame_checksum_offset(c->view.protocol)) {
        c->checksum_partial = true;
        return 0;
    }
    return complete_checksum(c, h);
}

static bool gso_fits_frame(uint8_t gso, const struct frame_view *v)
{
    switch (gso) {
    case VNET_GSO_TCP4:
        return v->version == 4 && v->protocol == FRAME_PROTO_TCP;
    case VNET_GSO_TCP6:
        return v->version == 6 && v->protocol == FRAME_PROTO_TCP;
    case VNET_GSO_UDP:
        return v->protocol == FRAME_PROTO_UDP;
    default:
        return false;
    }
}

int segment_cut_start(struct segment_cut *c, uint8_t *frame, const struct frame_view *view,
                      const struct vnet_header *h, size_t piece_max)
{
    uint8_t gso = h->gso_type & (uint8_t)~VNET_GSO_ECN;
    size_t piece;
    int rc;

    c->frame = frame;
    c->view = *view;
    c->piece_len = c->payload_len = c->done = 0;
    c->index = 0;
    c->checksum_partial = false;
    rc = start_checksum(c, h);
    if (rc < 0)
        return rc;
    if (gso == VNET_GSO_NONE)
        return view->len <= piece_max ? 0 : ERR_TOO_LARGE;
    if (!gso_fits_frame(gso, view) || view->payload == 0 || view->payload > SEGMENT_HEADERS_MAX ||
        !c->checksum_partial || h->gso_size == 0)
        return ERR_MALFORMED;
    c->payload_len = view->len - view->payload;
    if (view->payload >= piece_max)
        return ERR_TOO_LARGE;
    piece = piece_max - view->payload;
    if (gso == VNET_GSO_UDP && h->gso_size > piece)
        return ERR_TOO_LARGE; /* datagrams have borders that count */
    c->piece_len = MIN(piece, h->gso_size);
    if (c->payload_len <= c->piece_len) {
        c->piece_len = 0; /* one packet: it goes as it is */
        return 0;
    }
    memcpy(c->headers, frame, view->payload);
    return 0;
}

static void write_ip_lengths(uint8_t *frame, const struct frame_view *v, size_t l3_len)
{
    uint8_t *ip = frame + FRAME_ETH_LEN;

    if (v->version == 4)
        frame_put16(ip + 2, (unsigned)l3_len);
    else
        frame_put16(ip + 4, (unsigned)(l3_len - 40));
}

static void write_piece_headers(const struct segment_cut *c, uint8_t *piece, size_t payload_len)
{
    const struct frame_view *v = &c->view;
    uint8_t *l4 = piece + v->l4;
    bool is_last = c->done + payload_len == c->payload_len;

    write_ip_lengths(piece, v, v->payload - FRAME_ETH_LEN + payload_len);
    if (v->version == 4) {
        uint8_t *id = piece + FRAME_ETH_LEN + 4;

        frame_put16(id, (frame_get16(id) + c->index) & 0xffff);
        frame_fix_ip_checksum(piece, v);
    }
    if (v->protocol == FRAME_PROTO_UDP) {
        frame_put16(l4 + 4, (unsigned)(8 + payload_len));
        return;
    }
    frame_put32(l4 + 4, frame_get32(l4 + 4) + (uint32_t)c->done);
    if (!is_last)
        l4[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (c->index != 0)
        l4[TCP_FLAGS] &= (uint8_t)~TCP_CWR; /* RFC 3168: once for each reduction */
}

size_t segment_cut_next(struct segment_cut *c, uint8_t **out)
{
    size_t header_len = c->view.payload, payload_len;
    uint8_t *piece;

    if (c->piece_len == 0) {
        if (c->index != 0)
            return 0;
        c->index = 1;
        *out = c->frame;
        return c->view.len;
    }
    if (c->done == c->payload_len)
        return 0;
    payload_len = MIN(c->piece_len, c->payload_len - c->done);
    piece = c->frame + c->done;
    memcpy(piece, c->headers, header_len);
    write_piece_headers(c, piece, payload_len);
    c->done += payload_len;
    c->index++;
    *out = piece;
    return header_len + payload_len;
}

/* --- Joining --------------------------------------------------------------------------------- */

void segment_join_start(struct segment_join *j, uint8_t *frame, const struct frame_view *view)
{
    j->first = frame;
    j->view = *view;
    j->count = 1;
    j->piece_len = j->total_payload = view->payload == 0 ? 0 : view->len - view->payload;
    j->is_closed = j->piece_len == 0;
    if (view->payload != 0 && view->protocol == FRAME_PROTO_TCP &&
        (frame[view->l4 + TCP_FLAGS] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_PSH | TCP_URG)) != 0)
        j->is_closed = true;
}

bool segment_join_is_flow(const struct segment_join *j, const uint8_t *frame,
                          const struct frame_view *view)
{
    size_t at = FRAME_ETH_LEN + (view->version == 4 ? 12U : 8U);
    size_t len = view->version == 4 ? 8 : 32;

    return j->first != NULL && view->version == j->view.version &&
           view->protocol == j->view.protocol && memcmp(j->first + at, frame + at, len) == 0 &&
           memcmp(j->first + j->view.l4, frame + view->l4, 4) == 0; /* ports */
}

/* All that must be equal in the network headers. */
static bool same_network_headers(const uint8_t *a, const uint8_t *b, const struct frame_view *v,
                                 unsigned count)
{
    const uint8_t *ip_a = a + FRAME_ETH_LEN, *ip_b = b + FRAME_ETH_LEN;

    if (memcmp(a, b, FRAME_ETH_LEN) != 0)
        return false;
    if (v->version == 6) /* all but the payload length */
        return memcmp(ip_a, ip_b, 4) == 0 && memcmp(ip_a + 6, ip_b + 6, 34) == 0;
    /* Version, header length and service type; flags, offset, time to live, protocol; addresses
     * and options. The identification means nothing where cutting is forbidden (RFC 6864 4.1);
     * elsewhere it must count up as it does when the whole is cut again. */
    return memcmp(ip_a, ip_b, 2) == 0 && memcmp(ip_a + 6, ip_b + 6, 4) == 0 &&
           memcmp(ip_a + 12, ip_b + 12, v->l4 - FRAME_ETH_LEN - 12) == 0 &&
           ((ip_a[6] & IP4_DONT_FRAGMENT) != 0 ||
            frame_get16(ip_b + 4) == ((frame_get16(ip_a + 4) + count) & 0xffff));
}

static bool same_tcp_headers(const struct segment_join *j, const uint8_t *b)
{
    const uint8_t *tcp_a = j->first + j->view.l4, *tcp_b = b + j->view.l4;
    const uint8_t may_differ = TCP_FIN | TCP_PSH;

    return memcmp(tcp_a, tcp_b, 4) == 0 && /* ports */
           frame_get32(tcp_b + 4) == frame_get32(tcp_a + 4) + (uint32_t)j->total_payload &&
           memcmp(tcp_a + 8, tcp_b + 8, 5) == 0 && /* acknowledgement, header length */
           /* CWR belongs to the first piece only, so it must not appear later. */
           ((tcp_b[TCP_FLAGS] ^ (tcp_a[TCP_FLAGS] & ~TCP_CWR)) & ~may_differ) == 0 &&
           memcmp(tcp_a + 14, tcp_b + 14, 2) == 0 && /* window; then skip the checksum */
           memcmp(tcp_a + 18, tcp_b + 18, j->view.payload - j->view.l4 - 18) == 0;
}

bool segment_join_append(struct segment_join *j, const uint8_t *frame,
                         const struct frame_view *view)
{
    size_t payload_len = view->len - view->payload;

    if (j->first == NULL || j->is_closed || view->payload != j->view.payload ||
        view->l4 != j->view.l4 || view->version != j->view.version ||
        view->protocol != j->view.protocol || payload_len == 0 || payload_len > j->piece_len ||
        j->count == SEGMENT_JOIN_MAX ||
        j->view.payload + j->total_payload + payload_len > FRAME_ETH_LEN + 65535U)
        return false;
    if (!same_network_headers(j->first, frame, view, j->count))
        return false;
    if (view->protocol == FRAME_PROTO_TCP) {
        if (!same_tcp_headers(j, frame))
            return false;
        if ((frame[view->l4 + TCP_FLAGS] & (TCP_FIN | TCP_PSH)) != 0) {
            j->first[view->l4 + TCP_FLAGS] |= frame[view->l4 + TCP_FLAGS] & (TCP_FIN | TCP_PSH);
            j->is_closed = true;
        }
    } else if (memcmp(j->first + view->l4, frame + view->l4, 4) != 0) {
        return false; /* UDP ports */
    }
    j->total_payload += payload_len;
    j->count++;
    if (payload_len < j->piece_len)
        j->is_closed = true;
    return true;
}

static uint8_t gso_type(const struct frame_view *v)
{
    if (v->protocol == FRAME_PROTO_UDP)
        return VNET_GSO_UDP;
    return v->version == 4 ? VNET_GSO_TCP4 : VNET_GSO_TCP6;
}

void segment_join_finish(struct segment_join *j, struct vnet_header *out)
{
    const struct frame_view *v = &j->view;
    size_t l4_len = v->payload - v->l4 + j->total_payload;
    size_t field = frame_checksum_offset(v->protocol);

    CHECK(j->first != NULL && v->payload != 0);
    *out = (struct vnet_header){
        .flags = VNET_NEEDS_CHECKSUM,
        .checksum_start = (uint16_t)v->l4,
        .checksum_offset = (uint16_t)field,
    };
    if (j->count > 1) {
        out->gso_type = gso_type(v);
        if (v->protocol == FRAME_PROTO_TCP && (j->first[v->l4 + TCP_FLAGS] & TCP_CWR) != 0)
            out->gso_type |= VNET_GSO_ECN;
        out->gso_size = (uint16_t)j->piece_len;
        out->header_len = (uint16_t)v->payload;
        write_ip_lengths(j->first, v, v->payload - FRAME_ETH_LEN + j->total_payload);
        frame_fix_ip_checksum(j->first, v);
        if (v->protocol == FRAME_PROTO_UDP)
            frame_put16(j->first + v->l4 + 4, (unsigned)l4_len);
    }
    frame_put16(j->first + v->l4 + field, frame_fold(frame_pseudo_sum(j->first, v, l4_len)));
}
