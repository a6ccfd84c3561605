/* Texts that hold several. */
#include <stdlib.h>

#include "node/cli/spec_words.h"
#include "tests/support/unit.h"

struct row {
    const char *text, *expected; /* NULL: a quote is not closed */
};

static void check(json_t *(*split)(const char *), const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *json = split(rows[i].text);
        char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);

        print_message("  %s\n", rows[i].text);
        if (rows[i].expected == NULL)
            assert_null(text);
        else
            assert_string_equal(text, rows[i].expected);
        free(text);
        json_decref(json);
    }
}

static void test_command_lines_are_split_as_a_shell_does(void **state)
{
    static const struct row rows[] = {
        { "", "[]" },
        { "  \t ", "[]" },
        { "a b\tc", "[\"a\",\"b\",\"c\"]" },
        { "sh -c 'a  b'", "[\"sh\",\"-c\",\"a  b\"]" },
        { "a\"b c\"'d e'f", "[\"ab cd ef\"]" },
        { "'' \"\"", "[\"\",\"\"]" },
        { "a\\ b \\'", "[\"a b\",\"'\"]" },
        { "\"a\\\"b\\\\c\\d\"", "[\"a\\\"b\\\\c\\\\d\"]" },
        { "'a\\'", "[\"a\\\\\"]" },
        { "a\\", "[\"a\\\\\"]" },
        { "'a", NULL },
        { "a \"b", NULL },
        { "\"a\\", NULL },
        { "\"", NULL },
    };

    (void)state;
    check(spec_words, rows, ARRAY_LEN(rows));
}

static void test_parts_are_split_at_commas(void **state)
{
    static const struct row rows[] = {
        { "a", "[\"a\"]" },
        { "a=1,b=2", "[\"a=1\",\"b=2\"]" },
        { "a,", "[\"a\",\"\"]" },
        { "", "[\"\"]" },
        { "\"o=a,b\",c", "[\"o=a,b\",\"c\"]" },
        { "\"a\"\"b\"", "[\"a\\\"b\"]" },
        { "a\"b", "[\"a\\\"b\"]" },
        { "\"a", NULL },
        { "a,\"", NULL },
        { "\"a\"\"", NULL },
    };

    (void)state;
    check(spec_commas, rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_lines_are_split_as_a_shell_does),
        cmocka_unit_test(test_parts_are_split_at_commas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
