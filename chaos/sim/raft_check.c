/* chaos/sim/raft_check.c - What must hold after every step of every node.
 *
 * [Raft] Figure 3: election safety, leader append-only, log matching, leader completeness, state
 * machine safety; and beyond: a vote once cast in a term is never another, commit and term never
 * fall in one life, a snapshot equals the replay of the log, nothing that a client was told is
 * lost, a proposal runs once, reads are linearizable. Truth is kept outside of the nodes. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/sim/raft_sim.h"
#include "raft/core.h"

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;

    if (w->result.failed)
        return;
    w->result.failed = true;
    w->result.failed_at = w->clock.now;
    va_start(args, format);
    vsnprintf(w->result.violation, sizeof(w->result.violation), format, args);
    va_end(args);
    sim_trace_line(&w->trace, w->clock.now, "VIOLATION %s", w->result.violation);
}

uint64_t content_of(const struct raft_entry *e)
{
    uint64_t identity[3] = { e->type, e->session, e->sequence };

    return sim_hash(sim_hash(7, slice_of(identity, sizeof(identity))), e->data);
}

/* --- log matching */

static struct seen_entry *find_seen(struct world *w, raft_index index, raft_term term)
{
    uint64_t key[2] = { index, term };
    size_t i = (size_t)sim_hash(3, slice_of(key, sizeof(key))) & (w->seen_cap - 1);

    while (w->seen[i].index != 0 && (w->seen[i].index != index || w->seen[i].term != term))
        i = (i + 1) & (w->seen_cap - 1);
    return &w->seen[i];
}

static void grow_seen(struct world *w)
{
    struct seen_entry *old = w->seen;
    size_t old_cap = w->seen_cap;

    w->seen_cap = old_cap == 0 ? 1024 : 2 * old_cap;
    w->seen = calloc(w->seen_cap, sizeof(*w->seen));
    CHECK(w->seen != NULL);
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].index != 0)
            *find_seen(w, old[i].index, old[i].term) = old[i];
    free(old);
}

/* Index and term name one entry and one predecessor everywhere: by induction, whole logs. */
static void check_entry(struct host *h, const struct raft_entry *e, raft_term prev_term)
{
    struct world *w = h->world;
    struct seen_entry *seen, fresh = { e->id.index, e->id.term, prev_term, content_of(e) };

    if (2 * w->seen_count >= w->seen_cap)
        grow_seen(w);
    seen = find_seen(w, e->id.index, e->id.term);
    if (seen->index == 0) {
        *seen = fresh;
        w->seen_count++;
    } else if (seen->content != fresh.content || seen->prev_term != fresh.prev_term) {
        world_fail(w, "log matching: %u writes another entry %" PRIu64 "/%" PRIu64, h->index,
                   e->id.index, e->id.term);
    }
}

static void check_writes(struct host *h, const struct raft_output *out)
{
    for (size_t i = 0; i < out->write_count; i++) {
        const struct raft_write_op *op = &out->writes[i];

        if (op->type != RAFT_WRITE_APPEND)
            continue;
        /* While its term is not on disk nothing of a leader gets out, and a crash undoes it all. */
        for (size_t k = 0; k < op->entry_count && h->raft->hard_state_write <= h->durable; k++) {
            raft_term prev = 0;

            if (log_term(&h->raft->log, op->entries[k].id.index - 1, &prev))
                check_entry(h, &op->entries[k], prev);
        }
        if (h->seen.role == RAFT_LEADER && op->entries[0].id.index <= h->seen.last.index &&
            h->raft->role == RAFT_LEADER && h->raft->term == h->seen.term)
            world_fail(h->world, "leader append-only: %u overwrites its own log", h->index);
    }
}

/* --- elections and votes */

/* What was committed in an earlier term is in the logs of all later leaders. One that was paused
 * and wins an old term late owes nothing to the terms after it. */
static raft_index missing_entry(struct host *h)
{
    struct world *w = h->world;
    raft_index i = w->canon_last;
    raft_term term;

    while (i > 0 && w->canon[i].committed_in >= h->raft->term)
        i--;
    if (i <= h->raft->log.base.last.index)
        return 0;
    return log_term(&h->raft->log, i, &term) && term == w->canon[i].term ? 0 : i;
}

