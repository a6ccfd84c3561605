/* What is dropped comes back unchanged. */
#include <stdio.h>
#include <unistd.h>

#include <sodium.h>

#include "node/memory.h"
#include "tests/support/unit.h"

/* Resident pages of files, from /proc/self/statm: "size resident shared ..". */
static long file_pages(void)
{
    long size, resident, shared;
    FILE *f = fopen("/proc/self/statm", "re");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld %ld", &size, &resident, &shared), 3);
    assert_int_equal(fclose(f), 0);
    return shared;
}

static void test_fewer_pages_are_resident_and_code_runs_on(void **state)
{
    uint8_t before[32], after[32];
    long resident = file_pages();

    (void)state;
    (void)crypto_hash_sha256(before, (const uint8_t *)"abc", 3);
    memory_drop_start_pages();
    assert_true(file_pages() < resident);
    (void)crypto_hash_sha256(after, (const uint8_t *)"abc", 3);
    assert_memory_equal(before, after, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fewer_pages_are_resident_and_code_runs_on),
    };

    assert_true(sodium_init() >= 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
