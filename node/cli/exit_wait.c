#include "node/cli/exit_wait.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/units.h"
#include "node/cli/upgrade.h"

#define HEAD_LEN_MAX   4096
#define ANSWER_LEN_MAX (64 * KIB)

/* Up to the empty line, byte by byte: what follows is the answer. The status, or an error. */
static int read_head(int fd)
{
    char head[HEAD_LEN_MAX];
    size_t len = 0;

    while (len < sizeof(head)) {
        ssize_t n = read(fd, head + len, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : ERR_UNAVAILABLE;
        len++;
        if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0)
            return len < 13 ? ERR_MALFORMED : (int)strtol(head + 9, NULL, 10);
    }
    return ERR_TOO_LARGE;
}

int exit_wait_begin(const char *socket, const char *id, bool removed)
{
    char request[512];
    int fd = upgrade_connect(socket), len, status;

    if (fd < 0)
        return fd;
    /* HTTP/1.0: the answer ends with the connection, and is not cut into chunks. */
    len = snprintf(request, sizeof(request),
                   "POST /containers/%.200s/wait?condition=%s HTTP/1.0\r\nHost: shoal\r\n"
                   "Content-Length: 0\r\n\r\n",
                   id, removed ? "removed" : "next-exit");
    status = send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? read_head(fd) : -errno;
    if (status == 200)
        return fd;
    (void)fprintf(stderr, "shoal: container %s: cannot wait for its end: %s\n", id,
                  status < 0 ? err_text(status) : "the node refused");
    (void)close(fd); /* nothing of it is wanted */
    return ERR_UNAVAILABLE;
}

bool exit_wait_is_over(int connection, int ms)
{
    struct pollfd p = { .fd = connection, .events = POLLIN };

    return poll(&p, 1, ms) == 1;
}

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        char piece[1024];
        ssize_t n = read(fd, piece, sizeof(piece));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        if (buf_append(out, piece, (size_t)n) < 0)
            return ERR_TOO_LARGE;
    }
}

static int parse(const struct buf *answer)
{
    json_t *body = json_loadb((const char *)answer->ptr, answer->len, JSON_DISABLE_EOF_CHECK, NULL);
    const char *error =
        json_string_value(json_object_get(json_object_get(body, "Error"), "Message"));
    const json_t *code = json_object_get(body, "StatusCode");
    int result =
        json_is_integer(code) && error == NULL ? (int)json_integer_value(code) : ERR_UNAVAILABLE;

    if (result < 0)
        (void)fprintf(stderr, "shoal: how it ended is not known: %s\n",
                      error == NULL ? "the node has gone" : error);
    json_decref(body);
    return result;
}

int exit_wait_end(int connection)
{
    struct buf answer;
    int rc;

    buf_init(&answer, ANSWER_LEN_MAX);
    rc = read_all(connection, &answer);
    if (rc < 0)
        (void)fprintf(stderr, "shoal: how it ended is not known: %s\n", err_text(rc));
    else
        rc = parse(&answer);
    buf_deinit(&answer);
    (void)close(connection); /* read to its end */
    return rc;
}
