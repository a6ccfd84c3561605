/* base/units.h - Time with its unit in the name.
 *
 * mono: nanoseconds of a clock that never goes back, meaningful on one node only.
 * wall: nanoseconds since 1970-01-01 UTC, for people and certificates; it may jump. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>

typedef uint64_t mono_ns; /* a point in monotonic time, or a length of it */
typedef int64_t wall_ns;  /* a point in wall time; 0 = not set */

#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_S   UINT64_C(1000000000)
#define MONO_NEVER UINT64_MAX /* a deadline that never comes */

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* now + delta, saturating at MONO_NEVER. */
static inline mono_ns mono_after(mono_ns now, mono_ns delta)
{
    return delta > MONO_NEVER - now ? MONO_NEVER : now + delta;
}

#endif /* BASE_UNITS_H */
