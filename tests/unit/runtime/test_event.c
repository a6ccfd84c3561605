/* Events may be answered with calls from within them: the state they tell is already true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_group.h"

static struct waited answer;

static void stop_when_started(struct fixture *f, enum container_event_kind kind,
                              const struct container_info *info)
{
    if (kind == CONTAINER_EVENT_STARTED)
        runtime_container_stop(f->rt, info->spec->id, 9, 50 * NS_PER_S, on_waited, &answer);
}

static void test_a_stop_from_the_started_event_signals_at_once(void **state)
{
    struct container_spec spec;
    char message[1024];
    uint64_t begin;

    NEED_CONTAINERS();
    spec_init(&spec, "eager", "sleep 1000");
    answer = (struct waited){ .fixture = &fx };
    fx.hook = stop_when_started;
    begin = uv_hrtime();
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    assert_int_equal(wait_call(&answer), 0);
    fx.hook = NULL;
    assert_in_range(uv_hrtime() - begin, 0, 25 * NS_PER_S); /* not the grace */
    assert_int_equal(runtime_container_inspect(fx.rt, "eager")->signal, 9);
    fields_deinit(&container_spec_type, &spec);
}

static void start_when_removed(struct fixture *f, enum container_event_kind kind,
                               const struct container_info *info)
{
    if (kind == CONTAINER_EVENT_REMOVED) {
        assert_null(runtime_container_inspect(f->rt, info->spec->id));
        runtime_container_start(f->rt, info->spec->id, on_waited, &answer);
    }
}

static void test_a_removed_container_is_not_found_from_its_last_event_on(void **state)
{
    NEED_CONTAINERS();
    start_forever(&fx, "last");
    answer = (struct waited){ .fixture = &fx };
    fx.hook = start_when_removed;
    remove_container(&fx, "last", REMOVE_FORCE);
    assert_int_equal(wait_call(&answer), ERR_NOT_FOUND);
    fx.hook = NULL;
}

static void remove_when_exited(struct fixture *f, enum container_event_kind kind,
                               const struct container_info *info)
{
    if (kind == CONTAINER_EVENT_EXITED)
        runtime_container_remove(f->rt, info->spec->id, REMOVE_STOPPED, on_waited, &answer);
}

static void test_a_container_may_be_removed_from_its_exited_event(void **state)
{
    struct container_spec spec;
    char message[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "brief", "true");
    answer = (struct waited){ .fixture = &fx };
    fx.hook = remove_when_exited;
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    assert_int_equal(wait_call(&answer), 0);
    fx.hook = NULL;
    assert_null(runtime_container_inspect(fx.rt, "brief"));
    fields_deinit(&container_spec_type, &spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_from_the_started_event_signals_at_once),
        cmocka_unit_test(test_a_removed_container_is_not_found_from_its_last_event_on),
        cmocka_unit_test(test_a_container_may_be_removed_from_its_exited_event),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
