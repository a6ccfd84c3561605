/* Each turn in which something changed, the rows of every connected node are derived anew
 * (dispatcher_rows.h) and compared, by hash, with what it was sent; only what differs is copied. */
#include "node/control/dispatcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/omap.h"
#include "node/control/dispatcher_rows.h"

#define FRAME_BYTES_MAX (1 * MIB)
#define SESSIONS_MAX    16384

/* What a node has: key -> hash of the row, as a tagged pointer of a small struct. */
struct sent_row {
    uint64_t hash;
    uint64_t seen; /* the pass that still had it */
};

struct session {
    struct id node;
    struct omap sent; /* key -> struct sent_row *, owned */
    uint64_t version; /* 0: it has nothing, or we do not know what */
    uint64_t pass;
    bool connected;
};

struct dispatcher {
    struct omap sessions;    /* node id -> struct session *, owned */
    struct omap unreachable; /* node ids that gossip holds for unreachable */
    bool dirty;
};

int dispatcher_new(struct dispatcher **out)
{
    struct dispatcher *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return -ENOMEM;
    omap_init(&d->sessions);
    omap_init(&d->unreachable);
    *out = d;
    return 0;
}

static void clear_sent(struct session *s)
{
    for (const struct omap_node *n = omap_first(&s->sent); n != NULL; n = omap_next(n))
        free(omap_value(n));
    omap_deinit(&s->sent);
    omap_init(&s->sent);
    s->version = 0;
}

void dispatcher_clear(struct dispatcher *d)
{
    for (const struct omap_node *n = omap_first(&d->sessions); n != NULL; n = omap_next(n)) {
        struct session *s = omap_value(n);

        clear_sent(s);
        free(s);
    }
    omap_deinit(&d->sessions);
    omap_init(&d->sessions);
    omap_deinit(&d->unreachable);
    omap_init(&d->unreachable);
}

void dispatcher_free(struct dispatcher *d)
{
    if (d == NULL)
        return;
    dispatcher_clear(d);
    free(d);
}

int dispatcher_hello(struct dispatcher *d, const struct id *node, const struct hello *h)
{
    struct session *s = omap_get(&d->sessions, id_slice(node));

    if (s == NULL) {
        if (d->sessions.count >= SESSIONS_MAX)
            return ERR_FULL;
        s = calloc(1, sizeof(*s));
        if (s == NULL || omap_set(&d->sessions, id_slice(node), s) < 0) {
            free(s);
            return -ENOMEM;
        }
        s->node = *node;
        omap_init(&s->sent);
    }
    if (h->version == 0 || h->version != s->version)
        clear_sent(s);
    s->connected = true;
    d->dirty = true;
    return 0;
}

/* What it was sent is kept: it may come back at the same version. */
void dispatcher_gone(struct dispatcher *d, const struct id *node)
{
    struct session *s = omap_get(&d->sessions, id_slice(node));

    if (s != NULL)
        s->connected = false;
}

bool dispatcher_is_connected(const struct dispatcher *d, const struct id *node)
{
    const struct session *s = omap_get(&d->sessions, id_slice(node));

    return s != NULL && s->connected;
}

const struct id *dispatcher_next(const struct dispatcher *d, const struct id *after)
{
    const struct omap_node *n =
        after == NULL ? omap_first(&d->sessions) : omap_lower_bound(&d->sessions, id_slice(after));

    for (; n != NULL; n = omap_next(n)) {
        const struct session *s = omap_value(n);

        if (s->connected && (after == NULL || !id_equal(&s->node, after)))
            return &s->node;
    }
    return NULL;
}

void dispatcher_changed(struct dispatcher *d, const struct store_changes *changes)
{
    d->dirty = d->dirty || changes->count > 0;
}

void dispatcher_reset(struct dispatcher *d)
{
    d->dirty = true;
}

void dispatcher_reachable(struct dispatcher *d, const struct id *node, enum control_hearing what)
{
    bool was = omap_get(&d->unreachable, id_slice(node)) != NULL;
    bool is = what != CONTROL_ALIVE;

    if (was == is)
        return;
    if (!is)
        (void)omap_remove(&d->unreachable, id_slice(node));
    else if (omap_set(&d->unreachable, id_slice(node), d) < 0)
        return; /* the store says so soon */
    d->dirty = true;
}

/* --- A node's pass */

struct pass {
    const struct store *store;
    struct session *session;
    struct dispatcher_output *out;
    struct assign *frame; /* the one being filled; NULL until there is something to say */
    uint64_t base;
    size_t bytes;
    int err;
};

