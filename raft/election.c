/* raft/election.c - Terms, votes and leadership.
 *
 *     FOLLOWER --patience over--> PRE_CANDIDATE --majority would--> CANDIDATE --majority--> LEADER
 *        ^---- a leader is heard, or a higher term ----+--------------+-----------------------'
 *                                                        leader: no majority heard, too
 *
 * Pre-vote and check-quorum depend on each other: pre-vote alone lets a leader without a majority
 * sit in the way of the others for ever, check-quorum alone lets a returning node with a high term
 * depose a good leader. Three rules keep the pair free of deadlock: a pre-candidate forgets its
 * leader; every request is answered, and an answer carries the higher term; who is asked grants by
 * the log alone, whether or not its own configuration knows the candidate. [Diss] 6.2, 9.6 */
#include "base/check.h"
#include "base/err.h"
#include "raft/core.h"

/* A term once left is never entered again, and with it its vote. */
static void enter_term(struct raft *r, raft_term term, raft_node_id vote)
{
    CHECK(term >= r->term);
    if (term == r->term && vote == r->vote)
        return;
    CHECK(term > r->term || r->vote == 0); /* one vote per term: [Raft] 5.2 */
    r->term = term;
    r->vote = vote;
    r->out.hard_state_changed = true;
}

static void be_patient(struct raft *r)
{
    r->election_patience =
        prng_range(&r->prng, r->cfg.election_timeout_ns, 2 * r->cfg.election_timeout_ns - 1);
    r->election_deadline = mono_after(r->now, r->election_patience);
}

static void change_role(struct raft *r, enum raft_role role, raft_node_id leader)
{
    if (role != r->role || leader != r->leader)
        r->out.role_changed = true;
    r->role = role;
    r->leader = leader;
}

void become_follower(struct raft *r, raft_term term, raft_node_id leader)
{
    bool was_leader = r->role == RAFT_LEADER;

    if (was_leader || leader != r->leader)
        fail_reads(r);
    if (term > r->term) {
        enter_term(r, term, 0);
        r->out.role_changed = true;
    }
    change_role(r, RAFT_FOLLOWER, leader);
    r->transfer_to = 0;
    r->uncommitted_bytes = 0;
    if (leader != 0)
        r->leader_heard_at = r->now;
    be_patient(r);
}

/* An append, heartbeat or offer came from the leader of our term: [Raft] 5.2. */
void note_leader(struct raft *r, raft_node_id leader)
{
    if (r->role != RAFT_FOLLOWER || r->leader != leader) {
        become_follower(r, r->term, leader);
        return;
    }
    r->leader_heard_at = r->now;
    r->election_deadline = mono_after(r->now, r->election_patience);
}

/* A voter by the newest configuration, or by the one that is known to be committed: until the
 * newest one is committed, a node that it demotes or removes may be the only one with a log that
 * can win. [Diss] 4.2.2 */
static bool is_voter(const struct raft *r)
{
    const struct raft_member *m = raft_conf_find(conf_at(r, r->commit_index), r->cfg.id);
    uint32_t flags = own_flags(r) | (m == NULL ? 0 : m->flags);

    return (flags & (RAFT_VOTER | RAFT_VOTER_OLD)) != 0;
}

/* Only voters campaign, and only whole ones: a node whose disk lost entries would win with a log
 * that is older than what it promised, one that is installing has two states at once. */
bool may_campaign(const struct raft *r)
{
    return r->started && !r->stopping && !is_repairing(r) && !is_installing(r) && is_voter(r);
}

static void become_leader(struct raft *r)
{
    struct raft_entry noop = { .type = RAFT_ENTRY_NOOP };
    raft_index last = log_last(&r->log).index;

    CHECK(r->role == RAFT_CANDIDATE);
    fail_reads(r);
    change_role(r, RAFT_LEADER, r->cfg.id);
    r->term_start = last + 1;
    r->uncommitted_bytes = 0;
    r->transfer_to = 0;
    r->read_round = 0;
    r->round_open = false;
    r->peer_count = 0;
    sync_peers(r);
    append_own(r, &noop); /* entries of older terms commit only behind one of ours: [Raft] 5.4.2 */
    broadcast_heartbeat(r);
}

static enum tally count_ballots(const struct raft *r)
{
    const struct raft_conf *c = current_conf(r);
    enum ballot ballots[RAFT_MEMBERS_MAX];

    for (uint32_t i = 0; i < c->member_count; i++) {
        ballots[i] = BALLOT_OPEN;
        for (size_t k = 0; k < r->ballot_count; k++)
            if (r->ballots[k].id == c->members[i].id)
                ballots[i] = r->ballots[k].ballot;
    }
    return quorum_tally(c, ballots);
}

