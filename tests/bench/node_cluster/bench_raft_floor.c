/* What a durable, replicated write costs on this machine without any program around it: the least
 * that bench_raft.c could measure.
 *
 *     bench_node_cluster_raft_floor [--dir DIR] [--seconds S]
 *
 *     flush         pwrite of 256 bytes to a file written ahead, and fdatasync
 *     round trip    a request of a client and its answer, two processes over loopback TCP
 *     bare write    client, leader and two followers that do nothing but pass the bytes on, flush
 *                   and answer: the leader sends, flushes, and answers once one follower has; all
 *                   four on these cores, all three flushing on this one disk
 *
 * One at a time each, blocking calls only. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/units.h"

#define VALUE_BYTES   256
#define REQUEST_BYTES 277 /* as bench_raft.c sends */
#define ANSWER_BYTES  24
#define FILE_BYTES    (8 * MIB)
#define FOLLOWERS     2
#define SAMPLES_MAX   (1u << 20)

static uint64_t samples[SAMPLES_MAX];
static size_t sample_count;

static uint64_t now_ns(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void report(const char *what)
{
    CHECK(sample_count > 0);
    qsort(samples, sample_count, sizeof(samples[0]), compare_u64);
    printf("floor %s: p50 %.3f ms  p99 %.3f ms\n", what, (double)samples[sample_count / 2] / 1e6,
           (double)samples[(size_t)((double)(sample_count - 1) * 0.99)] / 1e6);
    (void)fflush(stdout);
}

/* Runs `once` for a while, each time a sample. */
static void measure(const char *what, double seconds, void (*once)(void *ctx), void *ctx)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    uint64_t before = now_ns(), after = before;

    sample_count = 0;
    while (after < end && sample_count < SAMPLES_MAX) {
        once(ctx);
        after = now_ns();
        samples[sample_count++] = after - before;
        before = after;
    }
    report(what);
}

/* --- A log that is nothing but its flushes. */

struct bare_log {
    int fd;
    off_t at;
};

static struct bare_log open_log(const char *dir, unsigned number)
{
    static const uint8_t zeros[64 * KIB];
    struct bare_log log = { 0 };
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/floor-%u", dir, number);
    log.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(log.fd >= 0);
    (void)unlink(path); /* gone with the process */
    for (off_t at = 0; at < (off_t)FILE_BYTES; at += (off_t)sizeof(zeros))
        CHECK(pwrite(log.fd, zeros, sizeof(zeros), at) == (ssize_t)sizeof(zeros));
    CHECK(fsync(log.fd) == 0);
    return log;
}

static void flush_value(void *ctx)
{
    uint8_t value[VALUE_BYTES];
    struct bare_log *log = ctx;

    memset(value, (int)(log->at & 0xff) | 1, sizeof(value));
    CHECK(pwrite(log->fd, value, sizeof(value), log->at) == (ssize_t)sizeof(value));
    CHECK(fdatasync(log->fd) == 0);
    log->at = (log->at + VALUE_BYTES) % (off_t)FILE_BYTES;
}

/* --- Loopback TCP. */

