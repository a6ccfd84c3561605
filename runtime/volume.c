#include "runtime/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "base/check.h"
#include "base/err.h"
#include "runtime/limits.h"
#include "runtime/process.h"

FIELDS_DEFINE(volume_meta, VOLUME_META_FIELDS);

struct volume {
    char name[CONTAINER_NAME_LEN_MAX + 1];
    struct volume_meta meta;
    struct path mountpoint;
    uint32_t refs; /* containers */
    uint32_t uses; /* of them running */
};

static void free_volume(struct volume *v)
{
    fields_deinit(&volume_meta_type, &v->meta);
    free(v);
}

static struct volume *find(struct volume_store *store, const char *name)
{
    return omap_get(&store->volumes, slice_of_str(name));
}

/* --- Opening */

static int read_meta(const char *dir, struct volume_meta *out)
{
    struct path p = path_of("%s/meta", dir);
    struct field_error error;
    struct buf bytes;
    int rc;

    buf_init(&bytes, RECORD_BYTES_MAX);
    rc = file_read(AT_FDCWD, p.text, &bytes);
    if (rc == 0)
        rc = fields_decode(&volume_meta_type, buf_slice(&bytes), out, &error);
    buf_deinit(&bytes);
    return rc;
}

static int add_volume(struct volume_store *store, const char *name, struct volume **out)
{
    struct volume *v = calloc(1, sizeof(*v));
    int rc;

    if (v == NULL)
        return -ENOMEM;
    (void)snprintf(v->name, sizeof(v->name), "%s", name);
    v->mountpoint = path_of("%s/%s/_data", store->dir.text, name);
    rc = omap_set(&store->volumes, slice_of_str(name), v);
    if (rc < 0)
        free(v);
    else
        *out = v;
    return rc;
}

/* One without `meta` was not finished when we crashed, or its removal was not. */
static int load_volume(void *arg, int dir_fd, const char *name)
{
    struct volume_store *store = arg;
    struct path dir = path_of("%s/%s", store->dir.text, name);
    struct volume_meta meta;
    struct volume *v;
    int rc;

    (void)dir_fd;
    if (strlen(name) > CONTAINER_NAME_LEN_MAX)
        return 0;
    rc = read_meta(dir.text, &meta);
    if (rc == -ENOENT)
        return tree_remove(dir.text);
    if (rc < 0)
        return rc;
    rc = add_volume(store, name, &v);
    if (rc < 0)
        fields_deinit(&volume_meta_type, &meta);
    else
        v->meta = meta;
    return rc;
}

int volume_store_init(struct volume_store *store, const char *state_dir, struct fault *f)
{
    int rc;

    store->dir = path_of("%s/volumes", state_dir);
    omap_init(&store->volumes);
    rc = dir_make(store->dir.text, 0711);
    if (rc == 0)
        rc = dir_each(store->dir.text, load_volume, store);
    if (rc == 0)
        rc = uv_mutex_init(&store->mutex);
    return rc < 0 ? fault_system(f, rc, "%s", store->dir.text) : 0;
}

void volume_store_deinit(struct volume_store *store)
{
    for (const struct omap_node *n = omap_first(&store->volumes); n != NULL; n = omap_next(n))
        free_volume(omap_value(n));
    omap_deinit(&store->volumes);
    uv_mutex_destroy(&store->mutex);
}

/* --- Creating */

static int make_volume(struct volume_store *store, const struct volume_wish *wish, const char *name,
                       struct fault *f)
{
    struct path dir = path_of("%s/%s", store->dir.text, name);
    struct path data = path_of("%s/_data", dir.text);
    struct path meta_path = path_of("%s/meta", dir.text);
    struct volume_meta meta = { .created = wish->now };
    struct str_map *labels = &meta.labels, *options = &meta.options;
    struct field_error error;
    struct volume *v;
    struct buf bytes;
    int rc;

    if (store->volumes.count >= VOLUME_COUNT_MAX)
        return fault_set(f, ERR_FULL, "volume %s: there are %d volumes already; remove some", name,
                         VOLUME_COUNT_MAX);
    buf_init(&bytes, RECORD_BYTES_MAX);
    meta.anonymous = wish->name == NULL || wish->name[0] == '\0';
    rc = dir_make(data.text, 0755);
    for (size_t i = 0; rc == 0 && wish->labels != NULL && i < wish->labels->count; i++)
        rc = str_map_set(labels, wish->labels->items[i].key, wish->labels->items[i].value);
    for (size_t i = 0; rc == 0 && wish->options != NULL && i < wish->options->count; i++)
        rc = str_map_set(options, wish->options->items[i].key, wish->options->items[i].value);
    if (rc == 0)
        rc = fields_encode(&volume_meta_type, &meta, &bytes, &error);
    if (rc == 0)
        rc = add_volume(store, name, &v);
    if (rc == 0) {
        v->meta = meta;
        rc = file_replace(meta_path.text, buf_slice(&bytes), 0600, FILE_SYNCED);
        if (rc < 0) {
            (void)omap_remove(&store->volumes, slice_of_str(name));
            free(v);
        }
    }
    if (rc < 0) {
        fields_deinit(&volume_meta_type, &meta);
        (void)!tree_remove(dir.text); /* else the next start does */
        fault_system(f, rc, "volume %s", name);
    }
    buf_deinit(&bytes);
    return rc;
}

