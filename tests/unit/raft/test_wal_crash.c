/* Power loss after every single disk operation, against a model that is obviously right.
 *
 * The model keeps the whole state after each step of each write. Whatever the log recovers must be
 * one of those states, and none older than the last write that was reported durable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/units.h"
#include "support_wal.h"

#define LOG_MAX    64
#define STATES_MAX 4096

struct model_entry {
    raft_term term;
    uint32_t len;
};

struct model_state {
    raft_write write; /* whole once this write is durable */
    struct raft_hard_state hard;
    struct raft_entry_id base;
    char conf[8];
    raft_index last;
    struct model_entry entries[LOG_MAX]; /* of base.index + 1 and on */
};

struct model {
    struct model_state *states; /* since the last opening, oldest first */
    size_t count;
};

static struct model_state *newest(struct model *m)
{
    return &m->states[m->count - 1];
}

/* A copy of the newest state, to be changed by a step of write `write`. */
static struct model_state *step(struct model *m, raft_write write)
{
    assert_true(m->count < STATES_MAX);
    m->states[m->count] = m->states[m->count - 1];
    m->count++;
    newest(m)->write = write;
    return newest(m);
}

static void restart_model(struct model *m, const struct model_state *from)
{
    struct model_state s = *from;

    s.write = 0;
    m->states[0] = s;
    m->count = 1;
}

/* --- One random write to both. */

static void do_append(struct rig *r, struct model *m, struct prng *p)
{
    size_t room = LOG_MAX - (newest(m)->last - newest(m)->base.index);
    size_t count = prng_range(p, 1, 6);
    size_t len = prng_chance(p, 0.1) ? prng_below(p, 2000) : prng_below(p, 300);

    if (count > room || wal_room(r->wal) < count * (len + WAL_ENTRY_OVERHEAD))
        return;
    for (size_t i = 0; i < count; i++) {
        struct model_state *s = step(m, r->write + 1);

        s->entries[s->last - s->base.index] =
            (struct model_entry){ .term = r->term, .len = (uint32_t)len };
        s->last++;
    }
    assert_int_equal(rig_append(r, count, len), 0);
}

static void do_hard_state(struct rig *r, struct model *m, struct prng *p)
{
    struct model_state *s = step(m, r->write + 1);

    s->hard.term = MAX(s->hard.term, r->term);
    if (prng_chance(p, 0.4)) {
        s->hard.term++;
        s->hard.vote = prng_below(p, 4);
    }
    s->hard.commit = prng_range(p, s->hard.commit, s->last);
    assert_int_equal(rig_hard_state(r, s->hard.term, s->hard.vote, s->hard.commit), 0);
}

static void do_truncate(struct rig *r, struct model *m, struct prng *p)
{
    raft_index to =
        prng_range(p, MAX(newest(m)->hard.commit, newest(m)->base.index), newest(m)->last);

    step(m, r->write + 1)->last = to;
    assert_int_equal(rig_truncate(r, to), 0);
}

static void do_compact(struct rig *r, struct model *m, struct prng *p)
{
    struct model_state *s = newest(m);
    raft_index low = s->base.index, to = prng_range(p, low, MAX(low, s->hard.commit));
    size_t dropped = (size_t)(to - low);

    s = step(m, r->write + 1);
    s->base = (struct raft_entry_id){ .term = r->term, .index = to };
    s->conf[0] = (char)('a' + prng_below(p, 26));
    memmove(s->entries, s->entries + dropped, (LOG_MAX - dropped) * sizeof(s->entries[0]));
    assert_int_equal(rig_compact(r, to, s->conf), 0);
}

static void do_reset(struct rig *r, struct model *m, struct prng *p)
{
    struct model_state *s = step(m, r->write + 1);

    s->base.index = s->hard.commit + prng_range(p, 1, 200);
    s->base.term = r->term;
    s->last = s->hard.commit = s->base.index;
    s->conf[0] = 'r';
    assert_int_equal(rig_reset(r, s->base.index, r->term, s->conf), 0);
    s = step(m, r->write + 1);
    s->hard.term = MAX(s->hard.term, r->term);
    assert_int_equal(rig_hard_state(r, s->hard.term, s->hard.vote, s->hard.commit), 0);
}

static void random_write(struct rig *r, struct model *m, struct prng *p)
{
    uint64_t draw = prng_below(p, 100);

    if (draw < 60)
        do_append(r, m, p);
    else if (draw < 80)
        do_hard_state(r, m, p);
    else if (draw < 90)
        do_truncate(r, m, p);
    else if (draw < 98)
        do_compact(r, m, p);
    else
        do_reset(r, m, p);
}

/* --- Comparing. */

static bool equals(const struct wal_recovery *f, const struct model_state *s)
{
    if (f->hard_state.term != s->hard.term || f->hard_state.vote != s->hard.vote ||
        f->hard_state.commit != MIN(s->hard.commit, s->last) ||
        raft_entry_id_cmp(f->base.last, s->base) != 0 ||
        !slice_equal(f->base.conf, slice_of_str(s->conf)) ||
        f->entry_count != s->last - s->base.index)
        return false;
    for (size_t i = 0; i < f->entry_count; i++) {
        const struct raft_entry *e = &f->entries[i];
        uint8_t want[2048];

        if (e->id.index != s->base.index + 1 + i || e->id.term != s->entries[i].term ||
            e->data.len != s->entries[i].len)
            return false;
        rig_pattern(e->id.index, e->id.term, e->data.len, want);
        if (e->data.len > 0 && memcmp(e->data.ptr, want, e->data.len) != 0)
            return false;
    }
    return true;
}

