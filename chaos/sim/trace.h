/* chaos/sim/trace.h - What happened, as one number and, on request, as text.
 *
 * Two runs of a seed must give the same hash: a difference is a bug of the simulator or of pure
 * code that is not. */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/slice.h"
#include "base/units.h"

struct sim_trace {
    uint64_t hash;
    FILE *text; /* NULL = none */
};

void sim_trace_init(struct sim_trace *t, FILE *text);
void sim_trace_number(struct sim_trace *t, uint64_t number);
void sim_trace_bytes(struct sim_trace *t, struct slice bytes);

/* A line for people; not part of the hash, so that printing changes nothing. */
void sim_trace_line(struct sim_trace *t, mono_ns now, const char *format, ...) PRINTF_LIKE(3, 4);

/* A quick hash for content comparison inside the simulator; not for anything hostile. */
uint64_t sim_hash(uint64_t seed, struct slice bytes);

#endif /* SIM_TRACE_H */
