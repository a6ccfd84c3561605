/* The store as a state machine: all of a transaction or nothing, equal stores from equal logs,
 * snapshots, and what is left of it when memory runs out. */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "node/store/store.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"

#define SNAPSHOT_MAX (1 * MIB)

static struct id make_id(unsigned number)
{
    uint8_t bits[ID_RANDOM_LEN] = { (uint8_t)number, (uint8_t)(number >> 8), 1 };

    return id_from_random(bits);
}

/* --- Transactions, one object at a time */

static void add_network(struct transaction *t, enum change_op op, unsigned number, const char *name)
{
    struct network n = { .id = make_id(number) };
    const struct object *object = (const struct object *)(const void *)&n;

    assert_int_equal(str_set(&n.spec.name, name), 0);
    assert_int_equal(op == CHANGE_CREATE   ? transaction_create(t, OBJECT_NETWORK, object)
                     : op == CHANGE_UPDATE ? transaction_update(t, OBJECT_NETWORK, object)
                                           : transaction_remove(t, OBJECT_NETWORK, object),
                     0);
    fields_deinit(&network_type, &n);
}

static void add_task(struct transaction *t, enum change_op op, unsigned number, unsigned service,
                     unsigned node)
{
    struct task task = { .id = make_id(number),
                         .service_id = make_id(service),
                         .node_id = make_id(node),
                         .status.state = TASK_RUNNING,
                         .desired_state = TASK_RUNNING };
    const struct object *object = (const struct object *)(const void *)&task;

    assert_int_equal(op == CHANGE_CREATE ? transaction_create(t, OBJECT_TASK, object)
                                         : transaction_update(t, OBJECT_TASK, object),
                     0);
}

static int apply(struct store *s, struct transaction *t)
{
    struct store_changes changes;
    struct field_error why;

    return store_apply(s, store_applied(s) + 1, t, &changes, &why);
}

/* Two networks; a task of service 30 on node 40. */
static struct store *make_store(void)
{
    struct transaction t = { .at = 1 };
    struct store *s;

    assert_int_equal(store_new(&s), 0);
    add_network(&t, CHANGE_CREATE, 1, "front");
    add_network(&t, CHANGE_CREATE, 2, "back");
    add_task(&t, CHANGE_CREATE, 20, 30, 40);
    assert_int_equal(apply(s, &t), 0);
    fields_deinit(&transaction_type, &t);
    return s;
}

static size_t tasks_of_node(const struct store *s, unsigned node)
{
    struct id id = make_id(node);
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_NODE(&it, s, &id, t)
    {
        assert_true(id_equal(&t->node_id, &id));
        count++;
    }
    return count;
}

static size_t tasks_of_service(const struct store *s, unsigned service)
{
    struct id id = make_id(service);
    struct store_iter it;
    size_t count = 0;

    STORE_EACH_OF_SERVICE(&it, s, &id, t)
    {
        assert_true(id_equal(&t->service_id, &id));
        count++;
    }
    return count;
}

static void take_snapshot(const struct store *s, struct buf *out)
{
    buf_init(out, SNAPSHOT_MAX);
    assert_int_equal(store_snapshot(s, out), 0);
}

static bool equal_content(const struct store *a, const struct store *b)
{
    struct buf of_a, of_b;
    bool is_equal;

    take_snapshot(a, &of_a);
    take_snapshot(b, &of_b);
    is_equal = slice_equal(buf_slice(&of_a), buf_slice(&of_b));
    buf_deinit(&of_a);
    buf_deinit(&of_b);
    return is_equal;
}

/* --- Applying */

static void test_names_and_owners_follow_the_objects(void **state)
{
    struct store *s = make_store();
    struct transaction t = { .at = 2 };

    (void)state;
    add_network(&t, CHANGE_UPDATE, 1, "edge");
    add_task(&t, CHANGE_UPDATE, 20, 30, 41);
    assert_int_equal(apply(s, &t), 0);
    assert_null(store_find_name(s, OBJECT_NETWORK, "front"));
    assert_non_null(store_find_name(s, OBJECT_NETWORK, "edge"));
    assert_int_equal(tasks_of_node(s, 40), 0);
    assert_int_equal(tasks_of_node(s, 41), 1);
    assert_int_equal(tasks_of_service(s, 30), 1);
    fields_deinit(&transaction_type, &t);
    store_free(s);
}

