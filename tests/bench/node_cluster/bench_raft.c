/* Durable writes per second of three Raft members on one machine, and how long a write has to wait
 * when the leader dies.
 *
 *     bench_node_cluster_raft [--dir DIR] [--port PORT] [--seconds S] [--kills N]
 *     bench_node_cluster_raft --port PORT --ask ID OP[ARG]    one question to a running member
 *     bench_node_cluster_raft --port PORT --load CLIENTS [--seconds S]    load on running ones
 *
 * Starts bench_node_cluster_raft_member three times, then is the load: 1, 64 and 1000 clients over
 * 1, 8 and 100 connections, each with one write of 256 bytes under way, sent to the leader as
 * etcd's clients do. A write counts when it is applied by the leader: committed and durable on two
 * disks. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/err.h"
#include "base/units.h"

#define MEMBERS       3
#define VALUE_BYTES   256
#define ANSWER_BYTES  24
#define SAMPLES_MAX   (8u << 20)
#define TAG_BASE      UINT64_C(1000) /* below are members' ids */
#define REQUEST_BYTES (4 + 8 + 1 + 8 + VALUE_BYTES)

enum { NO_ANSWER = -1, NOT_ASKED = -2 };

struct bench {
    const char *dir;
    char member_path[4096];
    int port;
    double seconds;
    unsigned kills;
    pid_t pids[MEMBERS + 1];
};

struct conn {
    int fd;
    uint8_t in[64 * 1024];
    size_t in_len;
    uint8_t out[1024 * REQUEST_BYTES];
    size_t out_len;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

    (void)nanosleep(&t, NULL); /* shorter is fine */
}

/* --- Members. */

static void start_member(struct bench *b, int id, bool compacts)
{
    char number[16], port[16], dir[4096];

    (void)snprintf(number, sizeof(number), "%d", id);
    (void)snprintf(port, sizeof(port), "%d", b->port);
    (void)snprintf(dir, sizeof(dir), "%s/%d", b->dir, id);
    b->pids[id] = fork();
    CHECK(b->pids[id] >= 0);
    if (b->pids[id] > 0)
        return;
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* no member outlives the bench */
    if (compacts)
        (void)setenv("SHOAL_BENCH_COMPACT", "1", 1);
    (void)execl(b->member_path, b->member_path, number, port, dir, (char *)NULL);
    perror(b->member_path);
    _exit(127);
}

static void kill_member(struct bench *b, int id, int number)
{
    (void)kill(b->pids[id], number);
    (void)waitpid(b->pids[id], NULL, 0);
    b->pids[id] = 0;
}

static void kill_all(struct bench *b)
{
    for (int id = 1; id <= MEMBERS; id++)
        if (b->pids[id] > 0)
            kill_member(b, id, SIGKILL);
}

static int dial(const struct bench *b, int id)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)(b->port + id)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    CHECK(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        (void)close(fd);
        return -1;
    }
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    return fd;
}

/* Frame: length, tag, operation, argument. */
static size_t put_frame(uint8_t *out, uint64_t tag, char op, const void *arg, size_t len)
{
    uint32_t total = (uint32_t)(9 + len);

    memcpy(out, &total, 4);
    memcpy(out + 4, &tag, 8);
    out[12] = (uint8_t)op;
    memcpy(out + 13, arg, len);
    return 13 + len;
}

/* One question to one member, answered within `timeout_ms`: its value, the error that it answers,
 * NO_ANSWER, or NOT_ASKED when there is nobody. */
