/* Real containers: every rule here is about what a process in one sees and how its end is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "support_group.h"

/* Runs to the end and gives its output. */
static const struct container_info *run_spec(struct container_spec *spec, char *out, size_t cap)
{
    const struct container_info *info;
    char message[1024];

    if (create_and_start(&fx, spec, message) < 0)
        fail_msg("%s", message);
    info = wait_exited(&fx, spec->id);
    read_logs(&fx, spec->id, out, cap);
    fields_deinit(&container_spec_type, spec);
    return info;
}

static void test_output_and_exit_code(void **state)
{
    const struct container_info *info;
    struct container_spec spec;
    char out[4096];

    NEED_CONTAINERS();
    spec_init(&spec, "c1", "echo to out; echo to err >&2; exit 7");
    info = run_spec(&spec, out, sizeof(out));
    assert_int_equal(info->state, CONTAINER_EXITED);
    assert_int_equal(info->exit_code, 7);
    assert_int_equal(info->signal, 0);
    assert_non_null(strstr(out, "to out\n"));
    assert_non_null(strstr(out, "to err\n"));
    assert_int_equal(count_events(&fx, "c1", CONTAINER_EVENT_CREATED), 1);
    assert_int_equal(count_events(&fx, "c1", CONTAINER_EVENT_STARTED), 1);
    assert_int_equal(count_events(&fx, "c1", CONTAINER_EVENT_EXITED), 1);
}

/* What every container's mounts are put upon is shared: a start makes nothing of its own. */
static void test_a_start_writes_nothing_to_the_containers_layer(void **state)
{
    struct container_spec spec;
    char path[256], message[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "own", "exec sleep 1000");
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    (void)snprintf(path, sizeof(path), "%s/containers/own/upper", fx.state_dir);
    assert_int_equal(rmdir(path), 0); /* it is empty */
    remove_container(&fx, "own", REMOVE_FORCE);
}

static void test_a_started_container_waits_for_nobody(void **state)
{
    char path[256], command[512];

    NEED_CONTAINERS();
    start_forever(&fx, "going");
    (void)snprintf(path, sizeof(path), "%s/oci/going/exec.fifo", fx.run_dir);
    assert_int_not_equal(access(path, F_OK), 0);
    (void)snprintf(command, sizeof(command), "%.4s --root %s/oci state going | grep -q running",
                   runtime_host(fx.rt)->oci_runtime, fx.run_dir);
    assert_int_equal(system(command), 0);
    remove_container(&fx, "going", REMOVE_FORCE);
}

static void test_process_gets_user_env_dir_and_names(void **state)
{
    struct container_spec spec;
    char out[8192];

    NEED_CONTAINERS();
    spec_init(&spec, "c2", "id; pwd; env; hostname; cat /etc/hosts /etc/resolv.conf");
    assert_int_equal(str_set(&spec.user, "web"), 0);
    assert_int_equal(str_list_append(&spec.groups, "logs"), 0);
    assert_int_equal(str_list_append(&spec.env, "COLOR=blue"), 0);
    assert_int_equal(str_set(&spec.dir, "/made/here"), 0);
    assert_int_equal(str_set(&spec.hostname, "box"), 0);
    assert_int_equal(str_list_append(&spec.hosts, "10.1.2.3 db"), 0);
    assert_int_equal(str_list_append(&spec.dns_servers, "10.9.9.9"), 0);
    assert_int_equal(str_list_append(&spec.dns_search, "example.test"), 0);
    (void)run_spec(&spec, out, sizeof(out));
    assert_non_null(strstr(out, "uid=1000(web) gid=1001(web)"));
    assert_non_null(strstr(out, "2000(extra)"));
    assert_non_null(strstr(out, "2001(logs)"));
    assert_non_null(strstr(out, "/made/here\n"));
    assert_non_null(strstr(out, "COLOR=blue\n"));
    assert_non_null(strstr(out, "HOME=/home/web\n"));
    assert_non_null(strstr(out, "HOSTNAME=box\n"));
    assert_non_null(strstr(out, "\nbox\n"));
    assert_non_null(strstr(out, "10.1.2.3 db\n"));
    assert_non_null(strstr(out, "nameserver 10.9.9.9\nsearch example.test\n"));
}

