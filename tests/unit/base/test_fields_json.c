/* Objects as JSON: what Docker's clients see and send. */
#include "tests/support/unit.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fields.h"
#include "tests/support/every_kind.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaa" /* 25 characters */

static void expect_json(const struct fields *type, const void *obj, const char *text)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    assert_int_equal(fields_to_json_text(type, obj, FIELDS_JSON_PLAIN, &out), 0);
    assert_int_equal(buf_append_byte(&out, 0), 0);
    assert_string_equal((char *)out.ptr, text);
    buf_deinit(&out);
}

/* Zero is left out where it is OPTIONAL, printed where it is ALWAYS or REQUIRED; a struct of zeros
 * is zero; a pointer is zero only when it is NULL; no name, no text. */
static void test_empty_fields(void **state)
{
    bool no = false;
    uint64_t zero = 0;
    struct point origin = { 0 };
    struct choice choice = { .point = &origin };
    struct every e = { .port = 80 };

    (void)state;
    expect_json(&point_type, &origin, "{}");
    expect_json(
        &every_type, &e,
        "{\"U64\":0,\"I64\":0,\"F64\":0,\"CreatedAt\":\"0001-01-01T00:00:00Z\",\"Text\":\"\","
        "\"Colour\":\"red\",\"Origin\":{},\"Choice\":null,\"Texts\":[],\"Labels\":{}}");
    e.opt_bool = &no;
    e.opt_u32 = (uint32_t *)(void *)&zero;
    e.choice = &choice;
    e.point.y = -4;
    expect_json(
        &every_type, &e,
        "{\"U64\":0,\"I64\":0,\"F64\":0,\"CreatedAt\":\"0001-01-01T00:00:00Z\",\"Text\":\"\","
        "\"Colour\":\"red\",\"Point\":{\"Y\":-4},\"Origin\":{},\"Choice\":{\"Point\":{}},"
        "\"OptBool\":false,\"OptU32\":0,\"Texts\":[],\"Labels\":{}}");
}

static void test_values(void **state)
{
    uint8_t octets[] = { 0xde, 0xad };
    uint64_t huge = UINT64_MAX;
    double third = 0.25;
    wall_ns moment = INT64_C(1795394436225405526);
    struct str_map_item labels[] = { { (char[]){ "a.b" }, (char[]){ "1\n" } } };
    struct every e = { .u64 = INT64_MAX,
                       .f64 = 1.5,
                       .delay = 10000000000,
                       .created = moment,
                       .bytes = { octets, 2 },
                       .fixed = { 0x0f },
                       .id = { ID_A },
                       .colour = COLOUR_BLUE,
                       .mood = MOOD_WILD,
                       .opt_f64 = &third,
                       .numbers = { &huge, 1 },
                       .labels = { labels, 1 } };

    (void)state;
    expect_json(&every_type, &e,
                "{\"U64\":9223372036854775807,\"I64\":0,\"F64\":1.5,\"Delay\":10000000000,"
                "\"CreatedAt\":\"2026-11-23T00:40:36.225405526Z\",\"Text\":\"\",\"Bytes\":\"3q0=\","
                "\"Fixed\":\"0f00000000000000\",\"ID\":\"" ID_A "\",\"Colour\":\"blue\","
                "\"Mood\":\"wild\",\"Origin\":{},\"Choice\":null,\"OptF64\":0.25,\"Texts\":[],"
                "\"Numbers\":[\"18446744073709551615\"],\"Labels\":{\"a.b\":\"1\\n\"}}");
}