static void check_leader(struct host *h)
{
    struct world *w = h->world;
    raft_term term = h->raft->term;

    if (h->raft->role != RAFT_LEADER || (h->seen.role == RAFT_LEADER && h->seen.term == term))
        return;
    w->result.elections++;
    sim_trace_line(&w->trace, w->clock.now, "%u leads term %" PRIu64, h->index, term);
    for (size_t i = 0; i < w->leader_count; i++)
        if (w->leaders[i].term == term && w->leaders[i].leader != h->id) {
            world_fail(w, "election safety: two leaders in term %" PRIu64, term);
            return;
        }
    if (w->leader_count == w->leader_cap) {
        w->leader_cap = w->leader_cap == 0 ? 64 : 2 * w->leader_cap;
        w->leaders = realloc(w->leaders, w->leader_cap * sizeof(*w->leaders));
        CHECK(w->leaders != NULL);
    }
    w->leaders[w->leader_count].term = term;
    w->leaders[w->leader_count++].leader = h->id;
    if (missing_entry(h) != 0)
        world_fail(w, "leader completeness: %u leads term %" PRIu64 " without entry %" PRIu64,
                   h->index, term, missing_entry(h));
}

/* A vote counts once it leaves the node; whatever crashes follow, it stays the only one. */
void check_vote(struct host *h, raft_term term, raft_node_id candidate)
{
    struct world *w = h->world;

    for (size_t i = 0; i < w->ballot_count; i++) {
        const struct ballot_cast *b = &w->ballots[i];

        if (b->voter == h->id && b->term == term && b->candidate != candidate)
            world_fail(w, "vote: %u votes twice in term %" PRIu64, h->index, term);
        if (b->voter == h->id && b->term == term)
            return;
    }
    if (w->ballot_count == w->ballot_cap) {
        w->ballot_cap = w->ballot_cap == 0 ? 64 : 2 * w->ballot_cap;
        w->ballots = realloc(w->ballots, w->ballot_cap * sizeof(*w->ballots));
        CHECK(w->ballots != NULL);
    }
    w->ballots[w->ballot_count++] = (struct ballot_cast){ h->id, candidate, term };
}

/* --- commitment */

static struct canon_entry *canon_at(struct world *w, raft_index index)
{
    if (index >= w->canon_cap) {
        size_t cap = w->canon_cap == 0 ? 256 : w->canon_cap;

        while (cap <= index)
            cap *= 2;
        w->canon = realloc(w->canon, cap * sizeof(*w->canon));
        CHECK(w->canon != NULL);
        memset(w->canon + w->canon_cap, 0, (cap - w->canon_cap) * sizeof(*w->canon));
        w->canon_cap = cap;
    }
    return &w->canon[index];
}

static uint64_t hash_conf(const struct raft_conf *c)
{
    uint8_t bytes[RAFT_CONF_LEN_MAX];

    return sim_hash(5, slice_of(bytes, raft_conf_encode(c, bytes)));
}

/* A log that starts after an entry starts with the configuration of that entry, or with none: a
 * node that joined by replaying the log does not know the first one, which was never an entry. */
static void check_base(struct host *h)
{
    raft_index base = h->raft->log.base.last.index;
    struct world *w = h->world;

    if (base == h->seen.base_index || base == 0 || !canon_at(w, base)->known)
        return;
    if (conf_at(h->raft, base)->member_count != 0 &&
        canon_at(w, base)->conf != hash_conf(conf_at(h->raft, base)))
        world_fail(w, "configuration: %u has another one than was committed at %" PRIu64, h->index,
                   base);
}

/* Whatever one node takes for committed is so for all, for ever. */
static void check_commit(struct host *h)
{
    struct world *w = h->world;
    const struct raft_log *log = &h->raft->log;
    raft_index from = MAX(h->seen.commit_index, log->base.last.index);

    if (h->raft->commit_index < h->seen.commit_index)
        world_fail(w, "commit: %u goes back from %" PRIu64 " to %" PRIu64, h->index,
                   h->seen.commit_index, h->raft->commit_index);
    for (raft_index i = from + 1; i <= h->raft->commit_index; i++) {
        struct canon_entry *c = canon_at(w, i);
        const struct raft_entry *e = log_at(log, i);

        if (!c->known) {
            *c = (struct canon_entry){ true, e->id.term, h->raft->term, content_of(e), 0, 0 };
            c->conf = hash_conf(conf_at(h->raft, i));
            if (i > w->canon_last)
                w->canon_last = i;
            w->result.committed++;
        } else if (c->term != e->id.term || c->content != content_of(e)) {
            world_fail(w, "state machine safety: %u commits another entry %" PRIu64, h->index, i);
        }
    }
}

