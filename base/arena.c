/* Blocks are chained newest first. Each is at least ARENA_BLOCK_MIN bytes, twice its
 * predecessor up to ARENA_BLOCK_MAX, or as large as one large request. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN     alignof(max_align_t)
#define ARENA_BLOCK_MIN ((size_t)1024)
#define ARENA_BLOCK_MAX ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t len, cap; /* of bytes */
    alignas(max_align_t) uint8_t bytes[];
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){ .limit = limit };
}

static void free_blocks(struct arena_block *b)
{
    while (b != NULL) {
        struct arena_block *next = b->next;

        free(b);
        b = next;
    }
}

void arena_deinit(struct arena *a)
{
    free_blocks(a->blocks);
    arena_init(a, a->limit);
}

void arena_reset(struct arena *a)
{
    a->used = 0;
    if (a->blocks == NULL)
        return;
    free_blocks(a->blocks->next);
    a->blocks->next = NULL;
    a->blocks->len = 0;
}

/* The rounded size of a request; false when it overflows. */
static bool request_len(size_t count, size_t size, size_t *out)
{
    size_t len;

    if (__builtin_mul_overflow(count, size, &len) ||
        __builtin_add_overflow(len, ARENA_ALIGN - 1, &len))
        return false;
    *out = len / ARENA_ALIGN * ARENA_ALIGN;
    return true;
}

bool arena_would_exceed(const struct arena *a, size_t count, size_t size)
{
    size_t len;

    return !request_len(count, size, &len) || len > a->limit - a->used;
}

static struct arena_block *add_block(struct arena *a, size_t len)
{
    size_t cap = a->blocks == NULL ? ARENA_BLOCK_MIN : MIN(a->blocks->cap * 2, ARENA_BLOCK_MAX);
    struct arena_block *b;

    cap = MAX(cap, len);
    b = len > SIZE_MAX - sizeof(*b) ? NULL : malloc(sizeof(*b) + cap);
    if (b == NULL)
        return NULL;
    b->next = a->blocks;
    b->len = 0;
    b->cap = cap;
    a->blocks = b;
    return b;
}

/* Not zeroed. */
static void *take(struct arena *a, size_t count, size_t size)
{
    struct arena_block *b = a->blocks;
    size_t len;
    void *p;

    if (!request_len(count, size, &len) || len > a->limit - a->used)
        return NULL;
    if (b == NULL || len > b->cap - b->len) {
        b = add_block(a, len);
        if (b == NULL)
            return NULL;
    }
    p = b->bytes + b->len;
    b->len += len;
    a->used += len;
    return p;
}

void *arena_alloc(struct arena *a, size_t count, size_t size)
{
    void *p = take(a, count, size);

    if (p != NULL)
        memset(p, 0, count * size);
    return p;
}

void *arena_copy(struct arena *a, const void *bytes, size_t len)
{
    void *p = take(a, 1, len);

    if (p != NULL && len > 0)
        memcpy(p, bytes, len);
    return p;
}

char *arena_copy_str(struct arena *a, struct slice text)
{
    char *p = text.len == SIZE_MAX ? NULL : take(a, 1, text.len + 1);

    if (p == NULL)
        return NULL;
    if (text.len > 0)
        memcpy(p, text.ptr, text.len);
    p[text.len] = '\0';
    return p;
}
