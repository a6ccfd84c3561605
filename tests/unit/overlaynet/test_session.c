/* Sessions: two machines, a network between them that the test holds in its hands, and a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/err.h"
#include "base/prng.h"
#include "overlaynet/session.h"

#define QUEUE 64

struct packet {
    uint8_t bytes[SESSION_HELLO_LEN];
    size_t len;
};

/* A node with one peer. */
struct node {
    struct session_local local;
    struct session session;
    struct session_keys keys[64]; /* by block */
    bool installed[64];
    int active; /* block that it sends under; -1 = none */
    bool is_up;
    int ups, downs, keepalives;
    uint32_t next_block;
    struct packet sent[QUEUE]; /* handshakes on the wire */
    size_t sent_count;
    struct ip_endpoint addr;
};

static struct prng prng;
static mono_ns now;

static void make_keys(int seed, uint8_t secret[32], uint8_t public_key[32])
{
    memset(secret, seed, 32);
    crypto_scalarmult_base(public_key, secret);
}

static void draw(struct node *n, struct session_chance *c)
{
    prng_bytes(&prng, c->ephemeral, sizeof(c->ephemeral));
    c->jitter = (uint32_t)prng_u64(&prng);
    c->block = n->next_block;
}

/* Does what the machine says, as the driver would. */
static void obey(struct node *n, struct session_output *out)
{
    if (out->block_used)
        n->next_block++;
    assert_true(n->next_block < 64);
    for (size_t i = 0; i < out->command_count; i++) {
        uint16_t block = out->commands[i].block;

        switch (out->commands[i].kind) {
        case SESSION_INSTALL:
            n->keys[block] = out->keys;
            n->installed[block] = true;
            break;
        case SESSION_ACTIVATE:
            assert_true(n->installed[block]);
            n->active = block;
            break;
        case SESSION_RETIRE:
            n->installed[block] = false;
            break;
        case SESSION_SILENCE:
            n->active = -1;
            break;
        case SESSION_UP:
            assert_false(n->is_up);
            n->is_up = true;
            n->ups++;
            break;
        case SESSION_DOWN:
            assert_true(n->is_up);
            n->is_up = false;
            n->downs++;
            break;
        case SESSION_KEEPALIVE:
            n->keepalives++;
            break;
        }
    }
    if (out->packet_len > 0) {
        assert_true(n->sent_count < QUEUE);
        n->sent[n->sent_count].len = out->packet_len;
        memcpy(n->sent[n->sent_count++].bytes, out->packet, out->packet_len);
    }
}

static void start_node(struct node *n, int seed, int peer_seed, uint8_t suites, uint32_t boot)
{
    uint8_t secret[32], public_key[32], peer_secret[32], peer_public[32];

    memset(n, 0, sizeof(*n));
    make_keys(seed, secret, public_key);
    make_keys(peer_seed, peer_secret, peer_public);
    session_local_init(&n->local, secret, public_key, suites, 2, boot);
    assert_int_equal(session_init(&n->session, &n->local, peer_public), 0);
    n->active = -1;
    n->addr = (struct ip_endpoint){ .addr = ip4_of_u32(0x0a000000 + (uint32_t)seed), .port = 7947 };
    session_set_addrs(
        &n->session,
        &(struct ip_endpoint){ .addr = ip4_of_u32(0x0a000000 + (uint32_t)peer_seed), .port = 7947 },
        1);
    session_set_wanted(&n->session, true, now);
}

static void tick(struct node *n)
{
    struct session_chance c;
    struct session_output out;

    if (session_deadline(&n->session) > now)
        return;
    draw(n, &c);
    session_on_timer(&n->session, &n->local, now, &c, &out);
    obey(n, &out);
}

/* Hands a handshake packet to a node, behind the test of its MAC as the lanes have it. */
static int receive(struct node *n, const struct packet *p, const struct ip_endpoint *from)
{
    struct session_chance c;
    struct session_output out;
    int rc;

    if (!session_is_from(&n->session, slice_of(p->bytes, p->len)))
        return ERR_FORBIDDEN;
    draw(n, &c);
    rc = session_on_handshake(&n->session, &n->local, slice_of(p->bytes, p->len), from, now, &c,
                              &out);
    if (rc == 0)
        obey(n, &out);
    return rc;
}

