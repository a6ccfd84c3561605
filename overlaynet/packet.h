/* overlaynet/packet.h - The 16 bytes in front of everything that the data port carries. Pure.
 *
 *      0        1        2        3
 *   +--------+--------+--------+--------+
 *   |  0x08  |ver|type| session index   |   RFC 7348's flags octet with its I bit; its reserved
 *   +--------+--------+--------+--------+   bits carry version, type and the receiver's index,
 *   |           VNI            | flags  |   so a plain VXLAN receiver refuses every packet
 *   +--------+--------+--------+--------+
 *   |      counter, big-endian,         |
 *   |             64 bits               |
 *   +--------+--------+--------+--------+
 *
 * All of it is authenticated with what follows. docs/formats/overlay.md has the whole format. */
#ifndef OVERLAYNET_PACKET_H
#define OVERLAYNET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define PACKET_HEADER_LEN    16
#define PACKET_TAG_LEN       16
#define PACKET_VERSION       1
#define PACKET_OVERHEAD      (PACKET_HEADER_LEN + PACKET_TAG_LEN)
#define PACKET_UDP4_OVERHEAD 28 /* IPv4 and UDP headers */
#define PACKET_UDP6_OVERHEAD 48

enum packet_type {
    PACKET_DATA = 1,    /* sealed: an Ethernet frame */
    PACKET_HELLO = 2,   /* first handshake message; the index is the sender's own */
    PACKET_WELCOME = 3, /* second handshake message */
    PACKET_CONTROL = 4, /* sealed: keep-alive or path probe */
};

/* The low bits of a session index name the sender's lane: its key and counter. */
#define PACKET_LANE_BITS    3
#define PACKET_LANE_MASK    ((1U << PACKET_LANE_BITS) - 1)
#define PACKET_LANE_CONTROL PACKET_LANE_MASK /* the lane of control packets */
#define PACKET_BLOCKS       (1U << (16 - PACKET_LANE_BITS))

#define PACKET_CHECKSUM_PARTIAL 0x01 /* flags: TCP or UDP checksum is not filled in */
#define PACKET_FLAGS_KNOWN      0x01

struct packet_header {
    enum packet_type type;
    uint16_t session; /* block << PACKET_LANE_BITS | lane */
    uint32_t vni;     /* 0 except in data */
    uint8_t flags;
    uint64_t counter; /* handshakes: the initiator's stamp */
};

void packet_header_write(const struct packet_header *h, uint8_t out[PACKET_HEADER_LEN]);

/* Reads the header of a whole packet of `len` bytes.
 *   ERR_MALFORMED  shorter than header and tag, not ours, another version, unknown type or flag */
NODISCARD int packet_header_read(const uint8_t *packet, size_t len, struct packet_header *out);

/* --- Control packets: what is sealed --------------------------------------------------------- */

enum packet_control_kind {
    PACKET_KEEPALIVE = 1, /* also confirms a new session */
    PACKET_PROBE = 2,     /* padded to a size; answered by PACKET_PROBE_ACK without padding */
    PACKET_PROBE_ACK = 3,
};

#define PACKET_CONTROL_LEN     4
#define PACKET_CONTROL_LEN_MAX 9216 /* with the padding of a probe */

struct packet_control {
    enum packet_control_kind kind;
    uint16_t size; /* probe: bytes of the whole UDP payload; else 0 */
};

void packet_control_write(const struct packet_control *c, uint8_t out[PACKET_CONTROL_LEN]);

/* `len` sealed bytes after opening; a probe must be as long as it says.  ERR_MALFORMED */
NODISCARD int packet_control_read(const uint8_t *bytes, size_t len, struct packet_control *out);

#endif /* OVERLAYNET_PACKET_H */
