/* From the wire to a network's TAP.
 *
 * Every packet is hostile until it has opened under the key that its session index names; and
 * what opened is believed only as far as the peer's own endpoints go. */
#include <linux/udp.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/lane.h"

/* --- Handing over ---------------------------------------------------------------------------- */

static void flush_join(struct lane_join *j)
{
    struct fabric_port *port = j->port;

    if (j->join.first == NULL)
        return;
    segment_join_finish(&j->join, &j->vnet);
    j->iov[0] = (struct iovec){ .iov_base = &j->vnet, .iov_len = sizeof(j->vnet) };
    if (writev(port->tap_fd, j->iov, (int)j->iov_count) < 0) {
        fabric_count(&port->counters.drop_rx_tap, j->join.count);
    } else {
        fabric_count(&port->counters.rx_frames, 1);
        fabric_count(&port->counters.rx_bytes, j->join.view.payload + j->join.total_payload);
    }
    segment_join_clear(&j->join);
}

static void flush_joins(struct lane *l)
{
    for (int i = 0; i < LANE_JOINS; i++)
        flush_join(&l->joins[i]);
}

/* The join of the frame's flow: packets come in runs, so the last one is asked first. */
static struct lane_join *find_join(struct lane *l, const struct fabric_port *port,
                                   const uint8_t *frame, const struct frame_view *view)
{
    for (unsigned i = 0; i < LANE_JOINS; i++) {
        unsigned at = (l->last_join + i) % LANE_JOINS;
        struct lane_join *j = &l->joins[at];

        if (j->port == port && segment_join_is_flow(&j->join, frame, view)) {
            l->last_join = at;
            return j;
        }
    }
    return NULL;
}

/* A frame with a complete checksum, or none: as it came. */
static void deliver_alone(struct lane *l, struct fabric_port *port, uint8_t *frame, size_t len)
{
    struct vnet_header none = { 0 };
    struct iovec iov[2] = { { .iov_base = &none, .iov_len = sizeof(none) },
                            { .iov_base = frame, .iov_len = len } };

    flush_joins(l); /* frames of a flow keep their order */
    if (writev(port->tap_fd, iov, 2) < 0) {
        fabric_count(&port->counters.drop_rx_tap, 1);
        return;
    }
    fabric_count(&port->counters.rx_frames, 1);
    fabric_count(&port->counters.rx_bytes, len);
}

static void deliver(struct lane *l, struct fabric_port *port, uint8_t *frame,
                    const struct frame_view *view, bool checksum_partial)
{
    struct lane_join *j;

    if (!checksum_partial) {
        deliver_alone(l, port, frame, view->len);
        return;
    }
    if (view->payload == 0) {
        fabric_count(&port->counters.drop_rx_bad_frame, 1);
        return;
    }
    j = find_join(l, port, frame, view);
    if (j != NULL && (view->protocol == FRAME_PROTO_TCP || l->fabric->tap_uso) &&
        segment_join_append(&j->join, frame, view)) {
        j->iov[j->iov_count++] = (struct iovec){ .iov_base = frame + view->payload,
                                                 .iov_len = view->len - view->payload };
        return;
    }
    if (j == NULL) {
        l->last_join = (l->last_join + 1) % LANE_JOINS;
        j = &l->joins[l->last_join];
    }
    flush_join(j);
    j->port = port;
    segment_join_start(&j->join, frame, view);
    j->iov[1] = (struct iovec){ .iov_base = frame, .iov_len = view->len };
    j->iov_count = 2;
}

/* --- Policy ---------------------------------------------------------------------------------- */

static struct fabric_port *find_port(struct lane *l, uint32_t vni)
{
    struct fabric_network *n = table_get(&l->fabric->networks, vni);

    return n == NULL ? NULL : &n->ports[l->index];
}

/* Looks up network, source and destination, unless they are those of the packet before. */
static bool resolve(struct lane *l, const struct fabric_rx *rx, uint32_t vni, const uint8_t *frame)
{
    struct lane_memo *m = &l->memo;
    const struct fabric_endpoint *source, *dest;
    struct fabric_port *port;

    if (m->rx == rx && m->vni == vni && memcmp(m->macs, frame, sizeof(m->macs)) == 0)
        return true;
    port = find_port(l, vni);
    if (port == NULL) {
        fabric_count(&l->common->drop_rx_unknown_network, 1);
        return false;
    }
    source = table_get(&port->network->by_mac, fabric_mac_key(frame_source(frame)));
    if (source == NULL || source->peer != rx->peer) {
        fabric_count(&port->counters.drop_rx_forged_source, 1);
        return false;
    }
    dest = table_get(&port->network->by_mac, fabric_mac_key(frame));
    if (dest == NULL || dest->peer != NULL) {
        fabric_count(&port->counters.drop_rx_unknown_destination, 1);
        return false;
    }
    *m = (struct lane_memo){ .rx = rx, .source = source, .port = port, .vni = vni };
    memcpy(m->macs, frame, sizeof(m->macs));
    return true;
}

