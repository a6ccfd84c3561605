/* The loop of a lane: sleep, then one turn over everything that is ready. */
#include "overlaynet/lane.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

#define EVENTS_MAX 64

/* What an event is about: the VNI of a TAP, or one of these, which are no VNIs. */
#define EVENT_UDP  UINT64_C(1)
#define EVENT_WAKE UINT64_C(2)

/* --- Notes ----------------------------------------------------------------------------------- */

void lane_note(struct lane *l, const struct fabric_note *note)
{
    uint32_t tail = atomic_load_explicit(&l->ring.tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&l->ring.head, memory_order_acquire);

    if (tail - head == LANE_NOTES) {
        fabric_count(&l->common->drop_handshake_overflow, 1);
        return;
    }
    l->ring.notes[tail % LANE_NOTES] = *note;
    atomic_store_explicit(&l->ring.tail, tail + 1, memory_order_release);
    l->on_note(l->ctx);
}

bool lane_take_note(struct lane *l, struct fabric_note *out)
{
    uint32_t head = atomic_load_explicit(&l->ring.head, memory_order_relaxed);

    if (head == atomic_load_explicit(&l->ring.tail, memory_order_acquire))
        return false;
    *out = l->ring.notes[head % LANE_NOTES];
    atomic_store_explicit(&l->ring.head, head + 1, memory_order_release);
    return true;
}

/* --- Prepared keys --------------------------------------------------------------------------- */

/* An expanded key is 30 times as large as the key itself, and few peers are busy at a time. */
const struct aead_key *lane_key(struct lane_key *keys, uint64_t serial, enum aead_suite suite,
                                const uint8_t key[AEAD_KEY_LEN])
{
    struct lane_key *k = &keys[serial % LANE_KEYS];

    if (k->serial != serial) {
        aead_prepare(&k->key, suite, key);
        k->serial = serial;
    }
    return &k->key;
}

static void purge_keys(struct lane *l)
{
    sodium_memzero(l->tx_keys, LANE_KEYS * sizeof(*l->tx_keys));
    sodium_memzero(l->rx_keys, LANE_KEYS * sizeof(*l->rx_keys));
}

static void wake(struct lane *l)
{
    uint64_t one = 1;

    (void)!write(l->wake_fd, &one, sizeof(one)); /* full means that it is awake already */
}

void lane_purge_keys(struct lane *l)
{
    atomic_store_explicit(&l->purge_keys, true, memory_order_release);
    wake(l);
}

/* --- Loop ------------------------------------------------------------------------------------ */

static void drain_wake(struct lane *l)
{
    uint64_t count;

    (void)!read(l->wake_fd, &count, sizeof(count)); /* its only purpose was to end the sleep */
    if (atomic_exchange_explicit(&l->purge_keys, false, memory_order_acquire))
        purge_keys(l);
}

static void turn(struct lane *l, const struct epoll_event *events, int count)
{
    l->memo.rx = NULL; /* shared objects are known for one turn */
    l->turn = (struct pace_turn){ 0 };
    for (int i = 0; i < count; i++) {
        uint64_t what = events[i].data.u64;
        struct fabric_network *n;

        if (what == EVENT_UDP) {
            lane_read_udp(l);
        } else if (what == EVENT_WAKE) {
            drain_wake(l);
        } else {
            n = table_get(&l->fabric->networks, what); /* may have gone while we slept */
            if (n != NULL)
                lane_read_tap(l, &n->ports[l->index]);
        }
    }
    lane_flush_burst(l);
}

static mono_ns now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* this clock always exists */
    return (mono_ns)t.tv_sec * NS_PER_S + (mono_ns)t.tv_nsec;
}

/* Containers and the control thread are heard; the wire is heard afterwards. */
static void wait_for_containers(struct lane *l, const struct timespec *at_most)
{
    struct epoll_event e = { .data.u64 = EVENT_UDP };
    struct pollfd p = { .fd = l->epoll_fd, .events = POLLIN };

    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->udp_fd, &e); /* it is there, so neither fails */
    (void)ppoll(&p, 1, at_most, NULL);
    e.events = EPOLLIN;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->udp_fd, &e);
}

/* The wire and the control thread are heard; containers are heard afterwards. */
static void wait_for_wire(struct lane *l, const struct timespec *at_most)
{
    struct pollfd p[] = { { .fd = l->udp_fd, .events = POLLIN },
                          { .fd = l->wake_fd, .events = POLLIN } };

    (void)ppoll(p, ARRAY_LEN(p), at_most, NULL);
}

