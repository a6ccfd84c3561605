/* chaos/sim/program.h - The command line of a simulator: seeds until one breaks a rule.
 *
 *     NAME [--seed N] [--count M] [--seconds S] [--once] [--text] [--minimise] [--set column=n]
 *
 * Every seed runs twice and must give the same trace. Exit code 1: a rule was broken, and the last
 * lines say how to see it again. */
#ifndef SIM_PROGRAM_H
#define SIM_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/units.h"

struct sim_outcome {
    bool failed;
    const char *violation; /* borrowed until the next run */
    mono_ns failed_at, simulated;
    uint64_t hash;
};

/* A world with its present options. */
struct sim_program {
    const char *name;
    void (*draw)(uint64_t seed); /* the options are now those of this seed */
    bool (*set)(const char *column, uint64_t value);
    void (*print)(FILE *f); /* the options as arguments, and a newline */
    void (*run)(FILE *text, struct sim_outcome *out);
    void (*minimise)(unsigned runs, struct sim_outcome *out); /* after a run that failed */
    void (*count)(void);  /* adds the last run to the totals .. */
    void (*totals)(void); /* .. which are printed after the summary, with a newline */
};

int sim_main(const struct sim_program *p, int argc, char **argv);

#endif /* SIM_PROGRAM_H */