/* Sealed keep-alives: what one sends, the other hears if it still has that session. */
static void exchange_keepalives(struct node *from, struct node *to)
{
    for (; from->keepalives > 0; from->keepalives--) {
        struct session_output out;
        uint16_t block;

        if (from->active < 0)
            continue;
        block = from->keys[from->active].remote_block;
        if (!to->installed[block])
            continue;
        if (memcmp(from->keys[from->active].send, to->keys[block].receive, 32) != 0)
            continue; /* it restarted and uses the block again: the packet does not open */
        session_on_heard(&to->session, block, &from->addr, now, &out);
        obey(to, &out);
    }
}

static void deliver_all(struct node *from, struct node *to)
{
    for (size_t i = 0; i < from->sent_count; i++) {
        struct packet p = from->sent[i];
        int rc = receive(to, &p, &from->addr);

        assert_true(rc == 0 || rc == ERR_STALE || rc == ERR_IN_USE);
    }
    from->sent_count = 0;
}

static void settle(struct node *a, struct node *b)
{
    for (int i = 0; i < 6; i++) {
        tick(a);
        tick(b);
        deliver_all(a, b);
        deliver_all(b, a);
        exchange_keepalives(a, b);
        exchange_keepalives(b, a);
    }
}

static void assert_connected(const struct node *a, const struct node *b)
{
    const struct session_keys *ka, *kb;

    assert_true(a->active >= 0 && b->active >= 0);
    ka = &a->keys[a->active];
    kb = &b->keys[b->active];
    assert_int_equal(ka->local_block, kb->remote_block);
    assert_int_equal(kb->local_block, ka->remote_block);
    assert_memory_equal(ka->send, kb->receive, 32);
    assert_memory_equal(kb->send, ka->receive, 32);
    assert_memory_not_equal(ka->send, ka->receive, 32);
}

static int setup(void **state)
{
    (void)state;
    prng_init(&prng, 7);
    now = 1000 * NS_PER_S;
    return sodium_init() < 0;
}

static struct node a, b;

static void start_both(void)
{
    start_node(&a, 1, 2, AEAD_AES256GCM | AEAD_CHACHA20POLY1305, 1);
    start_node(&b, 2, 1, AEAD_AES256GCM | AEAD_CHACHA20POLY1305, 1);
}

static void test_two_nodes_agree_in_one_round_trip(void **state)
{
    (void)state;
    start_both();
    tick(&a);
    assert_int_equal(a.sent_count, 1);
    deliver_all(&a, &b);
    assert_int_equal(b.active, -1); /* the HELLO alone proves nothing */
    assert_int_equal(b.sent_count, 1);
    deliver_all(&b, &a);
    assert_true(a.active >= 0 && a.is_up);
    exchange_keepalives(&a, &b);
    assert_connected(&a, &b);
    assert_true(b.is_up);
    assert_int_equal(a.keys[a.active].suite, AEAD_AES256GCM);
    assert_int_equal(a.keys[a.active].remote_lanes, 2);
}

static void test_crossing_hellos_end_in_one_session(void **state)
{
    (void)state;
    start_both();
    tick(&a);
    tick(&b);
    settle(&a, &b);
    assert_connected(&a, &b);
    assert_int_equal(a.session.handshakes, 1);
    assert_int_equal(b.session.handshakes, 1);
    now += 60 * NS_PER_S / 2;
    settle(&a, &b);
    assert_connected(&a, &b);
}

static void test_suites_are_negotiated_and_fail_closed(void **state)
{
    (void)state;
    start_node(&a, 1, 2, AEAD_AES256GCM | AEAD_CHACHA20POLY1305, 1);
    start_node(&b, 2, 1, AEAD_CHACHA20POLY1305, 1);
    settle(&a, &b);
    assert_connected(&a, &b);
    assert_int_equal(a.keys[a.active].suite, AEAD_CHACHA20POLY1305);
    start_node(&a, 1, 2, AEAD_AES256GCM, 1);
    start_node(&b, 2, 1, AEAD_CHACHA20POLY1305, 1);
    tick(&a);
    assert_int_equal(receive(&b, &a.sent[0], &a.addr), ERR_UNSUPPORTED);
    assert_int_equal(b.active, -1);
}

