/* Messages on their way out: each waits for the write that it depends on.
 *
 * A heartbeat that only says how far things are committed (a notice) waits a little for the next
 * append to the same member, which says it as well. Under load there always is one, so a commit
 * costs no messages of its own; and who waits for the answer to a write has it before anybody is
 * told. */
#include <stdlib.h>

#include "base/check.h"
#include "node/cluster/raft_driver_priv.h"

#define NOTICE_DELAY_NS NS_PER_MS

static bool is_notice(const struct raft_message *m)
{
    return m->type == RAFT_HEARTBEAT && m->heartbeat.quiet;
}

static void drop(struct raft_driver *d, struct outbound *o)
{
    d->outbound_bytes -= o->len;
    free(o);
}

/* What `m` says as well. */
static void drop_notice(struct raft_driver *d, const struct raft_message *m)
{
    if (m->type != RAFT_APPEND && m->type != RAFT_HEARTBEAT)
        return;
    LIST_EACH_SAFE(link, &d->notices)
    {
        struct outbound *o = CONTAINER_OF(link, struct outbound, link);

        if (o->to != m->to)
            continue;
        list_remove(link);
        drop(d, o);
    }
}

void raft_outbox_add(struct raft_driver *d, const struct raft_message *m)
{
    size_t cap = raft_message_encoded_max(m);
    struct outbound *o;
    int64_t len;

    drop_notice(d, m);
    if (d->outbound_bytes + cap > OUTBOUND_BYTES_MAX)
        return; /* losing one is allowed */
    o = malloc(sizeof(*o) + cap);
    if (o == NULL)
        return;
    len = raft_message_encode(m, o->bytes, cap);
    CHECK(len >= 0);
    o->to = m->to;
    o->after = m->after;
    o->not_before = is_notice(m) ? mono_after(uv_hrtime(), NOTICE_DELAY_NS) : 0;
    o->len = (size_t)len;
    d->outbound_bytes += o->len;
    list_push_back(is_notice(m) ? &d->notices : &d->outbound, &o->link);
}

mono_ns raft_outbox_deadline(const struct raft_driver *d)
{
    struct list *first = list_first(&d->notices);

    return first == NULL ? MONO_NEVER : CONTAINER_OF(first, struct outbound, link)->not_before;
}

void raft_outbox_send(struct raft_driver *d)
{
    raft_write durable = wal_durable(d->wal);
    struct list *due;

    while (raft_outbox_deadline(d) <= uv_hrtime() && (due = list_pop_front(&d->notices)) != NULL)
        list_push_back(&d->outbound, due);
    LIST_EACH_SAFE(link, &d->outbound)
    {
        struct outbound *o = CONTAINER_OF(link, struct outbound, link);

        if (o->after > durable)
            continue;
        list_remove(link);
        d->cfg.send(d->cfg.ctx, o->to, slice_of(o->bytes, o->len));
        drop(d, o);
    }
}
