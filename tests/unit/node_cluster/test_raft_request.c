/* What becomes of proposals whose leader is none any more: their entries, or what stands in their
 * place, tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "node/cluster/raft_driver_priv.h"
#include "tests/support/unit.h"

#define OPEN 1 /* no error has this value */

struct rig {
    struct raft_driver driver; /* only its lists of requests are in use */
    struct request *requests[8];
    size_t count;
};

static struct rig *rig_new(void)
{
    struct rig *r = test_calloc(1, sizeof(*r));

    assert_non_null(r);
    list_init(&r->driver.open);
    list_init(&r->driver.orphans);
    list_init(&r->driver.finished);
    return r;
}

static struct request *open_request(struct rig *r, enum request_kind kind, struct raft_entry_id at)
{
    struct request *q = test_calloc(1, sizeof(*q));

    assert_non_null(q);
    q->kind = kind;
    q->slot = SIZE_MAX;
    q->entry = at;
    q->err = OPEN;
    list_init(&q->link);
    list_push_back(&r->driver.open, &q->link);
    r->requests[r->count++] = q;
    return q;
}

static void rig_free(struct rig *r)
{
    for (size_t i = 0; i < r->count; i++)
        test_free(r->requests[i]);
    test_free(r->driver.slots);
    test_free(r);
}

/* Three proposals of term 3, at 10, 11 and 12, of a leader that is none any more. */
static void test_the_log_says_what_became_of_orphans(void **state)
{
    const struct {
        const char *why;
        struct raft_entry_id applied[4]; /* in this order; index 0 = no more */
        int outcome[3];                  /* 0: it was applied */
    } cases[] = {
        { "nothing is known yet", { { 0 } }, { OPEN, OPEN, OPEN } },
        { "the successor has all of them",
          { { .index = 10, .term = 3 }, { .index = 11, .term = 3 }, { .index = 12, .term = 3 } },
          { 0, 0, 0 } },
        { "an earlier entry says nothing", { { .index = 9, .term = 3 } }, { OPEN, OPEN, OPEN } },
        { "an earlier entry of an earlier term, too",
          { { .index = 9, .term = 2 } },
          { OPEN, OPEN, OPEN } },
        { "the successor has the first only",
          { { .index = 10, .term = 3 }, { .index = 11, .term = 4 } },
          { 0, ERR_NOT_LEADER, ERR_NOT_LEADER } },
        { "the successor's log is shorter: a later term below their index is proof enough",
          { { .index = 9, .term = 5 } },
          { ERR_NOT_LEADER, ERR_NOT_LEADER, ERR_NOT_LEADER } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig *r = rig_new();

        print_message("  %s\n", cases[i].why);
        for (raft_index at = 10; at <= 12; at++)
            (void)open_request(r, REQUEST_PROPOSE,
                               (struct raft_entry_id){ .index = at, .term = 3 });
        raft_request_orphan(&r->driver);
        for (size_t j = 0; cases[i].applied[j].index != 0; j++) {
            struct to_apply a = { .id = cases[i].applied[j] }; /* from elsewhere: no ticket */
            struct request *q = raft_request_applied(&r->driver, &a);

            if (q != NULL)
                raft_request_finish(&r->driver, q, 0);
        }
        for (size_t j = 0; j < 3; j++)
            assert_int_equal(r->requests[j]->err, cases[i].outcome[j]);
        rig_free(r);
    }
}

static void test_only_proposals_wait_for_the_log(void **state)
{
    struct rig *r = rig_new();
    struct request *read = open_request(r, REQUEST_READ, (struct raft_entry_id){ 0 });
    struct request *change = open_request(r, REQUEST_CHANGE, (struct raft_entry_id){ 0 });
    struct request *put =
        open_request(r, REQUEST_PROPOSE, (struct raft_entry_id){ .index = 7, .term = 2 });

    (void)state;
    raft_request_orphan(&r->driver);
    assert_int_equal(read->err, OPEN); /* the core answers it */
    assert_int_equal(change->err, ERR_UNKNOWN_OUTCOME);
    assert_int_equal(put->err, OPEN);
    assert_true(r->driver.orphan_deadline > uv_hrtime());
    raft_request_end_orphans(&r->driver);
    assert_int_equal(put->err, ERR_UNKNOWN_OUTCOME);
    assert_true(list_is_empty(&r->driver.orphans));
    rig_free(r);
}

/* Leadership is lost, won again and lost again before anything is known of the first proposals. */
static void test_the_first_orphans_deadline_stands(void **state)
{
    struct rig *r = rig_new();
    mono_ns first;

    (void)state;
    (void)open_request(r, REQUEST_PROPOSE, (struct raft_entry_id){ .index = 5, .term = 2 });
    raft_request_orphan(&r->driver);
    first = r->driver.orphan_deadline;
    (void)open_request(r, REQUEST_PROPOSE, (struct raft_entry_id){ .index = 9, .term = 4 });
    raft_request_orphan(&r->driver);
    assert_true(r->driver.orphan_deadline == first);
    assert_ptr_equal(list_first(&r->driver.orphans), &r->requests[0]->link);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_log_says_what_became_of_orphans),
        cmocka_unit_test(test_only_proposals_wait_for_the_log),
        cmocka_unit_test(test_the_first_orphans_deadline_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
