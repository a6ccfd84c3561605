/* The lanes' hash table: against a plain array, and with readers beside the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/prng.h"
#include "overlaynet/reclaim.h"
#include "overlaynet/table.h"

#define KEYS 3000

static void test_table_agrees_with_an_array(void **state)
{
    static void *twin[KEYS + 1];
    struct reclaim reclaim;
    struct table t;
    struct prng p;
    size_t count = 0, walked = 0;

    (void)state;
    reclaim_init(&reclaim);
    table_init(&t, &reclaim);
    prng_init(&p, 3);
    for (int i = 0; i < 100000; i++) {
        uint64_t key = 1 + prng_below(&p, KEYS);
        void *old = NULL, *value = (void *)(uintptr_t)(1 + prng_below(&p, 100000));

        if (prng_chance(&p, 0.55)) {
            assert_int_equal(table_set(&t, key, value, &old), 0);
            count += twin[key] == NULL;
        } else {
            value = NULL;
            old = table_remove(&t, key);
            count -= twin[key] != NULL;
        }
        assert_ptr_equal(old, twin[key]);
        twin[key] = value;
        assert_int_equal(t.count, count);
        key = 1 + prng_below(&p, KEYS);
        assert_ptr_equal(table_get(&t, key), twin[key]);
        reclaim_poll(&reclaim);
    }
    for (size_t at = 0; table_next(&t, &at) != NULL;)
        walked++;
    assert_int_equal(walked, count);
    table_deinit(&t);
    reclaim_deinit(&reclaim);
}

/* Values are numbers in memory that is poisoned when freed: a reader that holds one in its turn
 * must never see it change. */
struct shared {
    struct reclaim reclaim;
    struct table table;
    _Atomic int stop;
    _Atomic uint64_t seen, broken;
};

static void poison(void *object)
{
    *(_Atomic uint64_t *)object = 0;
    free(object);
}

static void *read_all(void *arg)
{
    struct shared *s = arg;
    struct prng p;

    prng_init(&p, 11);
    while (!atomic_load(&s->stop)) {
        reclaim_enter(&s->reclaim, &s->reclaim.readers[0]);
        for (int i = 0; i < 100; i++) {
            uint64_t key = 1 + prng_below(&p, 200);
            _Atomic uint64_t *v = table_get(&s->table, key);

            if (v == NULL)
                continue;
            if (atomic_load(v) != key)
                atomic_fetch_add(&s->broken, 1);
            atomic_fetch_add(&s->seen, 1);
        }
        reclaim_leave(&s->reclaim.readers[0]);
    }
    return NULL;
}

static void test_readers_never_see_what_was_freed(void **state)
{
    static struct shared s;
    pthread_t reader;
    struct prng p;

    (void)state;
    reclaim_init(&s.reclaim);
    table_init(&s.table, &s.reclaim);
    prng_init(&p, 12);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &s), 0);
    for (int i = 0; i < 300000 || atomic_load(&s.seen) < 1000; i++) {
        uint64_t key = 1 + prng_below(&p, 200);
        void *old = NULL;

        if (prng_chance(&p, 0.6)) {
            _Atomic uint64_t *v = malloc(sizeof(*v));

            atomic_init(v, key);
            assert_int_equal(table_set(&s.table, key, v, &old), 0);
        } else {
            old = table_remove(&s.table, key);
        }
        reclaim_later(&s.reclaim, old, poison);
        reclaim_poll(&s.reclaim);
    }
    atomic_store(&s.stop, 1);
    pthread_join(reader, NULL);
    assert_int_equal(atomic_load(&s.broken), 0);
    for (size_t at = 0;;) {
        void *v = table_next(&s.table, &at);

        if (v == NULL)
            break;
        free(v);
    }
    reclaim_deinit(&s.reclaim);
    table_deinit(&s.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_agrees_with_an_array),
        cmocka_unit_test(test_readers_never_see_what_was_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
