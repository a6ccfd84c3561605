/* A daemon that is killed at any moment loses no container and leaves no orphan. A second process
 * works containers and images and notes what it was told is done; it is killed with SIGKILL
 * somewhere; then the runtime is opened again here and held against the notes.
 *
 * CRASHES sets the number of kills, SEED the moments. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/prng.h"
#include "support_runtime.h"

#define SLOTS           4
#define DEFAULT_CRASHES 8

static struct fixture fx;

/* --- The process that is killed */

struct slot {
    struct fixture *fixture;
    int journal, number, round;
    char id[32];
    enum { SLOT_CREATE, SLOT_START, SLOT_STOP, SLOT_REMOVE } next;
};

static void note(const struct slot *s, const char *what)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "%s %s\n", what, s->id);

    if (write(s->journal, line, (size_t)len) != len)
        abort();
}

static void go_on(struct slot *s);

static void on_step(void *owner, int err, const char *message)
{
    static const char *const done[] = { "created", "started", "stopped", "removed" };
    struct slot *s = owner;

    if (err < 0) {
        dprintf(s->journal, "failed %s %s\n", s->id, message);
        _exit(1);
    }
    note(s, done[s->next]);
    s->next = (s->next + 1) % 4;
    go_on(s);
}

static void go_on(struct slot *s)
{
    struct runtime *rt = s->fixture->rt;
    struct container_spec spec;

    switch (s->next) {
    case SLOT_CREATE:
        (void)snprintf(s->id, sizeof(s->id), "s%dr%dp%d", s->number, s->round++, (int)getpid());
        spec_init(&spec, s->id, "trap 'exit 0' TERM; while :; do sleep 0.02; done");
        note(s, "creating");
        runtime_container_create(rt, &spec, on_step, s);
        fields_deinit(&container_spec_type, &spec);
        break;
    case SLOT_START:
        runtime_container_start(rt, s->id, on_step, s);
        break;
    case SLOT_STOP:
        note(s, "stopping");
        runtime_container_stop(rt, s->id, 9, 0, on_step, s);
        break;
    case SLOT_REMOVE:
        note(s, "removing");
        runtime_container_remove(rt, s->id, REMOVE_STOPPED, on_step, s);
        break;
    }
}

static int be_victim(const char *dir, const char *cgroup_parent)
{
    static struct slot slots[SLOTS];
    static struct fixture f;
    char path[128];
    int journal;

    (void)snprintf(path, sizeof(path), "%s/journal", dir);
    journal = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)snprintf(f.dir, sizeof(f.dir), "%s", dir);
    (void)snprintf(f.state_dir, sizeof(f.state_dir), "%s/state", dir);
    (void)snprintf(f.run_dir, sizeof(f.run_dir), "%s/run", dir);
    (void)snprintf(f.cgroup_parent, sizeof(f.cgroup_parent), "%s", cgroup_parent);
    if (journal < 0 || uv_loop_init(&f.loop) < 0)
        return 1;
    fixture_open(&f);
    if (write(journal, "ready -\n", 8) != 8)
        return 1;
    for (int i = 0; i < SLOTS; i++) {
        slots[i] = (struct slot){ .fixture = &f, .journal = journal, .number = i };
        go_on(&slots[i]);
    }
    return uv_run(&f.loop, UV_RUN_DEFAULT); /* until it is killed */
}

/* --- The judge */

static bool journal_has(const char *text, const char *what, const char *id)
{
    char line[128];

    (void)snprintf(line, sizeof(line), "%s %s\n", what, id);
    return strstr(text, line) != NULL;
}

static char *read_journal(void)
{
    static char text[1 << 20];
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/journal", fx.dir);
    f = fopen(path, "r");
    text[f == NULL ? 0 : fread(text, 1, sizeof(text) - 1, f)] = '\0';
    if (f != NULL)
        (void)fclose(f); /* read only */
    return text;
}

static void wait_for_ready(pid_t pid)
{
    for (int i = 0; i < 6000; i++) {
        if (strstr(read_journal(), "ready") != NULL)
            return;
        if (waitpid(pid, NULL, WNOHANG) == pid)
            fail_msg("the victim ended by itself: %s", read_journal());
        usleep(5000);
    }
    fail_msg("the victim is not ready after 30 s");
}

