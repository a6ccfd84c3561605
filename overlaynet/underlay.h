/* overlaynet/underlay.h - The data port: sockets of the lanes, and what the kernel offers them. */
#ifndef OVERLAYNET_UNDERLAY_H
#define OVERLAYNET_UNDERLAY_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "overlaynet/ip.h"
#include "overlaynet/overlay.h"

struct underlay {
    int family; /* AF_INET6 serves both families where the kernel has it */
    unsigned lane_count;
    int udp_fds[OVERLAY_LANES_MAX];  /* share the data port */
    int send_fds[OVERLAY_LANES_MAX]; /* of lane 0 the same socket; others have ports of their own */
    bool gso, gro;
};

/* Opens the sockets; the caller takes them. `bind` as in struct overlay_config, port set.
 *   -EADDRINUSE, other errors of socket(2) and bind(2); nothing is left open */
NODISCARD int underlay_open(const struct ip_endpoint *bind, unsigned lane_count,
                            struct underlay *out);

/* The socket address of an endpoint in the family of the sockets.
 *   ERR_UNSUPPORTED  an IPv6 address on IPv4 sockets */
NODISCARD int underlay_sockaddr(int family, const struct ip_endpoint *e,
                                struct sockaddr_storage *out, socklen_t *out_len);
struct ip_endpoint underlay_endpoint(const struct sockaddr_storage *addr);

#endif /* OVERLAYNET_UNDERLAY_H */
