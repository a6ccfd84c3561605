/* chaos/sim/main.c - sim: runs seeds of a simulated world until one breaks a rule.
 *
 *     sim_raft [--seed N] [--count M] [--seconds S] [--once] [--text] [--minimise] [--set column=n]
 *
 * Every seed runs twice and must give the same trace. Exit code 1: a rule was broken, and the last
 * lines say how to see it again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chaos/sim/raft_world.h"

struct arguments {
    uint64_t seed, count;
    double seconds; /* 0 = no limit */
    bool once, text, minimise;
    const char *sets[32];
    size_t set_count;
};

static int usage(void)
{
    fprintf(stderr, "usage: sim_raft [--seed N] [--count M] [--seconds S] [--once] [--text] "
                    "[--minimise] [--set column=n]\n");
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
        else if (strcmp(argv[i], "--set") == 0 && a->set_count < 32)
            a->sets[a->set_count++] = argv[++i];
        else
            return false;
    }
    return true;
}

static bool apply_sets(const struct arguments *a, struct raft_options *o)
{
    for (size_t i = 0; i < a->set_count; i++) {
        char name[32];
        const char *equals = strchr(a->sets[i], '=');

        if (equals == NULL || (size_t)(equals - a->sets[i]) >= sizeof(name))
            return false;
        memcpy(name, a->sets[i], (size_t)(equals - a->sets[i]));
        name[equals - a->sets[i]] = 0;
        if (!raft_options_set(o, name, strtoull(equals + 1, NULL, 0)))
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

static void report(struct raft_options *o, struct raft_result *r, const struct arguments *a)
{
    printf("seed %" PRIu64 " FAILED at %.6f s: %s\n", o->seed,
           (double)r->failed_at / (double)NS_PER_S, r->violation);
    if (a->minimise) {
        o->text = NULL;
        raft_minimise(o, r, 400);
        printf("smallest: %s\n", r->violation);
    }
    printf("again: sim_raft --text --once ");
    raft_options_print(o, stdout);
}

struct totals {
    uint64_t seeds, events, committed, reads, writes, elections, installs, crashes, repairs, confs;
    double simulated;
};

static void add(struct totals *t, const struct raft_result *r)
{
    t->seeds++;
    t->events += r->events;
    t->committed += r->committed;
    t->reads += r->reads;
    t->writes += r->writes;
    t->elections += r->elections;
    t->installs += r->installs;
    t->crashes += r->crashes;
    t->repairs += r->repairs;
    t->confs += r->conf_changes;
    t->simulated += (double)r->simulated / (double)NS_PER_S;
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct totals t = { 0 };
    double begun = seconds_now(), took;

    if (!parse(argc, argv, &a))
        return usage();
    for (uint64_t seed = a.seed; seed < a.seed + a.count; seed++) {
        struct raft_options o;
        struct raft_result first, second;

        if (a.seconds > 0 && seconds_now() - begun > a.seconds)
            break;
        raft_options_draw(&o, seed);
        if (!apply_sets(&a, &o))
            return usage();
        o.text = a.text ? stdout : NULL;
        raft_world_run(&o, &first);
        o.text = NULL;
        if (!first.failed && !a.once) {
            raft_world_run(&o, &second);
            if (first.hash != second.hash) {
                printf("seed %" PRIu64 " FAILED: two runs differ\n", seed);
                return 1;
            }
        }
        add(&t, &first);
        if (first.failed) {
            report(&o, &first, &a);
            return 1;
        }
    }
    took = seconds_now() - begun;
    printf("%" PRIu64 " seeds ok in %.1f s: %.0f seeds/s, %.0f s simulated (%.0fx, %s), %" PRIu64
           " events; %" PRIu64 " entries committed, %" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64
           " elections, %" PRIu64 " crashes, %" PRIu64 " installs, %" PRIu64 " repairs, %" PRIu64
           " changes of members\n",
           t.seeds, took, (double)t.seeds / took, t.simulated, t.simulated / took,
           a.once ? "each once" : "each twice", t.events, t.committed, t.reads, t.writes,
           t.elections, t.crashes, t.installs, t.repairs, t.confs);
    return 0;
}
