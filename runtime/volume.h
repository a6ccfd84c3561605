/* runtime/volume.h - Named directories that outlive containers: STATE/volumes/NAME/.
 *
 *     _data/   what is mounted
 *     meta     labels, options, when created
 *
 * A container refers to its volumes from its creation to its removal, and a volume that is
 * referred to is not removed. Volumes with options of mount(8) are mounted while a container
 * that uses them runs. Any thread; what blocks is done under the store's mutex, because
 * creating, filling and removing one volume must not interleave. */
#ifndef RUNTIME_VOLUME_H
#define RUNTIME_VOLUME_H

#include <uv.h>

#include "base/omap.h"
#include "runtime/fault.h"
#include "runtime/file.h"
#include "runtime/runtime.h"

#define VOLUME_META_FIELDS(X, S)                               \
    X(S, 1, MAP_STR, COUNT(128), labels, "Labels", OPTIONAL)   \
    X(S, 2, MAP_STR, COUNT(128), options, "Options", OPTIONAL) \
    X(S, 3, TIME, ANY, created, "CreatedAt", OPTIONAL)         \
    X(S, 4, BOOL, ANY, anonymous, "Anonymous", OPTIONAL)
FIELDS_STRUCT(volume_meta, VOLUME_META_FIELDS);

struct volume_store {
    struct path dir;
    uv_mutex_t mutex;
    struct omap volumes; /* name -> struct volume; guarded by the mutex */
};

NODISCARD int volume_store_init(struct volume_store *store, const char *state_dir, struct fault *f);
void volume_store_deinit(struct volume_store *store);

struct volume_wish {
    const char *name;                       /* "" or NULL: a new anonymous one */
    const struct str_map *labels, *options; /* may be NULL; used when it is created */
    wall_ns now;
};
/* Creates it unless it is there.  ERR_CONFLICT: it is there with other options */
NODISCARD int volume_ensure(struct volume_store *store, const struct volume_wish *wish,
                            char out_name[CONTAINER_NAME_LEN_MAX + 1], struct fault *f);

/* One container more or less refers to it.  ERR_NOT_FOUND */
NODISCARD int volume_ref(struct volume_store *store, const char *name, struct fault *f);
void volume_unref(struct volume_store *store, const char *name);

/* Mounted when it has options, and filled from the directory `image_fd` when it is empty and
 * image_fd is not -1.  *out is the directory to mount. Unuse once per use. */
NODISCARD int volume_use(struct volume_store *store, const char *name, int image_fd,
                         struct path *out, struct fault *f);
void volume_unuse(struct volume_store *store, const char *name);
/* A running container that was found uses it already. */
void volume_adopt_use(struct volume_store *store, const char *name);

/*   ERR_NOT_FOUND, ERR_IN_USE */
NODISCARD int volume_remove(struct volume_store *store, const char *name, struct fault *f);
/* Calls `each` under the mutex. */
void volume_each(struct volume_store *store, void (*each)(void *arg, const struct volume_info *v),
                 void *arg);
NODISCARD int volume_find(struct volume_store *store, const char *name,
                          void (*found)(void *arg, const struct volume_info *v), void *arg,
                          struct fault *f);

#endif /* RUNTIME_VOLUME_H */
