/* tests/scenario/raft/rig.c - See rig.h. */
#include "rig.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

static struct slice copy_slice(struct slice s)
{
    uint8_t *bytes = malloc(s.len + 1);

    CHECK(bytes != NULL);
    if (s.len > 0)
        memcpy(bytes, s.ptr, s.len);
    return slice_of(bytes, s.len);
}

static void drop_slice(struct slice *s)
{
    free((void *)(uintptr_t)s->ptr);
    *s = slice_of(NULL, 0);
}

void rig_init(struct rig *r, FILE *out)
{
    memset(r, 0, sizeof(*r));
    r->out = out;
    r->now = NS_PER_S;
}

static void drop_write(struct raft_write_op *op)
{
    if (op->type == RAFT_WRITE_APPEND) {
        for (size_t k = 0; k < op->entry_count; k++) {
            struct slice data = op->entries[k].data;

            drop_slice(&data);
        }
        free((void *)(uintptr_t)op->entries);
    }
    if (op->type == RAFT_WRITE_RESET || op->type == RAFT_WRITE_COMPACT)
        drop_slice(&op->base.conf);
}

static void drop_held(struct rig_node *n)
{
    for (size_t i = 0; i < n->held_count; i++)
        drop_write(&n->held[i]);
    n->held_count = 0;
}

void rig_deinit(struct rig *r)
{
    for (size_t i = 0; i < r->queue_count; i++)
        free(r->queue[i].bytes);
    for (unsigned id = 1; id <= RIG_NODES_MAX; id++) {
        struct rig_node *n = &r->nodes[id];

        raft_free(n->raft);
        drop_held(n);
        free(n->held);
        drop_slice(&n->disk.base.conf);
        drop_slice(&n->disk.installed.conf);
        for (size_t i = 0; i < n->disk.entry_count; i++)
            drop_slice(&n->disk.entries[i].data);
    }
}

/* --- printing */

static const char *role_name(enum raft_role role)
{
    static const char *const names[] = { "follower", "pre-candidate", "candidate", "leader" };

    return names[role];
}

static void print_conf(struct rig *r, const struct raft_conf *c)
{
    fprintf(r->out, "%s", c->joint ? "joint" : "");
    for (uint32_t i = 0; i < c->member_count; i++) {
        uint32_t f = c->members[i].flags;

        fprintf(r->out, "%s%" PRIu64 "%s%s%s%s%s", i == 0 && !c->joint ? "" : " ", c->members[i].id,
                (f & (RAFT_VOTER | RAFT_VOTER_OLD)) == 0 ? "(learner)" : "",
                (f & RAFT_PROMOTE) != 0 ? "(promote)" : "",
                c->joint && (f & RAFT_VOTER) != 0 ? "+" : "",
                c->joint && (f & RAFT_VOTER_OLD) != 0 ? "-" : "",
                (f & RAFT_LEAVING) != 0 ? "(leaving)" : "");
    }
}

static void print_entries(struct rig *r, const struct raft_append *a)
{
    for (size_t i = 0; i < a->entry_count; i++)
        fprintf(r->out, " %" PRIu64 "/%" PRIu64, a->entries[i].id.term, a->entries[i].id.index);
}

