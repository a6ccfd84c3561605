/* tests/unit/raft/test_exhaustive.c - All that three nodes can do, within small bounds.
 *
 * Breadth-first search over the real core: a state is three nodes and the messages under way; from
 * it follow every delivery, repetition, time-out, proposal and crash that the bounds allow. Loss
 * needs no step: what is never delivered is lost. States that differ only in clocks are one. A
 * level wider than the limit is thinned out, so the search is complete down to some depth and a
 * sample below it, deep enough for what is known of real bugs: 8 to 41 steps (Tang et al.,
 * "SandTable", EuroSys 2024).
 *
 *     EXHAUSTIVE_WIDTH=n   states kept per level; the default takes a few seconds */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <malloc.h>

#include "base/attr.h"
#include "base/check.h"
#include "raft/core.h"

enum { NODES = 3, PACKETS_MAX = 10, TERMS_MAX = 6, INDEX_MAX = 8 };
enum { TIMEOUTS_MAX = 4, PROPOSALS_MAX = 1, CRASHES_MAX = 1, REPEATS_MAX = 1, DEPTH_MAX = 26 };

/* One node as it is at some point; shared by all states in which it is so. */
struct version {
    unsigned refs;
    struct raft *r;
    mono_ns now;
    uint64_t hash;
};

struct packet {
    unsigned refs;
    uint64_t hash;
    size_t len;
    uint8_t bytes[];
};

struct state {
    struct version *nodes[NODES];
    struct packet *packets[PACKETS_MAX];
    size_t packet_count;
    uint8_t timeouts, proposals, crashes, repeats;
    uint8_t leaders[TERMS_MAX];   /* by term; 0 = none yet */
    uint8_t committed[INDEX_MAX]; /* term of the committed entry, by index; 0 = not known */
    raft_index committed_last;
    uint8_t committed_in; /* term in which the last of them was */
};

/* --- nodes that can be copied */

static void *copy_bytes(const void *from, size_t len)
{
    void *to = malloc(len + 1);

    CHECK(to != NULL);
    if (len > 0)
        memcpy(to, from, len);
    return to;
}

static struct slice copy_slice(struct slice s)
{
    return s.len == 0 ? slice_of(NULL, 0) : slice_of(copy_bytes(s.ptr, s.len), s.len);
}

/* Everything that a raft owns, but for its scratch memory. There are no snapshots here. */
static struct raft *clone_raft(const struct raft *r)
{
    struct raft *c = malloc(sizeof(*c));

    CHECK(c != NULL);
    memcpy(c, r, offsetof(struct raft, out));
    memset(&c->out, 0, offsetof(struct outbox, writes));
    c->out.retired_count = 0;
    c->log.entries = copy_bytes(r->log.entries, r->log.cap * sizeof(*r->log.entries));
    for (size_t i = r->log.start; i < r->log.start + r->log.count; i++)
        c->log.entries[i].data = copy_slice(r->log.entries[i].data);
    c->log.staged = NULL;
    c->log.staged_cap = 0;
    c->log.base.conf = copy_slice(r->log.base.conf);
    c->confs = copy_bytes(r->confs, r->conf_cap * sizeof(*r->confs));
    for (size_t i = 0; i < r->conf_count; i++)
        c->confs[i].conf = copy_bytes(r->confs[i].conf, sizeof(*r->confs[i].conf));
    c->spare_confs = NULL;
    c->spare_count = c->spare_cap = 0;
    c->conf_bytes = c->base_bytes = NULL;
    return c;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h ^= v + UINT64_C(0x9e3779b97f4a7c15) + (h << 6) + (h >> 2);
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ (h >> 27);
}

/* What makes a node behave differently; of its clock only what is compared with a limit. */
static uint64_t hash_node(const struct version *v)
{
    const struct raft *r = v->r;
    uint64_t h = mix(r->cfg.id, r->role);

    h = mix(mix(mix(mix(h, r->term), r->vote), r->leader), r->commit_index);
    h = mix(h, r->log.stable);
    for (raft_index i = r->log.base.last.index + 1; i <= log_last(&r->log).index; i++)
        h = mix(h, log_at(&r->log, i)->id.term << 8 | log_at(&r->log, i)->type);
    h = mix(h, r->leader != 0 && r->role != RAFT_LEADER &&
                   r->now - r->leader_heard_at < r->cfg.election_timeout_ns);
    if (r->role == RAFT_CANDIDATE || r->role == RAFT_PRE_CANDIDATE)
        for (size_t i = 0; i < r->ballot_count; i++)
            h += mix(r->ballots[i].id, r->ballots[i].ballot); /* in any order */
    if (r->role != RAFT_LEADER)
        return h;
    for (size_t i = 0; i < r->peer_count; i++) {
        const struct progress *p = &r->peers[i];

        h = mix(mix(mix(h, p->match), p->next), p->flow);
        h = mix(h, (uint64_t)p->paused | (uint64_t)p->stalled << 1 | (uint64_t)p->unfit << 2);
        h = mix(h, (r->now - p->heard_at) / r->cfg.heartbeat_ns);
    }
    return h;
}

