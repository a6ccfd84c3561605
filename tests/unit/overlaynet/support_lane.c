#include "support_lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "overlaynet/underlay.h"

struct lane_bench *bench;
uint8_t bench_frame[FRAME_LEN_MAX], bench_packet[70000];
const struct vnet_header bench_plain = { 0 };

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
    table_init(&n->by_mac, &bench->fabric.reclaim);
    table_init(&n->by_ip, &bench->fabric.reclaim);
    n->ports[0].network = n;
    n->ports[0].tap_fd = tap_fd;
    assert_int_equal(table_set(&bench->fabric.networks, vni, n, &old), 0);
    return n;
}

void bench_add_endpoint(struct fabric_network *n, struct fabric_endpoint *e,
                        const struct guard_identity *who, struct fabric_peer *peer)
{
    struct ip_addr a = { .len = 4 };
    void *old = NULL;

    e->identity = *who;
    e->peer = peer;
    memcpy(a.bytes, who->ip4, 4);
    assert_int_equal(table_set(&n->by_mac, fabric_mac_key(who->mac), e, &old), 0);
    assert_int_equal(table_set(&n->by_ip, fabric_ip_key(&bench->fabric, &a), e, &old), 0);
}

static void make_session(void)
{
    static const uint8_t secret_in[32] = { 1 }, secret_out[32] = { 2 };
    uint8_t key[AEAD_KEY_LEN];

    bench->rx = calloc(1, sizeof(*bench->rx) + sizeof(bench->rx->lanes[0]));
    bench->rx->peer = &bench->peer;
    bench->rx->block = BENCH_BLOCK;
    bench->rx->is_ready = true;
    bench->rx->suite = AEAD_CHACHA20POLY1305;
    bench->rx->lane_count = 1;
    bench->rx->lanes[0].serial = 1;
    session_lane_key(secret_in, AEAD_CHACHA20POLY1305, 0, bench->rx->lanes[0].key);
    session_lane_key(secret_in, AEAD_CHACHA20POLY1305, 0, key);
    aead_prepare(&bench->to_lane, AEAD_CHACHA20POLY1305, key);
    atomic_init(&bench->fabric.rx[BENCH_BLOCK], bench->rx);
    bench->tx = aligned_alloc(64, 512);
    memset(bench->tx, 0, 512);
    bench->tx->remote_block = BENCH_REMOTE_BLOCK;
    bench->tx->suite = AEAD_CHACHA20POLY1305;
    bench->tx->lane_count = 1;
    bench->tx->lanes[0].serial = 2;
    session_lane_key(secret_out, AEAD_CHACHA20POLY1305, 0, bench->tx->lanes[0].key);
    aead_prepare(&bench->from_lane, AEAD_CHACHA20POLY1305, bench->tx->lanes[0].key);
}

/* The socket that plays the other node. */
static void open_wire(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    bench->wire = socket(AF_INET, SOCK_DGRAM, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(bench->wire, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(bench->wire, (struct sockaddr *)&addr, &len), 0);
    memcpy(&bench->path.addr, &addr, sizeof(addr));
    bench->path.addr_len = sizeof(addr);
    bench->path.piece_max = 1440;
}

static void make_networks(void)
{
    int pair[2], second[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, second), 0);
    bench->tap = pair[0];
    bench->network = new_network(BENCH_VNI, pair[1]);
    bench->other_network = new_network(BENCH_VNI + 1, second[1]);
    (void)close(second[0]);
    bench_add_endpoint(bench->network, &bench->local, &alice, NULL);
    bench_add_endpoint(bench->network, &bench->remote, &bob, &bench->peer);
}

static void start_lane(const struct underlay *u)
{
    const struct lane_config cfg = { .fabric = &bench->fabric,
                                     .udp_fd = u->udp_fds[0],
                                     .send_fd = u->send_fds[0],
                                     .family = u->family,
                                     .on_note = on_note };

    assert_int_equal(lane_new(&cfg, &bench->lane), 0);
    bench->fabric.lanes[0] = bench->lane;
    assert_int_equal(lane_watch(bench->lane, &bench->network->ports[0]), 0);
    assert_int_equal(lane_run(bench->lane), 0);
}