/* The last change of each cannot be: what came before it is taken back. */
static void test_a_refused_transaction_changes_nothing_but_the_index(void **state)
{
    const struct {
        const char *why;
        enum change_op op;
        unsigned number;
        const char *name;
        int rc;
    } cases[] = {
        { "a name that another object has", CHANGE_CREATE, 3, "back", ERR_EXISTS },
        { "an id that is taken", CHANGE_CREATE, 2, "new", ERR_EXISTS },
        { "an object that is not there", CHANGE_UPDATE, 9, "new", ERR_NOT_FOUND },
        { "nothing to remove", CHANGE_REMOVE, 9, "new", ERR_NOT_FOUND },
        { "the same object twice", CHANGE_UPDATE, 1, "again", ERR_MALFORMED },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct store *s = make_store(), *expected = make_store();
        struct transaction t = { .at = 2 };

        print_message("  %s\n", cases[i].why);
        add_network(&t, CHANGE_UPDATE, 1, "edge");
        add_task(&t, CHANGE_UPDATE, 20, 31, 41);
        add_network(&t, cases[i].op, cases[i].number, cases[i].name);
        assert_int_equal(apply(s, &t), cases[i].rc);
        store_set_applied(expected, store_applied(s));
        assert_true(equal_content(s, expected));
        assert_int_equal(tasks_of_node(s, 40), 1);
        assert_int_equal(tasks_of_service(s, 31), 0);
        fields_deinit(&transaction_type, &t);
        store_free(expected);
        store_free(s);
    }
}

static void test_a_change_based_on_an_older_version_is_stale(void **state)
{
    struct store *s = make_store();
    struct transaction t = { .at = 2 };

    (void)state;
    add_network(&t, CHANGE_UPDATE, 1, "edge");
    t.changes.items[0].based_on = 1;
    assert_int_equal(apply(s, &t), 0);
    assert_int_equal(apply(s, &t), ERR_STALE);
    fields_deinit(&transaction_type, &t);
    store_free(s);
}

/* --- Out of memory. The sanitizers see what leaks or is used after it was freed. */

/* `last` makes the transaction one that is applied, or one that is refused and undone. */
static void run_out_of_memory(const char *last, int expected)
{
    unsigned n = 0;
    int rc;

    do {
        struct store *s = make_store();
        struct transaction t = { .at = 2 };

        add_network(&t, CHANGE_UPDATE, 1, "edge");
        add_task(&t, CHANGE_UPDATE, 20, 31, 41);
        add_task(&t, CHANGE_CREATE, 21, 31, 41);
        add_network(&t, CHANGE_REMOVE, 2, "back");
        add_network(&t, CHANGE_CREATE, 3, last);
        oom_fail_at(++n);
        rc = apply(s, &t);
        assert_true(!oom_has_failed() || rc == -ENOMEM);
        assert_int_equal(store_applied(s), 2);
        fields_deinit(&transaction_type, &t);
        store_free(s); /* of a failed one, too: the manager stops */
    } while (rc == -ENOMEM);
    assert_int_equal(rc, expected);
    assert_true(n > 10);
}

static void test_apply_without_memory_says_so_and_leaks_nothing(void **state)
{
    (void)state;
    run_out_of_memory("other", 0);
}

static void test_undoing_without_memory_says_so_and_leaks_nothing(void **state)
{
    (void)state;
    run_out_of_memory("edge", ERR_EXISTS);
}

/* --- Snapshots */

