/* One pass over everything that happened:
 *
 *     flushed writes, messages, requests, signals, time  ->  raft_step, each
 *     its writes go into the log at once, everything else is noted
 *     start the flush          so that the disk works while the rest is done
 *     send what may leave      messages that wait for a write stay until it is durable
 *     apply what is committed  and tell the core; which may commit more: again from the top
 *     snapshots, roles, outcomes
 *
 * While a flush runs inputs go on being stepped; what they write is the next flush. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/cluster/raft_driver_priv.h"

#define ROUNDS_MAX 64 /* of applying and stepping before the loop gets its turn */

void raft_pump_fail(struct raft_driver *d, int err, const char *what)
{
    if (d->failed != 0)
        return;
    d->failed = err;
    (void)snprintf(d->why, sizeof(d->why), "%s: %s", what, err_text(err));
}

/* --- Outputs. */

static void note_writes(struct raft_driver *d, const struct raft_output *out)
{
    int rc = wal_append(d->wal, out->writes, out->write_count);

    if (rc < 0)
        raft_pump_fail(d, rc, "the log cannot take a write");
    raft_flush_note(d);
    for (size_t i = 0; i < out->write_count; i++) {
        const struct raft_write_op *op = &out->writes[i];

        if (op->type == RAFT_WRITE_RESET || op->type == RAFT_WRITE_TRUNCATE)
            d->conf_changed = true;
        for (size_t j = 0; op->type == RAFT_WRITE_APPEND && j < op->entry_count; j++)
            if (op->entries[j].type == RAFT_ENTRY_CONF)
                d->conf_changed = true;
    }
}

static void note_committed(struct raft_driver *d, const struct raft_output *out)
{
    size_t needed = d->apply_count + out->committed_count;

    if (needed > d->apply_cap) {
        struct to_apply *grown = realloc(d->applying, needed * 2 * sizeof(*grown));

        if (grown == NULL) {
            raft_pump_fail(d, -ENOMEM, "applying committed entries");
            return;
        }
        d->applying = grown;
        d->apply_cap = needed * 2;
    }
    for (size_t i = 0; i < out->committed_count; i++) {
        const struct raft_entry *e = &out->committed[i];

        d->applying[d->apply_count++] =
            (struct to_apply){ .id = e->id, .type = e->type, .data = e->data, .ticket = e->ticket };
    }
}

static void note_reads(struct raft_driver *d, const struct raft_output *out)
{
    for (size_t i = 0; i < out->read_count; i++) {
        struct request *r = raft_request_of_ticket(d, out->reads[i].ticket);

        if (r == NULL)
            continue;
        r->index = out->reads[i].index;
        raft_request_finish(d, r, out->reads[i].status == RAFT_READ_OK ? 0 : ERR_UNAVAILABLE);
    }
}

static void note_role(struct raft_driver *d)
{
    struct raft_status status;

    raft_status(d->raft, &status);
    if (d->was_leader && status.role != RAFT_LEADER)
        d->stepped_down = true;
    d->was_leader = status.role == RAFT_LEADER;
    d->role_changed = true;
}

int raft_pump_step(struct raft_driver *d, const struct raft_event *event)
{
    struct raft_output out;
    int rc;

    if (d->failed != 0)
        return d->failed;
    rc = raft_step(d->raft, event, uv_hrtime(), &out);
    d->deadline = out.deadline_ns;
    d->accepted = out.accepted;
    if (out.write_count > 0)
        note_writes(d, &out);
    for (size_t i = 0; i < out.message_count; i++)
        raft_outbox_add(d, &out.messages[i]);
    if (out.committed_count > 0)
        note_committed(d, &out);
    note_reads(d, &out);
    for (size_t i = 0; i < out.snapshot_work_count; i++)
        raft_snapshot_note(d, &out.snapshot_work[i]);
    if (out.role_changed)
        note_role(d);
    if (out.refused != 0)
        d->refused = out.refused;
    if (out.stopped)
        d->is_handed_over = true;
    return rc;
}

/* --- Inputs. */

static void step_persisted(struct raft_driver *d)
{
    struct raft_event event = { .type = RAFT_PERSISTED };

    if (!d->has_flushed)
        return;
    d->has_flushed = false;
    event.persisted = wal_durable(d->wal);
    if (event.persisted > 0 && raft_pump_step(d, &event) < 0)
        raft_pump_fail(d, ERR_INVALID, "the core refused a durable write");
}

