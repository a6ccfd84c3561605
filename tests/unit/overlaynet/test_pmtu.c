/* The search for a path's MTU, and the word to containers about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "overlaynet/pmtu.h"
#include "overlaynet/too_big.h"
#include "support_frames.h"

/* Runs a search on a path that carries `mtu` for `length`; returns the probes sent. */
static int run(struct pmtu *p, mono_ns *now, mono_ns length, uint32_t mtu)
{
    mono_ns end = *now + length;
    int sent = 0;

    while (pmtu_deadline(p) <= end) {
        *now = pmtu_deadline(p) > *now ? pmtu_deadline(p) : *now;
        if (!pmtu_on_timer(p, *now))
            continue;
        sent++;
        if (p->size <= mtu)
            pmtu_on_ack(p, p->size, *now + NS_PER_MS);
    }
    *now = end;
    return sent;
}

static void test_search_ends_at_what_passes(void **state)
{
    static const struct {
        uint32_t top, path, found;
    } cases[] = { { 1500, 1500, 1500 }, { 1500, 1499, 1492 }, { 1500, 1450, 1450 },
                  { 1500, 1300, 1280 }, { 9000, 1500, 1500 }, { 1500, 9000, 1500 },
                  { 1500, 600, 1280 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        mono_ns now = 5 * NS_PER_S;
        struct pmtu p;

        pmtu_init(&p, cases[i].top);
        assert_int_equal(pmtu_deadline(&p), MONO_NEVER);
        pmtu_start(&p, now);
        (void)run(&p, &now, 30 * NS_PER_S, cases[i].path);
        assert_int_equal(p.size, cases[i].found);
    }
}

static void test_one_lost_probe_changes_nothing(void **state)
{
    mono_ns now = 0;
    struct pmtu p;

    (void)state;
    pmtu_init(&p, 1500);
    pmtu_start(&p, now);
    for (int i = 1; i < PMTU_TRIES; i++) {
        assert_true(pmtu_on_timer(&p, now));
        assert_int_equal(p.size, 1500);
        now = pmtu_deadline(&p);
    }
    pmtu_on_ack(&p, 1492, now); /* to an earlier size */
    assert_true(pmtu_on_timer(&p, now));
    pmtu_on_ack(&p, 1500, now);
    (void)run(&p, &now, 300 * NS_PER_S, 1500);
    assert_int_equal(p.size, 1500);
}

static void test_a_path_that_changes_is_followed_both_ways(void **state)
{
    mono_ns now = 0;
    struct pmtu p;

    (void)state;
    pmtu_init(&p, 1500);
    pmtu_start(&p, now);
    (void)run(&p, &now, 10 * NS_PER_S, 1500);
    (void)run(&p, &now, 90 * NS_PER_S, 1400);
    assert_int_equal(p.size, 1400);
    (void)run(&p, &now, 700 * NS_PER_S, 1500);
    assert_int_equal(p.size, 1500);
    assert_in_range(run(&p, &now, 600 * NS_PER_S, 1500), 5, 15); /* quiet when it is found */
}

static void test_the_sender_of_a_large_packet_is_told(void **state)
{
    uint8_t frame[2048], out[TOO_BIG_LEN_MAX];

    (void)state;
    for (uint8_t version = 4; version <= 6; version += 2) {
        size_t len = frame_make(&(struct frame_recipe){ .version = version,
                                                        .protocol = FRAME_PROTO_UDP,
                                                        .payload_len = 1400 },
                                frame);
        size_t ip = version == 4 ? 20 : 40, n;
        struct frame_view v;

        assert_int_equal(frame_parse(frame, len, &v), 0);
        n = too_big_answer(frame, &v, 1326, out);
        assert_in_range(n, FRAME_ETH_LEN + ip + 8 + 28, TOO_BIG_LEN_MAX);
        assert_memory_equal(out, alice.mac, 6);
        assert_int_equal(frame_parse(out, n, &v), 0);
        assert_int_equal(v.len, n);
        if (version == 4) {
            assert_int_equal(frame_fold(frame_sum(0, out + 14, 20)), 0xffff);
            assert_int_equal(frame_fold(frame_sum(0, out + 34, n - 34)), 0xffff);
            assert_int_equal(frame_get16(out + 34), 3 << 8 | 4);
            assert_int_equal(frame_get16(out + 40), 1326);
            assert_int_equal(too_big_answer(out, &v, 1326, frame), 0); /* no error about an error */
        } else {
            assert_int_equal(out[54], 2);
            assert_int_equal(frame_get32(out + 58), 1326);
            assert_int_equal(
                frame_fold(frame_sum(frame_pseudo_sum(out, &v, n - 54), out + 54, n - 54)), 0xffff);
            assert_int_equal(too_big_answer(out, &v, 1326, frame), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_ends_at_what_passes),
        cmocka_unit_test(test_one_lost_probe_changes_nothing),
        cmocka_unit_test(test_a_path_that_changes_is_followed_both_ways),
        cmocka_unit_test(test_the_sender_of_a_large_packet_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
