/* raft/output.c - What one step hands out.
 *
 * Writes are numbered when the step ends, so messages made before carry which kind of write they
 * wait for instead of its number. Everyone waits for the newest change of term and vote: whoever
 * speaks in a term must still know it after a crash. */
#include <stdlib.h>

#include "base/check.h"
#include "raft/core.h"

struct raft_message *out_message(struct raft *r, raft_node_id to, enum raft_message_type type)
{
    struct raft_message *m;

    CHECK(r->out.message_count < RAFT_MESSAGES_MAX);
    m = &r->out.messages[r->out.message_count++];
    *m = (struct raft_message){
        .type = type,
        .cluster = r->cfg.cluster,
        .epoch = current_conf(r)->epoch,
        .from = r->cfg.id,
        .to = to,
        .term = r->term,
        .after = WAIT_HARD_STATE,
    };
    return m;
}

/* Answers strangers without a word about our state; they wait for nothing. */
void out_refuse(struct raft *r, const struct raft_message *m, enum raft_refusal reason)
{
    struct raft_message *answer = out_message(r, m->from, RAFT_REFUSED);

    answer->term = 0;
    answer->after = 0;
    answer->refused.reason = reason;
    r->refused_count++;
}

bool out_work_has_room(const struct raft *r)
{
    return r->out.work_count < RAFT_SNAPSHOT_WORK_MAX;
}

void out_work(struct raft *r, const struct raft_snapshot_work *work)
{
    CHECK(out_work_has_room(r));
    r->out.work[r->out.work_count++] = *work;
}

void out_read(struct raft *r, const struct read *read, enum raft_read_status status)
{
    CHECK(r->out.read_count <= RAFT_READS_MAX);
    r->out.reads[r->out.read_count++] = (struct raft_read_result){
        .ticket = read->ticket,
        .status = status,
        .index = read->index,
    };
}

void out_retire(struct raft *r, struct slice owned)
{
    CHECK(r->out.retired_count < sizeof(r->out.retired) / sizeof(r->out.retired[0]));
    r->out.retired[r->out.retired_count++] = owned;
}

void out_begin(struct raft *r)
{
    struct outbox *o = &r->out;

    for (size_t i = 0; i < o->retired_count; i++)
        free((void *)(uintptr_t)o->retired[i].ptr);
    o->retired_count = 0;
    o->message_count = 0;
    o->read_count = 0;
    o->work_count = 0;
    o->hard_state_changed = false;
    o->truncated = false;
    o->reset = false;
    o->compacted = false;
    o->append_from = 0;
    o->accepted = 0;
    o->refused = (enum raft_refusal)0;
    o->role_changed = false;
}

static struct raft_write_op *add_write(struct raft *r, size_t *count, enum raft_write_type type)
{
    struct raft_write_op *w;

    CHECK(*count < RAFT_WRITES_MAX);
    w = &r->out.writes[(*count)++];
    w->seq = ++r->issued;
    w->type = type;
    return w;
}

/* Hard state first: an entry of a term is never on disk without the term. */
static size_t collect_writes(struct raft *r)
{
    struct outbox *o = &r->out;
    raft_index last = log_last(&r->log).index;
    size_t count = 0;

    if (o->hard_state_changed) {
        struct raft_write_op *w = add_write(r, &count, RAFT_WRITE_HARD_STATE);

        w->hard_state = (struct raft_hard_state){ r->term, r->vote, r->commit_index };
        r->hard_state_write = w->seq;
    }
    if (o->reset) {
        add_write(r, &count, RAFT_WRITE_RESET)->base = r->log.base;
        r->log_write = r->issued;
        log_note_write(&r->log, r->issued);
    }
    if (o->truncated) {
        add_write(r, &count, RAFT_WRITE_TRUNCATE)->last = o->truncated_to;
        r->log_write = r->issued;
    }
    if (o->append_from != 0 && o->append_from <= last) {
        struct raft_write_op *w = add_write(r, &count, RAFT_WRITE_APPEND);

        w->entries = log_at(&r->log, o->append_from);
        w->entry_count = (size_t)(last - o->append_from + 1);
        r->log_write = w->seq;
        log_note_write(&r->log, w->seq);
    }
    if (o->compacted)
        add_write(r, &count, RAFT_WRITE_COMPACT)->base = r->log.base;
    return count;
}

/* A wait for something durable already is none. */
static raft_write resolve_wait(const struct raft *r, raft_write wait)
{
    raft_write after = 0;

    if ((wait & WAIT_HARD_STATE) != 0)
        after = r->hard_state_write;
    if ((wait & WAIT_LOG) != 0 && r->log_write > after)
        after = r->log_write;
    return after > r->persisted ? after : 0;
}

/* Entries go to the state machine once committed and durable here, in bounded portions, and not
 * while a snapshot is replacing the state that they would change. */
static void collect_committed(struct raft *r, struct raft_output *out)
{
    raft_index limit = MIN(r->commit_index, r->log.stable);
    raft_index first = r->emitted_index + 1;

    if (is_installing(r))
        return;
    while (r->emitted_index < limit && r->applying_bytes < r->cfg.apply_bytes_max)
        r->applying_bytes += log_entry_bytes(log_at(&r->log, ++r->emitted_index));
    if (first > r->emitted_index)
        return;
    out->committed = log_at(&r->log, first);
    out->committed_count = (size_t)(r->emitted_index - first + 1);
}

static mono_ns next_deadline(const struct raft *r)
{
    mono_ns deadline = MONO_NEVER;

    if (!r->started)
        return MONO_NEVER;
    if (r->role == RAFT_LEADER) {
        deadline = MIN(r->heartbeat_at, quorum_lapses_at(r));
        if (r->transfer_to != 0)
            deadline = MIN(deadline, r->transfer_deadline);
    } else if (may_campaign(r)) {
        deadline = r->election_deadline;
    }
    return MIN(deadline, snapshot_deadline(r));
}

void out_finish(struct raft *r, struct raft_output *out)
{
    struct outbox *o = &r->out;

    *out = (struct raft_output){ 0 };
    out->write_count = collect_writes(r);
    out->writes = o->writes;
    for (size_t i = 0; i < o->message_count; i++)
        o->messages[i].after = resolve_wait(r, o->messages[i].after);
    out->messages = o->messages;
    out->message_count = o->message_count;
    collect_committed(r, out);
    out->reads = o->reads;
    out->read_count = o->read_count;
    out->snapshot_work = o->work;
    out->snapshot_work_count = o->work_count;
    out->accepted = o->accepted;
    out->role_changed = o->role_changed;
    out->refused = o->refused;
    out->stopped = r->stopping && (r->role != RAFT_LEADER || r->stop_gave_up);
    out->deadline_ns = next_deadline(r);
}
