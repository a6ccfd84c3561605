/* tests/support/loop.h - A libuv loop that a test turns by hand. */
#ifndef TESTS_SUPPORT_LOOP_H
#define TESTS_SUPPORT_LOOP_H

#include <uv.h>

#include "base/units.h"
#include "tests/support/unit.h"

static inline void loop_on_turn_over(uv_timer_t *timer)
{
    (void)timer;
}

/* One turn, which waits at most 20 ms for something to happen. */
static inline void loop_turn(uv_loop_t *loop)
{
    uv_timer_t timer;

    assert_int_equal(uv_timer_init(loop, &timer), 0);
    uv_update_time(loop); /* of a loop that has not run for 20 ms the timer would be over before it
                           * waits, and bound nothing */
    assert_int_equal(uv_timer_start(&timer, loop_on_turn_over, 20, 0), 0);
    (void)uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT); /* lets go of it */
}

/* Turns until the condition holds; fails the test after `seconds`. */
#define LOOP_UNTIL(loop, seconds, condition)                        \
    do {                                                            \
        uint64_t loop_until_end = uv_hrtime() + (seconds)*NS_PER_S; \
        while (!(condition)) {                                      \
            assert_true(uv_hrtime() < loop_until_end);              \
            loop_turn(loop);                                        \
        }                                                           \
    } while (0)

/* Lets everything that is closing close, and closes the loop. */
static inline void loop_end(uv_loop_t *loop)
{
    while (uv_run(loop, UV_RUN_NOWAIT) != 0)
        ;
    assert_int_equal(uv_loop_close(loop), 0);
}

#endif /* TESTS_SUPPORT_LOOP_H */
