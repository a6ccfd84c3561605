/* Opening a stream, on a thread: the OCI runtime's `exec` with its pipes or its terminal, or the
 * connection to conmon's socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "runtime/process.h"
#include "runtime/stream.h"

#define PROCESS_JSON_MAX (4 * MIB)

static int exec_argv(struct runtime_stream *s, const char *const **out)
{
    const char **argv = calloc(s->argv.count + s->env.count + 2, sizeof(*argv));

    if (argv == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < s->argv.count; i++)
        argv[i] = s->argv.items[i] == NULL ? "" : s->argv.items[i];
    for (size_t i = 0; i < s->env.count; i++)
        argv[s->argv.count + 1 + i] = s->env.items[i];
    *out = argv;
    return 0;
}

static int write_process(struct runtime_stream *s, const char *path)
{
    const struct container *c = s->container;
    const char *user_text = s->user != NULL ? s->user : spec_user_text(&c->record.spec, &c->image);
    struct user *user = calloc(1, sizeof(*user));
    const char *const *argv = NULL;
    struct spec_exec exec;
    struct spec_input in;
    struct buf text;
    int rc = user == NULL ? -ENOMEM : exec_argv(s, &argv);

    buf_init(&text, PROCESS_JSON_MAX);
    if (rc < 0)
        fault_system(&s->fault, rc, "exec");
    if (rc == 0)
        rc = launch_user(c, user_text, &c->record.spec.groups, user, &s->fault);
    if (rc == 0) {
        launch_spec_input(c, &in);
        exec = (struct spec_exec){ .argv = argv,
                                   .env = argv + s->argv.count + 1,
                                   .dir = s->dir,
                                   .user = user,
                                   .tty = s->tty,
                                   .rows = s->rows,
                                   .columns = s->columns };
        rc = spec_exec_json(&in, &exec, &text, &s->fault);
    }
    if (rc == 0) {
        rc = file_write(path, buf_slice(&text), 0600);
        if (rc < 0)
            fault_system(&s->fault, rc, "%s", path);
    }
    buf_deinit(&text);
    free((void *)(uintptr_t)argv);
    free(user);
    return rc;
}

static int listen_console(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    int fd;

    if (len >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, len + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

static int receive_fd(int connection)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char text[64];
    struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
    struct msghdr message = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *header;
    int fd;

    if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) <= 0)
        return -EPIPE;
    header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_type != SCM_RIGHTS)
        return -EPIPE;
    memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return fd;
}

/* The terminal, or an error when the runtime ended without sending one. */
static int accept_console(int listener, int pidfd)
{
    struct pollfd polls[2] = { { .fd = listener, .events = POLLIN },
                               { .fd = pidfd, .events = POLLIN } };
    int connection, fd;

    while (poll(polls, 2, COMMAND_TIMEOUT_MS) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    if (polls[0].revents == 0)
        return -EPIPE;
    connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        return -errno;
    fd = receive_fd(connection);
    close(connection);
    return fd;
}

void stream_set_size(int fd, uint16_t rows, uint16_t columns)
{
    struct winsize size = { .ws_row = rows, .ws_col = columns };

    if (rows > 0 && columns > 0)
        (void)ioctl(fd, TIOCSWINSZ, &size); /* a courtesy */
}

void stream_kill_child(struct runtime_stream *s)
{
    int status;

    (void)kill(s->pid, SIGKILL); /* our child, not reaped: the pid is its */
    (void)!process_wait(s->pid, COMMAND_TIMEOUT_MS, &status);
}

static int spawn(struct runtime_stream *s, const char *console)
{
    const char *argv[OCI_EXEC_ARGV_MAX];
    struct process_fds fds[3];
    int ends[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
    size_t count = 0;
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++) {
        if (console != NULL && i < 2)
            continue;
        if (i == 0 && !s->open_stdin)
            continue;
        if (pipe2(ends[i], O_CLOEXEC) < 0) {
            rc = -errno;
            break;
        }
        fds[count++] = (struct process_fds){ i, ends[i][i == 0 ? 0 : 1] };
        s->fds[i] = ends[i][i == 0 ? 1 : 0];
    }
    oci_exec_argv(&s->rt->oci,
                  &(struct oci_exec){ .id = s->id,
                                      .process_path = s->process_path.text,
                                      .pid_path = s->pid_path.text,
                                      .console_socket = console },
                  argv);
    if (rc == 0)
        rc = process_spawn(argv, NULL, NULL, fds, count, &s->pid);
    for (int i = 0; i < 3; i++) {
        int theirs = ends[i][i == 0 ? 0 : 1];

        if (theirs >= 0)
            close(theirs);
    }
    if (rc < 0)
        return fault_system(&s->fault, rc, "%s exec", s->rt->oci.runtime.path);
    s->pidfd = process_open_child(s->pid);
    return s->pidfd < 0 ? fault_system(&s->fault, s->pidfd, "exec") : 0;
}

static int open_exec(struct runtime_stream *s)
{
    struct container *c = s->container;
    struct path console = path_of("%s/tty.%p", s->rt->run_dir.text, (void *)s);
    int listener = -1;
    int rc;

    s->process_path = path_of("%s/exec.%p", c->run_dir.text, (void *)s);
    s->pid_path = path_of("%s/pid.%p", c->run_dir.text, (void *)s);
    rc = write_process(s, s->process_path.text);

    if (rc < 0)
        return rc;
    if (s->tty) {
        listener = listen_console(console.text);
        if (listener < 0)
            rc = fault_system(&s->fault, listener, "%s", console.text);
    }
    if (rc == 0)
        rc = spawn(s, s->tty ? console.text : NULL);
    if (rc == 0 && s->tty) {
        int fd = accept_console(listener, s->pidfd);

        if (fd >= 0) {
            s->fds[1] = fd;
            stream_set_size(fd, s->rows, s->columns);
        } /* else its stderr says why, and its exit status is the answer */
    }
    if (listener >= 0)
        close(listener);
    if (s->tty)
        (void)unlink(console.text);
    if (rc < 0 && s->pid > 0)
        stream_kill_child(s);
    return rc;
}

int stream_open_attach(struct runtime_stream *s)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int dir = open(s->container->run_dir.text, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (dir < 0)
        return fault_system(&s->fault, -errno, "attach to container %s", s->id);
    s->fds[1] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", dir);
    if (s->fds[1] < 0 || connect(s->fds[1], (struct sockaddr *)&address, sizeof(address)) < 0)
        rc = fault_system(&s->fault, -errno, "attach to container %s", s->id);
    close(dir);
    return rc;
}

void stream_open_run(struct work *w)
{
    struct runtime_stream *s = CONTAINER_OF(w, struct runtime_stream, work);

    for (int i = 0; i < 3; i++)
        s->fds[i] = -1;
    s->pidfd = -1;
    s->err = s->kind == KIND_EXEC ? open_exec(s) : stream_open_attach(s);
}