static void test_sandbox_is_dockers(void **state)
{
    struct container_spec spec;
    char out[8192];

    NEED_CONTAINERS();
    spec_init(&spec, "c3",
              "exec 2>/dev/null;" /* two pipes have no order between them */
              "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status;"
              "ls /proc/kcore >/dev/null && head -c1 /proc/kcore | wc -c;"
              "echo x > /proc/sys/kernel/hostname || echo sys is read-only;"
              "mount -t tmpfs x /tmp || echo no mount;"
              "touch /file || echo root is read-only; echo y > /scratch/f && cat /scratch/f;"
              "ulimit -n; cat /proc/sys/net/ipv4/ip_unprivileged_port_start;"
              "cat /proc/self/oom_score_adj; ps | wc -l");
    spec.read_only = true;
    spec.no_new_privileges = true;
    spec.oom_score_adj = 321;
    add_mount(&spec, CONTAINER_MOUNT_TMPFS, NULL, "/scratch");
    struct container_ulimit *u = LIST_ADD(&spec.ulimits);
    assert_int_equal(str_set(&u->name, "nofile"), 0);
    u->soft = u->hard = 123;
    (void)run_spec(&spec, out, sizeof(out));
    assert_non_null(strstr(out, "CapBnd:\t00000000a80425fb\n")); /* Docker's fourteen */
    assert_non_null(strstr(out, "NoNewPrivs:\t1\n"));
    assert_non_null(strstr(out, "Seccomp:\t2\n"));
    assert_non_null(strstr(out, "\n0\n")); /* kcore is masked */
    assert_non_null(strstr(out, "sys is read-only"));
    assert_non_null(strstr(out, "no mount"));
    assert_non_null(strstr(out, "root is read-only"));
    assert_non_null(strstr(out, "\ny\n123\n0\n321\n"));
}

