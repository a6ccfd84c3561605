/* Paths to handlers. */
#include <stdio.h>

#include "base/err.h"
#include "node/api/route.h"
#include "tests/support/unit.h"

static void test_what_a_pattern_matches(void **state)
{
    static const struct {
        const char *why, *pattern, *path;
        bool matches;
        const char *arg0, *arg1;
    } cases[] = {
        { "words match themselves", "swarm/init", "swarm/init", true, NULL, NULL },
        { "and nothing longer", "swarm", "swarm/init", false, NULL, NULL },
        { "a star is one part", "nodes/*/update", "nodes/a/update", true, "a", NULL },
        { "not two", "nodes/*", "nodes/a/b", false, NULL, NULL },
        { "and not an empty one", "nodes/*", "nodes/", false, NULL, NULL },
        { "two stars are several parts", "images/**/json", "images/a/b/c:1/json", true, "a/b/c:1",
          NULL },
        { "or one", "images/**/json", "images/a/json", true, "a", NULL },
        { "but not none", "images/**/json", "images/json", false, NULL, NULL },
        { "at the end too", "images/**", "images/a/b", true, "a/b", NULL },
        { "wildcards are numbered", "a/*/b/*", "a/x/b/y", true, "x", "y" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char path[64], *args[ROUTE_ARGS_MAX] = { NULL };

        print_message("  %s\n", cases[i].why);
        strcpy(path, cases[i].path);
        assert_int_equal(route_match(cases[i].pattern, path, args), cases[i].matches);
        if (!cases[i].matches) {
            assert_string_equal(path, cases[i].path);
            continue;
        }
        if (cases[i].arg0 != NULL)
            assert_string_equal(args[0], cases[i].arg0);
        else
            assert_null(args[0]);
        if (cases[i].arg1 != NULL)
            assert_string_equal(args[1], cases[i].arg1);
        else
            assert_null(args[1]);
    }
}

static void test_versions(void **state)
{
    static const struct {
        const char *path, *rest;
        int rc;
        unsigned minor;
    } cases[] = {
        { "/info", "/info", 0, 47 },
        { "/v1.41/info", "/info", 0, 41 },
        { "/v1.24/x", "/x", 0, 24 },
        { "/v1.23/x", "/x", ERR_UNSUPPORTED, 47 },
        { "/v1.48/x", "/x", ERR_UNSUPPORTED, 47 },
        { "/v2.0/x", "/v2.0/x", ERR_UNSUPPORTED, 47 },
        { "/v1.4x/x", "/v1.4x/x", ERR_MALFORMED, 47 },
        { "/v1.99999999999999999999/x", "/v1.99999999999999999999/x", ERR_MALFORMED, 47 },
        { "/volumes", "/volumes", 0, 47 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *path = cases[i].path;
        unsigned minor = 0;

        print_message("  %s\n", path);
        assert_int_equal(route_version(&path, &minor), cases[i].rc);
        assert_string_equal(path, cases[i].rest);
        assert_int_equal(minor, cases[i].minor);
    }
}

static void test_what_docker_has_and_we_do_not_is_said(void **state)
{
    const struct {
        const char *method, *path, *part; /* NULL: nothing is said */
    } cases[] = {
        { "POST", "build", "not built here" },
        { "PUT", "containers/a/archive", "tar by exec" },
        { "HEAD", "containers/a/archive", "tar by exec" },
        { "GET", "containers/a/top", "by exec" },
        { "GET", "images/search", "pull by name" },
        { "POST", "images/a/b/push", "save the image" },
        { "GET", "plugins/a/b/json", "no plugins" },
        { "GET", "build", NULL },
        { "GET", "containers/a/b/top", NULL },
        { "GET", "nothing", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char path[64];
        const char *why;

        (void)snprintf(path, sizeof(path), "%s", cases[i].path);
        why = route_unserved(cases[i].method, path);
        print_message("  %s %s\n", cases[i].method, cases[i].path);
        assert_true((why == NULL) == (cases[i].part == NULL));
        if (why != NULL)
            assert_non_null(strstr(why, cases[i].part));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_pattern_matches),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_what_docker_has_and_we_do_not_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
