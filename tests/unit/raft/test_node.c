/* tests/unit/raft/test_node.c - One node and hand-made messages: the tables of the paper's rules.
 * RT-023, RT-024, RT-026, RT-057, RT-061 .. RT-063, RP-04, RP-10, RP-21, RP-22, RP-25 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "raft/core.h"

enum { ME = 1, NODES = 5 };

struct fixture {
    struct raft *r;
    struct raft_output out;
    mono_ns now;
};

static int step(struct fixture *f, const struct raft_event *event)
{
    return raft_step(f->r, event, f->now, &f->out);
}

/* A node of five whose log has entries of these terms, all durable. */
static void start(struct fixture *f, raft_term term, raft_node_id vote, const raft_term *terms,
                  size_t count)
{
    static struct raft_conf conf;
    uint8_t bytes[RAFT_CONF_LEN_MAX];
    struct raft_entry entries[16];
    struct raft_config cfg = { .id = ME, .cluster = 7, .seed = 3 };
    struct raft_event event = { .type = RAFT_START };

    conf.epoch = 1;
    conf.member_count = NODES;
    for (uint32_t i = 0; i < NODES; i++)
        conf.members[i] = (struct raft_member){ .id = i + 1, .flags = RAFT_VOTER };
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct raft_entry){ .id = { terms[i], i + 1 }, .type = RAFT_ENTRY_NOOP };
    event.start.hard_state = (struct raft_hard_state){ term, vote, 0 };
    event.start.base.conf = slice_of(bytes, raft_conf_encode(&conf, bytes));
    event.start.entries = entries;
    event.start.entry_count = count;
    f->now = 10 * NS_PER_S;
    assert_int_equal(raft_new(&cfg, &f->r), 0);
    assert_int_equal(step(f, &event), 0);
}

static void stop(struct fixture *f)
{
    raft_free(f->r);
}

static void persist(struct fixture *f)
{
    struct raft_event event = { .type = RAFT_PERSISTED, .persisted = f->r->issued };

    assert_int_equal(step(f, &event), 0);
}

static struct raft_event message(enum raft_message_type type, raft_node_id from, raft_term term)
{
    struct raft_event event = { .type = RAFT_MESSAGE };

    event.message = (struct raft_message){
        .type = type, .cluster = 7, .epoch = 1, .from = from, .to = ME, .term = term
    };
    return event;
}

/* The only message of this kind in the output. */
static const struct raft_message *only(const struct fixture *f, enum raft_message_type type)
{
    const struct raft_message *found = NULL;

    for (size_t i = 0; i < f->out.message_count; i++)
        if (f->out.messages[i].type == type) {
            assert_null(found);
            found = &f->out.messages[i];
        }
    return found;
}

static void test_votes(void **state)
{
    const struct {
        const char *why;
        raft_node_id vote; /* cast before, in term 2 */
        raft_term term;
        struct raft_entry_id last;
        bool pre, granted;
    } cases[] = {
        { "an equal log", 0, 3, { 2, 2 }, false, true },
        { "a longer log", 0, 3, { 2, 5 }, false, true },
        { "a shorter log", 0, 3, { 2, 1 }, false, false },
        { "a longer log of an older term", 0, 3, { 1, 9 }, false, false },
        { "a shorter log of a newer term", 0, 3, { 3, 1 }, false, true },
        { "the same term, not voted", 0, 2, { 2, 2 }, false, true },
        { "the same term, voted for it", 3, 2, { 2, 2 }, false, true },
        { "the same term, voted for another", 4, 2, { 2, 2 }, false, false },
        { "voted for another, in an older term", 4, 3, { 2, 2 }, false, true },
        { "an older term", 0, 1, { 2, 2 }, false, false },
        { "pre-vote: a newer term", 4, 3, { 2, 2 }, true, true },
        { "pre-vote: the same term", 0, 2, { 2, 2 }, true, false },
        { "pre-vote: a shorter log", 0, 3, { 2, 1 }, true, false },
    };
    const raft_term terms[] = { 1, 2 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct raft_event event = message(RAFT_VOTE_REQ, 3, cases[i].term);
        const struct raft_message *answer;
        raft_node_id vote_before;

        print_message("  %s\n", cases[i].why);
        start(&f, 2, cases[i].vote, terms, 2);
        vote_before = f.r->vote;
        event.message.vote = (struct raft_vote_req){ cases[i].pre, false, cases[i].last };
        assert_int_equal(step(&f, &event), 0);
        answer = only(&f, RAFT_VOTE_RES); /* always answered */
        assert_non_null(answer);
        assert_int_equal(answer->vote_res.granted, cases[i].granted);
        if (cases[i].pre) {
            assert_int_equal(f.r->term, 2);
            assert_int_equal(f.r->vote, vote_before);
        } else if (cases[i].granted) {
            assert_int_equal(f.r->vote, 3);
            assert_true(f.out.write_count == 0 || answer->after != 0); /* durable first */
        }
        stop(&f);
    }
}

