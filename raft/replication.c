/* raft/replication.c - Appends, acknowledgements, commitment, application, compaction.
 *
 * The leader sends entries while its own disk is still writing them: its ack to itself is the
 * report that they are durable, counted like any other ([Diss] 10.2.1). A follower acks only what
 * the request let it compare with the leader's log, never what else it happens to hold. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/core.h"

struct progress *find_peer(struct raft *r, raft_node_id id)
{
    if (r->role != RAFT_LEADER)
        return NULL;
    for (size_t i = 0; i < r->peer_count; i++)
        if (r->peers[i].id == id)
            return &r->peers[i];
    return NULL;
}

/* Appends an entry of this leader; room was made when the step began. Takes e->data. */
void append_own(struct raft *r, struct raft_entry *e)
{
    CHECK(r->role == RAFT_LEADER);
    e->id = (struct raft_entry_id){ .term = r->term, .index = log_last(&r->log).index + 1 };
    log_append_taken(&r->log, e);
    r->uncommitted_bytes += log_entry_bytes(e);
    if (r->out.append_from == 0)
        r->out.append_from = e->id.index;
}

bool has_committed_own_term(const struct raft *r)
{
    return r->commit_index >= r->term_start;
}

/* --- leader: sending */

/* Entries from `first` on for one message: at least one, then up to the byte limit. */
static size_t portion(const struct raft *r, raft_index first, size_t *out_bytes)
{
    raft_index last = log_last(&r->log).index;
    size_t count = 0, bytes = 0;

    for (raft_index i = first; i <= last && count < RAFT_MESSAGE_ENTRIES_MAX; i++) {
        size_t next = log_entry_bytes(log_at(&r->log, i));

        if (count > 0 && bytes + next > r->cfg.append_bytes_max)
            break;
        bytes += next;
        count++;
    }
    *out_bytes = bytes;
    return count;
}

/* One append: entries from p->next on, or none to compare logs. */
static void send_append(struct raft *r, struct progress *p)
{
    struct raft_entry_id prev = { .index = p->next - 1 };
    struct raft_message *m;
    size_t bytes = 0, count;

    if (!log_term(&r->log, prev.index, &prev.term)) { /* compacted away */
        progress_snapshot(p);
        offer_snapshot(r, p);
        return;
    }
    count = portion(r, p->next, &bytes);
    m = out_message(r, p->id, RAFT_APPEND);
    m->append = (struct raft_append){
        .prev = prev,
        .commit = r->commit_index,
        .read_round = r->read_round,
        .entries = count == 0 ? NULL : log_at(&r->log, p->next),
        .entry_count = count,
    };
    p->commit_sent = r->commit_index;
    progress_sent(p, prev.index + count, count, bytes);
}

/* Everything that the windows allow and one step may carry; the acks bring the rest. */
void send_appends(struct raft *r, struct progress *p)
{
    for (int burst = 0; burst < RAFT_BURST_MAX; burst++) {
        if (p->next > log_last(&r->log).index || !progress_is_open(p, &r->cfg))
            return;
        send_append(r, p);
    }
}

/* What the member is known to hold may be applied there; more could be a different entry. */
static void send_heartbeat(struct raft *r, struct progress *p, bool quiet)
{
    struct raft_message *m = out_message(r, p->id, RAFT_HEARTBEAT);

    m->heartbeat = (struct raft_heartbeat){
        .commit = MIN(r->commit_index, p->match),
        .read_round = r->read_round,
        .quiet = quiet,
    };
    p->commit_sent = m->heartbeat.commit;
}

void broadcast_heartbeat(struct raft *r)
{
    for (size_t i = 0; i < r->peer_count; i++) {
        struct progress *p = &r->peers[i];

        if (p->id == r->cfg.id)
            continue;
        send_heartbeat(r, p, false);
        if (p->flow == RAFT_SNAPSHOT)
            offer_snapshot(r, p);
        p->stalled = p->flow == RAFT_PROBE ? p->paused : p->match + 1 < p->next;
    }
    r->heartbeat_at = mono_after(r->now, r->cfg.heartbeat_ns);
}