static void test_keys_are_renewed_and_the_old_ones_linger(void **state)
{
    int first;

    (void)state;
    start_both();
    settle(&a, &b);
    first = a.active;
    for (int s = 0; s < 119; s++) {
        now += NS_PER_S;
        settle(&a, &b);
    }
    assert_int_equal(a.active, first);
    now += 2 * NS_PER_S;
    settle(&a, &b);
    assert_int_not_equal(a.active, first);
    assert_connected(&a, &b);
    assert_true(a.installed[first]); /* stragglers */
    assert_memory_not_equal(a.keys[a.active].send, a.keys[first].send, 32);
    for (mono_ns end = now + SESSION_LINGER_NS; now < end; now += NS_PER_S)
        settle(&a, &b);
    settle(&a, &b);
    assert_false(a.installed[first]);
    assert_int_equal(a.downs + b.downs, 0);
}

static void test_old_keys_expire_when_they_cannot_be_renewed(void **state)
{
    (void)state;
    start_both();
    settle(&a, &b);
    for (int s = 0; s < 181; s++) { /* everything is lost */
        now += NS_PER_S;
        tick(&a);
        tick(&b);
        a.sent_count = b.sent_count = 0;
        a.keepalives = b.keepalives = 0;
    }
    assert_int_equal(a.active, -1);
    assert_int_equal(b.active, -1);
    assert_int_equal(a.downs, 1);
    for (int s = 0; s < 8; s++) {
        now += NS_PER_S;
        settle(&a, &b);
    }
    assert_connected(&a, &b);
    assert_int_equal(a.ups, 2);
}

static void test_a_silent_peer_is_down_after_15_s(void **state)
{
    (void)state;
    start_both();
    settle(&a, &b);
    for (int s = 0; s < 14; s++) {
        now += NS_PER_S;
        tick(&a);
    }
    assert_true(a.is_up);
    now += 2 * NS_PER_S;
    tick(&a);
    assert_false(a.is_up);
}

static void test_lost_hellos_are_repeated_with_growing_pauses(void **state)
{
    mono_ns last = 0, pause_before = 0;
    int count = 0;

    (void)state;
    start_both();
    for (mono_ns end = now + 60 * NS_PER_S; now < end; now += 10 * NS_PER_MS) {
        tick(&a);
        if (a.sent_count == 0)
            continue;
        a.sent_count = 0;
        if (last != 0) {
            mono_ns pause = now - last;

            assert_true(pause + pause / 3 + 20 * NS_PER_MS >= pause_before);
            assert_true(pause <= SESSION_RETRY_MAX_NS * 4 / 3 + 20 * NS_PER_MS);
            pause_before = pause;
        }
        last = now;
        count++;
    }
    assert_in_range(count, 10, 20);
    settle(&a, &b);
    now += 7 * NS_PER_S;
    settle(&a, &b);
    assert_connected(&a, &b);
}

static void test_recorded_handshakes_are_refused(void **state)
{
    struct packet hello, welcome;

    (void)state;
    start_both();
    tick(&a);
    hello = a.sent[0];
    deliver_all(&a, &b);
    welcome = b.sent[0];
    deliver_all(&b, &a);
    exchange_keepalives(&a, &b);
    assert_connected(&a, &b);
    assert_int_equal(receive(&b, &hello, &a.addr), ERR_STALE);
    assert_int_equal(receive(&a, &welcome, &b.addr), ERR_STALE);
    assert_connected(&a, &b);
    /* After b's restart its memory of stamps is gone: the HELLO is answered, but b sends nothing
     * under what comes of it, and the true peer gets through. */
    start_node(&b, 2, 1, AEAD_AES256GCM, 2);
    assert_int_equal(receive(&b, &hello, &a.addr), 0);
    assert_int_equal(b.active, -1);
    b.sent_count = 0; /* the attacker cannot read it */
    settle(&a, &b);
    now += 2 * NS_PER_S;
    settle(&a, &b);
    assert_connected(&a, &b);
}