static void test_appends(void **state)
{
    const struct {
        const char *why;
        raft_term term;
        struct raft_entry_id prev;
        raft_term entries[3]; /* terms; 0 ends */
        raft_index commit;
        bool rejected;
        raft_index match, last, commit_after;
    } cases[] = {
        { "no such entry before it", 2, { 2, 3 }, { 2 }, 0, true, 3, 3, 0 },
        { "another entry before it", 2, { 2, 2 }, { 2 }, 0, true, 2, 3, 0 },
        { "appends", 2, { 1, 3 }, { 2, 2 }, 0, false, 5, 5, 0 },
        { "present already", 2, { 1, 1 }, { 1, 1 }, 0, false, 3, 3, 0 },
        { "acks what it compared and no more", 2, { 1, 1 }, { 1 }, 0, false, 2, 3, 0 },
        { "replaces what differs and all after it", 2, { 1, 1 }, { 2 }, 0, false, 2, 2, 0 },
        { "commits what it compared and no more", 2, { 1, 1 }, { 1 }, 9, false, 2, 3, 2 },
        { "commits what the leader has", 2, { 1, 3 }, { 0 }, 2, false, 3, 3, 2 },
        { "an empty one at the start of the log", 2, { 0, 0 }, { 0 }, 3, false, 0, 3, 0 },
    };
    const raft_term terms[] = { 1, 1, 1 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct raft_event event = message(RAFT_APPEND, 2, cases[i].term);
        struct raft_append *a = &event.message.append;
        struct raft_entry entries[3];
        const struct raft_message *answer;

        print_message("  %s\n", cases[i].why);
        start(&f, 1, 0, terms, 3);
        *a = (struct raft_append){ .prev = cases[i].prev, .commit = cases[i].commit };
        a->entries = entries;
        for (; a->entry_count < 3 && cases[i].entries[a->entry_count] != 0; a->entry_count++)
            entries[a->entry_count] =
                (struct raft_entry){ .id = { cases[i].entries[a->entry_count],
                                             a->prev.index + 1 + a->entry_count } };
        assert_int_equal(step(&f, &event), 0);
        answer = only(&f, RAFT_APPEND_RES);
        assert_non_null(answer);
        assert_int_equal(answer->append_res.rejected, cases[i].rejected);
        assert_int_equal(answer->append_res.match, cases[i].match);
        assert_int_equal(log_last(&f.r->log).index, cases[i].last);
        assert_int_equal(f.r->commit_index, cases[i].commit_after);
        stop(&f);
    }
}

/* What is on disk goes in the same order as in memory, and nothing of the new tail is left out. */
static void test_a_replaced_tail_is_written_as_a_cut_and_all_that_follows(void **state)
{
    const raft_term terms[] = { 1, 1, 1 };
    struct raft_entry entries[3];
    struct raft_event event = message(RAFT_APPEND, 2, 2);
    struct fixture f;

    (void)state;
    start(&f, 1, 0, terms, 3);
    for (size_t i = 0; i < 3; i++)
        entries[i] = (struct raft_entry){ .id = { 2, 2 + i } };
    event.message.append = (struct raft_append){ .prev = { 1, 1 }, .entries = entries };
    event.message.append.entry_count = 3;
    assert_int_equal(step(&f, &event), 0);
    assert_int_equal(f.out.write_count, 3);
    assert_int_equal(f.out.writes[0].type, RAFT_WRITE_HARD_STATE);
    assert_int_equal(f.out.writes[1].type, RAFT_WRITE_TRUNCATE);
    assert_int_equal(f.out.writes[1].last, 1);
    assert_int_equal(f.out.writes[2].type, RAFT_WRITE_APPEND);
    assert_int_equal(f.out.writes[2].entry_count, 3);
    assert_int_equal(f.out.writes[2].entries[0].id.index, 2);
    assert_int_equal(only(&f, RAFT_APPEND_RES)->after, f.out.writes[2].seq);
    stop(&f);
}

