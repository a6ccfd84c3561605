/* node/cluster/link_mux.c - see link_mux.h.
 *
 * What is sent, in this order: credit and resets; then, by the scheduler, a piece of the channel
 * whose turn it is, alternating between its messages and its streams, streams one after another.
 *
 * A frame for a stream that is not in the table is either late (we reset it, or it ended) or a
 * lie: the numbers of past streams are known, so the two can be told apart. */
#include "node/cluster/link_mux.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_stream.h"

#define MESSAGE_HEAD_LEN  4          /* whole length */
#define ASSEMBLY_KEEP_LEN (64 * KIB) /* memory kept between messages */

void link_mux_init(struct link_mux *m, const struct link_mux_events *events,
                   const struct hash_seed *seed)
{
    memset(m, 0, sizeof(*m));
    m->events = *events;
    list_init(&m->streams);
    list_init(&m->urgent);
    map_init(&m->by_id, seed, 2 * STREAMS_MAX);
    link_sched_init(&m->sched);
    for (size_t c = 0; c <= LINK_CHANNEL_MAX; c++) {
        link_queue_init(&m->channels[c].messages);
        list_init(&m->channels[c].ready);
        buf_init(&m->channels[c].assembly, LINK_MESSAGE_LEN_MAX);
    }
}

void link_mux_deinit(struct link_mux *m)
{
    CHECK(list_is_empty(&m->streams));
    for (size_t c = 0; c <= LINK_CHANNEL_MAX; c++) {
        link_queue_clear(&m->channels[c].messages);
        buf_deinit(&m->channels[c].assembly);
    }
    map_deinit(&m->by_id);
}

void link_mux_attach(struct link_mux *m, bool is_dialler)
{
    CHECK(!m->is_attached);
    m->is_attached = true;
    m->next_id = is_dialler ? 1 : 2;
    m->last_id = 0;
    if (link_mux_is_sendable(m))
        m->events.on_sendable(m->events.ctx);
}

void link_mux_abort(struct link_mux *m, int reason)
{
    m->is_attached = false;
    for (size_t c = 0; c <= LINK_CHANNEL_MAX; c++) {
        link_queue_clear(&m->channels[c].messages);
        buf_deinit(&m->channels[c].assembly);
        m->channels[c].assembly_len = 0;
    }
    /* on_closed may open streams: only those that are there now end. */
    for (size_t count = m->opened_here + m->opened_there; count > 0; count--)
        link_stream_close(CONTAINER_OF(list_first(&m->streams), struct link_stream, all), reason);
}

/* --- Sending --- */

int link_mux_send(struct link_mux *m, enum link_channel channel, struct slice message)
{
    struct link_mux_channel *c = &m->channels[channel];
    int rc;

    if (message.len > LINK_MESSAGE_LEN_MAX)
        return ERR_TOO_LARGE;
    if (link_queue_cost(&c->messages) + LINK_QUEUE_PIECE_COST + message.len > QUEUE_LEN_MAX)
        return ERR_FULL;
    rc = link_queue_push(&c->messages, message);
    if (rc == 0)
        m->events.on_sendable(m->events.ctx);
    return rc;
}

int link_mux_open(struct link_mux *m, enum link_channel channel, struct slice header,
                  const struct link_stream_callbacks *callbacks, void *ctx,
                  struct link_stream **out)
{
    struct link_stream *s;
    int rc;

    if (header.len > LINK_HEADER_LEN_MAX)
        return ERR_TOO_LARGE;
    if (m->opened_here == STREAMS_MAX)
        return ERR_FULL;
    s = link_stream_new(m, channel, true);
    if (s == NULL)
        return -ENOMEM;
    rc = link_queue_push(&s->queue, header);
    if (rc < 0) {
        s->is_gone = true; /* never handed out, so nobody to tell */
        link_stream_close(s, rc);
        return rc;
    }
    s->header_len = header.len;
    link_stream_accept(s, callbacks, ctx);
    list_push_back(&m->channels[channel].ready, &s->ready);
    m->events.on_sendable(m->events.ctx);
    *out = s;
    return 0;
}

static size_t next_message(struct link_mux_channel *c, enum link_channel channel, uint8_t *out)
{
    const struct frame f = {
        .type = link_queue_front_is_whole(&c->messages) ? FRAME_MESSAGE : FRAME_MORE,
        .channel = channel,
    };
    size_t len = FRAME_HEAD_LEN;

    frame_put_head(&f, out);
    if (f.type == FRAME_MESSAGE) {
        put_u32(out + len, (uint32_t)link_queue_front_len(&c->messages));
        len += MESSAGE_HEAD_LEN;
    }
    return len + link_queue_read_front(&c->messages, out + len, FRAME_LEN_MAX - len);
}

static unsigned waiting_channels(const struct link_mux *m)
{
    unsigned waiting = 0;

    for (unsigned c = 1; c <= LINK_CHANNEL_MAX; c++) {
        if (m->channels[c].messages.piece_count > 0 || !list_is_empty(&m->channels[c].ready))
            waiting |= 1u << c;
    }
    return waiting;
}

static size_t next_of_channel(struct link_mux *m, enum link_channel channel, uint8_t *out)
{
    struct link_mux_channel *c = &m->channels[channel];
    struct list *ready = list_first(&c->ready);
    bool has_message = c->messages.piece_count > 0;

    if (ready != NULL && (c->is_streams_turn || !has_message)) {
        c->is_streams_turn = false;
        return link_stream_next(CONTAINER_OF(ready, struct link_stream, ready), out);
    }
    c->is_streams_turn = true;
    return next_message(c, channel, out);
}

