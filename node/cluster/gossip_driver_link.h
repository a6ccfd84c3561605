/* node/cluster/gossip_driver_link.h - Gossip streams over the node's secure links.
 *
 *     gossip_link_new(links, &gl)             handles LINK_GOSSIP: before links_listen()
 *     cfg.transport = gossip_link_transport(gl)
 *     gossip_driver_open(&cfg, &d)
 *     gossip_link_attach(gl, d)               reports to it, until attached to NULL
 *     ..
 *     gossip_link_attach(gl, NULL), gossip_driver_close(d, ..)
 *     links_close(..), gossip_link_free(gl)
 *
 * A stream to an address without an id cannot be dialled and is refused; the core then mends with
 * packets until it knows the id. */
#ifndef NODE_CLUSTER_GOSSIP_DRIVER_LINK_H
#define NODE_CLUSTER_GOSSIP_DRIVER_LINK_H

#include "node/cluster/gossip_driver.h"
#include "node/cluster/link.h"

struct gossip_link;

NODISCARD int gossip_link_new(struct links *links, struct gossip_link **out); /* -ENOMEM */
struct gossip_transport gossip_link_transport(struct gossip_link *gl);
void gossip_link_attach(struct gossip_link *gl, struct gossip_driver *d);

/* After links_close() is over, so that no stream is left. Accepts NULL. */
void gossip_link_free(struct gossip_link *gl);

#endif /* NODE_CLUSTER_GOSSIP_DRIVER_LINK_H */
