/* Children are started with posix_spawn, which does not copy the address space, get default
 * signal handling, and die with nobody: what must end is ended by name. */
#include "runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/units.h"

#define FDS_MAX 16

static mono_ns now_ns(void)
{
    struct timespec ts;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return (mono_ns)ts.tv_sec * NS_PER_S + (mono_ns)ts.tv_nsec;
}

/* Descriptors may stand in each other's way (ours 3 -> 4 and ours 4 -> 3), so all are first
 * lifted above every target. */
static int add_fds(posix_spawn_file_actions_t *actions, const struct process_fds *fds, size_t count)
{
    int lifted_from = 64;
    int rc = 0;

    for (int fd = 0; fd <= 2 && rc == 0; fd++)
        rc = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
    for (size_t i = 0; i < count && rc == 0; i++) {
        CHECK(fds[i].child_fd < lifted_from);
        rc = posix_spawn_file_actions_adddup2(actions, fds[i].our_fd, lifted_from + (int)i);
    }
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = posix_spawn_file_actions_adddup2(actions, lifted_from + (int)i, fds[i].child_fd);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = posix_spawn_file_actions_addclose(actions, lifted_from + (int)i);
    return -rc;
}

/* A crun that found NOTIFY_SOCKET would wait for the container to say that it is ready. */
int process_spawn(const char *const argv[], const char *dir, const char *const *variables,
                  const struct process_fds *fds, size_t fd_count, pid_t *out)
{
    char path[4096];
    const char *env[2 + PROCESS_VARIABLES_MAX + 1] = { path, "LC_ALL=C" };
    struct process_fds high[FDS_MAX];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    size_t high_count = 0;
    int rc = 0;

    CHECK(fd_count <= FDS_MAX);
    for (size_t i = 0; variables != NULL && variables[i] != NULL; i++) {
        CHECK(i < PROCESS_VARIABLES_MAX);
        env[2 + i] = variables[i];
    }
    (void)snprintf(path, sizeof(path), "PATH=%s",
                   getenv("PATH") == NULL ? "/usr/sbin:/usr/bin:/sbin:/bin" : getenv("PATH"));
    CHECK(posix_spawnattr_init(&attr) == 0);
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    sigemptyset(&none);
    sigfillset(&all);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    for (; high_count < fd_count && rc == 0; high_count++) { /* out of the way of the lifting */
        high[high_count].child_fd = fds[high_count].child_fd;
        high[high_count].our_fd = fcntl(fds[high_count].our_fd, F_DUPFD_CLOEXEC, 64 + FDS_MAX);
        if (high[high_count].our_fd < 0)
            rc = -errno;
    }
    if (rc == 0)
        rc = add_fds(&actions, high, fd_count);
    if (rc == 0 && dir != NULL)
        rc = -posix_spawn_file_actions_addchdir_np(&actions, dir);
    if (rc == 0) /* the casts: posix_spawn does not write to them, its type is older than const */
        rc = -posix_spawnp(out, argv[0], &actions, &attr, (char **)(uintptr_t)argv,
                           (char **)(uintptr_t)env);
    for (size_t i = 0; i < high_count; i++) {
        if (high[i].our_fd >= 0)
            close(high[i].our_fd);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rc;
}

static int reap(pid_t pid, int *out_status)
{
    while (waitpid(pid, out_status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int wait_readable(int fd, mono_ns deadline)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    for (;;) {
        mono_ns now = now_ns();
        uint64_t left_ms = deadline > now ? (deadline - now) / NS_PER_MS + 1 : 0;
        int n = poll(&p, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);

        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && now_ns() >= deadline)
            return -ETIMEDOUT;
    }
}

int process_wait_fd(int pidfd, uint64_t timeout_ms)
{
    return wait_readable(pidfd, mono_after(now_ns(), timeout_ms * NS_PER_MS));
}

int process_open_child(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : (int)fd;
}

int process_wait(pid_t pid, uint64_t timeout_ms, int *out_status)
{
    int pidfd = process_open_child(pid);
    int rc, reaped;

    if (pidfd < 0)
        return pidfd;
    rc = process_wait_fd(pidfd, timeout_ms);
    if (rc < 0)
        (void)kill(pid, SIGKILL); /* our own child, not yet reaped: the pid is still its */
    reaped = reap(pid, out_status);
    close(pidfd);
    return rc < 0 ? rc : reaped;
}

/* Keeps reading beyond the buffer's limit, so that the child never blocks on a full pipe. */
static int collect(int fd, mono_ns deadline, struct buf *output)
{
    for (;;) {
        char chunk[4096];
        ssize_t n;
        int rc = wait_readable(fd, deadline);

        if (rc < 0)
            return rc;
        n = read(fd, chunk, sizeof(chunk));
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && output->len < output->limit)
            (void)!buf_append(output, chunk, MIN((size_t)n, output->limit - output->len));
    }
}

int process_run(const char *const argv[], uint64_t timeout_ms, struct buf *output, int *out_status)
{
    mono_ns deadline = mono_after(now_ns(), timeout_ms * NS_PER_MS);
    int fds[2];
    pid_t pid;
    int rc, waited;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    rc = process_spawn(argv, NULL, NULL,
                       (const struct process_fds[]){ { .child_fd = 1, .our_fd = fds[1] },
                                                     { .child_fd = 2, .our_fd = fds[1] } },
                       2, &pid);
    close(fds[1]);
    if (rc == 0) {
        rc = collect(fds[0], deadline, output);
        waited = process_wait(pid, rc < 0 ? 0 : timeout_ms, out_status);
        if (rc == 0)
            rc = waited;
    }
    close(fds[0]);
    return rc;
}

int process_start_ticks(pid_t pid, uint64_t *out)
{
    char path[64], text[1024];
    const char *p;
    ssize_t len;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ESRCH;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (len <= 0)
        return -ESRCH;
    text[len] = '\0';
    p = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; p != NULL && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (p == NULL)
        return -ESRCH;
    *out = strtoull(p + 1, NULL, 10);
    return 0;
}

int process_open(pid_t pid, uint64_t start_ticks)
{
    uint64_t ticks = 0;
    int fd = pid <= 0 ? -ESRCH : process_open_child(pid);

    if (fd < 0)
        return -ESRCH;
    /* Asked after opening: if it is the one, the descriptor is of it and no later one. */
    if (process_start_ticks(pid, &ticks) < 0 || ticks != start_ticks) {
        close(fd);
        return -ESRCH;
    }
    return fd;
}

int process_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}
