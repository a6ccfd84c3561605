/* The header, the replay window and the sealing: vectors of docs/formats/overlay.md and rules. */
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
#include "overlaynet/aead.h"
#include "overlaynet/packet.h"
#include "overlaynet/replay.h"
#include "overlaynet/session.h"

static const uint8_t vector_key[32] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                        11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                        22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };
static const char vector_frame[] = "The frame of the test vector: 44 bytes long!";

static void to_hex(const uint8_t *bytes, size_t len, char *out)
{
    sodium_bin2hex(out, 2 * len + 1, bytes, len);
}

/* docs/formats/overlay.md, section "Test vectors". */
static void test_sealed_packet_is_the_documented_bytes(void **state)
{
    static const struct {
        enum aead_suite suite;
        const char *hex;
    } vectors[] = {
        { AEAD_AES256GCM, "08111239004001010102030405060708"
                          "5039002ebb9368f366bf92893e1351955a8d39b1a3f53e098a8f3b225117ebf9"
                          "0f4a61ecffc9ed4a8f6905badc3b061ef82b4acdb4c357fc2ec71013" },
        { AEAD_CHACHA20POLY1305, "08111239004001010102030405060708"
                                 "bb8ec0d8c3fec9f1759f87b0aa984f3bb5f80122686d5e7978a15b9056c891b1"
                                 "177276f90f1c76e31277e02f9cfd8ede5da3a0f3e5a7d02619ec0492" },
    };
    const struct packet_header h = { .type = PACKET_DATA,
                                     .session = 0x1239,
                                     .vni = 0x004001,
                                     .flags = PACKET_CHECKSUM_PARTIAL,
                                     .counter = 0x0102030405060708 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        for (int sodium_only = 0; sodium_only < 2; sodium_only++) {
            uint8_t packet[PACKET_OVERHEAD + sizeof(vector_frame) - 1];
            char hex[2 * sizeof(packet) + 1];
            struct aead_key key;

            if ((aead_suites() & vectors[i].suite) == 0)
                continue;
            aead_force_sodium(sodium_only != 0);
            aead_prepare(&key, vectors[i].suite, vector_key);
            packet_header_write(&h, packet);
            aead_seal(&key, h.counter, packet, (const uint8_t *)vector_frame,
                      sizeof(vector_frame) - 1, packet + PACKET_HEADER_LEN);
            to_hex(packet, sizeof(packet), hex);
            assert_string_equal(hex, vectors[i].hex);
        }
    }
    aead_force_sodium(false);
}

/* The vectors above come from a third implementation (OpenSSL's EVP interface). */
static void test_engines_agree_on_every_length(void **state)
{
    uint8_t plain[1600], sealed[2][1600 + AEAD_TAG_LEN], opened[1600], ad[AEAD_AD_LEN];
    struct prng p;

    (void)state;
    if ((aead_suites() & AEAD_AES256GCM) == 0)
        skip();
    prng_init(&p, 1);
    prng_bytes(&p, plain, sizeof(plain));
    prng_bytes(&p, ad, sizeof(ad));
    for (size_t len = 0; len <= sizeof(plain); len += 1 + len / 40) {
        for (int i = 0; i < 2; i++) {
            struct aead_key key;

            aead_force_sodium(i == 1);
            aead_prepare(&key, AEAD_AES256GCM, vector_key);
            aead_seal(&key, len * 77, ad, plain, len, sealed[i]);
        }
        assert_memory_equal(sealed[0], sealed[1], len + AEAD_TAG_LEN);
        for (int i = 0; i < 2; i++) {
            struct aead_key key;

            aead_force_sodium(i == 1);
            aead_prepare(&key, AEAD_AES256GCM, vector_key);
            assert_true(aead_open(&key, len * 77, ad, sealed[0], len + AEAD_TAG_LEN, opened));
            assert_memory_equal(opened, plain, len);
        }
    }
    aead_force_sodium(false);
}