static struct version *new_version(struct raft *r, mono_ns now)
{
    struct version *v = malloc(sizeof(*v));

    CHECK(v != NULL);
    *v = (struct version){ .refs = 1, .r = r, .now = now };
    return v;
}

static void drop_version(struct version *v)
{
    if (--v->refs > 0)
        return;
    raft_free(v->r);
    free(v);
}

/* --- states */

static struct state *clone_state(const struct state *s)
{
    struct state *c = malloc(sizeof(*c));

    CHECK(c != NULL);
    *c = *s;
    for (int i = 0; i < NODES; i++)
        c->nodes[i]->refs++;
    for (size_t i = 0; i < c->packet_count; i++)
        c->packets[i]->refs++;
    return c;
}

static void drop_packet(struct packet *p)
{
    if (--p->refs == 0)
        free(p);
}

static void free_state(struct state *s)
{
    for (int i = 0; i < NODES; i++)
        drop_version(s->nodes[i]);
    for (size_t i = 0; i < s->packet_count; i++)
        drop_packet(s->packets[i]);
    free(s);
}

static uint64_t hash_state(const struct state *s)
{
    uint64_t h =
        mix(s->timeouts, (uint64_t)s->proposals << 16 | (uint64_t)s->crashes << 8 | s->repeats);
    uint64_t packets = 0;

    for (int i = 0; i < NODES; i++)
        h = mix(h, s->nodes[i]->hash);
    for (size_t i = 0; i < s->packet_count; i++)
        packets += mix(1, s->packets[i]->hash); /* a set: their order means nothing */
    return mix(h, packets);
}

static void add_packet(struct state *s, const struct raft_message *m)
{
    size_t cap = raft_message_encoded_max(m);
    struct packet *p = malloc(sizeof(*p) + cap);
    uint64_t h = 0;

    CHECK(p != NULL);
    p->refs = 1;
    p->len = (size_t)raft_message_encode(m, p->bytes, cap);
    for (size_t i = 0; i < p->len; i++)
        h = mix(h, p->bytes[i]);
    p->hash = h;
    for (size_t i = 0; i < s->packet_count; i++)
        if (s->packets[i]->hash == h) { /* under way already */
            free(p);
            return;
        }
    if (s->packet_count == PACKETS_MAX) { /* the oldest is lost */
        drop_packet(s->packets[0]);
        s->packet_count--;
        memmove(s->packets, s->packets + 1, s->packet_count * sizeof(s->packets[0]));
    }
    s->packets[s->packet_count++] = p;
}

/* --- rules: [Raft] Figure 3 */

static void check_rules(struct state *s, const struct raft *r, enum raft_role role_before)
{
    if (r->role == RAFT_LEADER && role_before != RAFT_LEADER) {
        raft_term term;

        CHECK(r->term < TERMS_MAX);
        CHECK(s->leaders[r->term] == 0 || s->leaders[r->term] == r->cfg.id); /* election safety */
        s->leaders[r->term] = (uint8_t)r->cfg.id;
        if (s->committed_last > 0 && r->term > s->committed_in) { /* leader completeness */
            CHECK(log_term(&r->log, s->committed_last, &term));
            CHECK(term == s->committed[s->committed_last]);
        }
    }
    for (raft_index i = 1; i <= r->commit_index; i++) { /* state machine safety */
        CHECK(i < INDEX_MAX);
        CHECK(s->committed[i] == 0 || s->committed[i] == log_at(&r->log, i)->id.term);
        s->committed[i] = (uint8_t)log_at(&r->log, i)->id.term;
        if (i > s->committed_last) {
            s->committed_last = i;
            s->committed_in = (uint8_t)r->term;
        }
    }
    for (int k = 0; k < NODES; k++) { /* log matching */
        const struct raft *other = s->nodes[k]->r;
        raft_index i = MIN(log_last(&r->log).index, log_last(&other->log).index);

        while (i > 0 && log_at(&r->log, i)->id.term != log_at(&other->log, i)->id.term)
            i--;
        for (; i > 0; i--)
            CHECK(log_at(&r->log, i)->id.term == log_at(&other->log, i)->id.term);
    }
}

