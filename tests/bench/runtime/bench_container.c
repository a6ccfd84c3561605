/* How fast containers come and go: one at a time, in turns with crun alone, and a hundred at once.
 * Prints one line per figure: name, median, unit, range. Arguments: [COUNT [many]], how many are a
 * hundred, and whether to leave out the single ones. As root, with crun, conmon and
 * busybox-static. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/runtime/support_runtime.h"

#define SINGLE_ROUNDS 40
#define MANY_MAX      1000

static struct fixture fx;

static double since_ms(uint64_t start)
{
    return (double)(uv_hrtime() - start) / 1e6;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void spec_of(struct container_spec *spec, const char *prefix, int i)
{
    char id[64];

    (void)snprintf(id, sizeof(id), "%s%d", prefix, i);
    spec_init(spec, id, "trap 'exit 0' TERM; sleep 1000 & wait");
}

static void call_one(void (*call)(struct runtime *rt, const char *id, runtime_done done,
                                  void *owner),
                     const char *id)
{
    struct waited w = { .fixture = &fx };

    call(fx.rt, id, on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
}

static void stop(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    runtime_container_stop(rt, id, 0, UINT64_MAX, done, owner);
}

static void remove_it(struct runtime *rt, const char *id, runtime_done done, void *owner)
{
    runtime_container_remove(rt, id, REMOVE_FORCE, done, owner);
}

/* --- The same container by the OCI runtime alone: no image, no monitor, no record. It lives in the
 * runtime's own view of mounts, so a child does it, one container for each byte that it is sent. */

struct bare_times {
    double create_and_start, removal;
};

struct bare {
    const char *bundle;
    int ask, answer; /* pipes */
    pid_t pid;
};

static double spawn_and_wait(const char *const argv[])
{
    uint64_t start = uv_hrtime();
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;

    (void)posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd <= 2; fd++) /* its output would keep ours open */
        (void)posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0)
        fail_msg("%s %s: status 0x%x", argv[0], argv[3], (unsigned)status);
    (void)posix_spawn_file_actions_destroy(&actions);
    return since_ms(start);
}

/* Ours, with a directory as its root file system. `compiled`: with the program of the system call
 * filter, else crun compiles the profile. */
static void write_bare_bundle(const char *bundle, const char *of, bool compiled)
{
    char path[256], command[1024];
    json_t *config;

    (void)snprintf(command, sizeof(command),
                   "mkdir -p %s/root && tar -xf %s/busybox.tar -C %s/root", bundle, fx.dir, bundle);
    assert_int_equal(system(command), 0);
    (void)snprintf(path, sizeof(path), "%s/containers/%s/config.json", fx.run_dir, of);
    config = json_load_file(path, 0, NULL);
    assert_non_null(config);
    if (!compiled)
        (void)json_object_del(config, "annotations");
    (void)snprintf(path, sizeof(path), "%s/root", bundle);
    (void)json_object_set_new(json_object_get(config, "root"), "path", json_string(path));
    (void)snprintf(path, sizeof(path), "%s/bare", fx.cgroup_parent);
    (void)json_object_set_new(json_object_get(config, "linux"), "cgroupsPath", json_string(path));
    (void)snprintf(path, sizeof(path), "%s/config.json", bundle);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
}

static void bare_main(const char *bundle, int ask, int answer)
{
    char view[256], root[256], byte;
    int fd;

    (void)snprintf(view, sizeof(view), "%s/ns/mnt", fx.run_dir);
    (void)snprintf(root, sizeof(root), "%s/oci", bundle);
    fd = open(view, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && setns(fd, CLONE_NEWNS) < 0) /* hosts with both cgroup versions */
        fail_msg("%s cannot be entered", view);
    while (read(ask, &byte, 1) == 1) {
        const char *const create[] = { "crun",     "--root", root,   "create",
                                       "--bundle", bundle,   "bare", NULL };
        const char *const start[] = { "crun", "--root", root, "start", "bare", NULL };
        const char *const delete[] = { "crun", "--root", root, "delete", "--force", "bare", NULL };
        struct bare_times times;

        times.create_and_start = spawn_and_wait(create) + spawn_and_wait(start);
        usleep(50000); /* as ours */
        times.removal = spawn_and_wait(delete);
        assert_int_equal(write(answer, &times, sizeof(times)), sizeof(times));
    }
}

