/* What a lane believes of what comes over the wire: nothing that was not sealed by who may say it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <sys/socket.h>

#include "support_lane.h"

/* And each is opened in the end; the wire is heard again afterwards. */
static void test_a_dense_stream_from_the_wire_is_gathered(void **state)
{
    uint8_t got[2048];
    unsigned sent = 0;

    (void)state;
    while (bench_read(&bench_lane_counters()->gathered) < 3 && sent < 1000000) {
        bench_send_wire(bench_packet, bench_seal(bench_make_reply(50), BENCH_VNI, 0));
        sent++;
        while (recv(bench->tap, got, sizeof(got), MSG_DONTWAIT) > 0)
            ;
    }
    assert_true(bench_read(&bench_lane_counters()->gathered) >= 3);
    bench_await(&bench_net_counters()->rx_packets, sent);
    while (recv(bench->tap, got, sizeof(got), MSG_DONTWAIT) > 0)
        ;
    bench_assert_works();
}

static void test_cleartext_and_noise_are_refused(void **state)
{
    static const uint8_t vxlan[] = { 8, 0, 0, 0, 0, 0x12, 0x67, 0 };
    size_t len = bench_make_reply(60);
    uint64_t count = 0;

    (void)state;
    memcpy(bench_packet, vxlan, sizeof(vxlan));
    memcpy(bench_packet + 8, bench_frame, len);
    bench_send_wire(bench_packet, len + 8);
    bench_await(&bench_lane_counters()->drop_rx_malformed, ++count);
    for (size_t n = 0; n < PACKET_OVERHEAD; n += 5) {
        (void)bench_seal(len, BENCH_VNI, 0);
        bench_send_wire(bench_packet, n);
        bench_await(&bench_lane_counters()->drop_rx_malformed, ++count);
    }
    bench_assert_works();
}

static void test_every_flipped_byte_is_refused(void **state)
{
    size_t len = bench_make_reply(40);
    size_t whole = len + PACKET_OVERHEAD;

    (void)state;
    for (size_t i = 0; i < whole; i++) {
        (void)bench_seal(len, BENCH_VNI, 0);
        bench_packet[i] ^= 0x10;
        bench_send_wire(bench_packet, whole);
    }
    for (size_t n = PACKET_OVERHEAD; n < whole; n++) {
        (void)bench_seal(len, BENCH_VNI, 0);
        bench_send_wire(bench_packet, n); /* truncated */
    }
    bench_assert_works();
    assert_int_equal(bench_read(&bench_net_counters()->rx_packets), 1);
}

static void test_replayed_packets_are_refused(void **state)
{
    size_t len = bench_make_reply(10), whole = bench_seal(len, BENCH_VNI, 0);
    uint8_t copy[512], got[512];

    (void)state;
    memcpy(copy, bench_packet, whole);
    bench_send_wire(copy, whole);
    assert_true(bench_is_readable(bench->tap, BENCH_WAIT_MS));
    (void)recv(bench->tap, got, sizeof(got), 0);
    for (int i = 0; i < 10; i++)
        bench_send_wire(copy, whole);
    bench_await(&bench_lane_counters()->drop_rx_replay, 10);
    bench->counter = REPLAY_WINDOW + 10; /* the window moves past the first packets */
    bench_assert_works();
    bench->counter = 5;
    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, 0));
    bench_await(&bench_lane_counters()->drop_rx_replay, 11);
    bench->counter = REPLAY_WINDOW + 9; /* late, but inside the window */
    bench_assert_works();
}

static void test_a_forged_counter_does_not_move_the_window(void **state)
{
    size_t len = bench_make_reply(10), whole = bench_seal(len, BENCH_VNI, 0);

    (void)state;
    memset(bench_packet + 8, 0xf0, 8);
    bench_send_wire(bench_packet, whole);
    bench_await(&bench_lane_counters()->drop_rx_forged, 1);
    bench_assert_works();
}

static void test_networks_are_separate(void **state)
{
    size_t len = bench_make_reply(10);

    (void)state;
    bench_send_wire(bench_packet, bench_seal(len, 9999, 0)); /* we do not take part */
    bench_await(&bench_lane_counters()->drop_rx_unknown_network, 1);
    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI + 1, 0)); /* the peer does not */
    bench_await(&bench->other_network->ports[0].counters.drop_rx_forged_source, 1);
    bench_assert_works();
}

static void test_a_peer_speaks_for_its_own_endpoints_only(void **state)
{
    struct guard_identity carol = { .mac = { 2, 0, 0, 0, 0, 3 },
                                    .has_ip4 = true,
                                    .ip4 = { 10, 0, 9, 3 } };
    struct fabric_counters *c = bench_net_counters();
    size_t len;

    (void)state;
    bench_add_endpoint(bench->network, &bench->stranger, &carol, &bench->other_peer);
    len = bench_make_reply(10);
    memcpy(bench_frame + 6, carol.mac, 6);
    memcpy(bench_frame + 26, carol.ip4, 4);
    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, 0));
    bench_await(&c->drop_rx_forged_source, 1);
    len = bench_make_reply(10);
    memcpy(bench_frame + 26, carol.ip4, 4); /* own MAC, another's address */
    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, 0));
    bench_await(&c->drop_rx_forged_source, 2);
    len = bench_make_reply(10);
    memcpy(bench_frame + 6, alice.mac, 6); /* one of this node */
    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, 0));
    bench_await(&c->drop_rx_forged_source, 3);
    len = bench_make_reply(10);
    memcpy(bench_frame, carol.mac, 6);
    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, 0));
    bench_await(&c->drop_rx_unknown_destination, 1);
    len = bench_make_reply(10);
    frame_put16(bench_frame + 12, FRAME_TYPE_ARP);
    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, 0));
    bench_await(&c->drop_rx_forbidden, 1);
    bench_assert_works();
}