int bench_set_up(void **state)
{
    struct ip_endpoint any = { .addr = { .len = 4, .bytes = { 127, 0, 0, 1 } } };
    struct fabric *f;
    struct underlay u;
    socklen_t len = sizeof(bench->lane_addr);

    (void)state;
    assert_int_equal(aead_start(), 0);
    bench = aligned_alloc(64, (sizeof(*bench) + 63) / 64 * 64);
    memset(bench, 0, sizeof(*bench));
    f = &bench->fabric;
    reclaim_init(&f->reclaim);
    table_init(&f->networks, &f->reclaim);
    table_init(&f->key_ids, &f->reclaim);
    f->lane_count = 1;
    f->common = aligned_alloc(64, (sizeof(*f->common) + 63) / 64 * 64);
    memset(f->common, 0, sizeof(*f->common));
    assert_int_equal(underlay_open(&any, 1, &u), 0);
    f->udp_gro = u.gro;
    f->tap_uso = true;
    atomic_init(&f->udp_gso, u.gso);
    assert_int_equal(getsockname(u.udp_fds[0], (struct sockaddr *)&bench->lane_addr, &len), 0);
    open_wire();
    make_networks();
    make_session();
    atomic_init(&bench->peer.tx, bench->tx);
    atomic_init(&bench->peer.path, &bench->path);
    start_lane(&u);
    return 0;
}

int bench_tear_down(void **state)
{
    struct fabric_network *nets[] = { bench->network, bench->other_network };

    (void)state;
    lane_free(bench->lane);
    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        (void)close(nets[i]->ports[0].tap_fd);
        table_deinit(&nets[i]->by_mac);
        table_deinit(&nets[i]->by_ip);
        free(nets[i]);
    }
    table_deinit(&bench->fabric.networks);
    table_deinit(&bench->fabric.key_ids);
    reclaim_deinit(&bench->fabric.reclaim);
    (void)close(bench->tap);
    (void)close(bench->wire);
    free(bench->fabric.common);
    free(bench->rx);
    free(bench->tx);
    free(bench);
    return 0;
}

/* --- What the test does as the other node, and as a container --------------------------------- */

void bench_send_wire(const uint8_t *bytes, size_t len)
{
    assert_int_equal(sendto(bench->wire, bytes, len, 0, (struct sockaddr *)&bench->lane_addr,
                            sizeof(bench->lane_addr)),
                     (ssize_t)len);
}

size_t bench_seal(size_t len, uint32_t vni, uint8_t flags)
{
    struct packet_header h = { .type = PACKET_DATA,
                               .session = BENCH_BLOCK << PACKET_LANE_BITS,
                               .vni = vni,
                               .flags = flags,
                               .counter = bench->counter++ };

    packet_header_write(&h, bench_packet);
    aead_seal(&bench->to_lane, h.counter, bench_packet, bench_frame, len,
              bench_packet + PACKET_HEADER_LEN);
    return len + PACKET_OVERHEAD;
}

void bench_turn_round(void)
{
    memcpy(bench_frame, alice.mac, 6);
    memcpy(bench_frame + 6, bob.mac, 6);
    memcpy(bench_frame + 26, bob.ip4, 4);
    memcpy(bench_frame + 30, alice.ip4, 4);
}

size_t bench_make_reply(size_t payload_len)
{
    size_t len = frame_make(&(struct frame_recipe){ .version = 4,
                                                    .protocol = FRAME_PROTO_UDP,
                                                    .payload_len = payload_len },
                            bench_frame);

    bench_turn_round();
    return len;
}

bool bench_is_readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, ms) > 0;
}

uint64_t bench_read(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void bench_await(const _Atomic uint64_t *c, uint64_t value)
{
    for (int i = 0; i < BENCH_WAIT_MS && bench_read(c) < value; i++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(bench_read(c), value);
}

void bench_assert_works(void)
{
    uint8_t got[2048];
    size_t len = bench_make_reply(33);

    bench_send_wire(bench_packet, bench_seal(len, BENCH_VNI, 0));
    assert_true(bench_is_readable(bench->tap, BENCH_WAIT_MS));
    assert_int_equal(recv(bench->tap, got, sizeof(got), 0),
                     (ssize_t)(len + sizeof(struct vnet_header)));
    assert_memory_equal(got + sizeof(struct vnet_header), bench_frame, len);
    assert_false(bench_is_readable(bench->tap, 0)); /* and nothing else came */
}

struct fabric_counters *bench_net_counters(void)
{
    return &bench->network->ports[0].counters;
}

struct fabric_counters *bench_lane_counters(void)
{
    return &bench->fabric.common[0];
}

void bench_send_tap(const struct vnet_header *h, const uint8_t *bytes, size_t len)
{
    static uint8_t buffer[70000];

    memcpy(buffer, h, sizeof(*h));
    memcpy(buffer + sizeof(*h), bytes, len);
    assert_int_equal(send(bench->tap, buffer, len + sizeof(*h), 0), (ssize_t)(len + sizeof(*h)));
}
