/* base/buf.h - A growable byte buffer with a hard limit.
 *
 * The limit is part of the buffer, so whoever fills it from outside data cannot
 * forget it. A failed call leaves the contents as they were. Growing moves the
 * bytes: slices of the buffer borrow until the next call that may add to it. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct buf {
    uint8_t *ptr; /* NULL until the first byte is added */
    size_t len;
    size_t cap;
    size_t limit; /* len <= cap <= limit */
};

void buf_init(struct buf *b, size_t limit); /* allocates nothing */
void buf_deinit(struct buf *b);             /* frees; leaves an empty buffer of the same limit */
void buf_clear(struct buf *b);              /* len = 0, keeps the memory for reuse */

/* Makes room for `extra` more bytes, so that the next appends of that many cannot fail.
 *   ERR_TOO_LARGE (over the limit), -ENOMEM */
NODISCARD int buf_reserve(struct buf *b, size_t extra);

/* Appends copies of the bytes; fails as buf_reserve. The bytes may not lie in the buffer itself. */
NODISCARD int buf_append(struct buf *b, const void *bytes, size_t len);
NODISCARD int buf_append_slice(struct buf *b, struct slice bytes);
NODISCARD int buf_append_str(struct buf *b, const char *s);
NODISCARD int buf_append_byte(struct buf *b, uint8_t byte);
NODISCARD int buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* Appends `len` bytes for the caller to write at *out, borrowed until the next call
 * that may add to the buffer. They are not initialised. Fails as buf_reserve. */
NODISCARD int buf_extend(struct buf *b, size_t len, uint8_t **out);

/* Drops the first `len` bytes; CHECKs that they are there. Costs a move of what stays. */
void buf_consume(struct buf *b, size_t len);

/* Hands the bytes over: returns owned memory (free(3)), NULL when empty, and leaves an
 * empty buffer of the same limit. */
uint8_t *buf_take(struct buf *b, size_t *out_len);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){ .ptr = b->ptr, .len = b->len };
}

#endif /* BASE_BUF_H */
