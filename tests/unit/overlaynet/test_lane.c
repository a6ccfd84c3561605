/* One lane between a TAP and a wire that the test holds: what it sends, and what it accepts.
 *
 * The TAP is a pair of datagram sockets, the wire a UDP socket on loopback that plays the other
 * node and knows the session's keys. So every attack is made with packets of the right form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/lane.h"
#include "overlaynet/underlay.h"
#include "support_frames.h"

#define VNI          4711
#define BLOCK        77
#define REMOTE_BLOCK 99
#define WAIT_MS      2000

struct bench {
    struct fabric fabric;
    struct lane *lane;
    struct fabric_network *network, *other_network;
    struct fabric_endpoint local, remote, stranger;
    struct fabric_peer peer, other_peer;
    struct fabric_rx *rx;
    struct fabric_tx *tx;
    struct fabric_path path;
    struct aead_key to_lane, from_lane; /* of the other node */
    uint64_t counter;
    int tap, wire;
    struct sockaddr_in lane_addr;
};

static struct bench *t;
static uint8_t frame[FRAME_LEN_MAX], packet[70000];

static void on_note(void *ctx)
{
    (void)ctx;
}

static struct fabric_network *new_network(uint32_t vni, int tap_fd)
{
    struct fabric_network *n = aligned_alloc(64, (sizeof(*n) + sizeof(n->ports[0]) + 63) / 64 * 64);
    void *old = NULL;

    memset(n, 0, sizeof(*n) + sizeof(n->ports[0]));
    n->vni = vni;
    n->port_count = 1;
    table_init(&n->by_mac, &t->fabric.reclaim);
    table_init(&n->by_ip, &t->fabric.reclaim);
    n->ports[0].network = n;
    n->ports[0].tap_fd = tap_fd;
    assert_int_equal(table_set(&t->fabric.networks, vni, n, &old), 0);
    return n;
}

static void add_endpoint(struct fabric_network *n, struct fabric_endpoint *e,
                         const struct guard_identity *who, struct fabric_peer *peer)
{
    struct ip_addr a = { .len = 4 };
    void *old = NULL;

    e->identity = *who;
    e->peer = peer;
    memcpy(a.bytes, who->ip4, 4);
    assert_int_equal(table_set(&n->by_mac, fabric_mac_key(who->mac), e, &old), 0);
    assert_int_equal(table_set(&n->by_ip, fabric_ip_key(&t->fabric, &a), e, &old), 0);
}

static void make_session(void)
{
    static const uint8_t secret_in[32] = { 1 }, secret_out[32] = { 2 };
    uint8_t key[AEAD_KEY_LEN];

    t->rx = calloc(1, sizeof(*t->rx) + sizeof(t->rx->lanes[0]));
    t->rx->peer = &t->peer;
    t->rx->block = BLOCK;
    t->rx->is_ready = true;
    t->rx->suite = AEAD_CHACHA20POLY1305;
    t->rx->lane_count = 1;
    t->rx->lanes[0].serial = 1;
    session_lane_key(secret_in, AEAD_CHACHA20POLY1305, 0, t->rx->lanes[0].key);
    session_lane_key(secret_in, AEAD_CHACHA20POLY1305, 0, key);
    aead_prepare(&t->to_lane, AEAD_CHACHA20POLY1305, key);
    atomic_init(&t->fabric.rx[BLOCK], t->rx);
    t->tx = aligned_alloc(64, 512);
    memset(t->tx, 0, 512);
    t->tx->remote_block = REMOTE_BLOCK;
    t->tx->suite = AEAD_CHACHA20POLY1305;
    t->tx->lane_count = 1;
    t->tx->lanes[0].serial = 2;
    session_lane_key(secret_out, AEAD_CHACHA20POLY1305, 0, t->tx->lanes[0].key);
    aead_prepare(&t->from_lane, AEAD_CHACHA20POLY1305, t->tx->lanes[0].key);
}

