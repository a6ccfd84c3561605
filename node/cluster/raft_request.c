/* Requests: proposals, reads and configuration changes, from the call to the outcome.
 *
 *     noted (d->requests) --stepped, accepted--> open (d->open) --applied, answered--> finished
 *                         --refused--> finished
 *     open --leadership lost--> orphan (d->orphans) --its entry, or what stands in its place, is
 *                                                     applied; or nobody knows in time--> finished
 *
 * A successor usually has what was proposed: it commits it, and this node sees that a moment later.
 * [Raft] 5.3, log matching: the entry with a proposal's index and term is that proposal; and terms
 * never go down along the log, so an applied entry of a later term is proof that no proposal of an
 * earlier term will follow.
 *
 * The core names a request by its ticket: a slot and the slot's generation, so that a ticket that
 * comes back after its request was answered finds nothing. The pump delivers what is finished. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/units.h"
#include "node/cluster/raft_driver_priv.h"

#define ORPHAN_WAIT_NS NS_PER_S /* an election takes less, when there can be one */

static struct request *new_request(struct raft_driver *d, enum request_kind kind, size_t len,
                                   raft_driver_done done, void *owner)
{
    struct request *r = calloc(1, sizeof(*r) + len);

    CHECK(r != NULL); /* without it even a refusal could not be delivered */
    r->kind = kind;
    r->done = done;
    r->owner = owner;
    r->slot = SIZE_MAX;
    r->len = len;
    list_init(&r->link);
    raft_driver_wake(d);
    return r;
}

static bool accepts_requests(const struct raft_driver *d)
{
    return d->failed == 0 && d->state == DRIVER_RUNNING;
}

static void note_request(struct raft_driver *d, struct request *r)
{
    if (!accepts_requests(d)) {
        raft_request_finish(d, r, ERR_UNAVAILABLE);
        return;
    }
    if (d->request_bytes + r->len > REQUEST_BYTES_MAX ||
        d->open_count >= RAFT_DRIVER_PROPOSALS_MAX) {
        raft_request_finish(d, r, ERR_FULL);
        return;
    }
    d->open_count++;
    r->is_counted = true;
    d->request_bytes += r->len;
    list_push_back(&d->requests, &r->link);
}

void raft_request_finish(struct raft_driver *d, struct request *r, int err)
{
    if (r->slot != SIZE_MAX) {
        struct slot *s = &d->slots[r->slot];

        s->request = NULL;
        s->generation++;
        s->next_free = d->free_slot;
        d->free_slot = (uint32_t)r->slot + 1;
        r->slot = SIZE_MAX;
    }
    if (r->is_counted)
        d->open_count--;
    r->is_counted = false;
    r->err = err;
    list_remove(&r->link); /* from where it waited, if it did */
    list_push_back(&d->finished, &r->link);
}

struct request *raft_request_of_ticket(struct raft_driver *d, uint64_t ticket)
{
    uint64_t slot = (ticket & UINT32_MAX) - 1;

    if (ticket == 0 || slot >= d->slot_count ||
        d->slots[slot].generation != (uint32_t)(ticket >> 32))
        return NULL; /* of a request that was answered already */
    return d->slots[slot].request;
}

uint64_t raft_request_open(struct raft_driver *d, struct request *r)
{
    uint32_t slot;

    if (r->slot == SIZE_MAX) {
        if (d->free_slot != 0) {
            slot = d->free_slot - 1;
            d->free_slot = d->slots[slot].next_free;
        } else {
            if (d->slot_count == d->slot_cap) {
                uint32_t cap = d->slot_cap == 0 ? 64 : d->slot_cap * 2;
                struct slot *grown = realloc(d->slots, cap * sizeof(*grown));

                if (grown == NULL)
                    return 0;
                d->slots = grown;
                d->slot_cap = cap;
            }
            slot = d->slot_count++;
            d->slots[slot] = (struct slot){ 0 };
        }
        d->slots[slot].request = r;
        r->slot = slot;
    }
    return (uint64_t)d->slots[r->slot].generation << 32 | (r->slot + 1);
}

void raft_driver_propose(struct raft_driver *d, struct slice data, raft_driver_done done,
                         void *owner)
{
    bool fits = data.len <= RAFT_ENTRY_LEN_MAX;
    struct request *r = new_request(d, REQUEST_PROPOSE, fits ? data.len : 0, done, owner);

    if (!fits) {
        raft_request_finish(d, r, ERR_TOO_LARGE);
        return;
    }
    if (data.len > 0)
        memcpy(r->bytes, data.ptr, data.len);
    note_request(d, r);
}

void raft_driver_read(struct raft_driver *d, raft_driver_done done, void *owner)
{
    note_request(d, new_request(d, REQUEST_READ, 0, done, owner));
}

void raft_driver_change(struct raft_driver *d, const struct raft_conf_op *ops, size_t count,
                        raft_driver_done done, void *owner)
{
    struct request *r;
    size_t len = 0;

    for (size_t i = 0; i < count; i++)
        len += ops[i].context.len;
    r = new_request(d, REQUEST_CHANGE, len, done, owner);
    if (count == 0 || count > RAFT_CONF_OPS_MAX) {
        raft_request_finish(d, r, ERR_INVALID);
        return;
    }
    r->ops = calloc(count, sizeof(*r->ops));
    CHECK(r->ops != NULL);
    r->op_count = count;
    len = 0;
    for (size_t i = 0; i < count; i++) {
        r->ops[i] = ops[i];
        r->ops[i].context = slice_of(r->bytes + len, ops[i].context.len);
        if (ops[i].context.len > 0)
            memcpy(r->bytes + len, ops[i].context.ptr, ops[i].context.len);
        len += ops[i].context.len;
    }
    note_request(d, r);
}

void raft_request_orphan(struct raft_driver *d)
{
    if (list_is_empty(&d->orphans))
        d->orphan_deadline = mono_after(uv_hrtime(), ORPHAN_WAIT_NS);
    LIST_EACH_SAFE(link, &d->open)
    {
        struct request *r = CONTAINER_OF(link, struct request, link);

        if (r->kind == REQUEST_READ)
            continue; /* the core answers it */
        list_remove(link);
        if (r->kind == REQUEST_PROPOSE)
            list_push_back(&d->orphans, link);
        else
            raft_request_finish(d, r, ERR_UNKNOWN_OUTCOME);
    }
}

/* By its entry, not by the ticket: the log may have lost it and got it again from a successor. */
static struct request *find_orphan(struct raft_driver *d, struct raft_entry_id applied)
{
    LIST_EACH_SAFE(link, &d->orphans)
    {
        struct request *r = CONTAINER_OF(link, struct request, link);

        if (r->entry.index == applied.index && r->entry.term == applied.term)
            return r;
        if (r->entry.term >= applied.term)
            break; /* it may be in one of the next entries */
        raft_request_finish(d, r, ERR_NOT_LEADER);
    }
    return NULL;
}

struct request *raft_request_applied(struct raft_driver *d, const struct to_apply *a)
{
    struct request *orphan = find_orphan(d, a->id);

    return orphan != NULL ? orphan : raft_request_of_ticket(d, a->ticket);
}

void raft_request_end_orphans(struct raft_driver *d)
{
    struct list *link;

    while ((link = list_pop_front(&d->orphans)) != NULL)
        raft_request_finish(d, CONTAINER_OF(link, struct request, link), ERR_UNKNOWN_OUTCOME);
}
