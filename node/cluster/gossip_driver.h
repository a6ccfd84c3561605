/* node/cluster/gossip_driver.h - Runs gossip on libuv: its UDP socket, its timers, its streams.
 *
 * Inputs are noted; one pump from uv_prepare steps the core, packets before time-outs.
 * Streams, which carry what does not fit packets, go through a small interface: the node's links
 * implement it, and gossip_tcp.h does so for programs without links.
 *
 *     gossip_driver_open(&cfg, &d)   binds and starts
 *     gossip_driver_trust(d, ..)     this id is a member and has this key
 *     gossip_driver_contacts(d, ..)  whom to keep trying
 *     gossip_driver_close(d, ..)     says goodbye if asked to, then frees
 *
 * Callbacks run on the loop's thread and never inside a call of this header. */
#ifndef NODE_CLUSTER_GOSSIP_DRIVER_H
#define NODE_CLUSTER_GOSSIP_DRIVER_H

#include <uv.h>

#include "gossip/gossip.h"

struct gossip_driver;

/* Streams to peers. The driver calls these; what happens comes back through
 * gossip_driver_stream_*. `stream` is the driver's number for one it opened, even for one that was
 * announced by gossip_driver_stream_inbound(). */
struct gossip_transport {
    void *ctx;
    int (*open)(void *ctx, uint64_t stream, const struct id *peer, const struct gossip_addr *addr);
    int (*send)(void *ctx, uint64_t stream, struct slice bytes); /* copies */
    void (*close)(void *ctx, uint64_t stream);
};

struct gossip_driver_config {
    uv_loop_t *loop;
    const struct gossip_config *core; /* id, cluster, keys, addr, epoch; seed and salt are drawn by
                                       * the driver. Copied */
    const char *bind;                 /* "0.0.0.0:7946"; port 0 = any */
    struct gossip_transport transport;
    void *ctx;
    void (*on_notice)(void *ctx, const struct gossip_notice *notice);
};

/*   ERR_INVALID, -EADDRINUSE, .., -ENOMEM */
NODISCARD int gossip_driver_open(const struct gossip_driver_config *cfg,
                                 struct gossip_driver **out);

/* `farewell`: tell the others that this node leaves on purpose; takes up to core.leave_time. */
enum gossip_farewell { GOSSIP_VANISH, GOSSIP_FAREWELL };
void gossip_driver_close(struct gossip_driver *d, enum gossip_farewell farewell,
                         void (*on_closed)(void *ctx), void *ctx);

/* Inputs of the host, as the events of gossip.h that bear their names. */
void gossip_driver_trust(struct gossip_driver *d, const struct id *id,
                         const uint8_t public_key[GOSSIP_PUBLIC_KEY_LEN]);
void gossip_driver_forget(struct gossip_driver *d, const struct id *id);
void gossip_driver_contacts(struct gossip_driver *d, const struct gossip_contact *contacts,
                            size_t count);
void gossip_driver_keys(struct gossip_driver *d, const struct gossip_key *keys, size_t count);
void gossip_driver_meta(struct gossip_driver *d, struct slice meta);
void gossip_driver_address(struct gossip_driver *d, const struct gossip_addr *addr);
void gossip_driver_link_alive(struct gossip_driver *d, const struct id *id);
void gossip_driver_link_lost(struct gossip_driver *d, const struct id *id);

/* What the transport reports. */
uint64_t gossip_driver_stream_inbound(struct gossip_driver *d); /* the number of a new stream */
void gossip_driver_stream_data(struct gossip_driver *d, uint64_t stream, struct slice bytes);
void gossip_driver_stream_writable(struct gossip_driver *d, uint64_t stream);
void gossip_driver_stream_closed(struct gossip_driver *d, uint64_t stream);

/* The core, for reading only: members, counters. */
const struct gossip *gossip_driver_core(const struct gossip_driver *d);

/* The port that was bound. */
uint16_t gossip_driver_port(const struct gossip_driver *d);

/* "10.0.0.1:7946", "[fd00::1]:7946".  ERR_INVALID */
NODISCARD int gossip_addr_parse(const char *text, struct gossip_addr *out);

#endif /* NODE_CLUSTER_GOSSIP_DRIVER_H */
