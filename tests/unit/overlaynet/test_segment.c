/* Cutting large frames and joining packets again, against slow twins and hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/prng.h"
#include "overlaynet/segment.h"
#include "support_frames.h"

#define PIECE_MAX  1440
#define PIECES_MAX 70

static uint8_t whole[FRAME_LEN_MAX], original[FRAME_LEN_MAX];
static uint8_t pieces[PIECES_MAX][2048];
static size_t piece_len[PIECES_MAX];

static struct vnet_header vnet_for(const struct frame_recipe *r, const struct frame_view *v,
                                   uint16_t gso_size)
{
    struct vnet_header h = { .flags = VNET_NEEDS_CHECKSUM,
                             .checksum_start = (uint16_t)v->l4,
                             .checksum_offset = (uint16_t)frame_checksum_offset(r->protocol),
                             .gso_size = gso_size };

    h.gso_type = r->protocol == FRAME_PROTO_UDP ? VNET_GSO_UDP
                 : r->version == 4              ? VNET_GSO_TCP4
                                                : VNET_GSO_TCP6;
    return h;
}

/* Cuts a frame into `pieces`; returns how many, or the error. */
static int cut(const struct frame_recipe *r, uint16_t gso_size, size_t piece_max)
{
    size_t len = frame_make(r, whole), n;
    struct segment_cut c;
    struct vnet_header h;
    struct frame_view v;
    uint8_t *piece;
    int count = 0, rc;

    memcpy(original, whole, len);
    assert_int_equal(frame_parse(whole, len, &v), 0);
    h = vnet_for(r, &v, gso_size);
    rc = segment_cut_start(&c, whole, &v, &h, piece_max);
    if (rc < 0)
        return rc;
    while ((n = segment_cut_next(&c, &piece)) != 0) {
        assert_true(count < PIECES_MAX);
        memcpy(pieces[count], piece, n);
        piece_len[count++] = n;
    }
    return count;
}

/* Joins what was cut; the result is in `whole`. */
static size_t join(int count, struct vnet_header *out)
{
    struct segment_join j;
    struct frame_view v;
    size_t len;

    assert_int_equal(frame_parse(pieces[0], piece_len[0], &v), 0);
    segment_join_start(&j, pieces[0], &v);
    memcpy(whole, pieces[0], piece_len[0]);
    len = piece_len[0];
    for (int i = 1; i < count; i++) {
        assert_int_equal(frame_parse(pieces[i], piece_len[i], &v), 0);
        assert_true(segment_join_append(&j, pieces[i], &v));
        memcpy(whole + len, pieces[i] + v.payload, v.len - v.payload);
        len += v.len - v.payload;
    }
    segment_join_finish(&j, out);
    memcpy(whole, pieces[0], j.view.payload);
    return len;
}

static const struct frame_recipe recipes[] = {
    { .version = 4,
      .protocol = FRAME_PROTO_TCP,
      .payload_len = 60000,
      .tcp_options = 12,
      .tcp_flags = 0x18,
      .seq = 0xfffff000,
      .ip_id = 0xfff0 },
    { .version = 6, .protocol = FRAME_PROTO_TCP, .payload_len = 60000, .tcp_flags = 0x19 },
    { .version = 4, .protocol = FRAME_PROTO_UDP, .payload_len = 52000, .ip_id = 7 },
    { .version = 6, .protocol = FRAME_PROTO_UDP, .payload_len = 52000 },
    { .version = 4, .protocol = FRAME_PROTO_TCP, .payload_len = 1401, .tcp_flags = 0x10 },
};

static void test_every_piece_is_a_sound_packet_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++) {
        int count = cut(&recipes[i], 1300, PIECE_MAX);
        size_t expect = (recipes[i].payload_len + 1299) / 1300;

        assert_int_equal(count, expect);
        for (int k = 0; k < count; k++) {
            struct frame_view v;

            assert_true(piece_len[k] <= PIECE_MAX);
            assert_int_equal(frame_parse(pieces[k], piece_len[k], &v), 0);
            /* The receiver sets the sum of the pseudo-header; then hardware completes it. */
            frame_put16(pieces[k] + v.l4 + frame_checksum_offset(v.protocol),
                        frame_fold(frame_pseudo_sum(pieces[k], &v, v.len - v.l4)));
            frame_complete(pieces[k], piece_len[k]);
            assert_true(frame_is_sound(pieces[k], piece_len[k]));
            if (v.protocol == FRAME_PROTO_TCP) {
                uint8_t flags = pieces[k][v.l4 + 13], want = recipes[i].tcp_flags;

                assert_int_equal(frame_get32(pieces[k] + v.l4 + 4),
                                 (uint32_t)(recipes[i].seq + 1300U * (unsigned)k));
                assert_int_equal(flags, k == count - 1 ? want : want & ~0x09); /* FIN, PSH: last */
            }
        }
    }
}

