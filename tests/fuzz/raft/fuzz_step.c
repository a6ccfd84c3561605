/* tests/fuzz/raft/fuzz_step.c - Bytes as a life of one node among liars.
 *
 * Peers may say anything in any order, also what no correct node would say: two leaders in one
 * term, entries that contradict each other, snapshots of any index. The host is honest. Nothing may
 * reach a CHECK, read out of bounds or leak; what the node writes must stay a log. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "raft/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

struct life {
    struct input in;
    struct raft *r;
    mono_ns now;
    raft_index emitted, applied;
    bool installing, creating;
    uint8_t install_hash[RAFT_HASH_LEN];
    uint8_t staged_hash[RAFT_HASH_LEN];
    bool staging;
    unsigned reads; /* chunk reads owed */
};

static uint64_t take(struct input *in, uint64_t limit)
{
    uint64_t v = 0;

    if (in->left == 0)
        return 0;
    v = *in->at++;
    in->left--;
    return v % limit;
}

static void obey(struct life *f, const struct raft_output *out)
{
    for (size_t i = 0; i < out->committed_count; i++) {
        CHECK(out->committed[i].id.index == f->emitted + 1);
        f->emitted++;
    }
    for (size_t i = 0; i < out->write_count; i++) {
        const struct raft_write_op *w = &out->writes[i];

        CHECK(i == 0 || w->seq == out->writes[i - 1].seq + 1);
        for (size_t k = 1; w->type == RAFT_WRITE_APPEND && k < w->entry_count; k++)
            CHECK(w->entries[k].id.index == w->entries[k - 1].id.index + 1);
    }
    for (size_t i = 0; i < out->message_count; i++)
        CHECK(out->messages[i].after <= f->r->issued);
    for (size_t i = 0; i < out->snapshot_work_count; i++) {
        const struct raft_snapshot_work *w = &out->snapshot_work[i];

        if (w->type == RAFT_WORK_CREATE)
            f->creating = true;
        if (w->type == RAFT_WORK_READ)
            f->reads++;
        if (w->type == RAFT_WORK_STAGE) {
            f->staging = true;
            memcpy(f->staged_hash, w->snapshot.hash, RAFT_HASH_LEN);
        }
        if (w->type == RAFT_WORK_INSTALL) {
            CHECK(f->applied == f->emitted);
            f->installing = true;
            memcpy(f->install_hash, w->snapshot.hash, RAFT_HASH_LEN);
        }
    }
}

static int step(struct life *f, const struct raft_event *event)
{
    struct raft_output out;
    int rc = raft_step(f->r, event, f->now, &out);

    obey(f, &out);
    return rc;
}

/* A snapshot of index i consists of the byte i. */
static void hash_of(raft_index index, uint8_t hash[RAFT_HASH_LEN])
{
    uint8_t byte = (uint8_t)index;

    memset(hash, 0, RAFT_HASH_LEN);
    raft_snapshot_hash(hash, slice_of(&byte, 1));
}

static struct raft_entry_id take_id(struct input *in)
{
    struct raft_entry_id id = { .term = take(in, 8) };

    id.index = take(in, 16);
    return id;
}

static size_t take_conf(struct input *in, uint8_t *buf)
{
    static struct raft_conf c;

    memset(&c, 0, sizeof(c));
    c.epoch = 1 + take(in, 40) / 39;
    c.joint = take(in, 3) == 0;
    c.member_count = (uint32_t)(1 + take(in, 4));
    for (uint32_t i = 0; i < c.member_count; i++)
        c.members[i] = (struct raft_member){ .id = i + 1, .flags = (uint32_t)take(in, 16) };
    return raft_conf_encode(&c, buf);
}

static void take_entries(struct life *f, struct raft_append *a, struct raft_entry *entries,
                         uint8_t *conf)
{
    struct raft_entry_id prev = a->prev;
    size_t len = take_conf(&f->in, conf);

    a->entries = entries;
    a->entry_count = (size_t)take(&f->in, 5);
    for (size_t i = 0; i < a->entry_count; i++) {
        entries[i] = (struct raft_entry){ .type = (enum raft_entry_type)take(&f->in, 4) };
        entries[i].id = (struct raft_entry_id){ prev.term + take(&f->in, 6) / 5, prev.index + 1 };
        if (entries[i].type == RAFT_ENTRY_CONF)
            entries[i].data = slice_of(conf, len);
        prev = entries[i].id;
    }
}

