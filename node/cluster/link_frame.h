/* node/cluster/link_frame.h - What is inside a record: one frame.
 *
 *     type u8 | channel u8 | stream u32 | body        (big-endian)
 *
 * Pure. docs/formats/links.md describes the bodies. */
#ifndef NODE_CLUSTER_LINK_FRAME_H
#define NODE_CLUSTER_LINK_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "node/cluster/link.h"
#include "node/cluster/link_limits.h"

/* X(name, number, channel and stream that it needs, shortest and longest body). Numbers are
 * forever. */
#define FRAME_LIST(X)                                                                           \
    X(FRAME_ACCEPT, 1, FRAME_OF_LINK, 0, 0) /* the responder: you are in */                     \
    X(FRAME_CLOSE, 2, FRAME_OF_LINK, 4, 4)  /* goodbye: i32 code */                             \
    X(FRAME_PING, 3, FRAME_OF_LINK, 8, 8)   /* u64 to send back */                              \
    X(FRAME_PONG, 4, FRAME_OF_LINK, 8, 8)                                                       \
    X(FRAME_REKEY, 5, FRAME_OF_LINK, 0, 0)                        /* next record: next key */   \
    X(FRAME_CERT, 6, FRAME_OF_LINK, 1, FRAME_BODY_LEN_MAX)        /* struct link_hello */       \
    X(FRAME_ENROLL, 7, FRAME_OF_LINK, 1, FRAME_BODY_LEN_MAX)      /* struct enroll_request */   \
    X(FRAME_GRANT, 8, FRAME_OF_LINK, 1, FRAME_BODY_LEN_MAX)       /* struct enroll_answer */    \
    X(FRAME_REFUSE, 9, FRAME_OF_LINK, 1, FRAME_BODY_LEN_MAX)      /* struct enroll_refusal */   \
    X(FRAME_MESSAGE, 16, FRAME_OF_CHANNEL, 4, FRAME_BODY_LEN_MAX) /* u32 whole length, bytes */ \
    X(FRAME_MORE, 17, FRAME_OF_CHANNEL, 1, FRAME_BODY_LEN_MAX)    /* further bytes of it */     \
    X(FRAME_OPEN, 18, FRAME_OF_STREAM, 0, FRAME_BODY_LEN_MAX)     /* header */                  \
    X(FRAME_DATA, 19, FRAME_OF_STREAM, 1, FRAME_BODY_LEN_MAX)                                   \
    X(FRAME_CREDIT, 20, FRAME_OF_STREAM, 4, 4) /* u32 further bytes */                          \
    X(FRAME_FINISH, 21, FRAME_OF_STREAM, 4, 4) /* i32 status */                                 \
    X(FRAME_RESET, 22, FRAME_OF_STREAM, 4, 4)  /* i32 status, < 0 */

enum frame_type {
#define FRAME_ENUM(name, number, scope, min, max) name = (number),
    FRAME_LIST(FRAME_ENUM)
#undef FRAME_ENUM
};

struct frame {
    enum frame_type type;
    unsigned channel;  /* enum link_channel; 0 for frames of the link */
    uint32_t stream;   /* 0 for all but frames of a stream */
    struct slice body; /* borrows */
};

/* Checks everything that can be checked without the link's state.  ERR_MALFORMED */
NODISCARD int frame_decode(struct slice bytes, struct frame *out);

/* Writes the head; the caller puts the body behind it. */
void frame_put_head(const struct frame *f, uint8_t out[FRAME_HEAD_LEN]);

/* Head and body; returns the length. `out` has room for FRAME_LEN_MAX, the body fits. */
size_t frame_encode(const struct frame *f, uint8_t *out);

/* Big-endian numbers; `get` reads the first bytes of a body long enough. */
void put_u16(uint8_t out[2], uint16_t value);
void put_u32(uint8_t out[4], uint32_t value);
void put_u64(uint8_t out[8], uint64_t value);
uint16_t get_u16(const uint8_t in[2]);
uint32_t get_u32(const uint8_t in[4]);
uint64_t get_u64(const uint8_t in[8]);

#endif /* NODE_CLUSTER_LINK_FRAME_H */
