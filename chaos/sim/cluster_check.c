/* chaos/sim/cluster_check.c - What must hold at every moment.
 *
 * Raft by what leaves each manager: one leader per term and one vote per member and term
 * ([Raft] Fig. 3, election safety), equal entries at equal index and term (log matching). Stores by
 * their whole content at equal index (state machine safety). Tasks by each change. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chaos/sim/cluster_sim.h"
#include "raft/raft_msg.h"

enum { TERMS_MAX = 4096, ENTRIES_MAX = 1 << 16 };

struct vote {
    raft_node_id voter, candidate;
    raft_term term;
};

struct seen_entry {
    raft_term term;
    uint64_t hash;
};

struct checks {
    raft_node_id leaders[TERMS_MAX];
    struct vote *votes;
    size_t vote_count, vote_cap;
    struct seen_entry entries[ENTRIES_MAX];
    uint64_t stores[ENTRIES_MAX]; /* hash of the store at this index; 0 = not seen yet */
    struct raft_entry *scratch;
    struct buf snapshot;
};

void checks_init(struct world *w)
{
    w->checks = calloc(1, sizeof(*w->checks));
    CHECK(w->checks != NULL);
    w->checks->scratch = calloc(RAFT_MESSAGE_ENTRIES_MAX, sizeof(*w->checks->scratch));
    CHECK(w->checks->scratch != NULL);
    buf_init(&w->checks->snapshot, 64 * MIB);
}

void checks_deinit(struct world *w)
{
    free(w->checks->votes);
    free(w->checks->scratch);
    buf_deinit(&w->checks->snapshot);
    free(w->checks);
}

/* --- Raft */

static void note_leader(struct world *w, const struct raft_message *m)
{
    raft_node_id *leader = &w->checks->leaders[m->term % TERMS_MAX];

    if (*leader == 0)
        w->result.elections++;
    if (*leader != 0 && *leader != m->from)
        world_fail(w, "two leaders in term %llu", (unsigned long long)m->term);
    *leader = m->from;
}

static void note_entries(struct world *w, const struct raft_append *a)
{
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct raft_entry *e = &a->entries[i];
        struct seen_entry *seen = &w->checks->entries[e->id.index % ENTRIES_MAX];
        uint64_t hash = sim_hash((uint64_t)e->type + 1, e->data);

        if (seen->term == e->id.term && seen->hash != hash)
            world_fail(w, "two entries at index %llu of term %llu", (unsigned long long)e->id.index,
                       (unsigned long long)e->id.term);
        if (seen->term < e->id.term)
            *seen = (struct seen_entry){ e->id.term, hash };
    }
}

static void note_vote(struct world *w, const struct raft_message *m)
{
    struct checks *c = w->checks;

    for (size_t i = 0; i < c->vote_count; i++) {
        const struct vote *v = &c->votes[i];

        if (v->voter != m->from || v->term != m->term)
            continue;
        if (v->candidate != m->to)
            world_fail(w, "a member votes twice in term %llu", (unsigned long long)m->term);
        return;
    }
    if (c->vote_count == c->vote_cap) {
        c->vote_cap = 2 * c->vote_cap + 64;
        c->votes = realloc(c->votes, c->vote_cap * sizeof(*c->votes));
        CHECK(c->votes != NULL);
    }
    c->votes[c->vote_count++] = (struct vote){ m->from, m->to, m->term };
}

void check_raft_message(struct world *w, unsigned from, unsigned to, struct slice bytes)
{
    struct slice message =
        slice_of(bytes.ptr + sizeof(raft_node_id), bytes.len - sizeof(raft_node_id));
    struct raft_message m;

    sim_trace_number(&w->trace, (uint64_t)from << 40 | (uint64_t)to << 32 | bytes.len);
    if (bytes.len < sizeof(raft_node_id) ||
        raft_message_decode(message, w->checks->scratch, &m) < 0) {
        world_fail(w, "%u: a raft message of ours does not decode", from);
        return;
    }
    if (m.type == RAFT_APPEND || m.type == RAFT_HEARTBEAT || m.type == RAFT_SNAPSHOT_OFFER)
        note_leader(w, &m);
    if (m.type == RAFT_APPEND)
        note_entries(w, &m.append);
    if (m.type == RAFT_VOTE_RES && m.vote_res.granted && !m.vote_res.pre)
        note_vote(w, &m);
}

/* --- Stores */