static void test_sealed_nonsense_is_no_frame(void **state)
{
    (void)state;
    memset(bench_frame, 0x45, 64);
    frame_put16(bench_frame + 12, FRAME_TYPE_IP4);
    bench_send_wire(bench_packet, bench_seal(13, BENCH_VNI, 0));
    bench_send_wire(bench_packet, bench_seal(20, BENCH_VNI, 0));
    bench_send_wire(bench_packet, bench_seal(0, BENCH_VNI, 0));
    bench_await(&bench_lane_counters()->drop_rx_bad_frame, 3);
    (void)frame_make(&(struct frame_recipe){ .version = 4, .protocol = 1, .payload_len = 30 },
                     bench_frame);
    memcpy(bench_frame, alice.mac, 6);
    memcpy(bench_frame + 6, bob.mac, 6);
    memcpy(bench_frame + 26, bob.ip4, 4);
    bench_send_wire(
        bench_packet,
        bench_seal(64, BENCH_VNI, PACKET_CHECKSUM_PARTIAL)); /* no TCP or UDP to complete */
    bench_await(&bench_net_counters()->drop_rx_bad_frame, 1);
    bench_assert_works();
}

static void test_sessions_of_before_are_unknown_and_hints_are_few(void **state)
{
    size_t len = bench_make_reply(10);
    struct fabric_note note;
    int pokes = 0;

    (void)state;
    atomic_store(&bench->lane->poke_credit, 3);
    for (int i = 0; i < 50; i++) {
        struct packet_header h = { .type = PACKET_CONTROL,
                                   .session = 500 << PACKET_LANE_BITS | PACKET_LANE_CONTROL };

        (void)bench_seal(len, BENCH_VNI, 0);
        packet_header_write(&h, bench_packet);
        bench_send_wire(bench_packet, len + PACKET_OVERHEAD);
    }
    bench_await(&bench_lane_counters()->drop_rx_unknown_session, 50);
    while (lane_take_note(bench->lane, &note))
        pokes += note.kind == FABRIC_POKE;
    assert_int_equal(pokes, 3);
    bench_assert_works();
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
    assert_int_equal(session_init(&bench->peer.session, &local, public_them), 0);
    session_key_id(public_them, key_id);
    for (int i = 0; i < 8; i++)
        number = number << 8 | key_id[i];
    assert_int_equal(table_set(&bench->fabric.key_ids, number, &bench->peer, &old), 0);
    memset(bench_packet, 3, SESSION_HELLO_LEN);
    packet_header_write(&h, bench_packet);
    for (int i = 0; i < 500; i++) { /* strangers, and the right name without the MAC */
        if (i == 250)
            memcpy(bench_packet + PACKET_HEADER_LEN, key_id, sizeof(key_id));
        bench_send_wire(bench_packet, SESSION_HELLO_LEN);
        if (i % 50 == 49)
            bench_await(&bench_lane_counters()->drop_handshake_stranger, (uint64_t)i + 1);
    }
    while (lane_take_note(bench->lane, &note))
        assert_int_not_equal(note.kind, FABRIC_HANDSHAKE);
    crypto_generichash(bench_packet + SESSION_HELLO_LEN - SESSION_MAC_LEN, SESSION_MAC_LEN,
                       bench_packet, SESSION_HELLO_LEN - SESSION_MAC_LEN,
                       bench->peer.session.mac_receive, 32);
    atomic_store(&bench->peer.stamp_seen, 100);
    bench_send_wire(bench_packet, SESSION_HELLO_LEN);
    bench_await(&bench_lane_counters()->drop_handshake_replay, 1);
    atomic_store(&bench->peer.stamp_seen, 99);
    for (int i = 0; i < LANE_NOTES + 20; i++)
        bench_send_wire(bench_packet, SESSION_HELLO_LEN);
    bench_await(&bench_lane_counters()->drop_handshake_overflow, 20); /* bounded, and counted */
    bench_assert_works();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_a_dense_stream_from_the_wire_is_gathered),
        BENCH_TEST(test_cleartext_and_noise_are_refused),
        BENCH_TEST(test_every_flipped_byte_is_refused),
        BENCH_TEST(test_replayed_packets_are_refused),
        BENCH_TEST(test_a_forged_counter_does_not_move_the_window),
        BENCH_TEST(test_networks_are_separate),
        BENCH_TEST(test_a_peer_speaks_for_its_own_endpoints_only),
        BENCH_TEST(test_sealed_nonsense_is_no_frame),
        BENCH_TEST(test_sessions_of_before_are_unknown_and_hints_are_few),
        BENCH_TEST(test_handshake_floods_stop_at_the_lane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
