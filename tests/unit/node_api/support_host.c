/* A world with real containers, and scripts that talk to it. */
#include "tests/unit/node_api/support_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX (16 * MIB)

const char *world_host_missing(void)
{
    static const char *const programs[] = { "/usr/bin/crun", "/usr/bin/conmon", "/bin/busybox",
                                            "/usr/local/bin/docker" };

    if (geteuid() != 0)
        return "needs root";
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        if (access(programs[i], X_OK) < 0)
            return programs[i];
    }
    return NULL;
}

static void on_runtime_ready(void *owner, int err, const char *message)
{
    struct world *w = owner;

    if (err < 0)
        fail_msg("runtime: %s", message);
    w->runtime_ready = true;
}

static void on_runtime_event(void *owner, enum container_event_kind kind,
                             const struct container_info *info)
{
    struct world *w = owner;

    if (w->api != NULL)
        api_on_container(w->api, kind, info);
}

void world_open_host(struct world *w)
{
    char state_dir[96], run_dir[96], cgroup[64];
    struct cluster_spec spec = { 0 };
    struct runtime_config cfg = { .loop = &w->loop,
                                  .state_dir = state_dir,
                                  .run_dir = run_dir,
                                  .cgroup_parent = cgroup,
                                  .owner = w,
                                  .on_ready = on_runtime_ready,
                                  .on_event = on_runtime_event };

    world_prepare(w);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/shoal-api-%d", (int)getpid());
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", w->dir);
    (void)snprintf(run_dir, sizeof(run_dir), "%s/run", w->dir);
    (void)snprintf(cgroup, sizeof(cgroup), "/shoal-api-%d", (int)getpid());
    assert_int_equal(mkdir(w->dir, 0700), 0);
    assert_int_equal(runtime_open(&cfg, &w->rt), 0);
    while (!w->runtime_ready)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    world_open_api(w);
    world_make_cluster(w, &spec);
    free(run_script(w, "mkdir -p $DIR/root/bin && cp /bin/busybox $DIR/root/bin/ && "
                       "for p in sh cat echo sleep; do ln -s busybox $DIR/root/bin/$p; done; "
                       "tar -C $DIR/root -c . | docker import - busybox:latest"));
}

struct waited {
    bool done;
    int err;
    char message[512];
};

static void on_waited(void *owner, int err, const char *message)
{
    struct waited *d = owner;

    d->done = true;
    d->err = err;
    (void)snprintf(d->message, sizeof(d->message), "%s", message);
}

static void wait_for(struct world *w, struct waited *d)
{
    while (!d->done)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    if (d->err < 0)
        fail_msg("%s", d->message);
}

static void remove_container(void *owner, const struct container_info *info)
{
    struct waited *d = owner;

    (void)snprintf(d->message, sizeof(d->message), "%s", info->spec->id);
}

static void on_runtime_closed(void *owner)
{
    ((struct world *)owner)->runtime_closed = true;
}

