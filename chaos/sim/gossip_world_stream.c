/* Streams: in order, lossless, cut when an end crashes or the network parts them. A byte costs time
 * too, so that a large exchange is not over in no time. */
#include <stdlib.h>

#include "base/check.h"
#include "chaos/sim/gossip_world_priv.h"

#define CONNECT_TIMEOUT NS_PER_S
#define NS_PER_BYTE     10 /* 100 MB/s */

static struct list *streams(struct world *w)
{
    if (w->streams.next == NULL)
        list_init(&w->streams);
    return &w->streams;
}

static struct world_stream *find(struct world *w, unsigned node, uint64_t stream, int *out_side)
{
    LIST_EACH(it, streams(w))
    {
        struct world_stream *s = CONTAINER_OF(it, struct world_stream, link);

        for (int side = 0; side < 2; side++) {
            if (s->ends[side].node == node && s->ends[side].stream == stream &&
                s->ends[side].life == w->nodes[node].life) {
                *out_side = side;
                return s;
            }
        }
    }
    return NULL;
}

/* Tells one end something, not before what it was told already. */
static void tell(struct world *w, struct world_end *end, enum gossip_event_kind what,
                 struct slice bytes, mono_ns at)
{
    struct world_event *e;

    if (end->closed)
        return;
    if (what == GOSSIP_STREAM_CLOSED)
        end->closed = true;
    end->arrives = MAX(end->arrives, at);
    e = world_event_new(w, WORLD_EVENT_STREAM, end->node, bytes, end->arrives);
    e->what = what;
    e->stream = end->stream;
    e->life = end->life;
}

static void drop_if_over(struct world_stream *s)
{
    if (!s->ends[0].closed || !s->ends[1].closed)
        return;
    list_remove(&s->link);
    free(s);
}

static void open_stream(struct world *w, struct world_node *n, const struct gossip_stream_op *op,
                        unsigned to)
{
    struct world_stream *s = calloc(1, sizeof(*s));
    bool reachable = to < w->cfg.node_count && w->nodes[to].up && to != n->index &&
                     world_connected(w, n->index, to) && world_connected(w, to, n->index);
    mono_ns at = w->now + 2 * world_delay(w);

    CHECK(s != NULL);
    list_push_back(streams(w), &s->link);
    w->last_inbound += 2;
    s->ends[0] = (struct world_end){ .node = n->index, .life = n->life, .stream = op->stream };
    s->ends[1].closed = true;
    if (!reachable) {
        tell(w, &s->ends[0], GOSSIP_STREAM_CLOSED, (struct slice){ 0 }, w->now + CONNECT_TIMEOUT);
        drop_if_over(s);
        return;
    }
    s->ends[1] =
        (struct world_end){ .node = to, .life = w->nodes[to].life, .stream = w->last_inbound };
    tell(w, &s->ends[1], GOSSIP_STREAM_INBOUND, (struct slice){ 0 }, at);
    tell(w, &s->ends[0], GOSSIP_STREAM_WRITABLE, (struct slice){ 0 }, at);
}

void world_stream_op(struct world *w, struct world_node *n, const struct gossip_stream_op *op,
                     unsigned to)
{
    struct world_stream *s;
    struct world_end *mine, *theirs;
    mono_ns at;
    int side;

    if (op->kind == GOSSIP_STREAM_OPEN) {
        open_stream(w, n, op, to);
        return;
    }
    s = find(w, n->index, op->stream, &side);
    if (s == NULL)
        return;
    mine = &s->ends[side];
    theirs = &s->ends[1 - side];
    at = w->now + world_delay(w) + op->bytes.len * NS_PER_BYTE;
    w->counts.bytes += op->bytes.len;
    n->bytes_sent += op->bytes.len;
    if (op->kind == GOSSIP_STREAM_CLOSE) {
        tell(w, theirs, GOSSIP_STREAM_CLOSED, (struct slice){ 0 }, at);
        tell(w, mine, GOSSIP_STREAM_CLOSED, (struct slice){ 0 }, w->now);
    } else if (!world_connected(w, mine->node, theirs->node)) {
        tell(w, theirs, GOSSIP_STREAM_CLOSED, (struct slice){ 0 }, at + CONNECT_TIMEOUT);
        tell(w, mine, GOSSIP_STREAM_CLOSED, (struct slice){ 0 }, at + CONNECT_TIMEOUT);
    } else {
        tell(w, theirs, GOSSIP_STREAM_DATA, op->bytes, at);
        tell(w, mine, GOSSIP_STREAM_WRITABLE, (struct slice){ 0 }, at);
    }
    drop_if_over(s);
}

void world_stream_deliver(struct world *w, struct world_event *e)
{
    struct world_node *n = &w->nodes[e->to];
    struct gossip_event event = { .kind = e->what,
                                  .stream = e->stream,
                                  .bytes = slice_of(e->bytes, e->len) };

    if (n->up && n->life == e->life)
        w->cfg.engine->stream(w, n, &event);
}

void world_streams_break(struct world *w, unsigned index)
{
    LIST_EACH_SAFE(it, streams(w))
    {
        struct world_stream *s = CONTAINER_OF(it, struct world_stream, link);

        for (int side = 0; side < 2; side++) {
            if (s->ends[side].node != index || s->ends[side].closed)
                continue;
            s->ends[side].closed = true;
            tell(w, &s->ends[1 - side], GOSSIP_STREAM_CLOSED, (struct slice){ 0 },
                 w->now + world_delay(w));
        }
        drop_if_over(s);
    }
}

void world_streams_free(struct world *w)
{
    LIST_EACH_SAFE(it, streams(w))
    {
        list_remove(it);
        free(CONTAINER_OF(it, struct world_stream, link));
    }
}
