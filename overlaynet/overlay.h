/* overlaynet/overlay.h - The networks of one host and the sealed path to the others.
 *
 * Containers of one network see one Ethernet segment whatever host they run on. Between hosts
 * every frame is sealed under keys that only the two hosts have; a network is carried in clear
 * only when it was created so. The formats are in docs/formats/overlay.md.
 *
 * The caller (the agent) states what should be, in any order and as often as it likes; the kernel
 * is brought there and kept there:
 *
 *     overlay_open(&cfg, &o)
 *     overlay_network_set, overlay_peer_set, overlay_endpoint_set   desired state, idempotent
 *     overlay_sandbox_create(o, &sandbox, done, ctx)                a container's network
 *     overlay_settle(o)                                             desired state is complete:
 *                                                                   remove what nobody asked for
 *     overlay_close(o, done, ctx)                                   keys gone, kernel state stays
 *
 * Nothing that runs depends on this process: after overlay_close, a crash or kill -9 the
 * namespaces, bridges and interfaces stay, traffic inside the host goes on, and the next
 * overlay_open adopts them by their names. Traffic between hosts resumes when endpoints and
 * peers are stated again. overlay_settle() is what removes left-overs, so call it once all
 * desired state of this start has been stated.
 *
 * Where things are, all under `run_dir`, all named by ids:
 *     netns/<sandbox id>       namespace of a sandbox: interfaces as the caller named them
 *     netns/net-<network id>   namespace of a network: bridge br0, TAP tap0, a port per endpoint
 * `run_dir` must lie on a mount that outlives the process: where the program runs in a mount
 * namespace of its own, on one that propagates to the host's.
 *
 * Everything runs on the loop's thread except the data path, which has threads of its own, and
 * kernel configuration, which runs on one worker thread; callbacks come on the loop's thread and
 * never from inside a call into this header. Needs CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_BPF.
 * Functions borrow their arguments for the call and copy what they keep. Not thread-safe. */
#ifndef OVERLAYNET_OVERLAY_H
#define OVERLAYNET_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/id.h"
#include "overlaynet/ip.h"

#define OVERLAY_PORT_DEFAULT    7947 /* udp; not 4789: network cards parse that as plain VXLAN */
#define OVERLAY_KEY_LEN         32
#define OVERLAY_MAC_LEN         6
#define OVERLAY_IFNAME_MAX      16 /* with the NUL, as the kernel's IFNAMSIZ */
#define OVERLAY_PATH_MAX        256
#define OVERLAY_NAME_MAX        64
#define OVERLAY_PEER_ADDRS_MAX  4
#define OVERLAY_ATTACHMENTS_MAX 32
#define OVERLAY_PUBLISH_MAX     256
#define OVERLAY_LANES_MAX       7
#define OVERLAY_NETWORKS_MAX    4096
#define OVERLAY_PEERS_MAX       4096
#define OVERLAY_ENDPOINTS_MAX   1000000
#define OVERLAY_SANDBOXES_MAX   4096

struct overlay;
struct uv_loop_s; /* uv_loop_t: <uv.h> brings macros that readers of this page do not need */

/* --- What happened, for the caller's log and status ------------------------------------------ */

enum overlay_event_kind {
    OVERLAY_PEER_UP,        /* keys agreed and the peer answers */
    OVERLAY_PEER_DOWN,      /* nothing authentic heard for 15 s although we sent */
    OVERLAY_NETWORK_READY,  /* its kernel objects exist */
    OVERLAY_NETWORK_FAILED, /* they could not be made; retried at the next reconciliation */
    OVERLAY_DRIFT,          /* kernel state differed from desired state and was repaired */
    OVERLAY_PATH_MTU,       /* the largest packet that reaches a peer changed */
};

struct overlay_event {
    enum overlay_event_kind kind;
    struct id subject;  /* the peer's node id, or the network's id */
    int err;            /* OVERLAY_NETWORK_FAILED */
    uint32_t value;     /* drifted objects, or bytes of path MTU */
    const char *detail; /* a sentence, or ""; borrowed for the call */
};

typedef void (*overlay_on_event)(void *ctx, const struct overlay_event *event);

