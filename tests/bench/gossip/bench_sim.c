/* The figures of docs/benchmarks/gossip.md: detection, false positives, dissemination, healing and
 * load in the simulator, the core beside models of memberlist's and SWIM's rules, same seeds and
 * same faults. Options: --quick (a tenth of the trials), --max=N (no larger groups), --large[=N]
 * (groups of 10 000; ours needs about 12 GiB), --only=RULES (of crash and --large), or names of
 * tables. */
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "chaos/sim/gossip_model.h"
#include "chaos/sim/gossip_world.h"

#define SETTLE_S      3 /* after the join */
#define LARGE_CRASHES 3 /* for each loss, of 10 000 members; of fewer more */

static unsigned divisor = 1;           /* of the number of trials */
static unsigned size_max = UINT32_MAX; /* of a group */
static const char *only;               /* the rules to run, by name; NULL = all */

static const struct world_engine *const engines[] = { &world_shoal, &world_memberlist,
                                                      &world_swim };

/* --- samples */

struct samples {
    double *list;
    size_t count, cap;
};

static void add(struct samples *s, double v)
{
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 64 : s->cap * 2;
        s->list = realloc(s->list, s->cap * sizeof(*s->list));
        CHECK(s->list != NULL);
    }
    s->list[s->count++] = v;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double percentile(struct samples *s, double p)
{
    if (s->count == 0)
        return -1;
    qsort(s->list, s->count, sizeof(*s->list), compare);
    return s->list[MAX((size_t)ceil(p * (double)s->count), 1) - 1]; /* nearest rank */
}

static double seconds(mono_ns t)
{
    return (double)t / (double)NS_PER_S;
}

/* --- watching one subject */

struct watch {
    unsigned subject;
    enum gossip_status status;
    unsigned seen; /* observers that hold it so */
    mono_ns first;
    uint8_t *holds; /* by observer */
};

static void on_report(void *ctx, struct world *w, unsigned observer, unsigned subject,
                      enum gossip_status status)
{
    struct watch *watch = ctx;
    bool holds = status == watch->status;

    if (subject != watch->subject || watch->holds == NULL || holds == watch->holds[observer])
        return;
    if (status == GOSSIP_UNKNOWN && watch->status != GOSSIP_UNKNOWN)
        return; /* new metadata is no change of mind */
    if (!holds && watch->status == GOSSIP_UNKNOWN)
        return;
    watch->holds[observer] = holds;
    watch->seen += holds ? 1 : (unsigned)-1;
    if (watch->first == 0)
        watch->first = world_now(w);
}

static void watch_begin(struct watch *watch, struct world *w, unsigned subject,
                        enum gossip_status status)
{
    free(watch->holds);
    *watch = (struct watch){ .subject = subject, .status = status };
    watch->holds = calloc(world_cfg(w)->node_count, 1);
    CHECK(watch->holds != NULL);
}

/* Until `others` hold it; MONO_NEVER after `max`. */
static mono_ns watch_run(struct watch *watch, struct world *w, unsigned others, mono_ns max)
{
    mono_ns from = world_now(w);

    while (watch->seen < others && world_now(w) - from < max)
        world_run(w, world_now(w) + 10 * NS_PER_MS);
    return watch->seen < others ? MONO_NEVER : world_now(w) - from;
}

/* A group that has formed on a good network; then the loss begins. */
static struct world *joined(struct world_config *cfg)
{
    double loss = cfg->loss;
    struct world *w;

    cfg->loss = 0;
    w = world_new(cfg);
    CHECK(w != NULL);
    world_run(w, cfg->join_spread + NS_PER_MS);
    if (cfg->engine == &world_shoal)
        CHECK(world_converge(w, 120 * NS_PER_S) != MONO_NEVER);
    world_set_loss(w, loss);
    world_run(w, world_now(w) + SETTLE_S * NS_PER_S);
    return w;
}

static struct world_config config(const struct world_engine *engine, unsigned n, double loss,
                                  uint64_t seed, struct watch *watch)
{
    struct world_config cfg;

    world_config_init(&cfg);
    cfg.engine = engine;
    cfg.node_count = n;
    cfg.loss = loss;
    cfg.seed = seed;
    cfg.contact_count = 3;
    cfg.meta_len = 64;
    cfg.on_report = on_report;
    cfg.ctx = watch;
    return cfg;
}

/* --- tables */

static bool is_wanted(const struct world_engine *engine)
{
    return only == NULL || strcmp(only, engine->name) == 0;
}

