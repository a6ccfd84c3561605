/* bench_cluster_writes SOCKET CLIENTS SECONDS: durable writes through the API.
 *
 * Each client has one connection and one request under way: a config of 192 random-looking bytes,
 * new every time. A write counts when its answer has come, which is after it was committed by a
 * majority and applied. One thread and epoll, so that the load takes as little as possible of the
 * machine that the daemons run on. Prints: writes/s, p50, p99 and max in ms, failures. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 1024
#define ANSWER_MAX  4096
#define TIMES_MAX   (1 << 22)

struct client {
    int fd;
    unsigned number, sequence;
    uint64_t sent_ns;
    char answer[ANSWER_MAX];
    size_t len;
};

static uint32_t *times_us;
static size_t time_count;
static unsigned long failures;

static _Noreturn void stop(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
        stop("clock_gettime");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
        stop("socket");
    memcpy(addr.sun_path, path, strlen(path));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        stop(path);
    return fd;
}

static void ask(struct client *c)
{
    char body[512], request[1024], data[257];
    int body_len, len;

    for (size_t i = 0; i < 256; i++)
        data[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            [(i * 7 + c->sequence * 13 + c->number) % 64];
    data[256] = '\0';
    body_len =
        snprintf(body, sizeof(body), "{\"Name\":\"w%d-%u-%u\",\"Labels\":{},\"Data\":\"%s\"}",
                 (int)getpid(), c->number, c->sequence++, data);
    len = snprintf(request, sizeof(request),
                   "POST /v1.41/configs/create HTTP/1.1\r\nHost: shoal\r\n"
                   "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                   body_len, body);
    c->len = 0;
    c->sent_ns = now_ns();
    if (write(c->fd, request, (size_t)len) != len)
        stop("write");
}

/* The whole answer is there: its head, and as much body as the head says. */
static bool is_complete(struct client *c)
{
    const char *end, *length;

    c->answer[c->len] = '\0';
    end = strstr(c->answer, "\r\n\r\n");
    length = strcasestr(c->answer, "content-length:");
    return end != NULL && length != NULL &&
           (size_t)(end + 4 - c->answer) + strtoul(length + 15, NULL, 10) <= c->len;
}

static void hear(struct client *c)
{
    ssize_t n = read(c->fd, c->answer + c->len, ANSWER_MAX - 1 - c->len);

    if (n <= 0)
        stop("the daemon ended the connection");
    c->len += (size_t)n;
    if (!is_complete(c))
        return;
    if (strncmp(c->answer, "HTTP/1.1 201", 12) != 0) {
        if (failures++ == 0)
            (void)fprintf(stderr, "%s\n", c->answer);
    } else if (time_count < TIMES_MAX) {
        times_us[time_count++] = (uint32_t)((now_ns() - c->sent_ns) / 1000);
    }
    ask(c);
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    static struct client clients[CLIENTS_MAX];
    unsigned count = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    unsigned long seconds = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    int poller = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start, end;

    if (count == 0 || count > CLIENTS_MAX || seconds == 0) {
        (void)fprintf(stderr, "usage: %s SOCKET CLIENTS SECONDS\n", argv[0]);
        return 2;
    }
    times_us = malloc(sizeof(*times_us) * TIMES_MAX);
    if (times_us == NULL || poller < 0)
        stop("start");
    for (unsigned i = 0; i < count; i++) {
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = &clients[i] };

        clients[i].number = i;
        clients[i].fd = dial(argv[1]);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, clients[i].fd, &e) < 0)
            stop("epoll_ctl");
    }
    start = now_ns();
    end = start + seconds * 1000000000u;
    for (unsigned i = 0; i < count; i++)
        ask(&clients[i]);
    while (now_ns() < end) {
        struct epoll_event ready[64];
        int n = epoll_wait(poller, ready, 64, 100);

        if (n < 0 && errno != EINTR)
            stop("epoll_wait");
        for (int i = 0; i < n; i++)
            hear(ready[i].data.ptr);
    }
    if (time_count == 0)
        stop("no write was answered");
    qsort(times_us, time_count, sizeof(*times_us), compare);
    (void)printf("%.0f writes/s, p50 %.2f ms, p99 %.2f ms, max %.1f ms, %lu failed\n",
                 (double)time_count / ((double)(now_ns() - start) / 1e9),
                 times_us[time_count / 2] / 1e3, times_us[time_count * 99 / 100] / 1e3,
                 times_us[time_count - 1] / 1e3, failures);
    return failures == 0 ? 0 : 1;
}