static int setup(void **state)
{
    struct ip_endpoint any = { .addr = { .len = 4, .bytes = { 127, 0, 0, 1 } } };
    struct sockaddr_in wire_addr = { .sin_family = AF_INET };
    struct underlay u;
    socklen_t len = sizeof(t->lane_addr);
    int pair[2], second[2];

    (void)state;
    assert_int_equal(aead_start(), 0);
    t = aligned_alloc(64, (sizeof(*t) + 63) / 64 * 64);
    memset(t, 0, sizeof(*t));
    reclaim_init(&t->fabric.reclaim);
    table_init(&t->fabric.networks, &t->fabric.reclaim);
    table_init(&t->fabric.key_ids, &t->fabric.reclaim);
    t->fabric.lane_count = 1;
    t->fabric.common = aligned_alloc(64, (sizeof(*t->fabric.common) + 63) / 64 * 64);
    memset(t->fabric.common, 0, sizeof(*t->fabric.common));
    assert_int_equal(underlay_open(&any, 1, &u), 0);
    t->fabric.udp_gro = u.gro;
    t->fabric.tap_uso = true;
    atomic_init(&t->fabric.udp_gso, u.gso);
    assert_int_equal(getsockname(u.udp_fds[0], (struct sockaddr *)&t->lane_addr, &len), 0);
    t->wire = socket(AF_INET, SOCK_DGRAM, 0);
    wire_addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(t->wire, (struct sockaddr *)&wire_addr, sizeof(wire_addr)), 0);
    len = sizeof(wire_addr);
    assert_int_equal(getsockname(t->wire, (struct sockaddr *)&wire_addr, &len), 0);
    memcpy(&t->path.addr, &wire_addr, sizeof(wire_addr));
    t->path.addr_len = sizeof(wire_addr);
    t->path.piece_max = 1440;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, second), 0);
    t->tap = pair[0];
    t->network = new_network(VNI, pair[1]);
    t->other_network = new_network(VNI + 1, second[1]);
    (void)close(second[0]);
    add_endpoint(t->network, &t->local, &alice, NULL);
    add_endpoint(t->network, &t->remote, &bob, &t->peer);
    make_session();
    atomic_init(&t->peer.tx, t->tx);
    atomic_init(&t->peer.path, &t->path);
    assert_int_equal(lane_new(&(struct lane_config){ .fabric = &t->fabric,
                                                     .udp_fd = u.udp_fds[0],
                                                     .send_fd = u.send_fds[0],
                                                     .family = u.family,
                                                     .on_note = on_note },
                              &t->lane),
                     0);
    t->fabric.lanes[0] = t->lane;
    assert_int_equal(lane_watch(t->lane, &t->network->ports[0]), 0);
    assert_int_equal(lane_run(t->lane), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fabric_network *nets[] = { t->network, t->other_network };

    (void)state;
    lane_free(t->lane);
    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        (void)close(nets[i]->ports[0].tap_fd);
        table_deinit(&nets[i]->by_mac);
        table_deinit(&nets[i]->by_ip);
        free(nets[i]);
    }
    table_deinit(&t->fabric.networks);
    table_deinit(&t->fabric.key_ids);
    reclaim_deinit(&t->fabric.reclaim);
    (void)close(t->tap);
    (void)close(t->wire);
    free(t->fabric.common);
    free(t->rx);
    free(t->tx);
    free(t);
    return 0;
}

/* --- What the test does as the other node, and as a container --------------------------------- */

static void send_wire(const uint8_t *bytes, size_t len)
{
    assert_int_equal(
        sendto(t->wire, bytes, len, 0, (struct sockaddr *)&t->lane_addr, sizeof(t->lane_addr)),
        (ssize_t)len);
}

/* Seals `len` bytes of `frame` into `packet`. */
static size_t seal(size_t len, uint32_t vni, uint8_t flags)
{
    struct packet_header h = { .type = PACKET_DATA,
                               .session = BLOCK << PACKET_LANE_BITS,
                               .vni = vni,
                               .flags = flags,
                               .counter = t->counter++ };

    packet_header_write(&h, packet);
    aead_seal(&t->to_lane, h.counter, packet, frame, len, packet + PACKET_HEADER_LEN);
    return len + PACKET_OVERHEAD;
}

