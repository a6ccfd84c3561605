/* Several managers: requests that travel to the leader, and what their callers hear. */
#include "base/err.h"
#include "support_managers.h"
#include "tests/support/unit.h"

static struct seats seats;

static int open_one(void **state)
{
    (void)state;
    seats_open(&seats, 1);
    return 0;
}

static int open_three(void **state)
{
    (void)state;
    seats_open(&seats, 3);
    return 0;
}

static int close_seats(void **state)
{
    (void)state;
    seats_close(&seats);
    return 0;
}

/* From now on this manager hears nothing of raft, as if its messages were lost. */
static void make_deaf(struct seat *s)
{
    links_handle(s->links, LINK_RAFT, &(struct link_handler){ 0 });
}

static void test_a_followers_request_is_applied_there_when_it_is_answered(void **state)
{
    struct seat *leader = seats_leader(&seats), *follower = seat_next(leader);

    (void)state;
    seat_propose(follower, "back");
    assert_int_equal(seat_wait(follower), 0);
    assert_true(seat_has(follower, "back"));
    assert_true(seat_has(leader, "back"));
}

static void test_a_refusal_reaches_the_follower_with_its_reason(void **state)
{
    struct seat *leader = seats_leader(&seats), *follower = seat_next(leader);

    (void)state;
    seat_propose(leader, "back");
    assert_int_equal(seat_wait(leader), 0);
    seat_propose(follower, "back");
    assert_int_equal(seat_wait(follower), ERR_EXISTS);
    assert_non_null(strstr(follower->why.text, "back"));
}

/* The leader has it in its log, cannot commit it, and steps down: it may be applied yet. */
static void test_a_leader_that_loses_its_quorum_answers_unknown(void **state)
{
    struct seat *leader = seats_leader(&seats), *follower = seat_next(leader);

    (void)state;
    make_deaf(follower);
    make_deaf(seat_next(follower));
    seat_propose(follower, "back");
    seat_propose(leader, "front");
    assert_int_equal(seat_wait(leader), ERR_UNKNOWN_OUTCOME);
    assert_int_equal(seat_wait(follower), ERR_UNKNOWN_OUTCOME);
}

/* The link that the answer would have come by is gone. */
static void test_a_leader_that_vanishes_leaves_the_outcome_unknown(void **state)
{
    struct seat *leader = seats_leader(&seats), *follower = seat_next(leader);

    (void)state;
    make_deaf(follower);
    make_deaf(seat_next(follower));
    seat_propose(follower, "back");
    for (int i = 0; i < 5; i++)
        loop_turn(&seats.loop);
    assert_false(follower->is_done);
    link_drop(leader->links, seat_id(follower), ERR_CLOSED);
    assert_int_equal(seat_wait(follower), ERR_UNKNOWN_OUTCOME);
}

/* Its callers must not wait for ever, nor be called when it is gone. */
static void test_a_manager_that_closes_answers_what_it_had_forwarded(void **state)
{
    struct seat *follower = seat_next(seats_leader(&seats));

    (void)state;
    make_deaf(follower);
    make_deaf(seat_next(follower));
    seat_propose(follower, "back");
    loop_turn(&seats.loop);
    assert_false(follower->is_done);
    seat_close(follower);
    assert_true(follower->is_done);
    assert_int_equal(follower->err, ERR_UNKNOWN_OUTCOME);
    for (int i = 0; i < 100; i++) /* the answer of the leader comes, to nobody */
        loop_turn(&seats.loop);
}

/* Also by an attempt before, whose outcome was unknown. */
static bool gets_through(struct seat *s, const char *name)
{
    int rc;

    seat_propose(s, name);
    rc = seat_wait(s);
    return rc == 0 || (rc == ERR_EXISTS && seat_has(s, name));
}

static void test_requests_go_on_after_the_leader_has_gone(void **state)
{
    struct seat *leader = seats_leader(&seats), *a = seat_next(leader), *b = seat_next(a);

    (void)state;
    seat_close(leader); /* hands leadership over */
    SEATS_UNTIL(&seats, manager_is_leader(a->manager) || manager_is_leader(b->manager));
    SEATS_UNTIL(&seats, gets_through(a, "one"));
    SEATS_UNTIL(&seats, gets_through(b, "two"));
    SEATS_UNTIL(&seats, seat_has(a, "two") && seat_has(b, "one"));
}

static void test_a_restarted_manager_has_what_was_applied(void **state)
{
    struct seat *s = &seats.seats[0];

    (void)state;
    seat_propose(s, "back");
    assert_int_equal(seat_wait(s), 0);
    seat_close(s);
    seat_open(s);
    SEATS_UNTIL(&seats, manager_is_leader(s->manager));
    assert_true(seat_has(s, "back"));
}

/* --- No leader yet */

/* The others have a leader; it has to hear of it. */
static void test_a_request_waits_for_the_leader_to_be_known(void **state)
{
    struct seat *s = seat_next(seats_leader(&seats));

    (void)state;
    seat_close(s);
    seat_open(s);
    assert_null(manager_leader(s->manager));
    seat_propose(s, "back");
    assert_false(s->is_done);
    assert_int_equal(seat_wait(s), 0);
    assert_true(seat_has(s, "back"));
}

