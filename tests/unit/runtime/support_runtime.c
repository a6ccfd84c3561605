#include "support_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "base/err.h"

#define BUSYBOX "/bin/busybox"

const char *fixture_missing(void)
{
    if (geteuid() != 0)
        return "needs root";
    if (access("/usr/bin/crun", X_OK) < 0 && access("/usr/sbin/runc", X_OK) < 0)
        return "needs crun or runc";
    if (access("/usr/bin/conmon", X_OK) < 0)
        return "needs conmon";
    if (access(BUSYBOX, X_OK) < 0)
        return "needs busybox-static";
    return NULL;
}

/* --- The loop */

static void on_hang(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void ignore_close(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

void run_until(struct fixture *f, const bool *flag)
{
    bool hung = false, closed = false;
    uv_timer_t timer;

    assert_int_equal(uv_timer_init(&f->loop, &timer), 0);
    timer.data = &hung;
    assert_int_equal(uv_timer_start(&timer, on_hang, 60000, 0), 0);
    while (!*flag && !hung)
        uv_run(&f->loop, UV_RUN_ONCE);
    timer.data = &closed;
    uv_close((uv_handle_t *)&timer, ignore_close);
    while (!closed)
        uv_run(&f->loop, UV_RUN_ONCE);
    if (hung)
        fail_msg("nothing happened for 60 s");
}

void on_waited(void *owner, int err, const char *message)
{
    struct waited *w = owner;

    assert_false(w->done); /* exactly once */
    w->done = true;
    w->err = err;
    (void)snprintf(w->message, sizeof(w->message), "%s", message);
    if (err == 0)
        assert_string_equal(message, "");
    else
        assert_true(message[0] != '\0');
}

int wait_call(struct waited *w)
{
    run_until(w->fixture, &w->done);
    return w->err;
}

/* --- Opening and closing */

static void on_ready(void *owner, int err, const char *message)
{
    struct fixture *f = owner;

    f->ready = true;
    f->ready_err = err;
    (void)snprintf(f->ready_message, sizeof(f->ready_message), "%s", message);
}

static void on_event(void *owner, enum container_event_kind kind, const struct container_info *info)
{
    struct fixture *f = owner;
    struct noted_event *e = &f->events[f->event_count];

    if (f->event_count + 1 < EVENTS_MAX)
        f->event_count++;
    e->kind = kind;
    (void)snprintf(e->id, sizeof(e->id), "%s", info->spec->id);
    e->exit_code = info->exit_code;
    e->signal = info->signal;
    e->oom_killed = info->oom_killed;
    e->state = info->state;
    e->health = info->health;
    if (f->hook != NULL)
        f->hook(f, kind, info);
}

void fixture_open(struct fixture *f)
{
    struct runtime_config config = { .loop = &f->loop,
                                     .state_dir = f->state_dir,
                                     .run_dir = f->run_dir,
                                     .cgroup_parent = f->cgroup_parent,
                                     .oci_runtime = f->oci_runtime,
                                     .insecure_registries = f->insecure,
                                     .owner = f,
                                     .on_ready = on_ready,
                                     .on_event = on_event };

    f->ready = f->closed = false;
    assert_int_equal(runtime_open(&config, &f->rt), 0);
    run_until(f, &f->ready);
    if (f->ready_err == ERR_UNSUPPORTED) {
        (void)fprintf(stderr, "skipped: %s\n", f->ready_message);
        exit(77); /* this machine cannot run containers */
    }
    if (f->ready_err < 0)
        fail_msg("open: %s", f->ready_message);
}

void fixture_init(struct fixture *f)
{
    fixture_init_with(f, NULL);
}

void fixture_init_with(struct fixture *f, const char *oci_runtime)
{
    static int number;

    memset(f, 0, sizeof(*f));
    f->oci_runtime = oci_runtime;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/shoal-test-%d-%d", (int)getpid(), ++number);
    (void)snprintf(f->state_dir, sizeof(f->state_dir), "%s/state", f->dir);
    (void)snprintf(f->run_dir, sizeof(f->run_dir), "%s/run", f->dir);
    (void)snprintf(f->cgroup_parent, sizeof(f->cgroup_parent), "/shoal-test-%d-%d", (int)getpid(),
                   number);
    fixture_open(f);
}

static void on_closed(void *owner)
{
    ((struct fixture *)owner)->closed = true;
}

void fixture_close(struct fixture *f)
{
    runtime_close(f->rt, on_closed, f);
    run_until(f, &f->closed);
    f->rt = NULL;
}

static void note_id(void *owner, const struct container_info *info)
{
    char(*ids)[65] = owner;

    for (size_t i = 0; i < 512; i++) {
        if (ids[i][0] == '\0') {
            (void)snprintf(ids[i], sizeof(ids[i]), "%s", info->spec->id);
            return;
        }
    }
}

static int remove_path(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    (void)st;
    (void)flag;
    (void)where;
    return remove(path);
}

void fixture_deinit(struct fixture *f)
{
    static char ids[513][65];

    memset(ids, 0, sizeof(ids));
    if (f->rt == NULL)
        fixture_open(f);
    runtime_container_list(f->rt, note_id, ids);
    for (size_t i = 0; ids[i][0] != '\0'; i++) {
        struct waited w = { .fixture = f };

        runtime_container_remove(f->rt, ids[i], REMOVE_FORCE_VOLUMES, on_waited, &w);
        assert_int_equal(wait_call(&w), 0);
    }
    fixture_close(f);
    assert_int_equal(uv_loop_close(&f->loop), 0); /* nothing of the runtime is left in it */
    (void)nftw(f->dir, remove_path, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    assert_int_not_equal(access(f->dir, F_OK), 0); /* nor on the host */
}

/* --- Images */

static void add_entry(struct archive *a, const char *name, mode_t type, mode_t mode,
                      const char *target, const void *bytes, size_t len)
{
    struct archive_entry *e = archive_entry_new();

    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, type);
    archive_entry_set_perm(e, mode);
    archive_entry_set_size(e, (la_int64_t)len);
    archive_entry_set_mtime(e, 1700000000, 0);
    if (target != NULL)
        archive_entry_set_symlink(e, target);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    if (len > 0)
        assert_int_equal(archive_write_data(a, bytes, len), (la_ssize_t)len);
    archive_entry_free(e);
}

void write_busybox_tar(const char *path)
{
    static const char *const dirs[] = { "bin", "etc", "proc", "sys", "dev", "root", "var", "data" };
    static const char *const applets[] = { "sh",    "ls",   "cat",    "sleep", "echo",  "true",
                                           "false", "id",   "env",    "touch", "mkdir", "rm",
                                           "kill",  "ps",   "mount",  "head",  "dd",    "hostname",
                                           "stat",  "grep", "wc",     "test",  "ip",    "tail",
                                           "stty",  "pwd",  "ulimit", "seq",   "date",  "nc" };
    static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                                 "web:x:1000:1001:web:/home/web:/bin/sh\n";
    static const char group[] = "root:x:0:\nweb:x:1001:\nextra:x:2000:web\nlogs:x:2001:\n";
    struct archive *a = archive_write_new();
    struct stat st;
    char name[64];
    void *bytes;
    int fd = open(BUSYBOX, O_RDONLY);

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    bytes = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    assert_int_equal(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        add_entry(a, dirs[i], AE_IFDIR, 0755, NULL, NULL, 0);
    add_entry(a, "tmp", AE_IFDIR, 01777, NULL, NULL, 0);
    add_entry(a, "bin/busybox", AE_IFREG, 0755, NULL, bytes, (size_t)st.st_size);
    for (size_t i = 0; i < sizeof(applets) / sizeof(applets[0]); i++) {
        (void)snprintf(name, sizeof(name), "bin/%s", applets[i]);
        add_entry(a, name, AE_IFLNK, 0777, "busybox", NULL, 0);
    }
    add_entry(a, "etc/passwd", AE_IFREG, 0644, NULL, passwd, sizeof(passwd) - 1);
    add_entry(a, "etc/group", AE_IFREG, 0644, NULL, group, sizeof(group) - 1);
    add_entry(a, "data/from-image", AE_IFREG, 0640, NULL, "hello\n", 6);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    free(bytes);
}

static void on_image(void *owner, int err, const char *message, const struct image_info *image)
{
    (void)image;
    on_waited(owner, err, message);
}

void fixture_import_busybox(struct fixture *f)
{
    struct waited w = { .fixture = f };
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/busybox.tar", f->dir);
    write_busybox_tar(path);
    runtime_image_import(f->rt, path, -1, "busybox", "{\"Cmd\": [\"sh\"]}", on_image, &w);
    if (wait_call(&w) < 0)
        fail_msg("import: %s", w.message);
}

/* --- Containers */

void spec_init(struct container_spec *spec, const char *id, const char *shell_command)
{
    memset(spec, 0, sizeof(*spec));
    assert_int_equal(str_set(&spec->id, id), 0);
    assert_int_equal(str_set(&spec->image, "busybox"), 0);
    assert_int_equal(str_list_append(&spec->command, "sh"), 0);
    assert_int_equal(str_list_append(&spec->command, "-c"), 0);
    assert_int_equal(str_list_append(&spec->command, shell_command), 0);
}

int create_and_start(struct fixture *f, const struct container_spec *spec, char message[1024])
{
    struct waited created = { .fixture = f }, started = { .fixture = f };

    runtime_container_create(f->rt, spec, on_waited, &created);
    if (wait_call(&created) < 0) {
        (void)strcpy(message, created.message);
        return created.err;
    }
    runtime_container_start(f->rt, spec->id, on_waited, &started);
    (void)wait_call(&started);
    (void)strcpy(message, started.message);
    return started.err;
}

const struct container_info *wait_exited(struct fixture *f, const char *id)
{
    struct waited w = { .fixture = f };

    runtime_container_wait(f->rt, id, on_waited, &w);
    assert_int_equal(wait_call(&w), 0);
    return runtime_container_inspect(f->rt, id);
}

void add_mount(struct container_spec *spec, enum container_mount_kind kind, const char *source,
               const char *target)
{
    struct container_mount *m = LIST_ADD(&spec->mounts);

    assert_non_null(m);
    m->kind = kind;
    assert_int_equal(str_set(&m->source, source), 0);
    assert_int_equal(str_set(&m->target, target), 0);
}

void start_forever(struct fixture *f, const char *id)
{
    struct container_spec spec;
    char message[1024];

    spec_init(&spec, id, "trap 'exit 3' TERM; touch /up; while :; do sleep 0.05; done");
    if (create_and_start(f, &spec, message) < 0)
        fail_msg("%s", message);
    fields_deinit(&container_spec_type, &spec);
    while (exec_output(f, id, "test -e /up", message, sizeof(message)) != 0)
        ; /* until the trap is set: process 1 ignores the signal before */
}

void assert_no_traces(const struct fixture *f, const char *id)
{
    static const char *const controllers[] = { "", "/memory", "/pids", "/devices", "/systemd" };
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/oci/%s", f->run_dir, id);
    assert_int_not_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof(path), "%s/containers/%s", f->run_dir, id);
    assert_int_not_equal(access(path, F_OK), 0);
    for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
        (void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s%s/%s", controllers[i],
                       f->cgroup_parent, id);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

void remove_container(struct fixture *f, const char *id, enum container_remove how)
{
    struct waited w = { .fixture = f };

    runtime_container_remove(f->rt, id, how, on_waited, &w);
    if (wait_call(&w) < 0)
        fail_msg("%s", w.message);
}

size_t count_events(const struct fixture *f, const char *id, enum container_event_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < f->event_count; i++)
        n += f->events[i].kind == kind && strcmp(f->events[i].id, id) == 0;
    return n;
}

struct text_sink {
    struct waited waited;
    char *out;
    size_t len, cap;
    int exit_code;
};

static void add_text(struct text_sink *s, struct slice text)
{
    size_t len = text.len < s->cap - 1 - s->len ? text.len : s->cap - 1 - s->len;

    memcpy(s->out + s->len, text.ptr, len);
    s->len += len;
    s->out[s->len] = '\0';
}

static void on_record(void *owner, enum stream_source source, wall_ns time, struct slice text,
                      bool partial)
{
    (void)source;
    (void)partial;
    assert_true(time > 0);
    add_text(owner, text);
}

static void on_logs_end(void *owner, int err, const char *message)
{
    on_waited(&((struct text_sink *)owner)->waited, err, message);
}

void read_logs(struct fixture *f, const char *id, char *out, size_t cap)
{
    struct text_sink s = { .waited = { .fixture = f }, .out = out, .cap = cap };
    struct logs_options options = { .tail = LOGS_TAIL_ALL };

    out[0] = '\0';
    runtime_logs_open(f->rt, id, &options, on_record, on_logs_end, &s);
    assert_int_equal(wait_call(&s.waited), 0);
}

static void on_output(void *owner, enum stream_source source, struct slice bytes)
{
    (void)source;
    add_text(owner, bytes);
}

static void on_exec_end(void *owner, int err, const char *message, int exit_code)
{
    struct text_sink *s = owner;

    s->exit_code = exit_code;
    if (err < 0)
        add_text(s, slice_of_str(message));
    on_waited(&s->waited, err, message);
}

static int exec_argv(struct fixture *f, const char *id, const char *const argv[], char *out,
                     size_t cap)
{
    struct text_sink s = { .waited = { .fixture = f }, .out = out, .cap = cap };
    struct exec_spec spec = { .argv = argv };
    const struct stream_callbacks callbacks = { .owner = &s,
                                                .on_output = on_output,
                                                .on_end = on_exec_end };

    out[0] = '\0';
    (void)runtime_exec(f->rt, id, &spec, &callbacks);
    (void)wait_call(&s.waited);
    return s.waited.err < 0 ? s.waited.err : s.exit_code;
}

int exec_output(struct fixture *f, const char *id, const char *shell_command, char *out, size_t cap)
{
    return exec_argv(f, id, (const char *const[]){ "sh", "-c", shell_command, NULL }, out, cap);
}

int exec_program(struct fixture *f, const char *id, const char *program, char *out, size_t cap)
{
    return exec_argv(f, id, (const char *const[]){ program, NULL }, out, cap);
}
