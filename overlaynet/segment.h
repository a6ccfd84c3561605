/* overlaynet/segment.h - Cutting a container's large frame into packets, and the inverse. Pure.
 *
 * The kernel hands over up to 64 KiB of TCP or UDP payload behind one set of headers, with a
 * vnet header (virtio 1.2, 5.1.6) that says how it is to be cut. Every piece gets headers of its
 * own, so that each packet is useful alone: losing one loses no more. Checksums of TCP and UDP are
 * left partial; the seal protects the bytes on the way and the receiving kernel is told so.
 *
 * Cutting copies no payload: the headers of piece n are written over the end of piece n - 1, which
 * has been sealed by then. So the pieces must be taken in order and sealed out of place.
 *
 * Joining appends to the first frame those that follow it in the same stream. It compares all of
 * the headers, because two packets next to each other need not be of one frame. */
#ifndef OVERLAYNET_SEGMENT_H
#define OVERLAYNET_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "overlaynet/frame.h"

/* As struct virtio_net_hdr, in the machine's byte order. */
struct vnet_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t header_len;
    uint16_t gso_size;
    uint16_t checksum_start;
    uint16_t checksum_offset;
};

#define VNET_NEEDS_CHECKSUM 1
#define VNET_GSO_NONE       0
#define VNET_GSO_TCP4       1
#define VNET_GSO_TCP6       4
#define VNET_GSO_UDP        5
#define VNET_GSO_ECN        0x80

#define SEGMENT_HEADERS_MAX 160 /* Ethernet 14, IPv4 60 or IPv6 40, TCP 60 */
#define SEGMENT_JOIN_MAX    64  /* packets joined to one frame */

/* --- Cutting --------------------------------------------------------------------------------- */

struct segment_cut {
    uint8_t *frame;
    struct frame_view view;
    size_t payload_len; /* of all pieces */
    size_t piece_len;   /* payload of every piece but the last; 0 = the frame goes as it is */
    size_t done;        /* payload taken so far */
    unsigned index;
    bool checksum_partial;
    uint8_t headers[SEGMENT_HEADERS_MAX]; /* as they came */
};

/* Prepares the cutting of `frame`, of which no piece may be longer than `piece_max`. Borrows and
 * changes `frame` until the last piece was taken. `view` is of frame_parse().
 *   ERR_MALFORMED  the vnet header does not fit the frame
 *   ERR_TOO_LARGE  longer than piece_max and may not be cut */
NODISCARD int segment_cut_start(struct segment_cut *c, uint8_t *frame,
                                const struct frame_view *view, const struct vnet_header *h,
                                size_t piece_max);

/* The next piece: its length, *out pointing to it; 0 when all were taken. */
size_t segment_cut_next(struct segment_cut *c, uint8_t **out);

/* --- Joining --------------------------------------------------------------------------------- */

struct segment_join {
    uint8_t *first; /* NULL = empty */
    struct frame_view view;
    size_t piece_len; /* payload of the first packet: all but the last have as much */
    size_t total_payload;
    unsigned count;
    bool is_closed; /* nothing may follow: a short piece, FIN or PSH was last */
};

static inline void segment_join_clear(struct segment_join *j)
{
    j->first = NULL;
}

/* Begins with a frame that came with a partial checksum. Borrows it, and writes to its headers
 * in segment_join_finish(). */
void segment_join_start(struct segment_join *j, uint8_t *frame, const struct frame_view *view);

/* True when the frame belongs to the flow of what is there: then it may not be handed over before.
 */
bool segment_join_is_flow(const struct segment_join *j, const uint8_t *frame,
                          const struct frame_view *view);

/* True when the frame continues what is there: then its payload, from view->payload on, is to be
 * handed over behind the earlier ones. */
bool segment_join_append(struct segment_join *j, const uint8_t *frame,
                         const struct frame_view *view);

/* Sets the headers of the first frame to those of the whole, and the vnet header to match. */
void segment_join_finish(struct segment_join *j, struct vnet_header *out);

#endif /* OVERLAYNET_SEGMENT_H */
