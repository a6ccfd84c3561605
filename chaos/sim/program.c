/* chaos/sim/program.c - Arguments, the loop over seeds, the report. */
#include "chaos/sim/program.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/attr.h"

enum { MINIMISE_RUNS = 400 };

struct arguments {
    uint64_t seed, count;
    double seconds; /* 0 = no limit */
    bool once, text, minimise;
    const char *sets[32];
    size_t set_count;
};

static int usage(const struct sim_program *p)
{
    fprintf(stderr,
            "usage: %s [--seed N] [--count M] [--seconds S] [--once] [--text] "
            "[--minimise] [--set column=n]\n",
            p->name);
    return 2;
}

static bool parse(int argc, char **argv, struct arguments *a)
{
    *a = (struct arguments){ .seed = 1, .count = 1 };
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--once") == 0)
            a->once = true;
        else if (strcmp(argv[i], "--text") == 0)
            a->text = true;
        else if (strcmp(argv[i], "--minimise") == 0)
            a->minimise = true;
        else if (next == NULL)
            return false;
        else if (strcmp(argv[i], "--seed") == 0)
            a->seed = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--count") == 0)
            a->count = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            a->seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--set") == 0 && a->set_count < ARRAY_LEN(a->sets))
            a->sets[a->set_count++] = argv[++i];
        else
            return false;
    }
    return true;
}

static bool apply_sets(const struct sim_program *p, const struct arguments *a)
{
    for (size_t i = 0; i < a->set_count; i++) {
        char name[32];
        const char *equals = strchr(a->sets[i], '=');

        if (equals == NULL || (size_t)(equals - a->sets[i]) >= sizeof(name))
            return false;
        memcpy(name, a->sets[i], (size_t)(equals - a->sets[i]));
        name[equals - a->sets[i]] = 0;
        if (!p->set(name, strtoull(equals + 1, NULL, 0)))
            return false;
    }
    return true;
}

static double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const struct sim_program *p, const struct arguments *a, uint64_t seed,
                   struct sim_outcome *r)
{
    printf("seed %" PRIu64 " FAILED at %.6f s: %s\n", seed, (double)r->failed_at / (double)NS_PER_S,
           r->violation);
    if (a->minimise) {
        p->minimise(MINIMISE_RUNS, r);
        printf("smallest: %s\n", r->violation);
    }
    printf("again: %s --text --once ", p->name);
    p->print(stdout);
}

/* One seed, twice.  false: it has failed, and that is printed. */
static bool run_seed(const struct sim_program *p, const struct arguments *a, uint64_t seed,
                     struct sim_outcome *out)
{
    struct sim_outcome second;

    p->run(a->text ? stdout : NULL, out);
    p->count();
    if (out->failed) {
        report(p, a, seed, out);
        return false;
    }
    if (a->once)
        return true;
    p->run(NULL, &second);
    if (out->hash == second.hash)
        return true;
    printf("seed %" PRIu64 " FAILED: two runs differ\n", seed);
    return false;
}

int sim_main(const struct sim_program *p, int argc, char **argv)
{
    double begun = seconds_now(), took, simulated = 0;
    struct sim_outcome out;
    struct arguments a;
    uint64_t done = 0;

    if (!parse(argc, argv, &a))
        return usage(p);
    for (; done < a.count && (a.seconds <= 0 || seconds_now() - begun <= a.seconds); done++) {
        p->draw(a.seed + done);
        if (!apply_sets(p, &a))
            return usage(p);
        if (!run_seed(p, &a, a.seed + done, &out))
            return 1;
        simulated += (double)out.simulated / (double)NS_PER_S;
    }
    took = seconds_now() - begun;
    printf("%" PRIu64 " seeds ok in %.1f s: %.1f seeds/s, %.0f s simulated (%.0fx, %s), ", done,
           took, (double)done / took, simulated, simulated / took,
           a.once ? "each once" : "each twice");
    p->totals();
    return 0;
}