static void accept_frame(struct lane *l, const struct fabric_rx *rx, const struct packet_header *h,
                         uint8_t *frame, size_t len)
{
    struct fabric_counters *c;
    struct frame_view view;

    if (frame_parse(frame, len, &view) < 0) {
        fabric_count(&l->common->drop_rx_bad_frame, 1);
        return;
    }
    if (view.protocol == FRAME_PROTO_UDP)
        l->turn.received++;
    else
        l->turn.others++;
    if (!resolve(l, rx, h->vni, frame))
        return;
    c = &l->memo.port->counters;
    switch (guard_check(frame, &view, &l->memo.source->identity)) {
    case GUARD_PASS:
        fabric_count(&c->rx_packets, 1);
        deliver(l, l->memo.port, frame, &view, (h->flags & PACKET_CHECKSUM_PARTIAL) != 0);
        return;
    case GUARD_FORGED_SOURCE:
        fabric_count(&c->drop_rx_forged_source, 1);
        return;
    case GUARD_RESOLVE:
    case GUARD_FORBIDDEN:
    case GUARD_GROUP:
        fabric_count(&c->drop_rx_forbidden, 1);
        return;
    }
}

/* --- Opening --------------------------------------------------------------------------------- */

static struct fabric_rx *find_session(struct lane *l, const struct packet_header *h)
{
    struct fabric_rx *rx =
        atomic_load_explicit(&l->fabric->rx[h->session >> PACKET_LANE_BITS], memory_order_acquire);

    return rx != NULL && rx->is_ready ? rx : NULL;
}

static void on_data(struct lane *l, const struct packet_header *h, uint8_t *packet, size_t len)
{
    unsigned lane = h->session & PACKET_LANE_MASK;
    struct fabric_rx *rx = find_session(l, h);
    struct fabric_rx_lane *k;

    /* A lane that is not steered to us: the kernel gathered packets of two flows. */
    if (rx == NULL || lane >= rx->lane_count || lane % l->fabric->lane_count != l->index) {
        fabric_count(&l->common->drop_rx_unknown_session, 1);
        return;
    }
    k = &rx->lanes[lane];
    if (!replay_is_new(&k->replay, h->counter)) {
        fabric_count(&l->common->drop_rx_replay, 1);
        return;
    }
    if (k->forgeries >= SESSION_FORGERIES_MAX ||
        !aead_open(lane_key(l->rx_keys, k->serial, rx->suite, k->key), h->counter, packet,
                   packet + PACKET_HEADER_LEN, len - PACKET_HEADER_LEN,
                   packet + PACKET_HEADER_LEN)) {
        k->forgeries++;
        fabric_count(&l->common->drop_rx_forged, 1);
        return;
    }
    replay_accept(&k->replay, h->counter);
    if (!k->is_heard) {
        struct fabric_note note = { .kind = FABRIC_HEARD, .block = rx->block, .peer = rx->peer };

        k->is_heard = true;
        lane_note(l, &note);
    }
    accept_frame(l, rx, h, packet + PACKET_HEADER_LEN, len - PACKET_OVERHEAD);
}

static void on_control(struct lane *l, const struct packet_header *h, uint8_t *packet, size_t len,
                       const struct sockaddr_storage *from)
{
    struct fabric_note note = { .kind = FABRIC_CONTROL, .from = *from };
    struct fabric_rx *rx = find_session(l, h);
    struct aead_key key;
    bool is_open;

    if (rx == NULL || l->index != 0) {
        fabric_count(&l->common->drop_rx_unknown_session, 1);
        return;
    }
    if (h->counter < rx->control_next || h->counter == UINT64_MAX) {
        fabric_count(&l->common->drop_rx_replay, 1);
        return;
    }
    aead_prepare(&key, rx->suite, rx->control_key);
    is_open = aead_open(&key, h->counter, packet, packet + PACKET_HEADER_LEN,
                        len - PACKET_HEADER_LEN, packet + PACKET_HEADER_LEN);
    aead_wipe(&key);
    if (!is_open) {
        fabric_count(&l->common->drop_rx_forged, 1);
        return;
    }
    rx->control_next = h->counter + 1;
    if (packet_control_read(packet + PACKET_HEADER_LEN, len - PACKET_OVERHEAD, &note.control) < 0) {
        fabric_count(&l->common->drop_rx_bad_frame, 1);
        return;
    }
    note.block = rx->block;
    note.peer = rx->peer;
    lane_note(l, &note);
}

/* --- Handshakes: only those of known peers reach the control thread --------------------------- */

static struct fabric_peer *find_initiator(struct lane *l, struct slice packet, uint64_t stamp)
{
    const uint8_t *key_id = session_hello_key_id(packet);
    struct fabric_peer *peer;
    uint64_t number = 0;