/* `frame`, made from alice to bob, goes from bob to alice. */
static void turn_round(void)
{
    memcpy(frame, alice.mac, 6);
    memcpy(frame + 6, bob.mac, 6);
    memcpy(frame + 26, bob.ip4, 4);
    memcpy(frame + 30, alice.ip4, 4);
}

/* A frame from bob to alice, as the other node would send it. */
static size_t make_reply(size_t payload_len)
{
    size_t len = frame_make(&(struct frame_recipe){ .version = 4,
                                                    .protocol = FRAME_PROTO_UDP,
                                                    .payload_len = payload_len },
                            frame);

    turn_round();
    return len;
}

static bool is_readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, ms) > 0;
}

static uint64_t read_counter(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

/* Waits for a counter to reach a value; never sleeps longer than it must. */
static void await(const _Atomic uint64_t *c, uint64_t value)
{
    for (int i = 0; i < WAIT_MS && read_counter(c) < value; i++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(read_counter(c), value);
}

/* A packet that must get through: what was sent before it has then been handled. */
static void assert_still_works(void)
{
    uint8_t got[2048];
    size_t len = make_reply(33);

    send_wire(packet, seal(len, VNI, 0));
    assert_true(is_readable(t->tap, WAIT_MS));
    assert_int_equal(recv(t->tap, got, sizeof(got), 0),
                     (ssize_t)(len + sizeof(struct vnet_header)));
    assert_memory_equal(got + sizeof(struct vnet_header), frame, len);
    assert_false(is_readable(t->tap, 0)); /* and nothing else came */
}

static struct fabric_counters *net_counters(void)
{
    return &t->network->ports[0].counters;
}

static struct fabric_counters *lane_counters(void)
{
    return &t->fabric.common[0];
}

static void send_tap(const struct vnet_header *h, const uint8_t *bytes, size_t len)
{
    static uint8_t buffer[70000];

    memcpy(buffer, h, sizeof(*h));
    memcpy(buffer + sizeof(*h), bytes, len);
    assert_int_equal(send(t->tap, buffer, len + sizeof(*h), 0), (ssize_t)(len + sizeof(*h)));
}

static const struct vnet_header plain = { 0 };

/* --- Sending --------------------------------------------------------------------------------- */

static void test_a_frame_leaves_sealed(void **state)
{
    size_t len = frame_make(
        &(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 200 }, frame);
    struct packet_header h;
    ssize_t n;

    (void)state;
    memcpy(frame + 60, "MARKER-IN-CLEAR", 15);
    send_tap(&plain, frame, len);
    assert_true(is_readable(t->wire, WAIT_MS));
    n = recv(t->wire, packet, sizeof(packet), 0);
    assert_int_equal(n, len + PACKET_OVERHEAD);
    assert_null(memmem(packet, (size_t)n, "MARKER", 6));
    assert_int_equal(packet_header_read(packet, (size_t)n, &h), 0);
    assert_int_equal(h.session, REMOTE_BLOCK << PACKET_LANE_BITS);
    assert_int_equal(h.vni, VNI);
    assert_true(aead_open(&t->from_lane, h.counter, packet, packet + PACKET_HEADER_LEN,
                          (size_t)n - PACKET_HEADER_LEN, packet + PACKET_HEADER_LEN));
    assert_memory_equal(packet + PACKET_HEADER_LEN, frame, len);
}

static void test_a_large_frame_leaves_in_packets_with_counters_in_order(void **state)
{
    size_t len = frame_make(
        &(struct frame_recipe){
            .version = 4, .protocol = FRAME_PROTO_TCP, .payload_len = 30000, .tcp_flags = 0x10 },
        frame);
    struct vnet_header h = { .flags = VNET_NEEDS_CHECKSUM,
                             .gso_type = VNET_GSO_TCP4,
                             .gso_size = 1300,
                             .checksum_start = 34,
                             .checksum_offset = 16 };
    size_t total = 0;

    (void)state;
    send_tap(&h, frame, len);
    for (uint64_t i = 0; total < 30000; i++) {
        struct packet_header got;
        ssize_t n;

        assert_true(is_readable(t->wire, WAIT_MS));
        n = recv(t->wire, packet, sizeof(packet), 0);
        assert_int_equal(packet_header_read(packet, (size_t)n, &got), 0);
        assert_int_equal(got.counter, i);
        assert_int_equal(got.flags, PACKET_CHECKSUM_PARTIAL);
        assert_true(n <= 1440 + PACKET_OVERHEAD);
        total += (size_t)n - PACKET_OVERHEAD - 54;
    }
    assert_int_equal(total, 30000);
}

static void test_without_udp_offload_the_same_packets_leave(void **state)
{
    atomic_store(&t->fabric.udp_gso, false);
    test_a_large_frame_leaves_in_packets_with_counters_in_order(state);
}

static void test_nothing_leaves_without_keys(void **state)
{
    size_t len =
        frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 9 }, frame);

    (void)state;
    atomic_store(&t->peer.tx, NULL);
    send_tap(&plain, frame, len);
    await(&net_counters()->drop_tx_no_session, 1);
    assert_false(is_readable(t->wire, 0));
}