/* Sends what is new to whoever may take it, and the commit index to whoever waits for it alone. */
void replicate(struct raft *r)
{
    for (size_t i = 0; i < r->peer_count; i++) {
        struct progress *p = &r->peers[i];

        if (p->id == r->cfg.id)
            continue;
        send_appends(r, p);
        if (p->flow == RAFT_REPLICATE && p->commit_sent < MIN(r->commit_index, p->match))
            send_heartbeat(r, p, true);
    }
}

/* --- follower: receiving */

/* Everything about an append that can be wrong, before anything changes. */
int check_append(const struct raft *r, const struct raft_message *m)
{
    const struct raft_append *a = &m->append;
    struct raft_entry_id prev = a->prev;

    if (prev.term > m->term || prev.index > UINT64_MAX - RAFT_MESSAGE_ENTRIES_MAX ||
        a->entry_count > RAFT_MESSAGE_ENTRIES_MAX)
        return ERR_MALFORMED;
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct raft_entry *e = &a->entries[i];
        raft_term ours;

        if (e->id.index != prev.index + 1 || e->id.term < prev.term || e->id.term > m->term ||
            e->id.term == 0 || e->data.len > RAFT_ENTRY_LEN_MAX)
            return ERR_MALFORMED;
        /* What is committed is equal in every log: [Raft] 5.4.3. */
        if (m->term >= r->term && e->id.index <= r->commit_index &&
            log_term(&r->log, e->id.index, &ours) && ours != e->id.term)
            return ERR_MALFORMED;
        prev = e->id;
    }
    return 0;
}

void respond_append(struct raft *r, raft_node_id to, raft_index match, uint64_t read_round)
{
    struct raft_message *m = out_message(r, to, RAFT_APPEND_RES);

    m->append_res.match = match;
    m->append_res.read_round = read_round;
    if (match > r->log.stable)
        m->after |= WAIT_LOG;
}

static void reject_append(struct raft *r, const struct raft_message *m)
{
    struct raft_message *answer = out_message(r, m->from, RAFT_APPEND_RES);
    const struct raft_append *a = &m->append;

    answer->append_res.rejected = true;
    answer->append_res.repair = is_repairing(r);
    answer->append_res.match = a->prev.index;
    answer->append_res.hint = log_last_with_term(&r->log, a->prev.index, a->prev.term);
    answer->append_res.read_round = a->read_round;
}

/* How many of the entries are in the log already. Only a real difference truncates: an old,
 * delayed append must not undo what a newer one brought. */
static size_t count_present(const struct raft *r, const struct raft_append *a)
{
    size_t n = 0;

    while (n < a->entry_count && log_matches(&r->log, a->entries[n].id))
        n++;
    return n;
}

static void truncate_after(struct raft *r, raft_index last)
{
    CHECK(last >= r->commit_index);
    log_truncate(&r->log, last);
    pop_confs_after(r, last);
    r->out.truncated = true;
    r->out.truncated_to = last;
}

static void append_missing(struct raft *r, const struct raft_append *a)
{
    size_t present = count_present(r, a);
    raft_index first = a->prev.index + 1 + present;

    if (present == a->entry_count)
        return;
    if (first <= log_last(&r->log).index)
        truncate_after(r, first - 1);
    log_append_staged(&r->log, present);
    for (size_t i = 0; i < a->entry_count; i++) {
        struct raft_conf *conf;

        if (a->entries[i].type != RAFT_ENTRY_CONF)
            continue;
        conf = r->spare_confs[r->spare_next];
        if (i >= present) {
            r->spare_confs[r->spare_next] = NULL;
            push_conf(r, a->entries[i].id.index, conf); /* in force at once: [Raft] 6 */
        }
        r->spare_next++;
    }
    r->out.append_from = first;
}

