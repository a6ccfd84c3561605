/* Rates of the containers: nanoseconds per operation at three sizes, keys like object ids. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/map.h"
#include "base/omap.h"
#include "base/prng.h"

#define OPERATIONS 1000000

static double now_ns(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void report(const char *what, size_t count, double start)
{
    printf("%-22s %8zu items  %8.1f ns/op\n", what, count, (now_ns() - start) / OPERATIONS);
}

static void bench_map(struct prng *p, const struct id *ids, size_t count)
{
    const struct hash_seed seed = { { 1 } };
    size_t found = 0;
    double start;
    struct map m;

    map_init(&m, &seed, count);
    for (size_t i = 0; i < count; i++)
        CHECK(map_set(&m, id_slice(&ids[i]), &m) == 0);
    start = now_ns();
    for (int i = 0; i < OPERATIONS; i++)
        found += map_get(&m, id_slice(&ids[prng_below(p, count)])) != NULL;
    report("map get", count, start);
    start = now_ns();
    for (int i = 0; i < OPERATIONS; i++) {
        struct slice key = id_slice(&ids[prng_below(p, count)]);

        found += map_remove(&m, key) != NULL;
        CHECK(map_set(&m, key, &m) == 0);
    }
    report("map remove and set", count, start);
    CHECK(found == 2 * OPERATIONS);
    map_deinit(&m);
}

static void bench_omap(struct prng *p, const struct id *ids, size_t count)
{
    size_t found = 0;
    double start;
    struct omap m;

    omap_init(&m);
    for (size_t i = 0; i < count; i++)
        CHECK(omap_set(&m, id_slice(&ids[i]), &m) == 0);
    start = now_ns();
    for (int i = 0; i < OPERATIONS; i++)
        found += omap_get(&m, id_slice(&ids[prng_below(p, count)])) != NULL;
    report("omap get", count, start);
    start = now_ns();
    for (int i = 0; i < OPERATIONS; i++) {
        struct slice key = id_slice(&ids[prng_below(p, count)]);

        found += omap_remove(&m, key) != NULL;
        CHECK(omap_set(&m, key, &m) == 0);
    }
    report("omap remove and set", count, start);
    CHECK(found == 2 * OPERATIONS);
    omap_deinit(&m);
}

static void bench_heap(struct prng *p, size_t count)
{
    struct heap_node *nodes = calloc(count, sizeof(*nodes));
    struct heap h;
    double start;

    CHECK(nodes != NULL);
    heap_init(&h);
    for (size_t i = 0; i < count; i++)
        heap_set(&h, &nodes[i], prng_below(p, NS_PER_S));
    start = now_ns();
    for (int i = 0; i < OPERATIONS; i++) { /* a timer fires and is set again */
        struct heap_node *n = heap_min(&h);

        heap_set(&h, n, n->deadline + prng_below(p, NS_PER_S));
    }
    report("heap fire and set", count, start);
    start = now_ns();
    for (int i = 0; i < OPERATIONS; i++) { /* a timer is put off before it fires */
        struct heap_node *n = &nodes[prng_below(p, count)];

        heap_set(&h, n, n->deadline + NS_PER_MS);
    }
    report("heap put off", count, start);
    free(nodes);
}

int main(void)
{
    static const size_t counts[] = { 100, 10000, 100000 };
    struct prng p;

    prng_init(&p, 1);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct id *ids = calloc(counts[i], sizeof(*ids));

        CHECK(ids != NULL);
        for (size_t j = 0; j < counts[i]; j++) {
            uint8_t random[ID_RANDOM_LEN];

            prng_bytes(&p, random, sizeof(random));
            ids[j] = id_from_random(random);
        }
        bench_map(&p, ids, counts[i]);
        bench_omap(&p, ids, counts[i]);
        bench_heap(&p, counts[i]);
        free(ids);
    }
    return 0;
}