/* --- Life cycle ------------------------------------------------------------------------------ */

struct overlay_config {
    struct uv_loop_s *loop; /* borrowed until overlay_close has called back */
    const char *state_dir;  /* survives reboots: the boot epoch that keeps handshakes fresh */
    const char *run_dir;    /* tmpfs */
    struct id node_id;      /* this node */
    uint8_t static_secret[OVERLAY_KEY_LEN]; /* X25519; copied, wiped on close */
    uint8_t static_public[OVERLAY_KEY_LEN];
    struct ip_endpoint bind;   /* none = all addresses of both families; port 0 = default */
    unsigned lanes;            /* data-path threads; 0 = one per core, at most 4 */
    uint32_t underlay_mtu;     /* 0 = of the interface with the default route, else 1500 */
    struct ip_prefix egress4;  /* addresses of sandboxes on the host's bridge for outgoing
                                * traffic; none = 172.31.192.0/18. Never leaves the host */
    struct ip_prefix egress6;  /* none = fdf6:7368:6f61:6c00::/64 */
    uint16_t clear_port;       /* VXLAN port of networks switched to clear; 0 = 4789 */
    bool no_egress;            /* never touch the host's own namespace (tests, labs) */
    bool no_hardware_aes;      /* offer only ChaCha20-Poly1305 */
    overlay_on_event on_event; /* may be NULL */
    void *event_ctx;
};

/* Opens the data port, starts the data path and removes nothing. Copies `cfg`. The caller owns
 * *out: overlay_close(). On failure `why` (of `why_len`, may be NULL) has a sentence.
 *   -EPERM (capabilities), -EADDRINUSE, ERR_INVALID (a rule at its field is broken), ERR_CORRUPT
 *   (the epoch file), ERR_CONFLICT (egress4 overlaps a route of this host), -ENOMEM, .. */
NODISCARD int overlay_open(const struct overlay_config *cfg, struct overlay **out, char *why,
                           size_t why_len);

/* Stops the data path, forgets all keys, leaves kernel state. Pending operations end with
 * ERR_CLOSED before `done`. Accepts NULL (then `done` is not called). */
void overlay_close(struct overlay *o, void (*done)(void *ctx), void *ctx);

/* All desired state of this start has been stated: namespaces and interfaces of networks and
 * sandboxes that nobody asked for are removed. Until this call nothing found is removed. */
void overlay_settle(struct overlay *o);

/* --- Desired state --------------------------------------------------------------------------- */

struct overlay_network {
    struct id id;
    uint32_t vni;
    char name[OVERLAY_NAME_MAX]; /* for messages */
    struct ip_prefix subnet4, subnet6;
    struct ip_addr gateway4, gateway6; /* reserved in the subnet; nothing answers there */
    uint32_t mtu;                      /* of the containers' interfaces; 0 = what fits underlay_mtu:
                                        * 74 bytes less over IPv4, 94 over IPv6 */
    bool encrypted;                    /* false: kernel VXLAN, readable on the wire */
    bool internal;                     /* sandboxes get no way out of the cluster */
    bool ingress;                      /* carries published ports between nodes */
};

/* States a network. It costs kernel objects from its first sandbox on this node until it is
 * removed. A repetition with other values changes mtu, name and internal; the rest of a network is
 * fixed. ERR_INVALID, ERR_CONFLICT (VNI of another network; a fixed value changed), ERR_FULL,
 * -ENOMEM */
NODISCARD int overlay_network_set(struct overlay *o, const struct overlay_network *network);
/* Forgets it with its endpoints; unknown is no error.  ERR_IN_USE: a sandbox is attached */
NODISCARD int overlay_network_remove(struct overlay *o, const struct id *network_id);

struct overlay_peer {
    struct id node_id;
    uint8_t static_public[OVERLAY_KEY_LEN];
    struct ip_endpoint addrs[OVERLAY_PEER_ADDRS_MAX]; /* hints, tried in turn; port 0 = default */
    size_t addr_count;
};

/* States a node and its key. Sessions are made with peers that share a network with this node.
 * New addresses are used at the next handshake; a new key ends the sessions of the old one.
 * This node itself is ignored.  ERR_INVALID, ERR_CONFLICT (key of another peer), ERR_FULL, -ENOMEM
 */