static int64_t ask(const struct bench *b, int id, char op, const void *arg, size_t len,
                   unsigned timeout_ms)
{
    struct timeval timeout = { .tv_sec = timeout_ms / 1000,
                               .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };
    uint8_t frame[512], answer[ANSWER_BYTES];
    int fd = b->pids[id] > 0 ? dial(b, id) : -1;
    int64_t result = NO_ANSWER;
    int32_t err;
    uint64_t value;

    if (fd < 0)
        return NOT_ASKED;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0);
    len = put_frame(frame, TAG_BASE, op, arg, len);
    if (send(fd, frame, len, MSG_NOSIGNAL) == (ssize_t)len &&
        recv(fd, answer, sizeof(answer), MSG_WAITALL) == sizeof(answer)) {
        memcpy(&err, answer + 12, 4);
        memcpy(&value, answer + 16, 8);
        result = err < 0 ? err : (int64_t)value;
    }
    (void)close(fd);
    return result;
}

static int find_leader(const struct bench *b)
{
    for (unsigned try = 0; try < 2000; try++) {
        for (int id = 1; id <= MEMBERS; id++)
            if (ask(b, id, 'L', "", 0, 200) == 1)
                return id;
        sleep_ms(5);
    }
    (void)fprintf(stderr, "bench: no leader within 10 s\n");
    exit(1);
}

static void start_cluster(struct bench *b, bool compacts)
{
    char path[4096];

    (void)snprintf(path, sizeof(path), "rm -rf '%s'", b->dir);
    CHECK(system(path) == 0 && mkdir(b->dir, 0700) == 0);
    for (int id = 1; id <= MEMBERS; id++)
        start_member(b, id, compacts);
    CHECK(find_leader(b) == 1);
    for (uint8_t id = 2; id <= MEMBERS; id++) {
        while (ask(b, 1, 'V', &id, 1, 1000) != 1) {
            (void)ask(b, 1, 'A', &id, 1, 1000); /* again until it is one */
            sleep_ms(10);
        }
    }
}

/* --- Load. */

static uint64_t *samples;
static size_t sample_count;

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double sample_ms(double quantile)
{
    return (double)samples[(size_t)((double)(sample_count - 1) * quantile)] / 1e6;
}

static void queue_put(struct conn *c, uint64_t client, uint64_t *started, uint64_t key)
{
    uint8_t arg[8 + VALUE_BYTES];

    memcpy(arg, &key, 8);
    memset(arg + 8, (int)(key & 0xff), VALUE_BYTES);
    *started = now_ns();
    c->out_len += put_frame(c->out + c->out_len, TAG_BASE + client, 'P', arg, sizeof(arg));
}

static void flush_conn(struct conn *c)
{
    size_t at = 0;

    while (at < c->out_len) {
        ssize_t n = send(c->fd, c->out + at, c->out_len - at, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN)
            continue; /* a socket buffer holds every client's request of a connection */
        CHECK(n > 0);
        at += (size_t)n;
    }
    c->out_len = 0;
}

/* Answers become samples and the next writes of their clients, until the time is over. */
static void take_answers(struct conn *c, uint64_t *started, uint64_t *key, uint64_t stop,
                         unsigned *errors, unsigned *under_way)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
    uint64_t now = now_ns();
    size_t at = 0;

    if (n < 0 && errno == EAGAIN)
        return;
    CHECK(n > 0);
    c->in_len += (size_t)n;
    for (; c->in_len - at >= ANSWER_BYTES; at += ANSWER_BYTES) {
        uint64_t tag;
        int32_t err;

        memcpy(&tag, c->in + at + 4, 8);
        memcpy(&err, c->in + at + 12, 4);
        if (err < 0)
            (*errors)++;
        else if (sample_count < SAMPLES_MAX)
            samples[sample_count++] = now - started[tag - TAG_BASE];
        (*under_way)--;
        if (now < stop) {
            queue_put(c, tag - TAG_BASE, &started[tag - TAG_BASE], (*key)++);
            (*under_way)++;
        }
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    flush_conn(c);
}

