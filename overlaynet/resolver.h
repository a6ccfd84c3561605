/* overlaynet/resolver.h - The resolver's sockets: one of UDP and one of TCP in every sandbox.
 *
 * They are made by the worker inside the sandbox's namespace and served on the loop; a socket stays
 * in the namespace where it was made. They listen on ports that the kernel chose, so that a
 * container may have a name server of its own on port 53; rules of the sandbox lead there what is
 * sent to OVERLAY_RESOLVER_ADDRESS port 53. */
#ifndef OVERLAYNET_RESOLVER_H
#define OVERLAYNET_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "overlaynet/services_table.h"

#define RESOLVER_QUERY_MAX       4096 /* of a question over TCP, in bytes */
#define RESOLVER_CONNECTIONS_MAX 32   /* of one sandbox */
#define RESOLVER_PENDING_MAX     128  /* questions of one sandbox at the host's resolvers */
#define RESOLVER_IDLE_MS         10000

struct resolver;
struct resolver_seat; /* a sandbox's sockets */
struct uv_loop_s;

/* Borrows `table` until closed. */
NODISCARD int resolver_new(struct uv_loop_s *loop, const struct services_table *table,
                           struct resolver **out);
/* Closes the seats too. */
void resolver_close(struct resolver *r, void (*closed)(void *ctx), void *ctx);

struct resolver_sockets {
    int udp, tcp; /* -1 = none */
    uint16_t udp_port, tcp_port;
};

/* Makes them in the thread's namespace. On the worker. */
NODISCARD int resolver_sockets_open(struct resolver_sockets *out);
void resolver_sockets_close(struct resolver_sockets *sockets);

/* Serves a sandbox. Takes the sockets, also when it fails. */
NODISCARD int resolver_seat_new(struct resolver *r, struct resolver_sockets *sockets,
                                struct resolver_seat **out);
void resolver_seat_set_networks(struct resolver_seat *seat, const struct id *networks,
                                size_t count);        /* at most OVERLAY_ATTACHMENTS_MAX */
void resolver_seat_close(struct resolver_seat *seat); /* accepts NULL */

#endif /* OVERLAYNET_RESOLVER_H */
