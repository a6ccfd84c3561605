/* gossip/wire.h - The compact codec of gossip packets, and its messages.
 *
 * Why not the tagged maps of base/fields.h: a record travels as exactly the bytes that were
 * signed, a probe is sent twice a second by each of thousands of nodes, and what does not
 * fit one datagram is not sent. Integers are big-endian and of fixed width. Inside a
 * packet every message stands behind its type and length, so that an unknown type is
 * skipped and a known one may grow at its end. Layout: docs/formats/gossip.md. */
#ifndef GOSSIP_WIRE_H
#define GOSSIP_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "gossip/gossip.h"

/* Reads from hostile bytes: past the end everything is zero and `bad` stays set. */
struct reader {
    const uint8_t *ptr;
    size_t left;
    bool bad;
};

/* Writes into memory of a fixed size: what does not fit is not written and `full` stays set. */
struct writer {
    uint8_t *ptr;
    size_t len;
    size_t cap;
    bool full;
};

struct reader reader_of(struct slice bytes);
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct slice read_bytes(struct reader *r, size_t len); /* borrows from the input */
struct slice read_rest(struct reader *r);

struct writer writer_of(uint8_t *ptr, size_t cap);
void write_u8(struct writer *w, uint8_t v);
void write_u16(struct writer *w, uint16_t v);
void write_u32(struct writer *w, uint32_t v);
void write_u64(struct writer *w, uint64_t v);
void write_bytes(struct writer *w, struct slice bytes);
size_t writer_room(const struct writer *w);

/* A node in 8 bytes: the head of BLAKE2b-128 of its id. The member table refuses a second node
 * with the same one. 0 = none. */
typedef uint64_t node_ref;

node_ref node_ref_of(const struct id *id);

/* Types are forever. */
enum message_type {
    MESSAGE_PING = 1,       /* are you there? */
    MESSAGE_ACK = 2,        /* `subject` is there */
    MESSAGE_PING_REQ = 3,   /* ask `target` for me: [SWIM] 3.1 */
    MESSAGE_NACK = 4,       /* I am here and asked in vain: [Lifeguard] IV-A */
    MESSAGE_RECORD = 5,     /* record.h, then metadata or nothing */
    MESSAGE_ACCUSATION = 6, /* record.h */
    MESSAGE_SUMMARY = 7,    /* digest.h */
    MESSAGE_ITEMS = 8,      /* digest.h */
    MESSAGE_WANT = 9,       /* u64 each: node_refs whose records are wanted */
    MESSAGE_HELLO = 10,     /* exchange.h: first on a stream */
    MESSAGE_LIST = 11,      /* exchange.h */
    MESSAGE_END = 12,       /* exchange.h: this side has said all of this round */
    MESSAGE_STALE = 13,     /* your epoch belongs to another life of yours: step over it */
};

/* X(kind, member), in wire order; each list is struct, encoder and decoder. */
#define PING_FIELDS(X)                                    \
    X(u32, seq)    /* random; comes back in the answer */ \
    X(u64, target) /* 0 = whoever has this address */
#define ACK_FIELDS(X) \
    X(u32, seq)       \
    X(u64, subject) /* differs from the sender when a helper passes it on */
#define PING_REQ_FIELDS(X) X(u32, seq) X(u64, target)
#define NACK_FIELDS(X)     X(u32, seq)
#define HELLO_FIELDS(X)                               \
    X(u8, pull)   /* 1 = only wants, no comparison */ \
    X(u32, count) /* records that the sender holds */
#define STALE_FIELDS(X)                                         \
    X(u64, epoch) /* of the life that the sender follows, .. */ \
    X(u64, salt)  /* .. which is not yours if this is not */

#define MESSAGES(X)                                \
    X(ping, MESSAGE_PING, PING_FIELDS)             \
    X(ack, MESSAGE_ACK, ACK_FIELDS)                \
    X(ping_req, MESSAGE_PING_REQ, PING_REQ_FIELDS) \
    X(nack, MESSAGE_NACK, NACK_FIELDS)             \
    X(hello, MESSAGE_HELLO, HELLO_FIELDS)          \
    X(stale, MESSAGE_STALE, STALE_FIELDS)

typedef uint8_t wire_u8;
typedef uint32_t wire_u32;
typedef uint64_t wire_u64;

#define MESSAGE_MEMBER(kind, member) wire_##kind member;
#define MESSAGE_DECLARE(name, type, fields)                                                   \
    struct message_##name {                                                                   \
        fields(MESSAGE_MEMBER)                                                                \
    };                                                                                        \
    void write_##name(struct writer *w, const struct message_##name *m); /* with its frame */ \
    bool read_##name(struct slice body, struct message_##name *out);
MESSAGES(MESSAGE_DECLARE)
#undef MESSAGE_DECLARE

#define MESSAGE_HEADER_LEN 3 /* type, u16 length of the body */

/* Writes a message whose body the caller has as bytes in two parts. All of it or nothing:
 * false when it does not fit. */
bool write_message(struct writer *w, enum message_type type, struct slice a, struct slice b);

/* The next message of a packet; false at the end, or with r->bad set when it is cut off. */
bool read_message(struct reader *r, uint8_t *out_type, struct slice *out_body);

#endif /* GOSSIP_WIRE_H */
