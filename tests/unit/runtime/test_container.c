/* Real containers: every rule here is about what a process in one sees and how its end is told. */
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

static int set_up(void **state)
{
    (void)state;
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

#define NEED_CONTAINERS()                                      \
    do {                                                       \
        (void)state;                                           \
        if (fixture_missing() != NULL) {                       \
            print_message("skipped: %s\n", fixture_missing()); \
            skip();                                            \
        }                                                      \
    } while (0)

/* Runs to the end and gives its output. */
static const struct container_info *run_spec(struct container_spec *spec, char *out, size_t cap)
{
    const struct container_info *info;
    char message[1024];

    if (create_and_start(&fx, spec, message) < 0)
        fail_msg("%s", message);
    info = wait_exited(&fx, spec->id);
    read_logs(&fx, spec->id, out, cap);
    fields_deinit(&container_spec_type, spec);
    return info;
}

static void test_output_and_exit_code(void **state)
{
    const struct container_info *info;
    struct container_spec spec;
    char out[4096];

    NEED_CONTAINERS();
    spec_init(&spec, "c1", "echo to out; echo to err >&2; exit 7");
    info = run_spec(&spec, out, sizeof(out));
    assert_int_equal(info->state, CONTAINER_EXITED);
    assert_int_equal(info->exit_code, 7);
    assert_int_equal(info->signal, 0);
    assert_non_null(strstr(out, "to out\n"));
    assert_non_null(strstr(out, "to err\n"));
    assert_int_equal(count_events(&fx, "c1", CONTAINER_EVENT_CREATED), 1);
    assert_int_equal(count_events(&fx, "c1", CONTAINER_EVENT_STARTED), 1);
    assert_int_equal(count_events(&fx, "c1", CONTAINER_EVENT_EXITED), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_exit_code),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