static void print_message(struct rig *r, const char *what, const struct raft_message *m)
{
    if (r->quiet)
        return;
    fprintf(r->out, "%s%" PRIu64 " -> %" PRIu64 " %s term=%" PRIu64, what, m->from, m->to,
            raft_message_name(m->type), m->term);
    switch (m->type) {
    case RAFT_VOTE_REQ:
        fprintf(r->out, "%s%s last=%" PRIu64 "/%" PRIu64, m->vote.pre ? " pre" : "",
                m->vote.transfer ? " transfer" : "", m->vote.last.term, m->vote.last.index);
        break;
    case RAFT_VOTE_RES:
        fprintf(r->out, "%s %s", m->vote_res.pre ? " pre" : "",
                m->vote_res.granted ? "granted" : "rejected");
        break;
    case RAFT_APPEND:
        fprintf(r->out, " prev=%" PRIu64 "/%" PRIu64 " commit=%" PRIu64, m->append.prev.term,
                m->append.prev.index, m->append.commit);
        print_entries(r, &m->append);
        break;
    case RAFT_APPEND_RES:
        if (m->append_res.rejected)
            fprintf(r->out, " rejected=%" PRIu64 " hint=%" PRIu64 "/%" PRIu64 "%s",
                    m->append_res.match, m->append_res.hint.term, m->append_res.hint.index,
                    m->append_res.repair ? " repair" : "");
        else
            fprintf(r->out, " match=%" PRIu64, m->append_res.match);
        break;
    case RAFT_HEARTBEAT:
        fprintf(r->out, " commit=%" PRIu64 "%s", m->heartbeat.commit,
                m->heartbeat.quiet ? " quiet" : "");
        if (m->heartbeat.read_round != 0)
            fprintf(r->out, " round=%" PRIu64, m->heartbeat.read_round);
        break;
    case RAFT_HEARTBEAT_RES:
        if (m->heartbeat_res.read_round != 0)
            fprintf(r->out, " round=%" PRIu64, m->heartbeat_res.read_round);
        if (m->heartbeat_res.unfit)
            fprintf(r->out, " unfit");
        break;
    case RAFT_READ_RES:
        fprintf(r->out, m->read_res.rejected ? " rejected" : " index=%" PRIu64, m->read_res.index);
        break;
    case RAFT_SNAPSHOT_OFFER:
        fprintf(r->out, " last=%" PRIu64 "/%" PRIu64, m->offer.snapshot.base.last.term,
                m->offer.snapshot.base.last.index);
        break;
    case RAFT_SNAPSHOT_REQ:
        fprintf(r->out, " offset=%" PRIu64, m->chunk.offset);
        break;
    case RAFT_SNAPSHOT_RES:
        fprintf(r->out, m->chunk_res.missing ? " missing" : " offset=%" PRIu64,
                m->chunk_res.offset);
        break;
    case RAFT_REFUSED:
        fprintf(r->out, " reason=%d", (int)m->refused.reason);
        break;
    case RAFT_TIMEOUT_NOW:
    case RAFT_READ_REQ:
        break;
    }
    fputc('\n', r->out);
}

static void print_changes(struct rig *r, unsigned id)
{
    struct rig_node *n = &r->nodes[id];
    struct raft_status s;

    raft_status(n->raft, &s);
    if (s.role != n->seen.role || s.term != n->seen.term)
        fprintf(r->out, "%u %s term=%" PRIu64 "\n", id, role_name(s.role), s.term);
    if (s.commit_index != n->seen.commit_index)
        fprintf(r->out, "%u commits %" PRIu64 "\n", id, s.commit_index);
    if (s.base_index != n->seen.base_index)
        fprintf(r->out, "%u log starts after %" PRIu64 "\n", id, s.base_index);
    n->seen = s;
}

/* --- disk */

static void disk_truncate(struct rig_disk *d, raft_index last)
{
    while (d->entry_count > 0 && d->entries[d->entry_count - 1].id.index > last)
        drop_slice(&d->entries[--d->entry_count].data);
}

static void disk_set_base(struct rig_disk *d, const struct raft_base *base)
{
    struct slice conf = copy_slice(base->conf);
    size_t gone = 0;

    while (gone < d->entry_count && d->entries[gone].id.index <= base->last.index)
        drop_slice(&d->entries[gone++].data);
    d->entry_count -= gone;
    memmove(d->entries, d->entries + gone, d->entry_count * sizeof(d->entries[0]));
    drop_slice(&d->base.conf);
    d->base.last = base->last;
    d->base.conf = conf;
}

static void disk_write(struct rig_disk *d, const struct raft_write_op *op)
{
    switch (op->type) {
    case RAFT_WRITE_HARD_STATE:
        d->hard_state = op->hard_state;
        break;
    case RAFT_WRITE_APPEND:
        disk_truncate(d, op->entries[0].id.index - 1);
        for (size_t i = 0; i < op->entry_count; i++) {
            CHECK(d->entry_count < RIG_ENTRIES_MAX);
            d->entries[d->entry_count] = op->entries[i];
            d->entries[d->entry_count++].data = copy_slice(op->entries[i].data);
        }
        break;
    case RAFT_WRITE_TRUNCATE:
        disk_truncate(d, op->last);
        break;
    case RAFT_WRITE_RESET:
        disk_truncate(d, 0);
        disk_set_base(d, &op->base);
        break;
    case RAFT_WRITE_COMPACT:
        disk_set_base(d, &op->base);
        break;
    }
    d->durable = op->seq;
}