static bool same_options(const struct str_map *a, const struct str_map *b)
{
    if (b == NULL || b->count == 0)
        return true;
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const char *other = str_map_get(b, a->items[i].key);

        if (other == NULL || strcmp(other, a->items[i].value) != 0)
            return false;
    }
    return true;
}

static bool is_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool alnum =
            (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');

        if (!alnum && (c == name || strchr("_.-", *c) == NULL))
            return false;
    }
    return strlen(name) <= CONTAINER_NAME_LEN_MAX;
}

int volume_ensure(struct volume_store *store, const struct volume_wish *wish,
                  char out_name[CONTAINER_NAME_LEN_MAX + 1], struct fault *f)
{
    unsigned char random[32];
    struct volume *v;
    int rc = 0;

    if (wish->name == NULL || wish->name[0] == '\0') {
        randombytes_buf(random, sizeof(random));
        (void)sodium_bin2hex(out_name, CONTAINER_NAME_LEN_MAX + 1, random, sizeof(random));
    } else if (!is_name(wish->name)) {
        return fault_set(f, ERR_INVALID,
                         "volume \"%.100s\": a name is letters, digits and _.-, and begins with a "
                         "letter or digit",
                         wish->name);
    } else {
        (void)snprintf(out_name, CONTAINER_NAME_LEN_MAX + 1, "%s", wish->name); /* checked */
    }
    uv_mutex_lock(&store->mutex);
    v = find(store, out_name);
    if (v == NULL)
        rc = make_volume(store, wish, out_name, f);
    else if (!same_options(&v->meta.options, wish->options))
        rc = fault_set(f, ERR_CONFLICT,
                       "volume %s: exists with other options; remove it or use another name",
                       out_name);
    uv_mutex_unlock(&store->mutex);
    return rc;
}

/* --- References and uses */

int volume_ref(struct volume_store *store, const char *name, struct fault *f)
{
    struct volume *v;

    uv_mutex_lock(&store->mutex);
    v = find(store, name);
    if (v != NULL)
        v->refs++;
    uv_mutex_unlock(&store->mutex);
    return v == NULL ? fault_set(f, ERR_NOT_FOUND, "volume %s: not there", name) : 0;
}

void volume_unref(struct volume_store *store, const char *name)
{
    struct volume *v;

    uv_mutex_lock(&store->mutex);
    v = find(store, name);
    if (v != NULL && v->refs > 0)
        v->refs--;
    uv_mutex_unlock(&store->mutex);
}

/* By mount(8), which knows helpers and option words of every file system. */
static int mount_options(const struct volume *v, struct fault *f)
{
    const char *type = str_map_get(&v->meta.options, "type");
    const char *device = str_map_get(&v->meta.options, "device");
    const char *options = str_map_get(&v->meta.options, "o");
    const char *argv[12] = { "mount" };
    struct buf output;
    size_t n = 1;
    int status, rc;

    if (type != NULL && strcmp(type, "none") != 0) {
        argv[n++] = "-t";
        argv[n++] = type;
    }
    if (options != NULL) {
        argv[n++] = "-o";
        argv[n++] = options;
    }
    argv[n++] = "--";
    argv[n++] = device == NULL ? "none" : device;
    argv[n++] = v->mountpoint.text;
    buf_init(&output, COMMAND_OUTPUT_MAX + 1);
    rc = process_run(argv, COMMAND_TIMEOUT_MS, &output, &status);
    if (rc == 0)
        rc = buf_append_byte(&output, '\0');
    if (rc < 0)
        fault_system(f, rc, "volume %s: mount", v->name);
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        rc = fault_set(f, ERR_INVALID, "volume %s: %.400s", v->name, (const char *)output.ptr);
    buf_deinit(&output);
    return rc;
}

static int note_entry(void *arg, int dir_fd, const char *name)
{
    (void)dir_fd;
    if (strcmp(name, "lost+found") != 0)
        *(bool *)arg = true;
    return 0;
}

