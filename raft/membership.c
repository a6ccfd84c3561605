/* raft/membership.c - Which configuration is in force, and how the leader changes it.
 *
 * A configuration counts from the moment its entry is in the log, committed or not ([Raft] 6), so
 * a truncated log takes configurations back: they are kept as a stack, one frame per entry above
 * the base, and truncation pops as many as it must.
 *
 * A change goes: joint entry, committed by both halves; leave entry, by whoever leads then; and a
 * leader that is no voter any more hands over or steps down once that is committed. One change at a
 * time, and none before an entry of the leader's own term is committed: without that, two leaders
 * in a row can commit with disjoint majorities (Ongaro, raft-dev, July 2015). */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/core.h"

const struct raft_conf *current_conf(const struct raft *r)
{
    return r->confs[r->conf_count - 1].conf;
}

raft_index current_conf_index(const struct raft *r)
{
    return r->confs[r->conf_count - 1].index;
}

const struct raft_conf *conf_at(const struct raft *r, raft_index index)
{
    size_t i = r->conf_count - 1;

    while (i > 0 && r->confs[i].index > index)
        i--;
    return r->confs[i].conf;
}

uint32_t own_flags(const struct raft *r)
{
    const struct raft_member *m = raft_conf_find(current_conf(r), r->cfg.id);

    return m == NULL ? 0 : m->flags;
}

bool is_removed(const struct raft *r, raft_node_id id)
{
    return raft_conf_is_removed(conf_at(r, r->commit_index), id);
}

void push_conf(struct raft *r, raft_index index, struct raft_conf *conf)
{
    CHECK(r->conf_count < r->conf_cap);
    CHECK(index > current_conf_index(r));
    r->confs[r->conf_count++] = (struct conf_frame){ .index = index, .conf = conf };
    sync_peers(r);
}

void pop_confs_after(struct raft *r, raft_index last)
{
    while (r->conf_count > 1 && current_conf_index(r) > last)
        free(r->confs[--r->conf_count].conf);
}

void drop_confs_before(struct raft *r, raft_index base)
{
    size_t gone = 0;

    while (gone + 1 < r->conf_count && r->confs[gone + 1].index <= base)
        free(r->confs[gone++].conf);
    r->conf_count -= gone;
    memmove(r->confs, r->confs + gone, r->conf_count * sizeof(*r->confs));
    r->confs[0].index = base;
}

void reset_confs(struct raft *r, raft_index base, struct raft_conf *conf)
{
    for (size_t i = 0; i < r->conf_count; i++)
        free(r->confs[i].conf);
    r->confs[0] = (struct conf_frame){ .index = base, .conf = conf };
    r->conf_count = 1;
}

/* Makes peers[i] belong to member i again. Who stays keeps what is known of it. */
void sync_peers(struct raft *r)
{
    const struct raft_conf *c = current_conf(r);

    if (r->role != RAFT_LEADER)
        return;
    /* Both are ascending by id. First squeeze out who is gone, then open gaps from the end. */
    size_t kept = 0;

    for (size_t i = 0; i < r->peer_count; i++)
        if (raft_conf_find(c, r->peers[i].id) != NULL) {
            if (kept != i)
                r->peers[kept] = r->peers[i];
            kept++;
        }
    for (size_t i = c->member_count; i-- > 0;) {
        if (kept > 0 && r->peers[kept - 1].id == c->members[i].id) {
            if (--kept != i)
                r->peers[i] = r->peers[kept];
        } else {
            progress_init(&r->peers[i], c->members[i].id, log_last(&r->log).index, r->now);
        }
    }
    r->peer_count = c->member_count;
}

/* Appends a configuration as this leader; memory for it was taken when the step began. */
void append_conf(struct raft *r, const struct raft_conf *conf, uint64_t ticket)
{
    struct raft_entry e = { .type = RAFT_ENTRY_CONF, .ticket = ticket };
    struct raft_conf *copy = r->spare_confs[r->spare_next];
    size_t len;

    CHECK(r->spare_next < r->spare_count);
    r->spare_confs[r->spare_next++] = NULL;
    *copy = *conf;
    len = raft_conf_encode(conf, r->conf_bytes);
    e.data = slice_of(r->conf_bytes, len);
    r->conf_bytes = NULL;
    append_own(r, &e);
    push_conf(r, e.id.index, copy);
}

