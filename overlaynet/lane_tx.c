/* From a network's TAP to the wire.
 *
 * Order of the tests: is it a frame, is the sender who it says, does it belong on the wire, where
 * does it go, are there keys. Only then is anything sealed. */
#include <errno.h>
#include <linux/udp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/lane.h"
#include "overlaynet/neigh.h"
#include "overlaynet/too_big.h"

#define VNET_LEN sizeof(struct vnet_header)

/* --- Sending --------------------------------------------------------------------------------- */

static struct msghdr message_for(const struct fabric_path *path, struct iovec *iov)
{
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 1 };

    m.msg_name = (void *)(uintptr_t)&path->addr; /* the kernel only reads it */
    m.msg_namelen = path->addr_len;
    return m;
}

/* True when the message went; waits a little for room, so that a burst is slowed and not lost. */
static bool send_message(struct lane *l, const struct msghdr *m, int *out_errno)
{
    for (int attempt = 0;; attempt++) {
        struct pollfd p = { .fd = l->send_fd, .events = POLLOUT };

        if (sendmsg(l->send_fd, m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return true;
        *out_errno = errno;
        if ((errno != EAGAIN && errno != ENOBUFS) || attempt == 1)
            return false;
        (void)poll(&p, 1, LANE_SEND_WAIT_MS); /* either way we try once more */
    }
}

static bool send_with_offload(struct lane *l, const struct lane_burst *b)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
    struct iovec iov = { .iov_base = b->bytes, .iov_len = b->len };
    struct msghdr m = message_for(b->path, &iov);
    struct cmsghdr *c;
    uint16_t size = (uint16_t)b->packet_len;
    int error = 0;

    if (b->count > 1) {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(size));
        memcpy(CMSG_DATA(c), &size, sizeof(size));
    }
    if (send_message(l, &m, &error))
        return true;
    if (b->count > 1 && (error == EIO || error == EINVAL || error == EOPNOTSUPP)) {
        /* A device without checksum offload refuses: for good, as the route may not change. */
        atomic_store_explicit(&l->fabric->udp_gso, false, memory_order_relaxed);
        return false;
    }
    fabric_count(&b->port->counters.drop_tx_underlay, b->count);
    return true;
}

