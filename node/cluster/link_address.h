/* node/cluster/link_address.h - "10.0.0.1:2377" and "[fd00::1]:2377". */
#ifndef NODE_CLUSTER_LINK_ADDRESS_H
#define NODE_CLUSTER_LINK_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "node/cluster/link.h"

/* Splits "host:port", "[v6]:port" or "host" (then the port is LINK_PORT). `host` has room for 256.
 *   ERR_INVALID */
NODISCARD int address_split(const char *text, char *host, uint16_t *port);

/* Numeric only.  ERR_INVALID */
NODISCARD int address_parse(const char *text, struct sockaddr_storage *out);

void address_format(const struct sockaddr *address, char out[LINK_ADDRESS_LEN]);

/* Without the port and its colon, and without brackets. */
void address_format_host(const struct sockaddr *address, char out[LINK_ADDRESS_LEN]);

#endif /* NODE_CLUSTER_LINK_ADDRESS_H */
