/* Objects as bytes: golden bytes, and what hostile bytes are told. docs/formats/wire.md */
#include "tests/support/unit.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fields.h"
#include "tests/support/every_kind.h"

#define BYTES(...) \
    slice_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaa" /* 25 characters */

static void expect_bytes(const struct fields *type, const void *obj, struct slice golden)
{
    struct buf out;
    struct field_error err = { "" };

    buf_init(&out, 4096);
    if (fields_encode(type, obj, &out, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(out.len, golden.len);
    assert_memory_equal(out.ptr, golden.ptr, golden.len);
    buf_deinit(&out);
}

static void test_golden_bytes(void **state)
{
    struct point p = { .x = 1000, .y = -1 };
    struct named n = { .name = (char[]){ "web" }, .id = { ID_A }, .at = { .x = -33 } };
    struct tree kids[2] = { { .value = 7 }, { .value = 0 } }, left = { .value = 65536 };
    struct tree t = { .left = &left, .children = { kids, 2 } };

    (void)state;
    expect_bytes(&point_type, &p, BYTES(0x82, 0x01, 0xcd, 0x03, 0xe8, 0x02, 0xff));
    expect_bytes(&point_type, &(struct point){ 0 }, BYTES(0x80));
    expect_bytes(&named_type, &n,
                 BYTES(0x83, 0x01, 0xa3, 'w', 'e', 'b', 0x02, 0xb9, 'a', 'a', 'a', 'a', 'a', 'a',
                       'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a',
                       'a', 'a', 'a', 'a', 0x03, 0x81, 0x01, 0xd0, 0xdf));
    expect_bytes(
        &tree_type, &t,
        BYTES(0x82, 0x02, 0x81, 0x01, 0xce, 0, 1, 0, 0, 0x03, 0x92, 0x81, 0x01, 0x07, 0x80));
}

/* One field of `every` at a time, beside the REQUIRED u64, which is 0. */
static void test_golden_bytes_of_every_kind(void **state)
{
    uint8_t octets[] = { 0xde, 0xad };
    uint64_t numbers[] = { 1, UINT64_MAX }, zero = 0;
    bool no = false;
    char *texts[] = { (char[]){ "a" }, (char[]){ "" } };
    struct str_map_item labels[] = { { (char[]){ "a" }, (char[]){ "1" } },
                                     { (char[]){ "b" }, (char[]){ "" } } };
    const struct {
        const char *what;
        struct every e;
        struct slice bytes; /* of tag and value */
    } cases[] = {
        { "BOOL", { .boolean = true }, BYTES(1, 0xc3) },
        { "U32", { .u32 = UINT32_MAX }, BYTES(2, 0xce, 0xff, 0xff, 0xff, 0xff) },
        { "I32", { .i32 = -129 }, BYTES(3, 0xd1, 0xff, 0x7f) },
        { "I64", { .i64 = 128 }, BYTES(5, 0xcc, 0x80) },
        { "F64", { .f64 = 1.5 }, BYTES(6, 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0) },
        { "DURATION", { .delay = 1000000000 }, BYTES(8, 0xce, 0x3b, 0x9a, 0xca, 0x00) },
        { "TIME", { .created = -1 }, BYTES(9, 0xff) },
        { "STR", { .text = (char[]){ "\xc3\xa9" } }, BYTES(10, 0xa2, 0xc3, 0xa9) },
        { "BYTES", { .bytes = { octets, 2 } }, BYTES(11, 0xc4, 2, 0xde, 0xad) },
        { "FIXED", { .fixed = { 1 } }, BYTES(12, 0xc4, 8, 1, 0, 0, 0, 0, 0, 0, 0) },
        { "ENUM", { .colour = COLOUR_BLUE }, BYTES(14, 0xf9) },
        { "STRUCT", { .point = { .x = 1 } }, BYTES(16, 0x81, 1, 1) },
        { "OPT_BOOL", { .opt_bool = &no }, BYTES(20, 0xc2) },
        { "OPT_I64", { .opt_i64 = (int64_t *)(void *)&zero }, BYTES(24, 0x00) },
        { "LIST_STR", { .texts = { texts, 2 } }, BYTES(29, 0x92, 0xa1, 'a', 0xa0) },
        { "LIST_U64",
          { .numbers = { numbers, 2 } },
          BYTES(31, 0x92, 1, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) },
        { "MAP_STR",
          { .labels = { labels, 2 } },
          BYTES(34, 0x82, 0xa1, 'a', 0xa1, '1', 0xa1, 'b', 0xa0) },
        { "tag above 255", { .hidden = { octets, 1 } }, BYTES(0xcd, 0x01, 0x2c, 0xc4, 1, 0xde) },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t golden[64] = { 0x82 };
        struct slice field = cases[i].bytes, u64 = BYTES(4, 0);
        bool before = field.ptr[0] < 4;

        print_message("  %s\n", cases[i].what);
        memcpy(golden + 1, before ? field.ptr : u64.ptr, before ? field.len : u64.len);
        memcpy(golden + 1 + (before ? field.len : u64.len), before ? u64.ptr : field.ptr,
               before ? u64.len : field.len);
        expect_bytes(&every_type, &cases[i].e, slice_of(golden, 1 + field.len + u64.len));
    }
}

static void test_minus_zero_is_zero(void **state)
{
    double minus = -0.0;
    struct every e = { .opt_f64 = &minus };

    (void)state;
    expect_bytes(&every_type, &e, BYTES(0x82, 4, 0, 25, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0));
}

static void expect_refused(const struct fields *type, struct slice bytes, int code,
                           const char *text)
{
    union {
        struct every every;
        struct named named;
        struct tree tree;
        struct choice choice;
    } obj;
    struct field_error err = { "" };

    memset(&obj, 0xee, sizeof(obj));
    assert_int_equal(fields_decode(type, bytes, &obj, &err), code);
    assert_string_equal(err.text, text);
    assert_true(fields_is_zero(type, &obj));
    assert_int_equal(fields_decode(type, bytes, &obj, NULL), code);
}

static void test_bad_input_is_told_what_is_wrong(void **state)
{
    const struct {
        struct slice bytes;
        const char *text;
    } cases[] = {
        { { NULL, 0 }, "truncated or not msgpack" },
        { BYTES(0x05), "must be a map" },
        { BYTES(0x90), "must be a map" },
        { BYTES(0x81, 4), "truncated or not msgpack" },
        { BYTES(0x81, 4, 0xcd, 1), "U64: truncated or not msgpack" },
        { BYTES(0x81, 4, 0, 0), "every: 1 bytes follow its end" },
        { BYTES(0x80), "U64: is required" },
        { BYTES(0x82, 4, 0, 4, 0), "U64: is given twice" },
        { BYTES(0x81, 0xa1, 'x', 0), "has a tag that is not a number" },
        { BYTES(0x82, 99, 0xc1, 4, 0), "unknown tag 99: truncated or too deep" },
        { BYTES(0x81, 1, 1), "Boolean: must be true or false" },
        { BYTES(0x81, 2, 0xff), "U32: must be an integer of 0 or more" },
        { BYTES(0x81, 2, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0), "U32: must be at most 4294967295" },
        { BYTES(0x81, 3, 0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0),
          "I32: must be -2147483648 to 2147483647" },
        { BYTES(0x81, 5, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0),
          "I64: must be at most 9223372036854775807" },
        { BYTES(0x81, 5, 0xa1, '1'), "I64: must be an integer" },
        { BYTES(0x81, 6, 0), "F64: must be a float" },
        { BYTES(0x81, 6, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), "F64: must be a finite number" },
        { BYTES(0x81, 7, 0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0), "Ratio: must be 0 to 1" },
        { BYTES(0x81, 8, 0xff), "Delay: must not be negative" },
        { BYTES(0x81, 10, 0xc4, 1, 'a'), "Text: must be a text" },
        { BYTES(0x81, 10, 0xa1, 0xff), "Text: is not valid UTF-8" },
        { BYTES(0x81, 10, 0xa2, 0xc0, 0x80), "Text: is not valid UTF-8" },
        { BYTES(0x81, 10, 0xa1, 0), "Text: contains a NUL byte" },
        { BYTES(0x81, 11, 0xa1, 'a'), "Bytes: must be binary" },
        { BYTES(0x81, 12, 0xc4, 1, 0), "Fixed: must be 8 bytes" },
        { BYTES(0x81, 13, 0xa1, 'a'), "ID: must be an id of 25 characters 0-9a-z" },
        { BYTES(0x81, 14, 9), "Colour: has the unknown value 9" },
        { BYTES(0x81, 16, 0), "Point: must be a map" },
        { BYTES(0x81, 16, 0x81, 2, 101), "Point.Y: must be -100 to 100" },
        { BYTES(0x81, 18, 0xc0), "Named: must be a map" },
        { BYTES(0x81, 18, 0x80), "Named.Name: is required" },
        { BYTES(0x81, 18, 0x82, 1, 0xa0, 2, 0xa0), "Named.Name: must not be empty" },
        { BYTES(0x81, 18, 0x82, 1, 0xa1, 'a', 2, 0xa0), "Named.ID: must not be empty" },
        { BYTES(0x81, 19, 0x80), "Choice: one of Point, Named is required" },
        { BYTES(0x81, 23, 0), "OptU64: must be positive" },
        { BYTES(0x81, 28, 0x80), "List: must be an array" },
        { BYTES(0x81, 28, 0x91, 0x80), "List[0].Name: is required" },
        { BYTES(0x81, 29, 0x99, 1, 1, 1, 1, 1, 1, 1, 1, 1),
          "Texts: has 9 elements, at most 8 are allowed" },
        { BYTES(0x81, 29, 0x92, 0xa0, 0), "Texts[1]: must be a text" },
        { BYTES(0x81, 29, 0xdd, 0xff, 0xff, 0xff, 0xff), "Texts: truncated or not msgpack" },
        { BYTES(0x81, 32, 0x91, 0xa0), "IDs[0]: must not be empty" },
        { BYTES(0x81, 34, 0x90), "Labels: must be a map" },
        { BYTES(0x81, 34, 0x81, 1, 1), "Labels: key must be a text" },
        { BYTES(0x81, 34, 0x81, 0xa1, 0xff, 1), "Labels: key is not valid UTF-8" },
        { BYTES(0x81, 34, 0x81, 0xa1, 'k', 1), "Labels[\"k\"]: must be a text" },
        { BYTES(0x81, 34, 0x82, 0xa1, 'b', 0xa0, 0xa1, 'a', 0xa0),
          "Labels[\"a\"]: keys are not in ascending order" },
        { BYTES(0x81, 34, 0x82, 0xa1, 'b', 0xa0, 0xa1, 'b', 0xa0),
          "Labels[\"b\"]: keys are not in ascending order" },
        { BYTES(0x81, 36, 0x82, 1, 0x80, 2, 0x80), "Perhaps: only one of Here, there may be set" },
        { BYTES(0x81, 70, 0xce, 0, 1, 0, 0), "port: must be 1 to 65535" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].text);
        expect_refused(&every_type, cases[i].bytes, ERR_MALFORMED, cases[i].text);
    }
}

static void test_text_over_its_limit(void **state)
{
    uint8_t bytes[64] = { 0x81, 10, 0xd9, 41 };

    (void)state;
    memset(bytes + 4, 'a', 41);
    expect_refused(&every_type, slice_of(bytes, 45), ERR_MALFORMED,
                   "Text: is 41 bytes long, at most 40 are allowed");
}

static void test_unknown_tags_are_skipped(void **state)
{
    struct point p;

    (void)state;
    assert_int_equal(fields_decode(&point_type,
                                   BYTES(0x84, 9, 0x92, 0x81, 1, 1, 0xa1, 'x', 2, 0xff, 0xcd, 0xff,
                                         0xff, 0xc0, 1, 0xd0, 5),
                                   &p, NULL),
                     0);
    assert_int_equal(p.x, 5);
    assert_int_equal(p.y, -1);
}

/* A tree of `levels` nodes, one below the other. */
static size_t deep_tree(uint8_t *bytes, size_t levels)
{
    size_t len = 0;

    for (size_t i = 1; i < levels; i++) {
        bytes[len++] = 0x81;
        bytes[len++] = 2;
    }
    bytes[len++] = 0x80;
    return len;
}

static void test_depth_is_bounded(void **state)
{
    uint8_t bytes[2 * FIELDS_DEPTH_MAX + 8];
    struct tree top, outer = { 0 };
    struct field_error err;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(
        fields_decode(&tree_type, slice_of(bytes, deep_tree(bytes, FIELDS_DEPTH_MAX)), &top, NULL),
        0);
    assert_int_equal(fields_encode(&tree_type, &top, &out, NULL), 0);
    outer.left = &top; /* one level more can be built by hand, but not written */
    assert_int_equal(fields_encode(&tree_type, &outer, &out, &err), ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, "is nested more than 24 deep"));
    assert_int_equal(fields_validate(&tree_type, &outer, NULL), ERR_TOO_LARGE);
    fields_deinit(&tree_type, &top);
    assert_int_equal(fields_decode(&tree_type,
                                   slice_of(bytes, deep_tree(bytes, FIELDS_DEPTH_MAX + 1)), &top,
                                   &err),
                     ERR_TOO_LARGE);
    assert_true(fields_is_zero(&tree_type, &top));
    buf_deinit(&out);
}

