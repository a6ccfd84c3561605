/* The keys that let go of a terminal: how they are written, and how they are found in what is
 * typed. */
#include <string.h>

#include "base/err.h"
#include "base/units.h"
#include "node/api/detach_keys.h"
#include "tests/support/unit.h"

static void test_keys_are_written_as_dockers_are(void **state)
{
    static const struct {
        const char *text;
        int rc;
        const char *keys;
        size_t count;
    } rows[] = {
        { NULL, 0, "\x10\x11", 2 },
        { "", 0, "\x10\x11", 2 },
        { "ctrl-p,ctrl-q", 0, "\x10\x11", 2 },
        { "a", 0, "a", 1 },
        { "ctrl-@,ctrl-[,x", 0, "\0\x1bx", 3 },
        { "ctrl-_", 0, "\x1f", 1 },
        { "ctrl-", ERR_INVALID, NULL, 0 },
        { "ctrl-1", ERR_INVALID, NULL, 0 },
        { "ab", ERR_INVALID, NULL, 0 },
        { "a,", ERR_INVALID, NULL, 0 },
        { "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", ERR_INVALID, NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct detach_keys k = { 0 };

        print_message("  %s\n", rows[i].text == NULL ? "none" : rows[i].text);
        assert_int_equal(detach_keys_parse(rows[i].text, &k), rows[i].rc);
        assert_int_equal(k.count, rows[i].count);
        if (rows[i].rc == 0)
            assert_memory_equal(k.keys, rows[i].keys, k.count);
    }
}

/* Types `typed` in pieces of `step` bytes; what goes on is compared. */
static void type(const char *keys, const char *typed, size_t step, const char *goes_on,
                 bool detaches)
{
    struct detach_keys k;
    bool detached = false;
    struct buf out;

    assert_int_equal(detach_keys_parse(keys, &k), 0);
    buf_init(&out, KIB);
    for (size_t at = 0; at < strlen(typed) && !detached; at += step) {
        int rc;

        detached =
            detach_keys_filter(&k, slice_of(typed + at, MIN(step, strlen(typed) - at)), &out, &rc);
        assert_int_equal(rc, 0);
    }
    assert_int_equal(detached, detaches);
    assert_int_equal(out.len, strlen(goes_on));
    if (out.len > 0)
        assert_memory_equal(out.ptr, goes_on, out.len);
    buf_deinit(&out);
}

static void test_only_the_whole_sequence_detaches(void **state)
{
    static const struct {
        const char *why, *keys, *typed, *goes_on;
        bool detaches;
    } rows[] = {
        { "nothing of it", "x,y", "hello", "hello", false },
        { "the sequence alone", "x,y", "xy", "", true },
        { "what was typed before it goes on, what follows does not", "x,y", "axyb", "a", true },
        { "half of it is kept back until something else comes", "x,y", "ax", "a", false },
        { "and then goes on", "x,y", "axb", "axb", false },
        { "its first key twice", "x,y", "xxy", "x", true },
        { "a sequence that begins as it goes on", "a,a,b", "aaab", "a", true },
        { "the same, broken off", "a,b,a,c", "ababac", "ab", true },
        { "and without an end", "a,b,a,c", "abab", "ab", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].why);
        for (size_t step = 1; step <= 7; step++)
            type(rows[i].keys, rows[i].typed, step, rows[i].goes_on, rows[i].detaches);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_written_as_dockers_are),
        cmocka_unit_test(test_only_the_whole_sequence_detaches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
