/* overlaynet/fabric.h - What the control thread and the data-path lanes share.
 *
 * The control thread writes, lanes read; objects are replaced, never changed under a reader, and
 * freed through the reclaimer. Each lane owns its own part of a session (one key and counter for
 * sending, one key and replay window for each lane of the peer that is steered to it), its
 * sockets, its TAP queues and its counters, so nothing on the path of a packet is locked or
 * shared for writing.
 *
 *     control --(tables, sessions)--> lanes --(ring: handshakes, control packets, hints)--> control
 */
#ifndef OVERLAYNET_FABRIC_H
#define OVERLAYNET_FABRIC_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/id.h"
#include "overlaynet/aead.h"
#include "overlaynet/guard.h"
#include "overlaynet/overlay.h"
#include "overlaynet/packet.h"
#include "overlaynet/reclaim.h"
#include "overlaynet/replay.h"
#include "overlaynet/session.h"
#include "overlaynet/table.h"

struct lane;

/* Where packets to a peer go. Immutable; replaced when the peer moves. */
struct fabric_path {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    size_t piece_max; /* largest inner frame that fits the path in one packet */
};

/* Keys to send under. Each lane advances its own counter only. */
struct fabric_tx_lane {
    _Alignas(64) uint64_t counter;
    uint64_t serial; /* names the key for ever: lanes keep prepared keys by it */
    uint8_t key[AEAD_KEY_LEN];
    bool spent_told;
};

struct fabric_tx {
    uint16_t remote_block;
    enum aead_suite suite;
    uint8_t control_key[AEAD_KEY_LEN]; /* control thread only, as the next */
    uint64_t control_counter;
    unsigned lane_count;
    struct fabric_tx_lane lanes[]; /* one for each of our lanes */
};

/* Keys to open with. A lane touches only those parts that are steered to it. */
struct fabric_rx_lane {
    uint64_t serial;
    uint64_t forgeries;
    bool is_heard; /* the control thread was told that the session is proven */
    uint8_t key[AEAD_KEY_LEN];
    struct replay replay;
};

struct fabric_rx {
    struct fabric_peer *peer;
    uint16_t block;
    bool is_ready; /* false: only waiting for a WELCOME */
    enum aead_suite suite;
    uint8_t control_key[AEAD_KEY_LEN]; /* lane 0 only, as the next */
    uint64_t control_next;             /* control packets never arrive late: one each second */
    unsigned lane_count;
    struct fabric_rx_lane lanes[]; /* one for each lane of the peer */
};

/* A node. Exists while it was stated, or endpoints refer to it. */
struct fabric_peer {
    struct id node_id;
    _Atomic(struct fabric_tx *) tx;     /* NULL = no keys: nothing is sent */
    _Atomic(struct fabric_path *) path; /* set before tx */
    _Atomic uint64_t stamp_seen;        /* lanes drop older HELLOs at once */
    bool is_stated;                     /* the key below is valid */
    struct session session;             /* control thread, except its immutable MAC keys */
    size_t endpoint_count;
    uint32_t path_mtu;
};

struct fabric_endpoint {
    struct fabric_peer *peer; /* NULL = on this node */
    struct guard_identity identity;
    struct id endpoint_id;
    uint64_t generation;
};

#define FABRIC_COUNTER_LIST(X) \
    X(tx_frames)               \
    X(tx_bytes) X(tx_packets) X(rx_frames) X(rx_bytes) X(rx_packets) X(answered) X(gathered)

/* Written by one lane; read by anyone. */
struct fabric_counters {
#define FABRIC_MEMBER(name) _Atomic uint64_t name;
    FABRIC_COUNTER_LIST(FABRIC_MEMBER)
#undef FABRIC_MEMBER
#define FABRIC_DROP(name, meaning) _Atomic uint64_t drop_##name;
    OVERLAY_DROP_LIST(FABRIC_DROP)
#undef FABRIC_DROP
};

/* One lane's end of a network. */
struct fabric_port {
    struct fabric_network *network;
    int tap_fd;
    _Alignas(64) struct fabric_counters counters;
};

/* A sealed network that this node takes part in. */
struct fabric_network {
    uint32_t vni;
    struct table by_mac; /* struct fabric_endpoint, by fabric_mac_key() */
    struct table by_ip;  /* the same, by fabric_ip_key() */
    unsigned port_count;
    struct fabric_port ports[]; /* one for each lane */
};

struct fabric {
    struct reclaim reclaim;
    struct table networks; /* struct fabric_network, by VNI */
    struct table key_ids;  /* struct fabric_peer, by the number of its key id */
    _Atomic(struct fabric_rx *) rx[PACKET_BLOCKS];
    uint64_t ip_secret[2]; /* hash key of by_ip */
    unsigned lane_count;
    struct lane *lanes[OVERLAY_LANES_MAX];
    struct fabric_counters *common; /* one for each lane: what belongs to no network */
    _Atomic bool udp_gso;           /* switched off when a device refuses it */
    bool udp_gro, tap_uso;
};

static inline uint64_t fabric_mac_key(const uint8_t mac[FRAME_MAC_LEN])
{
    uint64_t k = UINT64_C(1) << 63; /* never zero */

    for (int i = 0; i < FRAME_MAC_LEN; i++)
        k |= (uint64_t)mac[i] << (40 - 8 * i);
    return k;
}

/* An IPv4 address is its own key; an IPv6 one is hashed, so compare on a hit. */
uint64_t fabric_ip_key(const struct fabric *f, const struct ip_addr *a);

static inline void fabric_count(_Atomic uint64_t *counter, uint64_t n)
{
    /* One writer: no read-modify-write is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* --- From lanes to the control thread -------------------------------------------------------- */

enum fabric_note_kind {
    FABRIC_HANDSHAKE, /* bytes: a packet whose MAC is right */
    FABRIC_CONTROL,   /* a control packet that opened */
    FABRIC_HEARD,     /* first data under an unproven session */
    FABRIC_SPENT,     /* a key of the peer's session nears its limit */
    FABRIC_POKE,      /* a packet under an unknown session */
};

struct fabric_note {
    enum fabric_note_kind kind;
    uint16_t block;
    struct packet_control control;
    struct fabric_peer *peer; /* handshakes and SPENT: compare before use, it may be gone */
    struct sockaddr_storage from;
    uint16_t len;
    uint8_t bytes[SESSION_HELLO_LEN];
};

#endif /* OVERLAYNET_FABRIC_H */
