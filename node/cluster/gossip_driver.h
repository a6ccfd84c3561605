/* node/cluster/gossip_driver.h - Runs gossip on libuv: its UDP socket, its timers, its streams.
 *
 * Inputs are noted; one pump from uv_prepare steps the core, packets before time-outs.
 * Datagrams are received in batches and sent at once; what the system has no room for is dropped
 * and counted, for gossip repeats itself. Streams, which carry what does not fit packets, go
 * through a small interface: the node's links implement it (gossip_driver_link.h), and plain TCP
 * does so for programs without links (gossip_driver_tcp.h).
 *
 *     gossip_driver_open(&cfg, &d)   binds and starts
 *     gossip_driver_trust(d, ..)     this id is a member and has this key
 *     gossip_driver_contacts(d, ..)  whom to keep trying
 *     gossip_driver_close(d, ..)     says goodbye if asked to, then frees
 *
 * Callbacks run on the loop's thread and never inside a call of this header; they may call anything
 * in it. */
#ifndef NODE_CLUSTER_GOSSIP_DRIVER_H
#define NODE_CLUSTER_GOSSIP_DRIVER_H

#include <uv.h>

#include "gossip/gossip.h"

struct gossip_driver;

/* Streams to peers. The driver calls these; what happens comes back through
 * gossip_driver_stream_*. `stream` is the driver's number for one it opened, even for one that was
 * announced by gossip_driver_stream_inbound(). A negative result means that the stream is over;
 * nothing more is reported about it. All NULL: no streams; small groups manage without. */
struct gossip_transport {
    void *ctx;
    /* `peer` is none when only the address is known. Report writable, or closed. */
    int (*open)(void *ctx, uint64_t stream, const struct id *peer, const struct gossip_addr *addr);
    /* Copies. Report writable once it has gone out: until then nothing more is sent. */
    int (*send)(void *ctx, uint64_t stream, struct slice bytes);
    /* Ends it after what was sent; report closed. Unknown streams are ignored. */
    void (*close)(void *ctx, uint64_t stream);
};

struct gossip_driver_config {
    uv_loop_t *loop;
    const struct gossip_config *core; /* seed and salt are drawn by the driver; addr with len 0 or
                                       * port 0 takes what was bound. Borrowed for the call */
    const char *bind;                 /* "0.0.0.0:7946"; port 0 = any. Borrowed for the call */
    struct gossip_transport transport;
    void *ctx;
    void (*on_notice)(void *ctx, const struct gossip_notice *notice); /* borrows; may be NULL */
};

/*   ERR_INVALID, -EADDRINUSE, .., -ENOMEM */
NODISCARD int gossip_driver_open(const struct gossip_driver_config *cfg,
                                 struct gossip_driver **out);

/* `farewell`: tell the others that this node leaves on purpose; takes core.leave_time. Calls
 * `on_closed` once, from the loop, when `d` is gone. No notice comes any more, and what the
 * transport reports about streams that were open must not come after on_closed. */
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

/* Where the socket is bound, with its real port. */
struct gossip_addr gossip_driver_bound(const struct gossip_driver *d);
uint16_t gossip_driver_port(const struct gossip_driver *d);

struct gossip_driver_stats {
    uint64_t datagrams_in, datagrams_out;
    uint64_t dropped_in;  /* too large, too many at once, or no memory */
    uint64_t dropped_out; /* the system had no room */
    uint64_t failed_out;  /* the system knows no way there, or nothing listens */
    uint64_t refused;     /* events that the core refused, or had no memory for */
};
struct gossip_driver_stats gossip_driver_stats_get(const struct gossip_driver *d);

/* "10.0.0.1:7946", "[fd00::1]:7946", and back.  ERR_INVALID */
NODISCARD int gossip_addr_parse(const char *text, struct gossip_addr *out);
#define GOSSIP_ADDR_TEXT_LEN 64
void gossip_addr_format(const struct gossip_addr *addr, char out[GOSSIP_ADDR_TEXT_LEN]);

#endif /* NODE_CLUSTER_GOSSIP_DRIVER_H */
