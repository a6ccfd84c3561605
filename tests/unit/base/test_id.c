/* Ids: always 25 base-36 characters; every 128-bit number has its own. */
#include "base/id.h"

#include "base/err.h"
#include "base/prng.h"
#include "tests/support/unit.h"

static void test_text_is_the_number_in_base_36(void **state)
{
    uint8_t random[ID_RANDOM_LEN] = { 0 };
    struct id id;

    (void)state;
    id = id_from_random(random);
    assert_string_equal(id.text, "0000000000000000000000000");
    random[15] = 35;
    id = id_from_random(random);
    assert_string_equal(id.text, "000000000000000000000000z");
    random[14] = 1; /* 291 = 8 * 36 + 3 */
    id = id_from_random(random);
    assert_string_equal(id.text, "0000000000000000000000083");
    memset(random, 0xff, sizeof(random)); /* 2^128 - 1 */
    id = id_from_random(random);
    assert_string_equal(id.text, "f5lxx1zz5pnorynqglhzmsp33");
}

static void test_random_ids_parse_to_themselves_and_keep_their_order(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 13);
    for (int i = 0; i < 1000; i++) {
        uint8_t a[ID_RANDOM_LEN], b[ID_RANDOM_LEN];
        struct id ida, idb, parsed;

        prng_bytes(&p, a, sizeof(a));
        prng_bytes(&p, b, sizeof(b));
        ida = id_from_random(a);
        idb = id_from_random(b);
        assert_int_equal(id_parse(id_slice(&ida), &parsed), 0);
        assert_true(id_equal(&ida, &parsed));
        assert_int_equal(id_cmp(&ida, &idb) < 0, memcmp(a, b, sizeof(a)) < 0);
    }
}

static void test_anything_else_is_malformed(void **state)
{
    static const char *const cases[] = {
        "",
        "f5lxx1zz5pnorynqglhzmsp3",   /* 24 */
        "f5lxx1zz5pnorynqglhzmsp333", /* 26 */
        "F5lxx1zz5pnorynqglhzmsp33",
        "f5lxx1zz5pnorynqglhzmsp3/",
        "f5lxx1zz5pnorynqglhzmsp3\xc3",
    };
    struct id id = { "untouched" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(id_parse(slice_of_str(cases[i]), &id), ERR_MALFORMED);
    assert_int_equal(id_parse(slice_of("f5lxx1zz5pnorynqglhzmsp3\0", ID_LEN), &id), ERR_MALFORMED);
    assert_string_equal(id.text, "untouched");
}

static void test_none_is_empty(void **state)
{
    struct id none = { 0 };

    (void)state;
    assert_true(id_is_none(&none));
    assert_int_equal(id_slice(&none).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_the_number_in_base_36),
        cmocka_unit_test(test_random_ids_parse_to_themselves_and_keep_their_order),
        cmocka_unit_test(test_anything_else_is_malformed),
        cmocka_unit_test(test_none_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