static void note_ballot(struct raft *r, raft_node_id id, enum ballot ballot)
{
    for (size_t i = 0; i < r->ballot_count; i++)
        if (r->ballots[i].id == id)
            return; /* the first word counts; repetition changes nothing */
    if (r->ballot_count == RAFT_MEMBERS_MAX)
        return;
    r->ballots[r->ballot_count].id = id;
    r->ballots[r->ballot_count++].ballot = ballot;
}

static void ask_for_votes(struct raft *r, raft_term term)
{
    const struct raft_conf *c = current_conf(r);

    for (uint32_t i = 0; i < c->member_count; i++) {
        struct raft_message *m;

        if (c->members[i].id == r->cfg.id ||
            (c->members[i].flags & (RAFT_VOTER | RAFT_VOTER_OLD)) == 0)
            continue;
        m = out_message(r, c->members[i].id, RAFT_VOTE_REQ);
        m->term = term;
        m->vote.pre = r->role == RAFT_PRE_CANDIDATE;
        m->vote.transfer = r->transfer_election;
        m->vote.last = log_last(&r->log);
    }
}

static void count_votes(struct raft *r);

static void become_candidate(struct raft *r)
{
    enter_term(r, r->term + 1, 0);
    enter_term(r, r->term, r->cfg.id);
    change_role(r, RAFT_CANDIDATE, 0);
    r->out.role_changed = true;
    r->ballot_count = 0; /* pre-votes are no votes */
    note_ballot(r, r->cfg.id, BALLOT_GRANTED);
    be_patient(r);
    ask_for_votes(r, r->term);
    count_votes(r);
}

static void become_pre_candidate(struct raft *r)
{
    fail_reads(r);
    change_role(r, RAFT_PRE_CANDIDATE, 0); /* a known leader would make us refuse the others */
    r->ballot_count = 0;
    r->transfer_election = false;
    note_ballot(r, r->cfg.id, BALLOT_GRANTED);
    be_patient(r);
    ask_for_votes(r, r->term + 1);
    count_votes(r);
}

static void count_votes(struct raft *r)
{
    switch (count_ballots(r)) {
    case TALLY_OPEN:
        break;
    case TALLY_WON:
        if (r->role == RAFT_PRE_CANDIDATE)
            become_candidate(r);
        else
            become_leader(r);
        break;
    case TALLY_LOST:
        become_follower(r, r->term, 0);
        break;
    }
}

void campaign(struct raft *r)
{
    become_pre_candidate(r);
}

/* A leader that was heard within the shortest timeout is presumed alive: nobody may be elected
 * against it, except by its own will. A leader presumes so of itself until check-quorum says no. */
static bool leader_is_live(const struct raft *r)
{
    return r->role == RAFT_LEADER ||
           (r->leader != 0 && r->now - r->leader_heard_at < r->cfg.election_timeout_ns);
}

/* The disk lost entries that were acknowledged, and no leader has given them back yet. */
bool is_repairing(const struct raft *r)
{
    return raft_entry_id_cmp(log_last(&r->log), r->acknowledged) < 0;
}

/* [Raft] 5.4.1. What was acknowledged counts, even if the disk has lost it: somebody committed
 * with our word. */
static bool is_up_to_date(const struct raft *r, struct raft_entry_id last)
{
    return raft_entry_id_cmp(last, log_last(&r->log)) >= 0 &&
           raft_entry_id_cmp(last, r->acknowledged) >= 0;
}

static void answer_vote(struct raft *r, const struct raft_message *req, enum ballot ballot)
{
    struct raft_message *m = out_message(r, req->from, RAFT_VOTE_RES);

    m->vote_res.pre = req->vote.pre;
    m->vote_res.granted = ballot == BALLOT_GRANTED;
    if (req->vote.pre && m->vote_res.granted)
        m->term = req->term;
}

void handle_vote_req(struct raft *r, const struct raft_message *m)
{
    bool sticky = leader_is_live(r) && !m->vote.transfer;
    bool able = is_up_to_date(r, m->vote.last);

    if (m->vote.pre) { /* grants nothing and changes nothing: would we, if asked? */
        bool granted = m->term > r->term && !sticky && able;

        answer_vote(r, m, granted ? BALLOT_GRANTED : BALLOT_REJECTED);
        return;
    }
    if (m->term < r->term || (m->term > r->term && sticky)) {
        answer_vote(r, m, BALLOT_REJECTED);
        return;
    }
    if (m->term > r->term)
        become_follower(r, m->term, 0);
    if (!able || r->leader != 0 || (r->vote != 0 && r->vote != m->from)) {
        answer_vote(r, m, BALLOT_REJECTED);
        return;
    }
    enter_term(r, r->term, m->from);
    be_patient(r);
    answer_vote(r, m, BALLOT_GRANTED);
}