static void test_what_has_no_json(void **state)
{
    struct every e = { .text = (char[]){ "\xff" } };
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    assert_int_equal(fields_to_json_text(&every_type, &e, 0, &out), ERR_INVALID);
    e.text = NULL;
    e.f64 = 1e300 * 1e300;
    assert_int_equal(fields_to_json_text(&every_type, &e, 0, &out), ERR_INVALID);
    e.f64 = 0;
    buf_init(&out, 20);
    assert_int_equal(fields_to_json_text(&every_type, &e, 0, &out), ERR_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
}

static struct every read_every(const char *text)
{
    struct every e;
    struct field_error err = { "" };

    if (fields_from_json_text(&every_type, slice_of_str(text), 0, &e, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return e;
}

/* As Go's encoding/json: names in any case, null is absent, unknown names are ignored. */
static void test_lenient_reading(void **state)
{
    struct every e =
        read_every("{\"u64\": 7, \"TEXT\": null, \"Labels\": null, \"Point\": null,"
                   " \"New\": [1], \"ID\": \"\", \"Colour\": \"\", \"CreatedAt\": \"\","
                   " \"Ratio\": 1, \"Texts\": [\"\", null], \"Named\": null}");

    (void)state;
    assert_int_equal(e.u64, 7);
    assert_null(e.text);
    assert_null(e.named);
    assert_int_equal(e.labels.count, 0);
    assert_true(e.ratio == 1.0);
    assert_int_equal(e.texts.count, 2);
    assert_string_equal(e.texts.items[1], "");
    fields_deinit(&every_type, &e);
}

static void test_exact_names_win(void **state)
{
    struct every e;
    struct field_error err;

    (void)state;
    e = read_every("{\"U64\": 1, \"text\": \"a\"}");
    assert_string_equal(e.text, "a");
    fields_deinit(&every_type, &e);
    assert_int_equal(
        fields_from_json_text(
            &every_type, slice_of_str("{\"U64\": 1, \"Text\": \"\", \"text\": \"\"}"), 0, &e, &err),
        ERR_INVALID);
    assert_string_equal(err.text, "Text: is given twice");
}

static void test_maps_are_sorted_when_read(void **state)
{
    struct every e =
        read_every("{\"U64\": 0, \"Labels\": {\"b\": \"2\", \"\": \"0\", \"a\": \"1\"}}");

    (void)state;
    assert_int_equal(e.labels.count, 3);
    assert_string_equal(e.labels.items[0].value, "0");
    assert_string_equal(e.labels.items[2].value, "2");
    assert_int_equal(fields_validate(&every_type, &e, NULL), 0);
    fields_deinit(&every_type, &e);
}

/* Docker's clients see the place and the reason; `{"U64":0, ...}` around each case. */
static void test_bad_input_is_told_what_is_wrong(void **state)
{
    const struct {
        const char *json, *text;
    } cases[] = {
        { "\"Boolean\":1", "Boolean: must be true or false" },
        { "\"U32\":-1", "U32: must not be negative" },
        { "\"U32\":4294967296", "U32: must be at most 4294967295" },
        { "\"U32\":1.0", "U32: must be an integer" },
        { "\"U32\":\"1\"", "U32: must be an integer" },
        { "\"I32\":2147483648", "I32: must be -2147483648 to 2147483647" },
        { "\"I64\":true", "I64: must be an integer" },
        { "\"Numbers\":[\"18446744073709551616\"]", "Numbers[0]: must be an integer" },
        { "\"Numbers\":[1,\"\"]", "Numbers[1]: must be an integer" },
        { "\"Ratio\":1.01", "Ratio: must be 0 to 1" },
        { "\"Ratio\":\"1\"", "Ratio: must be a number" },
        { "\"Delay\":-1", "Delay: must not be negative" },
        { "\"CreatedAt\":\"yesterday\"",
          "CreatedAt: must be a time such as \"2006-01-02T15:04:05Z\"" },
        { "\"CreatedAt\":\"2300-01-01T00:00:00Z\"", "CreatedAt: must be a time from 1678 to 2261" },
        { "\"Text\":5", "Text: must be a string" },
        { "\"Text\":\"12345678901234567890123456789012345678901\"",
          "Text: is 41 bytes long, at most 40 are allowed" },
        { "\"Bytes\":\"a\"", "Bytes: must be a string of base64" },
        { "\"Bytes\":\"====\"", "Bytes: must be a string of base64" },
        { "\"Fixed\":\"00\"", "Fixed: must be 16 hexadecimal digits" },
        { "\"Fixed\":\"zz00000000000000\"", "Fixed: must be 16 hexadecimal digits" },
        { "\"ID\":\"A\"", "ID: must be an id of 25 characters 0-9a-z" },
        { "\"Colour\":\"pink\"", "Colour: is \"pink\", must be one of: red, green, blue" },
        { "\"Mood\":3", "Mood: must be a string" },
        { "\"Point\":[]", "Point: must be an object" },
        { "\"Point\":{\"Y\":-101}", "Point.Y: must be -100 to 100" },
        { "\"Named\":{\"ID\":\"" ID_A "\"}", "Named.Name: is required" },
        { "\"Named\":{\"Name\":\"\"}", "Named.Name: must not be empty" },
        { "\"Choice\":{}", "Choice: one of Point, Named is required" },
        { "\"OptU64\":0", "OptU64: must be positive" },
        { "\"List\":{}", "List: must be a list" },
        { "\"List\":[{}]", "List[0].Name: is required" },
        { "\"List\":[null]", "List[0]: must be an object" },
        { "\"Texts\":[1]", "Texts[0]: must be a string" },
        { "\"Texts\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"]",
          "Texts: has 9 elements, at most 8 are allowed" },
        { "\"Labels\":[]", "Labels: must be an object" },
        { "\"Labels\":{\"k\":1}", "Labels[\"k\"]: must be a string" },
        { "\"Map\":{\"k\":{\"Name\":\"n\",\"ID\":\"\"}}", "Map[\"k\"].ID: must not be empty" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[200];
        struct every e;
        struct field_error err = { "" };

        print_message("  %s\n", cases[i].text);
        (void)snprintf(text, sizeof(text), "{%s,\"U64\":0}", cases[i].json);
        assert_int_equal(fields_from_json_text(&every_type, slice_of_str(text), 0, &e, &err),
                         ERR_INVALID);
        assert_string_equal(err.text, cases[i].text);
        assert_true(fields_is_zero(&every_type, &e));
    }
}

static void expect_refused(const char *text, unsigned flags, int code, const char *reason)
{
    struct every e;
    struct field_error err = { "" };

    assert_int_equal(fields_from_json_text(&every_type, slice_of_str(text), flags, &e, &err), code);
    if (strncmp(err.text, reason, strlen(reason)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", err.text, reason);
    assert_true(fields_is_zero(&every_type, &e));
}

static void test_strange_texts(void **state)
{
    char deep[3 * 2100];

    (void)state;
    expect_refused("", 0, ERR_MALFORMED, "not JSON: ");
    expect_refused("{", 0, ERR_MALFORMED, "not JSON: line 1, column 1: ");
    expect_refused("{} x", 0, ERR_MALFORMED, "not JSON: ");
    expect_refused("[]", 0, ERR_INVALID, "must be an object");
    expect_refused("{}", 0, ERR_INVALID, "U64: is required");
    expect_refused("{\"U64\":null}", 0, ERR_INVALID, "U64: is required");
    expect_refused("{\"U64\":1,\"U64\":1}", 0, ERR_MALFORMED, "not JSON: ");
    expect_refused("{\"U64\":1,\"Text\":\"\xff\"}", 0, ERR_MALFORMED, "not JSON: ");
    expect_refused("{\"U64\":1,\"Text\":\"\\u0000\"}", 0, ERR_MALFORMED, "not JSON: ");
    expect_refused("{\"U64\":1,\"port\":1}", FIELDS_JSON_STRICT, ERR_INVALID,
                   "has no field \"port\"");
    expect_refused("{\"U64\":1,\"Point\":{\"Z\":1}}", FIELDS_JSON_STRICT, ERR_INVALID,
                   "Point: has no field \"Z\"");
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    expect_refused(deep, 0, ERR_MALFORMED, "not JSON: ");
}

static void test_depth_is_bounded(void **state)
{
    struct tree t;
    char text[16 * (FIELDS_DEPTH_MAX + 2)] = "";

    (void)state;
    for (int i = 0; i < FIELDS_DEPTH_MAX; i++)
        (void)strcat(text, "{\"Left\":");
    (void)strcat(text, "{}");
    for (int i = 0; i < FIELDS_DEPTH_MAX; i++)
        (void)strcat(text, "}");
    assert_int_equal(fields_from_json_text(&tree_type, slice_of_str(text), 0, &t, NULL),
                     ERR_TOO_LARGE);
    assert_int_equal(
        fields_from_json_text(&tree_type, slice_of(text + 8, strlen(text) - 9), 0, &t, NULL), 0);
    fields_deinit(&tree_type, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_fields),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_has_no_json),
        cmocka_unit_test(test_lenient_reading),
        cmocka_unit_test(test_exact_names_win),
        cmocka_unit_test(test_maps_are_sorted_when_read),
        cmocka_unit_test(test_bad_input_is_told_what_is_wrong),
        cmocka_unit_test(test_strange_texts),
        cmocka_unit_test(test_depth_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