/* Whether room is short because the disk is full, and not because segments are used up faster than
 * they are made. Only the first is a reason to refuse; the second is one to wait. */
static bool is_disk_full(const struct raft_driver *d)
{
    struct wal_stats stats;

    wal_stats(d->wal, &stats);
    return stats.is_starved;
}

/* A follower cannot refuse entries once the core has seen them, so it does not show it what the
 * log has no room for. */
static bool has_room(const struct raft_driver *d, const struct raft_message *m)
{
    size_t bytes = 0;

    if (m->type != RAFT_APPEND || m->append.entry_count == 0)
        return true;
    for (size_t i = 0; i < m->append.entry_count; i++)
        bytes += m->append.entries[i].data.len + WAL_ENTRY_OVERHEAD;
    return bytes <= wal_room(d->wal);
}

/* True when the message is done with; false when it waits in d->no_room. */
static bool step_message(struct raft_driver *d, struct inbound *in)
{
    struct raft_event event = { .type = RAFT_MESSAGE };
    int rc = raft_message_decode(slice_of(in->bytes, in->len), d->scratch, &event.message);

    CHECK(rc == 0); /* raft_driver_receive() has decoded it */
    if (!has_room(d, &event.message)) {
        if (!is_disk_full(d)) {
            list_push_back(&d->no_room, &in->link);
            return false;
        }
        log_warn_limited("raft", "raft", "the disk is full: entries of %llu are not taken",
                         (unsigned long long)in->from);
        return true;
    }
    rc = raft_pump_step(d, &event);
    if (rc < 0 && d->failed == 0)
        log_debug("raft", "message of %llu: %s", (unsigned long long)in->from, err_text(rc));
    return true;
}

static void step_messages(struct raft_driver *d)
{
    struct list *link;

    while (d->failed == 0 && (link = list_pop_front(&d->inbound)) != NULL) {
        struct inbound *in = CONTAINER_OF(link, struct inbound, link);

        if (!step_message(d, in))
            continue;
        d->inbound_bytes -= in->len;
        free(in);
    }
}

/* Proposals that stand together in the queue become one event, as far as the disk has room. */
static size_t gather_proposals(struct raft_driver *d)
{
    size_t room = wal_room(d->wal);
    size_t count = 0;

    LIST_EACH(link, &d->requests)
    {
        struct request *r = CONTAINER_OF(link, struct request, link);
        size_t bytes = r->len + WAL_ENTRY_OVERHEAD;

        if (r->kind != REQUEST_PROPOSE || count == RAFT_PROPOSALS_MAX || bytes > room)
            break;
        room -= bytes;
        d->proposals[count] = (struct raft_proposal){ .type = RAFT_ENTRY_DATA,
                                                      .data = slice_of(r->bytes, r->len),
                                                      .ticket = raft_request_open(d, r) };
        if (d->proposals[count].ticket == 0)
            break;
        count++;
    }
    return count;
}

static struct request *pop_request(struct raft_driver *d)
{
    struct list *link = list_pop_front(&d->requests);
    struct request *r;

    CHECK(link != NULL);
    r = CONTAINER_OF(link, struct request, link);
    d->request_bytes -= r->len;
    return r;
}

/* The first `accepted` wait in d->open for their entry; the others are answered. False when they
 * all wait for a new segment of the log. */
static bool step_proposals(struct raft_driver *d)
{
    size_t count = gather_proposals(d);
    struct raft_event event = { .type = RAFT_PROPOSE,
                                .propose = { .proposals = d->proposals, .count = count } };
    struct raft_status before;
    size_t accepted = 0;
    int rc = d->was_leader ? ERR_FULL : ERR_NOT_LEADER;

    if (count == 0 && d->was_leader && !is_disk_full(d))
        return false;
    if (count > 0) {
        raft_status(d->raft, &before);
        rc = raft_pump_step(d, &event);
        accepted = rc < 0 ? 0 : d->accepted;
    }
    for (size_t i = 0; i < MAX(count, 1); i++) {
        struct request *r = pop_request(d);

        if (i >= accepted) {
            raft_request_finish(d, r, rc < 0 ? rc : ERR_FULL);
            continue;
        }
        r->entry =
            (struct raft_entry_id){ .term = before.term, .index = before.last.index + 1 + i };
        list_push_back(&d->open, &r->link);
    }
    return true;
}