#define CROWD_FIELDS(X, S) X(S, 1, LIST, OF(every, 1000000), members, NULL, OPTIONAL)
FIELDS_STRUCT(crowd, CROWD_FIELDS);
FIELDS_DEFINE(crowd, CROWD_FIELDS);

/* One byte on the wire is a struct of hundreds in memory: the budget stops it, on both sides. */
static void test_memory_is_bounded_by_the_length(void **state)
{
    enum { COUNT = 65536 };
    uint8_t *bytes = calloc(1, COUNT + 8);
    struct crowd c;
    struct field_error err;
    struct buf out;

    (void)state;
    assert_non_null(bytes);
    buf_init(&out, 1 << 20);
    memcpy(bytes, (const uint8_t[]){ 0x81, 1, 0xdd, 0, 1, 0, 0 }, 7);
    memset(bytes + 7, 0x80, COUNT);
    assert_int_equal(fields_decode(&crowd_type, slice_of(bytes, COUNT + 7), &c, &err),
                     ERR_TOO_LARGE);
    assert_string_equal(err.text, "members: needs too much memory for its length");

    c.members.items = calloc(COUNT, sizeof(struct every));
    c.members.count = COUNT;
    assert_non_null(c.members.items);
    assert_int_equal(fields_encode(&crowd_type, &c, &out, &err), ERR_TOO_LARGE);
    assert_string_equal(err.text, "crowd: is too large to be encoded");
    assert_int_equal(out.len, 0);
    fields_deinit(&crowd_type, &c);
    free(bytes);
    buf_deinit(&out);
}

