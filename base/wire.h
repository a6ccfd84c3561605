/* base/wire.h - Reading msgpack token by token, without allocating.
 *
 * A token is a scalar, the bytes of a text or binary, or the header of an array or map, whose
 * elements are the tokens after it. A header is refused unless the bytes that are left
 * could hold the elements it declares, so nobody allocates for a count that is a lie.
 * Extension types are refused: nothing here writes them. */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define WIRE_DEPTH_MAX 64 /* arrays and maps inside each other, in what wire_skip skips */

enum wire_kind {
    WIRE_NIL,
    WIRE_BOOL,
    WIRE_UINT, /* 0 or more, whatever its width or sign on the wire */
    WIRE_INT,  /* below 0 */
    WIRE_FLOAT,
    WIRE_STR, /* not checked for UTF-8 */
    WIRE_BIN,
    WIRE_ARRAY,
    WIRE_MAP,
};

struct wire_token {
    enum wire_kind kind;
    union {
        bool boolean;
        uint64_t uint;
        int64_t sint;
        double real;
        struct slice bytes; /* STR, BIN; borrows from the input */
        size_t count;       /* elements of an ARRAY, pairs of a MAP */
    };
};

struct wire_reader {
    const uint8_t *pos; /* what is not read yet ... */
    const uint8_t *end; /* ... up to here */
};

static inline struct wire_reader wire_reader_of(struct slice bytes)
{
    return (struct wire_reader){ bytes.ptr, bytes.len == 0 ? bytes.ptr : bytes.ptr + bytes.len };
}

static inline size_t wire_left(const struct wire_reader *r)
{
    return (size_t)(r->end - r->pos);
}

/* Reads one token. After an error the reader stands where it stood.
 *   ERR_MALFORMED (truncated, or not a token) */
NODISCARD int wire_next(struct wire_reader *r, struct wire_token *out);

/* Passes over one whole value.  ERR_MALFORMED, ERR_TOO_LARGE (deeper than WIRE_DEPTH_MAX) */
NODISCARD int wire_skip(struct wire_reader *r);

/* Whether `bytes` are exactly one well-formed value, no deeper than WIRE_DEPTH_MAX: for whoever
 * hands bytes on to another decoder. Fails as wire_skip. */
NODISCARD int wire_check(struct slice bytes);

#endif /* BASE_WIRE_H */
