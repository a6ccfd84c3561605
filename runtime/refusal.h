/* runtime/refusal.h - Why an OCI runtime did not run a program, as the exit code that Docker gives.
 *
 * crun and runc tell it by a sentence on their standard error and end with codes of their own. */
#ifndef RUNTIME_REFUSAL_H
#define RUNTIME_REFUSAL_H

#include <stddef.h>

enum {
    REFUSAL_NOT_EXECUTABLE = 126,
    REFUSAL_NOT_FOUND = 127,
    REFUSAL_OTHER = 128, /* a mount, a limit, a user ..: nothing to do with the program */
};

#define REFUSAL_WORDS_MAX 512 /* enough of the sentence to know it by */

/* One of the above, from their words. Pure. */
int refusal_exit_code(const char *words);

#endif /* RUNTIME_REFUSAL_H */
