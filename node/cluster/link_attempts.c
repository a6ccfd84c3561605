/* node/cluster/link_attempts.c - see link_attempts.h. */
#include "node/cluster/link_attempts.h"

#include <stdio.h>
#include <string.h>

#include "base/attr.h"

/* The host's row, or the oldest: free ones are as old as can be. */
static size_t find_row(const struct link_attempts *a, const char *host)
{
    size_t oldest = 0;

    for (size_t i = 0; i < ENROLL_ADDRESSES_MAX; i++) {
        if (strcmp(a->rows[i].host, host) == 0)
            return i;
        if (a->rows[i].since < a->rows[oldest].since)
            oldest = i;
    }
    return oldest;
}

/* A row counts for ENROLL_WINDOW_NS from its first failure. */
static bool is_current(const struct link_attempts *a, size_t row, const char *host, mono_ns now)
{
    return strcmp(a->rows[row].host, host) == 0 && now - a->rows[row].since < ENROLL_WINDOW_NS;
}

bool attempts_may_try(const struct link_attempts *a, const char *host, mono_ns now)
{
    size_t row = find_row(a, host);

    return !is_current(a, row, host, now) || a->rows[row].failures < ENROLL_FAILURES_MAX;
}

void attempts_failed(struct link_attempts *a, const char *host, mono_ns now)
{
    size_t row = find_row(a, host);

    if (!is_current(a, row, host, now)) {
        (void)snprintf(a->rows[row].host, sizeof(a->rows[row].host), "%s", host);
        a->rows[row].failures = 0;
        a->rows[row].since = now;
    }
    a->rows[row].failures++;
}