static void test_a_flip_of_any_bit_or_a_cut_is_found(void **state)
{
    const struct packet_header h = { .type = PACKET_DATA, .session = 8, .vni = 5000, .counter = 3 };
    uint8_t packet[PACKET_OVERHEAD + 60], copy[sizeof(packet)], out[60];
    const enum aead_suite suites[] = { AEAD_AES256GCM, AEAD_CHACHA20POLY1305 };

    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(suites); s++) {
        struct aead_key key;

        if ((aead_suites() & suites[s]) == 0)
            continue;
        aead_prepare(&key, suites[s], vector_key);
        packet_header_write(&h, packet);
        memset(out, 7, sizeof(out));
        aead_seal(&key, h.counter, packet, out, sizeof(out), packet + PACKET_HEADER_LEN);
        for (size_t bit = 0; bit < 8 * sizeof(packet); bit++) {
            struct packet_header got;

            memcpy(copy, packet, sizeof(copy));
            copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (packet_header_read(copy, sizeof(copy), &got) < 0)
                continue;
            assert_false(aead_open(&key, got.counter, copy, copy + PACKET_HEADER_LEN,
                                   sizeof(copy) - PACKET_HEADER_LEN, copy + PACKET_HEADER_LEN));
        }
        for (size_t len = PACKET_OVERHEAD; len < sizeof(packet); len++) {
            memcpy(copy, packet, sizeof(copy));
            assert_false(aead_open(&key, h.counter, copy, copy + PACKET_HEADER_LEN,
                                   len - PACKET_HEADER_LEN, copy + PACKET_HEADER_LEN));
        }
    }
}

static void test_header_refuses_what_is_not_ours(void **state)
{
    static const struct {
        const char *why;
        uint8_t bytes[16];
        size_t len;
        int rc;
    } cases[] = {
        { "data", { 8, 0x11, 0, 8, 0, 0x10, 0, 0, [15] = 1 }, 64, 0 },
        { "plain VXLAN", { 8, 0, 0, 0, 0, 0x10, 0, 0 }, 64, ERR_MALFORMED },
        { "no I bit", { 0, 0x11, 0, 8, 0, 0x10, 0, 0 }, 64, ERR_MALFORMED },
        { "further flags of VXLAN", { 0x0c, 0x11, 0, 8, 0, 0x10, 0, 0 }, 64, ERR_MALFORMED },
        { "another version", { 8, 0x21, 0, 8, 0, 0x10, 0, 0 }, 64, ERR_MALFORMED },
        { "type 0", { 8, 0x10, 0, 8 }, 64, ERR_MALFORMED },
        { "type 5", { 8, 0x15, 0, 8 }, 64, ERR_MALFORMED },
        { "unknown flag", { 8, 0x11, 0, 8, 0, 0x10, 0, 2 }, 64, ERR_MALFORMED },
        { "control on its lane", { 8, 0x14, 0, 15 }, 36, 0 },
        { "control on a data lane", { 8, 0x14, 0, 8 }, 36, ERR_MALFORMED },
        { "data on the control lane", { 8, 0x11, 0, 15, 0, 0x10, 0, 0 }, 64, ERR_MALFORMED },
        { "control with a VNI", { 8, 0x14, 0, 15, 0, 0x10, 0, 0 }, 36, ERR_MALFORMED },
        { "hello with flags", { 8, 0x12, 0, 8, 0, 0, 0, 1 }, 92, ERR_MALFORMED },
        { "shorter than header and tag", { 8, 0x11, 0, 8 }, 31, ERR_MALFORMED },
        { "empty", { 0 }, 0, ERR_MALFORMED },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t packet[128] = { 0 };
        struct packet_header h;

        print_message("  %s\n", cases[i].why);
        memcpy(packet, cases[i].bytes, 16);
        assert_int_equal(packet_header_read(packet, cases[i].len, &h), cases[i].rc);
    }
}

static void test_header_reads_what_it_writes(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 4);
    for (int i = 0; i < 1000; i++) {
        struct packet_header h = { .type = PACKET_DATA,
                                   .session =
                                       (uint16_t)(prng_below(&p, 8192) << 3 | prng_below(&p, 7)),
                                   .vni = (uint32_t)prng_below(&p, 1 << 24),
                                   .flags = (uint8_t)prng_below(&p, 2),
                                   .counter = prng_u64(&p) };
        struct packet_header got;
        uint8_t packet[64] = { 0 };

        packet_header_write(&h, packet);
        assert_int_equal(packet_header_read(packet, sizeof(packet), &got), 0);
        assert_int_equal(got.type, h.type);
        assert_int_equal(got.session, h.session);
        assert_int_equal(got.vni, h.vni);
        assert_int_equal(got.flags, h.flags);
        assert_int_equal(got.counter, h.counter);
    }
}