/* The recovered state is one that the model allows; the model goes on from it. */
static void assert_recovered(struct rig *r, struct model *m, raft_write durable, uint64_t seed)
{
    size_t oldest = 0;

    for (size_t i = 0; i < m->count; i++)
        if (m->states[i].write <= durable)
            oldest = i;
    for (size_t i = m->count; i > oldest; i--) {
        if (!equals(&r->found, &m->states[i - 1]))
            continue;
        if (r->found.damaged_places != 0 || r->found.acknowledged.index != 0)
            fail_msg("seed %llu: a crash alone was taken for damage: %s", (unsigned long long)seed,
                     r->found.detail);
        restart_model(m, &m->states[i - 1]);
        return;
    }
    print_message(
        "recovered term %llu vote %llu commit %llu base %llu entries %zu damage '%s'\n",
        (unsigned long long)r->found.hard_state.term, (unsigned long long)r->found.hard_state.vote,
        (unsigned long long)r->found.hard_state.commit,
        (unsigned long long)r->found.base.last.index, r->found.entry_count, r->found.detail);
    for (size_t i = oldest; i < m->count; i++)
        print_message(
            "allowed   term %llu vote %llu commit %llu base %llu last %llu write %llu\n",
            (unsigned long long)m->states[i].hard.term, (unsigned long long)m->states[i].hard.vote,
            (unsigned long long)m->states[i].hard.commit,
            (unsigned long long)m->states[i].base.index, (unsigned long long)m->states[i].last,
            (unsigned long long)m->states[i].write);
    fail_msg("seed %llu: recovered a state that never was, or one older than write %llu",
             (unsigned long long)seed, (unsigned long long)durable);
}

static uint64_t draw_from(void *ctx)
{
    return prng_u64(ctx);
}

/* Random writes and disk operations; stops after `budget` operations, even inside a job. */
static raft_write run(struct rig *r, struct model *m, struct prng *p, uint64_t budget)
{
    uint64_t stop = r->ops_run + budget;

    while (r->ops_run < stop) {
        if (prng_chance(p, 0.3))
            random_write(r, m, p);
        (void)rig_run_op(r, prng_chance(p, 0.7) ? WAL_LANE_LOG : WAL_LANE_SPARE);
        if (prng_chance(p, 0.02))
            wal_witness(r->wal);
        assert_int_equal(wal_error(r->wal), 0);
        if (m->count > STATES_MAX - 64)
            rig_flush(r);
        if (m->count > STATES_MAX - 64)
            break;
    }
    return wal_durable(r->wal);
}

static void open_and_fill(struct rig *r)
{
    rig_open_ok(r);
    while (!wal_is_settled(r->wal) && rig_run_op(r, WAL_LANE_LOG))
        ;
    while (wal_room(r->wal) == 0 && rig_run_op(r, WAL_LANE_SPARE))
        ;
    r->term = MAX(r->term, 1);
}

static void life_of_a_log(uint64_t seed, struct model *m)
{
    struct prng p, disk;
    struct rig r;

    prng_init(&p, seed);
    disk = prng_fork(&p, "disk");
    rig_init(&r);
    memset(&m->states[0], 0, sizeof(m->states[0]));
    m->states[0].hard.term = 0;
    m->count = 1;
    open_and_fill(&r);
    step(m, r.write + 1)->hard.term = 1;
    assert_int_equal(rig_hard_state(&r, 1, 0, 0), 0);
    for (unsigned life = 0; life < 12; life++) {
        enum disk_mem_crash_mode mode = (enum disk_mem_crash_mode)prng_below(&p, 3);
        raft_write durable = run(&r, m, &p, prng_range(&p, 1, 60));

        rig_crash(&r, mode, draw_from, &disk);
        open_and_fill(&r);
        assert_recovered(&r, m, durable, seed);
        r.term = MAX(r.term, 1);
    }
    rig_deinit(&r);
}

static void test_random_lives_with_crashes_anywhere(void **state)
{
    struct model m = { .states = calloc(STATES_MAX, sizeof(struct model_state)) };

    (void)state;
    assert_non_null(m.states);
    for (uint64_t seed = 1; seed <= 400; seed++)
        life_of_a_log(seed, &m);
    free(m.states);
}

/* The same short life, crashed after its 1st, 2nd, .. operation, each with all three ways. */
static void test_a_crash_after_every_operation(void **state)
{
    struct model m = { .states = calloc(STATES_MAX, sizeof(struct model_state)) };

    (void)state;
    assert_non_null(m.states);
    for (uint64_t ops = 0; ops < 150; ops++) {
        for (unsigned mode = 0; mode < 6; mode++) {
            struct prng p, disk;
            raft_write durable;
            struct rig r;

            prng_init(&p, 77);
            disk = prng_fork_u64(&p, mode);
            rig_init(&r);
            memset(&m.states[0], 0, sizeof(m.states[0]));
            m.count = 1;
            rig_open_ok(&r);
            r.term = 1;
            while (r.ops_run < ops && wal_room(r.wal) == 0)
                (void)(rig_run_op(&r, WAL_LANE_LOG) || rig_run_op(&r, WAL_LANE_SPARE));
            if (wal_room(r.wal) > 0) {
                step(&m, 1)->hard.term = 1;
                assert_int_equal(rig_hard_state(&r, 1, 0, 0), 0);
            }
            durable = r.ops_run < ops ? run(&r, &m, &p, ops - r.ops_run) : wal_durable(r.wal);
            rig_crash(&r, (enum disk_mem_crash_mode)MIN(mode, DISK_MEM_TEAR), draw_from, &disk);
            rig_open_ok(&r);
            assert_recovered(&r, &m, durable, ops);
            rig_deinit(&r);
        }
    }
    free(m.states);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crash_after_every_operation),
        cmocka_unit_test(test_random_lives_with_crashes_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
