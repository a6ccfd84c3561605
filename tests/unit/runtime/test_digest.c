/* Digests of contents: known answers, however the bytes come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/digest.h"

/* FIPS 180-2, appendix B, and the digest of nothing. */
static void test_known_answers(void **state)
{
    const struct {
        const char *bytes, *digest;
    } cases[] = {
        { "", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(digest_of(slice_of_str(cases[i].bytes)).text, cases[i].digest);
}

static void test_pieces_of_any_size_are_one_text(void **state)
{
    uint8_t many[1000];
    struct digest_state s;
    size_t left = 1000000;

    (void)state;
    memset(many, 'a', sizeof(many));
    digest_begin(&s);
    for (size_t piece = 1; left > 0; piece = piece % sizeof(many) + 1) {
        size_t len = piece < left ? piece : left;

        digest_update(&s, slice_of(many, len));
        left -= len;
    }
    assert_int_equal(s.len, 1000000);
    assert_string_equal(digest_end(&s).text,
                        "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_a_chain_is_of_its_two_texts(void **state)
{
    struct digest lower = digest_of(slice_of_str("lower")),
                  upper = digest_of(slice_of_str("upper"));
    struct digest lowest = digest_chain(NULL, &lower), both = digest_chain(&lower, &upper), wanted;
    char text[2 * DIGEST_TEXT_LEN + 2];

    (void)state;
    (void)snprintf(text, sizeof(text), "%s %s", lower.text, upper.text);
    wanted = digest_of(slice_of_str(text));
    assert_true(digest_equal(&lowest, &lower));
    assert_true(digest_equal(&both, &wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_pieces_of_any_size_are_one_text),
        cmocka_unit_test(test_a_chain_is_of_its_two_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