NODISCARD int overlay_peer_set(struct overlay *o, const struct overlay_peer *peer);
/* Nothing sent by that node is accepted from now on; its endpoints are unreachable. */
void overlay_peer_remove(struct overlay *o, const struct id *node_id);

struct overlay_endpoint {
    struct id network_id;
    struct id endpoint_id; /* unique in its network */
    struct id node_id;     /* where it is; may be this node, may be a peer not stated yet */
    struct ip_addr ip4, ip6;
    uint8_t mac[OVERLAY_MAC_LEN]; /* overlay_mac() */
    uint64_t generation;          /* of the allocation; a lower one than known is stale */
    bool gateway;                 /* a node's ingress leg: it may send from any address */
};

/* States where an address is. An endpoint on another node makes that node a member of the
 * network: only its own endpoints may be sources there.
 *   ERR_NOT_FOUND (network), ERR_STALE (lower generation; nothing changed), ERR_CONFLICT (MAC or
 *   address of another endpoint with a higher generation; the lower one is replaced),
 *   ERR_INVALID, ERR_FULL, -ENOMEM (then it is forgotten: state it again) */
NODISCARD int overlay_endpoint_set(struct overlay *o, const struct overlay_endpoint *endpoint);
void overlay_endpoint_remove(struct overlay *o, const struct id *network_id,
                             const struct id *endpoint_id); /* unknown is no error */

/* The address of an endpoint: locally administered, from a hash of network, address and
 * generation, so that an address given to another task has another MAC. Pure. */
void overlay_mac(const struct id *network_id, const struct ip_addr *addr, uint64_t generation,
                 uint8_t out[OVERLAY_MAC_LEN]);

/* --- Sandboxes ------------------------------------------------------------------------------- */

/* One leg of a sandbox. It is a local endpoint from overlay_sandbox_create() on; stating it by
 * overlay_endpoint_set() too is harmless. */
struct overlay_attachment {
    struct id network_id;
    struct id endpoint_id;
    struct ip_addr ip4, ip6;
    uint8_t mac[OVERLAY_MAC_LEN];
    uint64_t generation;
    bool gateway;                    /* as in struct overlay_endpoint */
    char ifname[OVERLAY_IFNAME_MAX]; /* inside the sandbox, such as "eth0" */
};

/* A port of the host that leads to this sandbox alone (host mode). */
struct overlay_publish {
    uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
    uint16_t host_port;
    uint16_t target_port;
};

struct overlay_sandbox {
    struct id id;
    bool in_host; /* no namespace of its own: the legs are interfaces of the host, for a node's
                   * gateway on the ingress network; ifname must then be unique on the host */
    bool egress;  /* a way out of the cluster through the host, masqueraded; refused with a
                   * network that is internal. The interface is named "egress0" */
    const struct overlay_attachment *attachments;
    size_t attachment_count;
    const struct overlay_publish *publish; /* needs egress */
    size_t publish_count;
};

/* `err` 0 or why it failed; `why` is a sentence, "" on success, borrowed for the call. */
typedef void (*overlay_done)(void *ctx, int err, const char *why);

/* Makes the namespace and its interfaces, or adopts those of an earlier run. Repeating it for a
 * sandbox that exists compares and repairs, and may add or remove attachments. Everything is
 * policed before the first frame can leave. `done` is always called, once.
 * A failed creation leaves nothing behind.
 *   ERR_NOT_FOUND (network not stated), ERR_INVALID, ERR_CONFLICT (MAC or address of another
 *   endpoint), ERR_FULL, ERR_CLOSED, errors of the kernel */
void overlay_sandbox_create(struct overlay *o, const struct overlay_sandbox *sandbox,
                            overlay_done done, void *ctx);

/* Removes it with its endpoints; unknown is no error. Processes still inside keep a namespace
 * without interfaces. */
void overlay_sandbox_destroy(struct overlay *o, const struct id *sandbox_id, overlay_done done,
                             void *ctx);

