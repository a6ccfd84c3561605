/* raft/snapshot.c - When the log cannot help: state instead of entries.
 *
 * Holder:    a leader whose follower needs a compacted entry asks the host for a snapshot and
 *            offers it with every heartbeat. Whoever holds it serves its chunks; serving keeps no
 *            state but a count of reads under way.
 * Receiver:  CHUNKS --all staged, hash right--> DRAINING --nothing being applied--> INSTALLING
 *
 * The receiver pulls: it knows best what it has, so losing a message, a leader or a connection
 * costs one time-out and no byte that was staged. A snapshot is named by the hash of its bytes, so
 * any member that holds the same one can go on serving it. What it stands for is committed, so it
 * is right to install whoever leads by then. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/core.h"

static_assert(RAFT_HASH_LEN == crypto_generichash_BYTES, "BLAKE2b-256");

void raft_snapshot_hash(uint8_t running[RAFT_HASH_LEN], struct slice chunk)
{
    crypto_generichash_state state;
    uint8_t next[RAFT_HASH_LEN];

    (void)crypto_generichash_init(&state, NULL, 0, RAFT_HASH_LEN); /* fails for bad lengths only */
    (void)crypto_generichash_update(&state, running, RAFT_HASH_LEN);
    (void)crypto_generichash_update(&state, chunk.ptr, chunk.len);
    (void)crypto_generichash_final(&state, next, RAFT_HASH_LEN);
    memcpy(running, next, RAFT_HASH_LEN);
}

static bool is_same(const uint8_t a[RAFT_HASH_LEN], const uint8_t b[RAFT_HASH_LEN])
{
    return memcmp(a, b, RAFT_HASH_LEN) == 0;
}

/* --- holder */

static void release_held(struct raft *r)
{
    struct raft_snapshot_work work = { .type = RAFT_WORK_RELEASE };

    if (!r->held.held || !out_work_has_room(r))
        return;
    work.snapshot.base.last = r->held.snapshot.base.last;
    work.snapshot.size = r->held.snapshot.size;
    memcpy(work.snapshot.hash, r->held.snapshot.hash, RAFT_HASH_LEN);
    out_work(r, &work);
    out_retire(r, r->held.snapshot.base.conf);
    r->held = (struct held_snapshot){ 0 };
}

/* A snapshot helps only while the log goes on where it ends. */
static bool is_useful(const struct raft *r)
{
    return r->held.held && r->held.snapshot.base.last.index >= r->log.base.last.index;
}

static void ask_for_snapshot(struct raft *r)
{
    struct raft_snapshot_work work = { .type = RAFT_WORK_CREATE };

    if (r->creating || r->now < r->create_retry_at || !out_work_has_room(r))
        return;
    work.snapshot.base.last = r->log.base.last;
    out_work(r, &work);
    r->creating = true;
}

/* Called for a follower in the snapshot state; a silent one is not worth the work. */
void offer_snapshot(struct raft *r, struct progress *p)
{
    if (r->now - p->heard_at >= r->cfg.election_timeout_ns)
        return;
    if (is_useful(r))
        out_message(r, p->id, RAFT_SNAPSHOT_OFFER)->offer.snapshot = r->held.snapshot;
    else
        ask_for_snapshot(r);
}

int handle_snapshot_ready(struct raft *r, const struct raft_snapshot *s)
{
    struct slice conf;
    size_t len;

    if (s->size == 0 || !log_matches(&r->log, s->base.last) ||
        s->base.last.index > r->applied_index || conf_at(r, s->base.last.index)->member_count == 0)
        return ERR_INVALID;
    release_held(r);
    if (r->held.held) /* cannot be said in this step */
        return ERR_FULL;
    len = raft_conf_encode(conf_at(r, s->base.last.index), r->base_bytes);
    conf = slice_of(r->base_bytes, len);
    r->base_bytes = NULL;
    r->held.held = true;
    r->held.snapshot = *s;
    r->held.snapshot.base.conf = conf;
    r->creating = false;
    for (size_t i = 0; r->role == RAFT_LEADER && i < r->peer_count; i++)
        if (r->peers[i].flow == RAFT_SNAPSHOT)
            offer_snapshot(r, &r->peers[i]);
    return 0;
}