/* Lets datagrams gather where they come from; all else is heard at once. */
static void gather_datagrams(struct lane *l)
{
    struct timespec at_most = { 0 };

    if (l->turn.sent + l->turn.received == 0 && pace_is_idle(&l->pace))
        return; /* no need to ask for the time */
    at_most.tv_nsec = (long)pace_after(&l->pace, &l->turn, now_ns());
    if (at_most.tv_nsec == 0)
        return;
    fabric_count(&l->common->gathered, 1);
    if (l->turn.received > 0)
        wait_for_containers(l, &at_most);
    else
        wait_for_wire(l, &at_most);
}

static void *run(void *arg)
{
    struct lane *l = arg;
    struct epoll_event events[EVENTS_MAX];

    /* Packets should not queue behind what the host computes; refused without the privilege. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LANE_NICE);
    /* A wait would end up to 50 us late otherwise: twice as long as it should be. */
    (void)prctl(PR_SET_TIMERSLACK, LANE_TIMER_SLACK_NS);
    while (!atomic_load_explicit(&l->is_stopping, memory_order_acquire)) {
        int count = epoll_wait(l->epoll_fd, events, EVENTS_MAX, -1);

        if (count <= 0)
            continue; /* a signal */
        reclaim_enter(&l->fabric->reclaim, l->reader);
        turn(l, events, count);
        reclaim_leave(l->reader);
        gather_datagrams(l);
    }
    return NULL;
}

/* --- Life ------------------------------------------------------------------------------------ */

static int watch(struct lane *l, int fd, uint64_t what)
{
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = what };

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int lane_watch(struct lane *l, struct fabric_port *port)
{
    return watch(l, port->tap_fd, port->network->vni);
}

void lane_unwatch(struct lane *l, struct fabric_port *port)
{
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, port->tap_fd, NULL); /* not there is as good */
}

int lane_new(const struct lane_config *cfg, struct lane **out)
{
    struct lane *l = aligned_alloc(64, (sizeof(*l) + 63) / 64 * 64);
    int rc = -ENOMEM;

    if (l == NULL)
        return rc;
    memset(l, 0, sizeof(*l));
    l->fabric = cfg->fabric;
    l->index = cfg->index;
    l->udp_fd = cfg->udp_fd;
    l->send_fd = cfg->send_fd;
    l->family = cfg->family;
    l->reader = &cfg->fabric->reclaim.readers[cfg->index];
    l->common = &cfg->fabric->common[cfg->index];
    l->on_note = cfg->on_note;
    l->ctx = cfg->ctx;
    l->epoll_fd = l->wake_fd = -1;
    l->tx_keys = aligned_alloc(64, LANE_KEYS * sizeof(*l->tx_keys));
    l->rx_keys = aligned_alloc(64, LANE_KEYS * sizeof(*l->rx_keys));
    l->frame = malloc(LANE_FRAME_ROOM);
    l->burst.bytes = malloc(LANE_BURST_MAX + LANE_MESSAGE_ROOM);
    l->received = malloc((size_t)LANE_MESSAGES * LANE_MESSAGE_ROOM);
    if (l->tx_keys == NULL || l->rx_keys == NULL || l->frame == NULL || l->burst.bytes == NULL ||
        l->received == NULL)
        goto fail;
    purge_keys(l);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->wake_fd < 0) {
        rc = -errno;
        goto fail;
    }
    rc = watch(l, l->udp_fd, EVENT_UDP);
    if (rc == 0)
        rc = watch(l, l->wake_fd, EVENT_WAKE);
    if (rc < 0)
        goto fail;
    *out = l;
    return 0;
fail:
    lane_free(l);
    return rc;
}

int lane_run(struct lane *l)
{
    int rc = pthread_create(&l->thread, NULL, run, l);

    l->has_thread = rc == 0;
    return -rc;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* nothing was buffered */
}

void lane_free(struct lane *l)
{
    if (l == NULL)
        return;
    if (l->has_thread) {
        atomic_store_explicit(&l->is_stopping, true, memory_order_release);
        wake(l);
        (void)pthread_join(l->thread, NULL); /* it is joinable and not us */
    }
    if (l->tx_keys != NULL && l->rx_keys != NULL)
        purge_keys(l);
    close_fd(l->epoll_fd);
    close_fd(l->wake_fd);
    close_fd(l->udp_fd);
    if (l->send_fd != l->udp_fd)
        close_fd(l->send_fd);
    free(l->tx_keys);
    free(l->rx_keys);
    free(l->frame);
    free(l->burst.bytes);
    free(l->received);
    free(l);
}
