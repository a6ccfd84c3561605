/* overlaynet/overlay_impl.h - What the files of the control side share. Private to the folder. */
#ifndef OVERLAYNET_OVERLAY_IMPL_H
#define OVERLAYNET_OVERLAY_IMPL_H

#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "overlaynet/fabric.h"
#include "overlaynet/lane.h"
#include "overlaynet/plumb.h"
#include "overlaynet/pmtu.h"
#include "overlaynet/underlay.h"
#include "overlaynet/worker.h"

#define OVERLAY_RECONCILE_MS         30000
#define OVERLAY_HINTS                16                /* of strangers, for each lane .. */
#define OVERLAY_HINTS_NS             (100 * NS_PER_MS) /* .. in so long */
#define OVERLAY_UNDERLAY_MTU_DEFAULT 1500
#define OVERLAY_EGRESS4_DEFAULT      "172.31.192.0/18"
#define OVERLAY_EGRESS6_DEFAULT      "fdf6:7368:6f61:6c00::/64"
#define OVERLAY_VXLAN_PORT_DEFAULT   4789
#define OVERLAY_VXLAN_HEADER_LEN     8

/* A node other than this one. */
struct peer {
    struct fabric_peer fabric;
    struct heap_node timer;
    struct pmtu pmtu; /* its size is fabric.path_mtu */
    size_t shared;    /* networks in which both this node and the peer have endpoints */
    uint64_t key_number;
    struct fabric_tx *next_tx; /* installed, not active yet */
    uint16_t next_tx_block;
    struct ip_endpoint path_to; /* what fabric.path says */
};

enum net_state { NET_DOWN, NET_RISING, NET_UP, NET_FAILED };

struct member {
    struct peer *peer;
    size_t endpoint_count;
};

struct net {
    struct overlay *overlay;
    struct overlay_network spec;
    struct fabric_network *fabric;
    struct table by_id; /* struct fabric_endpoint */
    struct map members; /* struct member, by node id */
    size_t local_count; /* endpoints of this node */
    size_t leg_count;   /* of sandboxes that exist or are being made */
    enum net_state state;
    bool is_published; /* lanes know it */
    bool is_syncing;   /* in clear: static entries are being written .. */
    bool is_dirty;     /* .. and have changed since */
};

struct overlay {
    struct overlay_config cfg;
    char state_dir[OVERLAY_PATH_MAX], run_dir[OVERLAY_PATH_MAX];
    uint32_t underlay_mtu;
    uint16_t port;
    uv_loop_t *loop;
    uv_async_t notes;
    uv_timer_t timer, reconcile_timer;
    struct worker *worker;
    struct plumb *plumb; /* worker thread */
    struct fabric fabric;
    int family;
    struct session_local local;
    struct hash_seed seed;
    struct map nets;       /* struct net, by id */
    struct map peers;      /* struct peer, by node id */
    struct map peer_marks; /* struct peer, by the address of its fabric_peer */
    struct map sandboxes;  /* struct box, by id */
    mono_ns hints_at;
    struct heap timers;
    size_t endpoint_count, peers_up, endpoint_bytes;
    uint64_t next_serial;
    uint64_t drift_total;
    uint32_t block_used[PACKET_BLOCKS / 32];
    bool is_closing;
    unsigned open_handles;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* overlay.c */
void overlay_tell(struct overlay *o, enum overlay_event_kind kind, const struct id *subject,
                  int err, uint32_t value, const char *detail);
mono_ns overlay_now(const struct overlay *o);

/* overlay_table.c: peers, endpoints */
struct peer *overlay_find_peer(const struct overlay *o, const struct id *node_id);
void overlay_forget_endpoints(struct net *n);
void overlay_free_tables(struct overlay *o); /* networks too */

/* overlay_network.c */
struct net *overlay_find_net(const struct overlay *o, const struct id *id);
void overlay_net_forget(struct net *n); /* with its endpoints */
void overlay_free_networks(struct overlay *o);
uint32_t overlay_net_mtu(const struct overlay *o, const struct net *n);
void overlay_net_publish(struct net *n, const int *tap_fds); /* takes the descriptors */

/* overlay_peer.c: sessions */
void overlay_peer_retime(struct overlay *o, struct peer *p);
void overlay_peer_want(struct overlay *o, struct peer *p);
void overlay_peer_drop_sessions(struct overlay *o, struct peer *p);
void overlay_take_notes(struct overlay *o);
void overlay_run_timers(struct overlay *o);

/* overlay_net_op.c, overlay_sandbox.c, overlay_op.c */
void overlay_sync_clear(struct net *n, bool refresh); /* networks in clear: endpoints changed */
void overlay_reconcile(struct overlay *o);
void overlay_free_sandboxes(struct overlay *o);

#endif /* OVERLAYNET_OVERLAY_IMPL_H */