void handle_append(struct raft *r, const struct raft_message *m)
{
    const struct raft_append *a = &m->append;
    raft_index matched = a->prev.index + a->entry_count;

    note_leader(r, m->from);
    if (is_installing(r))
        return; /* the log is about to be replaced; the leader sends again */
    if (a->prev.index < r->commit_index && matched <= r->commit_index) {
        respond_append(r, m->from, r->commit_index, a->read_round); /* equal up to there anyway */
        return;
    }
    if (a->prev.index >= r->log.base.last.index && !log_matches(&r->log, a->prev)) {
        reject_append(r, m);
        return;
    }
    if (a->prev.index < r->log.base.last.index) {
        /* Reaches over our base: what lies before it is committed, the rest comes again. */
        respond_append(r, m->from, r->commit_index, a->read_round);
        return;
    }
    append_missing(r, a);
    commit_to(r, MAX(r->commit_index, MIN(a->commit, matched)));
    respond_append(r, m->from, matched, a->read_round);
}

/* The leader believes that we have what our disk has lost, and no append may come to show it. */
static void tell_loss(struct raft *r, const struct raft_message *m)
{
    struct raft_message *answer = out_message(r, m->from, RAFT_APPEND_RES);

    answer->append_res.rejected = true;
    answer->append_res.repair = true;
    answer->append_res.match = m->heartbeat.commit;
    answer->append_res.hint = log_last(&r->log);
    answer->append_res.read_round = m->heartbeat.read_round;
}

void handle_heartbeat(struct raft *r, const struct raft_message *m)
{
    note_leader(r, m->from);
    if (!is_installing(r) && m->heartbeat.commit <= log_last(&r->log).index) {
        commit_to(r, MAX(r->commit_index, m->heartbeat.commit));
    }
    if (is_repairing(r) && m->heartbeat.commit > log_last(&r->log).index) {
        tell_loss(r, m);
        return;
    }
    if (!m->heartbeat.quiet) {
        struct raft_message *answer = out_message(r, m->from, RAFT_HEARTBEAT_RES);

        answer->heartbeat_res.read_round = m->heartbeat.read_round;
        answer->heartbeat_res.unfit = !may_campaign(r);
    }
}

/* --- leader: acknowledgements */

static void note_round(struct progress *p, uint64_t read_round)
{
    if (read_round > p->read_round)
        p->read_round = read_round;
}

/* Catch-up: a learner may vote once it replicates what came in during one round faster than an
 * election would take. [Diss] 4.2.1 */
static void note_catch_up(struct raft *r, struct progress *p)
{
    if (p->match < p->round_target)
        return;
    p->caught_up = r->now - p->round_started < r->cfg.election_timeout_ns;
    p->round_target = log_last(&r->log).index;
    p->round_started = r->now;
}

static void handle_rejection(struct raft *r, struct progress *p, const struct raft_append_res *a)
{
    struct raft_entry_id probe = log_last_with_term(&r->log, a->hint.index, a->hint.term);

    if (a->repair && a->hint.index < p->match) {
        p->match = a->hint.index; /* its disk lost what it had acknowledged */
        progress_probe(p, p->match + 1);
    } else if (!progress_rejected(p, a->match, probe.index + 1)) {
        return;
    }
    send_append(r, p);
}

void handle_append_res(struct raft *r, const struct raft_message *m)
{
    const struct raft_append_res *a = &m->append_res;
    struct progress *p = find_peer(r, m->from);

    if (p == NULL)
        return;
    p->heard_at = r->now;
    note_round(p, a->read_round);
    if (a->rejected) {
        handle_rejection(r, p, a);
        return;
    }
    if (a->match > log_last(&r->log).index)
        return;                        /* nonsense, or of a log that is gone */
    (void)progress_acked(p, a->match); /* an old ack still ends the probe that it answers */
    if (p->flow == RAFT_PROBE || (p->flow == RAFT_SNAPSHOT && p->match >= r->log.base.last.index)) {
        progress_probe(p, p->match + 1);
        p->flow = RAFT_REPLICATE;
    }
    note_catch_up(r, p);
    if (r->transfer_to == p->id)
        advance_transfer(r, p);
}

