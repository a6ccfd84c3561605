/* base/time_text.h - Durations and times as text, in the forms that Docker and Go print. */
#ifndef BASE_TIME_TEXT_H
#define BASE_TIME_TEXT_H

#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "base/units.h"

#define DURATION_TEXT_MAX 32 /* "-2562047h47m16.854775808s" and its NUL */
#define TIME_TEXT_MAX     36 /* "2262-04-11T23:47:16.854775807Z" and its NUL */

/* As Go prints it: "1h0m3.5s", "1m30s", "150ms", "2.5µs", "0s". Exact. */
void duration_format(int64_t ns, char out[DURATION_TEXT_MAX]);

/* Any sum of decimals with units: "1h30m", "1.5h", "-2ms"; units h m s ms us µs ns.
 * What is finer than a nanosecond is cut off.
 *   ERR_MALFORMED (no such form), ERR_TOO_LARGE (beyond int64 nanoseconds) */
NODISCARD int duration_parse(struct slice text, int64_t *out_ns);

/* RFC 3339 in UTC, with as many decimals as needed: "2026-11-23T00:40:07.25Z".
 * 0, which means not set, is "0001-01-01T00:00:00Z", as Docker's clients expect. */
void time_format(wall_ns t, char out[TIME_TEXT_MAX]);

/* RFC 3339 with any offset and any number of decimals, of which nine count; the year 1 form
 * above is 0. Leap seconds (:60) are refused, as Go's parser does.
 *   ERR_MALFORMED (no such form or no such day), ERR_TOO_LARGE (beyond 1677..2262) */
NODISCARD int time_parse(struct slice text, wall_ns *out);

#endif /* BASE_TIME_TEXT_H */
