/* overlaynet/netlink_impl.h - One exchange with the kernel. Private to netlink*.c. */
#ifndef OVERLAYNET_NETLINK_IMPL_H
#define OVERLAYNET_NETLINK_IMPL_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "overlaynet/netlink.h"

#define NETLINK_MESSAGE_ROOM 4096
#define NETLINK_ANSWER_ROOM  32768

struct netlink {
    struct mnl_socket *socket;
    unsigned sequence;
    char message[NETLINK_MESSAGE_ROOM];
    char answer[NETLINK_ANSWER_ROOM];
};

/* Begins the message; the one before is gone. */
struct nlmsghdr *netlink_begin(struct netlink *nl, uint16_t type, unsigned flags);
/* Sends the message and handles the answer, calling `each` for every part of a dump. */
NODISCARD int netlink_exchange(struct netlink *nl, struct nlmsghdr *h, mnl_cb_t each, void *ctx);
/* Sends it and waits for its acknowledgement.  ERR_EXISTS, errors of the kernel */
NODISCARD int netlink_request(struct netlink *nl, struct nlmsghdr *h);

int netlink_gone_is_done(int rc); /* for deletions */
uint8_t netlink_family(const struct ip_addr *a);

#endif /* OVERLAYNET_NETLINK_IMPL_H */
