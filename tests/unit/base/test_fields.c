/* Objects by their table: round trips of generated values through every form, copies that run
 * out of memory, maps and lists, secrets. */
#include "tests/support/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fields.h"
#include "base/fields_random.h"
#include "tests/support/every_kind.h"
#include "tests/support/oom.h"

#define ROUNDS 3000

static struct every random_every(uint64_t seed)
{
    struct prng prng;
    struct every e;
    struct field_error err = { "" };

    prng_init(&prng, seed);
    assert_int_equal(fields_random(&every_type, &prng, &e), 0);
    if (fields_validate(&every_type, &e, &err) != 0)
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
    return e;
}

static void test_bytes_round_trip(void **state)
{
    struct buf first, second;

    (void)state;
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct every e = random_every(seed), back;
        struct field_error err = { "" };

        buf_clear(&first);
        buf_clear(&second);
        assert_int_equal(fields_encode(&every_type, &e, &first, &err), 0);
        if (fields_decode(&every_type, buf_slice(&first), &back, &err) != 0)
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
        assert_true(fields_equal(&every_type, &e, &back));
        assert_true(fields_hash(&every_type, &e) == fields_hash(&every_type, &back));
        assert_int_equal(fields_encode(&every_type, &back, &second, &err), 0);
        assert_true(slice_equal(buf_slice(&first), buf_slice(&second)));
        fields_deinit(&every_type, &e);
        fields_deinit(&every_type, &back);
    }
    buf_deinit(&first);
    buf_deinit(&second);
}

static void test_json_round_trip(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct every e = random_every(seed), back;
        struct field_error err = { "" };

        /* What has no name in JSON does not travel. */
        bytes_clear(&e.hidden);
        e.port = 0;
        fields_deinit(&perhaps_type, &e.perhaps);
        buf_clear(&text);
        assert_int_equal(fields_to_json_text(&every_type, &e, FIELDS_JSON_SECRETS, &text), 0);
        if (fields_from_json_text(&every_type, buf_slice(&text), FIELDS_JSON_STRICT, &back, &err) !=
            0)
            fail_msg("seed %llu: %s in %.*s", (unsigned long long)seed, err.text, (int)text.len,
                     (const char *)text.ptr);
        if (!fields_equal(&every_type, &e, &back))
            fail_msg("seed %llu: %.*s", (unsigned long long)seed, (int)text.len,
                     (const char *)text.ptr);
        fields_deinit(&every_type, &e);
        fields_deinit(&every_type, &back);
    }
    buf_deinit(&text);
}

static void test_copy_is_equal_and_independent(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct every e = random_every(seed), copy;

        assert_int_equal(fields_copy(&every_type, &e, &copy), 0);
        assert_true(fields_equal(&every_type, &e, &copy));
        fields_deinit(&every_type, &e);
        assert_true(fields_is_zero(&every_type, &e));
        assert_int_equal(fields_validate(&every_type, &copy, NULL), 0);
        fields_deinit(&every_type, &copy);
    }
}

/* A change of any one field is seen by equality, encoding and hash. */
static void test_every_field_counts(void **state)
{
    (void)state;
    for (size_t row = 0; row < every_type.count; row++) {
        const struct field *f = &every_type.rows[row];
        struct fields only = { .name = "only", .rows = f, .count = 1, .size = every_type.size };
        struct every empty = { 0 }, e;
        struct prng prng;

        prng_init(&prng, 7);
        do {
            assert_int_equal(fields_random(&only, &prng, &e), 0);
            if (!fields_is_zero(&only, &e))
                break;
            fields_deinit(&only, &e);
        } while (true);
        assert_false(fields_equal(&every_type, &empty, &e));
        assert_false(fields_is_zero(&every_type, &e));
        assert_true(fields_hash(&every_type, &empty) != fields_hash(&every_type, &e));
        fields_deinit(&every_type, &e);
    }
}

static void test_hash_is_the_same_on_every_machine(void **state)
{
    struct point p = { .x = 5, .y = -1 };

    (void)state;
    /* FNV-1a of 82 01 05 02 ff, computed apart from this code. */
    assert_true(fields_hash(&point_type, &p) == UINT64_C(0x9b8eab64628dfc9c));
}

/* --- Out of memory leaves nothing behind: the sanitizers see what is lost */

static const uint8_t *encode_every(struct every *e, struct buf *out)
{
    buf_init(out, 1 << 20);
    assert_int_equal(fields_encode(&every_type, e, out, NULL), 0);
    return out->ptr;
}

