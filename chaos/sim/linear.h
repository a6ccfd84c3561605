/* chaos/sim/linear.h - Is this history of a register linearizable?
 *
 * [HW] Herlihy & Wing 1990; the search is Wing & Gong's with Lowe's memory of visited
 * configurations ("Testing for linearizability", 2017). One register at a time: linearizability is
 * local, so each key is checked alone. */
#ifndef SIM_LINEAR_H
#define SIM_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

enum linear_kind { LINEAR_READ, LINEAR_WRITE, LINEAR_CAS };

struct linear_op {
    enum linear_kind kind;
    uint64_t value;    /* read: what came back; write, cas: what is to be stored */
    uint64_t expected; /* cas */
    bool matched;      /* cas: it was stored */
    bool unknown;      /* nobody knows whether it took effect: it may at any time, or never */
    mono_ns called, returned; /* closed interval; returned is ignored when unknown */
};

enum { LINEAR_OPS_MAX = 512 };

enum linear_verdict { LINEAR_OK, LINEAR_VIOLATED, LINEAR_GAVE_UP };

/* The register starts at 0. Gives up after `steps_max` steps of the search or beyond
 * LINEAR_OPS_MAX operations. */
enum linear_verdict linear_check(const struct linear_op *ops, size_t count, uint64_t steps_max);

#endif /* SIM_LINEAR_H */