bool link_mux_is_sendable(const struct link_mux *m)
{
    return m->is_attached && (!list_is_empty(&m->urgent) || waiting_channels(m) != 0);
}

bool link_mux_is_empty(const struct link_mux *m)
{
    return list_is_empty(&m->streams) && waiting_channels(m) == 0;
}

size_t link_mux_next(struct link_mux *m, uint8_t *out)
{
    enum link_channel channel;
    size_t len = 0;

    while (len == 0 && link_mux_is_sendable(m)) { /* a stream may close without a frame */
        struct list *urgent = list_first(&m->urgent);

        if (urgent != NULL) {
            len = link_stream_next_urgent(CONTAINER_OF(urgent, struct link_stream, urgent), out);
            continue;
        }
        channel = link_sched_pick(&m->sched, waiting_channels(m));
        len = next_of_channel(m, channel, out);
        link_sched_charge(&m->sched, channel, len);
    }
    return len;
}

/* --- Receiving --- */

/* Frees what a large message needed; keeps what the next small one will. */
static void end_assembly(struct link_mux_channel *c)
{
    c->assembly_len = 0;
    if (c->assembly.cap > ASSEMBLY_KEEP_LEN)
        buf_deinit(&c->assembly);
    else
        buf_clear(&c->assembly);
}

/* Memory follows what has arrived, never what a length announces. */
static int receive_piece(struct link_mux *m, enum link_channel channel, struct slice piece)
{
    struct link_mux_channel *c = &m->channels[channel];
    int rc;

    if (piece.len > c->assembly_len - c->assembly.len)
        return ERR_MALFORMED;
    rc = buf_append_slice(&c->assembly, piece);
    if (rc < 0)
        return rc;
    if (c->assembly.len < c->assembly_len)
        return 0;
    rc = m->events.on_message(m->events.ctx, channel, buf_slice(&c->assembly));
    end_assembly(c);
    return rc;
}

static int receive_message(struct link_mux *m, enum link_channel channel, struct slice body)
{
    struct link_mux_channel *c = &m->channels[channel];
    struct slice piece = slice_of(body.ptr + MESSAGE_HEAD_LEN, body.len - MESSAGE_HEAD_LEN);
    size_t len = get_u32(body.ptr);

    if (c->assembly_len != 0 || len > LINK_MESSAGE_LEN_MAX || piece.len > len)
        return ERR_MALFORMED;
    if (piece.len == len)
        return m->events.on_message(m->events.ctx, channel, piece); /* whole: no copy */
    if (piece.len == 0)
        return ERR_MALFORMED; /* pieces make progress */
    c->assembly_len = len;
    return receive_piece(m, channel, piece);
}

static int receive_open(struct link_mux *m, const struct frame *f)
{
    struct link_stream *s;
    int rc;

    if (f->stream % 2 == m->next_id % 2 || f->stream <= m->last_id)
        return ERR_MALFORMED;
    if (m->opened_there == STREAMS_MAX)
        return ERR_FULL;
    s = link_stream_new(m, (enum link_channel)f->channel, false);
    if (s == NULL)
        return -ENOMEM;
    s->is_open_sent = true; /* nothing to say before data */
    s->id = f->stream;
    rc = map_set_u64(&m->by_id, s->id, s);
    if (rc < 0) {
        s->is_gone = true;
        link_stream_close(s, rc);
        return rc;
    }
    m->last_id = f->stream;
    rc = m->events.on_stream(m->events.ctx, s->channel, f->body, s);
    if (rc < 0)
        link_stream_reset(s, rc);
    else
        CHECK(s->callbacks.on_closed != NULL); /* accepted */
    return 0;
}

/* Whether a stream of that number existed on this link. */
static bool is_past(const struct link_mux *m, uint32_t id)
{
    return id % 2 == m->next_id % 2 ? id < m->next_id : id <= m->last_id;
}

int link_mux_receive(struct link_mux *m, const struct frame *f)
{
    struct link_stream *s;

    CHECK(m->is_attached);
    if (f->type == FRAME_MESSAGE)
        return receive_message(m, (enum link_channel)f->channel, f->body);
    if (f->type == FRAME_MORE) {
        if (m->channels[f->channel].assembly_len == 0)
            return ERR_MALFORMED;
        return receive_piece(m, (enum link_channel)f->channel, f->body);
    }
    if (f->stream == 0)
        return ERR_MALFORMED; /* a frame of the link has no business here */
    if (f->type == FRAME_OPEN)
        return receive_open(m, f);
    s = map_get_u64(&m->by_id, f->stream);
    if (s == NULL)
        return is_past(m, f->stream) ? 0 : ERR_MALFORMED;
    return link_stream_receive(s, f);
}

/* --- Figures --- */

size_t link_mux_queued(const struct link_mux *m)
{
    size_t len = 0;

    for (size_t c = 1; c <= LINK_CHANNEL_MAX; c++)
        len += m->channels[c].messages.len;
    LIST_EACH(it, &m->streams)
    len += CONTAINER_OF(it, struct link_stream, all)->queue.len;
    return len;
}

size_t link_mux_streams(const struct link_mux *m)
{
    return m->opened_here + m->opened_there;
}