static size_t count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    size_t n = 0;

    while (d != NULL && (e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

static size_t count_conmons(void)
{
    char command[256];
    unsigned long n = 0;
    FILE *p;

    (void)snprintf(command, sizeof(command), "ps -eo args= | grep -c '[c]onmon.*%s'", fx.run_dir);
    p = popen(command, "r");
    if (p != NULL && fscanf(p, "%lu", &n) != 1)
        n = 0;
    if (p != NULL)
        pclose(p);
    return n;
}

struct tally {
    const char *journal;
    size_t running, all;
    char ids[64][65];
};

static void judge_container(void *owner, const struct container_info *info)
{
    struct tally *t = owner;
    const char *id = info->spec->id;

    assert_true(t->all < 64);
    (void)snprintf(t->ids[t->all++], sizeof(t->ids[0]), "%s", id);
    t->running += info->state == CONTAINER_RUNNING;
    assert_true(journal_has(t->journal, "creating", id));
    assert_false(journal_has(t->journal, "removed", id));
    if (journal_has(t->journal, "started", id) && !journal_has(t->journal, "stopping", id) &&
        info->state != CONTAINER_RUNNING)
        fail_msg("%s was started and is not running: %d %s", id, info->exit_code, info->error);
}

/* Created, and nobody began to remove it: so it must be there. */
static void judge_losses(const char *journal)
{
    char what[32], id[64];
    int used;

    for (const char *p = journal; sscanf(p, "%31s %63s\n%n", what, id, &used) == 2; p += used) {
        if (strcmp(what, "failed") == 0)
            fail_msg("the victim: %s", p);
        if (strcmp(what, "created") == 0 && !journal_has(journal, "removing", id) &&
            runtime_container_inspect(fx.rt, id) == NULL)
            fail_msg("container %s is lost", id);
    }
}

static void note_stopping(void *owner, const struct container_info *info)
{
    struct tally *t = owner;

    if (info->state == CONTAINER_RUNNING && journal_has(t->journal, "stopping", info->spec->id))
        (void)snprintf(t->ids[t->all++], sizeof(t->ids[0]), "%s", info->spec->id);
}

/* Those whose stop was under way may or may not have got the signal: this ends the doubt. */
static void settle(const char *journal)
{
    struct tally t = { .journal = journal };

    runtime_container_list(fx.rt, note_stopping, &t);
    for (size_t i = 0; i < t.all; i++) {
        struct waited w = { .fixture = &fx };

        runtime_container_stop(fx.rt, t.ids[i], 9, 0, on_waited, &w);
        assert_int_equal(wait_call(&w), 0);
    }
}

static void judge(void)
{
    struct tally t = { .journal = read_journal() };
    char path[160], out[64];

    fixture_open(&fx);
    settle(t.journal);
    runtime_container_list(fx.rt, judge_container, &t);
    judge_losses(t.journal);
    for (size_t i = 0; i < t.all; i++) {
        if (runtime_container_inspect(fx.rt, t.ids[i])->state == CONTAINER_RUNNING)
            assert_int_equal(exec_output(&fx, t.ids[i], "true", out, sizeof(out)), 0);
    }
    (void)snprintf(path, sizeof(path), "%s/containers", fx.run_dir);
    assert_int_equal(count_entries(path), t.running);
    assert_int_equal(count_conmons(), t.running);
    (void)snprintf(path, sizeof(path), "%s/oci", fx.run_dir);
    assert_int_equal(count_entries(path), t.running);
    (void)snprintf(path, sizeof(path), "%s/containers", fx.state_dir);
    assert_int_equal(count_entries(path), t.all);
    for (size_t i = 0; i < t.all; i++) {
        struct waited w = { .fixture = &fx };

        runtime_container_remove(fx.rt, t.ids[i], REMOVE_FORCE, on_waited, &w);
        assert_int_equal(wait_call(&w), 0);
    }
    fixture_close(&fx);
    if (count_conmons() != 0) {
        char command[256];

        (void)snprintf(command, sizeof(command), "ps -eo pid,ppid,stat,etime,args | grep %s",
                       fx.run_dir);
        (void)!system(command);
        fail_msg("a monitor is left; journal:\n%s", t.journal);
    }
    (void)snprintf(path, sizeof(path), "%s/journal", fx.dir);
    (void)unlink(path);
}

static void test_killed_at_any_moment(void **state)
{
    const char *crashes_text = getenv("CRASHES"), *seed_text = getenv("SEED");
    int crashes = crashes_text == NULL ? DEFAULT_CRASHES : atoi(crashes_text);
    uint64_t seed = seed_text == NULL ? (uint64_t)time(NULL) : strtoull(seed_text, NULL, 10);
    struct prng prng;

    (void)state;
    if (fixture_missing() != NULL) {
        print_message("skipped: %s\n", fixture_missing());
        skip();
    }
    print_message("SEED=%llu CRASHES=%d\n", (unsigned long long)seed, crashes);
    prng_init(&prng, seed);
    fixture_init(&fx);
    fixture_import_busybox(&fx);
    fixture_close(&fx);
    for (int i = 0; i < crashes; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            execl("/proc/self/exe", "test_crash", "--victim", fx.dir, fx.cgroup_parent,
                  (char *)NULL);
            _exit(127);
        }
        wait_for_ready(pid);
        usleep((useconds_t)prng_below(&prng, 400000)); /* the moment is what is random */
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        judge();
    }
    fixture_deinit(&fx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_any_moment),
    };

    if (argc == 4 && strcmp(argv[1], "--victim") == 0)
        return be_victim(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
