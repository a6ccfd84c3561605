/* Frames for tests: Ethernet, IPv4 or IPv6, TCP or UDP, with payload that tells its position. */
#ifndef TESTS_UNIT_OVERLAYNET_SUPPORT_FRAMES_H
#define TESTS_UNIT_OVERLAYNET_SUPPORT_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "overlaynet/frame.h"
#include "overlaynet/guard.h"
#include "overlaynet/segment.h"

extern const struct guard_identity alice, bob; /* 10.0.9.1, fd00:9::1 and .2, ::2 */

struct frame_recipe {
    uint8_t version;  /* 4 or 6 */
    uint8_t protocol; /* FRAME_PROTO_TCP, .._UDP, or any other without a header of its own */
    size_t payload_len;
    uint8_t tcp_flags;
    uint8_t tcp_options; /* bytes, a multiple of four */
    uint32_t seq;
    uint16_t ip_id;
    uint16_t source_port; /* 0 = 1000 */
    uint8_t dont_fragment;
};

/* From alice to bob. Returns the length; `out` has room for FRAME_LEN_MAX. The TCP or UDP checksum
 * field holds the sum of the pseudo-header: partial. */
size_t frame_make(const struct frame_recipe *r, uint8_t *out);

/* Completes a partial checksum, as a network card would. */
void frame_complete(uint8_t *frame, size_t len);

/* True when the IPv4 header checksum and the completed TCP or UDP checksum are right. */
int frame_is_sound(const uint8_t *frame, size_t len);

#endif /* TESTS_UNIT_OVERLAYNET_SUPPORT_FRAMES_H */
