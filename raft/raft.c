/* raft/raft.c - The step function: reserve memory, handle one event, run what is due, hand out.
 *
 * Order within a step matters twice. Whatever can fail comes before whatever changes state, so an
 * error leaves everything as it was. And timers run after the event: a process that was paused
 * hears the heartbeat that waited for it before it campaigns. */
#include "raft/raft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/core.h"

/* --- creation */

static size_t or_default(size_t value, size_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static int fill_config(const struct raft_config *in, struct raft_config *out)
{
    *out = *in;
    out->election_timeout_ns = or_default(in->election_timeout_ns, 500 * NS_PER_MS);
    out->heartbeat_ns = or_default(in->heartbeat_ns, 100 * NS_PER_MS);
    out->append_bytes_max = or_default(in->append_bytes_max, MIB);
    out->inflight_max = (uint32_t)or_default(in->inflight_max, RAFT_INFLIGHT_MAX);
    out->inflight_bytes_max = or_default(in->inflight_bytes_max, 8 * MIB);
    out->uncommitted_bytes_max = or_default(in->uncommitted_bytes_max, 16 * MIB);
    out->apply_bytes_max = or_default(in->apply_bytes_max, 4 * MIB);
    out->log_bytes_max = or_default(in->log_bytes_max, 256 * MIB);
    out->compact_bytes = or_default(in->compact_bytes, 32 * MIB);
    out->compact_count = or_default(in->compact_count, 20000);
    out->keep_count = or_default(in->keep_count, 5000);
    if (in->id == 0 || in->cluster == 0 || out->heartbeat_ns >= out->election_timeout_ns ||
        out->inflight_max > RAFT_INFLIGHT_MAX || out->append_bytes_max > RAFT_MESSAGE_LEN_MAX / 2)
        return ERR_INVALID;
    return 0;
}

int raft_new(const struct raft_config *cfg, struct raft **out)
{
    struct raft *r = calloc(1, sizeof(*r));
    int rc = -ENOMEM;

    if (r == NULL)
        return -ENOMEM;
    log_init(&r->log);
    r->conf_cap = 8;
    r->confs = calloc(r->conf_cap, sizeof(*r->confs));
    if (r->confs == NULL)
        goto fail;
    r->confs[0].conf = calloc(1, sizeof(*r->confs[0].conf)); /* nobody is a member yet */
    if (r->confs[0].conf == NULL)
        goto fail;
    r->conf_count = 1;
    rc = fill_config(cfg, &r->cfg);
    if (rc < 0)
        goto fail;
    prng_init(&r->prng, cfg->seed);
    r->read_request = prng_u64(&r->prng);
    *out = r;
    return 0;
fail:
    raft_free(r);
    return rc;
}

void raft_free(struct raft *r)
{
    if (r == NULL)
        return;
    out_begin(r);
    log_deinit(&r->log);
    for (size_t i = 0; i < r->conf_count; i++)
        free(r->confs[i].conf);
    free(r->confs);
    for (size_t i = 0; i < r->spare_count; i++)
        free(r->spare_confs[i]);
    free(r->spare_confs);
    free(r->conf_bytes);
    free(r->base_bytes);
    snapshot_deinit(r);
    free(r);
}

/* --- memory */

/* Room for `count` more frames and as many spare configurations. */
static int reserve_confs(struct raft *r, size_t count)
{
    if (r->conf_count + count > r->conf_cap) {
        size_t cap = 2 * (r->conf_count + count);
        struct conf_frame *grown = realloc(r->confs, cap * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        r->confs = grown;
        r->conf_cap = cap;
    }
    if (count > r->spare_cap) {
        struct raft_conf **grown = realloc(r->spare_confs, count * sizeof(struct raft_conf *));

        if (grown == NULL)
            return -ENOMEM;
        r->spare_confs = grown;
        r->spare_cap = count;
    }
    for (; r->spare_count < count; r->spare_count++) /* a taken one left a NULL behind */
        r->spare_confs[r->spare_count] = NULL;
    for (size_t i = 0; i < count; i++)
        if (r->spare_confs[i] == NULL) {
            r->spare_confs[i] = malloc(sizeof(struct raft_conf));
            if (r->spare_confs[i] == NULL)
                return -ENOMEM;
        }
    r->spare_next = 0;
    return 0;
}

static int reserve_bytes(uint8_t **bytes)
{
    if (*bytes == NULL)
        *bytes = malloc(RAFT_CONF_LEN_MAX);
    return *bytes == NULL ? -ENOMEM : 0;
}

static int stage_entries(struct raft *r, const struct raft_entry *entries, size_t count)
{
    size_t confs = 0;
    int rc;

    for (size_t i = 0; i < count; i++)
        confs += entries[i].type == RAFT_ENTRY_CONF;
    rc = reserve_confs(r, confs + 1);
    if (rc < 0)
        return rc;
    rc = log_reserve(&r->log, count, 2);
    for (size_t i = 0, k = 0; rc >= 0 && i < count; i++) {
        struct raft_entry e = entries[i];

        e.ticket = 0;
        if (e.type == RAFT_ENTRY_CONF)
            rc = raft_conf_decode(e.data, r->spare_confs[k++]);
        if (rc >= 0)
            rc = log_stage(&r->log, &e);
    }
    return rc;
}

/* How many of the proposals there is room for: as long as the limits were not reached before. */
static int admit(const struct raft *r, const struct raft_event *event, size_t *out)
{
    size_t uncommitted = r->uncommitted_bytes, log = r->log.bytes, n = 0;

    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    if (r->transfer_to != 0)
        return ERR_UNAVAILABLE;
    if (event->propose.count == 0 || event->propose.count > RAFT_PROPOSALS_MAX)
        return ERR_INVALID;
    for (; n < event->propose.count; n++) {
        const struct raft_proposal *p = &event->propose.proposals[n];
        size_t bytes = sizeof(struct raft_entry) + p->data.len;

        if (p->type != RAFT_ENTRY_DATA && p->type != RAFT_ENTRY_SESSION)
            return ERR_INVALID;
        if (p->data.len > RAFT_ENTRY_LEN_MAX)
            return ERR_TOO_LARGE;
        if (uncommitted >= r->cfg.uncommitted_bytes_max || log >= r->cfg.log_bytes_max)
            break;
        uncommitted += bytes;
        log += bytes;
    }
    *out = n;
    return n == 0 ? ERR_FULL : 0;
}

static int stage_proposals(struct raft *r, const struct raft_event *event)
{
    size_t count = 0;
    int rc = admit(r, event, &count);

    if (rc < 0)
        return rc;
    rc = log_reserve(&r->log, count, 2);
    for (size_t i = 0; rc >= 0 && i < count; i++) {
        const struct raft_proposal *p = &event->propose.proposals[i];
        struct raft_entry e = {
            .id = { .term = r->term, .index = log_last(&r->log).index + 1 + i },
            .type = p->type,
            .session = p->session,
            .sequence = p->sequence,
            .data = p->data,
            .ticket = p->ticket,
        };

        rc = log_stage(&r->log, &e);
    }
    return rc;
}

/* Takes all memory that handling the event may need. */
static int reserve(struct raft *r, const struct raft_event *event)
{
    int rc;

    if (reserve_bytes(&r->conf_bytes) < 0 || reserve_bytes(&r->base_bytes) < 0)
        return -ENOMEM;
    if (event->type == RAFT_MESSAGE && event->message.type == RAFT_APPEND)
        return stage_entries(r, event->message.append.entries, event->message.append.entry_count);
    if (event->type == RAFT_START)
        return stage_entries(r, event->start.entries, event->start.entry_count);
    rc = reserve_confs(r, 1);
    if (rc < 0)
        return rc;
    return event->type == RAFT_PROPOSE ? stage_proposals(r, event) : log_reserve(&r->log, 0, 2);
}

/* --- messages */

/* Strangers are told why and change nothing. */
static int check_stranger(struct raft *r, const struct raft_message *m)
{
    uint64_t epoch = current_conf(r)->epoch;
    enum raft_refusal reason;

    if (m->cluster != r->cfg.cluster)
        reason = RAFT_REFUSED_CLUSTER;
    else if (is_removed(r, m->from))
        reason = RAFT_REFUSED_REMOVED;
    else if (m->epoch != 0 && epoch != 0 && m->epoch != epoch)
        reason = RAFT_REFUSED_EPOCH;
    else
        return 0;
    if (m->type == RAFT_REFUSED)
        r->refused_count++; /* no answer, or two strangers would never stop */
    else
        out_refuse(r, m, reason);
    return reason == RAFT_REFUSED_REMOVED ? ERR_REMOVED : ERR_WRONG_CLUSTER;
}

static int check_message(const struct raft *r, const struct raft_message *m)
{
    if (m->from == 0 || m->from == r->cfg.id || m->to != r->cfg.id)
        return ERR_MALFORMED;
    if (m->type == RAFT_APPEND)
        return check_append(r, m);
    if (m->type == RAFT_SNAPSHOT_OFFER) {
        int rc = check_offer(r, m);

        return rc < 0 ? rc : raft_conf_decode(m->offer.snapshot.base.conf, r->spare_confs[0]);
    }
    return 0;
}

static bool is_from_leader(enum raft_message_type type)
{
    return type == RAFT_APPEND || type == RAFT_HEARTBEAT || type == RAFT_SNAPSHOT_OFFER ||
           type == RAFT_TIMEOUT_NOW;
}

/* [Raft] 5.1. Returns whether the message still has something to say. */
static bool settle_term(struct raft *r, const struct raft_message *m)
{
    bool is_vote = m->type == RAFT_VOTE_REQ; /* adopts the term itself, if at all */
    bool is_pre_grant = m->type == RAFT_VOTE_RES && m->vote_res.pre && m->vote_res.granted;

    if (m->type == RAFT_SNAPSHOT_REQ || m->type == RAFT_SNAPSHOT_RES)
        return true; /* bytes have no term */
    if (m->term > r->term && !is_vote && !is_pre_grant)
        become_follower(r, m->term, is_from_leader(m->type) ? m->from : 0);
    if (m->term >= r->term || is_vote)
        return true;
    if (is_from_leader(m->type)) /* a leader of the past: the answer deposes it */
        out_message(r, m->from, RAFT_HEARTBEAT_RES)->heartbeat_res.read_round = 0;
    return m->type == RAFT_READ_REQ;
}

static int handle_message(struct raft *r, const struct raft_message *m)
{
    int rc = check_message(r, m);

    if (rc < 0)
        return rc;
    if (m->type == RAFT_REFUSED && m->cluster == r->cfg.cluster) {
        r->out.refused = m->refused.reason; /* the host knows whom it believes */
        return 0;
    }
    rc = check_stranger(r, m);
    if (rc < 0)
        return rc;
    if (is_from_leader(m->type) && r->role == RAFT_LEADER && m->term == r->term)
        return ERR_MALFORMED; /* we are the leader of this term: [Raft] Fig. 3, election safety */
    if (!settle_term(r, m))
        return 0;
    switch (m->type) {
    case RAFT_VOTE_REQ:
        handle_vote_req(r, m);
        break;
    case RAFT_VOTE_RES:
        handle_vote_res(r, m);
        break;
    case RAFT_APPEND:
        handle_append(r, m);
        break;
    case RAFT_APPEND_RES:
        handle_append_res(r, m);
        break;
    case RAFT_HEARTBEAT:
        handle_heartbeat(r, m);
        break;
    case RAFT_HEARTBEAT_RES:
        handle_heartbeat_res(r, m);
        break;
    case RAFT_TIMEOUT_NOW:
        handle_timeout_now(r, m);
        break;
    case RAFT_READ_REQ:
        handle_read_req(r, m);
        break;
    case RAFT_READ_RES:
        handle_read_res(r, m);
        break;
    case RAFT_SNAPSHOT_OFFER:
        handle_offer(r, m);
        break;
    case RAFT_SNAPSHOT_REQ:
        handle_chunk_req(r, m);
        break;
    case RAFT_SNAPSHOT_RES:
        handle_chunk_res(r, m);
        break;
    case RAFT_REFUSED:
        break;
    default:
        return ERR_MALFORMED;
    }
    return 0;
}

/* --- other events */

static void propose(struct raft *r)
{
    raft_index first = log_last(&r->log).index + 1;

    r->out.accepted = r->log.staged_count;
    for (size_t i = 0; i < r->log.staged_count; i++)
        r->uncommitted_bytes += log_entry_bytes(&r->log.staged[i]);
    log_append_staged(&r->log, 0);
    r->out.append_from = first;
}

static void forget_leader(struct raft *r)
{
    if (r->role != RAFT_FOLLOWER || r->leader == 0)
        return;
    fail_reads(r);
    r->leader = 0;
    r->out.role_changed = true;
}

static void note_unreachable(struct raft *r, raft_node_id id)
{
    struct progress *p = find_peer(r, id);

    if (p != NULL && p->id != r->cfg.id && p->flow == RAFT_REPLICATE)
        progress_probe(p, p->match + 1); /* what is in flight is probably lost */
}

static int handle(struct raft *r, const struct raft_event *event)
{
    switch (event->type) {
    case RAFT_START:
        return start_node(r, &event->start);
    case RAFT_MESSAGE:
        return handle_message(r, &event->message);
    case RAFT_TIMEOUT:
        return 0;
    case RAFT_PERSISTED:
        if (event->persisted > r->issued)
            return ERR_INVALID;
        r->persisted = MAX(r->persisted, event->persisted);
        log_persisted(&r->log, r->persisted);
        return 0;
    case RAFT_APPLIED:
        if (event->applied.index > r->emitted_index ||
            event->applied.durable > MAX(event->applied.index, r->applied_index))
            return ERR_INVALID;
        handle_applied(r, event->applied.index, event->applied.durable);
        compact_log(r);
        return 0;
    case RAFT_PROPOSE:
        propose(r);
        return 0;
    case RAFT_READ:
        handle_read(r, event->read.ticket);
        return 0;
    case RAFT_CHANGE_CONF:
        return change_conf(r, event);
    case RAFT_TRANSFER:
        return start_transfer(r, event->transfer);
    case RAFT_STOP:
        r->stopping = true;
        return 0;
    case RAFT_FORGET_LEADER:
        forget_leader(r);
        return 0;
    case RAFT_UNREACHABLE:
        note_unreachable(r, event->unreachable);
        return 0;
    case RAFT_SNAPSHOT_READY:
        return handle_snapshot_ready(r, &event->snapshot_ready);
    case RAFT_SNAPSHOT_CHUNK:
        return handle_chunk_read(r, event);
    case RAFT_SNAPSHOT_STAGED:
        handle_staged(r, event);
        return 0;
    case RAFT_SNAPSHOT_INSTALLED:
        return handle_installed(r, event);
    case RAFT_SNAPSHOT_FAILED:
        handle_failed(r, event->snapshot_failed);
        return 0;
    }
    return ERR_INVALID;
}

/* What time, memory of the past and the new state demand, whatever the event was. */
static void run_due(struct raft *r)
{
    run_election_timers(r);
    if (r->role == RAFT_LEADER)
        advance_commit(r);
    run_membership(r);
    if (r->role == RAFT_LEADER)
        replicate(r);
    run_reads(r);
    run_snapshots(r);
}

int raft_step(struct raft *r, const struct raft_event *event, mono_ns now_ns,
              struct raft_output *out)
{
    int rc;

    r->now = MAX(r->now, now_ns);
    out_begin(r);
    if (r->started == (event->type == RAFT_START))
        rc = ERR_INVALID;
    else
        rc = reserve(r, event);
    if (rc >= 0)
        rc = handle(r, event);
    log_drop_staged(&r->log);
    if (rc >= 0)
        run_due(r);
    out_finish(r, out);
    return rc;
}

/* --- looking in */

void raft_status(const struct raft *r, struct raft_status *out)
{
    *out = (struct raft_status){
        .role = r->role,
        .term = r->term,
        .leader = r->leader,
        .vote = r->vote,
        .commit_index = r->commit_index,
        .applied_index = r->applied_index,
        .last = log_last(&r->log),
        .base_index = r->log.base.last.index,
        .log_bytes = r->log.bytes,
        .transferring = r->transfer_to != 0,
        .repairing = is_repairing(r),
        .installing = r->fetch.phase != FETCH_NONE,
        .refused_count = r->refused_count,
    };
}

const struct raft_conf *raft_conf_current(const struct raft *r)
{
    return current_conf(r);
}

int raft_peer_status(const struct raft *r, raft_node_id id, struct raft_peer_status *out)
{
    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    for (size_t i = 0; i < r->peer_count; i++) {
        const struct progress *p = &r->peers[i];

        if (p->id != id)
            continue;
        *out = (struct raft_peer_status){
            .match = id == r->cfg.id ? r->log.stable : p->match,
            .next = id == r->cfg.id ? log_last(&r->log).index + 1 : p->next,
            .flow = id == r->cfg.id ? RAFT_REPLICATE : p->flow,
            .active = id == r->cfg.id || r->now - p->heard_at < r->cfg.election_timeout_ns,
            .inflight = p->window_count,
            .inflight_bytes = p->window_bytes,
        };
        return 0;
    }
    return ERR_NOT_FOUND;
}