static void test_joining_gives_back_what_was_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++) {
        int count = cut(&recipes[i], 1300, PIECE_MAX);
        struct vnet_header h;
        size_t len = join(count, &h);

        assert_int_equal(len, frame_make(&recipes[i], original));
        assert_memory_equal(whole, original, len);
        assert_int_equal(h.gso_size, 1300);
        assert_int_equal(h.flags, VNET_NEEDS_CHECKSUM);
    }
}

static void test_tcp_is_cut_smaller_than_asked_when_the_path_is_narrow(void **state)
{
    (void)state;
    assert_int_equal(cut(&recipes[1], 1300, 14 + 40 + 20 + 1000), 60);
    assert_int_equal(piece_len[0], 1074);
    assert_int_equal(cut(&recipes[2], 1300, 1000), ERR_TOO_LARGE); /* datagrams have borders */
}

static void test_cwr_is_on_the_first_piece_only(void **state)
{
    const struct frame_recipe r = {
        .version = 4, .protocol = FRAME_PROTO_TCP, .payload_len = 3000, .tcp_flags = 0x90
    };
    struct vnet_header h;

    (void)state;
    assert_int_equal(cut(&r, 1000, PIECE_MAX), 3);
    assert_int_equal(pieces[0][14 + 20 + 13], 0x90);
    assert_int_equal(pieces[1][14 + 20 + 13], 0x10);
    (void)join(3, &h);
    assert_int_equal(h.gso_type, VNET_GSO_TCP4 | VNET_GSO_ECN);
}

static void test_malformed_offload_requests_are_refused(void **state)
{
    static const struct {
        const char *why;
        size_t recipe;
        uint8_t gso_type;
        uint16_t gso_size, start, offset;
        uint8_t flags;
        int rc;
    } cases[] = {
        { "as it should be", 0, VNET_GSO_TCP4, 1300, 34, 16, 1, 0 },
        { "no size", 0, VNET_GSO_TCP4, 0, 34, 16, 1, ERR_MALFORMED },
        { "IPv6 offload of an IPv4 frame", 0, VNET_GSO_TCP6, 1300, 34, 16, 1, ERR_MALFORMED },
        { "UDP offload of TCP", 0, VNET_GSO_UDP, 1300, 34, 16, 1, ERR_MALFORMED },
        { "UFO, which was never offered", 2, 3, 1300, 34, 6, 1, ERR_MALFORMED },
        { "an unknown type", 0, 0x77, 1300, 34, 16, 1, ERR_MALFORMED },
        { "offload with a complete checksum", 0, VNET_GSO_TCP4, 1300, 34, 16, 0, ERR_MALFORMED },
        { "checksum behind the frame", 0, VNET_GSO_NONE, 0, 60100, 16, 1, ERR_MALFORMED },
        { "checksum field over the end", 0, VNET_GSO_NONE, 0, 60064, 65535, 1, ERR_MALFORMED },
        { "checksum in the Ethernet header", 0, VNET_GSO_NONE, 0, 2, 16, 1, ERR_MALFORMED },
        { "large without an offload", 0, VNET_GSO_NONE, 0, 34, 16, 1, ERR_TOO_LARGE },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = frame_make(&recipes[cases[i].recipe], whole);
        struct vnet_header h = { .flags = cases[i].flags,
                                 .gso_type = cases[i].gso_type,
                                 .gso_size = cases[i].gso_size,
                                 .checksum_start = cases[i].start,
                                 .checksum_offset = cases[i].offset };
        struct segment_cut c;
        struct frame_view v;

        print_message("  %s\n", cases[i].why);
        assert_int_equal(frame_parse(whole, len, &v), 0);
        assert_int_equal(segment_cut_start(&c, whole, &v, &h, PIECE_MAX), cases[i].rc);
    }
}

static void test_a_partial_checksum_elsewhere_is_completed(void **state)
{
    /* GRE inside IPv4: the kernel asks for a sum over bytes that are no TCP or UDP of ours. */
    const struct frame_recipe r = { .version = 4, .protocol = 47, .payload_len = 100 };
    size_t len = frame_make(&r, whole), n;
    struct vnet_header h = { .flags = VNET_NEEDS_CHECKSUM,
                             .checksum_start = 60,
                             .checksum_offset = 10 };
    struct segment_cut c;
    struct frame_view v;
    uint8_t *piece;

    (void)state;
    frame_put16(whole + 70, 0);
    assert_int_equal(frame_parse(whole, len, &v), 0);
    assert_int_equal(segment_cut_start(&c, whole, &v, &h, PIECE_MAX), 0);
    assert_false(c.checksum_partial);
    n = segment_cut_next(&c, &piece);
    assert_int_equal(n, len);
    assert_int_equal(frame_fold(frame_sum(0, piece + 60, len - 60)), 0xffff);
    assert_int_equal(segment_cut_next(&c, &piece), 0);
}

