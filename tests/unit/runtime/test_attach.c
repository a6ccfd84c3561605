/* Attaching to containers before they start. */
#include <signal.h>
#include <string.h>

#include "base/err.h"
#include "support_runtime.h"
#include "tests/support/unit.h"

static struct fixture fx;

static int set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
    if (fixture_missing() == NULL) {
        fixture_init(&fx);
        fixture_import_busybox(&fx);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (fixture_missing() == NULL)
        fixture_deinit(&fx);
    return 0;
}

/* A stream, what it brought, and how it ended. */
struct attached {
    struct waited waited;
    struct runtime_stream *stream;
    char out[4096];
    size_t len;
};

static void on_output(void *owner, enum stream_source source, struct slice bytes)
{
    struct attached *a = owner;

    (void)source;
    assert_true(bytes.len < sizeof(a->out) - a->len);
    memcpy(a->out + a->len, bytes.ptr, bytes.len);
    a->len += bytes.len;
}

static void on_end(void *owner, int err, const char *message, int exit_code)
{
    struct attached *a = owner;

    assert_int_equal(exit_code, 0);
    on_waited(&a->waited, err, message);
}

static void attach_start(struct attached *a, const char *id)
{
    const struct stream_callbacks callbacks = { .owner = a,
                                                .on_output = on_output,
                                                .on_end = on_end };

    *a = (struct attached){ .waited = { .fixture = &fx } };
    a->stream = runtime_attach_start(fx.rt, id, &callbacks);
}

static void create(struct container_spec *spec)
{
    struct waited w = { .fixture = &fx };

    runtime_container_create(fx.rt, spec, on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
    fields_deinit(&container_spec_type, spec);
}

static int start(const char *id)
{
    struct waited w = { .fixture = &fx };

    runtime_container_start(fx.rt, id, on_waited, &w);
    return wait_call(&w);
}

static void remove_it(const char *id)
{
    struct waited w = { .fixture = &fx };

    runtime_container_remove(fx.rt, id, REMOVE_FORCE, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
}

/* Whatever the process says first, and its whole input: connected before it runs. */
static void test_nothing_is_missed(void **state)
{
    static struct attached a;
    struct container_spec spec;

    NEED_CONTAINERS();
    spec_init(&spec, "whole", "echo first; cat");
    spec.open_stdin = spec.stdin_once = true;
    create(&spec);
    for (int round = 0; round < 2; round++) { /* also from exited */
        attach_start(&a, "whole");
        assert_int_equal(start("whole"), 0);
        while (runtime_stream_write(a.stream, slice_of_str("through\n")) == ERR_FULL)
            (void)uv_run(&fx.loop, UV_RUN_ONCE);
        runtime_stream_shut_input(a.stream); /* and with it the process's */
        assert_int_equal(wait_call(&a.waited), 0);
        assert_string_equal(a.out, "first\nthrough\n");
        (void)wait_exited(&fx, "whole");
    }
    remove_it("whole");
}

/* Without stdin_once the process reads on when one that gave it input has left. */
static void test_input_stays_open_unless_it_is_for_one(void **state)
{
    static struct attached a, b;
    struct container_spec spec;

    NEED_CONTAINERS();
    spec_init(&spec, "open", "while read line; do echo got $line; done");
    spec.open_stdin = true;
    create(&spec);
    attach_start(&a, "open");
    attach_start(&b, "open");
    assert_int_equal(start("open"), 0);
    while (runtime_stream_write(a.stream, slice_of_str("one\n")) == ERR_FULL)
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    while (strstr(b.out, "got one\n") == NULL)
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    runtime_stream_close(a.stream);
    assert_int_equal(wait_call(&a.waited), 0);
    assert_int_equal(runtime_stream_write(b.stream, slice_of_str("two\n")), 0);
    while (strstr(b.out, "got two\n") == NULL)
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    remove_it("open");
    assert_int_equal(wait_call(&b.waited), 0);
}

/* Nothing to read is an end too, and may be told before there is anybody to read it. */
static void test_input_may_end_before_the_start(void **state)
{
    static const char *const argv[] = { "cat", NULL };
    static struct attached a, b;
    const struct exec_spec exec = { .argv = argv, .open_stdin = true };
    const struct stream_callbacks callbacks = { .owner = &b,
                                                .on_output = on_output,
                                                .on_end = on_end };
    struct container_spec spec;

    NEED_CONTAINERS();
    spec_init(&spec, "empty", "cat; echo end; sleep 1");
    spec.open_stdin = spec.stdin_once = true;
    create(&spec);
    attach_start(&a, "empty");
    runtime_stream_shut_input(a.stream);
    assert_int_equal(start("empty"), 0);
    while (strstr(a.out, "end\n") == NULL)
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    b = (struct attached){ .waited = { .fixture = &fx } };
    b.stream = runtime_exec(fx.rt, "empty", &exec, &callbacks); /* the same for a command */
    runtime_stream_shut_input(b.stream);
    (void)wait_call(&b.waited);
    assert_int_equal(wait_call(&a.waited), 0);
    remove_it("empty");
}

static void test_one_that_waits_ends_with_what_it_waits_for(void **state)
{
    static struct attached failed, removed, closed, late;
    struct container_spec spec;

    NEED_CONTAINERS();
    spec_init(&spec, "never", "true");
    str_list_clear(&spec.args);
    str_list_clear(&spec.command);
    assert_int_equal(str_list_append(&spec.command, "/no/such/program"), 0);
    create(&spec);
    attach_start(&failed, "never");
    assert_true(start("never") < 0);
    assert_true(wait_call(&failed.waited) < 0); /* the start failed, and so did it */
    assert_non_null(strstr(failed.waited.message, "/no/such/program"));

    attach_start(&closed, "never");
    attach_start(&removed, "never");
    runtime_stream_close(closed.stream);
    assert_int_equal(wait_call(&closed.waited), 0);
    remove_it("never");
    assert_int_equal(wait_call(&removed.waited), ERR_NOT_FOUND);
    attach_start(&late, "never");
    assert_int_equal(wait_call(&late.waited), ERR_NOT_FOUND);
}

/* The loop turns while the thread has the stream. */
static void test_one_may_go_while_the_start_is_under_way(void **state)
{
    static struct attached gone, during;
    struct waited w = { .fixture = &fx };
    struct container_spec spec;

    NEED_CONTAINERS();
    spec_init(&spec, "busy", "sleep 0.2; echo said");
    create(&spec);
    attach_start(&gone, "busy");
    runtime_container_start(fx.rt, "busy", on_waited, &w);
    runtime_stream_close(gone.stream);
    attach_start(&during, "busy"); /* connects after it */
    assert_int_equal(wait_call(&w), 0);
    assert_int_equal(wait_call(&gone.waited), 0);
    assert_int_equal(wait_call(&during.waited), 0);
    assert_string_equal(during.out, "said\n");
    (void)wait_exited(&fx, "busy");
    attach_start(&during, "busy");
    remove_it("busy");
    assert_int_equal(wait_call(&during.waited), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_missed),
        cmocka_unit_test(test_input_stays_open_unless_it_is_for_one),
        cmocka_unit_test(test_input_may_end_before_the_start),
        cmocka_unit_test(test_one_that_waits_ends_with_what_it_waits_for),
        cmocka_unit_test(test_one_may_go_while_the_start_is_under_way),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
