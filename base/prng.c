/* xoshiro256** 1.0, seeded by SplitMix64 as its authors advise. A fork's seed is a keyed hash
 * of its name under the parent's seed. */
#include "base/prng.h"

#include "base/check.h"
#include "base/hash.h"

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t split_mix(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void store_u64(uint8_t *to, uint64_t n)
{
    for (size_t i = 0; i < sizeof(n); i++)
        to[i] = (uint8_t)(n >> (8 * i));
}

void prng_init(struct prng *p, uint64_t seed)
{
    uint64_t x = seed;

    p->seed = seed;
    for (size_t i = 0; i < 4; i++)
        p->state[i] = split_mix(&x);
}

static struct prng fork_by(const struct prng *parent, struct slice name)
{
    struct hash_seed key = { { 0 } };
    struct prng child;

    store_u64(key.key, parent->seed);
    prng_init(&child, hash_bytes(&key, name));
    return child;
}

struct prng prng_fork(const struct prng *parent, const char *name)
{
    return fork_by(parent, slice_of_str(name));
}

struct prng prng_fork_u64(const struct prng *parent, uint64_t number)
{
    uint8_t name[9] = { 0 }; /* its first byte, NUL, keeps numbers apart from names */

    store_u64(name + 1, number);
    return fork_by(parent, slice_of(name, sizeof(name)));
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t *s = p->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
    uint64_t excess, x;

    CHECK(n > 0);
    excess = (UINT64_MAX % n + 1) % n; /* 2^64 mod n: draws below it would favour low results */
    do
        x = prng_u64(p);
    while (x < excess);
    return x % n;
}

uint64_t prng_range(struct prng *p, uint64_t low, uint64_t high)
{
    CHECK(low <= high);
    if (high - low == UINT64_MAX)
        return prng_u64(p);
    return low + prng_below(p, high - low + 1);
}

bool prng_chance(struct prng *p, double probability)
{
    double unit = (double)(prng_u64(p) >> 11) * 0x1p-53; /* [0, 1), 53 bits */

    return unit < probability;
}

void prng_bytes(struct prng *p, void *out, size_t len)
{
    uint8_t *to = out;

    while (len > 0) {
        uint64_t x = prng_u64(p);

        for (size_t i = 0; i < sizeof(x) && len > 0; i++, len--)
            *to++ = (uint8_t)(x >> (8 * i));
    }
}
