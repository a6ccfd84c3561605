/* Growth doubles the memory up to the limit, so n appends cost O(n) moves. */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define BUF_CAP_MIN 64

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){ .limit = limit };
}

void buf_deinit(struct buf *b)
{
    free(b->ptr);
    buf_init(b, b->limit);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

int buf_reserve(struct buf *b, size_t extra)
{
    size_t need, cap;
    uint8_t *ptr;

    if (extra > b->limit - b->len)
        return ERR_TOO_LARGE;
    need = b->len + extra;
    if (need <= b->cap)
        return 0;
    cap = MAX(need, (size_t)BUF_CAP_MIN);
    if (b->cap <= b->limit / 2)
        cap = MAX(cap, b->cap * 2);
    cap = MIN(cap, b->limit);
    ptr = realloc(b->ptr, cap);
    if (ptr == NULL)
        return -ENOMEM;
    b->ptr = ptr;
    b->cap = cap;
    return 0;
}

int buf_extend(struct buf *b, size_t len, uint8_t **out)
{
    int rc = buf_reserve(b, len);

    if (rc < 0)
        return rc;
    *out = b->ptr == NULL ? NULL : b->ptr + b->len;
    b->len += len;
    return 0;
}

int buf_append(struct buf *b, const void *bytes, size_t len)
{
    int rc = buf_reserve(b, len);

    if (rc < 0 || len == 0)
        return rc;
    memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
    return 0;
}

int buf_append_slice(struct buf *b, struct slice bytes)
{
    return buf_append(b, bytes.ptr, bytes.len);
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
    return buf_append(b, &byte, 1);
}

/* vsnprintf always ends with a NUL, for which the limit may leave no room: so the text is made
 * beside the buffer, on the stack when it is short. */
int buf_printf(struct buf *b, const char *format, ...)
{
    char small[256];
    char *text = small;
    va_list args, again;
    size_t len;
    int n, rc;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (n < 0) {
        rc = ERR_INVALID;
        goto out;
    }
    len = (size_t)n;
    rc = buf_reserve(b, len);
    if (rc < 0)
        goto out;
    if (len >= sizeof(small)) {
        text = malloc(len + 1);
        if (text == NULL) {
            rc = -ENOMEM;
            goto out;
        }
        (void)vsnprintf(text, len + 1, format, again); /* the same text as above */
    }
    rc = buf_append(b, text, len);
    if (text != small)
        free(text);
out:
    va_end(again);
    return rc;
}

void buf_consume(struct buf *b, size_t len)
{
    CHECK(len <= b->len);
    if (len == 0)
        return;
    memmove(b->ptr, b->ptr + len, b->len - len);
    b->len -= len;
}

uint8_t *buf_take(struct buf *b, size_t *out_len)
{
    uint8_t *ptr = b->ptr;

    *out_len = b->len;
    if (b->len == 0) {
        free(ptr);
        ptr = NULL;
    }
    buf_init(b, b->limit);
    return ptr;
}
