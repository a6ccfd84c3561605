/* Commands for tasks of other nodes, as bytes: what they are, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/exec_wire.h"
#include "tests/support/unit.h"

#define BYTES_MAX (256 * KIB)

static void assert_bytes(struct slice got, const void *expected, size_t len)
{
    assert_int_equal(got.len, len);
    assert_memory_equal(got.ptr, expected, len);
}

static void test_a_request_is_these_bytes(void **state)
{
    static const uint8_t golden[] = "\x88\x01\xb9"
                                    "0123456789abcdefghijklmno"
                                    "\x02\x92\xa2ls\xa2-l\x03\x91\xa3"
                                    "A=b\x04\xa4/tmp\x05\xa4root\x06\xc3\x07\xc3\x08\xc3";
    char ls[] = "ls", l[] = "-l", a[] = "A=b", dir[] = "/tmp", user[] = "root";
    char *argv[] = { ls, l }, *env[] = { a };
    struct exec_request r = { .task_id = { "0123456789abcdefghijklmno" },
                              .argv = { argv, 2 },
                              .env = { env, 1 },
                              .dir = dir,
                              .user = user,
                              .tty = true,
                              .open_stdin = true,
                              .detach = true };
    struct exec_request again;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, BYTES_MAX);
    assert_int_equal(fields_encode(&exec_request_type, &r, &bytes, NULL), 0);
    assert_bytes(buf_slice(&bytes), golden, sizeof(golden) - 1);
    assert_int_equal(fields_decode(&exec_request_type, buf_slice(&bytes), &again, NULL), 0);
    assert_true(fields_equal(&exec_request_type, &r, &again));
    fields_deinit(&exec_request_type, &again);
    buf_deinit(&bytes);
}

static void test_frames_are_these_bytes(void **state)
{
    static const uint8_t golden[] = "\x01\x02\x00\x00hi"
                                    "\x02\x00\x00\x00"
                                    "\x03\x05\x00\x00\x82\x01\x18\x02\x50"
                                    "\x04\x01\x00\x00o"
                                    "\x05\x01\x00\x00"
                                    "e"
                                    "\x06\x03\x00\x00\x81\x02\x07";
    const struct exec_window window = { .rows = 24, .columns = 80 };
    const struct exec_result result = { .exit_code = 7 };
    struct buf b;

    (void)state;
    buf_init(&b, BYTES_MAX);
    assert_int_equal(exec_frame_put(&b, EXEC_INPUT, slice_of_str("hi")), 0);
    assert_int_equal(exec_frame_put(&b, EXEC_INPUT_END, slice_of(NULL, 0)), 0);
    assert_int_equal(exec_frame_put_message(&b, EXEC_WINDOW, &exec_window_type, &window), 0);
    assert_int_equal(exec_frame_put(&b, EXEC_OUTPUT, slice_of_str("o")), 0);
    assert_int_equal(exec_frame_put(&b, EXEC_ERRORS, slice_of_str("e")), 0);
    assert_int_equal(exec_frame_put_message(&b, EXEC_RESULT, &exec_result_type, &result), 0);
    assert_bytes(buf_slice(&b), golden, sizeof(golden) - 1);
    buf_deinit(&b);
}

static void test_a_frame_is_taken_once_it_is_whole(void **state)
{
    uint8_t bytes[300];
    struct exec_frame f;
    struct buf b;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    buf_init(&b, BYTES_MAX);
    assert_int_equal(exec_frame_put(&b, EXEC_OUTPUT, slice_of(bytes, sizeof(bytes))), 0);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(exec_frame_take(slice_of(b.ptr, len), &f), 0);
    assert_int_equal(exec_frame_put(&b, EXEC_INPUT, slice_of_str("next")), 0);
    assert_int_equal(exec_frame_take(buf_slice(&b), &f), EXEC_FRAME_HEADER_LEN + 300);
    assert_int_equal(f.kind, EXEC_OUTPUT);
    assert_bytes(f.bytes, bytes, sizeof(bytes));
    buf_deinit(&b);
}

static void test_what_no_frame_is_is_refused(void **state)
{
    static const struct {
        const char *why, *bytes;
    } rows[] = {
        { "kind 0", "\x00\x01\x00\x00x" },
        { "a kind that is none, though the rest is not there", "\x07" },
        { "64 KiB and a byte", "\x01\x01\x00\x01" },
    };
    struct exec_frame f;
    struct buf b, small;
    uint8_t *large = calloc(1, EXEC_FRAME_LEN_MAX + 1);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].why);
        assert_int_equal(exec_frame_take(slice_of(rows[i].bytes, i == 1 ? 1 : 4), &f),
                         ERR_MALFORMED);
    }
    assert_non_null(large);
    buf_init(&b, BYTES_MAX);
    assert_int_equal(exec_frame_put(&b, EXEC_INPUT, slice_of(large, EXEC_FRAME_LEN_MAX + 1)),
                     ERR_TOO_LARGE);
    assert_int_equal(exec_frame_put(&b, EXEC_INPUT, slice_of(large, EXEC_FRAME_LEN_MAX)), 0);
    assert_int_equal(exec_frame_take(buf_slice(&b), &f),
                     EXEC_FRAME_HEADER_LEN + EXEC_FRAME_LEN_MAX);
    buf_init(&small, 10); /* what does not fit leaves nothing behind */
    assert_int_equal(exec_frame_put(&small, EXEC_INPUT, slice_of(large, 7)), ERR_TOO_LARGE);
    assert_int_equal(small.len, 0);
    buf_deinit(&small);
    buf_deinit(&b);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_these_bytes),
        cmocka_unit_test(test_frames_are_these_bytes),
        cmocka_unit_test(test_a_frame_is_taken_once_it_is_whole),
        cmocka_unit_test(test_what_no_frame_is_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