static void run_load(const struct bench *b, unsigned clients, unsigned conn_count, double seconds,
                     bool reports)
{
    struct conn *conns = calloc(conn_count, sizeof(*conns));
    uint64_t *started = calloc(clients, sizeof(*started));
    int leader = find_leader(b), epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t begin = now_ns(), stop = begin + (uint64_t)(seconds * 1e9), key = 0, end;
    unsigned errors = 0, under_way = clients;

    CHECK(conns != NULL && started != NULL && epoll >= 0);
    sample_count = 0;
    for (unsigned i = 0; i < conn_count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &conns[i] };

        conns[i].fd = dial(b, leader);
        CHECK(conns[i].fd >= 0);
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &event) == 0);
    }
    for (unsigned i = 0; i < clients; i++)
        queue_put(&conns[i % conn_count], i, &started[i], key++);
    for (unsigned i = 0; i < conn_count; i++)
        flush_conn(&conns[i]);
    while (under_way > 0) {
        struct epoll_event events[128];
        int n = epoll_wait(epoll, events, ARRAY_LEN(events), 5000);

        CHECK(n > 0); /* 5 s without an answer: something is broken */
        for (int i = 0; i < n; i++)
            take_answers(events[i].data.ptr, started, &key, stop, &errors, &under_way);
    }
    end = now_ns();
    for (unsigned i = 0; i < conn_count; i++)
        (void)close(conns[i].fd);
    (void)close(epoll);
    free(conns);
    free(started);
    if (!reports)
        return;
    if (sample_count == 0)
        samples[sample_count++] = 0; /* nothing but errors */
    qsort(samples, sample_count, sizeof(samples[0]), compare_u64);
    printf("shoal %u clients: %.0f writes/s  p50 %.2f ms  p99 %.2f ms  max %.1f ms  errors %u\n",
           clients, (double)sample_count * 1e9 / (double)(end - begin), sample_ms(0.5),
           sample_ms(0.99), sample_ms(1.0), errors);
    (void)fflush(stdout);
}

/* --- Losing the leader. */

/* For scripts: "P" puts, "L" asks for the leader, "A2" adds a voter, "V2" asks for one. Prints the
 * answer, or the error, and succeeds only with an answer. */
static int ask_once(struct bench *b, const char *id, const char *op)
{
    uint8_t arg[8 + VALUE_BYTES] = { 0 };
    size_t len = op[0] == 'P' ? sizeof(arg) : 1;
    int64_t answer;

    if (op[0] != 'P' && op[1] != '\0')
        arg[0] = (uint8_t)(op[1] - '0');
    answer = ask(b, (int)strtol(id, NULL, 10), op[0], arg, len, 1000);
    printf("%lld\n", (long long)answer);
    return answer < 0;
}

static void wait_for_all(const struct bench *b)
{
    for (int id = 1; id <= MEMBERS; id++)
        while (ask(b, id, 'L', "", 0, 200) < 0)
            sleep_ms(5);
}

/* Time from the signal until another member has taken and applied a write. */
static uint64_t lose_leader(struct bench *b, int number)
{
    uint8_t arg[8 + VALUE_BYTES] = { 0 };
    int leader = find_leader(b);
    uint64_t begin;

    wait_for_all(b);
    (void)ask(b, leader, 'P', arg, sizeof(arg), 1000);
    sleep_ms(700); /* everybody has heard from it */
    begin = now_ns();
    (void)kill(b->pids[leader], number);
    for (;;) {
        for (int id = 1; id <= MEMBERS; id++) {
            if (id != leader && ask(b, id, 'P', arg, sizeof(arg), 250) > 0) {
                uint64_t took = now_ns() - begin;

                kill_member(b, leader, SIGKILL);
                start_member(b, leader, false);
                return took;
            }
        }
        sleep_ms(1);
    }
}

static void run_losses(struct bench *b, const char *what, int number, unsigned count)
{
    sample_count = 0;
    for (unsigned i = 0; i < count; i++)
        samples[sample_count++] = lose_leader(b, number);
    if (sample_count == 0)
        return;
    qsort(samples, sample_count, sizeof(samples[0]), compare_u64);
    printf("shoal %s, %u times: p50 %.0f ms  p99 %.0f ms  max %.0f ms\n", what, count,
           sample_ms(0.5), sample_ms(0.99), sample_ms(1.0));
    (void)fflush(stdout);
}

