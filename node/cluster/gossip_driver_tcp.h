/* node/cluster/gossip_driver_tcp.h - Gossip streams over plain TCP, one connection each.
 *
 * For tests and benches, and for whoever embeds gossip without node links. The frames on the
 * streams are sealed by the core, so plain TCP shows and admits nothing. It listens on the TCP
 * port of the same number as the driver's UDP port, for that is all that peers know.
 *
 *     gossip_tcp_new(loop, &tcp)
 *     cfg.transport = gossip_tcp_transport(tcp)
 *     gossip_driver_open(&cfg, &d)
 *     gossip_tcp_attach(tcp, d)               listens
 *     ..
 *     gossip_tcp_close(tcp, on_closed, ctx), gossip_driver_close(d, ..)
 *     gossip_tcp_free(tcp)                    when both have said that they are closed
 */
#ifndef NODE_CLUSTER_GOSSIP_DRIVER_TCP_H
#define NODE_CLUSTER_GOSSIP_DRIVER_TCP_H

#include "node/cluster/gossip_driver.h"

struct gossip_tcp;

NODISCARD int gossip_tcp_new(struct uv_loop_s *loop, struct gossip_tcp **out); /* -ENOMEM */
struct gossip_transport gossip_tcp_transport(struct gossip_tcp *tcp);

/* Listens where `d` is bound, and reports to it from now on.  -EADDRINUSE, ... */
NODISCARD int gossip_tcp_attach(struct gossip_tcp *tcp, struct gossip_driver *d);

/* Cuts every connection; no report follows. Calls `on_closed` once from the loop. */
void gossip_tcp_close(struct gossip_tcp *tcp, void (*on_closed)(void *ctx), void *ctx);
void gossip_tcp_free(struct gossip_tcp *tcp); /* after on_closed; accepts NULL */

#endif /* NODE_CLUSTER_GOSSIP_DRIVER_TCP_H */
