/* node/cluster/link_queue.c - see link_queue.h. */
#include "node/cluster/link_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define APPEND_CAP 4096

struct piece {
    struct list link;
    size_t read, len, cap; /* read <= len <= cap */
    uint8_t bytes[];
};

static_assert(sizeof(struct piece) + 16 <= LINK_QUEUE_PIECE_COST, "with malloc's own header");

void link_queue_init(struct link_queue *q)
{
    list_init(&q->pieces);
    q->len = 0;
    q->piece_count = 0;
}

static struct piece *front(const struct link_queue *q)
{
    struct list *link = list_first(&q->pieces);

    CHECK(link != NULL);
    return CONTAINER_OF(link, struct piece, link);
}

static void drop_front(struct link_queue *q)
{
    struct piece *p = front(q);

    list_remove(&p->link);
    q->len -= p->len - p->read;
    q->piece_count--;
    free(p);
}

void link_queue_clear(struct link_queue *q)
{
    while (q->piece_count > 0)
        drop_front(q);
}

static int push_piece(struct link_queue *q, struct slice bytes, size_t cap)
{
    struct piece *p = malloc(sizeof(*p) + cap);

    if (p == NULL)
        return -ENOMEM;
    p->read = 0;
    p->len = bytes.len;
    p->cap = cap;
    if (bytes.len > 0)
        memcpy(p->bytes, bytes.ptr, bytes.len);
    list_push_back(&q->pieces, &p->link);
    q->len += bytes.len;
    q->piece_count++;
    return 0;
}

int link_queue_push(struct link_queue *q, struct slice bytes)
{
    return push_piece(q, bytes, bytes.len);
}

int link_queue_append(struct link_queue *q, struct slice bytes)
{
    struct list *link = list_last(&q->pieces);
    struct piece *p;

    if (link != NULL) {
        p = CONTAINER_OF(link, struct piece, link);
        if (bytes.len <= p->cap - p->len) {
            memcpy(p->bytes + p->len, bytes.ptr, bytes.len);
            p->len += bytes.len;
            q->len += bytes.len;
            return 0;
        }
    }
    return push_piece(q, bytes, MAX(bytes.len, APPEND_CAP));
}

size_t link_queue_front_len(const struct link_queue *q)
{
    const struct piece *p = front(q);

    return p->len - p->read;
}

bool link_queue_front_is_whole(const struct link_queue *q)
{
    return front(q)->read == 0;
}

size_t link_queue_read_front(struct link_queue *q, uint8_t *out, size_t cap)
{
    struct piece *p = front(q);
    size_t len = MIN(cap, p->len - p->read);

    if (len > 0)
        memcpy(out, p->bytes + p->read, len);
    p->read += len;
    q->len -= len;
    if (p->read == p->len)
        drop_front(q);
    return len;
}

size_t link_queue_read(struct link_queue *q, uint8_t *out, size_t cap)
{
    size_t len = 0;

    while (len < cap && q->piece_count > 0)
        len += link_queue_read_front(q, out + len, cap - len);
    return len;
}
