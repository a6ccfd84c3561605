/* The last words of a process whose own logic is broken. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void (*check_on_failure)(const char *message);

NORETURN void check_failed(const char *file, int line, const char *expr, const char *func)
{
    char message[512];

    (void)snprintf(message, sizeof(message), "%s:%d: %s: check failed: %s", file, line, func, expr);
    (void)fprintf(stderr, "%s\n", message); /* nothing better is left to try */
    if (check_on_failure != NULL)
        check_on_failure(message);
    abort();
}