static void compare_store(struct daemon *d)
{
    struct world *w = d->world;
    const struct store *s = manager_store(d->manager);
    uint64_t index = store_applied(s), hash;
    uint64_t *seen = &w->checks->stores[index % ENTRIES_MAX];

    buf_clear(&w->checks->snapshot);
    CHECK(store_snapshot(s, &w->checks->snapshot) == 0);
    hash = sim_hash(index, buf_slice(&w->checks->snapshot)) | 1;
    sim_trace_number(&w->trace, hash);
    if (*seen == 0)
        w->result.entries++;
    else if (*seen != hash)
        world_fail(w, "%u: its store differs from another manager's at entry %llu",
                   d->computer->index, (unsigned long long)index);
    *seen = hash;
}

static void check_task(struct world *w, const struct task *before, const struct task *after)
{
    if (after->status.state < before->status.state)
        world_fail(w, "task %.6s goes back from %s to %s", after->id.text,
                   enum_text(&task_state_names, (int)before->status.state),
                   enum_text(&task_state_names, (int)after->status.state));
    if (after->desired_state < before->desired_state)
        world_fail(w, "task %.6s: its desired state goes back", after->id.text);
    if (!id_is_none(&before->node_id) && !id_equal(&before->node_id, &after->node_id))
        world_fail(w, "task %.6s moves to another node", after->id.text);
    if (before->slot != after->slot || !id_equal(&before->service_id, &after->service_id))
        world_fail(w, "task %.6s changes its slot or service", after->id.text);
}

static void trace_change(struct daemon *d, const struct store_change *c)
{
    struct world *w = d->world;

    if (w->trace.text == NULL || c->after == NULL)
        return;
    if (c->kind == OBJECT_TASK) {
        const struct task *t = (const struct task *)(const void *)c->after;
        struct computer *at = computer_by_id(w, &t->node_id);

        sim_trace_line(
            &w->trace, w->clock.now, "   task %.6s %s.%llu on %d: %s, wanted %s%s%s", t->id.text,
            t->service_name, (unsigned long long)t->slot, at == NULL ? -1 : (int)at->index,
            enum_text(&task_state_names, (int)t->status.state),
            enum_text(&task_state_names, (int)t->desired_state), t->status.err == NULL ? "" : ": ",
            t->status.err == NULL ? "" : t->status.err);
    } else if (c->kind == OBJECT_NODE) {
        const struct node *n = (const struct node *)(const void *)c->after;
        struct computer *at = computer_by_id(w, &n->id);

        sim_trace_line(&w->trace, w->clock.now, "   node %d: %s, %s, %s",
                       at == NULL ? -1 : (int)at->index,
                       enum_text(&node_state_names, (int)n->status.state),
                       enum_text(&availability_names, (int)n->spec.availability),
                       enum_text(&node_role_names, (int)n->spec.role));
    }
}

void check_changes(struct daemon *d, const struct store_changes *changes)
{
    struct world *w = d->world;
    uint64_t index;

    if (d->loop.dead || d->manager == NULL)
        return;
    index = store_applied(manager_store(d->manager));
    if (w->checks->stores[index % ENTRIES_MAX] == 0)
        for (size_t i = 0; i < changes->count; i++) {
            const struct store_change *c = &changes->items[i];

            trace_change(d, c);
            if (c->kind == OBJECT_TASK && c->before != NULL && c->after != NULL)
                check_task(w, (const struct task *)(const void *)c->before,
                           (const struct task *)(const void *)c->after);
        }
    compare_store(d);
}

void check_reset(struct daemon *d)
{
    if (!d->loop.dead && d->manager != NULL)
        compare_store(d);
}

/* --- Addresses: of tasks that are not over, on one network */

static void check_address(struct world *w, const struct store *s, const struct task *t,
                          const struct attachment *a)
{
    struct store_iter it;

    STORE_EACH(&it, s, OBJECT_TASK, struct task, other)
    {
        if (id_cmp(&other->id, &t->id) <= 0 || task_state_is_terminal(other->status.state))
            continue;
        for (size_t i = 0; i < other->attachments.count; i++) {
            const struct attachment *b = &other->attachments.items[i];

            if (id_equal(&a->network_id, &b->network_id) && a->addr != NULL && b->addr != NULL &&
                strcmp(a->addr, b->addr) == 0)
                world_fail(w, "tasks %.6s and %.6s have the same address %s", t->id.text,
                           other->id.text, a->addr);
        }
    }
}

void check_periodically(struct world *w)
{
    struct daemon *leader = leading_daemon(w);
    const struct store *s = leader == NULL ? NULL : manager_store(leader->manager);
    struct store_iter it;

    if (s == NULL)
        return;
    STORE_EACH(&it, s, OBJECT_TASK, struct task, t)
    for (size_t i = 0; i < t->attachments.count && !task_state_is_terminal(t->status.state); i++)
        check_address(w, s, t, &t->attachments.items[i]);
}
