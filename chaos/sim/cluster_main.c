/* chaos/sim/cluster_main.c - sim_cluster: runs seeds of whole clusters. Arguments:
 * chaos/sim/program.h. */
#include <inttypes.h>

#include "base/attr.h"
#include "chaos/sim/cluster_world.h"
#include "chaos/sim/program.h"

static struct cluster_options options;
static struct cluster_result result;
static struct {
    uint64_t events, entries, acknowledged, refused, unknown, starts, kills, elections;
    mono_ns slowest;
} sum;

static void draw(uint64_t seed)
{
    cluster_options_draw(&options, seed);
}

static bool set(const char *column, uint64_t value)
{
    return cluster_options_set(&options, column, value);
}

static void print(FILE *f)
{
    cluster_options_print(&options, f);
}

static void tell(struct sim_outcome *out)
{
    *out = (struct sim_outcome){ .failed = result.failed,
                                 .violation = result.violation,
                                 .failed_at = result.failed_at,
                                 .simulated = result.simulated,
                                 .hash = result.hash };
}

static void run(FILE *text, struct sim_outcome *out)
{
    options.text = text;
    cluster_world_run(&options, &result);
    tell(out);
}

static void minimise(unsigned runs, struct sim_outcome *out)
{
    options.text = NULL;
    cluster_minimise(&options, &result, runs);
    tell(out);
}

static void count(void)
{
    sum.events += result.events;
    sum.entries += result.entries;
    sum.acknowledged += result.acknowledged;
    sum.refused += result.refused;
    sum.unknown += result.unknown;
    sum.starts += result.starts;
    sum.kills += result.kills;
    sum.elections += result.elections;
    sum.slowest = MAX(sum.slowest, result.healed_in);
}

static void totals(void)
{
    printf("%" PRIu64 " events; %" PRIu64 " entries applied, %" PRIu64
           " requests acknowledged, %" PRIu64 " refused, %" PRIu64 " of unknown outcome, %" PRIu64
           " containers started, %" PRIu64 " kills, %" PRIu64 " elections; healed within %" PRIu64
           " s\n",
           sum.events, sum.entries, sum.acknowledged, sum.refused, sum.unknown, sum.starts,
           sum.kills, sum.elections, sum.slowest / NS_PER_S);
}

int main(int argc, char **argv)
{
    static const struct sim_program program = {
        .name = "sim_cluster",
        .draw = draw,
        .set = set,
        .print = print,
        .run = run,
        .minimise = minimise,
        .count = count,
        .totals = totals,
    };

    return sim_main(&program, argc, argv);
}
