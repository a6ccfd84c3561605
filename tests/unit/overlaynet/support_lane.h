/* tests/unit/overlaynet/support_lane.h - One lane between a TAP and a wire that the test holds.
 *
 * The TAP is a pair of datagram sockets, the wire a UDP socket on loopback that plays the other
 * node and knows the session's keys. So every attack is made with packets of the right form. */
#ifndef TESTS_SUPPORT_LANE_H
#define TESTS_SUPPORT_LANE_H

#include <netinet/in.h>

#include "overlaynet/lane.h"
#include "support_frames.h"

#define BENCH_VNI          4711
#define BENCH_BLOCK        77
#define BENCH_REMOTE_BLOCK 99
#define BENCH_WAIT_MS      2000

struct lane_bench {
    struct fabric fabric;
    struct lane *lane;
    struct fabric_network *network, *other_network; /* the peer takes part in the first only */
    struct fabric_endpoint local, remote, stranger; /* alice, bob; the test's own */
    struct fabric_peer peer, other_peer;
    struct fabric_rx *rx;
    struct fabric_tx *tx;
    struct fabric_path path;
    struct aead_key to_lane, from_lane; /* of the other node */
    uint64_t counter;
    int tap, wire;
    struct sockaddr_in lane_addr;
};
extern struct lane_bench *bench;
extern uint8_t bench_frame[FRAME_LEN_MAX], bench_packet[70000]; /* the test's scratch */
extern const struct vnet_header bench_plain;

int bench_set_up(void **state); /* of each test */
int bench_tear_down(void **state);
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

void bench_add_endpoint(struct fabric_network *n, struct fabric_endpoint *e,
                        const struct guard_identity *who, struct fabric_peer *peer);

/* Seals `len` bytes of `bench_frame` into `bench_packet`; how long that is. */
size_t bench_seal(size_t len, uint32_t vni, uint8_t flags);
/* `bench_frame`, made from alice to bob, goes from bob to alice. */
void bench_turn_round(void);
/* A frame from bob to alice, as the other node would send it. */
size_t bench_make_reply(size_t payload_len);

void bench_send_wire(const uint8_t *bytes, size_t len);
void bench_send_tap(const struct vnet_header *h, const uint8_t *bytes, size_t len);
bool bench_is_readable(int fd, int ms);

struct fabric_counters *bench_net_counters(void);
struct fabric_counters *bench_lane_counters(void);
uint64_t bench_read(const _Atomic uint64_t *c);
/* Waits for a counter to reach a value; never sleeps longer than it must. */
void bench_await(const _Atomic uint64_t *c, uint64_t value);
/* A packet that must get through: what was sent before it has then been handled. */
void bench_assert_works(void);

#endif /* TESTS_SUPPORT_LANE_H */