    if (key_id == NULL)
        return NULL;
    for (int i = 0; i < SESSION_KEY_ID_LEN; i++)
        number = number << 8 | key_id[i];
    peer = number == 0 ? NULL : table_get(&l->fabric->key_ids, number);
    if (peer == NULL || !session_is_from(&peer->session, packet)) {
        fabric_count(&l->common->drop_handshake_stranger, 1);
        return NULL;
    }
    if (stamp <= atomic_load_explicit(&peer->stamp_seen, memory_order_relaxed)) {
        fabric_count(&l->common->drop_handshake_replay, 1);
        return NULL;
    }
    return peer;
}

static struct fabric_peer *find_responder(struct lane *l, struct slice packet, uint16_t session)
{
    struct fabric_rx *rx =
        atomic_load_explicit(&l->fabric->rx[session >> PACKET_LANE_BITS], memory_order_acquire);

    if (rx == NULL || rx->is_ready || !session_is_from(&rx->peer->session, packet)) {
        fabric_count(&l->common->drop_handshake_stranger, 1);
        return NULL;
    }
    return rx->peer;
}

static void on_handshake(struct lane *l, const struct packet_header *h, const uint8_t *packet,
                         size_t len, const struct sockaddr_storage *from)
{
    struct fabric_note note = { .kind = FABRIC_HANDSHAKE, .from = *from };
    struct slice bytes = slice_of(packet, len);

    if (len > sizeof(note.bytes)) {
        fabric_count(&l->common->drop_rx_malformed, 1);
        return;
    }
    note.peer = h->type == PACKET_HELLO ? find_initiator(l, bytes, h->counter)
                                        : find_responder(l, bytes, h->session);
    if (note.peer == NULL)
        return;
    note.len = (uint16_t)len;
    memcpy(note.bytes, packet, len);
    lane_note(l, &note);
}

/* --- Receiving ------------------------------------------------------------------------------- */

static void poke(struct lane *l, const struct sockaddr_storage *from)
{
    struct fabric_note note = { .kind = FABRIC_POKE, .from = *from };
    uint32_t credit = atomic_load_explicit(&l->poke_credit, memory_order_relaxed);

    if (credit == 0)
        return; /* strangers could send any number of these */
    atomic_store_explicit(&l->poke_credit, credit - 1, memory_order_relaxed);
    lane_note(l, &note);
}

static void on_packet(struct lane *l, uint8_t *packet, size_t len,
                      const struct sockaddr_storage *from)
{
    struct packet_header h;

    if (packet_header_read(packet, len, &h) < 0) {
        fabric_count(&l->common->drop_rx_malformed, 1);
        return;
    }
    switch (h.type) {
    case PACKET_DATA:
        on_data(l, &h, packet, len);
        return;
    case PACKET_CONTROL:
        if (find_session(l, &h) == NULL)
            poke(l, from); /* sent every few seconds only: a hint, and cheap */
        on_control(l, &h, packet, len, from);
        return;
    case PACKET_HELLO:
    case PACKET_WELCOME:
        on_handshake(l, &h, packet, len, from);
        return;
    }
}

/* The size of the packets that the kernel has gathered in one message. */
static size_t gathered_size(struct msghdr *m, size_t len)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        int size;

        if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
            continue;
        memcpy(&size, CMSG_DATA(c), sizeof(size));
        if (size > 0)
            return (size_t)size;
    }
    return len;
}

static void on_message(struct lane *l, struct msghdr *m, uint8_t *bytes, size_t len)
{
    size_t size = gathered_size(m, len);

    if ((m->msg_flags & MSG_TRUNC) != 0 || size == 0) {
        fabric_count(&l->common->drop_rx_malformed, 1);
        return;
    }
    for (size_t at = 0; at < len; at += size)
        on_packet(l, bytes + at, MIN(size, len - at), m->msg_name);
}

void lane_read_udp(struct lane *l)
{
    _Alignas(struct cmsghdr) char controls[LANE_MESSAGES][CMSG_SPACE(sizeof(int))];
    struct sockaddr_storage from[LANE_MESSAGES];
    struct mmsghdr messages[LANE_MESSAGES];
    struct iovec iov[LANE_MESSAGES];
    int count;

    for (int i = 0; i < LANE_MESSAGES; i++) {
        iov[i] = (struct iovec){ .iov_base = l->received + (size_t)i * LANE_MESSAGE_ROOM,
                                 .iov_len = LANE_MESSAGE_ROOM };
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &from[i],
            .msg_namelen = sizeof(from[i]),
            .msg_iov = &iov[i],
            .msg_iovlen = 1,
            .msg_control = controls[i],
            .msg_controllen = sizeof(controls[i]),
        };
    }
    count = recvmmsg(l->udp_fd, messages, LANE_MESSAGES, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        on_message(l, &messages[i].msg_hdr, iov[i].iov_base, messages[i].msg_len);
    flush_joins(l);
}
