/* Secrets and configs: every rule holds for both. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "tests/support/oom.h"
#include "tests/support/unit.h"
#include "tests/unit/node_control/support_cluster.h"

struct twin {
    const char *what;
    unsigned kind;
    size_t len_max;
};

static const struct twin twins[] = {
    { "secret", OBJECT_SECRET, SECRET_DATA_LEN_MAX },
    { "config", OBJECT_CONFIG, CONFIG_DATA_LEN_MAX },
};

struct request {
    char name[80], data[32];
    size_t data_len; /* when not the text's */
    struct str_map labels;
};

static int create(struct world *w, const struct twin *t, const struct request *r, struct id *out)
{
    struct request copy = *r;
    uint8_t *large = calloc(1, r->data_len + 1);
    struct bytes data = { (uint8_t *)copy.data, strlen(copy.data) };
    struct secret_spec secret = { .name = copy.name, .labels = copy.labels };
    struct config_spec config = { .name = copy.name, .labels = copy.labels };
    int rc;

    if (r->data_len > 0)
        data = (struct bytes){ large, r->data_len };
    secret.data = config.data = data;
    rc = world_apply(w,
                     admit_data_create(world_admit(w), t->kind,
                                       t->kind == OBJECT_SECRET ? (void *)&secret : &config, out));
    free(large);
    return rc;
}

static int update(struct world *w, const struct twin *t, const struct id *id, uint64_t version,
                  const struct request *r)
{
    struct request copy = *r;
    struct bytes data = { (uint8_t *)copy.data, strlen(copy.data) };
    struct secret_spec secret = { .name = copy.name, .labels = copy.labels, .data = data };
    struct config_spec config = { .name = copy.name, .labels = copy.labels, .data = data };

    return world_apply(w, admit_data_update(world_admit(w), t->kind, id, version,
                                            t->kind == OBJECT_SECRET ? (void *)&secret : &config));
}

static int discard(struct world *w, const struct twin *t, const struct id *id)
{
    return world_apply(w, admit_data_remove(world_admit(w), t->kind, id));
}

static void assert_size_refused(const struct twin *t)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "%s data must be larger than 0 and less than %zu bytes",
                   t->what, t->len_max);
    assert_string_equal(world_error.text, text);
}

static void test_what_is_created_can_be_found_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        const struct twin *t = &twins[i];
        struct id id, second;
        struct world w;

        world_init(&w, 1);
        assert_int_equal(create(&w, t, &(struct request){ .name = "key", .data = "x" }, &id), 0);
        assert_true(id_equal(&store_find_name(w.store, t->kind, "key")->id, &id));
        assert_int_equal(create(&w, t, &(struct request){ .name = "key", .data = "y" }, &second),
                         ERR_EXISTS);
        assert_int_equal(
            create(&w, t, &(struct request){ .name = "all", .data_len = t->len_max }, &second), 0);
        world_deinit(&w);
    }
}

static void test_data_that_is_empty_or_too_large_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        const struct twin *t = &twins[i];
        struct world w;
        struct id id;

        world_init(&w, 1);
        assert_int_equal(create(&w, t, &(struct request){ .name = "key" }, &id), ERR_INVALID);
        assert_size_refused(t);
        assert_int_equal(
            create(&w, t, &(struct request){ .name = "key", .data_len = t->len_max + 1 }, &id),
            ERR_INVALID);
        assert_size_refused(t);
        assert_int_equal(create(&w, t, &(struct request){ .name = "-key", .data = "x" }, &id),
                         ERR_INVALID);
        assert_null(store_find_name(w.store, t->kind, "key"));
        world_deinit(&w);
    }
}

