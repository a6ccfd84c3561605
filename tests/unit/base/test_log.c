/* Log lines: their form in both formats, no forging, cut lines end well, rate limit. */
#include "base/log.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "tests/support/unit.h"

static struct {
    char last[LOG_LINE_MAX + 1];
    unsigned count;
    mono_ns now;
} seen;

static void keep_line(void *arg, enum log_level level, struct slice line)
{
    (void)arg;
    (void)level;
    assert_true(line.len <= LOG_LINE_MAX);
    memcpy(seen.last, line.ptr, line.len);
    seen.last[line.len] = '\0';
    seen.count++;
}

static wall_ns fixed_wall_clock(void *arg)
{
    (void)arg;
    return INT64_C(1136214245500000000);
}

static mono_ns fixed_mono_clock(void *arg)
{
    (void)arg;
    return seen.now;
}

static void start(enum log_format format, enum log_level level)
{
    const struct log_config config = { .sink = keep_line,
                                       .wall_clock = fixed_wall_clock,
                                       .mono_clock = fixed_mono_clock,
                                       .level = level,
                                       .format = format };

    seen.count = 0;
    seen.last[0] = '\0';
    log_setup(&config);
}

static int stop(void **state)
{
    (void)state;
    log_setup(NULL);
    return 0;
}

static void test_nothing_is_logged_before_setup(void **state)
{
    (void)state;
    seen.count = 0;
    log_set_level(LOG_LEVEL_DEBUG);
    log_error("raft", "lost");
    assert_int_equal(seen.count, 0);
}

static void test_journal_line_has_a_priority_and_no_time(void **state)
{
    (void)state;
    start(LOG_FORMAT_JOURNAL, LOG_LEVEL_DEBUG);
    log_info("raft", "became leader");
    assert_string_equal(seen.last, "<6>raft: became leader\n");
    log_warn_kv("link", "hello\nrejected", LOG_STR("peer", "node 7"));
    assert_string_equal(seen.last, "<4>link: hello\\nrejected peer=\"node 7\"\n");
    log_error("raft", "lost");
    assert_string_equal(seen.last, "<3>raft: lost\n");
    log_debug("raft", "step");
    assert_string_equal(seen.last, "<7>raft: step\n");
}

