/* What a container may send: the rules, their twin in the kernel, and the answers to ARP and ND. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <linux/pkt_cls.h>
#include <unistd.h>

#include "base/err.h"
#include "base/prng.h"
#include "overlaynet/guard_bpf.h"
#include "overlaynet/neigh.h"
#include "support_frames.h"

static uint8_t frame[FRAME_LEN_MAX];

static enum guard_verdict check(size_t len, const struct guard_identity *who)
{
    struct frame_view v;

    if (frame_parse(frame, len, &v) < 0)
        return GUARD_FORBIDDEN;
    return guard_check(frame, &v, who);
}

static size_t make(uint8_t version, uint8_t protocol, size_t payload_len)
{
    return frame_make(&(struct frame_recipe){ .version = version,
                                              .protocol = protocol,
                                              .payload_len = payload_len },
                      frame);
}

static size_t make_arp(uint8_t operation)
{
    static const uint8_t fixed[] = { 0, 1, 8, 0, 6, 4, 0 };

    memset(frame, 0xff, 6);
    memcpy(frame + 6, alice.mac, 6);
    frame_put16(frame + 12, FRAME_TYPE_ARP);
    memcpy(frame + 14, fixed, sizeof(fixed));
    frame[21] = operation;
    memcpy(frame + 22, alice.mac, 6);
    memcpy(frame + 28, alice.ip4, 4);
    memset(frame + 32, 0, 6);
    memcpy(frame + 38, bob.ip4, 4);
    return 42;
}

static size_t make_icmp6(uint8_t type, const uint8_t target[16])
{
    size_t len = make(6, FRAME_PROTO_ICMP6, 32);
    uint8_t *icmp = frame + 54;

    memset(icmp, 0, 32);
    icmp[0] = type;
    memcpy(icmp + 8, target, 16);
    frame[0] = frame[1] = 0x33;
    return len;
}

static void test_own_traffic_passes(void **state)
{
    (void)state;
    assert_int_equal(check(make(4, FRAME_PROTO_TCP, 100), &alice), GUARD_PASS);
    assert_int_equal(check(make(6, FRAME_PROTO_TCP, 100), &alice), GUARD_PASS);
    assert_int_equal(check(make(4, 1, 64), &alice), GUARD_PASS);
    assert_int_equal(check(make_arp(1), &alice), GUARD_RESOLVE);
    assert_int_equal(check(make_arp(2), &alice), GUARD_RESOLVE);
    assert_int_equal(check(make_icmp6(135, bob.ip6), &alice), GUARD_RESOLVE);
    assert_int_equal(check(make_icmp6(136, alice.ip6), &alice), GUARD_RESOLVE);
}

static void test_forged_sources_are_refused(void **state)
{
    static const struct {
        const char *why;
        uint8_t version;
        size_t offset;
    } cases[] = { { "MAC", 4, 11 }, { "IPv4 address", 4, 29 }, { "IPv6 address", 6, 37 } };
    struct guard_identity gateway = alice;
    size_t len;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].why);
        len = make(cases[i].version, FRAME_PROTO_UDP, 20);
        frame[cases[i].offset] ^= 4;
        assert_int_equal(check(len, &alice), GUARD_FORGED_SOURCE);
    }
    gateway.any_source = true;
    len = make(4, FRAME_PROTO_UDP, 20);
    frame[29] ^= 4;
    assert_int_equal(check(len, &gateway), GUARD_PASS);
    frame[11] ^= 4;
    assert_int_equal(check(len, &gateway), GUARD_FORGED_SOURCE); /* its MAC is still its own */
}

static void test_poisoning_of_neighbours_is_refused(void **state)
{
    size_t len;

    (void)state;
    len = make_arp(2);
    frame[31] = 7; /* "10.0.9.7 is at my MAC" */
    assert_int_equal(check(len, &alice), GUARD_FORGED_SOURCE);
    len = make_arp(1);
    frame[27] ^= 1; /* "my address is at another MAC" */
    assert_int_equal(check(len, &alice), GUARD_FORGED_SOURCE);
    assert_int_equal(check(make_icmp6(136, bob.ip6), &alice), GUARD_FORGED_SOURCE);
    len = make_arp(3);
    assert_int_equal(check(len, &alice), GUARD_FORBIDDEN); /* reverse ARP */
    assert_int_equal(check(41, &alice), GUARD_FORBIDDEN);
}