static void test_a_failed_encode_appends_nothing(void **state)
{
    struct every e = { .text = (char[]){ "\xff" } };
    struct field_error err;
    struct buf out;

    (void)state;
    buf_init(&out, 16);
    assert_int_equal(buf_append_str(&out, "kept"), 0);
    assert_int_equal(fields_encode(&every_type, &e, &out, &err), ERR_INVALID);
    assert_string_equal(err.text, "Text: is not valid UTF-8");
    assert_int_equal(out.len, 4);
    e.text = (char[]){ "longer than the limit" };
    assert_int_equal(fields_encode(&every_type, &e, &out, &err), ERR_TOO_LARGE);
    assert_int_equal(out.len, 4);
    buf_deinit(&out);
}

/* Whatever byte of a message is flipped or cut off: an error or an object, never more. */
static void test_damaged_messages(void **state)
{
    struct named n = { .name = (char[]){ "web" }, .id = { ID_A }, .at = { .x = -33 } };
    struct named back;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(fields_encode(&named_type, &n, &out, NULL), 0);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(fields_decode(&named_type, slice_of(out.ptr, len), &back, NULL),
                         ERR_MALFORMED);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (fields_decode(&named_type, buf_slice(&out), &back, NULL) == 0)
            assert_int_equal(fields_validate(&named_type, &back, NULL), 0);
        fields_deinit(&named_type, &back);
        out.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_bytes),
        cmocka_unit_test(test_golden_bytes_of_every_kind),
        cmocka_unit_test(test_minus_zero_is_zero),
        cmocka_unit_test(test_bad_input_is_told_what_is_wrong),
        cmocka_unit_test(test_text_over_its_limit),
        cmocka_unit_test(test_unknown_tags_are_skipped),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_memory_is_bounded_by_the_length),
        cmocka_unit_test(test_a_failed_encode_appends_nothing),
        cmocka_unit_test(test_damaged_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