static void hold_write(struct rig_node *n, const struct raft_write_op *op)
{
    struct raft_write_op *copy;

    n->held = realloc(n->held, (n->held_count + 1) * sizeof(*n->held));
    CHECK(n->held != NULL);
    copy = &n->held[n->held_count++];
    *copy = *op;
    if (op->type == RAFT_WRITE_APPEND) {
        struct raft_entry *entries = calloc(op->entry_count, sizeof(*entries));

        CHECK(entries != NULL);
        for (size_t i = 0; i < op->entry_count; i++) {
            entries[i] = op->entries[i];
            entries[i].data = copy_slice(op->entries[i].data);
        }
        copy->entries = entries;
    }
    if (op->type == RAFT_WRITE_RESET || op->type == RAFT_WRITE_COMPACT)
        copy->base.conf = copy_slice(op->base.conf);
}

/* --- steps */

static void enqueue(struct rig *r, const struct raft_message *m)
{
    struct rig_message *q = &r->queue[r->queue_count++];
    size_t cap = raft_message_encoded_max(m);

    CHECK(r->queue_count < RIG_MESSAGES_MAX);
    *q = (struct rig_message){ (unsigned)m->from, (unsigned)m->to, m->type, m->after, 0, NULL };
    q->bytes = malloc(cap);
    CHECK(q->bytes != NULL);
    q->len = (size_t)raft_message_encode(m, q->bytes, cap);
}

static void make_snapshot(struct rig *r, unsigned id)
{
    struct raft_event event = { .type = RAFT_SNAPSHOT_READY };
    struct raft_snapshot *s = &event.snapshot_ready;
    struct raft_status now;
    uint8_t byte;

    raft_status(r->nodes[id].raft, &now);
    s->base.last.index = now.applied_index;
    for (size_t i = 0; i < r->nodes[id].disk.entry_count; i++)
        if (r->nodes[id].disk.entries[i].id.index == now.applied_index)
            s->base.last.term = r->nodes[id].disk.entries[i].id.term;
    if (s->base.last.term == 0)
        s->base.last = r->nodes[id].disk.base.last;
    s->size = 1;
    byte = (uint8_t)s->base.last.index;
    raft_snapshot_hash(s->hash, slice_of(&byte, 1));
    (void)rig_step(r, id, &event);
}

/* The bytes of a snapshot are one, its index: enough to tell snapshots apart. */
static void obey(struct rig *r, unsigned id, const struct raft_snapshot_work *w, struct slice conf)
{
    uint8_t byte = (uint8_t)w->snapshot.base.last.index;
    struct rig_node *n = &r->nodes[id];
    struct raft_event event = { .type = RAFT_SNAPSHOT_CHUNK };

    switch (w->type) {
    case RAFT_WORK_CREATE:
        make_snapshot(r, id);
        return;
    case RAFT_WORK_RELEASE:
        return;
    case RAFT_WORK_READ:
        event.snapshot_chunk.to = w->to;
        memcpy(event.snapshot_chunk.hash, w->snapshot.hash, RAFT_HASH_LEN);
        event.snapshot_chunk.offset = w->offset;
        event.snapshot_chunk.data = slice_of(&byte, 1);
        (void)rig_step(r, id, &event);
        return;
    case RAFT_WORK_STAGE:
        event.type = RAFT_SNAPSHOT_STAGED;
        memcpy(event.snapshot_staged.hash, w->snapshot.hash, RAFT_HASH_LEN);
        event.snapshot_staged.offset = w->offset;
        (void)rig_step(r, id, &event);
        return;
    case RAFT_WORK_INSTALL:
        drop_slice(&n->disk.installed.conf);
        n->disk.installed.last = w->snapshot.base.last;
        n->disk.installed.conf = copy_slice(conf);
        n->disk.applied = w->snapshot.base.last.index;
        n->emitted = n->disk.applied;
        fprintf(r->out, "%u installs %" PRIu64 "/%" PRIu64 "\n", id, w->snapshot.base.last.term,
                w->snapshot.base.last.index);
        event.type = RAFT_SNAPSHOT_INSTALLED;
        memcpy(event.snapshot_installed.hash, w->snapshot.hash, RAFT_HASH_LEN);
        (void)rig_step(r, id, &event);
        return;
    }
}

