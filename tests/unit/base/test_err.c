/* Error numbers: every code has a text, and no two codes share a number. */
#include "base/err.h"

#include <errno.h>

#include "tests/support/unit.h"

static void test_every_code_has_its_own_text(void **state)
{
    static const struct {
        int number;
        const char *name, *text;
    } codes[] = {
#define ERR_ROW(name, number, text) { number, #name, text },
        ERR_LIST(ERR_ROW)
#undef ERR_ROW
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        assert_true(codes[i].number <= -20000);
        assert_string_equal(err_text(codes[i].number), codes[i].text);
        assert_string_equal(err_name(codes[i].number), codes[i].name);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(codes[i].number, codes[j].number);
    }
}

static void test_system_and_unknown_codes_have_a_text(void **state)
{
    (void)state;
    assert_string_equal(err_text(-2), strerror(2));
    assert_string_equal(err_name(-ENOENT), "ENOENT");
    assert_string_equal(err_name(-3999), "ERRNO");
    assert_string_equal(err_text(-30000), "unknown error");
    assert_string_equal(err_text(0), "success");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_has_its_own_text),
        cmocka_unit_test(test_system_and_unknown_codes_have_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
