/* Sentences are cut at the end of their buffer, never refused. */
#include "runtime/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

int fault_set(struct fault *f, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(f->text, sizeof(f->text), format, args); /* cut is fine */
    va_end(args);
    return err;
}

/* Adds what fits. */
static void append(struct fault *f, const char *text)
{
    size_t len = strlen(f->text), more = strlen(text);

    more = MIN(more, sizeof(f->text) - 1 - len);
    memcpy(f->text + len, text, more);
    f->text[len + more] = '\0';
}

int fault_system(struct fault *f, int err, const char *what_format, ...)
{
    va_list args;

    va_start(args, what_format);
    (void)vsnprintf(f->text, sizeof(f->text), what_format, args); /* cut is fine */
    va_end(args);
    append(f, ": ");
    append(f, err_text(err));
    return err;
}

int fault_prefix(struct fault *f, int err, const char *format, ...)
{
    struct fault rest = *f;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(f->text, sizeof(f->text), format, args); /* cut is fine */
    va_end(args);
    append(f, ": ");
    append(f, rest.text);
    return err;
}
