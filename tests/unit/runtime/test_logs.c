/* Log files: rotation by size and count, and readers that do not lose their place in it. conmon's
 * side, a file and the pipe it listens on, is played by the test; the last tests have a real one.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "runtime/log_reader.h"
#include "support_runtime.h"

/* --- A monitor */

struct monitor {
    char dir[64];
    int ctl;    /* its end of the pipe */
    int log;    /* where it writes */
    int number; /* of the next line */
};

static void begin(struct monitor *m)
{
    char path[128];

    memset(m, 0, sizeof(*m));
    (void)snprintf(m->dir, sizeof(m->dir), "/tmp/shoal-logs-%d", (int)getpid());
    assert_int_equal(mkdir(m->dir, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/ctl", m->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    m->ctl = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    m->log = open(log_path(m->dir, 0).text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(m->ctl >= 0 && m->log >= 0);
}

static void end(struct monitor *m)
{
    close(m->ctl);
    close(m->log);
    assert_int_equal(tree_remove(m->dir), 0);
}

static void write_lines(struct monitor *m, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(dprintf(m->log, "2026-11-23T01:02:%02d.5+00:00 %s F line %d\n", m->number % 60,
                            m->number % 2 == 0 ? "stdout" : "stderr", m->number) > 0 &&
                    ++m->number);
}

/* True when it was told to open its log anew, which it then does. */
static bool obey(struct monitor *m)
{
    struct path log = log_path(m->dir, 0), temporary = path_of("%s.tmp", log.text);
    char order[64];

    if (read(m->ctl, order, sizeof(order)) <= 0)
        return false;
    close(m->log);
    m->log = open(temporary.text, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    assert_true(m->log >= 0 && rename(temporary.text, log.text) == 0);
    return true;
}

static void rotate(const struct monitor *m, uint64_t bytes_max, uint32_t count_max)
{
    log_rotate(&(struct log_rotation){
        .state_dir = m->dir, .run_dir = m->dir, .bytes_max = bytes_max, .count_max = count_max });
}

static bool has_file(const struct monitor *m, uint32_t number)
{
    return access(log_path(m->dir, number).text, F_OK) == 0;
}

/* The numbers of the lines that are there now. */
static int read_numbers(struct log_reader *r, int *out, int max)
{
    struct log_record record;
    int n = 0;

    do {
        assert_int_equal(log_reader_fill(r), 0);
        while (log_reader_next(r, &record)) {
            assert_true(n < max);
            assert_int_equal(sscanf((const char *)record.text.ptr, "line %d\n", &out[n++]), 1);
        }
    } while (!r->at_end);
    return n;
}

/* --- Rotation */

static void test_a_log_is_rotated_at_its_size_and_no_more_than_the_count_are_kept(void **state)
{
    struct monitor m;

    (void)state;
    begin(&m);
    rotate(&m, 100, 3);
    assert_false(obey(&m)); /* it is empty */
    for (int round = 0; round < 6; round++) {
        write_lines(&m, 10);
        rotate(&m, 100, 3);
        assert_true(obey(&m));
        rotate(&m, 100, 3);
        assert_false(obey(&m)); /* the new one is small */
        assert_true(has_file(&m, 0) && has_file(&m, 1));
        assert_int_equal(has_file(&m, 2), round >= 1);
        assert_false(has_file(&m, 3));
    }
    end(&m);
}

static void test_keeping_one_file_keeps_one(void **state)
{
    struct monitor m;

    (void)state;
    begin(&m);
    for (int round = 0; round < 3; round++) {
        write_lines(&m, 10);
        rotate(&m, 100, 1);
        assert_true(has_file(&m, 1)); /* until it is told, conmon writes there */
        assert_true(obey(&m));
        rotate(&m, 100, 1);
        assert_true(has_file(&m, 0));
        assert_false(has_file(&m, 1));
    }
    end(&m);
}

static void test_a_smaller_count_removes_what_is_beyond(void **state)
{
    struct monitor m;

    (void)state;
    begin(&m);
    for (int round = 0; round < 5; round++) {
        write_lines(&m, 10);
        rotate(&m, 100, 5);
        assert_true(obey(&m));
    }
    assert_true(has_file(&m, 4));
    rotate(&m, 100, 2);
    assert_true(has_file(&m, 1));
    for (uint32_t i = 2; i <= 5; i++)
        assert_false(has_file(&m, i));
    end(&m);
}

/* A daemon that dies between the two must not leave a log that grows without end. */
static void test_a_monitor_that_was_not_told_is_told_in_the_next_round(void **state)
{
    struct monitor m;

    (void)state;
    begin(&m);
    write_lines(&m, 10);
    assert_int_equal(rename(log_path(m.dir, 0).text, log_path(m.dir, 1).text), 0);
    write_lines(&m, 10); /* to log.1 */
    rotate(&m, 100, 3);
    assert_true(obey(&m));
    rotate(&m, 100, 3);
    assert_false(obey(&m));
    assert_true(has_file(&m, 0) && has_file(&m, 1));
    assert_false(has_file(&m, 2));
    end(&m);
}

/* --- Readers */

static void test_a_reader_follows_across_rotations_line_by_line(void **state)
{
    static struct log_reader r;
    int numbers[64], next = 0;
    struct monitor m;

    (void)state;
    begin(&m);
    log_reader_init(&r, m.dir, LOGS_TAIL_ALL);
    for (int round = 0; round < 20; round++) {
        int n;

        write_lines(&m, 7);
        if (round % 3 != 0)
            rotate(&m, 100, 2);
        write_lines(&m, 2); /* conmon has not looked at its pipe yet */
        if (round % 2 == 0) {
            n = read_numbers(&r, numbers, 64);
            for (int i = 0; i < n; i++)
                assert_int_equal(numbers[i], next++);
        }
        (void)obey(&m);
    }
    while (next < m.number) {
        int n = read_numbers(&r, numbers, 64);

        assert_true(n > 0);
        for (int i = 0; i < n; i++)
            assert_int_equal(numbers[i], next++);
    }
    log_reader_deinit(&r);
    end(&m);
}

static void test_a_reader_that_was_overtaken_goes_on_with_the_oldest_there_is(void **state)
{
    static struct log_reader r;
    int numbers[64], n;
    struct monitor m;

    (void)state;
    begin(&m);
    write_lines(&m, 10);
    log_reader_init(&r, m.dir, LOGS_TAIL_ALL);
    assert_int_equal(read_numbers(&r, numbers, 64), 10);
    for (int round = 0; round < 5; round++) {
        rotate(&m, 100, 3);
        assert_true(obey(&m));
        write_lines(&m, 10);
    }
    n = read_numbers(&r, numbers, 64);
    assert_int_equal(n, 30); /* three files; what was in the others is gone */
    for (int i = 0; i < n; i++)
        assert_int_equal(numbers[i], m.number - n + i);
    log_reader_deinit(&r);
    end(&m);
}

static void test_a_tail_reaches_back_into_rotated_files(void **state)
{
    static const int tails[] = { 0, 1, 9, 10, 11, 25, 30, 1000 };
    static struct log_reader r;
    int numbers[64];
    struct monitor m;

    (void)state;
    begin(&m);
    for (int round = 0; round < 3; round++) {
        write_lines(&m, 10);
        if (round < 2) {
            rotate(&m, 100, 3);
            assert_true(obey(&m));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        int expected = tails[i] < 30 ? tails[i] : 30;

        log_reader_init(&r, m.dir, (uint64_t)tails[i]);
        assert_int_equal(read_numbers(&r, numbers, 64), expected);
        if (expected > 0)
            assert_int_equal(numbers[0], 30 - expected);
        log_reader_deinit(&r);
    }
    end(&m);
}

static void test_records_are_chosen_by_stream_and_time(void **state)
{
    const struct log_record r = { .source = STREAM_STDERR, .time = 100 };
    const struct {
        const char *why;
        struct logs_options options;
        bool wanted;
    } cases[] = {
        { "no choice is both streams", { .tail = 0 }, true },
        { "its stream", { .err = true }, true },
        { "only the other stream", { .out = true }, false },
        { "since is inclusive", { .since = 100 }, true },
        { "before since", { .since = 101 }, false },
        { "until is inclusive", { .until = 100 }, true },
        { "after until", { .until = 99 }, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].why);
        assert_int_equal(log_record_is_wanted(&r, &cases[i].options), cases[i].wanted);
    }
}

/* --- With a real monitor */

static struct fixture fx;

struct follower {
    int next; /* line expected */
    bool ended;
};

static void on_record(void *owner, enum stream_source source, wall_ns time, struct slice text,
                      bool partial)
{
    struct follower *f = owner;
    int number = -1;

    (void)source;
    (void)time;
    assert_false(partial);
    assert_int_equal(sscanf((const char *)text.ptr, "line %d\n", &number), 1);
    assert_int_equal(number, f->next);
    f->next++;
}

static void on_end(void *owner, int err, const char *message)
{
    struct follower *f = owner;

    assert_int_equal(err, 0);
    assert_string_equal(message, "");
    f->ended = true;
}

#define LINES 3000

static void test_following_a_container_sees_each_line_once_however_often_it_rotates(void **state)
{
    const struct logs_options options = { .follow = true, .tail = LOGS_TAIL_ALL };
    struct follower f = { 0 };
    struct container_spec spec;
    char message[1024];
    struct path dir;

    NEED_CONTAINERS();
    fixture_init(&fx);
    fixture_import_busybox(&fx);
    /* some 150 KB over three seconds: a rotation at every look */
    spec_init(&spec, "chatty",
              "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); "
              "[ $((i%500)) -ne 0 ] || sleep 0.5; done");
    spec.log_file_bytes_max = 4096;
    spec.log_file_count_max = 2;
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    (void)runtime_logs_open(fx.rt, "chatty", &options, on_record, on_end, &f);
    run_until(&fx, &f.ended);
    assert_int_equal(f.next, LINES);
    dir = path_of("%s/containers/chatty", fx.state_dir);
    assert_int_equal(log_oldest(dir.text), 1); /* it did rotate, and two are kept */
    fixture_deinit(&fx);
}

static void count_line(void *owner, enum stream_source source, wall_ns time, struct slice text,
                       bool partial)
{
    (void)source;
    (void)time;
    (void)text;
    (void)partial;
    ++*(int *)owner;
}

static void test_logs_are_read_and_go_on_while_the_daemon_is_down(void **state)
{
    struct logs_options options = { .tail = LOGS_TAIL_ALL };
    char message[RUNTIME_MESSAGE_MAX];
    struct container_spec spec;
    int before = 0, now = 0;

    NEED_CONTAINERS();
    fixture_init(&fx);
    fixture_import_busybox(&fx);
    spec_init(&spec, "steady", "while :; do echo tick; sleep 0.02; done");
    assert_int_equal(str_set(&spec.name, "clock"), 0);
    assert_int_equal(create_and_start(&fx, &spec, (char[1024]){ "" }), 0);
    fields_deinit(&container_spec_type, &spec);
    fixture_close(&fx);
    assert_int_equal(
        runtime_logs_offline(fx.state_dir, "clock", &options, count_line, &before, message), 0);
    for (int i = 0; now <= before + 5; i++) {
        assert_true(i < 3000);
        usleep(10000);
        now = 0;
        assert_int_equal(
            runtime_logs_offline(fx.state_dir, "stea", &options, count_line, &now, message), 0);
    }
    options.tail = 3;
    now = 0;
    assert_int_equal(
        runtime_logs_offline(fx.state_dir, "steady", &options, count_line, &now, message), 0);
    assert_in_range(now, 3, 4); /* it may say one more meanwhile */
    assert_int_equal(
        runtime_logs_offline(fx.state_dir, "other", &options, count_line, &now, message),
        ERR_NOT_FOUND);
    assert_non_null(strstr(message, "other"));
    fixture_open(&fx);
    fixture_deinit(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_log_is_rotated_at_its_size_and_no_more_than_the_count_are_kept),
        cmocka_unit_test(test_keeping_one_file_keeps_one),
        cmocka_unit_test(test_a_smaller_count_removes_what_is_beyond),
        cmocka_unit_test(test_a_monitor_that_was_not_told_is_told_in_the_next_round),
        cmocka_unit_test(test_a_reader_follows_across_rotations_line_by_line),
        cmocka_unit_test(test_a_reader_that_was_overtaken_goes_on_with_the_oldest_there_is),
        cmocka_unit_test(test_a_tail_reaches_back_into_rotated_files),
        cmocka_unit_test(test_records_are_chosen_by_stream_and_time),
        cmocka_unit_test(test_following_a_container_sees_each_line_once_however_often_it_rotates),
        cmocka_unit_test(test_logs_are_read_and_go_on_while_the_daemon_is_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
