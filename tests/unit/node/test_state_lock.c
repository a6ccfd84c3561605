/* Who holds the lock of a state directory: found, waited for, and the only one who gets the signal.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "node/state_lock.h"
#include "tests/support/unit.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/shoal-lock-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    char path[96];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/lock", dir);
    (void)unlink(path);
    return rmdir(dir);
}

/* A process that holds it until SIGPWR, and then ends with 7; returns once it does. */
static pid_t start_holder(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int lock = state_lock_open(dir), number;
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGPWR);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        if (lock < 0 || state_lock_take(lock) < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        (void)sigwait(&set, &number);
        _exit(7);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void test_a_free_lock_is_taken_and_has_no_holder(void **state)
{
    int lock = state_lock_open(dir);

    (void)state;
    assert_true(lock >= 0);
    assert_int_equal(state_lock_signal(lock, SIGPWR), -ESRCH);
    assert_int_equal(state_lock_take(lock), 0);
    assert_int_equal(state_lock_signal(lock, SIGPWR), -ESRCH); /* nobody else */
    close(lock);
}

static void test_the_holder_hears_the_signal_and_its_end_is_waited_for(void **state)
{
    pid_t holder = start_holder();
    int lock = state_lock_open(dir), how;

    (void)state;
    assert_int_equal(state_lock_take(lock), ERR_IN_USE);
    assert_int_equal(state_lock_signal(lock, SIGPWR), 0);
    assert_int_equal(state_lock_wait(lock), 0); /* ours now */
    assert_int_equal(waitpid(holder, &how, 0), holder);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 7);
    close(lock);
}

static void test_a_killed_holder_lets_go(void **state)
{
    pid_t holder = start_holder();
    int lock = state_lock_open(dir);

    (void)state;
    assert_int_equal(state_lock_take(lock), ERR_IN_USE);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(state_lock_wait(lock), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    close(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_free_lock_is_taken_and_has_no_holder, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(test_the_holder_hears_the_signal_and_its_end_is_waited_for,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_a_killed_holder_lets_go, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
