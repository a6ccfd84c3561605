/* chaos/sim/raft_mail.c - A simulated manager's messages: those that wait for a write before they
 * leave, and those that wait for a paused process. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/raft_sim.h"

static size_t encode(struct world *w, const struct raft_message *m)
{
    size_t max = raft_message_encoded_max(m);
    int64_t len;

    if (max > w->encode_cap) {
        w->encode_cap = 2 * max;
        w->encode_buf = realloc(w->encode_buf, w->encode_cap);
        CHECK(w->encode_buf != NULL);
    }
    len = raft_message_encode(m, w->encode_buf, w->encode_cap);
    CHECK(len > 0);
    return (size_t)len;
}

static raft_term vote_in(const struct raft_message *m)
{
    bool is_vote = m->type == RAFT_VOTE_RES && m->vote_res.granted && !m->vote_res.pre;

    return is_vote ? m->term : 0;
}

/* A vote is cast when it leaves; one that was lost with the disk before is none. */
static void post(struct host *h, unsigned to, raft_term vote_term, struct slice bytes)
{
    if (vote_term != 0)
        check_vote(h, vote_term, h->world->hosts[to].id);
    sim_net_send(&h->world->net, h->index, to, bytes);
}

static void park(struct host *h, unsigned to, const struct raft_message *m, struct slice bytes)
{
    struct parked *p = malloc(sizeof(*p) + bytes.len);

    CHECK(p != NULL);
    *p = (struct parked){ .after = m->after, .to = to, .len = bytes.len };
    p->vote_term = vote_in(m);
    memcpy(p->bytes, bytes.ptr, bytes.len);
    if (h->parked_last != NULL)
        h->parked_last->next = p;
    else
        h->parked_first = p;
    h->parked_last = p;
}

void mail_send(struct host *h, const struct raft_output *out)
{
    struct world *w = h->world;

    for (size_t i = 0; i < out->message_count; i++) {
        const struct raft_message *m = &out->messages[i];
        const struct host *to = host_by_id(w, m->to);
        struct slice bytes;

        if (to == NULL)
            continue;
        bytes.len = encode(w, m);
        bytes.ptr = w->encode_buf;
        if (m->after > h->durable)
            park(h, to->index, m, bytes);
        else
            post(h, to->index, vote_in(m), bytes);
    }
}

void mail_send_parked(struct host *h)
{
    struct parked **at = &h->parked_first;

    h->parked_last = NULL;
    while (*at != NULL) {
        struct parked *p = *at;

        if (p->after > h->durable) {
            h->parked_last = p;
            at = &p->next;
            continue;
        }
        *at = p->next;
        post(h, p->to, p->vote_term, slice_of(p->bytes, p->len));
        free(p);
    }
}

/* --- arriving */

static void receive(struct host *h, struct slice bytes)
{
    struct world *w = h->world;
    struct raft_event event = { .type = RAFT_MESSAGE };
    size_t data = 0;
    int rc = raft_message_decode(bytes, w->decode_entries, &event.message);

    if (rc < 0) {
        world_fail(w, "%u: a message of ours does not decode", h->index);
        return;
    }
    if (event.message.to != h->id)
        return; /* was meant for an earlier inhabitant of this place */
    if (event.message.type == RAFT_APPEND) {
        for (size_t i = 0; i < event.message.append.entry_count; i++)
            data += event.message.append.entries[i].data.len;
        if (!host_has_room(h, event.message.append.entry_count, data))
            return; /* as if lost: the leader tries again */
    }
    rc = host_step(h, &event);
    if (rc == ERR_MALFORMED)
        world_fail(w, "%u: takes a message of kind %s for malformed", h->index,
                   raft_message_name(event.message.type));
}

static void park_arrival(struct host *h, unsigned from, struct slice bytes)
{
    struct parked *p = malloc(sizeof(*p) + bytes.len);
    struct parked **end = &h->inbox;

    CHECK(p != NULL);
    *p = (struct parked){ .to = from, .len = bytes.len };
    memcpy(p->bytes, bytes.ptr, bytes.len);
    while (*end != NULL)
        end = &(*end)->next;
    *end = p;
}

void host_deliver(void *ctx, unsigned from, unsigned to, struct slice bytes)
{
    struct world *w = ctx;
    struct host *h = &w->hosts[to];

    if (!h->process.up)
        return;
    if (h->process.paused)
        park_arrival(h, from, bytes); /* the kernel keeps what arrives for a stopped process */
    else
        receive(h, bytes);
}

void host_resume(struct host *h)
{
    struct parked *inbox = h->inbox;

    h->inbox = NULL;
    sim_process_resume(&h->process);
    while (inbox != NULL) {
        struct parked *p = inbox;

        inbox = p->next;
        host_deliver(h->world, p->to, h->index, slice_of(p->bytes, p->len));
        free(p);
    }
}

void mail_drop(struct host *h)
{
    struct parked *p;

    while ((p = h->parked_first) != NULL) {
        h->parked_first = p->next;
        free(p);
    }
    h->parked_last = NULL;
    while ((p = h->inbox) != NULL) {
        h->inbox = p->next;
        free(p);
    }
}