static void test_a_restarted_node_is_back_at_once(void **state)
{
    mono_ns before;

    (void)state;
    start_both();
    settle(&a, &b);
    now += 30 * NS_PER_S;
    settle(&a, &b);
    before = now;
    start_node(&a, 1, 2, AEAD_AES256GCM, 2); /* new boot: larger stamps */
    settle(&a, &b);
    assert_connected(&a, &b);
    assert_int_equal(now, before);
    start_node(&b, 2, 1, AEAD_AES256GCM, 2); /* b loses its keys, a is told by a packet's return */
    session_set_wanted(&b.session, false, now);
    now += 2 * NS_PER_S;
    session_on_poke(&a.session, now);
    settle(&a, &b);
    assert_connected(&a, &b);
}

static void test_a_node_with_a_stamp_from_the_past_is_refused(void **state)
{
    (void)state;
    start_both();
    b.session.stamp_seen = UINT64_C(5) << 32;
    tick(&a);
    assert_int_equal(receive(&b, &a.sent[0], &a.addr), ERR_STALE);
}

static void test_pokes_cannot_cause_a_flood(void **state)
{
    size_t sent = 0;

    (void)state;
    start_both();
    settle(&a, &b);
    for (int i = 0; i < 1000; i++) { /* ten seconds */
        now += 10 * NS_PER_MS;
        session_on_poke(&a.session, now);
        tick(&a);
        sent += a.sent_count;
        deliver_all(&a, &b);
        deliver_all(&b, &a);
        exchange_keepalives(&a, &b);
        exchange_keepalives(&b, &a);
    }
    assert_true(sent <= 11);
    assert_connected(&a, &b);
}

static void test_strangers_and_damaged_packets_leave_no_state(void **state)
{
    struct node c;
    struct session before;

    (void)state;
    start_both();
    start_node(&c, 3, 2, AEAD_AES256GCM, 1); /* knows b's key; b expects a */
    tick(&c);
    before = b.session;
    assert_int_equal(receive(&b, &c.sent[0], &c.addr), ERR_FORBIDDEN);
    tick(&a);
    for (size_t bit = 0; bit < 8 * SESSION_HELLO_LEN; bit++) {
        struct packet p = a.sent[0];

        p.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(receive(&b, &p, &a.addr), ERR_FORBIDDEN);
    }
    assert_memory_equal(&before, &b.session, sizeof(before));
    /* One that has the MAC key but not the ephemeral's secret does not get further. */
    for (size_t at = PACKET_HEADER_LEN + SESSION_KEY_ID_LEN;
         at < SESSION_HELLO_LEN - SESSION_MAC_LEN; at++) {
        struct packet p = a.sent[0];
        struct session_output out;
        struct session_chance chance;

        p.bytes[at] ^= 1;
        draw(&b, &chance);
        assert_int_not_equal(session_on_handshake(&b.session, &b.local, slice_of(p.bytes, p.len),
                                                  &a.addr, now, &chance, &out),
                             0);
    }
    assert_int_equal(b.next_block, 0);
    assert_int_equal(receive(&b, &a.sent[0], &a.addr), 0);
}

static void test_the_address_follows_authentic_packets_only(void **state)
{
    struct ip_endpoint elsewhere = { .addr = ip4_of_u32(0x0a090909), .port = 4000 };
    struct session_output out;

    (void)state;
    start_both();
    settle(&a, &b);
    assert_int_equal(session_addr(&b.session).addr.bytes[3], 1);
    session_on_heard(&b.session, (uint16_t)b.active, &elsewhere, now, &out);
    assert_int_equal(session_addr(&b.session).port, 4000);
    session_on_heard(&b.session, 60, &(struct ip_endpoint){ .addr = ip4_of_u32(1), .port = 1 }, now,
                     &out); /* of a session that is gone */
    assert_int_equal(session_addr(&b.session).port, 4000);
}

static void test_lane_keys_differ_in_direction_lane_and_suite(void **state)
{
    uint8_t key[6][AEAD_KEY_LEN];

    (void)state;
    start_both();
    settle(&a, &b);
    session_lane_key(a.keys[a.active].send, AEAD_AES256GCM, 0, key[0]);
    session_lane_key(a.keys[a.active].send, AEAD_AES256GCM, 1, key[1]);
    session_lane_key(a.keys[a.active].send, AEAD_CHACHA20POLY1305, 0, key[2]);
    session_lane_key(a.keys[a.active].receive, AEAD_AES256GCM, 0, key[3]);
    session_lane_key(a.keys[a.active].send, AEAD_AES256GCM, PACKET_LANE_CONTROL, key[4]);
    session_lane_key(b.keys[b.active].receive, AEAD_AES256GCM, 0, key[5]);
    for (int i = 0; i < 5; i++)
        for (int k = i + 1; k < 5; k++)
            assert_memory_not_equal(key[i], key[k], AEAD_KEY_LEN);
    assert_memory_equal(key[0], key[5], AEAD_KEY_LEN);
}

