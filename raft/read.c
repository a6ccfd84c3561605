/* raft/read.c - Linearizable reads without a log entry: [Diss] 6.4.
 *
 *     leader:    GATED --own-term entry committed--> QUEUED --round sent--> ASKED --majority-->
 *     follower:                                      QUEUED --request sent--> ASKED --answer-->
 *     both:      --> APPLYING --applied up to the read index--> done
 *
 * Reads go in rounds: all that queued while one round is out share the next. A round is a number
 * that rises within a term and is never used again; heartbeats and appends carry the newest, and
 * an answer that echoes it was sent after every read of that round had arrived. Nothing is
 * confirmed by the id of a read, so no late answer to an older one can be taken for it. A
 * follower's request ids are likewise never reused, not even by its next incarnation: they start at
 * random. */
#include <string.h>

#include "base/check.h"
#include "raft/core.h"

static void drop_read(struct raft *r, size_t i)
{
    r->read_count--;
    memmove(&r->reads[i], &r->reads[i + 1], (r->read_count - i) * sizeof(r->reads[0]));
}

static void add_read(struct raft *r, enum read_phase phase, uint64_t ticket, raft_node_id from)
{
    r->reads[r->read_count++] = (struct read){ .phase = phase, .ticket = ticket, .from = from };
}

void handle_read(struct raft *r, uint64_t ticket)
{
    struct read refused = { .ticket = ticket };

    if (r->read_count == RAFT_READS_MAX || r->leader == 0) {
        out_read(r, &refused, RAFT_READ_FAILED);
        return;
    }
    add_read(r, r->role == RAFT_LEADER ? READ_GATED : READ_QUEUED, ticket, 0);
}

static void answer_read_req(struct raft *r, const struct read *read)
{
    struct raft_message *m = out_message(r, read->from, RAFT_READ_RES);

    m->read_res.id = read->ticket;
    m->read_res.index = read->index;
}

static void reject_read_req(struct raft *r, raft_node_id to, uint64_t id)
{
    struct raft_message *m = out_message(r, to, RAFT_READ_RES);

    m->read_res.id = id;
    m->read_res.rejected = true;
}

/* A member has one request open: a newer one replaces it, and starts over, since a round that is
 * out already was not sent after it. */
void handle_read_req(struct raft *r, const struct raft_message *m)
{
    if (find_peer(r, m->from) == NULL) { /* we are no leader, or of others */
        reject_read_req(r, m->from, m->read.id);
        return;
    }
    for (size_t i = 0; i < r->read_count; i++)
        if (r->reads[i].from == m->from) {
            drop_read(r, i);
            break;
        }
    if (r->read_count == RAFT_READS_MAX)
        reject_read_req(r, m->from, m->read.id);
    else
        add_read(r, READ_GATED, m->read.id, m->from);
}

static void move_phase(struct raft *r, enum read_phase from, enum read_phase to, raft_index index)
{
    for (size_t i = 0; i < r->read_count; i++)
        if (r->reads[i].phase == from) {
            r->reads[i].phase = to;
            r->reads[i].index = index;
        }
}

static bool has_phase(const struct raft *r, enum read_phase phase)
{
    for (size_t i = 0; i < r->read_count; i++)
        if (r->reads[i].phase == phase)
            return true;
    return false;
}

void handle_read_res(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER || !r->request_open || m->read_res.id != r->read_request ||
        m->from != r->leader)
        return;
    r->request_open = false;
    if (m->read_res.rejected) {
        fail_reads(r);
        return;
    }
    move_phase(r, READ_ASKED, READ_APPLYING, m->read_res.index);
}

/* The leader that these reads count on is gone. What has an index already keeps it: it was
 * confirmed. A read changes nothing, so failing is always true. */
void fail_reads(struct raft *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->read_count; i++) {
        struct read *read = &r->reads[i];

        if (read->phase == READ_APPLYING)
            r->reads[kept++] = *read;
        else if (read->from == 0)
            out_read(r, read, RAFT_READ_FAILED);
    }
    r->read_count = kept;
    r->request_open = false;
    r->round_open = false;
}

/* --- leader */

static bool round_is_answered(const struct raft *r)
{
    const struct raft_conf *c = current_conf(r);
    uint64_t rounds[RAFT_MEMBERS_MAX];

    for (uint32_t i = 0; i < c->member_count; i++)
        rounds[i] = c->members[i].id == r->cfg.id ? r->read_round : r->peers[i].read_round;
    return quorum_reached(c, rounds) >= r->read_round;
}

/* The index of a read is the commit index when its round starts, which is after it arrived. Before
 * an entry of its own term is committed a leader does not know what its predecessors committed. */
static void run_rounds(struct raft *r)
{
    if (has_committed_own_term(r))
        move_phase(r, READ_GATED, READ_QUEUED, 0);
    if (r->round_open && round_is_answered(r)) {
        r->round_open = false;
        for (size_t i = 0; i < r->read_count; i++)
            if (r->reads[i].phase == READ_ASKED)
                r->reads[i].phase = READ_APPLYING;
    }
    if (r->round_open || !has_phase(r, READ_QUEUED))
        return;
    r->read_round++;
    r->round_open = true;
    move_phase(r, READ_QUEUED, READ_ASKED, r->commit_index);
    if (quorum_is_sole_voter(current_conf(r), r->cfg.id))
        run_rounds(r);
    else
        broadcast_heartbeat(r);
}

/* --- follower */

static void run_requests(struct raft *r)
{
    if (r->leader == 0)
        return;
    if (r->request_open && r->now - r->request_sent_at >= 2 * r->cfg.heartbeat_ns)
        r->request_open = false; /* lost; the next one has a new id */
    if (r->request_open || (!has_phase(r, READ_QUEUED) && !has_phase(r, READ_ASKED)))
        return;
    move_phase(r, READ_QUEUED, READ_ASKED, 0);
    r->request_open = true;
    r->request_sent_at = r->now;
    out_message(r, r->leader, RAFT_READ_REQ)->read.id = ++r->read_request;
}

void run_reads(struct raft *r)
{
    size_t kept = 0;

    if (r->read_count == 0)
        return;
    if (r->role == RAFT_LEADER)
        run_rounds(r);
    else
        run_requests(r);
    for (size_t i = 0; i < r->read_count; i++) {
        const struct read *read = &r->reads[i];

        if (read->phase == READ_APPLYING && read->from != 0)
            answer_read_req(r, read);
        else if (read->phase == READ_APPLYING && read->index <= r->applied_index)
            out_read(r, read, RAFT_READ_OK);
        else
            r->reads[kept++] = *read;
    }
    r->read_count = kept;
}
