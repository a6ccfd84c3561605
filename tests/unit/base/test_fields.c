/* Field tables: what every type gets from its declaration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fields.h"

#define ORDER_ENUM(X)              \
    X(STOP_FIRST, 0, "stop-first") \
    X(START_FIRST, 1, "start-first")
FIELDS_ENUM(order, ORDER_ENUM);
FIELDS_ENUM_DEFINE(order, ORDER_ENUM);

#define LIMITS_FIELDS(X, S)                                            \
    X(S, 1, I64, RANGE(1, INT64_MAX), nano_cpus, "NanoCPUs", OPTIONAL) \
    X(S, 2, I64, RANGE(0, INT64_MAX), memory_bytes, "MemoryBytes", OPTIONAL)
FIELDS_STRUCT(limits, LIMITS_FIELDS);
FIELDS_DEFINE(limits, LIMITS_FIELDS);

#define TEMPLATE_FIELDS(X, S)                             \
    X(S, 1, STR, LEN(1, 64), image, "Image", REQUIRED)    \
    X(S, 2, STRUCT, limits, limits, "Limits", OPTIONAL)   \
    X(S, 3, LIST_STR, COUNT(8), env, "Env", OPTIONAL)     \
    X(S, 4, MAP_STR, COUNT(8), labels, "Labels", ALWAYS)  \
    X(S, 5, ENUM, order, order, "Order", OPTIONAL)        \
    X(S, 6, LIST, OF(limits, 4), more, "More", OPTIONAL)  \
    X(S, 7, MAP, OF(limits, 4), named, "Named", OPTIONAL) \
    X(S, 8, OPT_U64, ANY, replicas, "Replicas", OPTIONAL) \
    X(S, 9, FIXED, SIZE(4), hash, NULL, OPTIONAL)
FIELDS_STRUCT(template, TEMPLATE_FIELDS);
FIELDS_DEFINE(template, TEMPLATE_FIELDS);

static void test_golden_bytes(void **state)
{
    static const uint8_t golden[] = { 0x82, 0x01, 0xa3, 'w',  'e',  'b',
                                      0x02, 0x81, 0x01, 0xcd, 0x03, 0xe8 };
    struct template t = { .limits.nano_cpus = 1000 }, back;
    struct field_error err;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(str_set(&t.image, "web"), 0);
    assert_int_equal(fields_encode(&template_type, &t, &out, &err), 0);
    assert_int_equal(out.len, sizeof(golden));
    assert_memory_equal(out.ptr, golden, sizeof(golden));
    assert_int_equal(fields_decode(&template_type, buf_slice(&out), &back, &err), 0);
    assert_true(fields_equal(&template_type, &t, &back));
    fields_deinit(&template_type, &t);
    fields_deinit(&template_type, &back);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
