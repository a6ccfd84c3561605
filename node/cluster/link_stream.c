/* node/cluster/link_stream.c - One stream: its two directions, flow control and end.
 *
 *     ours    open -> data* -> finish        theirs   data* -> finish
 *
 * Sending is bounded twice: by LINK_STREAM_WINDOW bytes queued here, and by the peer's credit.
 * Credit goes back when a quarter of the window has been consumed, so an idle stream costs no
 * frames and a busy one few. A stream never calls its owner from one of the owner's own calls,
 * so a reset is only noted there; link_mux_next() sends it and frees. */
#include "node/cluster/link_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "node/cluster/link_mux.h"

#define CREDIT_STEP (LINK_STREAM_WINDOW / 4)

struct link_stream *link_stream_new(struct link_mux *mux, enum link_channel channel,
                                    bool is_opened_here)
{
    struct link_stream *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->mux = mux;
    s->channel = channel;
    s->is_opened_here = is_opened_here;
    s->credit = LINK_STREAM_WINDOW;
    s->window = LINK_STREAM_WINDOW;
    link_queue_init(&s->queue);
    list_init(&s->ready);
    list_init(&s->urgent);
    list_push_back(&mux->streams, &s->all);
    *(is_opened_here ? &mux->opened_here : &mux->opened_there) += 1;
    return s;
}

void link_stream_close(struct link_stream *s, int reason)
{
    struct link_mux *mux = s->mux;

    list_remove(&s->all);
    list_remove(&s->ready);
    list_remove(&s->urgent);
    if (s->id != 0)
        (void)map_remove_u64(&mux->by_id, s->id); /* absent when it could not be entered */
    *(s->is_opened_here ? &mux->opened_here : &mux->opened_there) -= 1;
    link_queue_clear(&s->queue);
    if (!s->is_gone) {
        s->is_gone = true; /* whatever on_closed calls has no effect */
        s->callbacks.on_closed(s->ctx, s, reason);
    }
    free(s);
}

/* --- Sending --- */

static bool has_ordered_work(const struct link_stream *s)
{
    if (s->is_reset_due || s->is_finish_sent)
        return false;
    if (!s->is_open_sent)
        return true;
    return s->queue.len > 0 ? s->credit > 0 : s->is_finishing;
}

static bool has_urgent_work(const struct link_stream *s)
{
    return s->is_reset_due || (s->owed >= CREDIT_STEP && !s->is_finish_received);
}

static void place(struct list *link, struct list *list, bool belongs)
{
    if (!belongs)
        list_remove(link);
    else if (!list_is_linked(link))
        list_push_back(list, link);
}

/* Puts the stream into the lists where it belongs now. */
static void update(struct link_stream *s)
{
    struct link_mux *m = s->mux;

    place(&s->ready, &m->channels[s->channel].ready, has_ordered_work(s));
    place(&s->urgent, &m->urgent, has_urgent_work(s));
    if (list_is_linked(&s->ready) || list_is_linked(&s->urgent))
        m->events.on_sendable(m->events.ctx);
}

/* Over when both directions are. */
static bool close_if_finished(struct link_stream *s)
{
    if (!s->is_finish_sent || !s->is_finish_received || s->is_reset_due)
        return false;
    link_stream_close(s, 0);
    return true;
}

static size_t send_open(struct link_stream *s, uint8_t *out)
{
    struct frame f = { .type = FRAME_OPEN, .channel = s->channel };
    size_t len = link_queue_read_front(&s->queue, out + FRAME_HEAD_LEN, FRAME_BODY_LEN_MAX);
    int rc = s->mux->next_id > UINT32_MAX - 2 ? ERR_EXHAUSTED : 0;

    if (rc == 0) {
        s->id = s->mux->next_id;
        rc = map_set_u64(&s->mux->by_id, s->id, s);
    }
    if (rc < 0) {
        link_stream_close(s, rc);
        return 0;
    }
    s->mux->next_id += 2;
    s->is_open_sent = true;
    f.stream = s->id;
    frame_put_head(&f, out);
    return FRAME_HEAD_LEN + len;
}

static size_t send_data(struct link_stream *s, uint8_t *out)
{
    const struct frame f = { .type = FRAME_DATA, .channel = s->channel, .stream = s->id };
    size_t len = link_queue_read(&s->queue, out + FRAME_HEAD_LEN,
                                 MIN((size_t)s->credit, FRAME_BODY_LEN_MAX));

    CHECK(len > 0);
    s->credit -= (uint32_t)len;
    frame_put_head(&f, out);
    return FRAME_HEAD_LEN + len;
}

static size_t encode_number(const struct link_stream *s, enum frame_type type, uint32_t number,
                            uint8_t *out)
{
    uint8_t body[4];
    const struct frame f = {
        .type = type, .channel = s->channel, .stream = s->id, .body = slice_of(body, sizeof(body))
    };

    put_u32(body, number);
    return frame_encode(&f, out);
}