static void test_only_what_continues_is_joined(void **state)
{
    static const struct {
        const char *why;
        size_t offset; /* of the byte that is changed in the second packet */
        uint8_t to_xor;
    } cases[] = {
        { "destination MAC", 0, 1 },
        { "source MAC", 11, 1 },
        { "type of service", 15, 4 },
        { "identification", 19, 2 },
        { "fragment flags", 20, 0x20 },
        { "time to live", 22, 1 },
        { "source address", 29, 1 },
        { "destination address", 33, 1 },
        { "source port", 35, 1 },
        { "sequence number", 41, 1 },
        { "acknowledgement", 45, 1 },
        { "urgent flag", 47, 0x20 },
        { "CWR on a later piece", 47, 0x80 },
        { "window", 49, 1 },
        { "urgent pointer", 53, 1 },
        { "options", 54, 2 },
    };
    const struct frame_recipe r = { .version = 4,
                                    .protocol = FRAME_PROTO_TCP,
                                    .payload_len = 2000,
                                    .tcp_flags = 0x10,
                                    .tcp_options = 12 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct segment_join j;
        struct frame_view a, b;

        print_message("  %s\n", cases[i].why);
        assert_int_equal(cut(&r, 1000, PIECE_MAX), 2);
        pieces[1][cases[i].offset] ^= cases[i].to_xor;
        assert_int_equal(frame_parse(pieces[0], piece_len[0], &a), 0);
        if (frame_parse(pieces[1], piece_len[1], &b) < 0)
            continue;
        segment_join_start(&j, pieces[0], &a);
        assert_false(segment_join_append(&j, pieces[1], &b));
        pieces[1][cases[i].offset] ^= cases[i].to_xor;
        assert_int_equal(frame_parse(pieces[1], piece_len[1], &b), 0);
        assert_true(segment_join_append(&j, pieces[1], &b));
    }
}

static void test_a_short_piece_ends_the_frame(void **state)
{
    const struct frame_recipe r = { .version = 4,
                                    .protocol = FRAME_PROTO_UDP,
                                    .payload_len = 2500 };
    struct segment_join j;
    struct frame_view v;

    (void)state;
    assert_int_equal(cut(&r, 1000, PIECE_MAX), 3);
    assert_int_equal(frame_parse(pieces[2], piece_len[2], &v), 0);
    segment_join_start(&j, pieces[2], &v); /* 500 bytes: a longer one may not follow */
    assert_int_equal(frame_parse(pieces[0], piece_len[0], &v), 0);
    assert_false(segment_join_append(&j, pieces[0], &v));
}

/* Random frames and sizes: cut, join, compare. The kernel may hand over any of them. */
static void test_random_frames_survive(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 20);
    for (int i = 0; i < 3000; i++) {
        struct frame_recipe r = {
            .version = prng_chance(&p, 0.5) ? 4 : 6,
            .protocol = prng_chance(&p, 0.5) ? FRAME_PROTO_TCP : FRAME_PROTO_UDP,
            .payload_len = 1 + prng_below(&p, 60000),
            .tcp_flags = (uint8_t)(0x10 | prng_below(&p, 2) << 3 | prng_below(&p, 2)),
            .tcp_options = (uint8_t)(4 * prng_below(&p, 11)),
            .seq = (uint32_t)prng_u64(&p),
            .ip_id = (uint16_t)prng_u64(&p),
            .dont_fragment = (uint8_t)prng_below(&p, 2),
        };
        uint16_t gso = (uint16_t)(900 + prng_below(&p, 400));
        struct vnet_header h;
        int count = cut(&r, gso, PIECE_MAX);
        size_t len;

        assert_true(count > 0);
        if (count > SEGMENT_JOIN_MAX)
            continue;
        len = join(count, &h);
        assert_int_equal(len, frame_make(&r, original));
        assert_memory_equal(whole, original, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_piece_is_a_sound_packet_of_its_own),
        cmocka_unit_test(test_joining_gives_back_what_was_cut),
        cmocka_unit_test(test_tcp_is_cut_smaller_than_asked_when_the_path_is_narrow),
        cmocka_unit_test(test_cwr_is_on_the_first_piece_only),
        cmocka_unit_test(test_malformed_offload_requests_are_refused),
        cmocka_unit_test(test_a_partial_checksum_elsewhere_is_completed),
        cmocka_unit_test(test_only_what_continues_is_joined),
        cmocka_unit_test(test_a_short_piece_ends_the_frame),
        cmocka_unit_test(test_random_frames_survive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