static void test_text_line(void **state)
{
    (void)state;
    start(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_info("raft", "became leader term=%" PRIu64, UINT64_C(4));
    assert_string_equal(seen.last, "2006-01-02T15:04:05.5Z INFO raft: became leader term=4\n");
    log_warn_kv("link", "hello rejected", LOG_STR("peer", "node 7"), LOG_U64("version", 9),
                LOG_I64("delta", -1), LOG_BOOL("known", false), LOG_STR("tag", "x"),
                LOG_STR("empty", ""), LOG_ERR("cause", ERR_CLOSED));
    assert_string_equal(seen.last, "2006-01-02T15:04:05.5Z WARN link: hello rejected "
                                   "peer=\"node 7\" version=9 delta=-1 known=false tag=x "
                                   "empty=\"\" cause=closed\n");
}

static void test_json_line(void **state)
{
    (void)state;
    start(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_warn_kv("link", "say \"hi\"", LOG_STR("peer", "a\\b"), LOG_U64("version", 9),
                LOG_BOOL("known", true));
    assert_string_equal(seen.last,
                        "{\"time\":\"2006-01-02T15:04:05.5Z\",\"level\":\"warn\","
                        "\"area\":\"link\",\"msg\":\"say \\\"hi\\\"\",\"peer\":\"a\\\\b\","
                        "\"version\":9,\"known\":true}\n");
}

static void test_lower_levels_are_not_even_formatted(void **state)
{
    unsigned evaluated = 0;

    (void)state;
    start(LOG_FORMAT_TEXT, LOG_LEVEL_WARN);
    log_info("raft", "%u", evaluated++);
    assert_int_equal(seen.count, 0);
    assert_int_equal(evaluated, 0);
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("raft", "%u", evaluated++);
    assert_int_equal(seen.count, 1);
    log_set_level(LOG_LEVEL_OFF);
    log_error("raft", "x");
    assert_int_equal(seen.count, 1);
}

static void test_outsiders_cannot_forge_lines(void **state)
{
    (void)state;
    start(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_info("api", "name=%s", "x\n2006 ERROR raft: fake\x1b[2J\xc2\x9b\xff");
    assert_string_equal(seen.last, "2006-01-02T15:04:05.5Z INFO api: name=x\\n2006 ERROR raft: "
                                   "fake\\u001b[2J\\u009b\xef\xbf\xbd\n");
    log_info_kv("api", "x", LOG_STR("name", "a b=\"c\"\n"));
    assert_string_equal(seen.last,
                        "2006-01-02T15:04:05.5Z INFO api: x name=\"a b=\\\"c\\\"\\n\"\n");
}

static void test_cut_lines_are_still_json(void **state)
{
    static char big[6000];

    (void)state;
    start(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    for (size_t len = 100; len < sizeof(big); len += 37) { /* controls: six bytes for one */
        json_error_t error;
        json_t *line;

        memset(big, len % 2 == 0 ? 1 : 'x', len);
        big[len] = '\0';
        log_info_kv("api", "cut", LOG_STR("big", big), LOG_U64("after", 1));
        line = json_loads(seen.last, JSON_REJECT_DUPLICATES, &error);
        assert_non_null(line);
        assert_int_equal(json_object_get(line, "big") == NULL,
                         json_object_get(line, "truncated") != NULL);
        json_decref(line);
        log_info("api", "%s", big);
        line = json_loads(seen.last, JSON_REJECT_DUPLICATES, &error);
        assert_non_null(line);
        json_decref(line);
    }
}

static void bad_frame(const char *peer)
{
    log_warn_limited(peer, "link", "bad frame peer=%s", peer);
}

static void test_rate_limit_is_per_site_and_subject_and_says_what_it_dropped(void **state)
{
    (void)state;
    start(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    seen.now = 100 * NS_PER_S;
    for (int i = 0; i < LOG_BURST + 3; i++)
        bad_frame("a");
    assert_int_equal(seen.count, LOG_BURST);
    bad_frame("b"); /* another subject */
    assert_int_equal(seen.count, LOG_BURST + 1);
    log_warn_limited("a", "link", "another site");
    assert_int_equal(seen.count, LOG_BURST + 2);
    seen.now += LOG_WINDOW_NS - 1;
    bad_frame("a");
    assert_int_equal(seen.count, LOG_BURST + 2);
    seen.now += 1;
    bad_frame("a");
    assert_string_equal(seen.last,
                        "2006-01-02T15:04:05.5Z WARN link: bad frame peer=a suppressed=4\n");
    bad_frame("a");
    assert_string_equal(seen.last, "2006-01-02T15:04:05.5Z WARN link: bad frame peer=a\n");
}

static void test_many_subjects_cannot_exhaust_the_limiter(void **state)
{
    (void)state;
    start(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    for (unsigned i = 0; i < 10000; i++) {
        char peer[16];

        (void)snprintf(peer, sizeof(peer), "%u", i);
        bad_frame(peer);
    }
    assert_int_equal(seen.count, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_logged_before_setup),
        cmocka_unit_test_teardown(test_text_line, stop),
        cmocka_unit_test_teardown(test_journal_line_has_a_priority_and_no_time, stop),
        cmocka_unit_test_teardown(test_json_line, stop),
        cmocka_unit_test_teardown(test_lower_levels_are_not_even_formatted, stop),
        cmocka_unit_test_teardown(test_outsiders_cannot_forge_lines, stop),
        cmocka_unit_test_teardown(test_cut_lines_are_still_json, stop),
        cmocka_unit_test_teardown(test_rate_limit_is_per_site_and_subject_and_says_what_it_dropped,
                                  stop),
        cmocka_unit_test_teardown(test_many_subjects_cannot_exhaust_the_limiter, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
