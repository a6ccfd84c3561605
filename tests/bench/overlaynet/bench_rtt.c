/* TCP ping-pong of 64 bytes: bench_overlaynet_rtt server PORT | client ADDR PORT SECONDS. The
 * client prints "p50 p99" of the full round trip in microseconds. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE     64
#define SAMPLES_MAX 2000000

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int whole(int fd, char *buf, int write_it)
{
    for (size_t at = 0; at < MESSAGE;) {
        ssize_t n = write_it ? write(fd, buf + at, MESSAGE - at) : read(fd, buf + at, MESSAGE - at);

        if (n <= 0)
            return -1;
        at += (size_t)n;
    }
    return 0;
}

static int serve(struct sockaddr_in *addr)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    char buf[MESSAGE];

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)addr, sizeof(*addr)) < 0 || listen(listener, 8) < 0)
        return 1;
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        while (whole(fd, buf, 0) == 0 && whole(fd, buf, 1) == 0)
            ;
        close(fd);
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static int measure(struct sockaddr_in *addr, double seconds)
{
    static uint32_t samples[SAMPLES_MAX];
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    char buf[MESSAGE] = { 0 };
    size_t count = 0;

    if (connect(fd, (struct sockaddr *)addr, sizeof(*addr)) < 0)
        return 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    while (now_ns() < end && count < SAMPLES_MAX) {
        uint64_t start = now_ns();

        if (whole(fd, buf, 1) < 0 || whole(fd, buf, 0) < 0)
            return 1;
        samples[count++] = (uint32_t)(now_ns() - start);
    }
    qsort(samples, count, sizeof(samples[0]), compare);
    printf("%.1f %.1f\n", samples[count / 2] / 1e3, samples[count * 99 / 100] / 1e3);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };

    if (argc == 3 && strcmp(argv[1], "server") == 0) {
        addr.sin_port = htons((uint16_t)atoi(argv[2]));
        return serve(&addr);
    }
    if (argc != 5 || inet_pton(AF_INET, argv[2], &addr.sin_addr) != 1)
        return 2;
    addr.sin_port = htons((uint16_t)atoi(argv[3]));
    return measure(&addr, atof(argv[4]));
}