/* The path of its namespace, for an OCI runtime or setns(2); it need not exist yet. */
void overlay_sandbox_netns(const struct overlay *o, const struct id *sandbox_id,
                           char out[OVERLAY_PATH_MAX]);

/* --- Counters -------------------------------------------------------------------------------- */

/* X(name, meaning). Everything that is not delivered is counted under one of these. */
#define OVERLAY_DROP_LIST(X)                                                                   \
    X(tx_malformed, "frame or offload request of a container that makes no sense")             \
    X(tx_forged_source, "source MAC or address is not the sender's")                           \
    X(tx_forbidden, "protocol that containers may not send: RA, redirect, DHCP, unknown type") \
    X(tx_group, "broadcast or multicast, which the overlay does not carry")                    \
    X(tx_unknown_destination, "no endpoint has that MAC")                                      \
    X(tx_no_session, "no keys with the destination's node yet")                                \
    X(tx_key_spent, "packet limit of a key reached before the next one was agreed")            \
    X(tx_too_large, "does not fit the path and may not be cut")                                \
    X(tx_underlay, "the host's network refused or had no room")                                \
    X(rx_malformed, "not a packet of ours: cleartext VXLAN, wrong version, truncated")         \
    X(rx_unknown_session, "no session with that index: of before a restart, or a stranger's")  \
    X(rx_replay, "counter seen before or older than the window")                               \
    X(rx_forged, "does not open under the session's key")                                      \
    X(rx_unknown_network, "VNI that this node does not take part in")                          \
    X(rx_forged_source, "source is no endpoint of the sending node in that network")           \
    X(rx_unknown_destination, "destination is no endpoint of this node")                       \
    X(rx_forbidden, "protocol that the overlay does not carry")                                \
    X(rx_bad_frame, "sealed content that is no frame")                                         \
    X(rx_tap, "the network's interface refused it")                                            \
    X(handshake_stranger, "handshake that no known peer authenticated")                        \
    X(handshake_replay, "handshake older than one already seen")                               \
    X(handshake_failed, "handshake that did not verify")                                       \
    X(handshake_overflow, "handshakes arriving faster than they are processed")

struct overlay_counters {
    uint64_t tx_frames, tx_bytes; /* as containers sent them: a cut frame counts once */
    uint64_t tx_packets;          /* sealed packets */
    uint64_t rx_frames, rx_bytes; /* as handed to containers */
    uint64_t rx_packets;
    uint64_t answered; /* ARP and neighbour requests answered from the table */
    uint64_t gathered; /* turns after which datagrams were left to gather; of no network */
    struct {
#define OVERLAY_DROP_MEMBER(name, meaning) uint64_t name;
        OVERLAY_DROP_LIST(OVERLAY_DROP_MEMBER)
#undef OVERLAY_DROP_MEMBER
    } drops;
};

/* Counters of a network since the start; with NULL the sum of all, with those drops that belong
 * to no network.  ERR_NOT_FOUND */
NODISCARD int overlay_stats(const struct overlay *o, const struct id *network_id,
                            struct overlay_counters *out);

struct overlay_peer_status {
    bool up;
    struct ip_endpoint addr; /* where its last authentic packet came from */
    uint32_t path_mtu;       /* largest UDP payload plus headers that reaches it */
    uint64_t session_age_ns; /* of the current keys; 0 = none */
    uint64_t handshakes;     /* completed since the start */
    const char *cipher;      /* "AES-256-GCM", "ChaCha20-Poly1305" or "" */
};

/*   ERR_NOT_FOUND */
NODISCARD int overlay_peer_status(const struct overlay *o, const struct id *node_id,
                                  struct overlay_peer_status *out);

struct overlay_status {
    size_t networks, peers, peers_up, endpoints, sandboxes;
    size_t memory_bytes; /* of the endpoint and peer tables */
    unsigned lanes;
    const char *cipher_engine; /* "libipsec-mb", "libsodium" */
    bool udp_gso, udp_gro;     /* what the kernel gives; slower paths are used without */
    bool tap_uso;
    uint64_t drift_total; /* differences repaired since the start */
};

void overlay_status(const struct overlay *o, struct overlay_status *out);

#endif /* OVERLAYNET_OVERLAY_H */