static void test_only_labels_change(void **state)
{
    struct str_map_item item = { .key = (char[]){ "zone" }, .value = (char[]){ "a" } };
    struct request labelled = { .name = "key", .labels = { &item, 1 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        const struct twin *t = &twins[i];
        const struct secret *s; /* a config begins as a secret does */
        struct world w;
        struct id id;

        world_init(&w, 1);
        assert_int_equal(create(&w, t, &(struct request){ .name = "key", .data = "x" }, &id), 0);
        assert_int_equal(update(&w, t, &id, w.index, &labelled), 0); /* clients have no data */
        s = (const void *)store_get(w.store, t->kind, &id);
        assert_string_equal(str_map_get(&s->spec.labels, "zone"), "a");
        assert_true(slice_equal(bytes_slice(&s->spec.data), slice_of_str("x")));

        assert_int_equal(update(&w, t, &id, w.index - 1, &labelled), ERR_STALE);
        assert_string_equal(world_error.text, "update out of sequence");
        assert_int_equal(
            update(&w, t, &id, w.index, &(struct request){ .name = "key", .data = "y" }),
            ERR_INVALID);
        assert_string_equal(world_error.text, "only updates to Labels are allowed");
        assert_int_equal(update(&w, t, &id, w.index, &(struct request){ .name = "lock" }),
                         ERR_INVALID);
        assert_int_equal(update(&w, t, &w.nodes[0], w.index, &labelled), ERR_NOT_FOUND);
        world_deinit(&w);
    }
}

/* A service that has the secret or config `id` as a file. */
static struct id user_of(struct world *w, const struct twin *t, struct id *id)
{
    char image[] = "web:1", name[] = "web", key[] = "key";
    struct secret_ref secret = { .secret_id = id->text, .secret_name = key };
    struct config_ref config = { .config_id = id->text, .config_name = key };
    struct task_container container = { .image = image };
    struct service_spec spec = { .name = name, .task.container = &container };
    struct id service;

    if (t->kind == OBJECT_SECRET)
        container.secrets = (struct secret_ref_list){ &secret, 1 };
    else
        container.configs = (struct config_ref_list){ &config, 1 };
    assert_int_equal(world_apply(w, admit_service_create(world_admit(w), &spec, &service)), 0);
    return service;
}

static void test_what_a_service_uses_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        const struct twin *t = &twins[i];
        struct world w;
        struct id id, service;
        char text[80];

        world_init(&w, 1);
        assert_int_equal(create(&w, t, &(struct request){ .name = "key", .data = "x" }, &id), 0);
        service = user_of(&w, t, &id);
        assert_int_equal(discard(&w, t, &id), ERR_INVALID);
        (void)snprintf(text, sizeof(text), "%s 'key' is in use by the following service: web",
                       t->what);
        assert_string_equal(world_error.text, text);
        assert_int_equal(world_apply(&w, admit_service_remove(world_admit(&w), &service)), 0);
        assert_int_equal(discard(&w, t, &id), 0);
        assert_int_equal(discard(&w, t, &id), ERR_NOT_FOUND);
        world_deinit(&w);
    }
}

static void test_without_memory_nothing_is_changed(void **state)
{
    struct str_map_item item = { .key = (char[]){ "zone" }, .value = (char[]){ "a" } };
    struct secret_spec spec = { .name = (char[]){ "key" },
                                .labels = { &item, 1 },
                                .data = { (uint8_t *)(char[]){ "x" }, 1 } };
    struct id id = { "" };
    struct world w;
    unsigned n = 0;
    int rc;

    (void)state;
    world_init(&w, 1);
    do {
        struct admit *a = world_admit(&w);

        oom_fail_at(++n);
        rc = admit_data_create(a, OBJECT_SECRET, &spec, &id);
        assert_true(rc == (oom_has_failed() ? -ENOMEM : 0));
        if (rc < 0)
            assert_int_equal(a->out->changes.count, 0);
    } while (rc < 0);
    assert_true(n > 3);
    assert_int_equal(world_apply(&w, rc), 0);

    n = 0;
    do {
        struct admit *a = world_admit(&w);

        oom_fail_at(++n);
        rc = admit_data_update(a, OBJECT_SECRET, &id, w.index, &spec);
        assert_true(rc == (oom_has_failed() ? -ENOMEM : 0));
        if (rc < 0)
            assert_int_equal(a->out->changes.count, 0);
    } while (rc < 0);
    assert_true(n > 3);
    assert_int_equal(world_apply(&w, rc), 0);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_created_can_be_found_by_name),
        cmocka_unit_test(test_data_that_is_empty_or_too_large_is_refused),
        cmocka_unit_test(test_only_labels_change),
        cmocka_unit_test(test_what_a_service_uses_stays),
        cmocka_unit_test(test_without_memory_nothing_is_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
