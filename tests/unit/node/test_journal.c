/* Whose standard error the journal reads. systemd.exec(5) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/journal.h"
#include "tests/support/unit.h"

static void test_the_stream_that_the_variable_names(void **state)
{
    char stream[48];
    struct stat st;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fstat(fds[1], &st), 0);
    (void)snprintf(stream, sizeof(stream), "%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev,
                   (uintmax_t)st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    assert_true(journal_reads(fds[1]));
    assert_false(journal_reads(STDIN_FILENO)); /* inherited, and led elsewhere since */
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_false(journal_reads(fds[1]));
}

static void test_nobody_or_nonsense(void **state)
{
    static const char *const odd[] = { "", ":", "8", "8:", "x:y", "8:1:2" };

    (void)state;
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    assert_false(journal_reads(STDERR_FILENO));
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        assert_int_equal(setenv("JOURNAL_STREAM", odd[i], 1), 0);
        assert_false(journal_reads(STDERR_FILENO));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_stream_that_the_variable_names),
        cmocka_unit_test(test_nobody_or_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
