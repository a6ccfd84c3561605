/* runtime/fault.h - Why something failed, for people, beside the code for programs. */
#ifndef RUNTIME_FAULT_H
#define RUNTIME_FAULT_H

#include "base/attr.h"

struct fault {
    char text[640]; /* "thing: cause; way out"; "" = none */
};

/* Writes the sentence and returns `err`, so that a failure is one statement:
 *     return fault_set(f, ERR_NOT_FOUND, "image %s: not in the store; pull it first", name); */
int fault_set(struct fault *f, int err, const char *format, ...) PRINTF_LIKE(3, 4);

/* "what: text of err"; returns `err`. For errors of the system, where the cause says it all. */
int fault_system(struct fault *f, int err, const char *what_format, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before what is there; returns `err`. */
int fault_prefix(struct fault *f, int err, const char *format, ...) PRINTF_LIKE(3, 4);

#endif /* RUNTIME_FAULT_H */