static void send_one_by_one(struct lane *l, const struct lane_burst *b)
{
    struct mmsghdr messages[LANE_BURST_PACKETS];
    struct iovec iov[LANE_BURST_PACKETS];
    unsigned done = 0;

    for (unsigned i = 0; i < b->count; i++) {
        size_t at = i * b->packet_len;

        iov[i] =
            (struct iovec){ .iov_base = b->bytes + at, .iov_len = MIN(b->packet_len, b->len - at) };
        messages[i] = (struct mmsghdr){ .msg_hdr = message_for(b->path, &iov[i]) };
    }
    while (done < b->count) {
        int n = sendmmsg(l->send_fd, messages + done, b->count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        int error = 0;

        if (n > 0) {
            done += (unsigned)n;
            continue;
        }
        if (!send_message(l, &messages[done].msg_hdr, &error))
            fabric_count(&b->port->counters.drop_tx_underlay, 1);
        done++;
    }
}

void lane_flush_burst(struct lane *l)
{
    struct lane_burst *b = &l->burst;

    if (b->path == NULL)
        return;
    if (b->count == 1 || atomic_load_explicit(&l->fabric->udp_gso, memory_order_relaxed)) {
        if (!send_with_offload(l, b))
            send_one_by_one(l, b);
    } else {
        send_one_by_one(l, b);
    }
    b->path = NULL;
}

/* Room for a packet behind those that wait; sends them first when it does not fit them. */
static uint8_t *burst_room(struct lane *l, struct fabric_port *port, const struct fabric_path *path,
                           size_t packet_len)
{
    struct lane_burst *b = &l->burst;

    if (b->path != NULL && (b->path != path || b->is_closed || packet_len > b->packet_len ||
                            b->count == LANE_BURST_PACKETS || b->len + packet_len > LANE_BURST_MAX))
        lane_flush_burst(l);
    if (b->path == NULL) {
        b->path = path;
        b->packet_len = packet_len;
        b->len = 0;
        b->count = 0;
        b->is_closed = false;
    }
    b->port = port;
    b->is_closed = packet_len < b->packet_len;
    b->len += packet_len;
    b->count++;
    return b->bytes + b->len - packet_len;
}

/* --- Sealing --------------------------------------------------------------------------------- */

static void tell_spent(struct lane *l, struct fabric_peer *peer, struct fabric_tx_lane *key)
{
    struct fabric_note note = { .kind = FABRIC_SPENT, .peer = peer };

    if (key->spent_told)
        return;
    key->spent_told = true;
    lane_note(l, &note);
}

static void seal_frame(struct lane *l, struct fabric_port *port, struct fabric_peer *peer,
                       struct fabric_tx *tx, const struct fabric_path *path,
                       struct segment_cut *cut)
{
    struct fabric_tx_lane *key = &tx->lanes[l->index];
    const struct aead_key *prepared = lane_key(l->tx_keys, key->serial, tx->suite, key->key);
    struct packet_header h = {
        .type = PACKET_DATA,
        .session = (uint16_t)((unsigned)tx->remote_block << PACKET_LANE_BITS | l->index),
        .vni = port->network->vni,
        .flags = cut->checksum_partial ? PACKET_CHECKSUM_PARTIAL : 0,
    };
    uint64_t packets = 0;
    uint8_t *piece;
    size_t len;

    while ((len = segment_cut_next(cut, &piece)) != 0) {
        uint8_t *out;

        if (key->counter >= SESSION_PACKETS_RENEW) {
            tell_spent(l, peer, key);
            if (key->counter >= SESSION_PACKETS_MAX) {
                fabric_count(&port->counters.drop_tx_key_spent, 1);
                break;
            }
        }
        h.counter = key->counter++;
        out = burst_room(l, port, path, len + PACKET_OVERHEAD);
        packet_header_write(&h, out);
        aead_seal(prepared, h.counter, out, piece, len, out + PACKET_HEADER_LEN);
        packets++;
    }
    fabric_count(&port->counters.tx_packets, packets);
}

/* --- Deciding -------------------------------------------------------------------------------- */

static void write_tap(struct fabric_port *port, const uint8_t *frame, size_t len)
{
    struct vnet_header none = { 0 };
    struct iovec iov[2] = { { .iov_base = &none, .iov_len = sizeof(none) },
                            { .iov_base = (void *)(uintptr_t)frame, .iov_len = len } };

    if (writev(port->tap_fd, iov, 2) < 0)
        fabric_count(&port->counters.drop_rx_tap, 1);
}

struct fabric_endpoint *lane_find_ip(const struct fabric *f, const struct fabric_network *n,
                                     const struct ip_addr *a)
{
    struct fabric_endpoint *e = table_get(&n->by_ip, fabric_ip_key(f, a));

    if (e == NULL)
        return NULL;
    if (a->len == IP6_LEN && memcmp(e->identity.ip6, a->bytes, IP6_LEN) != 0)
        return NULL;
    return e;
}

/* ARP and neighbour discovery end here; endpoints of this host answer for themselves. */
static void answer_question(struct lane *l, struct fabric_port *port, const uint8_t *frame,
                            const struct frame_view *view)
{
    struct ip_addr asked = neigh_question(frame, view);
    const struct fabric_endpoint *e;
    uint8_t reply[NEIGH_REPLY_LEN_MAX];

    if (ip_is_none(&asked))
        return;
    e = lane_find_ip(l->fabric, port->network, &asked);
    if (e == NULL || e->peer == NULL)
        return;
    write_tap(port, reply, neigh_answer(frame, view, e->identity.mac, reply));
    fabric_count(&port->counters.answered, 1);
}

/* The sender learns what fits; for IPv4 also where it would allow cutting: we do not. */
static void answer_too_big(struct fabric_port *port, const uint8_t *frame,
                           const struct frame_view *view, const struct fabric_path *path)
{
    uint8_t reply[TOO_BIG_LEN_MAX];
    size_t len = too_big_answer(frame, view, (uint32_t)path->piece_max - FRAME_ETH_LEN, reply);

    if (len > 0)
        write_tap(port, reply, len);
}

static bool is_allowed(struct lane *l, struct fabric_port *port, const uint8_t *frame,
                       const struct frame_view *view)
{
    const struct fabric_endpoint *source =
        table_get(&port->network->by_mac, fabric_mac_key(frame_source(frame)));

    if (source == NULL || source->peer != NULL) {
        fabric_count(&port->counters.drop_tx_forged_source, 1);
        return false;
    }
    switch (guard_check(frame, view, &source->identity)) {
    case GUARD_PASS:
        return true;
    case GUARD_RESOLVE:
        answer_question(l, port, frame, view);
        return false;
    case GUARD_FORGED_SOURCE:
        fabric_count(&port->counters.drop_tx_forged_source, 1);
        return false;
    case GUARD_FORBIDDEN:
        fabric_count(&port->counters.drop_tx_forbidden, 1);
        return false;
    case GUARD_GROUP:
        break;
    }
    fabric_count(&port->counters.drop_tx_group, 1);
    return false;
}

static void send_frame(struct lane *l, struct fabric_port *port, uint8_t *frame, size_t len,
                       const struct vnet_header *vnet)
{
    struct fabric_counters *c = &port->counters;
    const struct fabric_endpoint *dest;
    const struct fabric_path *path;
    struct frame_view view;
    struct segment_cut cut;
    struct fabric_tx *tx;
    int rc;

    if (frame_parse(frame, len, &view) < 0) {
        fabric_count(&c->drop_tx_malformed, 1);
        return;
    }
    if (view.protocol == FRAME_PROTO_UDP)
        l->turn.sent++;
    else
        l->turn.others++;
    if (!is_allowed(l, port, frame, &view))
        return;
    dest = table_get(&port->network->by_mac, fabric_mac_key(frame));
    if (dest == NULL || dest->peer == NULL) {
        fabric_count(&c->drop_tx_unknown_destination, 1);
        return;
    }
    tx = atomic_load_explicit(&dest->peer->tx, memory_order_acquire);
    path = atomic_load_explicit(&dest->peer->path, memory_order_acquire);
    if (tx == NULL || path == NULL) {
        fabric_count(&c->drop_tx_no_session, 1);
        return;
    }
    rc = segment_cut_start(&cut, frame, &view, vnet, path->piece_max);
    if (rc < 0) {
        fabric_count(rc == ERR_TOO_LARGE ? &c->drop_tx_too_large : &c->drop_tx_malformed, 1);
        if (rc == ERR_TOO_LARGE)
            answer_too_big(port, frame, &view, path);
        return;
    }
    fabric_count(&c->tx_frames, 1);
    fabric_count(&c->tx_bytes, view.len);
    seal_frame(l, port, dest->peer, tx, path, &cut);
}

void lane_read_tap(struct lane *l, struct fabric_port *port)
{
    size_t bytes = 0;

    for (int i = 0; i < LANE_FRAMES_PER_TURN && bytes < LANE_BYTES_PER_TURN; i++) {
        struct vnet_header vnet;
        ssize_t n = read(port->tap_fd, l->frame, LANE_FRAME_ROOM);

        if (n < 0)
            break; /* EAGAIN: nothing more; EBADFD: the device is gone, reconciliation sees it */
        if ((size_t)n < VNET_LEN) {
            fabric_count(&port->counters.drop_tx_malformed, 1);
            continue;
        }
        bytes += (size_t)n;
        memcpy(&vnet, l->frame, VNET_LEN);
        send_frame(l, port, l->frame + VNET_LEN, (size_t)n - VNET_LEN, &vnet);
    }
}