static void test_contradictions_are_malformed_and_change_nothing(void **state)
{
    const struct {
        const char *why;
        struct raft_entry_id prev, entries[2];
    } cases[] = {
        { "a gap between entries", { 1, 1 }, { { 1, 2 }, { 1, 4 } } },
        { "falling terms", { 1, 1 }, { { 2, 2 }, { 1, 3 } } },
        { "an entry of a later term than the leader's", { 1, 1 }, { { 3, 2 }, { 3, 3 } } },
        { "another entry where one is committed", { 0, 0 }, { { 2, 1 }, { 2, 2 } } },
        { "a previous entry of a later term", { 9, 1 }, { { 9, 2 }, { 9, 3 } } },
    };
    const raft_term terms[] = { 1, 1, 1 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct raft_event event = message(RAFT_HEARTBEAT, 2, 2);
        struct raft_entry entries[2] = { { .id = cases[i].entries[0] },
                                         { .id = cases[i].entries[1] } };

        print_message("  %s\n", cases[i].why);
        start(&f, 1, 0, terms, 3);
        event.message.heartbeat.commit = 1;
        assert_int_equal(step(&f, &event), 0);
        event = message(RAFT_APPEND, 2, 2);
        event.message.append =
            (struct raft_append){ .prev = cases[i].prev, .entries = entries, .entry_count = 2 };
        assert_int_equal(step(&f, &event), ERR_MALFORMED);
        assert_int_equal(f.out.message_count, 0);
        assert_int_equal(log_last(&f.r->log).index, 3);
        assert_int_equal(f.r->commit_index, 1);
        stop(&f);
    }
}

static void campaign_now(struct fixture *f)
{
    f->now += 2 * NS_PER_S;
    assert_int_equal(step(f, &(struct raft_event){ .type = RAFT_TIMEOUT }), 0);
}

static void grant(struct fixture *f, raft_node_id from, raft_term term, bool is_pre)
{
    struct raft_event event = message(RAFT_VOTE_RES, from, term);

    event.message.vote_res = (struct raft_vote_res){ is_pre, true };
    assert_int_equal(step(f, &event), 0);
}

static void test_only_votes_of_this_round_count(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, 3, 0, NULL, 0);
    campaign_now(&f);
    assert_int_equal(f.r->role, RAFT_PRE_CANDIDATE);
    grant(&f, 2, 3, false); /* a vote, when pre-votes are asked for */
    grant(&f, 3, 3, true);  /* a pre-vote of an older round */
    grant(&f, 4, 3, true);
    assert_int_equal(f.r->role, RAFT_PRE_CANDIDATE);
    grant(&f, 2, 4, true);
    grant(&f, 2, 4, true); /* repeated */
    assert_int_equal(f.r->role, RAFT_PRE_CANDIDATE);
    grant(&f, 3, 4, true);
    assert_int_equal(f.r->role, RAFT_CANDIDATE);
    assert_int_equal(f.r->term, 4);
    grant(&f, 4, 4, true); /* late pre-votes */
    grant(&f, 5, 4, true);
    grant(&f, 4, 3, false); /* votes of an older term */
    grant(&f, 5, 2, false);
    assert_int_equal(f.r->role, RAFT_CANDIDATE);
    grant(&f, 4, 4, false);
    grant(&f, 5, 4, false);
    assert_int_equal(f.r->role, RAFT_LEADER);
    stop(&f);
}

static void become_leader(struct fixture *f)
{
    campaign_now(f);
    grant(f, 2, f->r->term + 1, true);
    grant(f, 3, f->r->term + 1, true);
    grant(f, 2, f->r->term, false);
    grant(f, 3, f->r->term, false);
    assert_int_equal(f->r->role, RAFT_LEADER);
}

static void ack(struct fixture *f, raft_node_id from, raft_index match)
{
    struct raft_event event = message(RAFT_APPEND_RES, from, f->r->term);

    event.message.append_res.match = match;
    assert_int_equal(step(f, &event), 0);
}

static void test_commit_needs_a_majority_and_an_entry_of_this_term(void **state)
{
    const raft_term terms[] = { 1, 1 };
    struct fixture f;

    (void)state;
    start(&f, 1, 0, terms, 2);
    become_leader(&f); /* entry 3 */
    persist(&f);
    ack(&f, 2, 2);
    ack(&f, 3, 2);
    assert_int_equal(f.r->commit_index, 0); /* a majority has 1 and 2, of an older term */
    ack(&f, 2, 3);
    assert_int_equal(f.r->commit_index, 0);
    ack(&f, 3, 3);
    assert_int_equal(f.r->commit_index, 3);
    ack(&f, 3, 1); /* an old ack takes nothing back */
    assert_int_equal(f.r->commit_index, 3);
    ack(&f, 4, 9); /* beyond the log: ignored */
    assert_int_equal(f.r->commit_index, 3);
    stop(&f);
}

