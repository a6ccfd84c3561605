/* tests/unit/raft/test_conf.c - Changing, leaving, encoding configurations; the stack of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/prng.h"
#include "raft/core.h"

static void make(struct raft_conf *c, uint32_t voters, uint32_t learners)
{
    memset(c, 0, sizeof(*c));
    c->epoch = 1;
    for (uint32_t i = 0; i < voters + learners; i++)
        c->members[c->member_count++] =
            (struct raft_member){ .id = i + 1, .flags = i < voters ? RAFT_VOTER : 0 };
}

static void test_what_each_operation_does(void **state)
{
    enum { J = RAFT_VOTER | RAFT_VOTER_OLD };
    const struct {
        const char *why;
        struct raft_conf_op op;
        int rc;
        bool joint;
        uint32_t flags; /* of the member, after it */
    } cases[] = {
        { "a new voter learns first", { RAFT_ADD_VOTER, 9, { 0 } }, 0, false, RAFT_PROMOTE },
        { "a learner is marked", { RAFT_ADD_VOTER, 4, { 0 } }, 0, false, RAFT_PROMOTE },
        { "a voter stays one", { RAFT_ADD_VOTER, 1, { 0 } }, 0, false, RAFT_VOTER },
        { "a learner is made a voter", { RAFT_MAKE_VOTER, 4, { 0 } }, 0, true, RAFT_VOTER },
        { "a stranger is not", { RAFT_MAKE_VOTER, 9, { 0 } }, ERR_NOT_FOUND, false, 0 },
        { "a new learner", { RAFT_ADD_LEARNER, 9, { 0 } }, 0, false, 0 },
        { "a demoted voter counts in the old half",
          { RAFT_ADD_LEARNER, 2, { 0 } },
          0,
          true,
          RAFT_VOTER_OLD },
        { "a removed voter too",
          { RAFT_REMOVE, 2, { 0 } },
          0,
          true,
          RAFT_VOTER_OLD | RAFT_LEAVING },
        { "a stranger cannot be removed", { RAFT_REMOVE, 9, { 0 } }, ERR_NOT_FOUND, false, 0 },
        { "a context alone", { RAFT_SET_CONTEXT, 1, { 0 } }, 0, false, RAFT_VOTER },
        { "id 0 is nobody", { RAFT_ADD_VOTER, 0, { 0 } }, ERR_INVALID, false, 0 },
    };
    struct raft_conf c, next;

    (void)state;
    (void)J;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].why);
        make(&c, 3, 1);
        assert_int_equal(raft_conf_change(&c, &cases[i].op, 1, &next), cases[i].rc);
        if (cases[i].rc < 0)
            continue;
        assert_int_equal(next.joint, cases[i].joint);
        assert_int_equal(raft_conf_find(&next, cases[i].op.id)->flags, cases[i].flags);
    }
}

static void test_the_last_voter_cannot_go(void **state)
{
    const struct raft_conf_op ops[] = { { RAFT_REMOVE, 1, { 0 } }, { RAFT_ADD_LEARNER, 2, { 0 } } };
    struct raft_conf c, next;

    (void)state;
    make(&c, 2, 0);
    assert_int_equal(raft_conf_change(&c, ops, 2, &next), ERR_INVALID);
    assert_int_equal(raft_conf_change(&c, ops, 1, &next), 0);
}

static void test_a_joint_one_must_be_left_first(void **state)
{
    const struct raft_conf_op op = { RAFT_REMOVE, 3, { 0 } };
    struct raft_conf c, joint, next;

    (void)state;
    make(&c, 3, 0);
    assert_int_equal(raft_conf_change(&c, &op, 1, &joint), 0);
    assert_int_equal(raft_conf_change(&joint, &op, 1, &next), ERR_CONFLICT);
    raft_conf_leave(&joint, &next);
    assert_false(next.joint);
    assert_null(raft_conf_find(&next, 3));
    assert_true(raft_conf_is_removed(&next, 3));
    assert_int_equal(raft_conf_find(&next, 1)->flags, RAFT_VOTER);
    assert_int_equal(
        raft_conf_change(&next, &(struct raft_conf_op){ RAFT_ADD_VOTER, 3, { 0 } }, 1, &c),
        ERR_REMOVED);
}

