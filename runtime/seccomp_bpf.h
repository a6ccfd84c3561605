/* runtime/seccomp_bpf.h - The default system call filter as the program that the kernel runs.
 *
 * To compile it takes longer than all else in a container's start, so it is done once for each
 * set of capabilities and kept in memory. crun takes the program as an annotation; what does not
 * know the annotation finds the profile in the same config.json and compiles that. */
#ifndef RUNTIME_SECCOMP_BPF_H
#define RUNTIME_SECCOMP_BPF_H

#include <uv.h>

#include "base/attr.h"
#include "base/buf.h"
#include "runtime/caps.h"
#include "runtime/limits.h"

struct json_t;

/* Appends the program, an array of struct sock_filter, of a profile in the form and with the
 * features of seccomp_default().
 *   ERR_UNSUPPORTED  the profile has more than that, or libseccomp refuses it
 *   ERR_TOO_LARGE, -ENOMEM, errors of the system */
NODISCARD int seccomp_compile(const struct json_t *profile, struct buf *out);

struct seccomp_program {
    cap_set caps;
    char *base64; /* NULL: the slot is free */
};

/* All threads share one. */
struct seccomp_cache {
    uv_mutex_t mutex; /* guards the rest, and libseccomp, which keeps state of its own */
    struct seccomp_program programs[SECCOMP_PROGRAMS_MAX];
    size_t next; /* slot to be filled; when all are in use the oldest goes */
};

NODISCARD int seccomp_cache_init(struct seccomp_cache *cache);
void seccomp_cache_deinit(struct seccomp_cache *cache);

/* Appends the program of seccomp_default(caps) as base64 with a NUL. Errors as above. */
NODISCARD int seccomp_cache_get(struct seccomp_cache *cache, cap_set caps, struct buf *out);

#endif /* RUNTIME_SECCOMP_BPF_H */
