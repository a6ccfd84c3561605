/* The byte buffer: its limit holds, and a failed call changes nothing. */
#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/prng.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"

static void test_contents_match_a_plain_array(void **state)
{
    enum { LIMIT = 3000 };
    uint8_t twin[LIMIT];
    size_t twin_len = 0;
    struct prng p;
    struct buf b;

    (void)state;
    prng_init(&p, 1);
    buf_init(&b, LIMIT);
    for (int i = 0; i < 5000; i++) {
        uint8_t bytes[200];
        size_t len = prng_below(&p, sizeof(bytes));

        if (prng_chance(&p, 0.9)) {
            int want = twin_len + len > LIMIT ? ERR_TOO_LARGE : 0;

            prng_bytes(&p, bytes, len);
            assert_int_equal(buf_append(&b, bytes, len), want);
            if (want == 0) {
                memcpy(twin + twin_len, bytes, len);
                twin_len += len;
            }
        } else {
            len = prng_below(&p, twin_len + 1);
            buf_consume(&b, len);
            memmove(twin, twin + len, twin_len - len);
            twin_len -= len;
        }
        assert_true(slice_equal(buf_slice(&b), slice_of(twin, twin_len)));
        assert_true(b.cap <= LIMIT);
    }
    buf_deinit(&b);
}

static void test_limit_is_exact(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4);
    assert_int_equal(buf_append_str(&b, "abcd"), 0);
    assert_int_equal(buf_append_byte(&b, 'e'), ERR_TOO_LARGE);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_TOO_LARGE);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(b.len, 4);
    assert_int_equal(b.cap, 4);
    buf_deinit(&b);
}

static void test_printf_may_fill_the_buffer_to_its_limit(void **state)
{
    char long_text[400];
    struct buf b;

    (void)state;
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    buf_init(&b, 403);
    assert_int_equal(buf_printf(&b, "%d-%s", 42, "a"), 0);
    assert_int_equal(buf_printf(&b, "%s", long_text), 0);
    assert_int_equal(buf_printf(&b, "%d", 7), ERR_TOO_LARGE);
    assert_int_equal(b.len, 403);
    assert_memory_equal(b.ptr, "42-axxx", 7);
    buf_deinit(&b);
}

static void test_take_hands_the_memory_over(void **state)
{
    uint8_t *bytes;
    struct buf b;
    size_t len;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_reserve(&b, 10), 0);
    assert_null(buf_take(&b, &len));
    assert_int_equal(len, 0);
    assert_int_equal(buf_append_str(&b, "abc"), 0);
    bytes = buf_take(&b, &len);
    assert_memory_equal(bytes, "abc", len);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_append_str(&b, "d"), 0); /* usable again */
    free(bytes);
    buf_deinit(&b);
}

static void test_out_of_memory_changes_nothing(void **state)
{
    char text[300];
    struct buf b;

    (void)state;
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    buf_init(&b, 1000);
    assert_int_equal(buf_append_str(&b, "abc"), 0);
    for (unsigned n = 1; n <= 2; n++) { /* the buffer's own growth, the long text */
        oom_fail_at(n);
        assert_int_equal(buf_printf(&b, "%s", text), -ENOMEM);
        assert_true(oom_has_failed());
        assert_true(slice_equal(buf_slice(&b), slice_of_str("abc")));
    }
    assert_int_equal(buf_printf(&b, "%s", text), 0);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents_match_a_plain_array),
        cmocka_unit_test(test_limit_is_exact),
        cmocka_unit_test(test_printf_may_fill_the_buffer_to_its_limit),
        cmocka_unit_test(test_take_hands_the_memory_over),
        cmocka_unit_test(test_out_of_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
