/* runtime/launch.h - What starting, clearing up after and recovering a container share. All of it
 * runs on threads, on a container whose operation is theirs. */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include "runtime/runtime_impl.h"

/* launch.c */
struct path launch_secrets_dir(const struct container *c);
bool launch_is_mounted_over(const struct container_spec *spec, const char *target);
void launch_mark_exited(struct container *c, uint32_t exit_code, const char *error);
/*   -ENOENT: conmon has not written it */
NODISCARD int launch_read_exit_code(const struct container *c, uint32_t *out);

/* bundle.c: everything up to config.json, volumes in use. Undone by launch_clean_up() and
 * bundle_unuse_volumes(). */
NODISCARD int bundle_prepare(struct container *c, struct fault *f);
/* Of the first so many mounts and image volumes; SIZE_MAX = all. */
void bundle_unuse_volumes(const struct container *c, size_t mount_count, size_t image_count);

#endif /* RUNTIME_LAUNCH_H */