static void test_an_id_named_twice_is_refused(void **state)
{
    const struct raft_conf_op ops[] = { { RAFT_REMOVE, 2, { 0 } }, { RAFT_ADD_LEARNER, 2, { 0 } } };
    struct raft_conf c, next;

    (void)state;
    make(&c, 3, 0);
    assert_int_equal(raft_conf_change(&c, ops, 2, &next), ERR_INVALID);
}

static void test_limits_of_members_and_tombstones(void **state)
{
    struct raft_conf c, next;

    (void)state;
    make(&c, 1, RAFT_MEMBERS_MAX - 1);
    assert_int_equal(
        raft_conf_change(&c, &(struct raft_conf_op){ RAFT_ADD_LEARNER, 99, { 0 } }, 1, &next),
        ERR_FULL);
    make(&c, 1, 0);
    for (raft_node_id id = 100; id < 100 + RAFT_TOMBSTONES_MAX + 5; id++) {
        assert_int_equal(
            raft_conf_change(&c, &(struct raft_conf_op){ RAFT_ADD_LEARNER, id, { 0 } }, 1, &next),
            0);
        assert_int_equal(
            raft_conf_change(&next, &(struct raft_conf_op){ RAFT_REMOVE, id, { 0 } }, 1, &c), 0);
    }
    assert_int_equal(c.tombstone_count, RAFT_TOMBSTONES_MAX);
    assert_false(raft_conf_is_removed(&c, 104)); /* the oldest are forgotten */
    assert_true(raft_conf_is_removed(&c, 105));
}

static void test_random_changes_keep_the_rules_and_survive_encoding(void **state)
{
    static uint8_t bytes[RAFT_CONF_LEN_MAX];
    struct prng p;
    struct raft_conf c, next, decoded;

    (void)state;
    prng_init(&p, 6);
    make(&c, 3, 1);
    for (int round = 0; round < 20000; round++) {
        struct raft_conf_op ops[3];
        size_t count = 1 + prng_below(&p, 3), len;

        for (size_t i = 0; i < count; i++)
            ops[i] =
                (struct raft_conf_op){ (enum raft_conf_op_type)prng_below(&p, 5),
                                       1 + prng_below(&p, 40), slice_of("ctx", prng_below(&p, 4)) };
        if (raft_conf_change(&c, ops, count, &next) < 0)
            continue;
        len = raft_conf_encode(&next, bytes);
        assert_int_equal(raft_conf_decode(slice_of(bytes, len), &decoded), 0);
        assert_true(raft_conf_equal(&next, &decoded));
        assert_int_equal(raft_conf_decode(slice_of(bytes, len - 1), &decoded), ERR_MALFORMED);
        if (next.joint)
            raft_conf_leave(&next, &c);
        else
            c = next;
        if (c.member_count > 20 || c.tombstone_count > 30)
            make(&c, 3, 1);
    }
}

static void test_decoding_refuses_what_encoding_never_writes(void **state)
{
    static uint8_t good[RAFT_CONF_LEN_MAX], bad[RAFT_CONF_LEN_MAX];
    struct raft_conf c, out;
    size_t len;

    (void)state;
    make(&c, 2, 0);
    len = raft_conf_encode(&c, good);
    memcpy(bad, good, len);
    bad[0] = 9; /* version */
    assert_int_equal(raft_conf_decode(slice_of(bad, len), &out), ERR_MALFORMED);
    memcpy(bad, good, len);
    bad[14] = 2; /* the first id equals the second */
    assert_int_equal(raft_conf_decode(slice_of(bad, len), &out), ERR_MALFORMED);
    memcpy(bad, good, len);
    bad[22] = 0; /* no voters .. */
    bad[33] = 0;
    assert_int_equal(raft_conf_decode(slice_of(bad, len), &out), ERR_MALFORMED);
    memcpy(bad, good, len);
    bad[22] = RAFT_VOTER | RAFT_VOTER_OLD; /* an old half, but not joint */
    assert_int_equal(raft_conf_decode(slice_of(bad, len), &out), ERR_MALFORMED);
}

