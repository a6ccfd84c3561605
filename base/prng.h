/* base/prng.h - Deterministic pseudo-random numbers: xoshiro256** (Blackman & Vigna 2018).
 *
 * For jitter, fair choice and simulation; never for keys, tokens or ids. The same seed gives
 * the same numbers on every machine. A stream is forked by name and does not depend
 * on what was drawn from its parent, so adding a draw in one place leaves the others alone. */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t state[4];
    uint64_t seed; /* what forks derive from */
};

void prng_init(struct prng *p, uint64_t seed);
struct prng prng_fork(const struct prng *parent, const char *name);
struct prng prng_fork_u64(const struct prng *parent, uint64_t number);

uint64_t prng_u64(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t n); /* uniform in [0, n); CHECKs n > 0 */
uint64_t prng_range(struct prng *p, uint64_t low, uint64_t high); /* uniform in [low, high] */
bool prng_chance(struct prng *p, double probability);             /* <= 0: never, >= 1: always */
void prng_bytes(struct prng *p, void *out, size_t len);

#endif /* BASE_PRNG_H */