void handle_chunk_req(struct raft *r, const struct raft_message *m)
{
    const struct raft_snapshot *s = &r->held.snapshot;
    struct progress *p = find_peer(r, m->from);
    struct raft_snapshot_work work = { .type = RAFT_WORK_READ, .to = m->from };

    if (p != NULL)
        p->heard_at = r->now;
    if (!r->held.held || !is_same(m->chunk.hash, s->hash) || m->chunk.offset >= s->size) {
        struct raft_message *answer = out_message(r, m->from, RAFT_SNAPSHOT_RES);

        memcpy(answer->chunk_res.hash, m->chunk.hash, RAFT_HASH_LEN);
        answer->chunk_res.offset = m->chunk.offset;
        answer->chunk_res.missing = true;
        return;
    }
    if (r->chunk_reads == RAFT_CHUNK_READS_MAX || !out_work_has_room(r))
        return; /* busy; it asks again */
    work.snapshot = *s;
    work.offset = m->chunk.offset;
    work.len = (size_t)MIN(s->size - m->chunk.offset, (uint64_t)RAFT_CHUNK_LEN);
    out_work(r, &work);
    r->chunk_reads++;
}

int handle_chunk_read(struct raft *r, const struct raft_event *event)
{
    struct raft_message *m;

    if (r->chunk_reads == 0 || event->snapshot_chunk.data.len > RAFT_CHUNK_LEN)
        return ERR_INVALID;
    r->chunk_reads--;
    m = out_message(r, event->snapshot_chunk.to, RAFT_SNAPSHOT_RES);
    memcpy(m->chunk_res.hash, event->snapshot_chunk.hash, RAFT_HASH_LEN);
    m->chunk_res.offset = event->snapshot_chunk.offset;
    m->chunk_res.data = event->snapshot_chunk.data;
    m->chunk_res.missing = event->snapshot_chunk.data.len == 0;
    return 0;
}

/* --- receiver */

bool is_installing(const struct raft *r)
{
    return r->fetch.phase == FETCH_DRAINING || r->fetch.phase == FETCH_INSTALLING;
}

void drop_fetch(struct raft *r)
{
    struct fetch *f = &r->fetch;

    if (f->snapshot.base.conf.ptr != NULL)
        out_retire(r, f->snapshot.base.conf);
    free(f->conf);
    *f = (struct fetch){ 0 };
}

static void expect_chunk(struct raft *r)
{
    r->fetch.deadline = mono_after(r->now, r->cfg.election_timeout_ns);
}

static void ask_for_chunks(struct raft *r)
{
    struct fetch *f = &r->fetch;
    uint64_t window = (uint64_t)RAFT_CHUNKS_INFLIGHT * RAFT_CHUNK_LEN;

    while (f->asked < f->snapshot.size && f->asked < f->staged + window) {
        struct raft_message *m = out_message(r, f->source, RAFT_SNAPSHOT_REQ);

        memcpy(m->chunk.hash, f->snapshot.hash, RAFT_HASH_LEN);
        m->chunk.offset = f->asked;
        f->asked += MIN((uint64_t)RAFT_CHUNK_LEN, f->snapshot.size - f->asked);
    }
}

int check_offer(const struct raft *r, const struct raft_message *m)
{
    const struct raft_snapshot *s = &m->offer.snapshot;
    raft_term ours;

    if (s->size == 0 || s->base.last.index == 0 || s->base.last.term == 0 ||
        s->base.last.term > m->term || s->base.conf.len > RAFT_CONF_LEN_MAX)
        return ERR_MALFORMED;
    if (m->term >= r->term && s->base.last.index <= r->commit_index &&
        log_term(&r->log, s->base.last.index, &ours) && ours != s->base.last.term)
        return ERR_MALFORMED;
    return 0;
}

