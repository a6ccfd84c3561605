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

static void note(int journal, const char *what, const char *name)
{
    char line[128];
    int len = snprintf(line, sizeof(line), "%s %.64s\n", what, name);

    if (write(journal, line, (size_t)len) != len)
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
    note(s->journal, done[s->next], s->id);
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
        note(s->journal, "creating", s->id);
        runtime_container_create(rt, &spec, on_step, s);
        fields_deinit(&container_spec_type, &spec);
        break;
    case SLOT_START:
        runtime_container_start(rt, s->id, on_step, s);
        break;
    case SLOT_STOP:
        note(s->journal, "stopping", s->id);
        runtime_container_stop(rt, s->id, 9, 0, on_step, s);
        break;
    case SLOT_REMOVE:
        note(s->journal, "removing", s->id);
        runtime_container_remove(rt, s->id, REMOVE_STOPPED, on_step, s);
        break;
    }
}

/* Images come and go beside the containers: blobs, layers and names are at every stage. */
struct image_slot {
    struct fixture *fixture;
    int journal, round;
    char name[64], tar[128];
    bool is_there;
};

static void turn_image(struct image_slot *s);

static void on_image_removed(void *owner, int err, const char *message)
{
    struct image_slot *s = owner;

    if (err < 0) {
        dprintf(s->journal, "failed %s %s\n", s->name, message);
        _exit(1);
    }
    s->is_there = false;
    turn_image(s);
}

static void on_imported(void *owner, int err, const char *message, const struct image_info *image)
{
    struct image_slot *s = owner;

    (void)image;
    if (err < 0) {
        dprintf(s->journal, "failed %s %s\n", s->name, message);
        _exit(1);
    }
    note(s->journal, "imported", s->name);
    s->is_there = true;
    turn_image(s);
}

static void turn_image(struct image_slot *s)
{
    if (s->is_there) {
        note(s->journal, "untagging", s->name);
        runtime_image_remove(s->fixture->rt, s->name, on_image_removed, s);
        return;
    }
    (void)snprintf(s->name, sizeof(s->name), "i%dp%d", s->round++, (int)getpid());
    runtime_image_import(s->fixture->rt, s->tar, -1, s->name, NULL, on_imported, s);
}

static int be_victim(const char *dir, const char *cgroup_parent)
{
    static struct slot slots[SLOTS];
    static struct image_slot images;
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
    images = (struct image_slot){ .fixture = &f, .journal = journal };
    (void)snprintf(images.tar, sizeof(images.tar), "%s/other.tar", dir);
    turn_image(&images);
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

/* What the command prints. */
static size_t count_by(const char *command)
{
    unsigned long n = 0;
    FILE *p = popen(command, "r");

    if (p != NULL && fscanf(p, "%lu", &n) != 1)
        n = 0;
    if (p != NULL)
        pclose(p);
    return n;
}

static size_t count_conmons(void)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "ps -eo args= | grep -c '[c]onmon.*%s'", fx.run_dir);
    return count_by(command);
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

static void on_found(void *owner, int err, const char *message, const struct image_info *image)
{
    (void)image;
    on_waited(owner, err, message);
}

static void on_pruned(void *owner, int err, const char *message, uint64_t count, uint64_t bytes)
{
    (void)count;
    (void)bytes;
    on_waited(owner, err, message);
}

/* An image that was there is there, whole; and nothing stays of those that were half there. */
static void judge_images(const char *journal)
{
    struct waited pruned = { .fixture = &fx };
    char what[32], name[64], path[256];
    int used;

    for (const char *p = journal; sscanf(p, "%31s %63s\n%n", what, name, &used) == 2; p += used) {
        struct waited found = { .fixture = &fx }, removed = { .fixture = &fx };

        if (strcmp(what, "imported") != 0)
            continue;
        runtime_image_inspect(fx.rt, name, on_found, &found);
        (void)wait_call(&found);
        if (found.err < 0 && !journal_has(journal, "untagging", name))
            fail_msg("image %s is lost: %s", name, found.message);
        runtime_image_remove(fx.rt, name, on_waited, &removed);
        (void)wait_call(&removed); /* it may be gone */
    }
    runtime_image_prune(fx.rt, PRUNE_UNUSED, on_pruned, &pruned);
    assert_int_equal(wait_call(&pruned), 0);
    (void)snprintf(path, sizeof(path), "%s/layers", fx.state_dir);
    assert_int_equal(count_entries(path), 2); /* the directory of their names; the lowest of all */
    (void)snprintf(path, sizeof(path), "%s/layers/chain", fx.state_dir);
    assert_int_equal(count_entries(path), 0);
    (void)snprintf(path, sizeof(path), "find %s/blobs -type f | wc -l", fx.state_dir);
    assert_int_equal(count_by(path), 0);
    fixture_import_busybox(&fx); /* for the next round */
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
    judge_images(t.journal);
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

/* A layer of its own, so that it is unpacked each time. */
static void write_other_tar(void)
{
    char command[512];

    (void)snprintf(command, sizeof(command),
                   "mkdir -p %s/other/etc && seq 200000 >%s/other/etc/numbers && "
                   "cp /bin/busybox %s/other/ && tar -C %s/other -cf %s/other.tar .",
                   fx.dir, fx.dir, fx.dir, fx.dir, fx.dir);
    assert_int_equal(system(command), 0);
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
    write_other_tar();
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
