/* runtime/seccomp.h - The default system call filter: an allow-list equivalent to Docker's. */
#ifndef RUNTIME_SECCOMP_H
#define RUNTIME_SECCOMP_H

#include <stdbool.h>

#include "base/attr.h"
#include "runtime/caps.h"

struct json_t;

/* The "linux.seccomp" object of an OCI config for a container with those capabilities: some
 * calls are there only for who may use them anyway. Returns owned; NULL: out of memory. */
NODISCARD struct json_t *seccomp_default(cap_set caps);

#endif /* RUNTIME_SECCOMP_H */
