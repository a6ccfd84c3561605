/* overlaynet/services_impl.h - Private to services*.c: who has rules, and a change of them on its
 * way. */
#ifndef OVERLAYNET_SERVICES_IMPL_H
#define OVERLAYNET_SERVICES_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/buf.h"
#include "base/map.h"
#include "overlaynet/ingress.h"
#include "overlaynet/plumb.h"
#include "overlaynet/resolver.h"
#include "overlaynet/services.h"
#include "overlaynet/services_apply.h"
#include "overlaynet/services_table.h"
#include "overlaynet/vip.h"
#include "overlaynet/worker.h"

/* A sandbox that was attached, or the host. */
struct box {
    struct overlay_services *services;
    struct id id; /* none: the host */
    size_t network_count;
    struct id networks[OVERLAY_ATTACHMENTS_MAX];
    bool has_ip6[OVERLAY_ATTACHMENTS_MAX];
    char ifnames[OVERLAY_ATTACHMENTS_MAX][OVERLAY_IFNAME_MAX];
    struct resolver_seat *seat;
    struct resolver_sockets ports; /* of the seat; the descriptors are not kept */
    unsigned pending;              /* operations under way */
    bool is_dirty, is_gone;
    uint64_t loaded;      /* hash of the rules that are in force; 0 = unknown, as is .. */
    uint64_t loaded_text; /* .. that of their text; 0 also when there is none */
    unsigned loaded_slots;
};

struct overlay_services {
    struct overlay_services_config cfg;
    struct hash_seed seed;
    struct worker *worker;
    struct resolver *resolver;
    struct services_table table;
    struct map boxes; /* struct box, by id */
    struct box host;
    struct ingress_neighbour *neighbours; /* in force on the host */
    size_t neighbour_count;
    uv_timer_t flush;
    uint64_t flushed_ms; /* when the last flush was, by the loop's clock */
    bool is_settled, is_closing;
    unsigned open_parts;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Copies of all that the worker needs. */
struct box_op {
    struct work work;
    struct box *box;
    struct buf rules; /* text */
    struct vip_plan plan;
    uint64_t hash, text_hash;
    char path[OVERLAY_PATH_MAX];
    struct services_apply_sandbox apply;
    struct resolver_sockets sockets;
    struct ingress_gateway *gateways;
    struct id networks[SERVICES_INGRESS_NETWORKS_MAX]; /* of the host */
    bool has_ip6[SERVICES_INGRESS_NETWORKS_MAX];       /* its leg there */
    struct services_apply_host host;
    struct ingress_neighbour *neighbours;
    int rc;
    char why[PLUMB_WHY_MAX];
    overlay_done done; /* NULL: a flush */
    void *ctx;
};

/* Fill the operation with the rules that the table gives the sandbox, or the host; its hash is that
 * of all that is put in force. On failure it is freed as it is.  ERR_TOO_LARGE (of the rules),
 * -ENOMEM */
NODISCARD int services_write_sandbox(struct box *b, struct box_op *op);
NODISCARD int services_write_host(struct box *b, struct box_op *op);

bool services_is_ingress(const struct overlay_services *s, const struct id *network_id);

#endif /* OVERLAYNET_SERVICES_IMPL_H */
