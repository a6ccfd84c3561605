/* What a lane sends of what a container says, and what it refuses to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/socket.h>

#include "support_lane.h"

static void test_a_frame_leaves_sealed(void **state)
{
    size_t len = frame_make(
        &(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 200 }, bench_frame);
    struct packet_header h;
    ssize_t n;

    (void)state;
    memcpy(bench_frame + 60, "MARKER-IN-CLEAR", 15);
    bench_send_tap(&bench_plain, bench_frame, len);
    assert_true(bench_is_readable(bench->wire, BENCH_WAIT_MS));
    n = recv(bench->wire, bench_packet, sizeof(bench_packet), 0);
    assert_int_equal(n, len + PACKET_OVERHEAD);
    assert_null(memmem(bench_packet, (size_t)n, "MARKER", 6));
    assert_int_equal(packet_header_read(bench_packet, (size_t)n, &h), 0);
    assert_int_equal(h.session, BENCH_REMOTE_BLOCK << PACKET_LANE_BITS);
    assert_int_equal(h.vni, BENCH_VNI);
    assert_true(aead_open(&bench->from_lane, h.counter, bench_packet,
                          bench_packet + PACKET_HEADER_LEN, (size_t)n - PACKET_HEADER_LEN,
                          bench_packet + PACKET_HEADER_LEN));
    assert_memory_equal(bench_packet + PACKET_HEADER_LEN, bench_frame, len);
}

static void test_a_large_frame_leaves_in_packets_with_counters_in_order(void **state)
{
    size_t len = frame_make(
        &(struct frame_recipe){
            .version = 4, .protocol = FRAME_PROTO_TCP, .payload_len = 30000, .tcp_flags = 0x10 },
        bench_frame);
    struct vnet_header h = { .flags = VNET_NEEDS_CHECKSUM,
                             .gso_type = VNET_GSO_TCP4,
                             .gso_size = 1300,
                             .checksum_start = 34,
                             .checksum_offset = 16 };
    size_t total = 0;

    (void)state;
    bench_send_tap(&h, bench_frame, len);
    for (uint64_t i = 0; total < 30000; i++) {
        struct packet_header got;
        ssize_t n;

        assert_true(bench_is_readable(bench->wire, BENCH_WAIT_MS));
        n = recv(bench->wire, bench_packet, sizeof(bench_packet), 0);
        assert_int_equal(packet_header_read(bench_packet, (size_t)n, &got), 0);
        assert_int_equal(got.counter, i);
        assert_int_equal(got.flags, PACKET_CHECKSUM_PARTIAL);
        assert_true(n <= 1440 + PACKET_OVERHEAD);
        total += (size_t)n - PACKET_OVERHEAD - 54;
    }
    assert_int_equal(total, 30000);
}

static void test_without_udp_offload_the_same_packets_leave(void **state)
{
    atomic_store(&bench->fabric.udp_gso, false);
    test_a_large_frame_leaves_in_packets_with_counters_in_order(state);
}

static void test_nothing_leaves_without_keys(void **state)
{
    size_t len = frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 9 },
                            bench_frame);

    (void)state;
    atomic_store(&bench->peer.tx, NULL);
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&bench_net_counters()->drop_tx_no_session, 1);
    assert_false(bench_is_readable(bench->wire, 0));
}

static void test_a_spent_key_seals_nothing(void **state)
{
    size_t len = frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 9 },
                            bench_frame);
    struct fabric_note note;

    (void)state;
    bench->tx->lanes[0].counter = SESSION_PACKETS_MAX - 1;
    bench_send_tap(&bench_plain, bench_frame, len);
    assert_true(bench_is_readable(bench->wire, BENCH_WAIT_MS));
    (void)recv(bench->wire, bench_packet, sizeof(bench_packet), 0);
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&bench_net_counters()->drop_tx_key_spent, 1);
    assert_false(bench_is_readable(bench->wire, 0));
    assert_true(lane_take_note(bench->lane, &note));
    assert_int_equal(note.kind, FABRIC_SPENT); /* once, and the control thread renews */
    assert_false(lane_take_note(bench->lane, &note));
}

