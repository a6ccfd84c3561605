/* What the commands say of themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/help.h"
#include "tests/support/unit.h"

static const struct option_def no_options[] = { { NULL, 0, OPTION_FLAG, NULL, NULL } };
static const struct option_def create_options[] = {
    { "name", 'n', OPTION_TEXT, "NAME", "what it is called" },
    { "force", 0, OPTION_FLAG, NULL, ".dots, a \\ and a hy-phen" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};
static const struct command boats[] = {
    { "boat create", "PLACE", "build one", create_options, 1, 1, false, NULL },
    { "boat ls", "", "list them", no_options, 0, 0, false, NULL },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
static const struct command rest[] = {
    { "boatswain", "", "another word", no_options, 0, 0, false, NULL },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
static const struct command *const tables[] = { boats, rest };
static const struct command_groups groups = { tables, ARRAY_LEN(tables) };

static char *text;
static size_t text_len;
static FILE *stream;

static void begin(void)
{
    stream = open_memstream(&text, &text_len);
    assert_non_null(stream);
}

static void end(void)
{
    assert_int_equal(fclose(stream), 0);
}

static void test_a_group_is_a_word_not_a_prefix(void **state)
{
    (void)state;
    begin();
    assert_true(help_group(&groups, "boat", stream));
    end();
    assert_string_equal(text, "usage: shoal boat COMMAND\n\n"
                              "  boat create           build one\n"
                              "  boat ls               list them\n");
    free(text);
}

static void test_a_word_that_no_command_begins_with(void **state)
{
    static const char *const words[] = { "", "boa", "boatswain", "create", "boat create" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        begin();
        assert_false(help_group(&groups, words[i], stream));
        end();
        assert_string_equal(text, "");
        free(text);
    }
}

static void test_the_manual_has_each_command_and_option_as_text(void **state)
{
    (void)state;
    begin();
    help_manual(&groups, stream);
    end();
    assert_non_null(strstr(text, ".SS shoal \\&boat create\n"));
    assert_non_null(strstr(text, ".SS shoal \\&boat ls\n"));
    assert_non_null(strstr(text, ".SS shoal \\&boatswain\n"));
    assert_non_null(strstr(text,
                           ".TP\n\\fB\\-n\\fR, \\fB\\-\\-\\fR\\fB\\&name\\fR \\fI\\&NAME\\fR\n"
                           "\\&what it is called\n"));
    assert_non_null(strstr(text, "\n\\&.dots, a \\e and a hy\\-phen\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_group_is_a_word_not_a_prefix),
        cmocka_unit_test(test_a_word_that_no_command_begins_with),
        cmocka_unit_test(test_the_manual_has_each_command_and_option_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
