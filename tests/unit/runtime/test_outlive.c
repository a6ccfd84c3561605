/* Containers and the daemon: who outlives whom, and what is in order before the host goes down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_group.h"

/* Each within its own grace and by its own signal, paused ones too; what never ran stays as it is.
 */
static void test_before_the_host_goes_down_all_containers_end_in_order(void **state)
{
    struct waited down = { .fixture = &fx }, late = { .fixture = &fx }, w = { .fixture = &fx };
    struct container_spec spec;
    char message[1024];

    NEED_CONTAINERS();
    start_forever(&fx, "down1");
    start_forever(&fx, "down2");
    runtime_container_pause(fx.rt, "down2", on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    spec_init(&spec, "down3", "trap 'exit 4' USR1; touch /up; while :; do sleep 0.05; done");
    assert_int_equal(str_set(&spec.stop_signal, "SIGUSR1"), 0);
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    while (exec_output(&fx, "down3", "test -e /up", message, sizeof(message)) != 0)
        ;
    spec_init(&spec, "down4", "trap '' TERM; while :; do sleep 0.05; done");
    spec.stop_grace = calloc(1, sizeof(*spec.stop_grace));
    assert_non_null(spec.stop_grace);
    *spec.stop_grace = 200 * (int64_t)NS_PER_MS;
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    spec_init(&spec, "down5", "true");
    w = (struct waited){ .fixture = &fx };
    runtime_container_create(fx.rt, &spec, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    fields_deinit(&container_spec_type, &spec);

    runtime_shut_down(fx.rt, on_waited, &down);
    runtime_container_start(fx.rt, "down5", on_waited, &late);
    assert_false(down.done); /* not from within the call */
    assert_int_equal(wait_call(&down), 0);
    assert_int_equal(wait_call(&late), ERR_UNAVAILABLE);
    assert_int_equal(runtime_container_inspect(fx.rt, "down1")->exit_code, 3);
    assert_int_equal(runtime_container_inspect(fx.rt, "down2")->exit_code, 3);
    assert_int_equal(runtime_container_inspect(fx.rt, "down3")->exit_code, 4);
    assert_int_equal(runtime_container_inspect(fx.rt, "down4")->exit_code, 137);
    assert_int_equal(runtime_container_inspect(fx.rt, "down5")->state, CONTAINER_CREATED);
    fixture_close(&fx);
    fx.event_count = 0;
    fixture_open(&fx); /* what they ended with is known to the next daemon */
    assert_int_equal(runtime_container_inspect(fx.rt, "down1")->exit_code, 3);
    assert_int_equal(count_events(&fx, "down1", CONTAINER_EVENT_EXITED), 0);
}

/* The runtime goes away and comes back; what ran goes on, what ended meanwhile is reported. */
static void test_containers_outlive_the_runtime(void **state)
{
    struct container_spec spec;
    char message[1024];
    pid_t pid;

    NEED_CONTAINERS();
    start_forever(&fx, "outlive");
    pid = runtime_container_inspect(fx.rt, "outlive")->pid;
    spec_init(&spec, "ended", "while [ ! -e /host/go ]; do sleep 0.05; done; exit 42");
    add_mount(&spec, CONTAINER_MOUNT_BIND, fx.dir, "/host");
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    fixture_close(&fx);
    (void)snprintf(message, sizeof(message), "touch %s/go", fx.dir);
    assert_int_equal(system(message), 0);
    (void)snprintf(message, sizeof(message), "%s/exits/ended", fx.state_dir);
    while (access(message, F_OK) < 0)
        usleep(10000);
    fx.event_count = 0;
    fixture_open(&fx);
    assert_int_equal(count_events(&fx, "outlive", CONTAINER_EVENT_FOUND), 1);
    assert_int_equal(count_events(&fx, "outlive", CONTAINER_EVENT_EXITED), 0);
    assert_int_equal(runtime_container_inspect(fx.rt, "outlive")->pid, pid);
    assert_int_equal(count_events(&fx, "ended", CONTAINER_EVENT_EXITED), 1);
    assert_int_equal(runtime_container_inspect(fx.rt, "ended")->exit_code, 42);
    fixture_close(&fx);
    fx.event_count = 0;
    fixture_open(&fx);
    assert_int_equal(count_events(&fx, "ended", CONTAINER_EVENT_EXITED), 0); /* once only */
    assert_int_equal(runtime_container_inspect(fx.rt, "ended")->exit_code, 42);
    assert_int_equal(exec_output(&fx, "outlive", "echo here", message, sizeof(message)), 0);
    assert_string_equal(message, "here\n");
    remove_container(&fx, "outlive", REMOVE_FORCE);
}

/* Whoever opens it next collects them, but for those that a thread had collected already: these are
 * found as exited. */
static void test_the_runtime_closes_while_containers_end(void **state)
{
    struct container_spec spec;
    char message[1024], id[16];

    NEED_CONTAINERS();
    for (int i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof(id), "ending%d", i);
        spec_init(&spec, id, "sleep 0.3; exit 6");
        assert_int_equal(create_and_start(&fx, &spec, message), 0);
        fields_deinit(&container_spec_type, &spec);
        if (i % 5 != 4)
            continue;
        usleep(200000 + 5000 * (useconds_t)i); /* any moment is right, and some are worth more */
        fixture_close(&fx);
        fixture_open(&fx);
    }
    for (int i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof(id), "ending%d", i);
        assert_int_equal(wait_exited(&fx, id)->exit_code, 6);
        assert_true(count_events(&fx, id, CONTAINER_EVENT_EXITED) <= 1);
    }
}

static void test_a_container_without_its_monitor_is_ended(void **state)
{
    struct waited w = { .fixture = &fx };
    char command[256];

    NEED_CONTAINERS();
    start_forever(&fx, "orphan");
    runtime_container_wait(fx.rt, "orphan", on_waited, &w);
    (void)snprintf(command, sizeof(command), "kill -9 $(cat %s/containers/orphan/conmon.pid)",
                   fx.run_dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(wait_call(&w), 0);
    assert_int_equal(runtime_container_inspect(fx.rt, "orphan")->exit_code, CONTAINER_EXIT_UNKNOWN);
    assert_non_null(strstr(runtime_container_inspect(fx.rt, "orphan")->error, "conmon"));
}

#define TEST(name) cmocka_unit_test(test_##name)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(before_the_host_goes_down_all_containers_end_in_order),
        TEST(containers_outlive_the_runtime),
        TEST(the_runtime_closes_while_containers_end),
        TEST(a_container_without_its_monitor_is_ended),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
