/* tests/support/oom.h - Allocations that fail on purpose.
 *
 * Linked into every unit test: malloc, calloc and realloc called by our code behave as usual
 * until oom_fail_at() is called. The usual test of a function that allocates:
 *
 *     unsigned n = 0;
 *     do {
 *         oom_fail_at(++n);
 *         rc = thing_new(&thing);
 *         ... on failure: rc == -ENOMEM and nothing changed
 *     } while (oom_has_failed());
 *
 * It ends when the call succeeds with fewer than n allocations. The sanitizers see the leaks. */
#ifndef TESTS_SUPPORT_OOM_H
#define TESTS_SUPPORT_OOM_H

#include <stdbool.h>

void oom_fail_at(unsigned n); /* the n-th allocation from now on fails, once; 0 = none */
bool oom_has_failed(void);    /* whether it did; ends the wait for it in any case */

#endif /* TESTS_SUPPORT_OOM_H */
