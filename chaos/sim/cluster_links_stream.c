/* chaos/sim/cluster_links_stream.c - Streams, and what arrives on a link. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_links.h"

static struct link_stream *find_stream(struct links *l, uint64_t id)
{
    LIST_EACH(link, &l->streams)
    {
        struct link_stream *s = CONTAINER_OF(link, struct link_stream, link);

        if (s->id == id)
            return s;
    }
    return NULL;
}

static struct link_stream *add_stream(struct links *l, unsigned peer, uint64_t id,
                                      enum link_channel channel)
{
    struct link_stream *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->links = l;
    s->peer = &l->peers[peer];
    s->id = id;
    s->channel = channel;
    list_push_back(&l->streams, &s->link);
    return s;
}

void link_stream_end(struct link_stream *s, int reason)
{
    if (s->callbacks.on_closed != NULL)
        s->callbacks.on_closed(s->ctx, s, reason);
    free(s);
}

static void end_stream(struct link_stream *s, int reason)
{
    list_remove(&s->link);
    link_stream_end(s, reason);
}

static int say(struct link_stream *s, enum link_message_kind kind, int status, struct slice bytes)
{
    return links_submit(s->links, s->peer->index,
                        link_message_new(kind, s->channel, s->id, status, bytes));
}

/* --- Arrivals */

static void take_open(struct links *l, unsigned from, const struct link_message *m)
{
    const struct link_handler *h = &l->handlers[m->channel];
    struct computer *peer = &l->world->computers[from];
    struct link_peer who = { .node = peer->id, .role = ROLE_MANAGER };
    struct link_stream *s = add_stream(l, from, m->stream, m->channel);
    int rc = ERR_UNSUPPORTED;

    if (h->on_stream != NULL)
        rc = h->on_stream(h->ctx, &who, m->channel, slice_of(m->bytes, m->len), s);
    if (rc == 0 && s->accepted)
        return;
    link_stream_reset(s, rc);
}

static void take_finish(struct link_stream *s, int status)
{
    struct links *l = s->links;
    uint64_t id = s->id;

    s->finished_there = true;
    if (s->callbacks.on_finish != NULL)
        s->callbacks.on_finish(s->ctx, s, status);
    s = find_stream(l, id); /* the callback may have ended it */
    if (s != NULL && s->finished_here)
        end_stream(s, 0);
}

void links_take(struct links *l, unsigned from, struct conn *c, const struct link_message *m)
{
    const struct link_handler *h = &l->handlers[m->channel];
    struct computer *peer = &l->world->computers[from];
    struct link_peer who = { .node = peer->id, .role = ROLE_MANAGER };
    struct link_stream *s = m->kind == LINK_MESSAGE ? NULL : find_stream(l, m->stream);

    (void)c;
    memcpy(who.identity_key, peer->public_key, sizeof(who.identity_key));
    switch (m->kind) {
    case LINK_MESSAGE:
        if (h->on_message != NULL)
            h->on_message(h->ctx, &who, m->channel, slice_of(m->bytes, m->len));
        break;
    case LINK_STREAM_OPEN:
        take_open(l, from, m);
        break;
    case LINK_STREAM_DATA:
        if (s != NULL)
            s->callbacks.on_data(s->ctx, s, slice_of(m->bytes, m->len));
        break;
    case LINK_STREAM_FINISH:
        if (s != NULL)
            take_finish(s, m->status);
        break;
    case LINK_STREAM_RESET:
        if (s != NULL)
            end_stream(s, m->status);
        break;
    }
}

/* --- What the program calls */

int link_stream_open(struct links *l, const struct id *to, enum link_channel channel,
                     struct slice header, const struct link_stream_callbacks *callbacks, void *ctx,
                     struct link_stream **out)
{
    struct computer *c = computer_by_id(l->world, to);
    struct link_message *m;
    struct link_stream *s;
    int rc;

    if (c == NULL)
        return ERR_UNAVAILABLE;
    m = link_message_new(LINK_STREAM_OPEN, channel, ++l->world->next_stream, 0, header);
    s = add_stream(l, c->index, m->stream, channel);
    s->callbacks = *callbacks;
    s->ctx = ctx;
    s->accepted = true;
    rc = links_submit(l, c->index, m);
    if (rc < 0) {
        list_remove(&s->link);
        free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void link_stream_accept(struct link_stream *s, const struct link_stream_callbacks *callbacks,
                        void *ctx)
{
    s->callbacks = *callbacks;
    s->ctx = ctx;
    s->accepted = true;
}

int link_stream_write(struct link_stream *s, struct slice data)
{
    if (s->finished_here)
        return ERR_CLOSED;
    if (data.len > LINK_STREAM_WINDOW)
        return ERR_TOO_LARGE;
    return say(s, LINK_STREAM_DATA, 0, data) < 0 ? ERR_CLOSED : 0;
}

size_t link_stream_room(const struct link_stream *s)
{
    (void)s;
    return LINK_STREAM_WINDOW;
}

void link_stream_consume(struct link_stream *s, size_t len)
{
    (void)s; /* no reader here is slower than its link */
    (void)len;
}

static void on_both_finished(void *ctx, uint64_t arg)
{
    struct links *l = ctx;
    struct link_stream *s = find_stream(l, arg);

    if (s != NULL)
        end_stream(s, 0);
}

void link_stream_finish(struct link_stream *s, int status)
{
    if (s->finished_here)
        return;
    s->finished_here = true;
    if (say(s, LINK_STREAM_FINISH, status, slice_of(NULL, 0)) < 0)
        return; /* on_closed comes with the end of the link */
    if (s->finished_there)
        loop_after(&s->links->daemon->loop, 0, on_both_finished, s->links, s->id);
}

void link_stream_reset(struct link_stream *s, int status)
{
    int rc = say(s, LINK_STREAM_RESET, status, slice_of(NULL, 0));

    (void)rc; /* without a link the other side has lost it, too */
    list_remove(&s->link);
    free(s);
}