static void test_a_spent_key_seals_nothing(void **state)
{
    size_t len =
        frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 9 }, frame);
    struct fabric_note note;

    (void)state;
    t->tx->lanes[0].counter = SESSION_PACKETS_MAX - 1;
    send_tap(&plain, frame, len);
    assert_true(is_readable(t->wire, WAIT_MS));
    (void)recv(t->wire, packet, sizeof(packet), 0);
    send_tap(&plain, frame, len);
    await(&net_counters()->drop_tx_key_spent, 1);
    assert_false(is_readable(t->wire, 0));
    assert_true(lane_take_note(t->lane, &note));
    assert_int_equal(note.kind, FABRIC_SPENT); /* once, and the control thread renews */
    assert_false(lane_take_note(t->lane, &note));
}

/* While nothing comes from the wire; and each is sent in the end. */
static void test_a_dense_stream_of_datagrams_is_gathered(void **state)
{
    size_t len = frame_make(
        &(struct frame_recipe){ .version = 4, .protocol = FRAME_PROTO_UDP, .payload_len = 50 },
        frame);
    unsigned sent = 0;

    (void)state;
    while (read_counter(&lane_counters()->gathered) < 3 && sent < 1000000) {
        struct pollfd room = { .fd = t->tap, .events = POLLOUT };

        assert_true(poll(&room, 1, WAIT_MS) > 0);
        send_tap(&plain, frame, len);
        sent++;
        (void)recv(t->wire, packet, sizeof(packet), MSG_DONTWAIT);
    }
    assert_true(read_counter(&lane_counters()->gathered) >= 3);
    await(&net_counters()->tx_frames, sent);
}

static void test_what_a_container_may_not_send_is_dropped_and_counted(void **state)
{
    struct fabric_counters *c = net_counters();
    const struct frame_recipe r = { .version = 4, .protocol = FRAME_PROTO_UDP, .payload_len = 50 };
    const struct vnet_header bad = { .flags = 1,
                                     .gso_type = VNET_GSO_TCP4,
                                     .gso_size = 100,
                                     .checksum_start = 34,
                                     .checksum_offset = 6 };
    size_t len;

    (void)state;
    len = frame_make(&r, frame);
    frame[11] ^= 7;
    send_tap(&plain, frame, len);
    await(&c->drop_tx_forged_source, 1);
    len = frame_make(&r, frame);
    frame[29] ^= 7;
    send_tap(&plain, frame, len);
    await(&c->drop_tx_forged_source, 2);
    len = frame_make(&r, frame);
    frame[5] ^= 7;
    send_tap(&plain, frame, len);
    await(&c->drop_tx_unknown_destination, 1);
    len = frame_make(&r, frame);
    memset(frame, 0xff, 6);
    send_tap(&plain, frame, len);
    await(&c->drop_tx_group, 1);
    len = frame_make(&r, frame);
    frame_put16(frame + 34, 67);
    send_tap(&plain, frame, len);
    await(&c->drop_tx_forbidden, 1);
    len = frame_make(&r, frame);
    send_tap(&bad, frame, len);
    await(&c->drop_tx_malformed, 1);
    send_tap(&plain, frame, 13);
    await(&c->drop_tx_malformed, 2);
    len = frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 3000 },
                     frame);
    send_tap(&plain, frame, len);
    await(&c->drop_tx_too_large, 1);
    assert_false(is_readable(t->wire, 0));
}