/* --- steps */

/* Steps node `i` of `s`, carries out what it asks for, and checks everything. */
static void step(struct state *s, int i, const struct raft_event *event)
{
    struct version *v = s->nodes[i];
    enum raft_role role_before = v->r->role;
    struct raft_event done = { .type = RAFT_PERSISTED };
    struct raft_output out;

    for (int round = 0; round < 2; round++) {
        int rc = raft_step(v->r, round == 0 ? event : &done, v->now, &out);

        CHECK(rc != -ENOMEM); /* any other refusal is an answer */
        for (size_t k = 0; k < out.message_count; k++)
            add_packet(s, &out.messages[k]);
        if (round == 0 && out.write_count == 0)
            break;
        done.persisted = v->r->issued;
    }
    check_rules(s, v->r, role_before);
}

/* The node of `s` to change, in a version of its own. */
static struct version *own_version(struct state *s, int i)
{
    struct version *v = new_version(clone_raft(s->nodes[i]->r), s->nodes[i]->now);

    drop_version(s->nodes[i]);
    s->nodes[i] = v;
    return v;
}

static mono_ns deadline_of(const struct raft *r)
{
    return r->role == RAFT_LEADER ? MIN(r->heartbeat_at, quorum_lapses_at(r))
                                  : r->election_deadline;
}

static struct state *after_timeout(const struct state *s, int i)
{
    struct state *c;
    struct version *v;

    if (s->timeouts == TIMEOUTS_MAX || s->nodes[i]->r->term + 2 >= TERMS_MAX)
        return NULL;
    c = clone_state(s);
    c->timeouts++;
    v = own_version(c, i);
    v->now = MAX(v->now, deadline_of(v->r));
    step(c, i, &(struct raft_event){ .type = RAFT_TIMEOUT });
    return c;
}

static struct state *after_delivery(const struct state *s, size_t at, bool again)
{
    static struct raft_entry entries[RAFT_MESSAGE_ENTRIES_MAX];
    struct raft_event event = { .type = RAFT_MESSAGE };
    struct state *c;
    struct packet *p;
    int to;

    if (again && s->repeats == REPEATS_MAX)
        return NULL;
    c = clone_state(s);
    c->repeats = (uint8_t)(c->repeats + again);
    p = c->packets[at];
    if (!again) {
        c->packet_count--;
        memmove(&c->packets[at], &c->packets[at + 1],
                (c->packet_count - at) * sizeof(c->packets[0]));
    } else {
        p->refs++;
    }
    CHECK(raft_message_decode(slice_of(p->bytes, p->len), entries, &event.message) == 0);
    to = (int)event.message.to - 1;
    (void)own_version(c, to);
    step(c, to, &event);
    drop_packet(p);
    return c;
}

static struct state *after_proposal(const struct state *s, int i)
{
    struct raft_proposal p = { .type = RAFT_ENTRY_DATA };
    struct raft_event event = { .type = RAFT_PROPOSE };
    struct state *c;

    if (s->proposals == PROPOSALS_MAX || s->nodes[i]->r->role != RAFT_LEADER)
        return NULL;
    c = clone_state(s);
    c->proposals++;
    (void)own_version(c, i);
    event.propose.proposals = &p;
    event.propose.count = 1;
    step(c, i, &event);
    return c;
}

static struct raft *new_node(raft_node_id id)
{
    struct raft_config cfg = { .id = id, .cluster = 7, .seed = id };
    struct raft *r;

    CHECK(raft_new(&cfg, &r) == 0);
    return r;
}

/* Dies and starts again from what it wrote. */
static struct state *after_crash(const struct state *s, int i)
{
    const struct raft *old = s->nodes[i]->r;
    struct raft_event event = { .type = RAFT_START };
    struct version *v;
    struct state *c;

    if (s->crashes == CRASHES_MAX || old->term == 0)
        return NULL;
    c = clone_state(s);
    c->crashes++;
    event.start.hard_state = (struct raft_hard_state){ old->term, old->vote, 0 };
    event.start.base = old->log.base;
    event.start.entries = old->log.entries + old->log.start;
    event.start.entry_count = old->log.count;
    v = new_version(new_node(old->cfg.id), s->nodes[i]->now);
    c->nodes[i]->refs++; /* what it starts from must live until it has copied it */
    drop_version(c->nodes[i]);
    drop_version(c->nodes[i]);
    c->nodes[i] = v;
    step(c, i, &event);
    return c;
}

