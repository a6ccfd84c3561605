#include "tests/unit/node_control/support_explain.h"

#include <stdlib.h>

#include "tests/support/unit.h"

struct service_why explain(struct world *w, const struct id *service)
{
    struct service_why why = { 0 };

    assert_int_equal(explain_service(w->store, w->now.wall, service, &why), 0);
    return why;
}

void assert_why(struct world *w, const struct id *service, enum why_code code, const char *message)
{
    struct service_why why = explain(w, service);
    const struct why_reason_list *list = why.places.count > 0 ? &why.places : &why.reasons;

    assert_true(list->count > 0);
    assert_string_equal(list->items[0].message, message);
    assert_string_equal(enum_text(&why_code_names, (int)list->items[0].code),
                        enum_text(&why_code_names, (int)code));
    fields_deinit(&service_why_type, &why);
}

void assert_as_desired(struct world *w, const struct id *service)
{
    struct service_why why = explain(w, service);

    assert_string_equal(why.message, "everything is as it should be");
    assert_true(why.as_desired);
    assert_int_equal(why.reasons.count + why.places.count, 0);
    fields_deinit(&service_why_type, &why);
}

void report(struct world *w, const struct task *t, enum task_state state, const char *err)
{
    struct reported row = { .task_id = t->id };
    struct report r = { .sequence = 1, .tasks = { .items = &row, .count = 1 } };
    char *text = err == NULL ? NULL : strdup(err);

    row.status = (struct task_status){ .state = state, .timestamp = w->now.wall, .err = text };
    assert_int_equal(control_reported(w->control, &t->node_id, &r, w->now), 0);
    free(text);
    (void)world_settle(w);
}

void run_all(struct world *w)
{
    world_agents(w);
    world_agents(w);
}
