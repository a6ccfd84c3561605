/* A program's copy in memory: what it runs is what was copied, and nobody can change it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/process.h"
#include "runtime/program.h"

static struct program program;

/* A script would be read by an interpreter, not run: so it is a real program, under another name.
 */
static void install(const char *from)
{
    char command[4096];

    (void)snprintf(command, sizeof(command), "cp %s %s.new && mv %s.new %s", from, program.path,
                   program.path, program.path);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(program.path, sizeof(program.path), "/tmp/shoal-program-%d", (int)getpid());
    install("/bin/false");
    program.fd = -1;
    return program_copy(&program);
}

static int tear_down(void **state)
{
    (void)state;
    program_drop_copy(&program);
    return unlink(program.path);
}

static int exit_status(const char *path)
{
    const char *argv[] = { path, NULL };
    int status = -1;
    pid_t pid;

    assert_int_equal(process_spawn(argv, NULL, NULL, NULL, 0, &pid), 0);
    assert_int_equal(process_wait(pid, 10000, &status), 0);
    return WEXITSTATUS(status);
}

static void test_the_copy_is_what_runs(void **state)
{
    (void)state;
    assert_string_equal(program_to_run(&program), program.copy);
    assert_int_equal(exit_status(program_to_run(&program)), 1);
}

/* What crun and runc ask for, else they would copy themselves each time: no seal more or less. */
static void test_the_copy_is_sealed_as_oci_runtimes_want_it(void **state)
{
    (void)state;
    assert_int_equal(fcntl(program.fd, F_GET_SEALS),
                     F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

static void test_nobody_changes_the_copy(void **state)
{
    int fd = open(program.copy, O_RDWR);

    (void)state;
    if (fd >= 0) { /* root may open anything */
        assert_true(write(fd, "x", 1) < 0 && errno == EPERM);
        assert_true(ftruncate(fd, 0) < 0 && errno == EPERM);
        assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        close(fd);
    }
    assert_int_equal(exit_status(program.copy), 1);
}

static void test_an_upgrade_is_run_at_once(void **state)
{
    (void)state;
    install("/bin/true");
    assert_string_equal(program_to_run(&program), program.path);
    assert_int_equal(exit_status(program_to_run(&program)), 0);
}

static void test_without_a_copy_the_file_runs(void **state)
{
    (void)state;
    program_drop_copy(&program);
    assert_string_equal(program_to_run(&program), program.path);
    assert_int_equal(exit_status(program_to_run(&program)), 1);
}

static void test_what_is_not_there_has_no_copy(void **state)
{
    struct program absent = { .path = "/nonexistent/crun", .fd = -1 };

    (void)state;
    assert_int_equal(program_copy(&absent), -ENOENT);
    assert_string_equal(program_to_run(&absent), absent.path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_copy_is_what_runs),        TEST(the_copy_is_sealed_as_oci_runtimes_want_it),
        TEST(nobody_changes_the_copy),      TEST(an_upgrade_is_run_at_once),
        TEST(without_a_copy_the_file_runs), TEST(what_is_not_there_has_no_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