static struct assign *open_frame(struct pass *p)
{
    struct dispatcher_message *items;
    struct assign *frame;

    if (p->frame != NULL && p->frame->rows.count < ASSIGNED_MAX && p->bytes < FRAME_BYTES_MAX)
        return p->frame;
    items = realloc(p->out->items, (p->out->count + 1) * sizeof(*items));
    if (items == NULL)
        return NULL;
    p->out->items = items;
    frame = calloc(1, sizeof(*frame));
    if (frame == NULL)
        return NULL;
    if (p->frame != NULL)
        p->frame->more = true;
    frame->base = p->base;
    frame->version = store_applied(p->store);
    items[p->out->count++] =
        (struct dispatcher_message){ .node = p->session->node,
                                     .frame = { .kind = DISPATCH_ASSIGN, .assign = frame } };
    p->bytes = 0;
    p->frame = frame;
    return frame;
}

/* Sends the row if the node does not have it so. */
static void offer(void *ctx, const struct assigned *row)
{
    struct pass *p = ctx;
    uint64_t hash = fields_hash(&assigned_type, row);
    struct sent_row *sent = omap_get(&p->session->sent, slice_of_str(row->key));
    struct assign *frame;
    struct assigned *copy;

    if (p->err < 0)
        return;
    if (sent == NULL) {
        sent = calloc(1, sizeof(*sent));
        if (sent == NULL || omap_set(&p->session->sent, slice_of_str(row->key), sent) < 0) {
            free(sent);
            p->err = -ENOMEM;
            return;
        }
    } else if (sent->hash == hash) {
        sent->seen = p->session->pass;
        return;
    }
    sent->hash = hash;
    sent->seen = p->session->pass;
    frame = open_frame(p);
    copy = frame == NULL ? NULL : LIST_ADD(&frame->rows);
    if (copy == NULL || fields_copy(&assigned_type, row, copy) < 0) {
        p->err = -ENOMEM;
        return;
    }
    p->bytes += 256 + (row->secret != NULL ? row->secret->spec.data.len : 0) +
                (row->config != NULL ? row->config->spec.data.len : 0);
}

/* Rows that this pass did not see are gone. */
static void withdraw(struct pass *p)
{
    const struct omap_node *n = omap_first(&p->session->sent);

    while (n != NULL && p->err == 0) {
        struct sent_row *sent = omap_value(n);
        struct slice key = omap_key(n);
        struct assign *frame;
        struct assigned *row;
        char text[DISPATCHER_KEY_MAX];

        n = omap_next(n);
        if (sent->seen == p->session->pass)
            continue;
        (void)snprintf(text, sizeof(text), "%.*s", (int)key.len, (const char *)key.ptr);
        frame = open_frame(p);
        row = frame == NULL ? NULL : LIST_ADD(&frame->rows);
        if (row == NULL || str_set(&row->key, text) < 0) {
            p->err = -ENOMEM;
            return;
        }
        row->gone = true;
        (void)omap_remove(&p->session->sent, slice_of_str(text));
        free(sent);
    }
}

static int turn_session(const struct dispatcher *d, const struct store *s, struct session *session,
                        struct dispatcher_output *out)
{
    struct pass p = { .store = s, .session = session, .out = out, .base = session->version };
    int rc;

    session->pass++;
    rc = dispatcher_rows(s, &d->unreachable, &session->node, offer, &p);
    if (rc == 0)
        rc = p.err;
    if (rc < 0)
        return rc;
    withdraw(&p);
    if (p.err == 0 && p.frame != NULL)
        session->version = store_applied(s);
    return p.err;
}

int dispatcher_turn(struct dispatcher *d, const struct store *s, struct dispatcher_output *out)
{
    int rc = 0;

    *out = (struct dispatcher_output){ 0 };
    if (!d->dirty)
        return 0;
    for (const struct omap_node *n = omap_first(&d->sessions); n != NULL && rc == 0;
         n = omap_next(n)) {
        struct session *session = omap_value(n);

        if (session->connected)
            rc = turn_session(d, s, session, out);
    }
    if (rc < 0) { /* nothing of this turn is sent: say everything next time */
        for (const struct omap_node *n = omap_first(&d->sessions); n != NULL; n = omap_next(n))
            clear_sent(omap_value(n));
        dispatcher_output_deinit(out);
        return rc;
    }
    d->dirty = false;
    return 0;
}

void dispatcher_output_deinit(struct dispatcher_output *out)
{
    for (size_t i = 0; i < out->count; i++)
        fields_deinit(&dispatch_type, &out->items[i].frame);
    free(out->items);
    *out = (struct dispatcher_output){ 0 };
}
