/* Which task of the cluster a name on a path of /containers means. */
#include <stdio.h>

#include "node/api/target.h"
#include "tests/unit/node_api/support_api.h"

struct row {
    const char *id, *service;
    uint64_t slot;
    enum task_state state, desired;
    wall_ns created;
};

static void add(struct world *w, const struct row *row)
{
    struct transaction t = { 0 };
    struct task task = { .slot = row->slot,
                         .desired_state = row->desired,
                         .status.state = row->state,
                         .created_at = row->created };

    assert_int_equal(id_parse(slice_of_str(row->id), &task.id), 0);
    assert_int_equal(id_parse(slice_of_str("nodenodenodenodenodenode1"), &task.node_id), 0);
    assert_int_equal(str_set(&task.service_name, row->service), 0);
    assert_int_equal(
        transaction_create(&t, OBJECT_TASK, (const struct object *)(const void *)&task), 0);
    assert_int_equal(world_apply(w, &t), 0);
    fields_deinit(&task_type, &task);
}

static void test_a_task_has_several_names(void **state)
{
    static const struct row tasks[] = {
        { "1old0000000000000000web01", "web", 1, TASK_FAILED, TASK_SHUTDOWN, 1 },
        { "2run0000000000000000web01", "web", 1, TASK_RUNNING, TASK_RUNNING, 2 },
        { "3new0000000000000000web01", "web", 1, TASK_READY, TASK_READY, 3 },
        { "4one0000000000000000web11", "web", 11, TASK_RUNNING, TASK_RUNNING, 2 },
        { "4two0000000000000000dots1", "w.e.b", 1, TASK_RUNNING, TASK_RUNNING, 2 },
        { "5all0000000000000000glob1", "all", 0, TASK_RUNNING, TASK_RUNNING, 2 },
    };
    static const struct {
        const char *why, *name, *id;
    } rows[] = {
        { "its id", "1old0000000000000000web01", "1old0000000000000000web01" },
        { "the beginning of its id", "3n", "3new0000000000000000web01" },
        { "a beginning that two have", "4", NULL },
        { "its place, where it is the one that runs", "web.1", "2run0000000000000000web01" },
        { "not that of another whose number begins so", "web.11", "4one0000000000000000web11" },
        { "place and id: also one that has ended", "web.1.1old0000000000000000web01",
          "1old0000000000000000web01" },
        { "place and the beginning of the id", "web.1.3new", "3new0000000000000000web01" },
        { "an id of another place", "web.11.3new", NULL },
        { "a service with points in its name", "w.e.b.1", "4two0000000000000000dots1" },
        { "the node's id, of a global service", "all.nodenodenodenodenodenode1",
          "5all0000000000000000glob1" },
        { "a service", "web", NULL },
        { "a place that nobody has", "web.2", NULL },
        { "a place and a point", "web.1.", NULL },
        { "nothing", "", NULL },
    };
    char why[256];
    struct world w;

    (void)state;
    world_open_member(&w);
    for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
        add(&w, &tasks[i]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct task *t = target_find_task(w.store, rows[i].name, why, sizeof(why));

        print_message("  %s\n", rows[i].why);
        if (rows[i].id == NULL)
            assert_null(t);
        else
            assert_string_equal(t == NULL ? "none" : t->id.text, rows[i].id);
    }
    assert_null(target_find_task(w.store, "4", why, sizeof(why)));
    assert_string_equal(why, "4 is the beginning of 2 tasks' ids: give the whole id");
    world_close(&w);
}

/* A task of another node is shown like a container, and a command in it is made but has no way. */
static void test_a_task_elsewhere_looks_like_a_container(void **state)
{
    static const struct row task = {
        "2run0000000000000000web01", "web", 1, TASK_RUNNING, TASK_RUNNING, 2
    };
    struct json_t *json;
    struct world w;

    (void)state;
    world_open_member(&w);
    add(&w, &task);
    json = ask_json(&w, "GET", "/containers/web.1/json", NULL, 200);
    assert_string_equal(json_string_value(json_object_get(json, "Id")), task.id);
    assert_string_equal(json_string_value(json_object_get(json, "Name")),
                        "/web.1.2run0000000000000000web01");
    assert_true(json_is_true(json_object_get(json_object_get(json, "State"), "Running")));
    json_decref(json);
    assert_refused(&w, "GET", "/containers/web.2/json", NULL, 404, "No such container: web.2");
    assert_refused(&w, "POST", "/containers/web.1/exec", "{\"Cmd\":[]}", 400, "No exec command");
    assert_refused(&w, "POST", "/containers/web.1/exec",
                   "{\"Cmd\":[\"ls\"],\"DetachKeys\":\"ctrl-\"}", 400, "invalid DetachKeys");
    json = ask_json(&w, "POST", "/containers/web.1/exec", "{\"Cmd\":[\"ls\"]}", 201);
    assert_non_null(json_string_value(json_object_get(json, "Id")));
    json_decref(json);
    w.fail_read = -110;
    assert_refused(&w, "GET", "/containers/web.1/json", NULL, 500, "");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_has_several_names),
        cmocka_unit_test(test_a_task_elsewhere_looks_like_a_container),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
