/* raft/start.c - From what a disk held to a running node.
 *
 * The host found a log, a state machine and perhaps a snapshot on its way. They may be of different
 * age: the state machine lags behind the log by what it had not made durable, or is ahead of it
 * when a crash came between installing a snapshot and resetting the log. Whatever contradicts
 * itself in any other way is corrupt, and nothing is guessed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/core.h"

static int check_start(const struct raft_start *s)
{
    struct raft_entry_id prev = s->base.last;

    for (size_t i = 0; i < s->entry_count; i++) {
        const struct raft_entry_id id = s->entries[i].id;

        if (id.index != prev.index + 1 || id.term < prev.term || id.term == 0)
            return ERR_CORRUPT;
        prev = id;
    }
    if (s->applied < s->base.last.index || s->applied < s->installed.last.index)
        return ERR_CORRUPT;
    if (s->applied > prev.index && s->applied > s->installed.last.index &&
        s->acknowledged.term == 0)
        return ERR_CORRUPT; /* nothing is applied before it is on disk */
    if (s->bootstrap != NULL && (prev.index != 0 || s->base.conf.len != 0))
        return ERR_EXISTS;
    if (s->bootstrap == NULL && prev.index == 0 && s->base.conf.len == 0 && s->force_new_cluster)
        return ERR_INVALID;
    return 0;
}

static int copy_base(const struct raft_base *from, struct raft_base *out, struct raft_conf **conf)
{
    uint8_t *bytes = NULL;
    int rc = 0;

    *conf = calloc(1, sizeof(**conf));
    if (*conf == NULL)
        return -ENOMEM;
    if (from->conf.len > 0) {
        bytes = malloc(from->conf.len);
        rc = bytes == NULL ? -ENOMEM : raft_conf_decode(from->conf, *conf);
    }
    if (rc < 0) {
        free(bytes);
        free(*conf);
        return rc == ERR_MALFORMED ? ERR_CORRUPT : rc;
    }
    if (bytes != NULL)
        memcpy(bytes, from->conf.ptr, from->conf.len);
    *out = (struct raft_base){ .last = from->last, .conf = slice_of(bytes, from->conf.len) };
    return 0;
}

/* Was the snapshot installed, but the log not reset, when the node stopped? */
static bool log_lags_install(const struct raft_start *s)
{
    const struct raft_entry_id base = s->base.last, at = s->installed.last;

    if (at.index <= base.index)
        return false;
    return at.index - base.index > s->entry_count ||
           s->entries[at.index - base.index - 1].id.term != at.term;
}

static void load_log(struct raft *r, const struct raft_start *s)
{
    size_t k = 0;

    log_append_staged(&r->log, 0);
    for (size_t i = 0; i < s->entry_count; i++) {
        if (s->entries[i].type != RAFT_ENTRY_CONF)
            continue;
        push_conf(r, s->entries[i].id.index, r->spare_confs[k]);
        r->spare_confs[k++] = NULL;
    }
    r->spare_next = k;
    r->log.stable = log_last(&r->log).index;
}

static void load_fetch(struct raft *r, const struct raft_start *s, struct raft_base base,
                       struct raft_conf *conf)
{
    r->fetch.phase = FETCH_CHUNKS;
    r->fetch.snapshot = s->staged;
    r->fetch.snapshot.base = base;
    r->fetch.conf = conf;
    r->fetch.asked = r->fetch.received = r->fetch.staged = s->staged_bytes;
    memcpy(r->fetch.running, s->staged_hash, RAFT_HASH_LEN);
}

static bool may_resume_fetch(const struct raft_start *s, raft_index last)
{
    return s->staged.base.last.index > last && s->staged.base.last.term <= s->hard_state.term &&
           s->staged_bytes < s->staged.size && s->staged_bytes % RAFT_CHUNK_LEN == 0 &&
           s->staged_bytes > 0;
}

/* A majority is lost for good: this node alone decides from here on, as another cluster would. It
 * keeps its whole log, since any entry in it may have been acknowledged. */
static void force_new_cluster(struct raft *r)
{
    const struct raft_member *self = raft_conf_find(current_conf(r), r->cfg.id);
    struct raft_conf *next = r->spare_confs[r->spare_next];
    struct raft_entry e = { .type = RAFT_ENTRY_CONF };
    uint64_t epoch = current_conf(r)->epoch + 1;
    struct slice context = { 0 };

    if (self != NULL)
        context = slice_of(self->context, self->context_len);
    CHECK(raft_conf_init(next, r->cfg.id, context) == 0);
    next->epoch = epoch;
    r->spare_confs[r->spare_next++] = NULL;
    r->acknowledged = (struct raft_entry_id){ 0 };
    r->term++;
    r->vote = 0;
    r->out.hard_state_changed = true;
    e.id = (struct raft_entry_id){ .term = r->term, .index = log_last(&r->log).index + 1 };
    e.data = slice_of(r->conf_bytes, raft_conf_encode(next, r->conf_bytes));
    r->conf_bytes = NULL;
    log_append_taken(&r->log, &e);
    push_conf(r, e.id.index, next);
    r->out.append_from = e.id.index;
}

int start_node(struct raft *r, const struct raft_start *s)
{
    bool reset = log_lags_install(s);
    struct raft_base base = { 0 }, staged_base = { 0 };
    struct raft_conf *conf = NULL, *staged_conf = NULL;
    uint8_t encoded[RAFT_CONF_LEN_MAX];
    struct raft_base from = reset ? s->installed : s->base;
    int rc = check_start(s);

    if (rc < 0)
        return rc;
    if (s->bootstrap != NULL)
        from.conf = slice_of(encoded, raft_conf_encode(s->bootstrap, encoded));
    rc = copy_base(&from, &base, &conf);
    if (rc < 0)
        return rc;
    if (may_resume_fetch(s, reset ? from.last.index : s->base.last.index + s->entry_count)) {
        rc = copy_base(&s->staged.base, &staged_base, &staged_conf);
        if (rc < 0) {
            free((void *)(uintptr_t)base.conf.ptr);
            free(conf);
            return rc;
        }
    }

    log_reset(&r->log, base);
    reset_confs(r, base.last.index, conf);
    r->out.reset = reset || s->bootstrap != NULL;
    if (!reset)
        load_log(r, s);
    if (staged_conf != NULL)
        load_fetch(r, s, staged_base, staged_conf);
    r->term = MAX(s->hard_state.term, log_last(&r->log).term);
    r->vote = r->term == s->hard_state.term ? s->hard_state.vote : 0;
    r->acknowledged = s->acknowledged;
    r->applied_index = r->emitted_index = r->durable_index = s->applied;
    r->commit_index =
        MAX(base.last.index, MIN(MAX(s->hard_state.commit, s->applied), log_last(&r->log).index));
    r->started = true;
    if (s->force_new_cluster)
        force_new_cluster(r);
    become_follower(r, r->term, 0);
    if (may_campaign(r) && quorum_is_sole_voter(current_conf(r), r->cfg.id))
        campaign(r); /* there is nobody to wait for */
    return 0;
}
