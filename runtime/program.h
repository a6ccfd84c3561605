/* runtime/program.h - A program, and a copy of it in memory that nobody can change.
 *
 * An OCI runtime that is run from its file makes such a copy of itself for every command, or mounts
 * its file read-only for a moment, and then runs itself a second time: else a container could write
 * to the file through /proc/self/exe (CVE-2019-5736). One that finds itself in a sealed memfd has
 * nothing left to do, so one copy is made for all commands. */
#ifndef RUNTIME_PROGRAM_H
#define RUNTIME_PROGRAM_H

#include <sys/stat.h>

#include "base/attr.h"

struct program {
    char path[512];   /* of the file, absolute */
    int fd;           /* the copy; -1 = none */
    char copy[32];    /* a path to it that any process of the same /proc may use */
    struct stat from; /* what the file was when it was copied */
};

/* Makes the copy; the caller has filled in the path. Without one program_to_run() is the file.
 *   errors of the system */
NODISCARD int program_copy(struct program *p);
/* Also without a copy. What runs from it goes on. */
void program_drop_copy(struct program *p);

/* The path to execute: the copy, as long as this process lives and the file is what was copied; the
 * file itself once it was changed, as by an upgrade. Borrowed from `p`. Of any thread. */
const char *program_to_run(const struct program *p);

#endif /* RUNTIME_PROGRAM_H */