/* --- the stack, inside a node that follows a leader which stacks configurations */

static void step_append(struct raft *r, raft_term term, struct raft_entry_id prev,
                        const struct raft_entry *entries, size_t count, raft_index commit)
{
    struct raft_event event = { .type = RAFT_MESSAGE };
    struct raft_output out;
    struct raft_message *m = &event.message;

    *m = (struct raft_message){
        .type = RAFT_APPEND, .cluster = 7, .from = 2, .to = 1, .term = term
    };
    m->append = (struct raft_append){
        .prev = prev, .commit = commit, .entries = entries, .entry_count = count
    };
    assert_int_equal(raft_step(r, &event, 1, &out), 0);
    event = (struct raft_event){ .type = RAFT_PERSISTED, .persisted = r->issued };
    assert_int_equal(raft_step(r, &event, 1, &out), 0);
}

static struct raft *new_follower(void)
{
    struct raft_config cfg = {
        .id = 1, .cluster = 7, .seed = 1, .compact_count = 1, .keep_count = 1
    };
    struct raft_event event = { .type = RAFT_START };
    struct raft_output out;
    struct raft *r;

    assert_int_equal(raft_new(&cfg, &r), 0);
    assert_int_equal(raft_step(r, &event, 1, &out), 0);
    return r;
}

static struct raft_entry conf_entry(struct raft_entry_id id, uint32_t voters, uint8_t *bytes)
{
    struct raft_conf c;

    make(&c, voters, 0);
    return (struct raft_entry){ .id = id,
                                .type = RAFT_ENTRY_CONF,
                                .data = slice_of(bytes, raft_conf_encode(&c, bytes)) };
}

static void test_all_configurations_of_a_truncated_tail_are_taken_back(void **state)
{
    uint8_t bytes[3][256];
    struct raft *r = new_follower();
    struct raft_entry e[3], noop = { .id = { 2, 2 } };

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        e[i] = conf_entry((struct raft_entry_id){ 1, i + 1 }, i + 1, bytes[i]);
    step_append(r, 1, (struct raft_entry_id){ 0, 0 }, e, 3, 1);
    assert_int_equal(raft_conf_current(r)->member_count, 3);
    step_append(r, 2, (struct raft_entry_id){ 1, 1 }, &noop, 1, 1); /* voids entries 2 and 3 */
    assert_int_equal(raft_conf_current(r)->member_count, 1);
    raft_free(r);
}

static void test_the_configuration_at_an_index_survives_compactions(void **state)
{
    uint8_t bytes[4][256];
    struct raft *r = new_follower();
    struct raft_entry e[4];
    struct raft_event event = { .type = RAFT_APPLIED };
    struct raft_output out;

    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        e[i] = conf_entry((struct raft_entry_id){ 1, i + 1 }, i + 1, bytes[i]);
    step_append(r, 1, (struct raft_entry_id){ 0, 0 }, e, 4, 4);
    for (raft_index applied = 1; applied <= 4; applied++) {
        event.applied.index = event.applied.durable = applied;
        assert_int_equal(raft_step(r, &event, 1, &out), 0);
        for (raft_index i = MAX(r->log.base.last.index, 1); i <= 4; i++)
            assert_int_equal(conf_at(r, i)->member_count, i);
    }
    assert_int_equal(r->log.base.last.index, 3);
    raft_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_each_operation_does),
        cmocka_unit_test(test_the_last_voter_cannot_go),
        cmocka_unit_test(test_a_joint_one_must_be_left_first),
        cmocka_unit_test(test_an_id_named_twice_is_refused),
        cmocka_unit_test(test_limits_of_members_and_tombstones),
        cmocka_unit_test(test_random_changes_keep_the_rules_and_survive_encoding),
        cmocka_unit_test(test_decoding_refuses_what_encoding_never_writes),
        cmocka_unit_test(test_all_configurations_of_a_truncated_tail_are_taken_back),
        cmocka_unit_test(test_the_configuration_at_an_index_survives_compactions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
