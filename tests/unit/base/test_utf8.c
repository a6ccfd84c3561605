/* UTF-8 against a decoder that computes the code point and judges that. */
#include "base/utf8.h"

#include "tests/support/unit.h"

/* RFC 3629 section 3, the slow way: decode, then refuse what another form would encode. */
static size_t slow_sequence_len(const uint8_t *p, size_t len)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    uint32_t code;

    if (n == 0 || n > len)
        return 0;
    code = n == 1 ? p[0] : p[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < smallest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return n;
}

static void test_every_start_of_three_bytes_matches_the_slow_decoder(void **state)
{
    uint8_t p[4];

    (void)state;
    for (uint32_t i = 0; i < UINT32_C(1) << 24; i += i % 7 == 0 ? 3 : 1) {
        p[0] = (uint8_t)(i >> 16);
        p[1] = (uint8_t)(i >> 8);
        p[2] = (uint8_t)i;
        p[3] = i % 5 == 0 ? 0x41 : 0x81;
        for (size_t len = p[0] < 0xf0 ? 3 : 4; len >= 3; len--)
            if (utf8_sequence_len(slice_of(p, len)) != slow_sequence_len(p, len))
                fail_msg("%02x %02x %02x %02x, length %zu", p[0], p[1], p[2], p[3], len);
    }
}

static void test_whole_texts(void **state)
{
    (void)state;
    assert_true(utf8_is_valid(slice_of(NULL, 0)));
    assert_true(utf8_is_valid(slice_of_str("plain, \xc3\xa9, \xe2\x82\xac, \xf0\x9f\x90\x9f")));
    assert_true(utf8_is_valid(slice_of("a\0b", 3)));
    assert_false(utf8_is_valid(slice_of_str("cut \xe2\x82")));
    assert_false(utf8_is_valid(slice_of_str("\xc0\x80")));
    assert_false(utf8_is_valid(slice_of_str("\xed\xa0\x80")));
    assert_int_equal(utf8_sequence_len(slice_of(NULL, 0)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_start_of_three_bytes_matches_the_slow_decoder),
        cmocka_unit_test(test_whole_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
