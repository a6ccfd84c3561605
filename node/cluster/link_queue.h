/* node/cluster/link_queue.h - Bytes waiting to be sent, in the pieces they were given in. Pure. */
#ifndef NODE_CLUSTER_LINK_QUEUE_H
#define NODE_CLUSTER_LINK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/slice.h"

struct link_queue {
    struct list pieces;
    size_t len;         /* unread bytes of all pieces */
    size_t piece_count; /* may be > 0 with len 0: a piece may be empty */
};

void link_queue_init(struct link_queue *q);
void link_queue_clear(struct link_queue *q); /* frees everything; still usable */

/* Copies `bytes` as one piece, which link_queue_append() leaves alone.  -ENOMEM */
NODISCARD int link_queue_push(struct link_queue *q, struct slice bytes);

/* Copies `bytes` behind the others, where pieces do not matter: small ones share memory.  -ENOMEM
 */
NODISCARD int link_queue_append(struct link_queue *q, struct slice bytes);

/* What a queue of pieces holds of memory, about. */
#define LINK_QUEUE_PIECE_COST 64
static inline size_t link_queue_cost(const struct link_queue *q)
{
    return q->len + q->piece_count * LINK_QUEUE_PIECE_COST;
}

/* Of the first piece, which must exist. */
size_t link_queue_front_len(const struct link_queue *q); /* unread */
bool link_queue_front_is_whole(const struct link_queue *q);

/* Moves up to `cap` bytes of the first piece to `out`; drops the piece when it is used up. */
size_t link_queue_read_front(struct link_queue *q, uint8_t *out, size_t cap);

/* The same across pieces. */
size_t link_queue_read(struct link_queue *q, uint8_t *out, size_t cap);

#endif /* NODE_CLUSTER_LINK_QUEUE_H */