/* CVE-2020-13401 and its kind. */
static void test_router_and_dhcp_messages_are_refused(void **state)
{
    static const uint8_t hidden[] = { FRAME_PROTO_HOPOPTS, FRAME_PROTO_ROUTING,
                                      FRAME_PROTO_DSTOPTS };
    size_t len;

    (void)state;
    assert_int_equal(check(make_icmp6(133, bob.ip6), &alice), GUARD_FORBIDDEN);
    assert_int_equal(check(make_icmp6(134, bob.ip6), &alice), GUARD_FORBIDDEN);
    assert_int_equal(check(make_icmp6(137, bob.ip6), &alice), GUARD_FORBIDDEN);
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        len = make_icmp6(134, bob.ip6);
        frame[20] = hidden[i];
        assert_int_equal(check(len, &alice), GUARD_FORBIDDEN);
    }
    len = make(4, FRAME_PROTO_UDP, 300);
    frame_put16(frame + 34, 67);
    assert_int_equal(check(len, &alice), GUARD_FORBIDDEN);
    len = make(6, FRAME_PROTO_UDP, 300);
    frame_put16(frame + 54, 547);
    assert_int_equal(check(len, &alice), GUARD_FORBIDDEN);
    len = make(4, FRAME_PROTO_TCP, 10);
    frame_put16(frame + 12, 0x8100); /* VLAN */
    assert_int_equal(check(len, &alice), GUARD_FORBIDDEN);
    frame_put16(frame + 12, 0x88cc);
    assert_int_equal(check(len, &alice), GUARD_FORBIDDEN);
}

static void test_groups_are_refused(void **state)
{
    size_t len = make(4, FRAME_PROTO_UDP, 10);

    (void)state;
    memset(frame, 0xff, 6);
    assert_int_equal(check(len, &alice), GUARD_GROUP);
    len = make(6, FRAME_PROTO_UDP, 10);
    frame[0] = 0x33;
    assert_int_equal(check(len, &alice), GUARD_GROUP);
    len = make_icmp6(143, bob.ip6); /* multicast listener report */
    assert_int_equal(check(len, &alice), GUARD_GROUP);
}

/* The verdict of the program that the kernel runs; false when it cannot be run here. */
static bool run_in_kernel(int program, size_t len, int *verdict)
{
    struct bpf_test_run_opts opts = {
        .sz = sizeof(opts), .data_in = frame, .data_size_in = (uint32_t)len, .repeat = 1
    };

    if (bpf_prog_test_run_opts(program, &opts) < 0)
        return false;
    *verdict = (int)opts.retval;
    return true;
}

static void mutate(struct prng *p, size_t len)
{
    static const uint8_t types[] = { 133, 134, 135, 136, 137, 128, 143 };

    for (uint64_t n = prng_below(p, 3); n > 0; n--)
        frame[prng_below(p, MIN(len, 80))] ^= (uint8_t)(1 << prng_below(p, 8));
    if (prng_chance(p, 0.2))
        frame[0] |= 1;
    if (prng_chance(p, 0.1))
        frame_put16(frame + (prng_chance(p, 0.5) ? 34 : 54), prng_chance(p, 0.5) ? 67 : 547);
    if (prng_chance(p, 0.3) && frame[20] == FRAME_PROTO_ICMP6)
        frame[54] = types[prng_below(p, ARRAY_LEN(types))];
}

static size_t make_any(struct prng *p)
{
    static const uint8_t protocols[] = { FRAME_PROTO_TCP,      FRAME_PROTO_UDP,
                                         FRAME_PROTO_ICMP6,    1,
                                         FRAME_PROTO_FRAGMENT, FRAME_PROTO_HOPOPTS };

    switch (prng_below(p, 4)) {
    case 0:
        return make_arp((uint8_t)(1 + prng_below(p, 2)));
    case 1:
        return make_icmp6((uint8_t)(133 + prng_below(p, 5)),
                          prng_chance(p, 0.5) ? alice.ip6 : bob.ip6);
    default:
        return make(prng_chance(p, 0.5) ? 4 : 6, protocols[prng_below(p, ARRAY_LEN(protocols))],
                    prng_below(p, 60));
    }
}