/* The crashes of one row of the table. */
struct crashes {
    unsigned trials, failed;
    struct samples first, all;
};

/* One more of the members stops; the last of those still up. */
static void crash_one(struct crashes *c, struct world *w, struct watch *watch, unsigned up)
{
    mono_ns at, took;

    watch_begin(watch, w, up - 1, GOSSIP_UNREACHABLE);
    at = world_now(w);
    world_crash(w, up - 1);
    took = watch_run(watch, w, up - 1, 120 * NS_PER_S);
    c->trials++;
    if (watch->first != 0)
        add(&c->first, seconds(watch->first - at));
    if (took == MONO_NEVER)
        c->failed++;
    else
        add(&c->all, seconds(took));
}

static void crash_row(struct crashes *c, const struct world_engine *engine, unsigned n, double loss)
{
    printf("| %5u | %3.0f %% | %-10s | %6u | %5.2f | %5.2f | %5.2f | %5.2f | %u |\n", n, loss * 100,
           engine->name, c->trials, percentile(&c->first, 0.5), percentile(&c->all, 0.5),
           percentile(&c->all, 0.99), percentile(&c->all, 1), c->failed);
    fflush(stdout);
    free(c->first.list);
    free(c->all.list);
}

static void crash_trials(const struct world_engine *engine, unsigned n, double loss,
                         unsigned trials)
{
    unsigned per_world = n < 10 ? 1 : MIN(n / 10, 10);
    struct crashes c = { 0 };

    while (c.trials < trials) {
        struct watch watch = { 0 };
        struct world_config cfg = config(engine, n, loss, 1000 + c.trials, &watch);
        struct world *w = joined(&cfg);
        struct prng prng;

        prng_init(&prng, c.trials);
        for (unsigned k = 0; k < per_world && c.trials < trials; k++) {
            world_run(w, world_now(w) + 2 * NS_PER_S + prng_below(&prng, NS_PER_S));
            crash_one(&c, w, &watch, n - k);
        }
        world_free(w);
        free(watch.holds);
    }
    crash_row(&c, engine, n, loss);
}

static const double losses[] = { 0, 0.10, 0.25 };

static void crash_header(void)
{
    printf("\nCrash of one member, seconds until known (first, all: p50, p99, max; never)\n\n"
           "| n | loss | rules | trials | first p50 | all p50 | all p99 | all max | never |\n"
           "|---|---|---|---|---|---|---|---|---|\n");
}

/* One large group of each kind: joined once, then the loss is raised and members crash. */
static void large_group(const struct world_engine *engine, unsigned n)
{
    struct watch watch = { 0 };
    struct world_config cfg = config(engine, n, 0, 1, &watch);
    clock_t started = clock();
    unsigned up = n, crashes = MAX(LARGE_CRASHES * 10000 / n / 2, LARGE_CRASHES);
    struct world *w;

    cfg.join_spread = cfg.contact_count = 0;
    w = world_new(&cfg);
    CHECK(w != NULL);
    world_run(w, 0);
    if (engine == &world_shoal)
        world_acquaint(w);
    fprintf(stderr, "%s: %u members know each other; %.0f s of CPU\n", engine->name, n,
            (double)(clock() - started) / CLOCKS_PER_SEC);
    world_run(w, SETTLE_S * NS_PER_S);
    CHECK(world_is_converged(w));
    for (size_t l = 0; l < ARRAY_LEN(losses); l++) {
        struct crashes c = { 0 };

        world_set_loss(w, losses[l]);
        for (unsigned k = 0; k < crashes; k++) {
            world_run(w, world_now(w) + 2 * NS_PER_S);
            crash_one(&c, w, &watch, up--);
        }
        crash_row(&c, engine, n, losses[l]);
    }
    fprintf(stderr, "%s: false verdicts %llu; %.1f packets/s each; %.0f s of CPU, %.1f GiB\n",
            engine->name, (unsigned long long)world_count(w).false_any,
            (double)world_count(w).packets / seconds(world_now(w)) / n,
            (double)(clock() - started) / CLOCKS_PER_SEC,
            (double)mallinfo2().uordblks / (1024.0 * 1024 * 1024));
    world_free(w);
    free(watch.holds);
}

static void large_groups(unsigned n)
{
    for (size_t e = 0; e < ARRAY_LEN(engines); e++) {
        if (is_wanted(engines[e]))
            large_group(engines[e], n);
    }
}

static void large(unsigned n)
{
    crash_header();
    large_groups(n);
}

