/* node/cluster/link_conn_priv.h - Private to link_conn*.c. */
#ifndef NODE_CLUSTER_LINK_CONN_PRIV_H
#define NODE_CLUSTER_LINK_CONN_PRIV_H

#include "node/cluster/link_conn.h"

/* Ends for a reason found here, and tells the owner. */
void conn_fail(struct conn *c, int reason);

/* Gives bytes to the kernel; what it does not take now goes when it can.
 *   ERR_FULL (something is on its way already), -ENOMEM, errno of write */
NODISCARD int conn_write(struct conn *c, struct slice bytes);

#endif /* NODE_CLUSTER_LINK_CONN_PRIV_H */