static void run_message(struct life *f)
{
    static struct raft_entry entries[8];
    static uint8_t conf[RAFT_CONF_LEN_MAX];
    static uint8_t byte;
    struct raft_event event = { .type = RAFT_MESSAGE };
    struct raft_message *m = &event.message;
    struct input *in = &f->in;

    m->type = (enum raft_message_type)(1 + take(in, 14));
    m->cluster = take(in, 30) == 29 ? 8 : 7;
    m->epoch = take(in, 4) == 0 ? 0 : 1;
    m->from = 1 + take(in, 6);
    m->to = 1;
    m->term = take(in, 8);
    switch (m->type) {
    case RAFT_VOTE_REQ:
        m->vote = (struct raft_vote_req){ take(in, 2) == 0, take(in, 3) == 0, take_id(in) };
        break;
    case RAFT_VOTE_RES:
        m->vote_res = (struct raft_vote_res){ take(in, 2) == 0, take(in, 3) != 0 };
        break;
    case RAFT_APPEND:
        m->append = (struct raft_append){ .prev = take_id(in), .commit = take(in, 16) };
        m->append.read_round = take(in, 4);
        take_entries(f, &m->append, entries, conf);
        break;
    case RAFT_APPEND_RES:
        m->append_res = (struct raft_append_res){ take(in, 3) == 0, take(in, 6) == 0, take(in, 16),
                                                  take_id(in), take(in, 4) };
        break;
    case RAFT_HEARTBEAT:
        m->heartbeat = (struct raft_heartbeat){ take(in, 16), take(in, 4), take(in, 3) == 0 };
        break;
    case RAFT_HEARTBEAT_RES:
        m->heartbeat_res = (struct raft_heartbeat_res){ take(in, 4), take(in, 4) == 0 };
        break;
    case RAFT_READ_REQ:
        m->read.id = take(in, 9);
        break;
    case RAFT_READ_RES:
        m->read_res = (struct raft_read_res){ f->r->read_request + take(in, 2), take(in, 3) == 0,
                                              take(in, 20) };
        break;
    case RAFT_SNAPSHOT_OFFER:
        m->offer.snapshot.base.last = take_id(in);
        m->offer.snapshot.base.conf = slice_of(conf, take_conf(in, conf));
        m->offer.snapshot.size = take(in, 8) == 0 ? 3 * (uint64_t)RAFT_CHUNK_LEN : 1;
        hash_of(m->offer.snapshot.base.last.index, m->offer.snapshot.hash);
        break;
    case RAFT_SNAPSHOT_REQ:
        hash_of(take(in, 16), m->chunk.hash);
        m->chunk.offset = take(in, 2) * RAFT_CHUNK_LEN;
        break;
    case RAFT_SNAPSHOT_RES:
        byte = (uint8_t)take(in, 16);
        hash_of(byte, m->chunk_res.hash);
        m->chunk_res.data = slice_of(&byte, 1);
        m->chunk_res.missing = take(in, 6) == 0;
        break;
    case RAFT_REFUSED:
        m->refused.reason = RAFT_REFUSED_REMOVED;
        break;
    case RAFT_TIMEOUT_NOW:
        break;
    }
    (void)step(f, &event);
}