static void test_nothing_is_answered_without_a_free_block(void **state)
{
    struct session_chance c;
    struct session_output out;

    (void)state;
    start_both();
    tick(&a);
    draw(&b, &c);
    c.block = PACKET_BLOCKS;
    assert_int_equal(session_on_handshake(&b.session, &b.local,
                                          slice_of(a.sent[0].bytes, a.sent[0].len), &a.addr, now,
                                          &c, &out),
                     ERR_FULL);
}

/* Loss, duplication, reordering and restarts at random; then a quiet network must end connected
 * with keys that agree. assert_connected() and exchange_keepalives() are the checkers. */
static void test_random_networks_end_connected(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct packet wire[256];
        int to[256], count = 0;
        uint32_t boots[2] = { 1, 1 };

        prng_init(&prng, seed);
        start_both();
        for (int step = 0; step < 800 && a.next_block < 40 && b.next_block < 40; step++) {
            struct node *n = prng_chance(&prng, 0.5) ? &a : &b, *other = n == &a ? &b : &a;

            now += prng_below(&prng, 2 * NS_PER_S);
            tick(n);
            for (size_t i = 0; i < n->sent_count && count < 256; i++) {
                wire[count] = n->sent[i];
                to[count++] = n == &a;
            }
            n->sent_count = 0;
            if (count > 0 && prng_chance(&prng, 0.6)) { /* any of them, perhaps again later */
                int i = (int)prng_below(&prng, (uint64_t)count);

                (void)receive(to[i] ? &b : &a, &wire[i], to[i] ? &a.addr : &b.addr);
                if (prng_chance(&prng, 0.7)) {
                    wire[i] = wire[count - 1];
                    to[i] = to[--count];
                }
            }
            if (prng_chance(&prng, 0.5))
                exchange_keepalives(n, other);
            n->keepalives = 0;
            if (prng_chance(&prng, 0.005)) {
                int which = n == &b;

                start_node(n, which + 1, 2 - which, AEAD_AES256GCM, ++boots[which]);
            }
        }
        for (int s = 0; s < 200 && a.next_block < 60 && b.next_block < 60; s++) {
            now += NS_PER_S;
            settle(&a, &b);
        }
        assert_connected(&a, &b);
        assert_true(a.is_up && b.is_up);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_two_nodes_agree_in_one_round_trip, setup),
        cmocka_unit_test_setup(test_crossing_hellos_end_in_one_session, setup),
        cmocka_unit_test_setup(test_suites_are_negotiated_and_fail_closed, setup),
        cmocka_unit_test_setup(test_keys_are_renewed_and_the_old_ones_linger, setup),
        cmocka_unit_test_setup(test_old_keys_expire_when_they_cannot_be_renewed, setup),
        cmocka_unit_test_setup(test_a_silent_peer_is_down_after_15_s, setup),
        cmocka_unit_test_setup(test_lost_hellos_are_repeated_with_growing_pauses, setup),
        cmocka_unit_test_setup(test_recorded_handshakes_are_refused, setup),
        cmocka_unit_test_setup(test_a_restarted_node_is_back_at_once, setup),
        cmocka_unit_test_setup(test_a_node_with_a_stamp_from_the_past_is_refused, setup),
        cmocka_unit_test_setup(test_pokes_cannot_cause_a_flood, setup),
        cmocka_unit_test_setup(test_strangers_and_damaged_packets_leave_no_state, setup),
        cmocka_unit_test_setup(test_the_address_follows_authentic_packets_only, setup),
        cmocka_unit_test_setup(test_lane_keys_differ_in_direction_lane_and_suite, setup),
        cmocka_unit_test_setup(test_nothing_is_answered_without_a_free_block, setup),
        cmocka_unit_test_setup(test_random_networks_end_connected, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
