/* msgpack tokens: every format byte, and lies about lengths. */
#include "tests/support/unit.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/wire.h"

#define BYTES(...) \
    slice_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static struct wire_token one_token(struct slice bytes)
{
    struct wire_reader r = wire_reader_of(bytes);
    struct wire_token token;

    assert_int_equal(wire_next(&r, &token), 0);
    assert_int_equal(wire_left(&r), 0);
    return token;
}

static void expect_uint(struct slice bytes, uint64_t value)
{
    struct wire_token token = one_token(bytes);

    assert_int_equal(token.kind, WIRE_UINT);
    assert_true(token.uint == value);
}

static void expect_int(struct slice bytes, int64_t value)
{
    struct wire_token token = one_token(bytes);

    assert_int_equal(token.kind, WIRE_INT);
    assert_true(token.sint == value);
}

static void test_integers_of_every_width(void **state)
{
    (void)state;
    expect_uint(BYTES(0x00), 0);
    expect_uint(BYTES(0x7f), 127);
    expect_uint(BYTES(0xcc, 0xff), 255);
    expect_uint(BYTES(0xcd, 0xff, 0xfe), 65534);
    expect_uint(BYTES(0xce, 0xff, 0xff, 0xff, 0xfd), 4294967293);
    expect_uint(BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), UINT64_MAX);
    expect_uint(BYTES(0xd0, 0x05), 5); /* signed formats may carry what is not negative */
    expect_uint(BYTES(0xd3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), INT64_MAX);
    expect_int(BYTES(0xff), -1);
    expect_int(BYTES(0xe0), -32);
    expect_int(BYTES(0xd0, 0x80), -128);
    expect_int(BYTES(0xd1, 0x80, 0x00), -32768);
    expect_int(BYTES(0xd2, 0x80, 0x00, 0x00, 0x00), INT32_MIN);
    expect_int(BYTES(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0), INT64_MIN);
}

static void test_other_scalars(void **state)
{
    (void)state;
    assert_int_equal(one_token(BYTES(0xc0)).kind, WIRE_NIL);
    assert_false(one_token(BYTES(0xc2)).boolean);
    assert_true(one_token(BYTES(0xc3)).boolean);
    assert_true(one_token(BYTES(0xca, 0x3f, 0x80, 0, 0)).real == 1.0);
    assert_true(one_token(BYTES(0xcb, 0xbf, 0xf8, 0, 0, 0, 0, 0, 0)).real == -1.5);
    assert_true(slice_equal(one_token(BYTES(0xa2, 'h', 'i')).bytes, slice_of_str("hi")));
    assert_true(slice_equal(one_token(BYTES(0xd9, 2, 'h', 'i')).bytes, slice_of_str("hi")));
    assert_true(slice_equal(one_token(BYTES(0xda, 0, 2, 'h', 'i')).bytes, slice_of_str("hi")));
    assert_true(
        slice_equal(one_token(BYTES(0xdb, 0, 0, 0, 2, 'h', 'i')).bytes, slice_of_str("hi")));
    assert_int_equal(one_token(BYTES(0xc4, 1, 'x')).kind, WIRE_BIN);
    assert_int_equal(one_token(BYTES(0xc5, 0, 1, 'x')).bytes.len, 1);
    assert_int_equal(one_token(BYTES(0xc6, 0, 0, 0, 1, 'x')).bytes.len, 1);
}

static void test_what_is_no_token(void **state)
{
    const struct {
        const char *why;
        struct slice bytes;
    } cases[] = {
        { "nothing", { NULL, 0 } },
        { "number cut off", BYTES(0xcd, 0x01) },
        { "text cut off", BYTES(0xa3, 'a', 'b') },
        { "text of 4 GiB", BYTES(0xdb, 0xff, 0xff, 0xff, 0xff, 'a') },
        { "binary of 4 GiB", BYTES(0xc6, 0xff, 0xff, 0xff, 0xff, 'a') },
        { "array of 4 G elements", BYTES(0xdd, 0xff, 0xff, 0xff, 0xff, 0x00) },
        { "array with one element too few", BYTES(0x93, 0x00, 0x00) },
        { "map with half a pair too few", BYTES(0x82, 0x00, 0x00, 0x00) },
        { "map of 4 G pairs", BYTES(0xdf, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00) },
        { "the format that is never used", BYTES(0xc1) },
        { "an extension", BYTES(0xd4, 0x01, 0x00) },
        { "an extension with a length", BYTES(0xc7, 0x00, 0x01) },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wire_reader r = wire_reader_of(cases[i].bytes);
        struct wire_token token;

        print_message("  %s\n", cases[i].why);
        assert_int_equal(wire_next(&r, &token), ERR_MALFORMED);
        assert_int_equal(wire_left(&r), cases[i].bytes.len);
        assert_int_equal(wire_check(cases[i].bytes), ERR_MALFORMED);
    }
}

static void test_skip_passes_one_value(void **state)
{
    struct slice bytes = BYTES(0x82, 0x01, 0x92, 0xa1, 'x', 0x80, 0xc4, 0x00, 0x90, 0x07);
    struct wire_reader r = wire_reader_of(bytes);

    (void)state;
    assert_int_equal(wire_skip(&r), 0);
    assert_int_equal(wire_left(&r), 1);
    assert_int_equal(wire_check(bytes), ERR_MALFORMED); /* one byte follows */
    bytes.len--;
    assert_int_equal(wire_check(bytes), 0);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(wire_check(slice_of(bytes.ptr, len)), ERR_MALFORMED);
}

static void test_depth_is_bounded(void **state)
{
    uint8_t nested[WIRE_DEPTH_MAX + 2];

    (void)state;
    memset(nested, 0x91, sizeof(nested)); /* an array of one array of one .. */
    nested[WIRE_DEPTH_MAX] = 0x00;
    assert_int_equal(wire_check(slice_of(nested, WIRE_DEPTH_MAX + 1)), 0);
    nested[WIRE_DEPTH_MAX] = 0x91;
    nested[WIRE_DEPTH_MAX + 1] = 0x00;
    assert_int_equal(wire_check(slice_of(nested, WIRE_DEPTH_MAX + 2)), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_of_every_width),
        cmocka_unit_test(test_other_scalars),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_skip_passes_one_value),
        cmocka_unit_test(test_depth_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
