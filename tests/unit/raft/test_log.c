/* tests/unit/raft/test_log.c - The log in memory: what is there, what is durable, where logs agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/prng.h"
#include "raft/log.h"

/* Appends entries of these terms. */
static void append(struct raft_log *l, const raft_term *terms, size_t count)
{
    assert_int_equal(log_reserve(l, count, 0), 0);
    for (size_t i = 0; i < count; i++) {
        struct raft_entry e = { .id = { terms[i], log_last(l).index + 1 + i },
                                .type = RAFT_ENTRY_DATA };

        e.data = slice_of("data", 4);
        assert_int_equal(log_stage(l, &e), 0);
    }
    log_append_staged(l, 0);
}

static void test_a_late_report_does_not_mark_replacements(void **state)
{
    struct raft_log *l = calloc(1, sizeof(*l));
    const raft_term old[] = { 1, 1, 1 }, fresh[] = { 2, 2 };

    (void)state;
    log_init(l);
    append(l, old, 3);
    log_note_write(l, 1);
    log_truncate(l, 1);
    append(l, fresh, 2);
    log_note_write(l, 2);
    log_persisted(l, 1); /* of the old entries 1 to 3 */
    assert_int_equal(l->stable, 1);
    log_persisted(l, 2);
    assert_int_equal(l->stable, 3);
    log_deinit(l);
    free(l);
}

static void test_truncation_takes_durability_back(void **state)
{
    struct raft_log *l = calloc(1, sizeof(*l));
    const raft_term terms[] = { 1, 1, 1 };

    (void)state;
    log_init(l);
    append(l, terms, 3);
    log_note_write(l, 1);
    log_persisted(l, 1);
    log_truncate(l, 2);
    assert_int_equal(l->stable, 2);
    assert_int_equal(log_last(l).index, 2);
    log_deinit(l);
    free(l);
}

static void test_more_writes_than_remembered_are_reported_late_and_never_early(void **state)
{
    struct raft_log *l = calloc(1, sizeof(*l));
    const raft_term one[] = { 1 };
    const raft_write last = RAFT_PENDING_WRITES_MAX + 10;

    (void)state;
    log_init(l);
    for (raft_write seq = 1; seq <= last; seq++) {
        append(l, one, 1);
        log_note_write(l, seq);
    }
    for (raft_write seq = 1; seq <= last; seq++) {
        log_persisted(l, seq);
        assert_true(l->stable <= seq);
    }
    assert_int_equal(l->stable, last);
    log_deinit(l);
    free(l);
}

static void test_compaction_keeps_identity_of_its_last_entry_and_nothing_before(void **state)
{
    struct raft_log *l = calloc(1, sizeof(*l));
    const raft_term terms[] = { 1, 2, 2, 3 };
    raft_term term;

    (void)state;
    log_init(l);
    append(l, terms, 4);
    log_note_write(l, 1);
    log_persisted(l, 1);
    log_compact(l, (struct raft_entry_id){ 2, 2 }, slice_of(NULL, 0));
    assert_true(log_term(l, 2, &term));
    assert_int_equal(term, 2);
    assert_false(log_term(l, 1, &term));
    assert_false(log_term(l, 5, &term));
    assert_true(log_matches(l, (struct raft_entry_id){ 3, 4 }));
    assert_int_equal(log_at(l, 3)->id.term, 2);
    log_compact(l, (struct raft_entry_id){ 3, 4 }, slice_of(NULL, 0));
    assert_int_equal(log_last(l).index, 4);
    assert_int_equal(log_last(l).term, 3);
    assert_int_equal(l->bytes, 0);
    log_deinit(l);
    free(l);
}

/* Slow twin of the search by terms. */
static struct raft_entry_id slow_search(const struct raft_log *l, raft_index index, raft_term term)
{
    struct raft_entry_id at = log_last(l);

    while (at.index > l->base.last.index && (at.index > index || at.term > term)) {
        at.index--;
        at.term = at.index == l->base.last.index ? l->base.last.term : log_at(l, at.index)->id.term;
    }
    return at;
}

static void test_search_by_term_finds_what_a_walk_finds(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 4);
    for (int round = 0; round < 500; round++) {
        struct raft_log *l = calloc(1, sizeof(*l));
        raft_term terms[12], term = 1;
        size_t count = (size_t)prng_range(&p, 1, 12);

        log_init(l);
        for (size_t i = 0; i < count; i++)
            terms[i] = term += prng_below(&p, 3);
        append(l, terms, count);
        log_note_write(l, 1);
        log_persisted(l, 1);
        if (prng_chance(&p, 0.5)) {
            raft_index at = prng_range(&p, 1, count);

            log_compact(l, log_at(l, at)->id, slice_of(NULL, 0));
        }
        for (raft_index i = 0; i < 15; i++)
            for (raft_term t = 0; t < 30; t++) {
                struct raft_entry_id got = log_last_with_term(l, i, t), want = slow_search(l, i, t);

                assert_int_equal(got.index, want.index);
                assert_int_equal(got.term, want.term);
            }
        log_deinit(l);
        free(l);
    }
}

static void test_staged_entries_that_are_present_are_skipped(void **state)
{
    struct raft_log *l = calloc(1, sizeof(*l));
    const raft_term terms[] = { 1, 1 };

    (void)state;
    log_init(l);
    append(l, terms, 2);
    assert_int_equal(log_reserve(l, 2, 0), 0);
    for (raft_index i = 2; i <= 3; i++) {
        struct raft_entry e = { .id = { 1, i }, .data = slice_of("xy", 2) };

        assert_int_equal(log_stage(l, &e), 0);
    }
    log_append_staged(l, 1);
    assert_int_equal(log_last(l).index, 3);
    assert_int_equal(log_at(l, 2)->data.len, 4);
    assert_int_equal(log_at(l, 3)->data.len, 2);
    log_deinit(l);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_late_report_does_not_mark_replacements),
        cmocka_unit_test(test_truncation_takes_durability_back),
        cmocka_unit_test(test_more_writes_than_remembered_are_reported_late_and_never_early),
        cmocka_unit_test(test_compaction_keeps_identity_of_its_last_entry_and_nothing_before),
        cmocka_unit_test(test_search_by_term_finds_what_a_walk_finds),
        cmocka_unit_test(test_staged_entries_that_are_present_are_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