void check_output(struct host *h, const struct raft_output *out)
{
    struct raft_status now;

    raft_status(h->raft, &now);
    if (now.term < h->seen.term)
        world_fail(h->world, "term: %u goes back to %" PRIu64, h->index, now.term);
    if (now.term == h->seen.term && h->seen.vote != 0 && now.vote != h->seen.vote)
        world_fail(h->world, "vote: %u changes its mind in term %" PRIu64, h->index, now.term);
    check_writes(h, out);
    check_commit(h);
    check_base(h);
    check_leader(h);
    if (h->world->damaged == h->index + 1 && !now.repairing && h->recovery.acknowledged.term != 0)
        h->world->damaged = 0; /* repaired: the next disk may rot */
    h->seen = now;
    sim_trace_number(&h->world->trace, now.term << 40 ^ now.commit_index << 20 ^ now.last.index);
}

/* What was recovered is what was written: the whole log is checked as if it were new. */
void check_start(struct host *h)
{
    const struct raft_log *log = &h->raft->log;

    for (raft_index i = log->base.last.index + 1; i <= log_last(log).index; i++) {
        raft_term prev = 0;

        if (log_term(log, i - 1, &prev))
            check_entry(h, log_at(log, i), prev);
    }
}

/* --- the state machine */

static void note_run(struct world *w, const struct raft_entry *e)
{
    for (size_t i = 0; i < w->ran_count; i++)
        if (w->ran[i].session == e->session && w->ran[i].sequence == e->sequence) {
            world_fail(w, "exactly once: command %" PRIu64 " of session %" PRIu64 " runs again",
                       e->sequence, e->session);
            return;
        }
    if (w->ran_count == w->ran_cap) {
        w->ran_cap = w->ran_cap == 0 ? 256 : 2 * w->ran_cap;
        w->ran = realloc(w->ran, w->ran_cap * sizeof(*w->ran));
        CHECK(w->ran != NULL);
    }
    w->ran[w->ran_count].session = e->session;
    w->ran[w->ran_count++].sequence = e->sequence;
}

/* The first node to apply an entry moves the canonical machine; the others must agree with it. */
void check_applied(struct host *h, const struct raft_entry *e)
{
    struct world *w = h->world;
    struct canon_entry *c = canon_at(w, e->id.index);

    if (!c->known || c->term != e->id.term || c->content != content_of(e)) {
        world_fail(w, "state machine safety: %u applies an entry %" PRIu64 " nobody committed",
                   h->index, e->id.index);
        return;
    }
    if (e->id.index == w->machine.applied.index + 1) {
        bool ran;

        (void)machine_apply(&w->machine, e, &ran); /* the result is each node's own business */
        c->chain = w->machine.chain;
        if (ran)
            note_run(w, e);
    }
    if (c->chain != 0 && c->chain != h->machine.chain)
        world_fail(w, "state machine safety: %u differs after entry %" PRIu64, h->index,
                   e->id.index);
}

void check_installed(struct host *h)
{
    struct world *w = h->world;
    raft_index at = h->machine.applied.index;

    if (at != h->checkpoint.installed.last.index || at > w->canon_last ||
        canon_at(w, at)->chain != h->machine.chain)
        world_fail(w, "snapshot: %u installs a state that replay does not give, at %" PRIu64,
                   h->index, at);
}

/* --- clients */

/* Whether an operation without an answer took effect is no secret here: the log knows. */
void check_history(struct world *w)
{
    struct linear_op *ops = calloc(w->op_count + 1, sizeof(*ops));

    CHECK(ops != NULL);
    for (uint8_t key = 0; key < MACHINE_KEYS && !w->result.failed; key++) {
        size_t count = 0;

        for (size_t i = 0; i < w->op_count; i++) {
            struct recorded_op *o = &w->ops[i];

            if (o->key != key)
                continue;
            for (size_t k = 0; o->op.unknown && k < w->ran_count && !o->ran; k++)
                o->ran = w->ran[k].session == o->session && w->ran[k].sequence == o->sequence;
            if (o->op.unknown && !o->ran)
                continue;
            ops[count++] = o->op;
        }
        if (linear_check(ops, count, 2000000) == LINEAR_VIOLATED)
            world_fail(w, "linearizability: register %u, %zu operations", (unsigned)key, count);
    }
    free(ops);
}