static void bare_open(struct bare *b, const char *bundle, const char *of, bool compiled)
{
    int ask[2], answer[2];

    b->bundle = bundle;
    write_bare_bundle(bundle, of, compiled);
    assert_true(pipe2(ask, O_CLOEXEC) == 0 && pipe2(answer, O_CLOEXEC) == 0);
    (void)fflush(stdout);
    b->pid = fork();
    if (b->pid == 0) {
        close(ask[1]);
        bare_main(bundle, ask[0], answer[1]);
        _exit(0);
    }
    close(ask[0]);
    close(answer[1]);
    b->ask = ask[1];
    b->answer = answer[0];
}

static struct bare_times bare_run(const struct bare *b)
{
    struct bare_times times;

    assert_int_equal(write(b->ask, "", 1), 1);
    if (read(b->answer, &times, sizeof(times)) != sizeof(times))
        fail_msg("crun alone in %s: see above", b->bundle);
    return times;
}

static void bare_close(struct bare *b)
{
    char command[256];
    int status = -1;

    close(b->ask);
    close(b->answer);
    assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
    assert_int_equal(status, 0);
    (void)snprintf(command, sizeof(command), "rm -rf %s", b->bundle);
    assert_int_equal(system(command), 0);
}

/* --- One at a time. Ours and crun alone take turns, so that what else the machine does falls on
 * all of them, and the difference is taken pair by pair. */

struct single_times {
    double create, start, both, stop, removal;
};

static struct single_times run_single(int i)
{
    struct single_times t;
    struct waited w = { .fixture = &fx };
    struct container_spec spec;
    uint64_t t0, t1;

