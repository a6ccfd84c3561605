/* What people write behind --log-driver and --log-opt. */
#include "base/err.h"
#include "node/object/log_options.h"
#include "tests/support/unit.h"

static void test_what_is_read(void **state)
{
    const struct {
        const char *driver, *option, *value;
        int rc;
        struct log_options want;
        const char *says;
    } rows[] = {
        { NULL, NULL, NULL, 0, { 0 }, "" },
        { "", NULL, NULL, 0, { 0 }, "" },
        { "local", NULL, NULL, 0, { 0 }, "" },
        { "none", NULL, NULL, 0, { .none = true }, "" },
        { "json-file", "max-size", "10m", 0, { .file_bytes_max = 10 << 20 }, "" },
        { "", "max-size", "4096", 0, { .file_bytes_max = 4096 }, "" },
        { "", "max-size", "2G", 0, { .file_bytes_max = UINT64_C(2) << 30 }, "" },
        { "", "max-file", "1000", 0, { .file_count_max = 1000 }, "" },
        { "", "tag", "{{.Name}}", 0, { 0 }, "" },
        { "fluentd", NULL, NULL, ERR_UNSUPPORTED, { 0 }, "log driver 'fluentd'" },
        { "", "max-size", "", ERR_INVALID, { 0 }, "give 10m" },
        { "", "max-size", "0", ERR_INVALID, { 0 }, "give 10m" },
        { "", "max-size", "-1", ERR_INVALID, { 0 }, "give 10m" },
        { "", "max-size", "10mb", ERR_INVALID, { 0 }, "'10mb'" },
        { "", "max-size", "99999999999999999999g", ERR_INVALID, { 0 }, "give 10m" },
        { "", "max-file", "0", ERR_INVALID, { 0 }, "1 to 1000" },
        { "", "max-file", "1001", ERR_INVALID, { 0 }, "1 to 1000" },
        { "", "max-file", "3x", ERR_INVALID, { 0 }, "'3x'" },
        { "", "max-sise", "10m", ERR_INVALID, { 0 }, "unknown log option 'max-sise'" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str_map options = { 0 };
        struct log_options got;
        struct field_error err = { "" };

        print_message("  %s %s=%s\n", rows[i].driver != NULL ? rows[i].driver : "-",
                      rows[i].option != NULL ? rows[i].option : "",
                      rows[i].value != NULL ? rows[i].value : "");
        if (rows[i].option != NULL)
            assert_int_equal(str_map_set(&options, rows[i].option, rows[i].value), 0);
        assert_int_equal(log_options_read(rows[i].driver, &options, &got, &err), rows[i].rc);
        assert_non_null(strstr(err.text, rows[i].says));
        if (rows[i].rc == 0) {
            assert_int_equal(got.none, rows[i].want.none);
            assert_int_equal(got.file_bytes_max, rows[i].want.file_bytes_max);
            assert_int_equal(got.file_count_max, rows[i].want.file_count_max);
        }
        str_map_clear(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_is_read) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
