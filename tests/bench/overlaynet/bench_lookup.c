/* What a look-up costs in a small and in a large network: nanoseconds, for a working set of 64
 * endpoints, as a lane sees them. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "overlaynet/reclaim.h"
#include "overlaynet/table.h"

#define HOT    64
#define ROUNDS 200000

static uint64_t key_of(uint64_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15) | UINT64_C(1) << 63;
}

static double measure(size_t count)
{
    static uint64_t sink;
    struct reclaim reclaim;
    struct timespec a, b;
    double best = 1e9;
    struct table t;

    reclaim_init(&reclaim);
    table_init(&t, &reclaim);
    for (size_t i = 0; i < count; i++) {
        void *old = NULL;

        if (table_set(&t, key_of(i), &sink, &old) < 0)
            exit(1);
        reclaim_poll(&reclaim);
    }
    for (int pass = 0; pass < 20; pass++) {
        double ns;

        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < ROUNDS; i++)
            sink += (uint64_t)(uintptr_t)table_get(&t, key_of((uint64_t)i % HOT));
        clock_gettime(CLOCK_MONOTONIC, &b);
        ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / ROUNDS;
        best = ns < best ? ns : best;
    }
    printf("%zu endpoints: %.2f ns a look-up, %.1f bytes each in the table\n", count, best,
           (double)table_memory(&t) / (double)count);
    table_deinit(&t);
    reclaim_deinit(&reclaim);
    return best;
}

int main(void)
{
    double small = measure(HOT), large = measure(100000);

    printf("ratio %.2f\n", large / small);
    return 0;
}