/* It arrives while the leader is handing over. */
static void test_what_a_stopping_leader_refuses_goes_to_the_next(void **state)
{
    struct seat *leader = seats_leader(&seats), *follower = seat_next(leader);

    (void)state;
    SEATS_UNTIL(&seats, manager_leader(follower->manager) != NULL);
    seat_propose(follower, "back");
    seat_close(leader);
    assert_int_equal(seat_wait(follower), 0);
    assert_true(seat_has(follower, "back"));
}

static void test_a_manager_that_closes_answers_what_waits_for_a_leader(void **state)
{
    struct seat *s = seat_next(seats_leader(&seats));

    (void)state;
    seat_close(s);
    seat_open(s);
    seat_propose(s, "back");
    seat_close(s);
    assert_true(s->is_done);
    assert_int_equal(s->err, ERR_UNAVAILABLE);
}

static void test_without_a_leader_a_request_is_refused_in_the_end(void **state)
{
    struct seat *leader = seats_leader(&seats), *a = seat_next(leader), *b = seat_next(a);

    (void)state;
    seat_close(b);
    seat_close(leader);
    seat_close(a);
    seat_open(b);
    seat_propose(b, "back");
    assert_int_equal(seat_wait(b), ERR_UNAVAILABLE);
    assert_non_null(strstr(b->why.text, "does not have a leader"));
}

/* --- Who may cease to be a manager */

/* The leader's own plans are applied in the same batch: they must not cover the reason. */
static void test_the_last_manager_stays_one(void **state)
{
    struct seat *s = &seats.seats[0];

    (void)state;
    assert_int_equal(seat_set_role(s, s, ROLE_WORKER), ERR_INVALID);
    assert_non_null(strstr(s->why.text, "last manager"));
    assert_int_equal(seat_set_role(s, s, ROLE_MANAGER), 0);
}

static void test_a_demoted_follower_and_then_a_demoted_leader_are_let_go(void **state)
{
    struct seat *leader = seats_leader(&seats), *follower = seat_next(leader);
    struct seat *rest = seat_next(follower);

    (void)state;
    assert_int_equal(seat_set_role(rest, follower, ROLE_WORKER), 0);
    SEATS_UNTIL(&seats, follower->is_removed);
    assert_int_equal(seat_set_role(rest, leader, ROLE_WORKER), 0);
    SEATS_UNTIL(&seats, leader->is_removed && manager_is_leader(rest->manager));
    assert_int_equal(manager_voter_count(rest->manager), 1);
    seat_propose(rest, "back");
    assert_int_equal(seat_wait(rest), 0);
}

/* A report that is acknowledged would make it believe that it is served. */
static void test_an_agent_whose_hello_was_lost_is_sent_to_say_it_again(void **state)
{
    const struct id node = { "0123456789abcdefghijklmno" };
    struct seat *leader = seats_leader(&seats);
    struct report report = { .sequence = 1 };
    struct hello hello = { 0 };
    struct dispatch frame = { .kind = DISPATCH_REPORT, .report = &report };
    size_t acks = leader->acks;

    (void)state;
    assert_int_equal(manager_dispatch_frame(leader->manager, &node, &frame), 0);
    assert_int_equal(leader->redirects, 1);
    seat_propose(leader, "back"); /* a turn goes by */
    assert_int_equal(seat_wait(leader), 0);
    assert_int_equal(leader->acks, acks);
    frame = (struct dispatch){ .kind = DISPATCH_HELLO, .hello = &hello };
    assert_int_equal(manager_dispatch_frame(leader->manager, &node, &frame), 0);
    frame = (struct dispatch){ .kind = DISPATCH_REPORT, .report = &report };
    assert_int_equal(manager_dispatch_frame(leader->manager, &node, &frame), 0);
    assert_int_equal(leader->redirects, 1);
    SEATS_UNTIL(&seats, leader->acks >= acks + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_followers_request_is_applied_there_when_it_is_answered, open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_a_refusal_reaches_the_follower_with_its_reason,
                                        open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_a_leader_that_loses_its_quorum_answers_unknown,
                                        open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_a_leader_that_vanishes_leaves_the_outcome_unknown,
                                        open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_a_manager_that_closes_answers_what_it_had_forwarded,
                                        open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_requests_go_on_after_the_leader_has_gone, open_three,
                                        close_seats),
        cmocka_unit_test_setup_teardown(test_a_restarted_manager_has_what_was_applied, open_one,
                                        close_seats),
        cmocka_unit_test_setup_teardown(test_a_request_waits_for_the_leader_to_be_known, open_three,
                                        close_seats),
        cmocka_unit_test_setup_teardown(test_what_a_stopping_leader_refuses_goes_to_the_next,
                                        open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_a_manager_that_closes_answers_what_waits_for_a_leader,
                                        open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_without_a_leader_a_request_is_refused_in_the_end,
                                        open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_the_last_manager_stays_one, open_one, close_seats),
        cmocka_unit_test_setup_teardown(
            test_a_demoted_follower_and_then_a_demoted_leader_are_let_go, open_three, close_seats),
        cmocka_unit_test_setup_teardown(test_an_agent_whose_hello_was_lost_is_sent_to_say_it_again,
                                        open_one, close_seats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