static void test_probe_must_be_as_long_as_it_says(void **state)
{
    struct packet_control c = { .kind = PACKET_PROBE, .size = 1400 }, got;
    uint8_t bytes[1400] = { 0 };

    (void)state;
    packet_control_write(&c, bytes);
    assert_int_equal(packet_control_read(bytes, 1400 - PACKET_OVERHEAD, &got), 0);
    assert_int_equal(got.size, 1400);
    assert_int_equal(packet_control_read(bytes, 1399 - PACKET_OVERHEAD, &got), ERR_MALFORMED);
    c = (struct packet_control){ .kind = PACKET_KEEPALIVE };
    packet_control_write(&c, bytes);
    assert_int_equal(packet_control_read(bytes, PACKET_CONTROL_LEN, &got), 0);
    assert_int_equal(packet_control_read(bytes, PACKET_CONTROL_LEN + 1, &got), ERR_MALFORMED);
    assert_int_equal(packet_control_read(bytes, 3, &got), ERR_MALFORMED);
    bytes[0] = 9;
    assert_int_equal(packet_control_read(bytes, PACKET_CONTROL_LEN, &got), ERR_MALFORMED);
}

/* RFC 6479 section 3, at its edges. */
static void test_replay_window_edges(void **state)
{
    struct replay r;

    (void)state;
    replay_init(&r);
    assert_true(replay_is_new(&r, 0));
    replay_accept(&r, 0);
    assert_false(replay_is_new(&r, 0));
    replay_accept(&r, REPLAY_WINDOW); /* 0 leaves the window, 1 is its oldest */
    assert_false(replay_is_new(&r, 0));
    assert_true(replay_is_new(&r, 1));
    assert_false(replay_is_new(&r, REPLAY_WINDOW));
    replay_accept(&r, 1);
    assert_false(replay_is_new(&r, 1));
    replay_accept(&r, UINT64_MAX - 1);
    assert_false(replay_is_new(&r, UINT64_MAX - 1));
    assert_false(replay_is_new(&r, UINT64_MAX)); /* never: there is no next */
    assert_false(replay_is_new(&r, 5000));
    assert_true(replay_is_new(&r, UINT64_MAX - REPLAY_WINDOW));
    assert_false(replay_is_new(&r, UINT64_MAX - REPLAY_WINDOW - 1));
}

/* Against a list of everything that was ever accepted. */
static void test_replay_agrees_with_a_slow_twin(void **state)
{
    static bool seen[400000];
    uint64_t top = 0;
    struct replay r;
    struct prng p;

    (void)state;
    prng_init(&p, 9);
    replay_init(&r);
    for (int i = 0; i < 200000; i++) {
        uint64_t back = prng_chance(&p, 0.01) ? prng_below(&p, 12000) : prng_below(&p, 300);
        uint64_t jump = prng_chance(&p, 0.001) ? prng_below(&p, 9000) : prng_below(&p, 3);
        uint64_t counter = prng_chance(&p, 0.5) ? top + jump : (back > top ? 0 : top - back);
        bool expect;

        if (counter >= ARRAY_LEN(seen))
            break;
        expect = !seen[counter] && (counter >= top || top - counter <= REPLAY_WINDOW);
        assert_int_equal(replay_is_new(&r, counter), expect);
        if (!expect)
            continue;
        replay_accept(&r, counter);
        seen[counter] = true;
        if (counter >= top)
            top = counter + 1;
    }
}

static int start(void **state)
{
    (void)state;
    return aead_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_packet_is_the_documented_bytes),
        cmocka_unit_test(test_engines_agree_on_every_length),
        cmocka_unit_test(test_a_flip_of_any_bit_or_a_cut_is_found),
        cmocka_unit_test(test_header_refuses_what_is_not_ours),
        cmocka_unit_test(test_header_reads_what_it_writes),
        cmocka_unit_test(test_probe_must_be_as_long_as_it_says),
        cmocka_unit_test(test_replay_window_edges),
        cmocka_unit_test(test_replay_agrees_with_a_slow_twin),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
