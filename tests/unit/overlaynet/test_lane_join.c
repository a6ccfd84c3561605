/* What came over the wire in packets reaches the container in frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <linux/udp.h>
#include <sys/socket.h>

#include "base/err.h"
#include "support_lane.h"

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
        size_t len = frame_make(&r, bench_frame);

        bench_turn_round();
        bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, PACKET_CHECKSUM_PARTIAL));
    }
    while (total < 4000) { /* as many frames as the kernel's timing makes of them */
        ssize_t n;

        assert_true(bench_is_readable(bench->tap, BENCH_WAIT_MS));
        n = recv(bench->tap, got, sizeof(got), 0);
        memcpy(&h, got, sizeof(h));
        assert_int_equal(h.flags, VNET_NEEDS_CHECKSUM);
        total += (size_t)n - sizeof(h) - 54;
    }
    assert_int_equal(total, 4000);
    bench_await(&bench_net_counters()->rx_packets, 4);
}

/* Packets of one message, as the kernel gathers them: it keeps what was sent by one call together.
 */
static void send_gathered(uint8_t *bytes, size_t len, uint16_t packet_len)
{
    int size = packet_len;

    assert_int_equal(setsockopt(bench->wire, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
    bench_send_wire(bytes, len);
    size = 0;
    assert_int_equal(setsockopt(bench->wire, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
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
        size_t len = frame_make(&r, bench_frame);

        bench_turn_round();
        bench_frame[42] = (uint8_t)(i / flows);
        packet_len = bench_seal(len, BENCH_VNI, PACKET_CHECKSUM_PARTIAL);
        memcpy(wire + at, bench_packet, packet_len);
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
    if (!bench->fabric.udp_gro || !atomic_load(&bench->fabric.udp_gso))
        skip(); /* the kernel would hand over one packet at a time */
    send_alternating(FLOWS, EACH, PAYLOAD);
    for (int f = 0; f < FLOWS; f++) {
        struct vnet_header h;
        const uint8_t *in = got + sizeof(h);

        assert_true(bench_is_readable(bench->tap, BENCH_WAIT_MS));
        assert_int_equal(recv(bench->tap, got, sizeof(got), 0), sizeof(h) + 42 + EACH * PAYLOAD);
        memcpy(&h, got, sizeof(h));
        assert_int_equal(h.gso_type, VNET_GSO_UDP);
        assert_int_equal(h.gso_size, PAYLOAD);
        seen[frame_get16(in + 34) - 2000] = true;
        for (int i = 0; i < EACH; i++) /* in their order */
            assert_int_equal(in[42 + i * PAYLOAD], i);
    }
    for (int f = 0; f < FLOWS; f++)
        assert_true(seen[f]);
    bench_assert_works();
}

/* More flows than are joined at a time: none is lost, each keeps its order. */
static void test_more_flows_than_joins_lose_nothing(void **state)
{
    static uint8_t got[70000];
    enum { FLOWS = LANE_JOINS + 3, ROUNDS = 2, PAYLOAD = 100 };
    unsigned next[FLOWS] = { 0 }, count = 0;

    (void)state;
    if (!bench->fabric.udp_gro || !atomic_load(&bench->fabric.udp_gso))
        skip();
    send_alternating(FLOWS, ROUNDS, PAYLOAD);
    while (count < FLOWS * ROUNDS) {
        const uint8_t *in = got + sizeof(struct vnet_header);
        ssize_t n;

        assert_true(bench_is_readable(bench->tap, BENCH_WAIT_MS));
        n = recv(bench->tap, got, sizeof(got), 0) - (ssize_t)(sizeof(struct vnet_header) + 42);
        for (int i = 0; i < n / PAYLOAD; i++, count++)
            assert_int_equal(in[42 + i * PAYLOAD], next[frame_get16(in + 34) - 2000]++);
    }
    bench_assert_works();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_packets_of_one_frame_arrive_as_one),
        BENCH_TEST(test_flows_that_alternate_are_joined_each),
        BENCH_TEST(test_more_flows_than_joins_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
