/* The other OCI runtime: what a container sees and how its end is told is the same under runc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_runtime.h"

static struct fixture fx;

static const char *missing(void)
{
    if (access("/usr/sbin/runc", X_OK) < 0 && access("/usr/bin/runc", X_OK) < 0)
        return "needs runc";
    return fixture_missing();
}

#define NEED_RUNC()                                    \
    do {                                               \
        (void)state;                                   \
        if (missing() != NULL) {                       \
            print_message("skipped: %s\n", missing()); \
            skip();                                    \
        }                                              \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    if (missing() == NULL) {
        fixture_init_with(&fx, "runc");
        fixture_import_busybox(&fx);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (missing() == NULL)
        fixture_deinit(&fx);
    return 0;
}

static void test_output_and_exit_code(void **state)
{
    struct container_spec spec;
    char out[1024];

    NEED_RUNC();
    assert_non_null(strstr(runtime_host(fx.rt)->oci_runtime, "runc"));
    spec_init(&spec, "told", "echo out; echo err >&2; exit 7");
    assert_int_equal(create_and_start(&fx, &spec, out), 0);
    assert_int_equal(wait_exited(&fx, "told")->exit_code, 7);
    assert_no_traces(&fx, "told");
    read_logs(&fx, "told", out, sizeof(out));
    assert_non_null(strstr(out, "out\n"));
    assert_non_null(strstr(out, "err\n"));
    fields_deinit(&container_spec_type, &spec);
}

static void test_exec_pause_and_stop(void **state)
{
    struct waited paused = { .fixture = &fx }, resumed = { .fixture = &fx },
                  stopped = { .fixture = &fx };
    char out[1024];

    NEED_RUNC();
    start_forever(&fx, "long");
    assert_int_equal(exec_output(&fx, "long", "echo inside; exit 4", out, sizeof(out)), 4);
    assert_string_equal(out, "inside\n");
    runtime_container_pause(fx.rt, "long", on_waited, &paused);
    if (wait_call(&paused) < 0)
        fail_msg("%s", paused.message);
    runtime_container_unpause(fx.rt, "long", on_waited, &resumed);
    if (wait_call(&resumed) < 0)
        fail_msg("%s", resumed.message);
    runtime_container_stop(fx.rt, "long", 0, UINT64_MAX, on_waited, &stopped);
    assert_int_equal(wait_call(&stopped), 0);
    assert_int_equal(runtime_container_inspect(fx.rt, "long")->exit_code, 3);
}

static void test_limits_hold(void **state)
{
    const struct container_info *info;
    struct container_spec spec;
    char message[1024];

    NEED_RUNC();
    spec_init(&spec, "greedy", "head -c 100000000 /dev/zero | tail");
    spec.limits.memory_bytes = 16 * 1024 * 1024;
    spec.limits.pids = 20;
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    info = wait_exited(&fx, "greedy");
    assert_true(info->oom_killed || info->exit_code != 0);
    fields_deinit(&container_spec_type, &spec);
}

static void test_a_missing_program_is_named(void **state)
{
    struct container_spec spec;
    char message[1024];

    NEED_RUNC();
    spec_init(&spec, "absent", "x");
    assert_int_equal(str_set(&spec.command.items[0], "no-such-program"), 0);
    assert_int_equal(create_and_start(&fx, &spec, message), ERR_INVALID);
    assert_non_null(strstr(message, "no-such-program"));
    fields_deinit(&container_spec_type, &spec);
}

static void test_containers_are_adopted(void **state)
{
    char out[1024];

    NEED_RUNC();
    start_forever(&fx, "kept");
    fixture_close(&fx);
    fx.event_count = 0;
    fixture_open(&fx);
    assert_int_equal(count_events(&fx, "kept", CONTAINER_EVENT_FOUND), 1);
    assert_int_equal(exec_output(&fx, "kept", "echo here", out, sizeof(out)), 0);
    assert_string_equal(out, "here\n");
    remove_container(&fx, "kept", REMOVE_FORCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_exit_code),
        cmocka_unit_test(test_exec_pause_and_stop),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_a_missing_program_is_named),
        cmocka_unit_test(test_containers_are_adopted),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