static void test_the_kernel_program_is_its_twin(void **state)
{
    struct guard_identity identities[4] = { alice, alice, alice, alice };
    size_t compared = 0;
    struct prng p;

    (void)state;
    identities[1].has_ip6 = false;
    identities[2].has_ip4 = false;
    identities[3].any_source = true;
    prng_init(&p, 5);
    for (size_t k = 0; k < ARRAY_LEN(identities); k++) {
        int program = guard_bpf_load(&identities[k]);

        if (program == -EPERM || program == -EACCES || program == -ENOSYS)
            skip(); /* needs CAP_BPF */
        assert_true(program >= 0);
        for (int i = 0; i < 20000; i++) {
            size_t len = make_any(&p);
            enum guard_verdict expect;
            struct frame_view v;
            int verdict = 0;

            mutate(&p, len);
            if (frame_parse(frame, len, &v) < 0 || v.len != len)
                continue; /* lengths that lie: the receiver's parser drops what they hide */
            expect = guard_check(frame, &v, &identities[k]);
            if (!run_in_kernel(program, len, &verdict))
                skip(); /* a kernel without test runs */
            if ((verdict == TC_ACT_SHOT) != (expect > GUARD_RESOLVE))
                print_error("identity %zu, frame %d: %d in the kernel, %d here\n", k, i, verdict,
                            (int)expect);
            assert_int_equal(verdict == TC_ACT_SHOT, expect > GUARD_RESOLVE);
            compared++;
        }
        (void)close(program);
    }
    assert_true(compared > 10000);
}

static void test_arp_is_answered_for_the_owner(void **state)
{
    size_t len = make_arp(1);
    uint8_t reply[NEIGH_REPLY_LEN_MAX];
    struct frame_view v;
    struct ip_addr asked;

    (void)state;
    assert_int_equal(frame_parse(frame, len, &v), 0);
    asked = neigh_question(frame, &v);
    assert_int_equal(asked.len, 4);
    assert_memory_equal(asked.bytes, bob.ip4, 4);
    assert_int_equal(neigh_answer(frame, &v, bob.mac, reply), 42);
    assert_memory_equal(reply, alice.mac, 6);
    memcpy(frame, reply, 42);
    assert_int_equal(check(42, &bob), GUARD_RESOLVE); /* exactly what bob would have said */
    len = make_arp(2);
    assert_int_equal(frame_parse(frame, len, &v), 0);
    asked = neigh_question(frame, &v);
    assert_true(ip_is_none(&asked)); /* a reply asks nothing */
}

static void test_solicitation_is_answered_for_the_owner(void **state)
{
    size_t len = make_icmp6(135, bob.ip6);
    uint8_t reply[NEIGH_REPLY_LEN_MAX];
    struct frame_view v;
    struct ip_addr asked;

    (void)state;
    assert_int_equal(frame_parse(frame, len, &v), 0);
    asked = neigh_question(frame, &v);
    assert_memory_equal(asked.bytes, bob.ip6, 16);
    len = neigh_answer(frame, &v, bob.mac, reply);
    assert_int_equal(len, 86);
    memcpy(frame, reply, len);
    assert_int_equal(check(len, &bob), GUARD_RESOLVE);
    assert_int_equal(frame_parse(frame, len, &v), 0);
    assert_int_equal(frame_fold(frame_sum(frame_pseudo_sum(frame, &v, 32), frame + 54, 32)),
                     0xffff);
    assert_int_equal(frame[21], 255);
}

static void test_lengths_that_lie_are_malformed(void **state)
{
    struct frame_view v;
    size_t len;

    (void)state;
    for (uint8_t version = 4; version <= 6; version += 2) {
        len = make(version, FRAME_PROTO_TCP, 40);
        for (size_t cut = 0; cut < len; cut++)
            if (frame_parse(frame, cut, &v) == 0)
                fail_msg("IPv%u frame of %zu bytes accepted at %zu", version, len, cut);
    }
    len = make(4, FRAME_PROTO_TCP, 40);
    frame[14] = 0x44; /* header of 16 bytes */
    assert_int_equal(frame_parse(frame, len, &v), ERR_MALFORMED);
    len = make(4, FRAME_PROTO_TCP, 0);
    frame[46] = 0xf0; /* options behind the end */
    assert_int_equal(frame_parse(frame, len, &v), ERR_MALFORMED);
    len = make(4, FRAME_PROTO_UDP, 10);
    assert_int_equal(frame_parse(frame, len + 18, &v), 0);
    assert_int_equal(v.len, len); /* padding is not part of it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_traffic_passes),
        cmocka_unit_test(test_forged_sources_are_refused),
        cmocka_unit_test(test_poisoning_of_neighbours_is_refused),
        cmocka_unit_test(test_router_and_dhcp_messages_are_refused),
        cmocka_unit_test(test_groups_are_refused),
        cmocka_unit_test(test_the_kernel_program_is_its_twin),
        cmocka_unit_test(test_arp_is_answered_for_the_owner),
        cmocka_unit_test(test_solicitation_is_answered_for_the_owner),
        cmocka_unit_test(test_lengths_that_lie_are_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