static void run_host(struct life *f)
{
    struct raft_event event = { .type = RAFT_APPLIED };
    struct input *in = &f->in;

    switch (take(in, 8)) {
    case 0:
        f->applied += take(in, f->emitted - f->applied + 1);
        event.applied.index = event.applied.durable = f->applied;
        break;
    case 1:
        event.type = RAFT_PERSISTED;
        event.persisted = f->r->persisted + take(in, f->r->issued - f->r->persisted + 1);
        break;
    case 2:
        if (!f->creating)
            return;
        f->creating = false;
        event.type = RAFT_SNAPSHOT_READY;
        event.snapshot_ready.base.last.index = f->applied;
        if (!log_term(&f->r->log, f->applied, &event.snapshot_ready.base.last.term))
            return;
        event.snapshot_ready.size = 1;
        hash_of(f->applied, event.snapshot_ready.hash);
        break;
    case 3:
        if (f->reads == 0)
            return;
        f->reads--;
        event.type = RAFT_SNAPSHOT_CHUNK;
        event.snapshot_chunk.to = 2;
        event.snapshot_chunk.data = slice_of("x", take(in, 2));
        break;
    case 4:
        if (!f->staging)
            return;
        f->staging = false;
        event.type = RAFT_SNAPSHOT_STAGED;
        memcpy(event.snapshot_staged.hash, f->staged_hash, RAFT_HASH_LEN);
        break;
    case 5:
        if (!f->installing)
            return;
        f->installing = false;
        event.type = RAFT_SNAPSHOT_INSTALLED;
        memcpy(event.snapshot_installed.hash, f->install_hash, RAFT_HASH_LEN);
        if (step(f, &event) == 0)
            f->applied = f->emitted = f->r->applied_index;
        return;
    case 6:
        event.type = RAFT_SNAPSHOT_FAILED;
        event.snapshot_failed = take(in, 2) == 0 ? RAFT_WORK_CREATE : RAFT_WORK_STAGE;
        f->installing = f->installing && event.snapshot_failed == RAFT_WORK_CREATE;
        break;
    default:
        event.type = RAFT_TIMEOUT;
        f->now += take(in, 16) * 50 * NS_PER_MS;
        break;
    }
    (void)step(f, &event);
}

static void run_client(struct life *f)
{
    struct raft_proposal p = { .type = RAFT_ENTRY_DATA, .data = slice_of("abc", 3) };
    struct raft_conf_op op;
    struct raft_event event = { .type = RAFT_PROPOSE };
    struct input *in = &f->in;

    switch (take(in, 7)) {
    case 0:
        event.type = RAFT_READ;
        break;
    case 1:
        event.type = RAFT_CHANGE_CONF;
        op = (struct raft_conf_op){ (enum raft_conf_op_type)take(in, 5), 1 + take(in, 6), { 0 } };
        event.change.ops = &op;
        event.change.count = 1;
        event.change.force = take(in, 2) == 0;
        break;
    case 2:
        event.type = RAFT_TRANSFER;
        event.transfer = take(in, 5);
        break;
    case 3:
        event.type = take(in, 20) == 0 ? RAFT_STOP : RAFT_FORGET_LEADER;
        break;
    case 4:
        event.type = RAFT_UNREACHABLE;
        event.unreachable = take(in, 5);
        break;
    default:
        event.propose.proposals = &p;
        event.propose.count = 1;
        break;
    }
    (void)step(f, &event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct life f = { .in = { data, size }, .now = NS_PER_S };
    struct raft_config cfg = { .id = 1, .cluster = 7, .seed = 5, .inflight_max = 2 };
    struct raft_event event = { .type = RAFT_START };
    static struct raft_conf conf;

    cfg.append_bytes_max = 200;
    cfg.compact_count = 2;
    cfg.keep_count = 1;
    cfg.apply_bytes_max = 300;
    conf.epoch = 1;
    conf.member_count = (uint32_t)(1 + take(&f.in, 3));
    for (uint32_t i = 0; i < conf.member_count; i++)
        conf.members[i] = (struct raft_member){ .id = i + 1, .flags = RAFT_VOTER };
    CHECK(raft_new(&cfg, &f.r) == 0);
    event.start.bootstrap = &conf;
    CHECK(step(&f, &event) == 0);
    for (unsigned steps = 0; f.in.left > 0 && steps < 2000; steps++) {
        switch (take(&f.in, 8)) {
        case 0:
        case 1:
        case 2:
            run_host(&f);
            break;
        case 3:
            run_client(&f);
            break;
        default:
            run_message(&f);
            break;
        }
    }
    raft_free(f.r);
    return 0;
}
