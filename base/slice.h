/* base/slice.h - Bytes with their length; borrows, never owns. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *ptr; /* may be NULL when len is 0 */
    size_t len;
};

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){ .ptr = ptr, .len = len };
}

static inline struct slice slice_of_str(const char *s)
{
    return slice_of(s, s == NULL ? 0 : strlen(s));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif /* BASE_SLICE_H */