/* And each is sent in the end. */
static void test_a_dense_stream_of_datagrams_is_gathered(void **state)
{
    size_t len = frame_make(
        &(struct frame_recipe){ .version = 4, .protocol = FRAME_PROTO_UDP, .payload_len = 50 },
        bench_frame);
    unsigned sent = 0;

    (void)state;
    while (bench_read(&bench_lane_counters()->gathered) < 3 && sent < 1000000) {
        struct pollfd room = { .fd = bench->tap, .events = POLLOUT };

        assert_true(poll(&room, 1, BENCH_WAIT_MS) > 0);
        bench_send_tap(&bench_plain, bench_frame, len);
        sent++;
        (void)recv(bench->wire, bench_packet, sizeof(bench_packet), MSG_DONTWAIT);
    }
    assert_true(bench_read(&bench_lane_counters()->gathered) >= 3);
    bench_await(&bench_net_counters()->tx_frames, sent);
}

static void test_what_a_container_may_not_send_is_dropped_and_counted(void **state)
{
    struct fabric_counters *c = bench_net_counters();
    const struct frame_recipe r = { .version = 4, .protocol = FRAME_PROTO_UDP, .payload_len = 50 };
    const struct vnet_header bad = { .flags = 1,
                                     .gso_type = VNET_GSO_TCP4,
                                     .gso_size = 100,
                                     .checksum_start = 34,
                                     .checksum_offset = 6 };
    size_t len;

    (void)state;
    len = frame_make(&r, bench_frame);
    bench_frame[11] ^= 7;
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&c->drop_tx_forged_source, 1);
    len = frame_make(&r, bench_frame);
    bench_frame[29] ^= 7;
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&c->drop_tx_forged_source, 2);
    len = frame_make(&r, bench_frame);
    bench_frame[5] ^= 7;
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&c->drop_tx_unknown_destination, 1);
    len = frame_make(&r, bench_frame);
    memset(bench_frame, 0xff, 6);
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&c->drop_tx_group, 1);
    len = frame_make(&r, bench_frame);
    frame_put16(bench_frame + 34, 67);
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&c->drop_tx_forbidden, 1);
    len = frame_make(&r, bench_frame);
    bench_send_tap(&bad, bench_frame, len);
    bench_await(&c->drop_tx_malformed, 1);
    bench_send_tap(&bench_plain, bench_frame, 13);
    bench_await(&c->drop_tx_malformed, 2);
    len = frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 3000 },
                     bench_frame);
    bench_send_tap(&bench_plain, bench_frame, len);
    bench_await(&c->drop_tx_too_large, 1);
    assert_false(bench_is_readable(bench->wire, 0));
}

static void test_arp_is_answered_here(void **state)
{
    static const uint8_t ask[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
    uint8_t got[256];

    (void)state;
    memset(bench_frame, 0, 42);
    memset(bench_frame, 0xff, 6);
    memcpy(bench_frame + 6, alice.mac, 6);
    frame_put16(bench_frame + 12, FRAME_TYPE_ARP);
    memcpy(bench_frame + 14, ask, sizeof(ask));
    memcpy(bench_frame + 22, alice.mac, 6);
    memcpy(bench_frame + 28, alice.ip4, 4);
    memcpy(bench_frame + 38, bob.ip4, 4);
    bench_send_tap(&bench_plain, bench_frame, 42);
    assert_true(bench_is_readable(bench->tap, BENCH_WAIT_MS));
    assert_int_equal(recv(bench->tap, got, sizeof(got), 0), 42 + sizeof(struct vnet_header));
    assert_memory_equal(got + sizeof(struct vnet_header) + 22, bob.mac, 6);
    assert_false(bench_is_readable(bench->wire, 0));
    bench_await(&bench_net_counters()->answered, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_frame_leaves_sealed),
        BENCH_TEST(test_a_large_frame_leaves_in_packets_with_counters_in_order),
        BENCH_TEST(test_without_udp_offload_the_same_packets_leave),
        BENCH_TEST(test_nothing_leaves_without_keys),
        BENCH_TEST(test_a_spent_key_seals_nothing),
        BENCH_TEST(test_a_dense_stream_of_datagrams_is_gathered),
        BENCH_TEST(test_what_a_container_may_not_send_is_dropped_and_counted),
        BENCH_TEST(test_arp_is_answered_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