static int fill(const struct volume *v, int image_fd)
{
    bool has_entries = false;
    int rc = dir_each(v->mountpoint.text, note_entry, &has_entries);
    int fd;

    if (rc < 0 || has_entries)
        return rc;
    fd = open(v->mountpoint.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = tree_copy(image_fd, fd);
    close(fd);
    if (rc < 0) /* half a copy would pass for the user's own files from now on */
        (void)!dir_clear(v->mountpoint.text);
    return rc;
}

static void stop_using(struct volume *v)
{
    if (v->uses > 0 && --v->uses == 0 && v->meta.options.count > 0)
        (void)umount2(v->mountpoint.text, MNT_DETACH); /* it may be gone with a reboot */
}

static int use(struct volume *v, int image_fd, struct fault *f)
{
    int rc = v->uses == 0 && v->meta.options.count > 0 ? mount_options(v, f) : 0;

    if (rc < 0)
        return rc;
    v->uses++;
    rc = image_fd < 0 ? 0 : fill(v, image_fd);
    if (rc < 0) {
        fault_system(f, rc, "volume %s: copying what the image has there", v->name);
        stop_using(v);
    }
    return rc;
}

int volume_use(struct volume_store *store, const char *name, int image_fd, struct path *out,
               struct fault *f)
{
    struct volume *v;
    int rc;

    uv_mutex_lock(&store->mutex);
    v = find(store, name);
    if (v == NULL) {
        rc = fault_set(f, ERR_NOT_FOUND, "volume %s: not there", name);
    } else {
        rc = use(v, image_fd, f);
        *out = v->mountpoint;
    }
    uv_mutex_unlock(&store->mutex);
    return rc;
}

void volume_unuse(struct volume_store *store, const char *name)
{
    struct volume *v;

    uv_mutex_lock(&store->mutex);
    v = find(store, name);
    if (v != NULL)
        stop_using(v);
    uv_mutex_unlock(&store->mutex);
}

void volume_adopt_use(struct volume_store *store, const char *name)
{
    struct volume *v;

    uv_mutex_lock(&store->mutex);
    v = find(store, name);
    if (v != NULL)
        v->uses++;
    uv_mutex_unlock(&store->mutex);
}

/* --- Removing and listing */

int volume_remove(struct volume_store *store, const char *name, struct fault *f)
{
    struct path dir = path_of("%s/%.255s", store->dir.text, name);
    struct path meta = path_of("%s/meta", dir.text);
    struct volume *v;
    int rc = 0;

    uv_mutex_lock(&store->mutex);
    v = find(store, name);
    if (v == NULL)
        rc = fault_set(f, ERR_NOT_FOUND, "volume %.255s: not there", name);
    else if (v->refs > 0)
        rc = fault_set(f, ERR_IN_USE, "volume %s: %u container(s) refer to it; remove them first",
                       name, v->refs);
    if (rc == 0 && unlink(meta.text) < 0 && errno != ENOENT)
        rc = fault_system(f, -errno, "volume %s", name);
    if (rc == 0) { /* without its meta it is rubble, which the next start removes too */
        rc = tree_remove(dir.text);
        if (rc < 0)
            fault_system(f, rc, "volume %s", name);
        (void)omap_remove(&store->volumes, slice_of_str(name));
        free_volume(v);
    }
    uv_mutex_unlock(&store->mutex);
    return rc;
}

static struct volume_info info_of(const struct volume *v)
{
    return (struct volume_info){ .name = v->name,
                                 .driver = "local",
                                 .mountpoint = v->mountpoint.text,
                                 .labels = &v->meta.labels,
                                 .options = &v->meta.options,
                                 .created = v->meta.created,
                                 .anonymous = v->meta.anonymous,
                                 .container_count = v->refs };
}

void volume_each(struct volume_store *store, void (*each)(void *arg, const struct volume_info *v),
                 void *arg)
{
    uv_mutex_lock(&store->mutex);
    for (const struct omap_node *n = omap_first(&store->volumes); n != NULL; n = omap_next(n)) {
        struct volume_info info = info_of(omap_value(n));

        each(arg, &info);
    }
    uv_mutex_unlock(&store->mutex);
}

int volume_find(struct volume_store *store, const char *name,
                void (*found)(void *arg, const struct volume_info *v), void *arg, struct fault *f)
{
    struct volume_info info;
    struct volume *v;

    uv_mutex_lock(&store->mutex);
    v = find(store, name);
    if (v != NULL) {
        info = info_of(v);
        found(arg, &info);
    }
    uv_mutex_unlock(&store->mutex);
    return v == NULL ? fault_set(f, ERR_NOT_FOUND, "volume %.255s: not there", name) : 0;
}
