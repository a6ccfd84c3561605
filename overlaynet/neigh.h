/* overlaynet/neigh.h - Answers to "who has this address?" (ARP, RFC 826; neighbour solicitation,
 * RFC 4861) from the endpoint table instead of the wire. Pure. */
#ifndef OVERLAYNET_NEIGH_H
#define OVERLAYNET_NEIGH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "overlaynet/frame.h"
#include "overlaynet/ip.h"

#define NEIGH_REPLY_LEN_MAX 86

/* The address that the frame asks for; none when it is no question. The frame has passed
 * guard_check() with GUARD_RESOLVE. */
struct ip_addr neigh_question(const uint8_t *frame, const struct frame_view *view);

/* Writes the answer to the frame's question: the address is at `mac`. Returns its length. */
size_t neigh_answer(const uint8_t *frame, const struct frame_view *view,
                    const uint8_t mac[FRAME_MAC_LEN], uint8_t out[NEIGH_REPLY_LEN_MAX]);

#endif /* OVERLAYNET_NEIGH_H */
