/* overlaynet/too_big.h - "Packet too big" for a container whose packet does not fit the path. Pure.
 *
 * RFC 1191 (IPv4, fragmentation needed) and RFC 4443 section 3.2 (IPv6). The answer seems to come
 * from the packet's destination: it is on the same segment, there is no router to name. */
#ifndef OVERLAYNET_TOO_BIG_H
#define OVERLAYNET_TOO_BIG_H

#include <stddef.h>
#include <stdint.h>

#include "overlaynet/frame.h"

#define TOO_BIG_LEN_MAX (FRAME_ETH_LEN + 40 + 8 + 64)

/* Writes the answer to the sender of `frame`: IP packets up to `mtu` fit. Returns its length; 0
 * when there is none to be given (not IP, or an ICMP error itself). */
size_t too_big_answer(const uint8_t *frame, const struct frame_view *view, uint32_t mtu,
                      uint8_t out[TOO_BIG_LEN_MAX]);

#endif /* OVERLAYNET_TOO_BIG_H */