/* Where our log has what the snapshot ends with, it is the better copy. */
static bool is_superseded(struct raft *r, struct raft_entry_id last)
{
    if (last.index <= r->commit_index)
        return true;
    if (!log_matches(&r->log, last))
        return false;
    commit_to(r, last.index);
    return true;
}

void handle_offer(struct raft *r, const struct raft_message *m)
{
    const struct raft_snapshot *s = &m->offer.snapshot;
    struct fetch *f = &r->fetch;

    note_leader(r, m->from);
    if (is_installing(r))
        return;
    if (is_superseded(r, s->base.last)) {
        drop_fetch(r);
        respond_append(r, m->from, r->commit_index, 0);
        return;
    }
    if (f->phase == FETCH_CHUNKS) {
        bool same = is_same(f->snapshot.hash, s->hash);

        if (same && f->source == 0) { /* resumed after a restart */
            f->source = m->from;
            expect_chunk(r);
            ask_for_chunks(r);
        }
        /* One that makes progress is finished first: switching each time never ends. */
        if (same || (f->source != 0 && r->now < f->deadline))
            return;
        drop_fetch(r);
    }
    f->phase = FETCH_CHUNKS;
    f->snapshot = *s;
    memcpy(r->base_bytes, s->base.conf.ptr, s->base.conf.len);
    f->snapshot.base.conf = slice_of(r->base_bytes, s->base.conf.len);
    r->base_bytes = NULL;
    f->conf = r->spare_confs[0];
    r->spare_confs[0] = NULL;
    f->source = m->from;
    expect_chunk(r);
    ask_for_chunks(r);
}

/* Another member may hold the same snapshot; the leader, if any, is always tried in between. */
static void change_source(struct raft *r)
{
    const struct raft_conf *c = current_conf(r);
    struct fetch *f = &r->fetch;
    raft_node_id next = 0, first = 0;

    if (f->source != r->leader && r->leader != 0 && r->leader != r->cfg.id) {
        f->source = r->leader;
        return;
    }
    for (uint32_t i = 0; i < c->member_count; i++) {
        raft_node_id id = c->members[i].id;

        if (id == r->cfg.id || id == f->source)
            continue;
        if (first == 0)
            first = id;
        if (next == 0 && id > f->source)
            next = id;
    }
    if (next != 0 || first != 0)
        f->source = next != 0 ? next : first;
}

static void stage_chunk(struct raft *r, const struct raft_message *m)
{
    struct fetch *f = &r->fetch;
    struct raft_snapshot_work work = { .type = RAFT_WORK_STAGE, .data = m->chunk_res.data };

    raft_snapshot_hash(f->running, m->chunk_res.data);
    work.snapshot = f->snapshot;
    work.offset = f->received;
    memcpy(work.running, f->running, RAFT_HASH_LEN);
    out_work(r, &work);
    f->received += m->chunk_res.data.len;
}

void handle_chunk_res(struct raft *r, const struct raft_message *m)
{
    const struct raft_snapshot_res *c = &m->chunk_res;
    struct fetch *f = &r->fetch;

    if (f->phase != FETCH_CHUNKS || !is_same(c->hash, f->snapshot.hash))
        return;
    if (c->missing) {
        if (m->from != f->source)
            return;
        if (m->from == r->leader) {
            drop_fetch(r); /* it offers what it has now */
            return;
        }
        change_source(r);
        f->asked = f->received;
        ask_for_chunks(r);
        return;
    }
    if (c->offset != f->received ||
        c->data.len != MIN((uint64_t)RAFT_CHUNK_LEN, f->snapshot.size - f->received) ||
        !out_work_has_room(r))
        return; /* repeated, overtaken or of the wrong size: the time-out asks for the right one */
    expect_chunk(r);
    stage_chunk(r, m);
    if (f->received == f->snapshot.size && !is_same(f->running, f->snapshot.hash)) {
        drop_fetch(r); /* somebody's disk lies; the next offer starts over */
    }
}