static struct state *first_state(void)
{
    static struct raft_conf conf;
    struct state *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    conf.epoch = 1;
    conf.member_count = NODES;
    for (uint32_t i = 0; i < NODES; i++)
        conf.members[i] = (struct raft_member){ .id = i + 1, .flags = RAFT_VOTER };
    for (int i = 0; i < NODES; i++)
        s->nodes[i] = new_version(new_node((raft_node_id)i + 1), NS_PER_S);
    for (int i = 0; i < NODES; i++) {
        struct raft_event event = { .type = RAFT_START };

        event.start.bootstrap = &conf;
        step(s, i, &event);
        s->nodes[i]->hash = hash_node(s->nodes[i]);
    }
    return s;
}

/* --- search */

struct search {
    struct state **level, **next; /* the states of one depth, and of the one after it */
    size_t level_count, next_count, width;
    uint64_t *seen; /* hashes; open addressing, 0 = empty */
    size_t cap, visited;
    unsigned complete_depth;
    bool sampled; /* a level was wider than `width` */
    uint64_t edges;
};

static bool is_new(struct search *q, uint64_t hash)
{
    size_t i = (size_t)hash & (q->cap - 1);

    hash |= hash == 0;
    for (; q->seen[i] != 0; i = (i + 1) & (q->cap - 1))
        if (q->seen[i] == hash)
            return false;
    if (2 * q->visited >= q->cap) /* full: what is not remembered may be visited twice */
        return true;
    q->seen[i] = hash;
    q->visited++;
    return true;
}

/* A level that grows too wide keeps some of its states, by their hash: as good as chance, and the
 * same every time. */
static void offer(struct search *q, struct state *s)
{
    uint64_t hash;
    size_t slot;

    if (s == NULL)
        return;
    q->edges++;
    for (int i = 0; i < NODES; i++)
        if (s->nodes[i]->hash == 0)
            s->nodes[i]->hash = hash_node(s->nodes[i]);
    hash = hash_state(s);
    if (!is_new(q, hash)) {
        free_state(s);
        return;
    }
    if (q->next_count < q->width) {
        q->next[q->next_count++] = s;
        return;
    }
    q->sampled = true;
    slot = (size_t)mix(hash, 1) % (2 * q->width);
    if (slot < q->width) {
        free_state(q->next[slot]);
        q->next[slot] = s;
    } else {
        free_state(s);
    }
}

static void expand(struct search *q, const struct state *s)
{
    for (size_t i = 0; i < s->packet_count; i++) {
        offer(q, after_delivery(s, i, false));
        offer(q, after_delivery(s, i, true));
    }
    for (int i = 0; i < NODES; i++) {
        offer(q, after_timeout(s, i));
        offer(q, after_proposal(s, i));
        offer(q, after_crash(s, i));
    }
}

static void test_no_rule_breaks_within_the_bounds(void **state)
{
    const char *width = getenv("EXHAUSTIVE_WIDTH");
    struct search q = { .width = width == NULL ? 400 : strtoull(width, NULL, 10) };
    unsigned depth = 0;

    (void)state;
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 20); /* copies of nodes come and go by the million */
    for (q.cap = 1024; q.cap < 400 * q.width;)
        q.cap *= 2;
    q.seen = calloc(q.cap, sizeof(*q.seen));
    q.level = calloc(q.width, sizeof(struct state *));
    q.next = calloc(q.width, sizeof(struct state *));
    CHECK(q.seen != NULL && q.level != NULL && q.next != NULL);
    offer(&q, first_state());
    while (q.next_count > 0 && depth < DEPTH_MAX) {
        struct state **swap = q.level;

        q.level = q.next;
        q.level_count = q.next_count;
        q.next = swap;
        q.next_count = 0;
        depth++;
        if (!q.sampled)
            q.complete_depth = depth;
        for (size_t i = 0; i < q.level_count; i++) {
            expand(&q, q.level[i]);
            free_state(q.level[i]);
        }
    }
    for (size_t i = 0; i < q.next_count; i++)
        free_state(q.next[i]);
    print_message("  %zu states, %zu steps, depth %u, complete to depth %u\n", q.visited,
                  (size_t)q.edges, depth, q.complete_depth);
    free(q.seen);
    free(q.level);
    free(q.next);
    assert_true(q.complete_depth >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_rule_breaks_within_the_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