static void test_arp_is_answered_here(void **state)
{
    static const uint8_t ask[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
    uint8_t got[256];

    (void)state;
    memset(frame, 0, 42);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, alice.mac, 6);
    frame_put16(frame + 12, FRAME_TYPE_ARP);
    memcpy(frame + 14, ask, sizeof(ask));
    memcpy(frame + 22, alice.mac, 6);
    memcpy(frame + 28, alice.ip4, 4);
    memcpy(frame + 38, bob.ip4, 4);
    send_tap(&plain, frame, 42);
    assert_true(is_readable(t->tap, WAIT_MS));
    assert_int_equal(recv(t->tap, got, sizeof(got), 0), 42 + sizeof(struct vnet_header));
    assert_memory_equal(got + sizeof(struct vnet_header) + 22, bob.mac, 6);
    assert_false(is_readable(t->wire, 0));
    await(&net_counters()->answered, 1);
}

/* --- Receiving ------------------------------------------------------------------------------- */

static void test_packets_of_one_frame_arrive_as_one(void **state)
{
    static uint8_t got[70000];
    struct vnet_header h;
    size_t total = 0;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct frame_recipe r = { .version = 4,
                                  .protocol = FRAME_PROTO_TCP,
                                  .payload_len = 1000,
                                  .tcp_flags = 0x10,
                                  .seq = 1000 * i,
                                  .dont_fragment = 1 };
        size_t len = frame_make(&r, frame);

        turn_round();
        send_wire(packet, seal(len, VNI, PACKET_CHECKSUM_PARTIAL));
    }
    while (total < 4000) { /* as many frames as the kernel's timing makes of them */
        ssize_t n;

        assert_true(is_readable(t->tap, WAIT_MS));
        n = recv(t->tap, got, sizeof(got), 0);
        memcpy(&h, got, sizeof(h));
        assert_int_equal(h.flags, VNET_NEEDS_CHECKSUM);
        total += (size_t)n - sizeof(h) - 54;
    }
    assert_int_equal(total, 4000);
    await(&net_counters()->rx_packets, 4);
}

/* Packets of one message, as the kernel gathers them: it keeps what was sent by one call together.
 */