static void test_a_snapshot_restores_objects_indices_and_the_applied_index(void **state)
{
    struct store *s = make_store(), *copy;
    struct buf snapshot;

    (void)state;
    assert_int_equal(store_new(&copy), 0);
    take_snapshot(s, &snapshot);
    assert_int_equal(store_restore(copy, buf_slice(&snapshot)), 0);
    assert_true(equal_content(s, copy));
    assert_int_equal(store_applied(copy), store_applied(s));
    assert_non_null(store_find_name(copy, OBJECT_NETWORK, "front"));
    assert_int_equal(tasks_of_node(copy, 40), 1);
    assert_int_equal(tasks_of_service(copy, 30), 1);
    buf_deinit(&snapshot);
    store_free(copy);
    store_free(s);
}

static void test_equal_contents_are_equal_bytes_whatever_the_order(void **state)
{
    struct store *s = make_store(), *other;
    struct transaction t = { .at = 1 };

    (void)state;
    assert_int_equal(store_new(&other), 0);
    add_task(&t, CHANGE_CREATE, 20, 30, 40);
    add_network(&t, CHANGE_CREATE, 2, "back");
    add_network(&t, CHANGE_CREATE, 1, "front");
    assert_int_equal(apply(other, &t), 0);
    assert_true(equal_content(s, other));
    fields_deinit(&transaction_type, &t);
    store_free(other);
    store_free(s);
}

/* A cut between two objects is whole in itself: only the checksum of the log can tell it. */
static void test_a_cut_snapshot_is_refused_or_restored_never_half(void **state)
{
    struct store *source = make_store();
    struct buf snapshot;
    unsigned refused = 0;

    (void)state;
    take_snapshot(source, &snapshot);
    for (size_t len = 0; len < snapshot.len; len++) {
        struct store *s = make_store(), *before = make_store();
        int rc;

        store_set_applied(s, 77);
        store_set_applied(before, 77);
        rc = store_restore(s, slice_of(snapshot.ptr, len));
        if (rc < 0) {
            assert_int_equal(rc, ERR_MALFORMED);
            assert_true(equal_content(s, before));
            refused++;
        } else {
            assert_int_equal(store_applied(s), store_applied(source));
        }
        store_free(before);
        store_free(s);
    }
    assert_true(refused >= snapshot.len - 4);
    buf_deinit(&snapshot);
    store_free(source);
}

static void test_restore_without_memory_leaves_the_store_as_it_was(void **state)
{
    struct store *s = make_store(), *target, *before;
    struct buf snapshot;
    unsigned n = 0;
    int rc;

    (void)state;
    assert_int_equal(store_new(&target), 0);
    assert_int_equal(store_new(&before), 0);
    take_snapshot(s, &snapshot);
    do {
        oom_fail_at(++n);
        rc = store_restore(target, buf_slice(&snapshot));
        if (oom_has_failed()) {
            assert_int_equal(rc, -ENOMEM);
            assert_true(equal_content(target, before));
        }
    } while (rc == -ENOMEM);
    assert_int_equal(rc, 0);
    assert_true(equal_content(target, s));
    buf_deinit(&snapshot);
    store_free(before);
    store_free(target);
    store_free(s);
}

static void test_a_snapshot_that_does_not_fit_says_so(void **state)
{
    struct store *s = make_store();
    struct buf out;

    (void)state;
    buf_init(&out, 64);
    assert_int_equal(store_snapshot(s, &out), ERR_TOO_LARGE);
    buf_deinit(&out);
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_owners_follow_the_objects),
        cmocka_unit_test(test_a_refused_transaction_changes_nothing_but_the_index),
        cmocka_unit_test(test_a_change_based_on_an_older_version_is_stale),
        cmocka_unit_test(test_apply_without_memory_says_so_and_leaks_nothing),
        cmocka_unit_test(test_undoing_without_memory_says_so_and_leaks_nothing),
        cmocka_unit_test(test_a_snapshot_restores_objects_indices_and_the_applied_index),
        cmocka_unit_test(test_equal_contents_are_equal_bytes_whatever_the_order),
        cmocka_unit_test(test_a_cut_snapshot_is_refused_or_restored_never_half),
        cmocka_unit_test(test_restore_without_memory_leaves_the_store_as_it_was),
        cmocka_unit_test(test_a_snapshot_that_does_not_fit_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
