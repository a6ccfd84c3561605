/* Durations and times as text: Go's forms, exact, and refused when they do not fit. */
#include "base/time_text.h"

#include <time.h>

#include "base/err.h"
#include "base/prng.h"
#include "tests/support/unit.h"

static void test_durations_print_as_go_prints_them(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        { 0, "0s" },
        { 1, "1ns" },
        { 1100, "1.1\xc2\xb5s" },
        { 2200000, "2.2ms" },
        { 150000000, "150ms" },
        { 3300000000, "3.3s" },
        { 90000000000, "1m30s" },
        { 245000000000, "4m5s" },
        { 245001000000, "4m5.001s" },
        { 3600000000000, "1h0m0s" },
        { 18367001000000, "5h6m7.001s" },
        { 480000000001, "8m0.000000001s" },
        { -90000000000, "-1m30s" },
        { INT64_MAX, "2562047h47m16.854775807s" },
        { INT64_MIN, "-2562047h47m16.854775808s" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[DURATION_TEXT_MAX];
        int64_t back;

        duration_format(cases[i].ns, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(duration_parse(slice_of_str(text), &back), 0);
        assert_true(back == cases[i].ns);
    }
}

static void test_durations_are_read_in_all_their_forms(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t ns;
    } cases[] = {
        { "0", 0, 0 },
        { "+5s", 0, 5000000000 },
        { "1.5h", 0, 5400000000000 },
        { ".5s", 0, 500000000 },
        { "5.s", 0, 5000000000 },
        { "1h30m", 0, 5400000000000 },
        { "30m1h", 0, 5400000000000 },
        { "12us", 0, 12000 },
        { "12\xce\xbcs", 0, 12000 },
        { "0.9999999999s", 0, 999999999 },
        { "0.333333333333333333333h", 0, 1199999999999 },
        { "", ERR_MALFORMED, 0 },
        { "-", ERR_MALFORMED, 0 },
        { "5", ERR_MALFORMED, 0 },
        { "s", ERR_MALFORMED, 0 },
        { ".s", ERR_MALFORMED, 0 },
        { "1d", ERR_MALFORMED, 0 },
        { "1 s", ERR_MALFORMED, 0 },
        { "1s ", ERR_MALFORMED, 0 },
        { "--1s", ERR_MALFORMED, 0 },
        { "1s-1s", ERR_MALFORMED, 0 },
        { "2562048h", ERR_TOO_LARGE, 0 },
        { "9223372036854775808ns", ERR_TOO_LARGE, 0 },
        { "99999999999999999999999ns", ERR_TOO_LARGE, 0 },
        { "9223372036854775807ns1ns", ERR_TOO_LARGE, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ns = 0;

        print_message("  '%s'\n", cases[i].text);
        assert_int_equal(duration_parse(slice_of_str(cases[i].text), &ns), cases[i].rc);
        assert_true(ns == cases[i].ns);
    }
}

static void test_times_print_and_read_as_rfc_3339(void **state)
{
    static const struct {
        wall_ns t;
        const char *text;
    } cases[] = {
        { 0, "0001-01-01T00:00:00Z" },
        { 1, "1970-01-01T00:00:00.000000001Z" },
        { -1, "1969-12-31T23:59:59.999999999Z" },
        { INT64_C(951782400000000000), "2000-02-29T00:00:00Z" },
        { INT64_C(1136214245500000000), "2006-01-02T15:04:05.5Z" },
        { INT64_MAX, "2262-04-11T23:47:16.854775807Z" },
        { INT64_MIN, "1677-09-21T00:12:43.145224192Z" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[TIME_TEXT_MAX];
        wall_ns back;

        time_format(cases[i].t, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(time_parse(slice_of_str(text), &back), 0);
        assert_true(back == cases[i].t);
    }
}

static void test_times_match_the_system_calendar(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 14);
    for (int i = 0; i < 20000; i++) {
        int64_t s = (int64_t)prng_below(&p, 9000000000U * 2) - 9000000000;
        char text[TIME_TEXT_MAX], want[32];
        time_t t = (time_t)s;
        struct tm tm;
        wall_ns back;

        if (s == 0)
            continue;
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_not_equal(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm), 0);
        time_format(s * (int64_t)NS_PER_S, text);
        assert_string_equal(text, want);
        assert_int_equal(time_parse(slice_of_str(text), &back), 0);
        assert_true(back == s * (int64_t)NS_PER_S);
    }
}

static void test_times_are_read_in_all_their_forms(void **state)
{
    static const struct {
        const char *text;
        int rc;
        wall_ns t;
    } cases[] = {
        { "1970-01-01T01:00:00+01:00", 0, 0 },
        { "1969-12-31T19:00:01-05:00", 0, 1000000000 },
        { "1970-01-01t00:00:02z", 0, 2000000000 },
        { "1970-01-01T00:00:00.1234567899Z", 0, 123456789 },
        { "1970-01-01T00:00:00.Z", ERR_MALFORMED, 0 },
        { "1970-01-01T00:00:00", ERR_MALFORMED, 0 },
        { "1970-01-01 00:00:00Z", ERR_MALFORMED, 0 },
        { "1970-02-30T00:00:00Z", ERR_MALFORMED, 0 },
        { "1900-02-29T00:00:00Z", ERR_MALFORMED, 0 },
        { "1970-13-01T00:00:00Z", ERR_MALFORMED, 0 },
        { "1970-00-01T00:00:00Z", ERR_MALFORMED, 0 },
        { "1970-01-01T24:00:00Z", ERR_MALFORMED, 0 },
        { "1970-01-01T00:60:00Z", ERR_MALFORMED, 0 },
        { "1970-01-01T00:00:60Z", ERR_MALFORMED, 0 },
        { "1970-01-01T00:00:00Zx", ERR_MALFORMED, 0 },
        { "1970-01-01T00:00:00+1:00", ERR_MALFORMED, 0 },
        { "-970-01-01T00:00:00Z", ERR_MALFORMED, 0 },
        { "", ERR_MALFORMED, 0 },
        { "2262-04-11T23:47:16.854775808Z", ERR_TOO_LARGE, 0 },
        { "1677-09-21T00:12:43.145224191Z", ERR_TOO_LARGE, 0 },
        { "9999-12-31T23:59:59Z", ERR_TOO_LARGE, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        wall_ns t = 0;

        print_message("  '%s'\n", cases[i].text);
        assert_int_equal(time_parse(slice_of_str(cases[i].text), &t), cases[i].rc);
        assert_true(t == cases[i].t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations_print_as_go_prints_them),
        cmocka_unit_test(test_durations_are_read_in_all_their_forms),
        cmocka_unit_test(test_times_print_and_read_as_rfc_3339),
        cmocka_unit_test(test_times_match_the_system_calendar),
        cmocka_unit_test(test_times_are_read_in_all_their_forms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
