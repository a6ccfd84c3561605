/* The linker option --wrap turns calls of malloc into calls of __wrap_malloc, and gives the
 * original the name __real_malloc; it works below the sanitizers' own allocators too. */
#include "tests/support/oom.h"

#include <stdlib.h>

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names */
void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t len);

static unsigned countdown; /* 0 = off */
static bool failed;

static bool must_fail(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    return true;
}

void oom_fail_at(unsigned n)
{
    countdown = n;
    failed = false;
}

bool oom_has_failed(void)
{
    countdown = 0;
    return failed;
}

void *__wrap_malloc(size_t len)
{
    return must_fail() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *ptr, size_t len)
{
    return must_fail() ? NULL : __real_realloc(ptr, len);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