static void tell_writable(struct link_stream *s)
{
    if (!s->wants_room || s->is_gone || s->queue.len > LINK_STREAM_WINDOW / 2)
        return;
    s->wants_room = false;
    if (s->callbacks.on_writable != NULL)
        s->callbacks.on_writable(s->ctx, s);
}

size_t link_stream_next(struct link_stream *s, uint8_t *out)
{
    size_t len;

    list_remove(&s->ready); /* update() puts it back at the end: streams take turns */
    if (!s->is_open_sent) {
        len = send_open(s, out);
        if (len > 0)
            update(s);
        return len;
    }
    if (s->queue.len > 0) {
        len = send_data(s, out);
        tell_writable(s);
        update(s);
        return len;
    }
    len = encode_number(s, FRAME_FINISH, (uint32_t)s->finish_status, out);
    s->is_finish_sent = true;
    (void)close_if_finished(s); /* nothing touches it after this either way */
    return len;
}

size_t link_stream_next_urgent(struct link_stream *s, uint8_t *out)
{
    size_t len = 0;

    if (s->is_reset_due) {
        if (s->is_open_sent)
            len = encode_number(s, FRAME_RESET, (uint32_t)s->reset_status, out);
        link_stream_close(s, s->reset_status);
        return len;
    }
    len = encode_number(s, FRAME_CREDIT, s->owed, out);
    s->window += s->owed;
    s->owed = 0;
    update(s);
    return len;
}

/* --- Receiving --- */

static int receive_data(struct link_stream *s, struct slice data)
{
    if (s->is_finish_received || data.len > s->window)
        return ERR_MALFORMED;
    s->window -= (uint32_t)data.len;
    s->lent += (uint32_t)data.len;
    s->callbacks.on_data(s->ctx, s, data);
    return 0;
}

static int receive_credit(struct link_stream *s, uint32_t credit)
{
    if (credit == 0 || credit > LINK_STREAM_WINDOW - s->credit)
        return ERR_MALFORMED;
    s->credit += credit;
    update(s);
    return 0;
}

static int receive_finish(struct link_stream *s, int32_t status)
{
    if (s->is_finish_received)
        return ERR_MALFORMED;
    s->is_finish_received = true;
    update(s);
    s->callbacks.on_finish(s->ctx, s, status);
    (void)close_if_finished(s);
    return 0;
}

int link_stream_receive(struct link_stream *s, const struct frame *f)
{
    int32_t status;

    if (f->channel != (unsigned)s->channel)
        return ERR_MALFORMED;
    if (f->type == FRAME_RESET) {
        status = (int32_t)get_u32(f->body.ptr);
        if (status >= 0)
            return ERR_MALFORMED;
        link_stream_close(s, status);
        return 0;
    }
    if (s->is_gone)
        return 0; /* sent before the peer learnt of our reset */
    if (f->type == FRAME_DATA)
        return receive_data(s, f->body);
    if (f->type == FRAME_CREDIT)
        return receive_credit(s, get_u32(f->body.ptr));
    CHECK(f->type == FRAME_FINISH);
    return receive_finish(s, (int32_t)get_u32(f->body.ptr));
}

/* --- The owner's calls --- */

void link_stream_accept(struct link_stream *s, const struct link_stream_callbacks *callbacks,
                        void *ctx)
{
    CHECK(callbacks->on_data != NULL);
    CHECK(callbacks->on_finish != NULL);
    CHECK(callbacks->on_closed != NULL);
    s->callbacks = *callbacks;
    s->ctx = ctx;
}

size_t link_stream_room(const struct link_stream *s)
{
    size_t queued = s->queue.len - (s->is_open_sent ? 0 : s->header_len);

    return s->is_gone || s->is_finishing ? 0 : LINK_STREAM_WINDOW - queued;
}

int link_stream_write(struct link_stream *s, struct slice data)
{
    int rc;

    if (s->is_gone || s->is_finishing)
        return ERR_CLOSED;
    if (data.len > LINK_STREAM_WINDOW)
        return ERR_TOO_LARGE;
    if (data.len > link_stream_room(s)) {
        s->wants_room = true;
        return ERR_FULL;
    }
    if (data.len == 0)
        return 0;
    rc = link_queue_append(&s->queue, data);
    if (rc == 0)
        update(s);
    return rc;
}

void link_stream_consume(struct link_stream *s, size_t len)
{
    if (s->is_gone)
        return;
    CHECK(len <= s->lent);
    s->lent -= (uint32_t)len;
    s->owed += (uint32_t)len;
    update(s);
}

void link_stream_finish(struct link_stream *s, int status)
{
    if (s->is_gone || s->is_finishing)
        return;
    s->is_finishing = true;
    s->finish_status = status;
    update(s);
}

void link_stream_reset(struct link_stream *s, int status)
{
    if (s->is_gone)
        return;
    s->is_gone = true;
    s->is_reset_due = true;
    s->reset_status = status < 0 ? status : ERR_CLOSED;
    link_queue_clear(&s->queue);
    update(s);
}