static void send_gathered(uint8_t *bytes, size_t len, uint16_t packet_len)
{
    int size = packet_len;

    assert_int_equal(setsockopt(t->wire, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
    send_wire(bytes, len);
    size = 0;
    assert_int_equal(setsockopt(t->wire, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
}

/* Sends `rounds` datagrams of each of `flows`, in turn and by one call: from ports 2000 on, and the
 * first byte of the payload is the place in the flow. */
static void send_alternating(unsigned flows, unsigned rounds, size_t payload_len)
{
    static uint8_t wire[16384];
    size_t at = 0, packet_len = 0;

    for (unsigned i = 0; i < flows * rounds; i++) {
        struct frame_recipe r = { .version = 4,
                                  .protocol = FRAME_PROTO_UDP,
                                  .payload_len = payload_len,
                                  .source_port = (uint16_t)(2000 + i % flows),
                                  .dont_fragment = 1 };
        size_t len = frame_make(&r, frame);

        turn_round();
        frame[42] = (uint8_t)(i / flows);
        packet_len = seal(len, VNI, PACKET_CHECKSUM_PARTIAL);
        memcpy(wire + at, packet, packet_len);
        at += packet_len;
    }
    send_gathered(wire, at, (uint16_t)packet_len);
}

static void test_flows_that_alternate_are_joined_each(void **state)
{
    static uint8_t got[70000];
    enum { FLOWS = 3, EACH = 4, PAYLOAD = 400 };
    bool seen[FLOWS] = { false };

    (void)state;
    if (!t->fabric.udp_gro || !atomic_load(&t->fabric.udp_gso))
        skip(); /* the kernel would hand over one packet at a time */
    send_alternating(FLOWS, EACH, PAYLOAD);
    for (int f = 0; f < FLOWS; f++) {
        struct vnet_header h;
        const uint8_t *in = got + sizeof(h);

        assert_true(is_readable(t->tap, WAIT_MS));
        assert_int_equal(recv(t->tap, got, sizeof(got), 0), sizeof(h) + 42 + EACH * PAYLOAD);
        memcpy(&h, got, sizeof(h));
        assert_int_equal(h.gso_type, VNET_GSO_UDP);
        assert_int_equal(h.gso_size, PAYLOAD);
        seen[frame_get16(in + 34) - 2000] = true;
        for (int i = 0; i < EACH; i++) /* in their order */
            assert_int_equal(in[42 + i * PAYLOAD], i);
    }
    for (int f = 0; f < FLOWS; f++)
        assert_true(seen[f]);
    assert_still_works();
}

/* More flows than are joined at a time: none is lost, each keeps its order. */
static void test_more_flows_than_joins_lose_nothing(void **state)
{
    static uint8_t got[70000];
    enum { FLOWS = LANE_JOINS + 3, ROUNDS = 2, PAYLOAD = 100 };
    unsigned next[FLOWS] = { 0 }, count = 0;

    (void)state;
    if (!t->fabric.udp_gro || !atomic_load(&t->fabric.udp_gso))
        skip();
    send_alternating(FLOWS, ROUNDS, PAYLOAD);
    while (count < FLOWS * ROUNDS) {
        const uint8_t *in = got + sizeof(struct vnet_header);
        ssize_t n;

        assert_true(is_readable(t->tap, WAIT_MS));
        n = recv(t->tap, got, sizeof(got), 0) - (ssize_t)(sizeof(struct vnet_header) + 42);
        for (int i = 0; i < n / PAYLOAD; i++, count++)
            assert_int_equal(in[42 + i * PAYLOAD], next[frame_get16(in + 34) - 2000]++);
    }
    assert_still_works();
}

static void test_cleartext_and_noise_are_refused(void **state)
{
    static const uint8_t vxlan[] = { 8, 0, 0, 0, 0, 0x12, 0x67, 0 };
    size_t len = make_reply(60);
    uint64_t count = 0;

    (void)state;
    memcpy(packet, vxlan, sizeof(vxlan));
    memcpy(packet + 8, frame, len);
    send_wire(packet, len + 8);
    await(&lane_counters()->drop_rx_malformed, ++count);
    for (size_t n = 0; n < PACKET_OVERHEAD; n += 5) {
        (void)seal(len, VNI, 0);
        send_wire(packet, n);
        await(&lane_counters()->drop_rx_malformed, ++count);
    }
    assert_still_works();
}

static void test_every_flipped_byte_is_refused(void **state)
{
    size_t len = make_reply(40);
    size_t whole = len + PACKET_OVERHEAD;

    (void)state;
    for (size_t i = 0; i < whole; i++) {
        (void)seal(len, VNI, 0);
        packet[i] ^= 0x10;
        send_wire(packet, whole);
    }
    for (size_t n = PACKET_OVERHEAD; n < whole; n++) {
        (void)seal(len, VNI, 0);
        send_wire(packet, n); /* truncated */
    }
    assert_still_works();
    assert_int_equal(read_counter(&net_counters()->rx_packets), 1);
}

static void test_replayed_packets_are_refused(void **state)
{
    size_t len = make_reply(10), whole = seal(len, VNI, 0);
    uint8_t copy[512], got[512];

    (void)state;
    memcpy(copy, packet, whole);
    send_wire(copy, whole);
    assert_true(is_readable(t->tap, WAIT_MS));
    (void)recv(t->tap, got, sizeof(got), 0);
    for (int i = 0; i < 10; i++)
        send_wire(copy, whole);
    await(&lane_counters()->drop_rx_replay, 10);
    t->counter = REPLAY_WINDOW + 10; /* the window moves past the first packets */
    assert_still_works();
    t->counter = 5;
    send_wire(packet, seal(len, VNI, 0));
    await(&lane_counters()->drop_rx_replay, 11);
    t->counter = REPLAY_WINDOW + 9; /* late, but inside the window */
    assert_still_works();
}

static void test_a_forged_counter_does_not_move_the_window(void **state)
{
    size_t len = make_reply(10), whole = seal(len, VNI, 0);

    (void)state;
    memset(packet + 8, 0xf0, 8);
    send_wire(packet, whole);
    await(&lane_counters()->drop_rx_forged, 1);
    assert_still_works();
}

static void test_networks_are_separate(void **state)
{
    size_t len = make_reply(10);

    (void)state;
    send_wire(packet, seal(len, 9999, 0)); /* we do not take part */
    await(&lane_counters()->drop_rx_unknown_network, 1);
    send_wire(packet, seal(len, VNI + 1, 0)); /* the peer does not */
    await(&t->other_network->ports[0].counters.drop_rx_forged_source, 1);
    assert_still_works();
}

static void test_a_peer_speaks_for_its_own_endpoints_only(void **state)
{
    struct guard_identity carol = { .mac = { 2, 0, 0, 0, 0, 3 },
                                    .has_ip4 = true,
                                    .ip4 = { 10, 0, 9, 3 } };
    struct fabric_counters *c = net_counters();
    size_t len;

    (void)state;
    add_endpoint(t->network, &t->stranger, &carol, &t->other_peer);
    len = make_reply(10);
    memcpy(frame + 6, carol.mac, 6);
    memcpy(frame + 26, carol.ip4, 4);
    send_wire(packet, seal(len, VNI, 0));
    await(&c->drop_rx_forged_source, 1);
    len = make_reply(10);
    memcpy(frame + 26, carol.ip4, 4); /* own MAC, another's address */
    send_wire(packet, seal(len, VNI, 0));
    await(&c->drop_rx_forged_source, 2);
    len = make_reply(10);
    memcpy(frame + 6, alice.mac, 6); /* one of this node */
    send_wire(packet, seal(len, VNI, 0));
    await(&c->drop_rx_forged_source, 3);
    len = make_reply(10);
    memcpy(frame, carol.mac, 6);
    send_wire(packet, seal(len, VNI, 0));
    await(&c->drop_rx_unknown_destination, 1);
    len = make_reply(10);
    frame_put16(frame + 12, FRAME_TYPE_ARP);
    send_wire(packet, seal(len, VNI, 0));
    await(&c->drop_rx_forbidden, 1);
    assert_still_works();
}

static void test_sealed_nonsense_is_no_frame(void **state)
{
    (void)state;
    memset(frame, 0x45, 64);
    frame_put16(frame + 12, FRAME_TYPE_IP4);
    send_wire(packet, seal(13, VNI, 0));
    send_wire(packet, seal(20, VNI, 0));
    send_wire(packet, seal(0, VNI, 0));
    await(&lane_counters()->drop_rx_bad_frame, 3);
    (void)frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 30 },
                     frame);
    memcpy(frame, alice.mac, 6);
    memcpy(frame + 6, bob.mac, 6);
    memcpy(frame + 26, bob.ip4, 4);
    send_wire(packet, seal(64, VNI, PACKET_CHECKSUM_PARTIAL)); /* no TCP or UDP to complete */
    await(&net_counters()->drop_rx_bad_frame, 1);
    assert_still_works();
}

static void test_sessions_of_before_are_unknown_and_hints_are_few(void **state)
{
    size_t len = make_reply(10);
    struct fabric_note note;
    int pokes = 0;

    (void)state;
    atomic_store(&t->lane->poke_credit, 3);
    for (int i = 0; i < 50; i++) {
        struct packet_header h = { .type = PACKET_CONTROL,
                                   .session = 500 << PACKET_LANE_BITS | PACKET_LANE_CONTROL };

        (void)seal(len, VNI, 0);
        packet_header_write(&h, packet);
        send_wire(packet, len + PACKET_OVERHEAD);
    }
    await(&lane_counters()->drop_rx_unknown_session, 50);
    while (lane_take_note(t->lane, &note))
        pokes += note.kind == FABRIC_POKE;
    assert_int_equal(pokes, 3);
    assert_still_works();
}

static void test_handshake_floods_stop_at_the_lane(void **state)
{
    static const uint8_t me[32] = { 9 }, them[32] = { 8 };
    uint8_t public_me[32], public_them[32], key_id[8];
    struct session_local local;
    struct packet_header h = { .type = PACKET_HELLO, .session = 8, .counter = 100 };
    struct fabric_note note;
    uint64_t number = 0;
    void *old = NULL;

    (void)state;
    crypto_scalarmult_base(public_me, me);
    crypto_scalarmult_base(public_them, them);
    session_local_init(&local, me, public_me, AEAD_CHACHA20POLY1305, 1, 1);
    assert_int_equal(session_init(&t->peer.session, &local, public_them), 0);
    session_key_id(public_them, key_id);
    for (int i = 0; i < 8; i++)
        number = number << 8 | key_id[i];
    assert_int_equal(table_set(&t->fabric.key_ids, number, &t->peer, &old), 0);
    memset(packet, 3, SESSION_HELLO_LEN);
    packet_header_write(&h, packet);
    for (int i = 0; i < 500; i++) { /* strangers, and the right name without the MAC */
        if (i == 250)
            memcpy(packet + PACKET_HEADER_LEN, key_id, sizeof(key_id));
        send_wire(packet, SESSION_HELLO_LEN);
        if (i % 50 == 49)
            await(&lane_counters()->drop_handshake_stranger, (uint64_t)i + 1);
    }
    while (lane_take_note(t->lane, &note))
        assert_int_not_equal(note.kind, FABRIC_HANDSHAKE);
    crypto_generichash(packet + SESSION_HELLO_LEN - SESSION_MAC_LEN, SESSION_MAC_LEN, packet,
                       SESSION_HELLO_LEN - SESSION_MAC_LEN, t->peer.session.mac_receive, 32);
    atomic_store(&t->peer.stamp_seen, 100);
    send_wire(packet, SESSION_HELLO_LEN);
    await(&lane_counters()->drop_handshake_replay, 1);
    atomic_store(&t->peer.stamp_seen, 99);
    for (int i = 0; i < LANE_NOTES + 20; i++)
        send_wire(packet, SESSION_HELLO_LEN);
    await(&lane_counters()->drop_handshake_overflow, 20); /* bounded, and counted */
    assert_still_works();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_frame_leaves_sealed),
        T(test_a_large_frame_leaves_in_packets_with_counters_in_order),
        T(test_without_udp_offload_the_same_packets_leave),
        T(test_nothing_leaves_without_keys),
        T(test_a_spent_key_seals_nothing),
        T(test_a_dense_stream_of_datagrams_is_gathered),
        T(test_what_a_container_may_not_send_is_dropped_and_counted),
        T(test_arp_is_answered_here),
        T(test_packets_of_one_frame_arrive_as_one),
        T(test_flows_that_alternate_are_joined_each),
        T(test_more_flows_than_joins_lose_nothing),
        T(test_cleartext_and_noise_are_refused),
        T(test_every_flipped_byte_is_refused),
        T(test_replayed_packets_are_refused),
        T(test_a_forged_counter_does_not_move_the_window),
        T(test_networks_are_separate),
        T(test_a_peer_speaks_for_its_own_endpoints_only),
        T(test_sealed_nonsense_is_no_frame),
        T(test_sessions_of_before_are_unknown_and_hints_are_few),
        T(test_handshake_floods_stop_at_the_lane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
