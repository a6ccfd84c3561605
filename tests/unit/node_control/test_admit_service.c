/* What a service asks for and cannot get is refused when it is asked for. */
#include "base/err.h"
#include "tests/support/unit.h"
#include "tests/unit/node_control/support_cluster.h"

static void assert_refused(struct task_spec task, const char *part)
{
    char image[] = "web:1", name[] = "web";
    struct task_container container = { .image = image };
    uint64_t replicas = 1;
    struct replicated replicated = { .replicas = &replicas };
    struct service_spec spec = { .name = name,
                                 .task = task,
                                 .mode = { .replicated = &replicated } };
    struct world w;
    struct id id;

    spec.task.container = &container;
    world_init(&w, 1);
    assert_int_equal(world_apply(&w, admit_service_create(world_admit(&w), &spec, &id)),
                     ERR_INVALID);
    if (strstr(world_error.text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, world_error.text);
    world_deinit(&w);
}

static void test_logs_that_nobody_writes_are_refused(void **state)
{
    char fluentd[] = "fluentd", size[] = "max-size", value[] = "much";
    struct driver driver = { .name = fluentd };
    struct str_map_item option = { .key = size, .value = value };

    (void)state;
    assert_refused((struct task_spec){ .log_driver = &driver }, "log driver 'fluentd'");
    driver = (struct driver){ .options = { &option, 1 } };
    assert_refused((struct task_spec){ .log_driver = &driver }, "max-size 'much'");
}

static void test_generic_resources_are_refused(void **state)
{
    struct generic_resource gpu = { 0 };
    struct resources reservations = { .generic = { &gpu, 1 } };
    struct resource_requirements resources = { .reservations = &reservations };

    (void)state;
    assert_refused((struct task_spec){ .resources = &resources }, "generic resources");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logs_that_nobody_writes_are_refused),
        cmocka_unit_test(test_generic_resources_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