/* One client writes without a pause while the leader is told to stop, and goes to the next member
 * with what it is refused: how long its longest write takes. A write of which nobody can say
 * whether it happened has failed. */
static uint64_t hand_over(struct bench *b, unsigned *failed)
{
    uint8_t arg[8 + VALUE_BYTES] = { 0 };
    int leader = find_leader(b), target = leader;
    uint64_t longest = 0, end = now_ns() + NS_PER_S;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        sleep_ms(300);
        (void)kill(b->pids[leader], SIGTERM);
        _exit(0);
    }
    while (now_ns() < end) {
        uint64_t begin = now_ns();
        int64_t result;

        while ((result = ask(b, target, 'P', arg, sizeof(arg), 1000)) <= 0) {
            *failed += result == NO_ANSWER || result == ERR_UNKNOWN_OUTCOME;
            target = target % MEMBERS + 1;
        }
        longest = MAX(longest, now_ns() - begin);
    }
    CHECK(target != leader); /* else nobody took over */
    (void)waitpid(pid, NULL, 0);
    kill_member(b, leader, SIGKILL);
    start_member(b, leader, false);
    return longest;
}

static void run_hand_overs(struct bench *b, unsigned count)
{
    unsigned failed = 0;

    sample_count = 0;
    for (unsigned i = 0; i < count; i++) {
        wait_for_all(b);
        samples[sample_count++] = hand_over(b, &failed);
    }
    qsort(samples, sample_count, sizeof(samples[0]), compare_u64);
    printf("shoal leader stopped under load, %u times: longest write p50 %.0f ms  max %.0f ms  "
           "failed writes %u\n",
           count, sample_ms(0.5), sample_ms(1.0), failed);
    (void)fflush(stdout);
}

static void parse_args(struct bench *b, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--dir") == 0)
            b->dir = argv[i + 1];
        else if (strcmp(argv[i], "--port") == 0)
            b->port = (int)strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            b->seconds = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--kills") == 0)
            b->kills = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
}

int main(int argc, char **argv)
{
    static const unsigned loads[][2] = { { 1, 1 }, { 64, 8 }, { 1000, 100 } };
    struct bench b = { .dir = "raft-bench.tmp", .port = 17300, .seconds = 5, .kills = 10 };

    parse_args(&b, argc, argv);
    samples = malloc(SAMPLES_MAX * sizeof(samples[0]));
    CHECK(samples != NULL);
    for (int i = 1; i + 1 < argc; i++) {
        bool asks = strcmp(argv[i], "--ask") == 0 && i + 2 < argc;

        if (!asks && strcmp(argv[i], "--load") != 0)
            continue;
        for (int id = 1; id <= MEMBERS; id++)
            b.pids[id] = 1; /* somebody else started them; never killed here */
        if (asks)
            return ask_once(&b, argv[i + 1], argv[i + 2]);
        run_load(&b, (unsigned)strtoul(argv[i + 1], NULL, 10), 1, b.seconds, true);
        return 0;
    }
    (void)snprintf(b.member_path, sizeof(b.member_path), "%s_member", argv[0]);
    start_cluster(&b, true);
    run_load(&b, 64, 8, 0.5, false); /* warm */
    for (size_t i = 0; i < ARRAY_LEN(loads); i++)
        run_load(&b, loads[i][0], loads[i][1], b.seconds, true);
    kill_all(&b);
    if (b.kills > 0) {
        start_cluster(&b, false);
        run_losses(&b, "leader killed", SIGKILL, b.kills);
        run_losses(&b, "leader stopped", SIGTERM, MIN(b.kills, 10));
        run_hand_overs(&b, MIN(b.kills, 10));
        kill_all(&b);
    }
    free(samples);
    return 0;
}