static void step_other_request(struct raft_driver *d, struct request *r)
{
    struct raft_event event = { .type = RAFT_READ };
    uint64_t ticket = raft_request_open(d, r);
    int rc;

    if (r->kind == REQUEST_READ) {
        event.read.ticket = ticket;
    } else {
        event.type = RAFT_CHANGE_CONF;
        event.change.ops = r->ops;
        event.change.count = r->op_count;
        event.change.ticket = ticket;
    }
    list_push_back(&d->open, &r->link); /* the step itself may finish it */
    rc = ticket == 0 ? -ENOMEM : raft_pump_step(d, &event);
    if (rc < 0)
        raft_request_finish(d, r, rc);
}

static void step_requests(struct raft_driver *d)
{
    d->is_short = false;
    while (d->failed == 0 && !list_is_empty(&d->requests)) {
        struct request *r = CONTAINER_OF(list_first(&d->requests), struct request, link);

        d->is_short = r->kind == REQUEST_PROPOSE && !step_proposals(d);
        if (d->is_short)
            return;
        if (r->kind != REQUEST_PROPOSE)
            step_other_request(d, pop_request(d));
    }
}

static void step_signals(struct raft_driver *d)
{
    struct raft_event event = { .type = RAFT_UNREACHABLE };

    for (size_t i = 0; i < d->unreachable_count; i++) {
        event.unreachable = d->unreachable[i];
        if (raft_pump_step(d, &event) < 0)
            log_debug("raft", "the peer that cannot be reached is no member");
    }
    d->unreachable_count = 0;
    if (d->wants_transfer) {
        d->wants_transfer = false;
        event = (struct raft_event){ .type = RAFT_TRANSFER, .transfer = d->transfer_to };
        if (raft_pump_step(d, &event) < 0)
            log_debug("raft", "leadership cannot be handed over now");
    }
    if (d->deadline <= uv_hrtime()) {
        event = (struct raft_event){ .type = RAFT_TIMEOUT };
        if (raft_pump_step(d, &event) < 0 && d->failed == 0)
            log_warn_limited("raft", "raft", "a timeout could not be handled; it is tried again");
    }
}

/* --- Consequences. */

static void apply_entry(struct raft_driver *d, const struct to_apply *a)
{
    struct slice data = a->type == RAFT_ENTRY_DATA ? a->data : (struct slice){ 0 };
    struct request *r = raft_request_applied(d, a);
    int result = d->cfg.machine.on_apply(d->cfg.machine.ctx, a->id.index, a->id.term, data);

    if (result == -ENOMEM)
        raft_pump_fail(d, result, "applying a committed entry");
    d->applied = a->id.index;
    d->applied_term = a->id.term;
    if (r == NULL)
        return;
    r->index = a->id.index;
    r->apply_result = result;
    raft_request_finish(d, r, 0);
}

/* True when something was applied: the core may have more. */
static bool apply_committed(struct raft_driver *d)
{
    struct raft_event event = { .type = RAFT_APPLIED };

    if (d->apply_count == 0)
        return false;
    for (size_t i = 0; i < d->apply_count && d->failed == 0; i++)
        apply_entry(d, &d->applying[i]);
    d->apply_count = 0;
    if (d->failed != 0)
        return false;
    d->cfg.machine.on_applied(d->cfg.machine.ctx, d->applied);
    event.applied.index = d->applied;
    event.applied.durable = MIN(d->machine_durable, d->applied);
    d->durable_told = event.applied.durable;
    if (raft_pump_step(d, &event) < 0)
        raft_pump_fail(d, ERR_INVALID, "the core refused applied entries");
    return true;
}

/* The machine's copy has become durable without anything new to apply. */
static void tell_durable(struct raft_driver *d)
{
    struct raft_event event = { .type = RAFT_APPLIED };
    raft_index durable = MIN(d->machine_durable, d->applied);

    if (durable <= d->durable_told)
        return;
    d->durable_told = durable;
    event.applied.index = d->applied;
    event.applied.durable = durable;
    if (raft_pump_step(d, &event) < 0)
        raft_pump_fail(d, ERR_INVALID, "the core refused applied entries");
}

static void finish_all(struct raft_driver *d, struct list *from, int err)
{
    struct list *link;

    while ((link = list_pop_front(from)) != NULL)
        raft_request_finish(d, CONTAINER_OF(link, struct request, link), err);
}

void raft_pump_end_requests(struct raft_driver *d)
{
    raft_request_orphan(d);
    raft_request_end_orphans(d);
    finish_all(d, &d->open, ERR_UNAVAILABLE); /* reads */
    finish_all(d, &d->requests, ERR_UNAVAILABLE);
    d->request_bytes = 0;
}

