/* Commands beside a container's own, and clients on its input and output. */
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

static void test_exec_runs_beside_and_hands_on_its_exit_code(void **state)
{
    char out[1024];

    NEED_CONTAINERS();
    start_forever(&fx, "exec1");
    assert_int_equal(exec_output(&fx, "exec1", "echo hi; echo oops >&2; exit 5", out, sizeof(out)),
                     5);
    assert_non_null(strstr(out, "hi\n"));
    assert_non_null(strstr(out, "oops\n"));
    assert_int_equal(exec_output(&fx, "nosuch", "true", out, sizeof(out)), ERR_NOT_FOUND);
    remove_container(&fx, "exec1", REMOVE_FORCE);
    assert_int_equal(exec_output(&fx, "exec1", "true", out, sizeof(out)), ERR_NOT_FOUND);
}

struct typed {
    struct waited waited;
    struct runtime_stream *stream;
    char out[16384];
    size_t len;
    int exit_code;
    const char *input;
};

static void on_typed_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct typed *t = owner;
    size_t len = bytes.len < sizeof(t->out) - 1 - t->len ? bytes.len : sizeof(t->out) - 1 - t->len;

    (void)source;
    memcpy(t->out + t->len, bytes.ptr, len);
    t->len += len;
    if (t->input != NULL && strstr(t->out, "ready") != NULL) {
        assert_int_equal(runtime_stream_write(t->stream, slice_of_str(t->input)), 0);
        t->input = NULL;
    }
}

static void on_typed_end(void *owner, int err, const char *message, int exit_code)
{
    struct typed *t = owner;

    t->exit_code = exit_code;
    on_waited(&t->waited, err, message);
}

static void test_exec_with_a_terminal(void **state)
{
    static struct typed t;
    const char *argv[] = { "sh", "-c",
                           "until stty size | grep 132; do sleep 0.01; done; echo ready; read "
                           "line; echo got $line; exit 4",
                           NULL };
    const struct exec_spec spec = {
        .argv = argv, .tty = true, .open_stdin = true, .rows = 40, .columns = 132
    };
    const struct stream_callbacks callbacks = { .owner = &t,
                                                .on_output = on_typed_output,
                                                .on_end = on_typed_end };

    NEED_CONTAINERS();
    start_forever(&fx, "exec2");
    memset(&t, 0, sizeof(t));
    t.waited.fixture = &fx;
    t.input = "hello\n";
    t.stream = runtime_exec(fx.rt, "exec2", &spec, &callbacks);
    if (wait_call(&t.waited) < 0)
        fail_msg("%s", t.waited.message);
    assert_non_null(strstr(t.out, "40 132"));
    assert_non_null(strstr(t.out, "got hello"));
    assert_int_equal(t.exit_code, 4);
}

/* Held back until the command is gone and for longer than a stream waits for what a command left
 * running: a client that reads slowly still gets all of it. */
static void read_late(bool tty)
{
    static struct typed t;
    const char *argv[] = { "sh", "-c", "echo $$ > /pid; seq 1 2000", NULL };
    const struct exec_spec spec = { .argv = argv, .tty = tty };
    const struct stream_callbacks callbacks = { .owner = &t,
                                                .on_output = on_typed_output,
                                                .on_end = on_typed_end };
    char out[1024];

    memset(&t, 0, sizeof(t));
    t.waited.fixture = &fx;
    t.stream = runtime_exec(fx.rt, "exec2", &spec, &callbacks);
    runtime_stream_hold(t.stream);
    (void)exec_output(&fx, "exec2",
                      "until [ -s /pid ]; do sleep 0.01; done; "
                      "while kill -0 $(cat /pid); do sleep 0.01; done; rm /pid; sleep 0.6",
                      out, sizeof(out));
    assert_false(t.waited.done);
    runtime_stream_resume(t.stream);
    assert_int_equal(wait_call(&t.waited), 0);
    assert_int_equal(t.exit_code, 0);
    assert_non_null(strstr(t.out, tty ? "1999\r\n2000\r\n" : "1999\n2000\n"));
}

static void test_output_of_a_command_that_is_gone_is_read(void **state)
{
    NEED_CONTAINERS();
    read_late(false);
}

static void test_output_on_a_terminal_of_a_command_that_is_gone_is_read(void **state)
{
    NEED_CONTAINERS();
    read_late(true);
}

