/* conmon waits until it is told through a pipe that it is in the control group where it belongs,
 * forks itself away, runs `create`, and tells through another: {"data": PID} or
 * {"data": -1, "message": what the OCI runtime printed}. From then on it is the container's
 * parent, writes its logs, and at the end its exit status. */
#include "runtime/oci.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/err.h"
#include "base/log.h"
#include "base/units.h"
#include "runtime/limits.h"
#include "runtime/process.h"

#define SYNC_FD  3
#define LOCK_FD  4
#define START_FD 5

bool oci_find_program(const char *name, char *out, size_t cap)
{
    const char *path = getenv("PATH");

    if (name[0] == '/') {
        (void)snprintf(out, cap, "%s", name);
        return strlen(name) < cap && access(name, X_OK) == 0;
    }
    if (path == NULL)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    while (*path != '\0') {
        size_t len = strcspn(path, ":");

        if (len > 0 && snprintf(out, cap, "%.*s/%s", (int)len, path, name) < (int)cap &&
            access(out, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

static void read_version(struct oci *oci)
{
    const char *argv[] = { program_to_run(&oci->runtime), "--version", NULL };
    struct buf output;
    int status;

    buf_init(&output, COMMAND_OUTPUT_MAX);
    if (process_run(argv, COMMAND_TIMEOUT_MS, &output, &status) == 0 &&
        buf_append_byte(&output, '\0') == 0) {
        /* "crun version 1.8.1\n.." */
        char name[32], number[32];

        if (sscanf((const char *)output.ptr, "%31s version %31s", name, number) == 2)
            (void)snprintf(oci->version, sizeof(oci->version), "%s %s", name, number);
    }
    buf_deinit(&output);
}

/* Some hosts forbid to execute from memory (vm.memfd_noexec), so the copy must prove itself. */
static void read_version_and_copy(struct oci *oci)
{
    int rc = program_copy(&oci->runtime);

    read_version(oci);
    if (rc < 0 || oci->version[0] == '\0') {
        log_info("runtime", "%s is run from its file, which takes longer: %s", oci->runtime.path,
                 rc < 0 ? err_text(rc) : "a copy in memory does not run");
        program_drop_copy(&oci->runtime);
        read_version(oci);
    }
    if (oci->version[0] == '\0')
        (void)snprintf(oci->version, sizeof(oci->version), "%s",
                       strrchr(oci->runtime.path, '/') + 1);
    oci->is_crun = strncmp(oci->version, "crun", 4) == 0;
}

int oci_init(struct oci *oci, const char *runtime, const char *conmon, const char *run_dir,
             struct fault *f)
{
    char *path = oci->runtime.path;
    bool found;
    int rc;

    found = oci_find_program(runtime == NULL ? "crun" : runtime, path, sizeof(oci->runtime.path));
    if (!found && runtime == NULL)
        found = oci_find_program("runc", path, sizeof(oci->runtime.path));
    if (!found)
        return fault_set(f, ERR_NOT_FOUND,
                         "OCI runtime %s: not found in PATH; install crun or runc",
                         runtime == NULL ? "crun" : runtime);
    if (!oci_find_program(conmon == NULL ? "conmon" : conmon, oci->conmon, sizeof(oci->conmon)))
        return fault_set(f, ERR_NOT_FOUND, "%s: not found in PATH; install conmon",
                         conmon == NULL ? "conmon" : conmon);
    oci->root = path_of("%s/oci", run_dir);
    rc = dir_make(oci->root.text, 0700);
    if (rc < 0)
        return fault_system(f, rc, "%s", oci->root.text);
    read_version_and_copy(oci);
    return 0;
}

void oci_deinit(struct oci *oci)
{
    program_drop_copy(&oci->runtime);
}

/* The last line that the OCI runtime printed, without its time stamp and name. */
static const char *last_words(char *text)
{
    char *line, *end = text + strlen(text);

    while (end > text && (end[-1] == '\n' || end[-1] == ' '))
        *--end = '\0';
    line = strrchr(text, '\n');
    line = line == NULL ? text : line + 1;
    if (strncmp(line, "20", 2) == 0 && strstr(line, "Z: ") != NULL) /* 2026-11-23T..Z: cause */
        line = strstr(line, "Z: ") + 3;
    return *line == '\0' ? "it said nothing" : line;
}

static int run_oci(const struct oci *oci, const char *const *args, size_t count, struct buf *output,
                   int *out_status, struct fault *f)
{
    const char *argv[16] = { program_to_run(&oci->runtime), "--root", oci->root.text };
    int rc;

    memcpy(argv + 3, args, count * sizeof(*args));
    argv[3 + count] = NULL;
    rc = process_run(argv, COMMAND_TIMEOUT_MS, output, out_status);
    if (rc == 0)
        rc = buf_append_byte(output, '\0');
    return rc < 0 ? fault_system(f, rc, "%s %s", oci->runtime.path, args[0]) : 0;
}

static int run_checked(const struct oci *oci, const char *const *args, size_t count,
                       const char *command, struct fault *f)
{
    struct buf output;
    int status, rc;

    buf_init(&output, COMMAND_OUTPUT_MAX + 1);
    rc = run_oci(oci, args, count, &output, &status, f);
    if (rc == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        rc = fault_set(f, ERR_INVALID, "%s: %s", command, last_words((char *)output.ptr));
    buf_deinit(&output);
    return rc;
}

int oci_command(const struct oci *oci, const char *command, const char *id, struct fault *f)
{
    return run_checked(oci, (const char *const[]){ command, id }, 2, command, f);
}

/* What `crun start` does for a container that has no hooks: its first process waits for a byte. The
 * byte comes before the name goes: whoever finds the name takes the container for not started. */
static int release_waiting(const struct oci *oci, const char *id)
{
    struct path fifo = path_of("%s/%s/exec.fifo", oci->root.text, id);
    int fd = open(fifo.text, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* fails when nobody reads */
    struct stat st;
    int rc = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
        rc = -EINVAL;
    else if (write(fd, "", 1) != 1 || unlink(fifo.text) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

int oci_start(const struct oci *oci, const char *id, struct fault *f)
{
    if (oci->is_crun && release_waiting(oci, id) == 0)
        return 0;
    return oci_command(oci, "start", id, f); /* it knows better, also what is wrong */
}

int oci_delete(const struct oci *oci, const char *id, struct fault *f)
{
    struct path state = path_of("%s/%s", oci->root.text, id);

    if (access(state.text, F_OK) < 0)
        return 0;
    return run_checked(oci, (const char *const[]){ "delete", "--force", id }, 3, "delete", f);
}

enum oci_status oci_status(const struct oci *oci, const char *id)
{
    static const struct {
        const char *text;
        enum oci_status status;
    } known[] = { { "created", OCI_CREATED },
                  { "running", OCI_RUNNING },
                  { "paused", OCI_PAUSED },
                  { "stopped", OCI_STOPPED } };
    enum oci_status found = OCI_UNKNOWN;
    struct fault ignored;
    struct buf output;
    const char *text;
    json_t *state;
    int status;

    buf_init(&output, COMMAND_OUTPUT_MAX + 1);
    if (run_oci(oci, (const char *const[]){ "state", id }, 2, &output, &status, &ignored) == 0) {
        state = json_loads((const char *)output.ptr, JSON_DISABLE_EOF_CHECK, NULL);
        text = json_string_value(json_object_get(state, "status"));
        for (size_t i = 0; text != NULL && i < ARRAY_LEN(known); i++)
            found = strcmp(text, known[i].text) == 0 ? known[i].status : found;
        json_decref(state);
    }
    buf_deinit(&output);
    return found;
}

/* --- Create */

static void conmon_argv(const struct oci *oci, const struct oci_create *a, const char **argv,
                        struct path *pid_file, struct path *conmon_pid_file, struct path *log)
{
    size_t n = 0;

    *pid_file = path_of("%s/pid", a->bundle);
    *conmon_pid_file = path_of("%s/conmon.pid", a->bundle);
    *log = path_of("k8s-file:%s", a->log_path == NULL ? "/dev/null" : a->log_path);
    argv[n++] = oci->conmon;
    argv[n++] = "--api-version";
    argv[n++] = "1";
    argv[n++] = "--cid";
    argv[n++] = a->id;
    argv[n++] = "--cuuid";
    argv[n++] = a->id;
    argv[n++] = "--name";
    argv[n++] = a->id;
    argv[n++] = "--runtime";
    argv[n++] = program_to_run(&oci->runtime);
    argv[n++] = "--runtime-arg=--root";
    argv[n++] = "--runtime-arg";
    argv[n++] = oci->root.text;
    argv[n++] = "--bundle";
    argv[n++] = a->bundle;
    argv[n++] = "--container-pidfile";
    argv[n++] = pid_file->text;
    argv[n++] = "--conmon-pidfile";
    argv[n++] = conmon_pid_file->text;
    argv[n++] = "--exit-dir";
    argv[n++] = a->exit_dir;
    argv[n++] = "--log-path";
    argv[n++] = log->text;
    argv[n++] = "--full-attach";
    argv[n++] = "--no-sync-log";
    if (a->tty)
        argv[n++] = "--terminal";
    if (a->open_stdin)
        argv[n++] = "--stdin";
    if (a->open_stdin && !a->stdin_once)
        argv[n++] = "--leave-stdin-open";
    argv[n] = NULL;
}

/* Takes it out of our own control group before it has children, then lets it go on. */
static int place_conmon(const struct oci_create *a, pid_t pid, int start_fd, struct fault *f)
{
    int rc = conmon_cgroup_add(a->monitors, pid, f);

    if (rc == 0 && write(start_fd, "", 1) < 0)
        rc = fault_system(f, -errno, "conmon's start");
    if (rc < 0)
        (void)kill(pid, SIGKILL); /* our own child, not yet reaped */
    return rc;
}

static int spawn_conmon(const struct oci *oci, const struct oci_create *a, int sync_fd,
                        struct fault *f)
{
    static const char *const variables[] = { "_OCI_SYNCPIPE=3", "_OCI_STARTPIPE=5", NULL };
    struct path pid_file, conmon_pid_file, log;
    const char *argv[40];
    int start[2], status, rc, placed = 0;
    pid_t pid;

    static_assert(SYNC_FD == 3 && START_FD == 5, "as the variables say");
    conmon_argv(oci, a, argv, &pid_file, &conmon_pid_file, &log);
    if (pipe2(start, O_CLOEXEC) < 0)
        return fault_system(f, -errno, "pipe");
    /* In the bundle, because that is where conmon writes that memory ran out: to "oom". */
    rc = process_spawn(argv, a->bundle, variables,
                       (const struct process_fds[]){
                           { SYNC_FD, sync_fd }, { LOCK_FD, a->lock_fd }, { START_FD, start[0] } },
                       3, &pid);
    close(start[0]);
    if (rc == 0) {
        placed = place_conmon(a, pid, start[1], f);
        rc = process_wait(pid, COMMAND_TIMEOUT_MS, &status);
    }
    close(start[1]);
    if (rc < 0)
        return fault_system(f, rc, "%s", oci->conmon);
    if (placed == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        return fault_set(f, ERR_INVALID, "conmon: ended with status 0x%x", (unsigned)status);
    return placed;
}

/* One line of JSON, or the end of the pipe when conmon died. */
static int read_sync(int fd, struct buf *line)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    for (;;) {
        char c[1024];
        ssize_t n;
        int ready = poll(&p, 1, COMMAND_TIMEOUT_MS);

        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && errno != EINTR)
            return -errno;
        n = ready < 0 ? 0 : read(fd, c, sizeof(c));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && ready > 0)
            return 0;
        if (n > 0 && buf_append(line, c, (size_t)n) < 0)
            return ERR_TOO_LARGE;
        if (n > 0 && memchr(c, '\n', (size_t)n) != NULL)
            return 0;
    }
}

static int parse_sync(const struct buf *line, pid_t *out, struct fault *f)
{
    json_t *answer = json_loadb((const char *)line->ptr, line->len, 0, NULL);
    const char *message = json_string_value(json_object_get(answer, "message"));
    json_int_t data = json_integer_value(json_object_get(answer, "data"));
    char copy[COMMAND_OUTPUT_MAX];
    int rc = 0;

    if (data > 0) {
        *out = (pid_t)data;
    } else {
        (void)snprintf(copy, sizeof(copy), "%s", message == NULL ? "" : message);
        rc =
            fault_set(f, ERR_INVALID, "%s", answer == NULL ? "the monitor died" : last_words(copy));
    }
    json_decref(answer);
    return rc;
}

static int read_pid_file(const char *bundle, pid_t *out)
{
    struct path p = path_of("%s/conmon.pid", bundle);
    struct buf text;
    int rc;

    buf_init(&text, 64);
    rc = file_read(AT_FDCWD, p.text, &text);
    if (rc == 0)
        rc = buf_append_byte(&text, '\0');
    if (rc == 0)
        *out = (pid_t)strtol((const char *)text.ptr, NULL, 10);
    buf_deinit(&text);
    return rc == 0 && *out <= 0 ? -ESRCH : rc;
}

int oci_create(const struct oci *oci, const struct oci_create *args, struct oci_created *out,
               struct fault *f)
{
    struct oci_created created = { 0 };
    struct buf line;
    int fds[2], rc;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return fault_system(f, -errno, "pipe");
    buf_init(&line, COMMAND_OUTPUT_MAX);
    rc = spawn_conmon(oci, args, fds[1], f);
    close(fds[1]);
    if (rc == 0) {
        rc = read_sync(fds[0], &line);
        rc = rc < 0 ? fault_system(f, rc, "conmon") : parse_sync(&line, &created.pid, f);
    }
    if (rc == 0) {
        rc = read_pid_file(args->bundle, &created.conmon_pid);
        if (rc < 0)
            fault_system(f, rc, "conmon's pid file");
    }
    close(fds[0]);
    buf_deinit(&line);
    if (rc == 0)
        *out = created;
    return rc;
}

void oci_exec_argv(const struct oci *oci, const struct oci_exec *exec,
                   const char *argv[OCI_EXEC_ARGV_MAX])
{
    size_t n = 0;

    argv[n++] = program_to_run(&oci->runtime);
    argv[n++] = "--root";
    argv[n++] = oci->root.text;
    argv[n++] = "exec";
    argv[n++] = "--process";
    argv[n++] = exec->process_path;
    argv[n++] = "--pid-file";
    argv[n++] = exec->pid_path;
    if (exec->console_socket != NULL) {
        argv[n++] = "--console-socket";
        argv[n++] = exec->console_socket;
    }
    argv[n++] = exec->id;
    argv[n] = NULL;
}
