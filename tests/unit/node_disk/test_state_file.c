/* Small files: the whole old one or the whole new one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "node/disk/state_file.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/shoal-state-file.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    static const char *const names[] = { "f", "f.new", "target" };
    char path[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path); /* it need not be there */
    }
    return rmdir(dir);
}

static const char *path_of(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777u;
}

static void assert_contents(const char *expected)
{
    struct buf bytes;

    buf_init(&bytes, 1 << 20);
    assert_int_equal(state_file_read(dir, "f", &bytes), 0);
    assert_true(slice_equal(buf_slice(&bytes), slice_of_str(expected)));
    buf_deinit(&bytes);
}

static void test_a_write_replaces_all_of_the_old_file(void **state)
{
    (void)state;
    assert_int_equal(state_file_write(dir, "f", slice_of_str("a long first text")), 0);
    assert_int_equal(state_file_write(dir, "f", slice_of_str("short")), 0);
    assert_contents("short");
    assert_int_equal(mode_of(path_of("f")), 0600);
    assert_int_equal(access(path_of("f.new"), F_OK), -1);
}

static void test_what_a_crash_left_aside_is_overwritten(void **state)
{
    int fd;

    (void)state;
    fd = open(path_of("f.new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0666), 0); /* whatever the umask */
    assert_int_equal(write(fd, "half of something longer", 24), 24);
    assert_int_equal(close(fd), 0);
    assert_int_equal(state_file_write(dir, "f", slice_of_str("whole")), 0);
    assert_contents("whole");
    assert_int_equal(mode_of(path_of("f")), 0600);
}

/* The limit makes the first write(2) short and the second one fail, as a full disk does. */
static void test_a_write_that_fails_half_way_leaves_the_old_file(void **state)
{
    static const uint8_t large[10000];
    struct rlimit old, small;
    int rc;

    (void)state;
    assert_int_equal(state_file_write(dir, "f", slice_of_str("old")), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){ .rlim_cur = 4096, .rlim_max = old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = state_file_write(dir, "f", slice_of(large, sizeof(large)));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rc, -EFBIG);
    assert_contents("old");
    assert_int_equal(access(path_of("f.new"), F_OK), -1);
}

static void test_a_link_in_its_place_is_not_followed(void **state)
{
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 100);
    assert_int_equal(state_file_write(dir, "target", slice_of_str("theirs")), 0);
    assert_int_equal(symlink("target", path_of("f")), 0);
    assert_int_equal(state_file_read(dir, "f", &bytes), -ELOOP);
    assert_int_equal(symlink("target", path_of("f.new")), 0);
    assert_int_equal(state_file_write(dir, "f", slice_of_str("ours")), -ELOOP);
    assert_int_equal(state_file_read(dir, "target", &bytes), 0);
    assert_true(slice_equal(buf_slice(&bytes), slice_of_str("theirs")));
    buf_deinit(&bytes);
}

static void test_reading_is_bounded(void **state)
{
    struct buf bytes;

    (void)state;
    assert_int_equal(state_file_write(dir, "f", slice_of_str("0123456789")), 0);
    buf_init(&bytes, 9);
    assert_int_equal(state_file_read(dir, "f", &bytes), ERR_TOO_LARGE);
    buf_deinit(&bytes);
    buf_init(&bytes, 10);
    assert_int_equal(state_file_read(dir, "f", &bytes), 0);
    buf_deinit(&bytes);
    buf_init(&bytes, 10);
    oom_fail_at(1);
    assert_int_equal(state_file_read(dir, "f", &bytes), -ENOMEM);
    assert_true(oom_has_failed());
    assert_int_equal(state_file_read(dir, "none", &bytes), -ENOENT);
    buf_deinit(&bytes);
}

static void test_removing_twice_is_no_error(void **state)
{
    (void)state;
    assert_int_equal(state_file_write(dir, "f", slice_of_str("x")), 0);
    assert_int_equal(state_file_remove(dir, "f"), 0);
    assert_int_equal(access(path_of("f"), F_OK), -1);
    assert_int_equal(state_file_remove(dir, "f"), 0);
}

static void test_names_and_directories_have_bounds(void **state)
{
    char name[300];

    (void)state;
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(state_file_write(dir, name, slice_of_str("x")), -ENAMETOOLONG);
    assert_int_equal(state_file_write(path_of("none"), "f", slice_of_str("x")), -ENOENT);
    assert_int_equal(state_dir_make(""), -ENAMETOOLONG);
}

static void test_a_directory_is_made_with_its_parents(void **state)
{
    char deep[160];

    (void)state;
    (void)snprintf(deep, sizeof(deep), "%s/a/b", dir);
    assert_int_equal(state_dir_make(deep), 0);
    assert_int_equal(state_dir_make(deep), 0); /* it is there already */
    assert_int_equal(mode_of(deep), 0700);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(mode_of(path_of("a")), 0700);
    assert_int_equal(rmdir(path_of("a")), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_write_replaces_all_of_the_old_file),
        TEST(what_a_crash_left_aside_is_overwritten),
        TEST(a_write_that_fails_half_way_leaves_the_old_file),
        TEST(a_link_in_its_place_is_not_followed),
        TEST(reading_is_bounded),
        TEST(removing_twice_is_no_error),
        TEST(names_and_directories_have_bounds),
        TEST(a_directory_is_made_with_its_parents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