void handle_heartbeat_res(struct raft *r, const struct raft_message *m)
{
    struct progress *p = find_peer(r, m->from);

    if (p == NULL)
        return;
    p->heard_at = r->now;
    p->unfit = m->heartbeat_res.unfit;
    note_round(p, m->heartbeat_res.read_round);
    note_catch_up(r, p); /* in an idle cluster nothing else ends a round */
    progress_heard(p, &r->cfg);
    if ((p->flow == RAFT_PROBE && !p->paused) || (p->flow == RAFT_REPLICATE && p->stalled))
        send_append(r, p); /* with what is next, or empty: whatever was lost shows in the answer */
}

/* --- commit and apply */

void commit_to(struct raft *r, raft_index index)
{
    CHECK(index >= r->commit_index); /* "increases monotonically": [Raft] Fig. 2 */
    CHECK(index <= log_last(&r->log).index);
    if (r->role == RAFT_LEADER)
        for (raft_index i = MAX(r->commit_index + 1, r->term_start); i <= index; i++)
            r->uncommitted_bytes -= log_entry_bytes(log_at(&r->log, i));
    r->commit_index = index;
}

void advance_commit(struct raft *r)
{
    const struct raft_conf *c = current_conf(r);
    uint64_t match[RAFT_MEMBERS_MAX];
    raft_index reached;
    raft_term term;

    for (uint32_t i = 0; i < c->member_count; i++)
        match[i] = c->members[i].id == r->cfg.id ? r->log.stable : r->peers[i].match;
    reached = quorum_reached(c, match);
    /* Entries of older terms are committed by those of ours only: [Raft] 5.4.2, Figure 8. */
    if (reached > r->commit_index && log_term(&r->log, reached, &term) && term == r->term)
        commit_to(r, reached);
}

void handle_applied(struct raft *r, raft_index applied, raft_index durable)
{
    for (raft_index i = r->applied_index + 1; i <= applied; i++)
        r->applying_bytes -= log_entry_bytes(log_at(&r->log, i));
    if (applied > r->applied_index)
        r->applied_index = applied;
    if (durable > r->durable_index)
        r->durable_index = durable;
}

/* How far the log may go. Slow followers want it long, memory wants it short: a live follower's
 * next entries stay while the log is below half of its limit. */
static raft_index compaction_point(const struct raft *r)
{
    raft_index point = MIN(r->durable_index, r->log.stable);
    raft_index base = r->log.base.last.index;
    bool crowded = r->log.bytes > r->cfg.log_bytes_max / 2;

    if (point < base + r->cfg.keep_count)
        return crowded ? point : base;
    point -= crowded ? 0 : r->cfg.keep_count;
    if (r->role == RAFT_LEADER && !crowded) {
        for (size_t i = 0; i < r->peer_count; i++) {
            const struct progress *p = &r->peers[i];

            if (p->id == r->cfg.id || r->now - p->heard_at >= r->cfg.election_timeout_ns)
                continue;
            if (p->flow != RAFT_SNAPSHOT)
                point = MIN(point, p->match);
            else if (r->held.held)
                point = MIN(point, r->held.snapshot.base.last.index);
        }
    }
    return point;
}

/* Drops what is applied for good once enough has gathered. */
void compact_log(struct raft *r)
{
    raft_index base = r->log.base.last.index, point = compaction_point(r);
    struct raft_entry_id last = { .index = point };
    const struct raft_conf *conf;
    size_t len;

    if (r->base_bytes == NULL || point <= base)
        return;
    if (point - base < r->cfg.compact_count && r->log.bytes < r->cfg.compact_bytes)
        return;
    CHECK(log_term(&r->log, point, &last.term));
    conf = conf_at(r, point);
    len = conf->member_count == 0 ? 0 : raft_conf_encode(conf, r->base_bytes);
    log_compact(&r->log, last, slice_of(r->base_bytes, len));
    r->base_bytes = NULL;
    drop_confs_before(r, point);
    r->out.compacted = true;
}