void rig_apply(struct rig *r, unsigned id)
{
    struct rig_node *n = &r->nodes[id];
    struct raft_event event = { .type = RAFT_APPLIED };

    if (n->emitted == n->disk.applied)
        return;
    n->disk.applied = n->emitted;
    event.applied.index = event.applied.durable = n->emitted;
    (void)rig_step(r, id, &event);
}

void rig_persist(struct rig *r, unsigned id, size_t count)
{
    struct rig_node *n = &r->nodes[id];
    struct raft_event event = { .type = RAFT_PERSISTED };
    size_t done = count < n->held_count ? count : n->held_count;

    for (size_t i = 0; i < done; i++) {
        disk_write(&n->disk, &n->held[i]);
        drop_write(&n->held[i]);
    }
    n->held_count -= done;
    memmove(n->held, n->held + done, n->held_count * sizeof(*n->held));
    event.persisted = n->disk.durable;
    (void)rig_step(r, id, &event);
}

static void print_results(struct rig *r, unsigned id, const struct raft_output *out)
{
    for (size_t i = 0; i < out->read_count; i++)
        fprintf(r->out, "%u read %" PRIu64 " %s index=%" PRIu64 "\n", id, out->reads[i].ticket,
                out->reads[i].status == RAFT_READ_OK ? "ok" : "failed", out->reads[i].index);
    for (size_t i = 0; i < out->committed_count; i++) {
        const struct raft_entry *e = &out->committed[i];

        if (e->ticket != 0)
            fprintf(r->out, "%u proposal %" PRIu64 " done at %" PRIu64 "\n", id, e->ticket,
                    e->id.index);
    }
    if (out->refused != 0)
        fprintf(r->out, "%u is refused, reason=%d\n", id, (int)out->refused);
    if (out->stopped && !r->nodes[id].may_stop)
        fprintf(r->out, "%u may stop\n", id);
    r->nodes[id].may_stop = out->stopped;
    for (size_t i = 0; i < out->write_count; i++) {
        const struct raft_write_op *w = &out->writes[i];

        for (size_t k = 0; w->type == RAFT_WRITE_APPEND && k < w->entry_count; k++)
            if (w->entries[k].type == RAFT_ENTRY_CONF) {
                fprintf(r->out, "%u conf at %" PRIu64 ": ", id, w->entries[k].id.index);
                print_conf(r, raft_conf_current(r->nodes[id].raft));
                fputc('\n', r->out);
            }
        if (w->type == RAFT_WRITE_TRUNCATE)
            fprintf(r->out, "%u truncates after %" PRIu64 "\n", id, w->last);
    }
}

int rig_step(struct rig *r, unsigned id, const struct raft_event *event)
{
    struct rig_node *n = &r->nodes[id];
    struct raft_snapshot_work work[RAFT_SNAPSHOT_WORK_MAX];
    struct slice confs[RAFT_SNAPSHOT_WORK_MAX];
    struct raft_output out;
    size_t work_count;
    bool wrote;
    int rc = raft_step(n->raft, event, r->now + n->skew, &out);

    if (rc < 0)
        fprintf(r->out, "%u refuses: %s\n", id, err_name(rc));
    print_changes(r, id);
    print_results(r, id, &out);
    wrote = out.write_count > 0;
    for (size_t i = 0; i < out.write_count; i++)
        hold_write(n, &out.writes[i]);
    for (size_t i = 0; i < out.message_count; i++)
        enqueue(r, &out.messages[i]);
    if (out.committed_count > 0)
        n->emitted = out.committed[out.committed_count - 1].id.index;
    work_count = out.snapshot_work_count;
    for (size_t i = 0; i < work_count; i++) {
        work[i] = out.snapshot_work[i];
        confs[i] = copy_slice(work[i].snapshot.base.conf);
    }
    n->deadline = out.deadline_ns == MONO_NEVER ? MONO_NEVER : out.deadline_ns - n->skew;
    for (size_t i = 0; i < work_count; i++) {
        obey(r, id, &work[i], confs[i]);
        drop_slice(&confs[i]);
    }
    if (wrote && !n->holds_writes)
        rig_persist(r, id, SIZE_MAX);
    if (!n->holds_applies)
        rig_apply(r, id);
    return rc;
}

