/* chaos/sim/trace.c - A running hash, eight bytes at a time (the mixer of SplitMix64). */
#include "chaos/sim/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static uint64_t mix(uint64_t h, uint64_t v)
{
    uint64_t x = h ^ (v + UINT64_C(0x9e3779b97f4a7c15) + (h << 6) + (h >> 2));

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void sim_trace_init(struct sim_trace *t, FILE *text)
{
    *t = (struct sim_trace){ .hash = 1, .text = text };
}

void sim_trace_number(struct sim_trace *t, uint64_t number)
{
    t->hash = mix(t->hash, number);
}

uint64_t sim_hash(uint64_t seed, struct slice bytes)
{
    uint64_t h = mix(seed, bytes.len);
    size_t i = 0;

    for (; i + 8 <= bytes.len; i += 8) {
        uint64_t v;

        memcpy(&v, bytes.ptr + i, 8);
        h = mix(h, v);
    }
    for (; i < bytes.len; i++)
        h = mix(h, bytes.ptr[i]);
    return h;
}

void sim_trace_bytes(struct sim_trace *t, struct slice bytes)
{
    t->hash = sim_hash(t->hash, bytes);
}

void sim_trace_line(struct sim_trace *t, mono_ns now, const char *format, ...)
{
    va_list args;

    if (t->text == NULL)
        return;
    fprintf(t->text, "%4" PRIu64 ".%06" PRIu64 "  ", now / NS_PER_S, now % NS_PER_S / NS_PER_US);
    va_start(args, format);
    vfprintf(t->text, format, args);
    va_end(args);
    fputc('\n', t->text);
}
