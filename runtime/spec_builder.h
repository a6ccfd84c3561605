/* runtime/spec_builder.h - What the parts of an OCI config are built with: for spec*.c only.
 *
 * The config is a JSON tree. Every step that can run out of memory sets `failed` in the builder
 * instead of returning, and the end, spec.c, looks at it once. Pure. */
#ifndef RUNTIME_SPEC_BUILDER_H
#define RUNTIME_SPEC_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "runtime/caps.h"
#include "runtime/spec.h"

#define SPEC_INIT_TARGET "/sbin/docker-init" /* where programs look for it under Docker */

struct spec_builder {
    const struct spec_input *in;
    struct fault *f;
    bool failed; /* out of memory */
};

/* `j`; NULL is noted as a failure. */
json_t *spec_checked(struct spec_builder *b, json_t *j);

/* These take `value`, which may be NULL: that is a failure too. */
void spec_append(struct spec_builder *b, json_t *array, json_t *value);
void spec_set(struct spec_builder *b, json_t *object, const char *key, json_t *value);

/* Fails also with bytes that are not UTF-8, which JSON cannot carry. */
void spec_append_str(struct spec_builder *b, json_t *array, const char *text);
json_t *spec_str_array(struct spec_builder *b, const char *const *items, size_t count);

/* --- The parts. What they return is the caller's. */

/* spec_process.c. spec_process() takes `args` and `env`. */
json_t *spec_args(struct spec_builder *b);
json_t *spec_env(struct spec_builder *b, const struct user *user, bool tty);
void spec_set_env(struct spec_builder *b, json_t *env, const char *assignment); /* "K=V" or "K" */
json_t *spec_process(struct spec_builder *b, cap_set caps, const struct user *user, bool tty,
                     const char *dir, json_t *args, json_t *env);

/* spec_mounts.c */
json_t *spec_mounts(struct spec_builder *b);
const char *spec_root_propagation(const struct container_spec *spec); /* NULL = the runtime's own */

/* spec_linux.c
 *   ERR_INVALID  the seccomp profile is not JSON */
NODISCARD int spec_linux(struct spec_builder *b, cap_set caps, json_t **out);

#endif /* RUNTIME_SPEC_BUILDER_H */