/* Containers first: they would outlive the test. */
void world_close_host(struct world *w)
{
    char command[128];

    for (;;) {
        struct waited found = { 0 }, removed = { 0 };

        runtime_container_list(w->rt, remove_container, &found);
        if (found.message[0] == '\0')
            break;
        runtime_container_remove(w->rt, found.message, REMOVE_FORCE, on_waited, &removed);
        wait_for(w, &removed);
    }
    runtime_close(w->rt, on_runtime_closed, w);
    while (!w->runtime_closed)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    (void)snprintf(command, sizeof(command), "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

/* Processes are found by their control groups, which are this test's alone: /shoal-api-PID. */
int world_sweep_host(void **state)
{
    static const char script[] =
        "name=shoal-api-%d; dir=/tmp/$name; [ -d $dir ] || exit 0; "
        "groups=$(find /sys/fs/cgroup -depth -type d -path \"*/$name*\"); "
        "for g in $groups; do for p in $(cat $g/cgroup.procs); do kill -9 $p; done; done; "
        "sleep 0.2; umount -l $(awk -v d=$dir/ 'index($5, d) == 1 { print $5 }' "
        "/proc/self/mountinfo | sort -r); "
        "for g in $groups; do rmdir $g; done; rm -rf --one-file-system $dir $dir.sock";
    char command[sizeof(script) + 16];

    (void)state;
    (void)snprintf(command, sizeof(command), script, (int)getpid());
    return system(command) < 0 ? -1 : 0;
}

struct id world_start_task(struct world *w, const char *service, const char *command)
{
    const struct service *s =
        (const struct service *)(const void *)store_find_name(w->store, OBJECT_SERVICE, service);
    struct waited created = { 0 }, started = { 0 };
    struct container_spec spec = { 0 };
    struct transaction t = { 0 };
    struct task task = { 0 };
    uint8_t random[ID_RANDOM_LEN];
    struct id id;

    assert_non_null(s);
    prng_bytes(&w->prng, random, sizeof(random));
    id = task.id = id_from_random(random);
    assert_int_equal(str_set(&spec.id, task.id.text), 0);
    assert_int_equal(str_set(&spec.image, "busybox"), 0);
    assert_int_equal(str_list_append(&spec.command, "/bin/sh"), 0);
    assert_int_equal(str_list_append(&spec.command, "-c"), 0);
    assert_int_equal(str_list_append(&spec.command, command), 0);
    assert_int_equal(str_map_set(&spec.labels, "com.docker.swarm.service.name", service), 0);
    assert_int_equal(str_map_set(&spec.labels, "com.docker.swarm.task.id", spec.id), 0);
    runtime_container_create(w->rt, &spec, on_waited, &created);
    wait_for(w, &created);
    runtime_container_start(w->rt, spec.id, on_waited, &started);
    wait_for(w, &started);
    fields_deinit(&container_spec_type, &spec);

    task.service_id = s->id;
    task.node_id = w->node_id;
    task.slot = 1;
    task.desired_state = task.status.state = TASK_RUNNING;
    assert_int_equal(fields_copy(&task_spec_type, &s->spec.task, &task.spec), 0);
    assert_int_equal(str_set(&task.service_name, service), 0);
    assert_int_equal(
        transaction_create(&t, OBJECT_TASK, (const struct object *)(const void *)&task), 0);
    assert_int_equal(world_apply(w, &t), 0);
    fields_deinit(&task_type, &task);
    return id;
}

struct script {
    uv_process_t process;
    uv_pipe_t pipe;
    struct buf out;
    bool exited, read;
    int64_t status;
    unsigned open;
};

static void on_script_exit(uv_process_t *process, int64_t status, int signal)
{
    struct script *s = process->data;

    s->exited = true;
    s->status = signal != 0 ? 128 + signal : status;
}

static void on_script_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    *buf = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void on_script_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct script *s = stream->data;

    if (n > 0)
        assert_int_equal(buf_append(&s->out, buf->base, (size_t)n), 0);
    free(buf->base);
    s->read = s->read || n < 0;
}

static void on_script_closed(uv_handle_t *h)
{
    ((struct script *)h->data)->open--;
}

char *run_script(struct world *w, const char *script)
{
    struct script s = { .open = 2 };
    char host[128], dir[80];
    char *args[] = { (char[]){ "/bin/sh" }, (char[]){ "-ec" }, (char *)(uintptr_t)script, NULL };
    char *env[] = { host, dir, (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" },
                    (char[]){ "HOME=/nonexistent" }, NULL };
    uv_stdio_container_t stdio[3] = { { .flags = UV_IGNORE },
                                      { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
                                        .data.stream = (uv_stream_t *)&s.pipe },
                                      { .flags = UV_INHERIT_FD, .data.fd = 2 } };
    uv_process_options_t options = { .exit_cb = on_script_exit,
                                     .file = "/bin/sh",
                                     .args = args,
                                     .env = env,
                                     .stdio_count = 3,
                                     .stdio = stdio };
    char *text;

    (void)snprintf(host, sizeof(host), "DOCKER_HOST=unix://%s", w->socket);
    (void)snprintf(dir, sizeof(dir), "DIR=%s", w->dir);
    buf_init(&s.out, OUTPUT_MAX);
    assert_int_equal(uv_pipe_init(&w->loop, &s.pipe, 0), 0);
    s.pipe.data = s.process.data = &s;
    assert_int_equal(uv_spawn(&w->loop, &s.process, &options), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&s.pipe, on_script_alloc, on_script_read), 0);
    while (!s.exited || !s.read)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&s.pipe, on_script_closed);
    uv_close((uv_handle_t *)&s.process, on_script_closed);
    while (s.open > 0)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(buf_append_byte(&s.out, 0), 0);
    text = (char *)buf_take(&s.out, &(size_t){ 0 });
    if (s.status != 0)
        fail_msg("script failed with %d:\n%s\n%s", (int)s.status, script, text);
    return text;
}
