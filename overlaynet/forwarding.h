/* overlaynet/forwarding.h - What the host's namespace must allow, so that packets pass through it.
 *
 * System settings of the host: they stay when the program ends, as what they serve does. */
#ifndef OVERLAYNET_FORWARDING_H
#define OVERLAYNET_FORWARDING_H

#include <stdbool.h>

/* Switches forwarding on for both families. A kernel that forwards IPv6 stops listening to routers'
 * advertisements; interfaces that do listen are told to go on, or the host would lose its own
 * default route.  Errors of IPv4; a host without IPv6 is none. */
int forwarding_enable(void);

/* Lets the answers to 127.0.0.1 and ::1 come in at an interface, when NAT has led connections from
 * there out of it. Whoever calls sees to it that nothing else comes to 127.0.0.0/8 there.
 * `has_ip6`: the interface has IPv6; the kernel takes no route of ::1 on one that has not.
 *   -ENOENT  there is no such interface */
int forwarding_allow_loopback(const char *ifname, bool has_ip6);

#endif /* OVERLAYNET_FORWARDING_H */