static void tell_conf(struct raft_driver *d)
{
    const struct raft_conf *conf = raft_conf_current(d->raft);

    if (!d->conf_changed)
        return;
    d->conf_changed = false;
    if (raft_conf_equal(conf, d->conf_told))
        return;
    *d->conf_told = *conf;
    if (d->cfg.on_conf != NULL)
        d->cfg.on_conf(d->cfg.ctx, d->conf_told);
}

static void tell(struct raft_driver *d)
{
    struct raft_status status;
    enum raft_refusal refused = d->refused;

    if (d->stepped_down)
        raft_request_orphan(d);
    d->stepped_down = false;
    if (uv_hrtime() >= d->orphan_deadline)
        raft_request_end_orphans(d);
    tell_conf(d);
    if (d->role_changed && d->cfg.on_role != NULL) {
        raft_status(d->raft, &status);
        d->cfg.on_role(d->cfg.ctx, &status);
    }
    d->role_changed = false;
    d->refused = (enum raft_refusal)0;
    if (refused != 0 && d->cfg.on_refused != NULL)
        d->cfg.on_refused(d->cfg.ctx, refused);
    if (d->failed != 0 && !d->failure_told) {
        d->failure_told = true;
        raft_pump_end_requests(d);
        d->cfg.on_failed(d->cfg.ctx, d->failed, d->why);
    }
}

void raft_pump_tell_outcomes(struct raft_driver *d)
{
    struct list now;
    struct list *link;

    list_init(&now);
    list_splice_back(&now, &d->finished); /* what they start is for the next pass */
    while ((link = list_pop_front(&now)) != NULL) {
        struct request *r = CONTAINER_OF(link, struct request, link);

        r->done(r->owner, r->err, r->index, r->apply_result);
        free(r->ops);
        free(r);
    }
}

static void arm_timer(struct raft_driver *d)
{
    mono_ns now = uv_hrtime();
    mono_ns deadline = MIN(d->deadline, raft_outbox_deadline(d));
    uint64_t ms;

    if (!list_is_empty(&d->orphans))
        deadline = MIN(deadline, d->orphan_deadline);
    if (d->state == DRIVER_HANDING_OVER)
        deadline = MIN(deadline, d->stop_deadline);
    if (d->failed != 0 || deadline == MONO_NEVER) {
        (void)uv_timer_stop(&d->timer);
        return;
    }
    ms = deadline <= now ? 0 : (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
    uv_update_time(d->cfg.loop);
    CHECK(uv_timer_start(&d->timer, d->on_timer, ms, 0) == 0); /* fails only while closing */
}

static bool has_inputs(const struct raft_driver *d)
{
    return !list_is_empty(&d->inbound) || (!list_is_empty(&d->requests) && !d->is_short) ||
           !list_is_empty(&d->finished) || d->unreachable_count > 0 || d->wants_transfer ||
           d->has_flushed || raft_flush_is_due(d);
}

/* A driver that failed takes in nothing more. */
static void drop_inputs(struct raft_driver *d)
{
    struct list *link;

    list_splice_back(&d->inbound, &d->no_room);
    while ((link = list_pop_front(&d->inbound)) != NULL)
        free(CONTAINER_OF(link, struct inbound, link));
    d->inbound_bytes = 0;
    d->unreachable_count = 0;
    d->wants_transfer = false;
    d->has_flushed = false;
}

void raft_pump_run(struct raft_driver *d)
{
    bool more = true;

    (void)uv_idle_stop(&d->idle); /* always 0 */
    d->pass++;
    for (unsigned round = 0; more && d->failed == 0 && round < ROUNDS_MAX; round++) {
        step_persisted(d);
        step_messages(d);
        step_requests(d);
        step_signals(d);
        raft_flush_start(d);
        raft_outbox_send(d);
        more = apply_committed(d) || d->has_flushed;
        tell_durable(d);
        raft_snapshot_run(d);
    }
    if (d->failed == 0) {
        raft_flush_start(d); /* what the last round wrote */
        raft_outbox_send(d);
    }
    if (d->failed != 0)
        drop_inputs(d);
    tell(d);
    raft_pump_tell_outcomes(d);
    arm_timer(d);
    if ((more && d->failed == 0) || has_inputs(d))
        raft_driver_wake(d);
}