void rig_start(struct rig *r, unsigned id, const struct raft_start *extra)
{
    struct rig_node *n = &r->nodes[id];
    struct raft_config cfg = r->cfg;
    struct raft_event event = { .type = RAFT_START };

    if (extra != NULL)
        event.start = *extra;
    cfg.id = id;
    cfg.cluster = cfg.cluster == 0 ? 77 : cfg.cluster;
    cfg.seed = id * 1000 + n->starts++;
    CHECK(raft_new(&cfg, &n->raft) == 0);
    n->up = true;
    n->emitted = n->disk.applied;
    memset(&n->seen, 0, sizeof(n->seen));
    n->disk.durable = 0;
    event.start.hard_state = n->disk.hard_state;
    event.start.base = n->disk.base;
    event.start.entries = n->disk.entries;
    event.start.entry_count = n->disk.entry_count;
    event.start.applied = n->disk.applied;
    event.start.installed = n->disk.installed;
    (void)rig_step(r, id, &event);
}

void rig_create(struct rig *r, unsigned id, const struct raft_conf *bootstrap)
{
    struct raft_start extra = { .bootstrap = bootstrap };

    CHECK(id >= 1 && id <= RIG_NODES_MAX && !r->nodes[id].created);
    r->nodes[id].created = true;
    r->node_count = id > r->node_count ? id : r->node_count;
    rig_start(r, id, &extra);
}

void rig_crash(struct rig *r, unsigned id)
{
    struct rig_node *n = &r->nodes[id];
    size_t kept = 0;

    /* What waited for a write that is lost now was never sent. */
    for (size_t i = 0; i < r->queue_count; i++) {
        if (r->queue[i].from == id && r->queue[i].after > n->disk.durable)
            free(r->queue[i].bytes);
        else
            r->queue[kept++] = r->queue[i];
    }
    r->queue_count = kept;
    for (size_t i = 0; i < r->queue_count; i++)
        if (r->queue[i].from == id)
            r->queue[i].after = 0;
    drop_held(n);
    raft_free(n->raft);
    n->raft = NULL;
    n->up = false;
}

/* --- network and time */

static void deliver_one(struct rig *r, const struct rig_message *q, bool drop)
{
    static struct raft_entry entries[RAFT_MESSAGE_ENTRIES_MAX];
    struct raft_event event = { .type = RAFT_MESSAGE };
    bool lost = drop || q->to > RIG_NODES_MAX || !r->nodes[q->to].up || r->cut[q->from][q->to];

    CHECK(raft_message_decode(slice_of(q->bytes, q->len), entries, &event.message) == 0);
    print_message(r, lost ? "lost: " : "", &event.message);
    if (!lost)
        (void)rig_step(r, q->to, &event);
}

size_t rig_deliver(struct rig *r, unsigned from, unsigned to, int type, size_t limit, bool drop)
{
    size_t done = 0;

    for (size_t i = 0; i < r->queue_count && done < limit;) {
        struct rig_message q = r->queue[i];

        if ((from != 0 && q.from != from) || (to != 0 && q.to != to) ||
            (type != 0 && (int)q.type != type) || q.after > r->nodes[q.from].disk.durable) {
            i++;
            continue;
        }
        r->queue_count--;
        memmove(&r->queue[i], &r->queue[i + 1], (r->queue_count - i) * sizeof(r->queue[0]));
        deliver_one(r, &q, drop);
        free(q.bytes);
        done++;
    }
    return done;
}

void rig_timeout(struct rig *r, unsigned id)
{
    struct rig_node *n = &r->nodes[id];

    if (n->deadline != MONO_NEVER && n->deadline > r->now)
        n->skew += n->deadline - r->now;
    (void)rig_step(r, id, &(struct raft_event){ .type = RAFT_TIMEOUT });
}

void rig_advance(struct rig *r, mono_ns by)
{
    mono_ns until = r->now + by;

    for (;;) {
        unsigned next = 0;

        for (unsigned id = 1; id <= r->node_count; id++)
            if (r->nodes[id].up && r->nodes[id].deadline <= until &&
                (next == 0 || r->nodes[id].deadline < r->nodes[next].deadline))
                next = id;
        if (next == 0)
            break;
        if (r->nodes[next].deadline > r->now)
            r->now = r->nodes[next].deadline;
        (void)rig_step(r, next, &(struct raft_event){ .type = RAFT_TIMEOUT });
        (void)rig_deliver(r, 0, 0, 0, RIG_MESSAGES_MAX, false);
    }
    r->now = until;
}
