/* The filters parameter of lists. */
#include "base/err.h"
#include "node/api/filters.h"
#include "tests/support/unit.h"

static const char *const known[] = { "id", "label", "name", NULL };

static void test_what_is_refused_and_why(void **state)
{
    static const struct {
        const char *why, *text, *message;
    } cases[] = {
        { "not JSON", "{", "must be a JSON map" },
        { "not a map", "[]", "must be a JSON map" },
        { "a key that is not served", "{\"x\":[\"a\"]}", "invalid filter 'x'" },
        { "values that are neither map nor list", "{\"id\":\"a\"}", "invalid filter 'id'" },
        { "a list of something else", "{\"id\":[1]}", "invalid filter 'id'" },
        { "a map to something else", "{\"id\":{\"a\":\"b\"}}", "invalid filter 'id'" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct field_error err = { "" };
        struct filters f;

        print_message("  %s\n", cases[i].why);
        assert_int_equal(filters_parse(cases[i].text, known, &f, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].message));
        assert_null(f.map);
    }
}

static void test_both_forms_mean_the_same(void **state)
{
    static const char *const texts[] = { "{\"name\":[\"we\",\"x\"]}",
                                         "{\"name\":{\"we\":true,\"x\":true,\"no\":false}}" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct field_error err;
        struct filters f;

        assert_int_equal(filters_parse(texts[i], known, &f, &err), 0);
        assert_int_equal(filters_count(&f, "name"), 2);
        assert_true(filters_prefix(&f, "name", "web"));
        assert_false(filters_exact(&f, "name", "web"));
        assert_true(filters_exact(&f, "name", "x"));
        assert_false(filters_prefix(&f, "name", "no"));
        assert_true(filters_part(&f, "name", "owe"));
        assert_true(filters_exact(&f, "id", "anything")); /* was not asked for */
        filters_deinit(&f);
    }
}

static void test_labels_must_all_hold(void **state)
{
    struct str_map_item items[] = { { (char[]){ "a" }, (char[]){ "1" } },
                                    { (char[]){ "ab" }, (char[]){ "" } } };
    const struct str_map labels = { items, ARRAY_LEN(items) };
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {
        { "{\"label\":[\"a\"]}", true },          { "{\"label\":[\"a=1\"]}", true },
        { "{\"label\":[\"a=2\"]}", false },       { "{\"label\":[\"b\"]}", false },
        { "{\"label\":[\"a=1\",\"ab\"]}", true }, { "{\"label\":[\"a=1\",\"b\"]}", false },
        { "{\"label\":[\"ab=\"]}", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct field_error err;
        struct filters f;

        print_message("  %s\n", cases[i].text);
        assert_int_equal(filters_parse(cases[i].text, known, &f, &err), 0);
        assert_int_equal(filters_labels(&f, "label", &labels), cases[i].holds);
        filters_deinit(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_refused_and_why),
        cmocka_unit_test(test_both_forms_mean_the_same),
        cmocka_unit_test(test_labels_must_all_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