static void connect_pair(int out[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    CHECK(listener >= 0);
    CHECK(bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    out[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(out[0] >= 0);
    CHECK(connect(out[0], (const struct sockaddr *)&address, sizeof(address)) == 0);
    out[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(out[1] >= 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK(setsockopt(out[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    (void)close(listener);
}

/* False: the other side is gone. */
static bool take(int fd, uint8_t *out, size_t len)
{
    return recv(fd, out, len, MSG_WAITALL) == (ssize_t)len;
}

static bool give(int fd, const uint8_t *bytes, size_t len)
{
    return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void ask(void *ctx)
{
    uint8_t request[REQUEST_BYTES] = { 1 }, answer[ANSWER_BYTES];
    const int *fd = ctx;

    CHECK(give(*fd, request, sizeof(request)));
    CHECK(take(*fd, answer, sizeof(answer)));
}

/* --- The three members. */

/* Answers requests; with a log, once they are durable. */
static NORETURN void serve(int fd, struct bare_log *log)
{
    uint8_t request[REQUEST_BYTES], answer[ANSWER_BYTES] = { 0 };

    while (take(fd, request, sizeof(request))) {
        if (log != NULL)
            flush_value(log);
        if (!give(fd, answer, sizeof(answer)))
            break;
    }
    _exit(0);
}

static NORETURN void lead(int client, const int followers[FOLLOWERS], struct bare_log *log)
{
    uint8_t request[REQUEST_BYTES], answer[ANSWER_BYTES] = { 0 };
    uint64_t sent = 0, acked[FOLLOWERS] = { 0 };
    struct pollfd polls[FOLLOWERS];

    for (unsigned i = 0; i < FOLLOWERS; i++)
        polls[i] = (struct pollfd){ .fd = followers[i], .events = POLLIN };
    while (take(client, request, sizeof(request))) {
        sent++;
        for (unsigned i = 0; i < FOLLOWERS; i++)
            CHECK(give(followers[i], request, sizeof(request)));
        flush_value(log);
        while (acked[0] < sent && acked[1] < sent) {
            CHECK(poll(polls, FOLLOWERS, -1) > 0);
            for (unsigned i = 0; i < FOLLOWERS; i++)
                if ((polls[i].revents & POLLIN) != 0 && take(followers[i], answer, sizeof(answer)))
                    acked[i]++;
        }
        CHECK(give(client, answer, sizeof(answer)));
    }
    _exit(0);
}

/* --- What is measured. */

static pid_t pids[FOLLOWERS + 1];
static unsigned pid_count;

static bool is_child(void)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid > 0)
        pids[pid_count++] = pid;
    return pid == 0;
}

/* Whoever holds the other ends has let them go. */
static void wait_for_children(void)
{
    while (pid_count > 0)
        CHECK(waitpid(pids[--pid_count], NULL, 0) > 0);
}

static void measure_round_trip(double seconds)
{
    int pair[2];

    connect_pair(pair);
    if (is_child()) {
        (void)close(pair[0]);
        serve(pair[1], NULL);
    }
    (void)close(pair[1]);
    measure("round trip", seconds, ask, &pair[0]);
    (void)close(pair[0]);
    wait_for_children();
}

static void measure_bare_write(const char *dir, double seconds)
{
    int client[2], links[FOLLOWERS][2], to_followers[FOLLOWERS];

    connect_pair(client);
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        struct bare_log log;

        connect_pair(links[i]);
        to_followers[i] = links[i][0];
        if (!is_child())
            continue;
        (void)close(client[0]);
        (void)close(client[1]);
        for (unsigned j = 0; j <= i; j++)
            (void)close(links[j][0]);
        log = open_log(dir, i + 1);
        serve(links[i][1], &log);
    }
    if (is_child()) {
        struct bare_log log = open_log(dir, 0);

        (void)close(client[0]);
        lead(client[1], to_followers, &log);
    }
    (void)close(client[1]);
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        (void)close(links[i][0]);
        (void)close(links[i][1]);
    }
    ask(&client[0]); /* everybody has made its log */
    measure("bare write", seconds, ask, &client[0]);
    (void)close(client[0]);
    wait_for_children();
}

int main(int argc, char **argv)
{
    const char *dir = "raft-floor.tmp";
    double seconds = 1;
    struct bare_log log;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--dir") == 0)
            dir = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[i + 1], NULL);
    }
    CHECK(mkdir(dir, 0700) == 0 || errno == EEXIST);
    log = open_log(dir, 0);
    measure("flush", seconds, flush_value, &log);
    (void)close(log.fd);
    measure_round_trip(seconds);
    measure_bare_write(dir, seconds);
    (void)rmdir(dir);
    return 0;
}