static void test_every_role_steps_down_for_a_higher_term(void **state)
{
    struct fixture f;

    (void)state;
    for (int role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        struct raft_event event = message(RAFT_HEARTBEAT, 4, 50);

        start(&f, 1, 0, NULL, 0);
        if (role == RAFT_LEADER)
            become_leader(&f);
        else if (role != RAFT_FOLLOWER)
            campaign_now(&f);
        if (role == RAFT_CANDIDATE) {
            grant(&f, 2, 2, true);
            grant(&f, 3, 2, true);
        }
        assert_int_equal(f.r->role, role);
        assert_int_equal(step(&f, &event), 0);
        assert_int_equal(f.r->role, RAFT_FOLLOWER);
        assert_int_equal(f.r->term, 50);
        assert_int_equal(f.r->leader, 4);
        stop(&f);
    }
}

static void test_messages_of_old_terms_are_answered_or_ignored(void **state)
{
    struct fixture f;
    struct raft_event event = message(RAFT_APPEND, 2, 1);

    (void)state;
    start(&f, 5, 0, NULL, 0);
    assert_int_equal(step(&f, &event), 0);
    assert_non_null(only(&f, RAFT_HEARTBEAT_RES)); /* carries our term: deposes the sender */
    assert_int_equal(f.out.messages[0].term, 5);
    event = message(RAFT_APPEND_RES, 2, 1);
    assert_int_equal(step(&f, &event), 0);
    assert_int_equal(f.out.message_count, 0);
    stop(&f);
}

static void test_strangers_are_refused_and_counted(void **state)
{
    struct fixture f;
    struct raft_event event = message(RAFT_HEARTBEAT, 2, 1);
    struct raft_status status;

    (void)state;
    start(&f, 1, 0, NULL, 0);
    event.message.cluster = 8;
    assert_int_equal(step(&f, &event), ERR_WRONG_CLUSTER);
    assert_int_equal(only(&f, RAFT_REFUSED)->refused.reason, RAFT_REFUSED_CLUSTER);
    event = message(RAFT_HEARTBEAT, 2, 99);
    event.message.epoch = 2;
    assert_int_equal(step(&f, &event), ERR_WRONG_CLUSTER);
    assert_int_equal(only(&f, RAFT_REFUSED)->refused.reason, RAFT_REFUSED_EPOCH);
    raft_status(f.r, &status);
    assert_int_equal(status.refused_count, 2);
    assert_int_equal(status.term, 1);
    event = message(RAFT_REFUSED, 2, 0);
    event.message.cluster = 8; /* two strangers do not refuse each other for ever */
    assert_int_equal(step(&f, &event), ERR_WRONG_CLUSTER);
    assert_int_equal(f.out.message_count, 0);
    stop(&f);
}

static void test_timeouts_are_spread_over_the_whole_range(void **state)
{
    int buckets[10] = { 0 };
    struct fixture f;

    (void)state;
    start(&f, 1, 0, NULL, 0);
    for (int i = 0; i < 5000; i++) {
        struct raft_event event = message(RAFT_HEARTBEAT, 2, (raft_term)i + 2);
        mono_ns wait;

        assert_int_equal(step(&f, &event), 0); /* a new term draws a new one */
        wait = f.out.deadline_ns - f.now;
        assert_in_range(wait, 500 * NS_PER_MS, 1000 * NS_PER_MS - 1);
        buckets[(wait / NS_PER_MS - 500) / 50]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(buckets); i++)
        assert_in_range(buckets[i], 350, 650);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_a_replaced_tail_is_written_as_a_cut_and_all_that_follows),
        cmocka_unit_test(test_contradictions_are_malformed_and_change_nothing),
        cmocka_unit_test(test_only_votes_of_this_round_count),
        cmocka_unit_test(test_commit_needs_a_majority_and_an_entry_of_this_term),
        cmocka_unit_test(test_every_role_steps_down_for_a_higher_term),
        cmocka_unit_test(test_messages_of_old_terms_are_answered_or_ignored),
        cmocka_unit_test(test_strangers_are_refused_and_counted),
        cmocka_unit_test(test_timeouts_are_spread_over_the_whole_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
