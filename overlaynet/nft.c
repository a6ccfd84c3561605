/* Text goes to nft as a file in memory; what it says comes back through a pipe. A batch goes to the
 * kernel directly, which has carried it out when the call returns: the answers wait then. */
#include "overlaynet/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

#define SEND_ROOM_MIN (128 << 10) /* bytes that fit a socket as it is */

extern char **environ;

static int spawn(int in, int out, pid_t *pid)
{
    char *argv[] = { (char[]){ "nft" }, (char[]){ "-f" }, (char[]){ "-" }, NULL };
    posix_spawn_file_actions_t actions;
    int rc;

    rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return -rc;
    rc = posix_spawn_file_actions_adddup2(&actions, in, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out, 2);
    if (rc == 0)
        rc = posix_spawnp(pid, "nft", &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

/* Reads what nft says until it closes its side. */
static int listen_to(int out, char *why, size_t why_len)
{
    size_t got = 0;

    why[0] = '\0';
    for (;;) {
        struct pollfd p = { .fd = out, .events = POLLIN };
        char text[512];
        ssize_t n;

        if (poll(&p, 1, NFT_TIMEOUT_MS) <= 0)
            return ERR_TIMEOUT;
        n = read(out, text, sizeof(text));
        if (n <= 0)
            break;
        if (got + (size_t)n < why_len) {
            memcpy(why + got, text, (size_t)n);
            got += (size_t)n;
            why[got] = '\0';
        }
    }
    why[strcspn(why, "\n")] = '\0'; /* the first line says it; the rest shows where */
    return 0;
}

/* A file in memory and not a pipe: nft may end before it has read everything. */
static int open_text(const char *text)
{
    size_t len = strlen(text);
    int fd = memfd_create("nft", MFD_CLOEXEC);

    if (fd >= 0 && (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)) {
        (void)close(fd);
        return -ENOSPC;
    }
    return fd < 0 ? -errno : fd;
}

int nft_load(const char *text, char *why, size_t why_len)
{
    int in, out[2] = { -1, -1 }, status = 0, rc;
    pid_t pid = 0;

    in = open_text(text);
    if (in < 0)
        return in;
    rc = pipe2(out, O_CLOEXEC) < 0 ? -errno : spawn(in, out[1], &pid);
    (void)close(in);
    if (out[1] >= 0)
        (void)close(out[1]);
    if (rc < 0) {
        (void)snprintf(why, why_len, "nft cannot be started: %s", err_text(rc));
        goto out;
    }
    rc = listen_to(out[0], why, why_len);
    if (rc < 0) {
        (void)kill(pid, SIGKILL);
        (void)snprintf(why, why_len, "nft did not answer");
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        rc = ERR_INVALID;
out:
    if (out[0] >= 0)
        (void)close(out[0]);
    return rc;
}

/* --- Batches --------------------------------------------------------------------------------- */

/* The first error; or none, if there is an acknowledgement. */
static int read_answers(struct mnl_socket *socket)
{
    char answer[8192];
    bool is_done = false;
    int rc = 0;

    for (;;) {
        ssize_t n = recv(mnl_socket_get_fd(socket), answer, sizeof(answer), MSG_DONTWAIT);
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)answer;
        int left = (int)n;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

            if (h->nlmsg_type != NLMSG_ERROR)
                continue;
            is_done = true;
            rc = rc == 0 ? e->error : rc;
        }
    }
    return rc == 0 && !is_done ? -EPROTO : rc;
}

int nft_send(const struct nft_batch *b)
{
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    int room = (int)MIN(2 * b->bytes.len, (size_t)INT32_MAX), rc = 0;

    if (socket == NULL)
        return -errno;
    if (b->bytes.len > SEND_ROOM_MIN &&
        setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
        rc = -errno;
    if (rc == 0 && (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
                    mnl_socket_sendto(socket, b->bytes.ptr, b->bytes.len) < 0))
        rc = -errno;
    if (rc == 0)
        rc = read_answers(socket);
    (void)mnl_socket_close(socket); /* nothing was buffered */
    return rc;
}