static void test_exec_stdin_reaches_end_of_file(void **state)
{
    static struct typed t;
    const char *argv[] = { "sh", "-c", "echo ready; wc -c", NULL };
    const struct exec_spec spec = { .argv = argv, .open_stdin = true };
    const struct stream_callbacks callbacks = { .owner = &t,
                                                .on_output = on_typed_output,
                                                .on_end = on_typed_end };

    NEED_CONTAINERS();
    memset(&t, 0, sizeof(t));
    t.waited.fixture = &fx;
    t.input = "12345";
    t.stream = runtime_exec(fx.rt, "exec2", &spec, &callbacks);
    while (t.input != NULL)
        uv_run(&fx.loop, UV_RUN_ONCE);
    runtime_stream_shut_input(t.stream);
    assert_int_equal(wait_call(&t.waited), 0);
    assert_non_null(strstr(t.out, "5\n"));
}

static void test_closing_an_exec_ends_its_command(void **state)
{
    static struct typed t;
    const char *argv[] = { "sh", "-c", "echo ready; exec sleep 4321", NULL };
    const struct exec_spec spec = { .argv = argv };
    const struct stream_callbacks callbacks = { .owner = &t,
                                                .on_output = on_typed_output,
                                                .on_end = on_typed_end };
    char out[1024];

    NEED_CONTAINERS();
    memset(&t, 0, sizeof(t));
    t.waited.fixture = &fx;
    t.stream = runtime_exec(fx.rt, "exec2", &spec, &callbacks);
    while (strstr(t.out, "ready") == NULL)
        uv_run(&fx.loop, UV_RUN_ONCE);
    runtime_stream_close(t.stream);
    assert_int_equal(wait_call(&t.waited), 0);
    assert_int_equal(t.exit_code, 137);
    (void)exec_output(&fx, "exec2", "ps", out, sizeof(out));
    assert_null(strstr(out, "sleep 4321"));
}

static void test_attach_sees_output_and_gives_input(void **state)
{
    static struct typed t;
    const struct stream_callbacks callbacks = { .owner = &t,
                                                .on_output = on_typed_output,
                                                .on_end = on_typed_end };
    struct container_spec spec;
    char message[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "attach", "while read line; do echo ready $line; done; exit 2");
    spec.open_stdin = true;
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    memset(&t, 0, sizeof(t));
    t.waited.fixture = &fx;
    t.stream = runtime_attach(fx.rt, "attach", &callbacks);
    while (runtime_stream_write(t.stream, slice_of_str("one\n")) == ERR_FULL)
        uv_run(&fx.loop, UV_RUN_ONCE); /* connecting */
    while (strstr(t.out, "ready one\n") == NULL)
        uv_run(&fx.loop, UV_RUN_ONCE);
    remove_container(&fx, "attach", REMOVE_FORCE);
    assert_int_equal(wait_call(&t.waited), 0);
}

/* Health checks do so all the time. Its command is killed, and its end noticed, by a runtime that
 * has no other work any more. */
static void test_the_runtime_closes_while_a_command_runs(void **state)
{
    static struct typed t;
    const char *argv[] = { "sh", "-c", "echo ready; exec sleep 4321", NULL };
    const struct exec_spec spec = { .argv = argv };
    const struct stream_callbacks callbacks = { .owner = &t,
                                                .on_output = on_typed_output,
                                                .on_end = on_typed_end };

    NEED_CONTAINERS();
    start_forever(&fx, "leaving");
    for (int i = 0; i < 5; i++) {
        memset(&t, 0, sizeof(t));
        t.waited.fixture = &fx;
        t.stream = runtime_exec(fx.rt, "leaving", &spec, &callbacks);
        while (strstr(t.out, "ready") == NULL)
            uv_run(&fx.loop, UV_RUN_ONCE);
        fixture_close(&fx);
        assert_true(t.waited.done);
        fixture_open(&fx);
    }
    remove_container(&fx, "leaving", REMOVE_FORCE);
}

#define TEST(name) cmocka_unit_test(test_##name)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(exec_runs_beside_and_hands_on_its_exit_code),
        TEST(exec_with_a_terminal),
        TEST(output_of_a_command_that_is_gone_is_read),
        TEST(output_on_a_terminal_of_a_command_that_is_gone_is_read),
        TEST(exec_stdin_reaches_end_of_file),
        TEST(closing_an_exec_ends_its_command),
        TEST(attach_sees_output_and_gives_input),
        TEST(the_runtime_closes_while_a_command_runs),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