static void crash_table(void)
{
    static const struct {
        unsigned n, trials;
    } sizes[] = { { 3, 200 }, { 10, 100 }, { 100, 400 } };

    crash_header();
    for (size_t s = 0; s < ARRAY_LEN(sizes) && sizes[s].n <= size_max; s++) {
        for (size_t l = 0; l < ARRAY_LEN(losses); l++) {
            for (size_t e = 0; e < ARRAY_LEN(engines); e++) {
                if (is_wanted(engines[e]))
                    crash_trials(engines[e], sizes[s].n, losses[l],
                                 MAX(sizes[s].trials / divisor, 2));
            }
        }
    }
    if (size_max >= 1000)
        large_groups(1000);
}

/* Lifeguard's experiment: slow members stand still for seconds, again and again. */
static void slow_trial(const struct world_engine *engine, unsigned slow, double loss)
{
    struct watch watch = { 0 };
    struct world_config cfg = config(engine, 100, loss, 77 + slow, &watch);
    struct world_counts c;
    struct world *w;
    mono_ns minutes = MAX(10 / divisor, 2);

    cfg.slow_count = slow;
    cfg.slow_from = 15 * NS_PER_S;
    cfg.stall_min = 100 * NS_PER_MS;
    cfg.stall_max = 4 * NS_PER_S;
    cfg.awake_min = NS_PER_MS;
    cfg.awake_max = 20 * NS_PER_MS;
    cfg.work_time = NS_PER_MS;
    w = joined(&cfg);
    world_run(w, 15 * NS_PER_S);
    world_reset_counts(w);
    world_run(w, world_now(w) + minutes * 60 * NS_PER_S);
    c = world_count(w);
    printf("| %2u | %3.0f %% | %-10s | %6llu | %6llu | %6llu | %5.1f |\n", slow, loss * 100,
           engine->name, (unsigned long long)c.false_healthy, (unsigned long long)c.false_subject,
           (unsigned long long)(c.false_any - c.false_subject),
           (double)c.packets / 100 / 60 / (double)minutes);
    fflush(stdout);
    world_free(w);
}

static void slow_table(void)
{
    static const unsigned slow[] = { 0, 1, 4, 16, 30 };

    printf("\nFalse verdicts, n = 100, %u minutes, slow members standing still 0.1 to 4 s\n\n"
           "| slow | loss | rules | by and about healthy | about healthy | about slow | packets/s "
           "each "
           "|\n|---|---|---|---|---|---|---|\n",
           MAX(10 / divisor, 2));
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        for (size_t e = 0; e < ARRAY_LEN(engines); e++)
            slow_trial(engines[e], slow[i], 0);
    }
    for (size_t e = 0; e < ARRAY_LEN(engines); e++)
        slow_trial(engines[e], 4, 0.25);
}

static void meta_trials(unsigned n, double loss, unsigned trials)
{
    struct watch watch = { 0 };
    struct world_config cfg = config(&world_shoal, n, loss, 5, &watch);
    struct world *w = joined(&cfg);
    struct samples all = { 0 };

    for (unsigned t = 0; t < trials; t++) {
        uint8_t meta[64] = { (uint8_t)t, (uint8_t)(t >> 8), 1 };
        mono_ns took;

        watch_begin(&watch, w, t % n, GOSSIP_UNKNOWN);
        world_set_meta(w, t % n, slice_of(meta, sizeof(meta)));
        took = watch_run(&watch, w, n - 1, 60 * NS_PER_S);
        add(&all, took == MONO_NEVER ? 60 : seconds(took));
        world_run(w, world_now(w) + 2 * NS_PER_S);
    }
    printf("| %5u | %3.0f %% | %5u | %5.2f | %5.2f | %5.2f |\n", n, loss * 100, trials,
           percentile(&all, 0.5), percentile(&all, 0.99), percentile(&all, 1));
    fflush(stdout);
    world_free(w);
    free(watch.holds);
    free(all.list);
}

static void meta_table(void)
{
    static const unsigned sizes[] = { 3, 10, 100, 1000 };

    printf("\nChanged metadata, seconds until all have it\n\n"
           "| n | loss | trials | p50 | p99 | max |\n|---|---|---|---|---|---|\n");
    for (size_t s = 0; s < ARRAY_LEN(sizes) && sizes[s] <= size_max; s++) {
        for (size_t l = 0; l < ARRAY_LEN(losses); l++)
            meta_trials(sizes[s], losses[l], (sizes[s] > 100 ? 20 : 200) / divisor);
    }
}