static void test_stop_sends_the_signal_and_waits(void **state)
{
    struct waited w = { .fixture = &fx };

    NEED_CONTAINERS();
    start_forever(&fx, "stop1");
    runtime_container_stop(fx.rt, "stop1", 0, UINT64_MAX, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    assert_int_equal(runtime_container_inspect(fx.rt, "stop1")->exit_code, 3);
    assert_int_equal(runtime_container_inspect(fx.rt, "stop1")->state, CONTAINER_EXITED);
    assert_no_traces(&fx, "stop1");
    assert_int_equal(count_events(&fx, "stop1", CONTAINER_EVENT_EXITED), 1);
}

static void test_stop_kills_after_the_grace(void **state)
{
    struct waited w = { .fixture = &fx };
    struct container_spec spec;
    char message[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "stop2", "trap '' TERM; while :; do sleep 0.05; done");
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    runtime_container_stop(fx.rt, "stop2", 0, 200 * NS_PER_MS, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    assert_int_equal(runtime_container_inspect(fx.rt, "stop2")->exit_code, 137);
    assert_int_equal(runtime_container_inspect(fx.rt, "stop2")->signal, 9);
    assert_false(runtime_container_inspect(fx.rt, "stop2")->oom_killed);
}

static void test_kill_reaches_a_container_whose_stop_waits(void **state)
{
    struct waited stop = { .fixture = &fx }, kill = { .fixture = &fx };
    struct container_spec spec;
    char message[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "kill1", "trap '' TERM; while :; do sleep 0.05; done");
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    runtime_container_stop(fx.rt, "kill1", 0, 60 * NS_PER_S, on_waited, &stop);
    runtime_container_kill(fx.rt, "kill1", 9, on_waited, &kill);
    assert_int_equal(wait_call(&kill), 0);
    assert_int_equal(wait_call(&stop), 0);
    kill = (struct waited){ .fixture = &fx };
    runtime_container_kill(fx.rt, "kill1", 9, on_waited, &kill);
    assert_int_equal(wait_call(&kill), ERR_CONFLICT);
}

static void test_an_exited_container_starts_again(void **state)
{
    struct waited w = { .fixture = &fx };
    struct container_spec spec;
    char out[256];

    NEED_CONTAINERS();
    spec_init(&spec, "again", "cat /mark 2>/dev/null || echo first; echo second > /mark");
    (void)run_spec(&spec, out, sizeof(out));
    assert_string_equal(out, "first\n");
    runtime_container_start(fx.rt, "again", on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    (void)wait_exited(&fx, "again");
    read_logs(&fx, "again", out, sizeof(out));
    assert_string_equal(out, "first\nsecond\n"); /* its writable layer stayed */
    assert_int_equal(count_events(&fx, "again", CONTAINER_EVENT_EXITED), 2);
}

static void test_memory_limit_ends_in_an_oom_kill(void **state)
{
    const struct container_info *info;
    struct container_spec spec;
    char out[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "oom", "exec tail /dev/zero");
    spec.limits.memory_bytes = 16 * 1024 * 1024;
    spec.limits.memory_swap_bytes = 16 * 1024 * 1024;
    info = run_spec(&spec, out, sizeof(out));
    assert_int_equal(info->exit_code, 137);
    assert_true(info->oom_killed);
    assert_int_equal(access("oom", F_OK), -1); /* the monitor writes it, not to where we are */
}

/* A crun that finds the variable would wait for the container to say that it is ready. */
static void test_what_a_service_manager_tells_us_is_not_passed_on(void **state)
{
    const struct container_info *info;
    struct container_spec spec;
    char out[1024];

    NEED_CONTAINERS();
    assert_int_equal(setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1), 0);
    spec_init(&spec, "notify", "env");
    info = run_spec(&spec, out, sizeof(out));
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(info->exit_code, 0);
    assert_null(strstr(out, "NOTIFY_SOCKET"));
}

static void test_limits_are_set(void **state)
{
    struct container_spec spec;
    char out[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "limits",
              "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max "
              "/sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null ||"
              "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max");
    spec.limits.nano_cpus = 250000000;
    spec.limits.pids = 77;
    spec.limits.memory_bytes = 64 * 1024 * 1024;
    (void)run_spec(&spec, out, sizeof(out));
    assert_non_null(strstr(out, "25000"));
    assert_non_null(strstr(out, "77\n67108864\n"));
}

static void add_file(struct container_file_list *files, const char *target, const char *text)
{
    struct container_file *file = LIST_ADD(files);

    assert_non_null(file);
    assert_int_equal(str_set(&file->target, target), 0);
    assert_int_equal(bytes_set(&file->bytes, slice_of_str(text)), 0);
    file->uid = 1000;
    file->gid = 1001;
    file->mode = 0440;
}

static void test_secrets_are_files_in_memory_only(void **state)
{
    struct container_spec spec;
    char out[1024], command[256];

    NEED_CONTAINERS();
    spec_init(&spec, "secret",
              "stat -c '%u %g %a' /run/secrets/key /etc/app.conf; cat /run/secrets/key "
              "/etc/app.conf; echo x > /run/secrets/key || echo cannot write");
    add_file(&spec.secrets, "/run/secrets/key", "hunter2-very-secret\n");
    add_file(&spec.configs, "/etc/app.conf", "setting=1\n");
    (void)run_spec(&spec, out, sizeof(out));
    assert_non_null(strstr(out, "1000 1001 440\n1000 1001 440\nhunter2-very-secret\nsetting=1\n"));
    assert_non_null(strstr(out, "cannot write"));
    (void)snprintf(command, sizeof(command), "grep -rqs --exclude=log hunter2 %s", fx.state_dir);
    assert_int_not_equal(system(command), 0);
}

static void test_a_new_volume_is_filled_from_the_image(void **state)
{
    struct container_spec spec;
    struct waited w = { .fixture = &fx };
    char out[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "vol1",
              "cat /data/from-image; stat -c %a /data/from-image; echo more > /data/new");
    add_mount(&spec, CONTAINER_MOUNT_VOLUME, "kept", "/data");
    (void)run_spec(&spec, out, sizeof(out));
    assert_string_equal(out, "hello\n640\n");
    spec_init(&spec, "vol2", "cat /v/from-image /v/new; touch /v/x || echo cannot write");
    add_mount(&spec, CONTAINER_MOUNT_VOLUME, "kept", "/v");
    spec.mounts.items[0].read_only = true;
    (void)run_spec(&spec, out, sizeof(out));
    assert_non_null(strstr(out, "hello\nmore\n"));
    assert_non_null(strstr(out, "cannot write"));
    runtime_volume_remove(fx.rt, "kept", on_waited, &w);
    assert_int_equal(wait_call(&w), ERR_IN_USE);
    remove_container(&fx, "vol1", REMOVE_STOPPED);
    remove_container(&fx, "vol2", REMOVE_FORCE_VOLUMES); /* a named one stays */
    w = (struct waited){ .fixture = &fx };
    runtime_volume_remove(fx.rt, "kept", on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    w = (struct waited){ .fixture = &fx };
    runtime_volume_remove(fx.rt, "kept", on_waited, &w);
    assert_int_equal(wait_call(&w), ERR_NOT_FOUND);
}

static void test_health_check_tells_healthy_from_unhealthy(void **state)
{
    struct container_spec spec;
    char message[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "health", "touch /ok; sleep 1000");
    spec.health_check = calloc(1, sizeof(*spec.health_check));
    assert_int_equal(str_list_append(&spec.health_check->test, "CMD-SHELL"), 0);
    assert_int_equal(str_list_append(&spec.health_check->test, "echo checked; test -e /ok"), 0);
    spec.health_check->interval = 50 * (int64_t)NS_PER_MS;
    spec.health_check->retries = 2;
    assert_int_equal(create_and_start(&fx, &spec, message), 0);
    fields_deinit(&container_spec_type, &spec);
    while (runtime_container_inspect(fx.rt, "health")->health != HEALTH_HEALTHY)
        uv_run(&fx.loop, UV_RUN_ONCE);
    assert_string_equal(runtime_container_inspect(fx.rt, "health")->health_output, "checked\n");
    assert_int_equal(exec_output(&fx, "health", "rm /ok", message, sizeof(message)), 0);
    while (runtime_container_inspect(fx.rt, "health")->health != HEALTH_UNHEALTHY)
        uv_run(&fx.loop, UV_RUN_ONCE);
    assert_true(runtime_container_inspect(fx.rt, "health")->failing_streak >= 2);
    remove_container(&fx, "health", REMOVE_FORCE);
}

static void test_pause_freezes_and_stop_thaws(void **state)
{
    struct waited w = { .fixture = &fx };

    NEED_CONTAINERS();
    start_forever(&fx, "pause");
    runtime_container_pause(fx.rt, "pause", on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
    assert_int_equal(runtime_container_inspect(fx.rt, "pause")->state, CONTAINER_PAUSED);
    w = (struct waited){ .fixture = &fx };
    runtime_container_pause(fx.rt, "pause", on_waited, &w);
    assert_int_equal(wait_call(&w), ERR_CONFLICT);
    w = (struct waited){ .fixture = &fx };
    runtime_container_stop(fx.rt, "pause", 0, UINT64_MAX, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    assert_int_equal(runtime_container_inspect(fx.rt, "pause")->exit_code, 3);
}

static void on_stats(void *owner, int err, const char *message, const struct container_stats *stats)
{
    if (err == 0) {
        assert_true(stats->memory_bytes > 0);
        assert_true(stats->pids >= 1);
        assert_true(stats->cpu_ns > 0);
        assert_true(stats->memory_limit_bytes > 0);
    }
    on_waited(owner, err, message);
}

static void test_stats_count(void **state)
{
    struct waited w = { .fixture = &fx };

    NEED_CONTAINERS();
    start_forever(&fx, "stats");
    runtime_container_stats(fx.rt, "stats", on_stats, &w);
    assert_int_equal(wait_call(&w), 0);
    remove_container(&fx, "stats", REMOVE_FORCE);
    w = (struct waited){ .fixture = &fx };
    runtime_container_stats(fx.rt, "stats", on_stats, &w);
    assert_int_equal(wait_call(&w), ERR_NOT_FOUND);
}

/* What cannot work names the thing, and leaves nothing behind. */
static void test_refusals_name_the_thing(void **state)
{
    struct container_spec spec;
    char message[1024];

    NEED_CONTAINERS();
    spec_init(&spec, "bad1", "true");
    assert_int_equal(str_set(&spec.image, "nosuch:1"), 0);
    assert_int_equal(create_and_start(&fx, &spec, message), ERR_NOT_FOUND);
    assert_non_null(strstr(message, "image nosuch:1"));
    assert_null(runtime_container_inspect(fx.rt, "bad1"));
    fields_deinit(&container_spec_type, &spec);

    spec_init(&spec, "bad2", "true");
    add_mount(&spec, CONTAINER_MOUNT_BIND, "/no/such/source", "/x");
    assert_int_equal(create_and_start(&fx, &spec, message), ERR_INVALID);
    assert_non_null(strstr(message, "/no/such/source"));
    fields_deinit(&container_spec_type, &spec);

    spec_init(&spec, "bad3", "true");
    assert_int_equal(str_set(&spec.command.items[0], "/no/such/program"), 0);
    assert_int_equal(create_and_start(&fx, &spec, message), ERR_INVALID);
    assert_non_null(strstr(message, "/no/such/program"));
    assert_int_equal(runtime_container_inspect(fx.rt, "bad3")->exit_code, 127);
    assert_string_equal(runtime_container_inspect(fx.rt, "bad3")->error, message);
    fields_deinit(&container_spec_type, &spec);

    spec_init(&spec, "bad4", "true");
    assert_int_equal(str_set(&spec.user, "nobody-here"), 0);
    assert_int_equal(create_and_start(&fx, &spec, message), ERR_INVALID);
    assert_non_null(strstr(message, "nobody-here"));
    fields_deinit(&container_spec_type, &spec);

    spec_init(&spec, "bad3", "true");
    assert_int_equal(create_and_start(&fx, &spec, message), ERR_EXISTS);
    fields_deinit(&container_spec_type, &spec);
}

/* Docker's exit codes, which scripts look at; the sentence names the program. */
static void test_a_program_that_cannot_run_is_told_as_docker_does(void **state)
{
    static const struct {
        const char *program;
        int exit_code;
    } cases[] = {
        { "nosuch", 127 },
        { "/no/such", 127 },
        { "/data/from-image", 126 },
        { "/bin", 126 },
    };
    char message[1024], id[16];
    struct container_spec spec;

    NEED_CONTAINERS();
    start_forever(&fx, "has");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].program);
        (void)snprintf(id, sizeof(id), "hasnot%zu", i);
        spec_init(&spec, id, "true");
        assert_int_equal(str_set(&spec.command.items[0], cases[i].program), 0);
        assert_int_equal(create_and_start(&fx, &spec, message), ERR_INVALID);
        assert_non_null(strstr(message, cases[i].program));
        assert_int_equal(runtime_container_inspect(fx.rt, id)->exit_code, cases[i].exit_code);
        fields_deinit(&container_spec_type, &spec);
        assert_int_equal(exec_program(&fx, "has", cases[i].program, message, sizeof(message)),
                         cases[i].exit_code);
    }
    assert_int_equal(exec_output(&fx, "has", "exit 255", message, sizeof(message)), 255);
    remove_container(&fx, "has", REMOVE_FORCE);
}

static void test_a_name_is_taken_once(void **state)
{
    struct waited one = { .fixture = &fx }, two = { .fixture = &fx };
    struct container_spec spec;

    NEED_CONTAINERS();
    spec_init(&spec, "name1", "true");
    assert_int_equal(str_set(&spec.name, "web.1"), 0);
    runtime_container_create(fx.rt, &spec, on_waited, &one);
    assert_int_equal(str_set(&spec.id, "name2"), 0);
    runtime_container_create(fx.rt, &spec, on_waited, &two); /* while the first is being made */
    assert_int_equal(wait_call(&one), 0);
    assert_int_equal(wait_call(&two), ERR_EXISTS);
    assert_non_null(strstr(two.message, "web.1"));
    assert_non_null(runtime_container_inspect(fx.rt, "web.1"));
    fields_deinit(&container_spec_type, &spec);
}

static void test_logs_tail_and_stream_choice(void **state)
{
    struct container_spec spec;
    char out[4096];

    NEED_CONTAINERS();
    spec_init(&spec, "logs", "for i in 1 2 3 4 5; do echo $i; done");
    spec.log_file_bytes_max = 1;
    (void)run_spec(&spec, out, sizeof(out));
    assert_string_equal(out, "1\n2\n3\n4\n5\n");
}

#define TEST(name) cmocka_unit_test(test_##name)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(output_and_exit_code),
        TEST(a_start_writes_nothing_to_the_containers_layer),
        TEST(a_started_container_waits_for_nobody),
        TEST(process_gets_user_env_dir_and_names),
        TEST(sandbox_is_dockers),
        TEST(stop_sends_the_signal_and_waits),
        TEST(stop_kills_after_the_grace),
        TEST(kill_reaches_a_container_whose_stop_waits),
        TEST(an_exited_container_starts_again),
        TEST(memory_limit_ends_in_an_oom_kill),
        TEST(what_a_service_manager_tells_us_is_not_passed_on),
        TEST(limits_are_set),
        TEST(secrets_are_files_in_memory_only),
        TEST(a_new_volume_is_filled_from_the_image),
        TEST(health_check_tells_healthy_from_unhealthy),
        TEST(pause_freezes_and_stop_thaws),
        TEST(stats_count),
        TEST(refusals_name_the_thing),
        TEST(a_program_that_cannot_run_is_told_as_docker_does),
        TEST(a_name_is_taken_once),
        TEST(logs_tail_and_stream_choice),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