void handle_staged(struct raft *r, const struct raft_event *event)
{
    struct fetch *f = &r->fetch;
    uint64_t end = event->snapshot_staged.offset + RAFT_CHUNK_LEN;

    if (f->phase != FETCH_CHUNKS || !is_same(event->snapshot_staged.hash, f->snapshot.hash) ||
        event->snapshot_staged.offset >= f->received)
        return; /* of a transfer that was given up */
    f->staged = MAX(f->staged, MIN(end, f->received));
    if (f->staged < f->snapshot.size) {
        ask_for_chunks(r);
        return;
    }
    if (r->role != RAFT_FOLLOWER)
        become_follower(r, r->term, 0); /* one state at a time: no campaign while it is replaced */
    f->phase = FETCH_DRAINING;
}

/* The state machine is the snapshot's now; so becomes the log, and nothing of the old one stays:
 * it conflicts, or it ended before. Old entries behind a new base would bring back old
 * configurations. */
int handle_installed(struct raft *r, const struct raft_event *event)
{
    struct fetch *f = &r->fetch;
    struct raft_base base = f->snapshot.base;

    if (f->phase != FETCH_INSTALLING || !is_same(event->snapshot_installed.hash, f->snapshot.hash))
        return ERR_INVALID;
    CHECK(base.last.index > r->commit_index);
    CHECK(!log_matches(&r->log, base.last));
    log_reset(&r->log, base);
    reset_confs(r, base.last.index, f->conf);
    *f = (struct fetch){ 0 }; /* base.conf and conf have new owners */
    r->commit_index = base.last.index;
    r->emitted_index = base.last.index;
    r->applied_index = base.last.index;
    r->durable_index = base.last.index;
    r->applying_bytes = 0;
    r->out.reset = true;
    if (r->leader != 0 && r->role == RAFT_FOLLOWER)
        respond_append(r, r->leader, base.last.index, 0);
    return 0;
}

/* The offer is repeated, the demand too: nothing has to be remembered. */
void handle_failed(struct raft *r, enum raft_work_type type)
{
    if (type == RAFT_WORK_CREATE) {
        r->creating = false;
        r->create_retry_at = mono_after(r->now, r->cfg.election_timeout_ns);
    } else if (r->fetch.phase != FETCH_NONE) {
        drop_fetch(r);
    }
}

static void run_fetch(struct raft *r)
{
    struct fetch *f = &r->fetch;

    if (f->phase == FETCH_NONE || f->phase == FETCH_INSTALLING)
        return;
    if (is_superseded(r, f->snapshot.base.last)) {
        drop_fetch(r); /* the log arrived first */
        return;
    }
    if (f->phase == FETCH_CHUNKS && f->source != 0 && r->now >= f->deadline) {
        change_source(r);
        f->asked = f->received;
        expect_chunk(r);
        ask_for_chunks(r);
    }
    if (f->phase == FETCH_DRAINING && r->applied_index == r->emitted_index &&
        r->role == RAFT_FOLLOWER && out_work_has_room(r)) {
        struct raft_snapshot_work work = { .type = RAFT_WORK_INSTALL, .snapshot = f->snapshot };

        out_work(r, &work);
        f->phase = FETCH_INSTALLING;
    }
}

/* Disk space is worth more than a snapshot that nobody asks for. */
static void run_held(struct raft *r)
{
    if (!r->held.held || r->creating)
        return;
    if (!is_useful(r)) {
        release_held(r);
        return;
    }
    if (r->role != RAFT_LEADER)
        return;
    for (size_t i = 0; i < r->peer_count; i++)
        if (r->peers[i].flow == RAFT_SNAPSHOT)
            return;
    release_held(r);
}

void run_snapshots(struct raft *r)
{
    run_fetch(r);
    run_held(r);
}

mono_ns snapshot_deadline(const struct raft *r)
{
    bool waiting = r->fetch.phase == FETCH_CHUNKS && r->fetch.source != 0;

    return waiting ? r->fetch.deadline : MONO_NEVER;
}

void snapshot_deinit(struct raft *r)
{
    free((void *)(uintptr_t)r->held.snapshot.base.conf.ptr);
    free((void *)(uintptr_t)r->fetch.snapshot.base.conf.ptr);
    free(r->fetch.conf);
}
