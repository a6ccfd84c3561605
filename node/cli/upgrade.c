#include "node/cli/upgrade.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/units.h"
#include "node/cli/logs.h"

#define HEAD_LEN_MAX 16384

static volatile sig_atomic_t resized, signalled;

static void on_winch(int signal)
{
    (void)signal;
    resized = 1;
}

static void on_passed(int signal)
{
    signalled = signal;
}

/* Signals that end a program at a terminal. */
static void pass_signals(void (*handler)(int))
{
    static const int passed[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

    for (size_t i = 0; i < ARRAY_LEN(passed); i++)
        (void)sigaction(passed[i], &(struct sigaction){ .sa_handler = handler }, NULL);
}

int upgrade_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)fprintf(stderr, "shoal: no node answers at %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ERR_UNAVAILABLE;
}

static int send_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int send_head(const struct upgrade *u, int fd)
{
    char *body = u->body == NULL ? strdup("{}") : json_dumps(u->body, JSON_COMPACT);
    char head[8192];
    int len = body == NULL ? -1
                           : snprintf(head, sizeof(head),
                                      "POST %s HTTP/1.1\r\nHost: shoal\r\nConnection: Upgrade\r\n"
                                      "Upgrade: tcp\r\nContent-Type: application/json\r\n"
                                      "Content-Length: %zu\r\n\r\n",
                                      u->path, strlen(body));
    int rc = len < 0 || len >= (int)sizeof(head) ? -ENOMEM : send_all(fd, head, (size_t)len);

    if (rc == 0)
        rc = send_all(fd, body, strlen(body));
    free(body);
    return rc;
}

/* Everything up to the empty line, and what came with it. */
static int read_head(int fd, struct buf *head, size_t *out_len)
{
    for (;;) {
        uint8_t piece[2048];
        const uint8_t *end;
        ssize_t n = read(fd, piece, sizeof(piece));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : ERR_UNAVAILABLE;
        if (buf_append(head, piece, (size_t)n) < 0)
            return ERR_TOO_LARGE;
        end = memmem(head->ptr, head->len, "\r\n\r\n", 4);
        if (end != NULL) {
            *out_len = (size_t)(end - head->ptr) + 4;
            return 0;
        }
    }
}

/* An answer that is no upgrade says why in its body. */
static int refuse(const struct buf *head, size_t head_len)
{
    json_t *body = json_loadb((const char *)head->ptr + head_len, head->len - head_len, 0, NULL);
    const char *message = json_string_value(json_object_get(body, "message"));

    (void)fprintf(stderr, "shoal: %s\n", message == NULL ? "the node refused" : message);
    json_decref(body);
    return ERR_INVALID;
}

static bool take_output(const struct upgrade *u, struct buf *rest, const uint8_t *bytes, size_t len)
{
    if (!u->tty)
        return logs_print(rest, bytes, len);
    (void)fwrite(bytes, 1, len, stdout);
    (void)fflush(stdout);
    return true;
}

static void tell_size(const struct upgrade *u)
{
    struct winsize size;

    resized = 0;
    if (u->tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
        u->on_resize(u->ctx, size.ws_row, size.ws_col);
}

/* False: our input has ended. */
static bool pass_input(int fd)
{
    uint8_t piece[16384];
    ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));

    if (n < 0 && errno == EINTR)
        return true;
    if (n > 0 && send_all(fd, piece, (size_t)n) == 0)
        return true;
    (void)shutdown(fd, SHUT_WR); /* the command reads its end */
    return false;
}

static int carry(const struct upgrade *u, int fd, struct buf *rest)
{
    bool input = u->input;

    for (;;) {
        struct pollfd p[] = { { .fd = fd, .events = POLLIN },
                              { .fd = input ? STDIN_FILENO : -1, .events = POLLIN } };
        uint8_t piece[32768];
        ssize_t n;

        if (resized)
            tell_size(u);
        if (signalled != 0) {
            int signal = signalled;

            signalled = 0;
            u->on_signal(u->ctx, signal);
        }
        if (poll(p, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (p[1].revents != 0)
            input = pass_input(fd);
        if (p[0].revents == 0)
            continue;
        n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        if (!take_output(u, rest, piece, (size_t)n))
            return ERR_MALFORMED;
    }
}

static int carry_raw(const struct upgrade *u, int fd, struct buf *rest)
{
    bool raw = u->tty && u->input && isatty(STDIN_FILENO);
    struct termios before, now;
    int rc;

    raw = raw && tcgetattr(STDIN_FILENO, &before) == 0;
    if (raw) {
        now = before;
        cfmakeraw(&now);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &now);
        (void)signal(SIGWINCH, on_winch);
    }
    tell_size(u);
    rc = carry(u, fd, rest);
    if (raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return rc;
}

/* `first` came with the head of the answer. */
static int carry_from(const struct upgrade *u, int fd, struct slice first)
{
    struct buf rest;
    int rc = 0;

    buf_init(&rest, 64 * MIB);
    if (u->on_signal != NULL)
        pass_signals(on_passed);
    if (!take_output(u, &rest, first.ptr, first.len))
        rc = ERR_MALFORMED;
    else if (u->on_open != NULL && !u->on_open(u->ctx))
        rc = ERR_CLOSED;
    else
        rc = carry_raw(u, fd, &rest);
    if (u->on_signal != NULL)
        pass_signals(SIG_DFL);
    buf_deinit(&rest);
    return rc;
}

int upgrade_run(const struct upgrade *u)
{
    int fd = upgrade_connect(u->socket), rc;
    struct buf head;
    size_t head_len = 0;

    if (fd < 0)
        return fd;
    buf_init(&head, HEAD_LEN_MAX);
    rc = send_head(u, fd);
    if (rc == 0)
        rc = read_head(fd, &head, &head_len);
    if (rc < 0)
        (void)fprintf(stderr, "shoal: %s: %s\n", u->socket, err_text(rc));
    else if (head.len < 12 || memcmp(head.ptr + 9, "101", 3) != 0)
        rc = refuse(&head, head_len);
    else
        rc = carry_from(u, fd, slice_of(head.ptr + head_len, head.len - head_len));
    buf_deinit(&head);
    close(fd);
    return rc;
}
