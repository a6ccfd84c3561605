/* The small parts: frames, addresses, and who has tried too often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "node/cluster/link_address.h"
#include "node/cluster/link_attempts.h"
#include "node/cluster/link_frame.h"

static void test_a_frame_s_bytes(void **state)
{
    const uint8_t golden[] = { 19, LINK_LOGS, 0, 1, 2, 3, 'h', 'i' };
    const struct frame f = {
        .type = FRAME_DATA, .channel = LINK_LOGS, .stream = 0x010203, .body = { golden + 6, 2 }
    };
    uint8_t out[FRAME_LEN_MAX];
    struct frame back;

    (void)state;
    assert_int_equal(frame_encode(&f, out), sizeof(golden));
    assert_memory_equal(out, golden, sizeof(golden));
    assert_int_equal(frame_decode(slice_of(out, sizeof(golden)), &back), 0);
    assert_int_equal(back.type, FRAME_DATA);
    assert_int_equal(back.stream, 0x010203);
    assert_true(slice_equal(back.body, f.body));
}

static void test_frames_that_break_the_form(void **state)
{
    const struct {
        const char *why;
        uint8_t bytes[16];
        size_t len;
    } cases[] = {
        { "shorter than a head", { 1, 0, 0, 0, 0 }, 5 },
        { "of no known type", { 99, 0, 0, 0, 0, 0 }, 6 },
        { "type zero", { 0, 0, 0, 0, 0, 0 }, 6 },
        { "of the link, on a channel", { FRAME_ACCEPT, LINK_RAFT, 0, 0, 0, 0 }, 6 },
        { "of the link, with a stream", { FRAME_ACCEPT, 0, 0, 0, 0, 1 }, 6 },
        { "a message without a channel", { FRAME_MESSAGE, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 10 },
        { "a message with a stream", { FRAME_MESSAGE, LINK_RAFT, 0, 0, 0, 1, 0, 0, 0, 0 }, 10 },
        { "on a channel that does not exist", { FRAME_OPEN, LINK_CHANNEL_MAX + 1, 0, 0, 0, 1 }, 6 },
        { "data of no stream", { FRAME_DATA, LINK_LOGS, 0, 0, 0, 0, 'x' }, 7 },
        { "data without any", { FRAME_DATA, LINK_LOGS, 0, 0, 0, 1 }, 6 },
        { "a ping with too little", { FRAME_PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7 }, 13 },
        { "credit with too much", { FRAME_CREDIT, LINK_LOGS, 0, 0, 0, 1, 1, 2, 3, 4, 5 }, 11 },
    };
    static uint8_t big[FRAME_LEN_MAX + 1] = { FRAME_DATA, LINK_LOGS, 0, 0, 0, 1 };
    struct frame f;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].why);
        assert_int_equal(frame_decode(slice_of(cases[i].bytes, cases[i].len), &f), ERR_MALFORMED);
    }
    assert_int_equal(frame_decode(slice_of(big, sizeof(big) - 1), &f), 0);
    assert_int_equal(frame_decode(slice_of(big, sizeof(big)), &f), ERR_MALFORMED);
}

static void test_addresses(void **state)
{
    const struct {
        const char *text, *formatted; /* NULL: refused */
    } cases[] = {
        { "10.0.0.1:2377", "10.0.0.1:2377" },
        { "10.0.0.1", "10.0.0.1:2377" },
        { "[fd00::1]:80", "[fd00::1]:80" },
        { "[fd00::1]", "[fd00::1]:2377" },
        { "fd00::1", "[fd00::1]:2377" },
        { "0.0.0.0:0", "0.0.0.0:0" },
        { "", NULL },
        { ":2377", NULL },
        { "10.0.0.1:", NULL },
        { "10.0.0.1:65536", NULL },
        { "10.0.0.1:-1", NULL },
        { "10.0.0.1:1 ", NULL },
        { "10.0.0.256:1", NULL },
        { "[fd00::1", NULL },
        { "[fd00::1]x", NULL },
        { "host:1", NULL },
    };
    struct sockaddr_storage a;
    char text[LINK_ADDRESS_LEN];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  \"%s\"\n", cases[i].text);
        assert_int_equal(address_parse(cases[i].text, &a),
                         cases[i].formatted == NULL ? ERR_INVALID : 0);
        if (cases[i].formatted == NULL)
            continue;
        address_format((const struct sockaddr *)&a, text);
        assert_string_equal(text, cases[i].formatted);
    }
}

static void test_a_host_that_failed_too_often_waits(void **state)
{
    struct link_attempts a = { 0 };
    mono_ns now = NS_PER_S;

    (void)state;
    for (size_t i = 0; i < ENROLL_FAILURES_MAX; i++) {
        assert_true(attempts_may_try(&a, "10.0.0.1", now + i));
        attempts_failed(&a, "10.0.0.1", now + i);
    }
    assert_false(attempts_may_try(&a, "10.0.0.1", now + 10));
    assert_true(attempts_may_try(&a, "10.0.0.2", now + 10));
    assert_false(attempts_may_try(&a, "10.0.0.1", now + ENROLL_WINDOW_NS - 1));
    assert_true(attempts_may_try(&a, "10.0.0.1", now + ENROLL_WINDOW_NS));
    attempts_failed(&a, "10.0.0.1", now + ENROLL_WINDOW_NS); /* counts from one again */
    assert_true(attempts_may_try(&a, "10.0.0.1", now + ENROLL_WINDOW_NS + 1));
}

static void test_the_oldest_host_makes_room(void **state)
{
    struct link_attempts a = { 0 };
    char host[LINK_ADDRESS_LEN];

    (void)state;
    for (unsigned i = 0; i <= ENROLL_ADDRESSES_MAX; i++) {
        (void)snprintf(host, sizeof(host), "10.0.1.%u", i);
        for (size_t k = 0; k < ENROLL_FAILURES_MAX; k++)
            attempts_failed(&a, host, NS_PER_S + i);
    }
    assert_true(attempts_may_try(&a, "10.0.1.0", 2 * NS_PER_S));
    assert_false(attempts_may_try(&a, "10.0.1.1", 2 * NS_PER_S));
    assert_false(attempts_may_try(&a, host, 2 * NS_PER_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_s_bytes),
        cmocka_unit_test(test_frames_that_break_the_form),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_a_host_that_failed_too_often_waits),
        cmocka_unit_test(test_the_oldest_host_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