    spec_of(&spec, "one", i);
    t0 = uv_hrtime();
    runtime_container_create(fx.rt, &spec, on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
    t1 = uv_hrtime();
    call_one(runtime_container_start, spec.id);
    t.create = (double)(t1 - t0) / 1e6;
    t.start = since_ms(t1);
    t.both = since_ms(t0);
    usleep(50000); /* lets the shell set its trap; not measured */
    t0 = uv_hrtime();
    call_one(stop, spec.id);
    t.stop = since_ms(t0);
    t0 = uv_hrtime();
    call_one(remove_it, spec.id);
    t.removal = since_ms(t0);
    fields_deinit(&container_spec_type, &spec);
    return t;
}

static void print_median(const char *what, const double *values)
{
    double sorted[SINGLE_ROUNDS];

    memcpy(sorted, values, sizeof(sorted));
    qsort(sorted, SINGLE_ROUNDS, sizeof(*sorted), compare_doubles);
    printf("%-34s%8.1f ms   (%.1f to %.1f)\n", what, sorted[SINGLE_ROUNDS / 2], sorted[0],
           sorted[SINGLE_ROUNDS - 1]);
}

static void bench_single(void)
{
    static double create[SINGLE_ROUNDS], start[SINGLE_ROUNDS], both[SINGLE_ROUNDS],
        ended[SINGLE_ROUNDS], removal[SINGLE_ROUNDS], bare[SINGLE_ROUNDS], compiling[SINGLE_ROUNDS],
        bare_removal[SINGLE_ROUNDS], beyond[SINGLE_ROUNDS];
    char message[1024], bundle[2][128];
    struct container_spec spec;
    struct bare alone, compiler;

    spec_of(&spec, "model", 0);
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    (void)snprintf(bundle[0], sizeof(bundle[0]), "%s/bare", fx.dir);
    (void)snprintf(bundle[1], sizeof(bundle[1]), "%s/bare-compiling", fx.dir);
    bare_open(&alone, bundle[0], spec.id, true);
    bare_open(&compiler, bundle[1], spec.id, false);
    for (int i = 0; i < SINGLE_ROUNDS; i++) {
        struct single_times t = run_single(i);
        struct bare_times crun = bare_run(&alone);

        compiling[i] = bare_run(&compiler).create_and_start;
        create[i] = t.create;
        start[i] = t.start;
        both[i] = t.both;
        ended[i] = t.stop;
        removal[i] = t.removal;
        bare[i] = crun.create_and_start;
        bare_removal[i] = crun.removal;
        beyond[i] = t.both - crun.create_and_start;
    }
    bare_close(&compiler);
    bare_close(&alone);
    remove_container(&fx, spec.id, REMOVE_FORCE);
    fields_deinit(&container_spec_type, &spec);
    print_median("create, one", create);
    print_median("start, one", start);
    print_median("create and start, one", both);
    print_median("crun alone, create and start", bare);
    print_median("beyond crun alone", beyond);
    print_median("crun alone that compiles seccomp", compiling);
    print_median("stop, one", ended);
    print_median("remove, one", removal);
    print_median("crun alone, kill and delete", bare_removal);
}

/* --- Many at once */

struct many {
    char id[64];
    struct waited waited;
    bool start; /* go on with a start */
};

static size_t pending;
static bool all_done;

static void on_many(void *owner, int err, const char *message)
{
    struct many *m = owner;

    if (err < 0)
        fail_msg("%s: %s", m->id, message);
    if (m->start) {
        m->start = false;
        runtime_container_start(fx.rt, m->id, on_many, m);
        return;
    }
    if (--pending == 0)
        all_done = true;
}

static uint64_t resident_kib_of_children(void)
{
    FILE *p =
        popen("ps -eo rss=,args= | awk '/[c]onmon.*shoal-test/ {s += $1} END {print s + 0}'", "r");
    uint64_t kib = 0;

    if (p != NULL && fscanf(p, "%lu", &kib) != 1)
        kib = 0;
    if (p != NULL)
        pclose(p);
    return kib;
}

static void bench_many(int count)
{
    static struct many many[MANY_MAX];
    uint64_t t0 = uv_hrtime();
    double started, ended;

    pending = (size_t)count;
    all_done = false;
    for (int i = 0; i < count; i++) {
        struct container_spec spec;

        spec_of(&spec, "many", i);
        (void)snprintf(many[i].id, sizeof(many[i].id), "%s", spec.id);
        many[i].start = true;
        runtime_container_create(fx.rt, &spec, on_many, &many[i]);
        fields_deinit(&container_spec_type, &spec);
    }
    run_until(&fx, &all_done);
    started = since_ms(t0);
    printf("create and start, %4d            %8.1f ms\n", count, started);
    printf("monitors' memory, %4d            %8.1f KiB each\n", count,
           (double)resident_kib_of_children() / count);
    usleep(500000); /* until the shells have set their traps; not measured */
    t0 = uv_hrtime();
    pending = (size_t)count * 2;
    all_done = false;
    for (int i = 0; i < count; i++) {
        runtime_container_stop(fx.rt, many[i].id, 0, UINT64_MAX, on_many, &many[i]);
        runtime_container_remove(fx.rt, many[i].id, REMOVE_STOPPED, on_many, &many[i]);
    }
    run_until(&fx, &all_done);
    ended = since_ms(t0);
    printf("stop and remove, %4d             %8.1f ms\n", count, ended);
}

/* On a host with systemd /run lies in memory, and so does the bundle of a container. */
static void move_run_dir_to_memory(void)
{
    fixture_close(&fx); /* leaves nothing of it */
    (void)snprintf(fx.run_dir, sizeof(fx.run_dir), "/dev/shm/shoal-bench-%d", (int)getpid());
    fixture_open(&fx);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 100;
    char command[256];

    if (fixture_missing() != NULL) {
        printf("skipped: %s\n", fixture_missing());
        return 77;
    }
    fixture_init(&fx);
    move_run_dir_to_memory();
    fixture_import_busybox(&fx);
    if (argc < 3 || strcmp(argv[2], "many") != 0)
        bench_single();
    bench_many(count > MANY_MAX ? MANY_MAX : count);
    fixture_deinit(&fx);
    (void)snprintf(command, sizeof(command), "rm -rf %s", fx.run_dir);
    return system(command);
}