/* Another change may start: nothing is under way, nothing is unknown. */
static bool is_settled(const struct raft *r)
{
    return current_conf_index(r) <= r->commit_index && has_committed_own_term(r) &&
           r->transfer_to == 0;
}

/* Whether the new voters that were heard lately are a majority. A change that they could not
 * commit would leave the cluster without any. */
static bool is_alive(const struct raft *r, const struct raft_conf *c)
{
    enum ballot ballots[RAFT_MEMBERS_MAX];

    for (uint32_t i = 0; i < c->member_count; i++) {
        ballots[i] = c->members[i].id == r->cfg.id ? BALLOT_GRANTED : BALLOT_OPEN;
        for (size_t k = 0; k < r->peer_count; k++)
            if (r->peers[k].id == c->members[i].id &&
                r->now - r->peers[k].heard_at < r->cfg.election_timeout_ns)
                ballots[i] = BALLOT_GRANTED;
    }
    return quorum_tally(c, ballots) == TALLY_WON;
}

int change_conf(struct raft *r, const struct raft_event *event)
{
    struct raft_conf *next = r->spare_confs[0]; /* scratch until append_conf takes it */
    int rc;

    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    if (r->transfer_to != 0 || !has_committed_own_term(r))
        return ERR_UNAVAILABLE;
    if (!is_settled(r))
        return ERR_CONFLICT;
    if (event->change.count == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < event->change.count && i < RAFT_CONF_OPS_MAX; i++) {
        const struct raft_conf_op *op = &event->change.ops[i];
        const struct progress *p = find_peer(r, op->id);

        if (op->type == RAFT_MAKE_VOTER && p != NULL && !p->caught_up && !event->change.force)
            return ERR_UNAVAILABLE;
    }
    rc = raft_conf_change(current_conf(r), event->change.ops, event->change.count, next);
    if (rc < 0)
        return rc;
    if (next->joint && !event->change.force && !is_alive(r, next))
        return ERR_UNAVAILABLE;
    append_conf(r, next, event->change.ticket);
    return 0;
}

/* Makes voters of all learners that are to be and have caught up. */
static void promote_learners(struct raft *r)
{
    const struct raft_conf *c = current_conf(r);
    struct raft_conf_op ops[RAFT_CONF_OPS_MAX];
    struct raft_conf *next = r->spare_confs[r->spare_next];
    size_t count = 0;

    for (uint32_t i = 0; i < c->member_count && count < RAFT_CONF_OPS_MAX; i++)
        if ((c->members[i].flags & RAFT_PROMOTE) != 0 && r->peers[i].caught_up &&
            r->now - r->peers[i].heard_at < r->cfg.election_timeout_ns)
            ops[count++] = (struct raft_conf_op){ RAFT_MAKE_VOTER, c->members[i].id, { 0 } };
    if (count == 0 || raft_conf_change(c, ops, count, next) < 0 || !is_alive(r, next))
        return;
    append_conf(r, next, 0);
}

/* What the leader owes the configuration: leaving a joint one, promoting, giving way. */
void run_membership(struct raft *r)
{
    const struct raft_conf *c = current_conf(r);

    if (r->role != RAFT_LEADER || !is_settled(r) || r->spare_next > 0 || r->conf_bytes == NULL)
        return; /* one configuration per step: so much memory was taken */
    if (c->joint) {
        struct raft_conf *next = r->spare_confs[r->spare_next];

        raft_conf_leave(c, next);
        append_conf(r, next, 0);
        return;
    }
    if ((own_flags(r) & RAFT_VOTER) == 0) {
        /* Removed or made a learner: [Raft] 6. Who is best placed need not wait for a timeout. */
        if (r->commit_index == log_last(&r->log).index && start_transfer(r, 0) == 0)
            r->out.role_changed = true;
        become_follower(r, r->term, 0);
        return;
    }
    promote_learners(r);
}