static void test_out_of_memory(void **state)
{
    struct every e = random_every(11), result;
    struct buf bytes, text;
    unsigned n, steps = 0;
    int rc;

    (void)state;
    encode_every(&e, &bytes);
    buf_init(&text, 1 << 20);
    assert_int_equal(fields_to_json_text(&every_type, &e, FIELDS_JSON_SECRETS, &text), 0);
    for (int what = 0; what < 5; what++) {
        n = 0;
        do {
            struct prng prng;
            struct buf grown;

            buf_init(&grown, 1 << 20);
            memset(&result, 0, sizeof(result));
            prng_init(&prng, 11);
            oom_fail_at(++n);
            switch (what) {
            case 0:
                rc = fields_decode(&every_type, buf_slice(&bytes), &result, NULL);
                break;
            case 1:
                rc = fields_copy(&every_type, &e, &result);
                break;
            case 2:
                rc = fields_from_json_text(&every_type, buf_slice(&text), 0, &result, NULL);
                break;
            case 3:
                rc = fields_random(&every_type, &prng, &result);
                break;
            default:
                rc = fields_encode(&every_type, &e, &grown, NULL);
                assert_true(rc == 0 || grown.len == 0);
                break;
            }
            if (oom_has_failed()) {
                assert_int_equal(rc, -ENOMEM);
                assert_true(fields_is_zero(&every_type, &result));
                steps++;
            } else {
                assert_int_equal(rc, 0);
            }
            fields_deinit(&every_type, &result);
            buf_deinit(&grown);
        } while (rc != 0);
    }
    assert_true(steps > 50);
    oom_fail_at(0);
    fields_deinit(&every_type, &e);
    buf_deinit(&bytes);
    buf_deinit(&text);
}

static void test_filling_runs_out_of_memory(void **state)
{
    struct every e = { 0 };

    (void)state;
    assert_int_equal(str_set(&e.text, "old"), 0);
    assert_int_equal(str_map_set(&e.labels, "b", "old"), 0);
    for (unsigned n = 1; n <= 3; n++) {
        oom_fail_at(n);
        if (str_map_set(&e.labels, "a", "new") == 0)
            fail_msg("allocation %u did not fail", n);
        assert_int_equal(e.labels.count, 1);
        assert_string_equal(str_map_get(&e.labels, "b"), "old");
        (void)oom_has_failed();
    }
    for (unsigned n = 1; n <= 2; n++) {
        oom_fail_at(n);
        assert_int_equal(str_list_append(&e.texts, "new"), -ENOMEM);
        assert_int_equal(e.texts.count, 0);
        (void)oom_has_failed();
    }
    oom_fail_at(1);
    assert_int_equal(str_set(&e.text, "new"), -ENOMEM);
    assert_string_equal(e.text, "old");
    oom_fail_at(0);
    fields_deinit(&every_type, &e);
}

/* --- Filling */

static void test_maps_stay_sorted(void **state)
{
    struct str_map map = { 0 };

    (void)state;
    assert_int_equal(str_map_set(&map, "m", "1"), 0);
    assert_int_equal(str_map_set(&map, "a", "2"), 0);
    assert_int_equal(str_map_set(&map, "z", ""), 0);
    assert_int_equal(str_map_set(&map, "", "3"), 0);
    assert_int_equal(str_map_set(&map, "m", "4"), 0);
    assert_int_equal(map.count, 4);
    assert_string_equal(map.items[0].key, "");
    assert_string_equal(map.items[1].key, "a");
    assert_string_equal(map.items[3].key, "z");
    assert_string_equal(str_map_get(&map, "m"), "4");
    assert_string_equal(str_map_get(&map, "z"), "");
    assert_null(str_map_get(&map, "b"));
    str_map_remove(&map, "a");
    str_map_remove(&map, "nothing");
    assert_int_equal(map.count, 3);
    assert_string_equal(map.items[1].key, "m");
    str_map_clear(&map);
    assert_int_equal(map.count, 0);
}

static void test_maps_of_structs(void **state)
{
    struct every e = { 0 };
    struct named *v;

    (void)state;
    v = fields_map_add(&named_type, &e.map, "web");
    assert_non_null(v);
    assert_int_equal(str_set(&v->name, "web"), 0);
    v = fields_map_add(&named_type, &e.map, "db");
    assert_non_null(v);
    assert_string_equal(e.map.items[0].key, "db");
    assert_null(e.map.items[0].value.name);
    assert_string_equal(e.map.items[1].value.name, "web");
    assert_ptr_equal(fields_map_add(&named_type, &e.map, "web"), &e.map.items[1].value);
    assert_ptr_equal(fields_map_get(&named_type, &e.map, "web"), &e.map.items[1].value);
    assert_null(fields_map_get(&named_type, &e.map, "x"));
    fields_map_remove(&named_type, &e.map, "web");
    assert_int_equal(e.map.count, 1);
    fields_map_remove(&named_type, &e.map, "db");
    assert_true(fields_is_zero(&every_type, &e));
}