/* Votes count for the round they were asked in, and no other: a late pre-vote is no vote. */
void handle_vote_res(struct raft *r, const struct raft_message *m)
{
    bool mine = m->vote_res.pre ? r->role == RAFT_PRE_CANDIDATE : r->role == RAFT_CANDIDATE;
    raft_term asked = m->vote_res.pre && m->vote_res.granted ? r->term + 1 : r->term;

    if (!mine || m->term != asked)
        return;
    note_ballot(r, m->from, m->vote_res.granted ? BALLOT_GRANTED : BALLOT_REJECTED);
    count_votes(r);
}

/* The leader wants us to take over: skip the pre-vote, which its own heartbeats would fail. */
void handle_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER || m->from != r->leader || !may_campaign(r))
        return;
    fail_reads(r);
    r->transfer_election = true;
    become_candidate(r);
    r->transfer_election = false;
}

/* When, with nothing more heard, a majority will have been silent for one election timeout. */
mono_ns quorum_lapses_at(const struct raft *r)
{
    const struct raft_conf *c = current_conf(r);
    uint64_t heard[RAFT_MEMBERS_MAX];

    for (uint32_t i = 0; i < c->member_count; i++)
        heard[i] = c->members[i].id == r->cfg.id ? r->now : r->peers[i].heard_at;
    return mono_after(quorum_reached(c, heard), r->cfg.election_timeout_ns);
}

static struct progress *best_successor(struct raft *r)
{
    const struct raft_conf *c = current_conf(r);
    struct progress *best = NULL;

    for (size_t i = 0; i < r->peer_count; i++) {
        struct progress *p = &r->peers[i];

        if (p->id == r->cfg.id || p->unfit || (c->members[i].flags & RAFT_VOTER) == 0 ||
            r->now - p->heard_at >= r->cfg.election_timeout_ns)
            continue;
        if (best == NULL || p->match > best->match)
            best = p;
    }
    return best;
}

int start_transfer(struct raft *r, raft_node_id to)
{
    const struct raft_member *member;
    struct progress *p;

    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    if (to == r->cfg.id)
        return 0; /* here it is */
    p = to == 0 ? best_successor(r) : find_peer(r, to);
    if (p == NULL)
        return ERR_NOT_FOUND;
    member = raft_conf_find(current_conf(r), p->id);
    if ((member->flags & RAFT_VOTER) == 0)
        return ERR_NOT_FOUND;
    if (r->transfer_to == p->id)
        return 0; /* asking again does not extend the wait */
    r->transfer_to = p->id;
    r->transfer_deadline = mono_after(r->now, r->cfg.election_timeout_ns);
    advance_transfer(r, p);
    return 0;
}

/* Once the successor has everything, it may start; no new entries are accepted meanwhile. */
void advance_transfer(struct raft *r, const struct progress *p)
{
    if (r->transfer_to != p->id || p->match != log_last(&r->log).index)
        return;
    (void)out_message(r, p->id, RAFT_TIMEOUT_NOW); /* nothing but the envelope */
}

static void run_transfer(struct raft *r)
{
    const struct raft_conf *c = current_conf(r);

    if (r->transfer_to != 0) {
        const struct raft_member *m = raft_conf_find(c, r->transfer_to);

        if (m == NULL || (m->flags & RAFT_VOTER) == 0) {
            r->transfer_to = 0;
        } else if (r->now >= r->transfer_deadline) {
            r->transfer_to = 0; /* it did not come: serve on */
            r->stop_gave_up = r->stopping;
        }
    }
    if (r->stopping && r->transfer_to == 0 && !r->stop_gave_up && start_transfer(r, 0) < 0)
        r->stop_gave_up = true; /* nobody there to hand over to */
}

static void run_leader_timers(struct raft *r)
{
    if (r->now >= quorum_lapses_at(r)) { /* [Diss] 6.2: of no use, and in the way of others */
        become_follower(r, r->term, 0);
        return;
    }
    run_transfer(r);
    if (r->now < r->heartbeat_at)
        return;
    broadcast_heartbeat(r);
    if (r->transfer_to != 0)
        advance_transfer(r, find_peer(r, r->transfer_to));
}

void run_election_timers(struct raft *r)
{
    if (r->role == RAFT_LEADER)
        run_leader_timers(r);
    else if (may_campaign(r) && r->now >= r->election_deadline)
        campaign(r);
}
