/* chaos/sim/main.c - sim_raft: runs seeds of the raft world. Arguments: chaos/sim/program.h. */
#include <inttypes.h>

#include "chaos/sim/program.h"
#include "chaos/sim/raft_world.h"

static struct raft_options options;
static struct raft_result result;
static struct {
    uint64_t events, committed, reads, writes, elections, installs, crashes, repairs, confs;
} sum;

static void draw(uint64_t seed)
{
    raft_options_draw(&options, seed);
}

static bool set(const char *column, uint64_t value)
{
    return raft_options_set(&options, column, value);
}

static void print(FILE *f)
{
    raft_options_print(&options, f);
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
    raft_world_run(&options, &result);
    tell(out);
}

static void minimise(unsigned runs, struct sim_outcome *out)
{
    options.text = NULL;
    raft_minimise(&options, &result, runs);
    tell(out);
}

static void count(void)
{
    sum.events += result.events;
    sum.committed += result.committed;
    sum.reads += result.reads;
    sum.writes += result.writes;
    sum.elections += result.elections;
    sum.installs += result.installs;
    sum.crashes += result.crashes;
    sum.repairs += result.repairs;
    sum.confs += result.conf_changes;
}

static void totals(void)
{
    printf("%" PRIu64 " events; %" PRIu64 " entries committed, %" PRIu64 " reads, %" PRIu64
           " writes, %" PRIu64 " elections, %" PRIu64 " crashes, %" PRIu64 " installs, %" PRIu64
           " repairs, %" PRIu64 " changes of members\n",
           sum.events, sum.committed, sum.reads, sum.writes, sum.elections, sum.crashes,
           sum.installs, sum.repairs, sum.confs);
}

int main(int argc, char **argv)
{
    static const struct sim_program program = {
        .name = "sim_raft",
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