static void test_lists_grow(void **state)
{
    struct every e = { 0 };

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t *slot = LIST_ADD(&e.numbers);

        assert_non_null(slot);
        assert_int_equal(*slot, 0);
        *slot = i;
    }
    assert_int_equal(e.numbers.count, 100);
    assert_int_equal(e.numbers.items[42], 42);
    assert_int_equal(str_list_append(&e.texts, ""), 0);
    assert_string_equal(e.texts.items[0], "");
    str_list_clear(&e.texts);
    assert_int_equal(fields_validate(&every_type, &e, NULL), ERR_INVALID); /* 8 are allowed */
    fields_deinit(&every_type, &e);
}

/* --- Rules */

static void test_rules(void **state)
{
    uint64_t zero = 0;
    struct point p = { 0 }, far = { .y = 101 };
    struct named n = { .name = NULL };
    struct choice none = { 0 }, both = { .point = &p, .named = &n };
    struct every e = { 0 };
    struct field_error err;

    (void)state;
    assert_int_equal(fields_validate(&every_type, &e, &err), 0);
    e.opt_u64 = &zero; /* absent is fine, a pointer to 0 is not */
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "OptU64: must be positive");
    e.opt_u64 = NULL;
    e.point = far;
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Point.Y: must be -100 to 100");
    e.point = p;
    e.choice = &none;
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Choice: one of Point, Named is required");
    e.choice = &both;
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Choice: only one of Point, Named may be set");
    e.choice = NULL;
    e.named = &n;
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Named.ID: is required");
    e.named = NULL;
    e.mood = (enum mood)9;
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Mood: has the unknown value 9");
    e.mood = MOOD_CALM;
    e.ratio = 1.5;
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Ratio: must be 0 to 1");
    e.ratio = 0;
    e.delay = -1;
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Delay: must not be negative");
    e.delay = 0;
    e.perhaps = (struct perhaps){ &p, &p };
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_string_equal(err.text, "Perhaps: only one of Here, there may be set");
    e.perhaps.there = NULL;
    assert_int_equal(fields_validate(&every_type, &e, NULL), 0);
}

static void test_secrets_stay_out_of_json(void **state)
{
    static char password[] = "hunter2";
    struct every e = { 0 };
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    assert_int_equal(str_set(&e.password, password), 0);
    assert_int_equal(fields_to_json_text(&every_type, &e, FIELDS_JSON_PLAIN, &text), 0);
    assert_int_equal(buf_append_byte(&text, 0), 0);
    assert_null(strstr((char *)text.ptr, password));
    buf_clear(&text);
    assert_int_equal(fields_to_json_text(&every_type, &e, FIELDS_JSON_SECRETS, &text), 0);
    assert_int_equal(buf_append_byte(&text, 0), 0);
    assert_non_null(strstr((char *)text.ptr, password));
    buf_deinit(&text);
    fields_deinit(&every_type, &e);
}

static void test_enum_texts(void **state)
{
    int value = 5;

    (void)state;
    assert_string_equal(enum_text(&colour_names, COLOUR_BLUE), "blue");
    assert_string_equal(enum_text(&colour_names, 3), "");
    assert_int_equal(enum_parse(&colour_names, "green", &value), 0);
    assert_int_equal(value, COLOUR_GREEN);
    assert_int_equal(enum_parse(&colour_names, "Green", &value), ERR_INVALID);
    assert_int_equal(value, COLOUR_GREEN);
}

/* What strangers sent may not steer the terminal that shows the error, or end in half a letter. */
static void test_errors_are_printable(void **state)
{
    struct every e = { 0 };
    struct field_error err;
    char key[400] = "\x1b[2J\n";

    (void)state;
    for (size_t i = strlen(key); i + 2 < sizeof(key); i += 2)
        memcpy(key + i, "\xc3\xa9", 2);
    assert_non_null(fields_map_add(&named_type, &e.map, key));
    assert_int_equal(fields_validate(&every_type, &e, &err), ERR_INVALID);
    assert_null(strchr(err.text, '\x1b'));
    assert_null(strchr(err.text, '\n'));
    assert_non_null(strstr(err.text, "Map[\"?[2J?"));
    assert_non_null(strstr(err.text, ".ID: is required"));
    fields_deinit(&every_type, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_round_trip),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_copy_is_equal_and_independent),
        cmocka_unit_test(test_every_field_counts),
        cmocka_unit_test(test_hash_is_the_same_on_every_machine),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_filling_runs_out_of_memory),
        cmocka_unit_test(test_maps_stay_sorted),
        cmocka_unit_test(test_maps_of_structs),
        cmocka_unit_test(test_lists_grow),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_secrets_stay_out_of_json),
        cmocka_unit_test(test_enum_texts),
        cmocka_unit_test(test_errors_are_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