static void heal_trials(const struct world_engine *engine, unsigned n, unsigned cut,
                        unsigned trials)
{
    struct samples all = { 0 };
    unsigned never = 0;

    for (unsigned t = 0; t < trials; t++) {
        struct watch watch = { 0 };
        struct world_config cfg = config(engine, n, 0, 900 + t, &watch);
        struct world *w = joined(&cfg);
        mono_ns took;

        for (unsigned i = 0; i < cut; i++)
            world_set_group(w, i, 1);
        world_run(w, world_now(w) + 3600 * NS_PER_S + t * NS_PER_S);
        world_heal(w);
        took = world_converge(w, 300 * NS_PER_S);
        if (took == MONO_NEVER)
            never++;
        else
            add(&all, seconds(took));
        world_free(w);
    }
    printf("| %3u | %2u | %-10s | %3u | %5.1f | %5.1f | %u |\n", n, cut, engine->name, trials,
           percentile(&all, 0.5), percentile(&all, 1), never);
    fflush(stdout);
    free(all.list);
}

static void heal_table(void)
{
    printf("\nAfter a partition of an hour, seconds until all views agree\n\n"
           "| n | cut off | rules | trials | p50 | max | never in 300 s "
           "|\n|---|---|---|---|---|---|---|\n");
    for (size_t e = 0; e < 2; e++) {
        heal_trials(engines[e], 2, 1, MAX(40 / divisor, 2));
        heal_trials(engines[e], 10, 1, MAX(20 / divisor, 2));
        heal_trials(engines[e], 40, 20, MAX(6 / divisor, 2));
    }
}

static void idle_table(void)
{
    static const unsigned sizes[] = { 3, 10, 100, 1000 };

    printf("\nQuiet group: what one member sends (bytes above UDP)\n\n"
           "| n | packets/s | bytes/s |\n|---|---|---|\n");
    for (size_t s = 0; s < ARRAY_LEN(sizes) && sizes[s] <= size_max; s++) {
        struct watch watch = { 0 };
        struct world_config cfg = config(&world_shoal, sizes[s], 0, 3, &watch);
        struct world *w = joined(&cfg);
        struct world_counts c;

        world_run(w, world_now(w) + 5 * NS_PER_S);
        world_reset_counts(w);
        world_run(w, world_now(w) + 30 * NS_PER_S);
        c = world_count(w);
        printf("| %5u | %5.2f | %4.0f |\n", sizes[s], (double)c.packets / 30 / sizes[s],
               (double)c.bytes / 30 / sizes[s]);
        world_free(w);
    }
}

static void own_pool(struct gossip_config *cfg)
{
    cfg->pool = NULL;
}

static void memory_table(void)
{
    static const unsigned sizes[] = { 50, 250 };
    double bytes[2];

    for (size_t s = 0; s < 2; s++) {
        struct watch watch = { 0 };
        struct world_config cfg = config(&world_shoal, sizes[s], 0, 3, &watch);
        size_t before = mallinfo2().uordblks;
        struct world *w;

        cfg.tune = own_pool;
        w = joined(&cfg);
        world_run(w, world_now(w) + 20 * NS_PER_S);
        bytes[s] = (double)(mallinfo2().uordblks - before) / sizes[s];
        world_free(w);
    }
    printf(
        "\nMemory: %.0f bytes per known member (with 64 bytes of metadata), %.0f KiB for the node "
        "itself\n",
        (bytes[1] - bytes[0]) / (sizes[1] - sizes[0]),
        (bytes[0] - sizes[0] * (bytes[1] - bytes[0]) / (sizes[1] - sizes[0])) / 1024);
}

static void read_option(const char *text)
{
    if (strcmp(text, "--quick") == 0)
        divisor = 10;
    else if (strncmp(text, "--max=", 6) == 0)
        size_max = (unsigned)strtoul(text + 6, NULL, 10);
    else if (strncmp(text, "--only=", 7) == 0)
        only = text + 7;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tables[] = { { "idle", idle_table }, { "memory", memory_table }, { "crash", crash_table },
                   { "slow", slow_table }, { "meta", meta_table },     { "heal", heal_table } };
    bool any = false;

    for (int i = 1; i < argc; i++)
        read_option(argv[i]);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--large", 7) == 0)
            any = true, large(argv[i][7] == '=' ? (unsigned)strtoul(argv[i] + 8, NULL, 10) : 10000);
        for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
            if (strcmp(argv[i], tables[t].name) == 0)
                any = true, tables[t].run();
        }
    }
    for (size_t t = 0; t < ARRAY_LEN(tables) && !any; t++)
        tables[t].run();
    return 0;
}
