/* overlaynet/lane.h - A data-path thread: TAP queues on one side, a UDP socket on the other.
 *
 * A lane takes large frames from its queue of each network's TAP, checks them, cuts them, seals
 * the pieces into one buffer and sends that with one call (UDP segmentation offload); and takes
 * what the kernel has gathered from its socket, opens it in place, checks it, joins it and hands
 * it to the TAP as one frame. Nothing is allocated and no lock is taken on the way.
 *
 * The kernel steers packets to lanes by the session index in them (a socket filter on the
 * SO_REUSEPORT group), so the windows and counters of a session have one writer. Lane 0 sends from
 * the data port; the others from ports of their own, so that flows spread over the receiver's
 * queues and are gathered separately.
 *
 * What a kernel does not offer is replaced by slower calls: without UDP segmentation each packet
 * is sent by itself (in batches), without gathering each is received so. */
#ifndef OVERLAYNET_LANE_H
#define OVERLAYNET_LANE_H

#include <pthread.h>
#include <sys/uio.h>

#include "overlaynet/fabric.h"
#include "overlaynet/pace.h"
#include "overlaynet/segment.h"

#define LANE_FRAME_ROOM      (FRAME_LEN_MAX + 64)
#define LANE_BURST_MAX       65000     /* bytes of one UDP call: below 65507 on both families */
#define LANE_BURST_PACKETS   64        /* UDP_MAX_SEGMENTS of all kernels that have the offload */
#define LANE_FRAMES_PER_TURN 64        /* of a TAP: the datagrams of one UDP call */
#define LANE_BYTES_PER_TURN  (2 << 20) /* the wire is not kept waiting for longer */
#define LANE_MESSAGES        16        /* of one recvmmsg */
#define LANE_MESSAGE_ROOM    65536
#define LANE_JOINS           8   /* flows that are joined at a time */
#define LANE_KEYS            64  /* prepared keys in each direction */
#define LANE_NICE            -10 /* before ordinary work of the host, behind the kernel's own */
#define LANE_TIMER_SLACK_NS  1000UL
#define LANE_NOTES           256
#define LANE_SEND_WAIT_MS    5 /* for room in a full socket, then packets are dropped */

/* Bounded, one writer (the lane), one reader (the control thread). */
struct lane_ring {
    _Alignas(64) _Atomic uint32_t head; /* next to read */
    _Alignas(64) _Atomic uint32_t tail; /* next to write */
    struct fabric_note notes[LANE_NOTES];
};

struct lane_key {
    uint64_t serial; /* 0 = empty */
    struct aead_key key;
};

/* Packets of one size for one destination, sealed and waiting to be sent. */
struct lane_burst {
    const struct fabric_path *path; /* NULL = empty; lives as long as the turn */
    struct fabric_port *port;
    size_t packet_len; /* of all but the last */
    size_t len;
    unsigned count;
    bool is_closed; /* a shorter packet was last */
    uint8_t *bytes;
};

/* Opened frames of one flow waiting to be handed to a TAP as one. */
struct lane_join {
    struct segment_join join;
    struct fabric_port *port;
    unsigned iov_count; /* entries in use of iov; the first is the vnet header */
    struct iovec iov[SEGMENT_JOIN_MAX + 1];
    struct vnet_header vnet;
};

/* What the last packet was found to be: packets come in runs. */
struct lane_memo {
    const struct fabric_rx *rx;
    const struct fabric_endpoint *source;
    struct fabric_port *port;
    uint32_t vni;
    uint8_t macs[2 * FRAME_MAC_LEN];
};

struct lane {
    struct fabric *fabric;
    unsigned index;
    pthread_t thread;
    bool has_thread;
    int epoll_fd, wake_fd;
    int udp_fd;  /* receives; lane 0 sends from it too */
    int send_fd; /* = udp_fd in lane 0 */
    int family;  /* of both sockets */
    struct reclaim_reader *reader;
    struct fabric_counters *common;
    _Atomic bool is_stopping, purge_keys;
    void (*on_note)(void *ctx); /* wakes the control thread; called from the lane */
    void *ctx;
    _Atomic uint32_t poke_credit; /* refilled by the control thread */
    struct lane_ring ring;
    struct lane_key *tx_keys, *rx_keys;
    uint8_t *frame;    /* LANE_FRAME_ROOM, from a TAP */
    uint8_t *received; /* LANE_MESSAGES * LANE_MESSAGE_ROOM */
    struct lane_burst burst;
    struct lane_join joins[LANE_JOINS];
    unsigned last_join; /* where the last packet went */
    struct lane_memo memo;
    struct pace pace;
    struct pace_turn turn; /* what this turn has handled so far */
};

struct lane_config {
    struct fabric *fabric;
    unsigned index;
    int udp_fd, send_fd, family; /* taken */
    void (*on_note)(void *ctx);
    void *ctx;
};

/* Creates a lane, not running.  -ENOMEM, errors of epoll_create1 and eventfd */
NODISCARD int lane_new(const struct lane_config *cfg, struct lane **out);
NODISCARD int lane_run(struct lane *l); /* errors of pthread_create */
void lane_free(struct lane *l);         /* stops and joins first; accepts NULL */

/* Control thread: starts and stops watching a network's TAP queue; the descriptor may be closed
 * after the reclaimer's grace. */
NODISCARD int lane_watch(struct lane *l, struct fabric_port *port);
void lane_unwatch(struct lane *l, struct fabric_port *port);

/* Control thread: prepared keys of retired sessions are wiped at the next turn. */
void lane_purge_keys(struct lane *l);

/* Control thread: takes the oldest note; false when there is none. */
bool lane_take_note(struct lane *l, struct fabric_note *out);

/* --- Between the files of the lane ------------------------------------------------------------ */

void lane_note(struct lane *l, const struct fabric_note *note); /* drops and counts when full */
const struct aead_key *lane_key(struct lane_key *keys, uint64_t serial, enum aead_suite suite,
                                const uint8_t key[AEAD_KEY_LEN]);
void lane_read_tap(struct lane *l, struct fabric_port *port);
void lane_flush_burst(struct lane *l);
void lane_read_udp(struct lane *l);
struct fabric_endpoint *lane_find_ip(const struct fabric *f, const struct fabric_network *n,
                                     const struct ip_addr *a);

#endif /* OVERLAYNET_LANE_H */
