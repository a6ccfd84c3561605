/* Starting a container and clearing up after it, on a thread. In order, each step undone by
 * launch_clean_up() if a later one fails:
 *
 *     RUN/containers/ID/           bundle directory; `lock` in it is held by conmon from here on
 *     overlay at rootfs/           the image's layers below the container's own upper/
 *     volumes, files in /etc       sources of mounts
 *     config.json                  spec.c
 *     conmon -> crun create        record: starting, with both pids; attaches that wait connect
 *     crun start, or its equal     record: running
 *
 * A daemon that died in between left a record from which launch_recover() knows where. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "runtime/launch.h"
#include "runtime/process.h"
#include "runtime/refusal.h"

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

wall_ns runtime_wall_now(void)
{
    struct timespec ts;

    CHECK(clock_gettime(CLOCK_REALTIME, &ts) == 0);
    return (wall_ns)ts.tv_sec * (wall_ns)NS_PER_S + ts.tv_nsec;
}

static const char *id_of(const struct container *c)
{
    return c->record.spec.id;
}

struct path launch_secrets_dir(const struct container *c)
{
    return path_of("%s/secrets/%s", c->rt->run_dir.text, id_of(c));
}

static struct path exit_path(const struct container *c)
{
    return path_of("%s/exits/%s", c->rt->state_dir.text, id_of(c));
}

/* --- Create */

static int write_secrets(struct container *c, struct fault *f)
{
    struct container_file_list *secrets = &c->record.spec.secrets;
    struct path dir = launch_secrets_dir(c);
    int rc;

    if (secrets->count == 0)
        return 0;
    rc = dir_make(dir.text, 0700);
    for (size_t i = 0; rc == 0 && i < secrets->count; i++) {
        struct container_file *s = &secrets->items[i];
        struct path p = path_of("%s/%zu", dir.text, i);

        rc = file_write(p.text, bytes_slice(&s->bytes), 0600);
        if (rc == 0 &&
            (chown(p.text, s->uid, s->gid) < 0 || chmod(p.text, s->mode == 0 ? 0444 : s->mode) < 0))
            rc = -errno;
        sodium_memzero(s->bytes.ptr, s->bytes.len);
        bytes_clear(&s->bytes);
    }
    return rc < 0 ? fault_system(f, rc, "container %s: secrets", id_of(c)) : 0;
}

/* A volume for the mount, or for what the image declares at `target` when `m` is NULL. */
static int attach_volume(struct container *c, const struct container_mount *m, const char *target,
                         struct fault *f)
{
    struct volume_wish wish = { .now = c->record.created };
    char name[CONTAINER_NAME_LEN_MAX + 1];
    int rc;

    if (m != NULL) {
        wish.name = m->source;
        wish.labels = &m->labels;
        wish.options = &m->driver_options;
    }
    rc = volume_ensure(&c->rt->volumes, &wish, name, f);
    if (rc == 0)
        rc = volume_ref(&c->rt->volumes, name, f);
    if (rc == 0 && text_of(wish.name)[0] == '\0') {
        rc = str_map_set(&c->record.volumes, target, name);
        if (rc < 0)
            fault_system(f, rc, "container %s", id_of(c));
    }
    return rc;
}

bool launch_is_mounted_over(const struct container_spec *spec, const char *target)
{
    for (size_t i = 0; i < spec->mounts.count; i++) {
        if (strcmp(spec->mounts.items[i].target, target) == 0)
            return true;
    }
    return false;
}

static int attach_volumes(struct container *c, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < spec->mounts.count; i++) {
        if (spec->mounts.items[i].kind == CONTAINER_MOUNT_VOLUME)
            rc = attach_volume(c, &spec->mounts.items[i], spec->mounts.items[i].target, f);
    }
    for (size_t i = 0; rc == 0 && i < c->image.config.volumes.count; i++) {
        const char *target = c->image.config.volumes.items[i].key;

        if (target[0] == '/' && !launch_is_mounted_over(spec, target))
            rc = attach_volume(c, NULL, target, f);
    }
    return rc;
}

static void detach_volumes(struct container *c, enum container_remove how)
{
    const struct container_spec *spec = &c->record.spec;
    struct fault ignored;

    for (size_t i = 0; i < spec->mounts.count; i++) {
        const struct container_mount *m = &spec->mounts.items[i];

        if (m->kind == CONTAINER_MOUNT_VOLUME && text_of(m->source)[0] != '\0')
            volume_unref(&c->rt->volumes, m->source);
    }
    for (size_t i = 0; i < c->record.volumes.count; i++) {
        volume_unref(&c->rt->volumes, c->record.volumes.items[i].value);
        if (how == REMOVE_FORCE_VOLUMES) /* one that a second container took by name stays */
            (void)!volume_remove(&c->rt->volumes, c->record.volumes.items[i].value, &ignored);
    }
}

int launch_load_image(struct container *c, struct fault *f)
{
    struct image *image = calloc(1, sizeof(*image));
    struct digest manifest;
    int rc;

    if (image == NULL)
        return fault_system(f, -ENOMEM, "container %s", id_of(c));
    rc = digest_parse(slice_of_str(c->record.manifest), &manifest);
    if (rc == 0)
        rc = image_open(&c->rt->images, &manifest, image, f);
    if (rc == 0) {
        rc = image_find_layers(&c->rt->images, image, f);
        if (rc == 0) {
            c->image = image->config;
            c->layer_count = image->layer_count;
            memcpy(c->layers, image->layers, sizeof(c->layers));
            c->manifest = image->manifest;
        } else {
            image_deinit(image);
        }
    }
    free(image);
    return rc;
}

static int find_image(struct container *c, struct fault *f)
{
    struct image *image = calloc(1, sizeof(*image));
    int rc;

    if (image == NULL)
        return fault_system(f, -ENOMEM, "container %s", id_of(c));
    rc = image_resolve(&c->rt->images, c->record.spec.image, image, f);
    if (rc == 0) {
        rc = str_set(&c->record.image_id, image->config_digest.text);
        if (rc == 0)
            rc = str_set(&c->record.manifest, image->manifest.text);
        if (rc < 0)
            fault_system(f, rc, "container %s", id_of(c));
        image_deinit(image);
    }
    free(image);
    return rc == 0 ? launch_load_image(c, f) : rc;
}

static int make_dirs(struct container *c, struct fault *f)
{
    struct path upper = path_of("%s/upper", c->state_dir.text);
    struct path work = path_of("%s/work", c->state_dir.text);
    int rc = dir_make(upper.text, 0700);

    /* The upper directory's mode is that of the container's "/". */
    if (rc == 0 && chmod(upper.text, 0755) < 0)
        rc = -errno;
    if (rc == 0)
        rc = dir_make(work.text, 0700);
    return rc < 0 ? fault_system(f, rc, "%s", c->state_dir.text) : 0;
}

int launch_create(struct container *c, struct fault *f)
{
    struct blob_use use;
    int rc;

    blob_use_begin(&c->rt->images.blobs, &use);
    rc = find_image(c, f);
    if (rc == 0)
        rc = make_dirs(c, f);
    if (rc == 0)
        rc = write_secrets(c, f);
    if (rc == 0)
        rc = attach_volumes(c, f);
    if (rc == 0)
        rc = record_write_state(c->state_dir.text, &c->next, f);
    if (rc == 0) /* the last: a directory with a spec is a container */
        rc = record_write(c->state_dir.text, &c->record, f);
    blob_use_end(&c->rt->images.blobs, &use);
    if (rc < 0) {
        struct path secrets = launch_secrets_dir(c);

        detach_volumes(c, REMOVE_FORCE_VOLUMES);
        (void)!tree_remove(secrets.text); /* else the next start does */
        (void)!tree_remove(c->state_dir.text);
    }
    return rc;
}

/* --- Start */

static int open_lock(const struct container *c)
{
    struct path p = path_of("%s/lock", c->run_dir.text);
    int fd = open(p.text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

/* crun tells only which programs it did not find. */
static void name_program(const struct container *c, struct fault *f)
{
    const char *program = spec_program(&c->record.spec, &c->image);

    if (refusal_exit_code(f->text) == REFUSAL_NOT_EXECUTABLE && strstr(f->text, program) == NULL)
        (void)fault_prefix(f, 0, "\"%s\" is not executable", program);
}

static int create_process(struct container *c, struct fault *f)
{
    const struct container_spec *spec = &c->record.spec;
    struct path log = path_of("%s/log", c->state_dir.text);
    struct path exits = path_of("%s/exits", c->rt->state_dir.text);
    struct oci_create args = { .id = id_of(c),
                               .bundle = c->run_dir.text,
                               .log_path = spec->log_none ? NULL : log.text,
                               .exit_dir = exits.text,
                               .tty = spec->tty,
                               .open_stdin = spec->open_stdin,
                               .stdin_once = spec->stdin_once,
                               .monitors = &c->rt->monitors };
    struct oci_created created;
    int rc;

    args.lock_fd = open_lock(c);
    if (args.lock_fd < 0)
        return fault_system(f, args.lock_fd, "container %s: lock", id_of(c));
    rc = oci_create(&c->rt->oci, &args, &created, f);
    close(args.lock_fd);
    if (rc < 0) {
        name_program(c, f);
        return fault_prefix(f, rc, "container %s", id_of(c));
    }
    c->next.pid = (uint64_t)created.pid;
    c->next.conmon_pid = (uint64_t)created.conmon_pid;
    /* One that has ended already leaves ticks 0, which match nothing: it is collected. */
    (void)!process_start_ticks(created.pid, &c->next.pid_ticks);
    (void)!process_start_ticks(created.conmon_pid, &c->next.conmon_ticks);
    return 0;
}

void launch_mark_exited(struct container *c, uint32_t exit_code, const char *error)
{
    c->next.phase = PHASE_EXITED;
    c->next.exit_code = exit_code;
    c->next.paused = false;
    c->next.pid = c->next.pid_ticks = c->next.conmon_pid = c->next.conmon_ticks = 0;
    c->next.finished = runtime_wall_now();
    (void)!str_set(&c->next.error, error); /* without it the exit code must do */
}

static int run_start(struct container *c, struct fault *f)
{
    struct path exit_file = exit_path(c);
    int rc;

    (void)unlink(exit_file.text); /* of an earlier run */
    c->next.phase = PHASE_STARTING;
    c->next.exit_code = 0;
    c->next.oom_killed = c->next.paused = false;
    c->next.finished = 0;
    rc = str_set(&c->next.error, NULL);
    if (rc == 0)
        rc = str_set(&c->next.boot_id, c->rt->boot_id);
    if (rc < 0)
        return fault_system(f, rc, "container %s", id_of(c));
    rc = create_process(c, f);
    if (rc == 0)
        rc = record_write_state(c->state_dir.text, &c->next, f);
    if (rc == 0) {
        attach_created(c);
        rc = oci_start(&c->rt->oci, id_of(c), f);
        if (rc < 0)
            fault_prefix(f, rc, "container %s", id_of(c));
    }
    if (rc < 0)
        return rc;
    c->next.phase = PHASE_RUNNING;
    c->next.started = runtime_wall_now();
    return record_write_state(c->state_dir.text, &c->next, f);
}

int launch_start(struct container *c, struct fault *f)
{
    struct fault ignored;
    bool volumes_used = false;
    int rc;

    launch_clean_up(c); /* of whatever an earlier run could not */
    rc = dir_make(c->run_dir.text, 0711);
    if (rc < 0)
        fault_system(f, rc, "%s", c->run_dir.text);
    if (rc == 0)
        rc = bundle_prepare(c, f);
    if (rc == 0) {
        volumes_used = true;
        rc = run_start(c, f);
    }
    if (rc == 0)
        return 0;
    launch_clean_up(c);
    if (volumes_used)
        bundle_unuse_volumes(c, SIZE_MAX, SIZE_MAX);
    launch_mark_exited(c, (uint32_t)refusal_exit_code(f->text), f->text);
    (void)!record_write_state(c->state_dir.text, &c->next, &ignored); /* the first fault counts */
    return rc;
}

/* --- The end */

int launch_read_exit_code(const struct container *c, uint32_t *out)
{
    struct path p = exit_path(c);
    struct buf text;
    int rc;

    buf_init(&text, 64);
    rc = file_read(AT_FDCWD, p.text, &text);
    if (rc == 0)
        rc = buf_append_byte(&text, '\0');
    if (rc == 0)
        *out = (uint32_t)strtoul((const char *)text.ptr, NULL, 10) & 0xff;
    buf_deinit(&text);
    return rc;
}

/* Whoever of conmon is left: found by the lock, ended by its pid. */
static void end_conmon(const struct container *c)
{
    struct path pid_file = path_of("%s/conmon.pid", c->run_dir.text);

    for (int i = 0; i < 200; i++) {
        int lock = open_lock(c), fd;
        uint64_t ticks;
        struct buf text;
        pid_t pid = 0;

        if (lock != -EWOULDBLOCK) {
            if (lock >= 0)
                close(lock);
            return;
        }
        buf_init(&text, 64);
        if (i > 20 && file_read(AT_FDCWD, pid_file.text, &text) == 0 &&
            buf_append_byte(&text, '\0') == 0)
            pid = (pid_t)strtol((const char *)text.ptr, NULL, 10);
        buf_deinit(&text);
        if (pid > 0 && process_start_ticks(pid, &ticks) == 0) {
            fd = process_open(pid, ticks);
            if (fd >= 0) {
                (void)!process_signal(fd, SIGKILL); /* gone is fine */
                close(fd);
            }
        }
        (void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
}

/* Cgroups, mounts, directories: what remains once no process does. */
static void remove_traces(struct container *c)
{
    struct path rootfs = path_of("%s/rootfs", c->run_dir.text);
    struct path oci_state = path_of("%s/%s", c->rt->oci.root.text, id_of(c));
    int rc;

    cgroup_remove(&c->rt->cgroup, c->cgroup_path); /* with who is in it */
    (void)umount2(rootfs.text, MNT_DETACH);        /* it may not be mounted */
    rc = tree_remove(c->run_dir.text);
    if (rc == 0)
        rc = tree_remove(oci_state.text);
    if (rc < 0)
        log_warn("runtime", "container %s: %s; the next start tries again", id_of(c), err_text(rc));
}

/* A create that was under way when the daemon died goes on beside us for a moment, so the OCI
 * runtime is asked before and after conmon has ended, and its state goes in any case: of half a
 * container it knows only that it cannot read it. */
void launch_clean_up(struct container *c)
{
    struct fault f;
    int rc = oci_delete(&c->rt->oci, id_of(c), &f);

    if (access(c->run_dir.text, F_OK) == 0) {
        end_conmon(c);
        rc = oci_delete(&c->rt->oci, id_of(c), &f);
    }
    if (rc < 0)
        log_warn("runtime", "container %s: %s; removing what is left of it", id_of(c), f.text);
    remove_traces(c);
}

/* conmon writes the status before it ends; without one somebody ended conmon, and the container
 * that nobody watches any more is ended too. */
void launch_collect(struct container *c)
{
    struct path exit_file = exit_path(c);
    struct fault f;
    uint32_t code = CONTAINER_EXIT_UNKNOWN;
    const char *error = "";
    bool told = launch_read_exit_code(c, &code) == 0;

    if (!told)
        error = c->next.boot_id != NULL && strcmp(c->next.boot_id, c->rt->boot_id) != 0
                    ? "the host went down while it ran"
                    : "its monitor, conmon, ended without an exit status";
    c->next.oom_killed = cgroup_oom_killed(&c->rt->cgroup, c->cgroup_path);
    launch_mark_exited(c, code, error);
    /* After an orderly end the OCI runtime's delete would find nothing to do but this, and to run
     * it costs as much as all the rest. */
    if (told)
        remove_traces(c);
    else
        launch_clean_up(c);
    bundle_unuse_volumes(c, SIZE_MAX, SIZE_MAX);
    if (record_write_state(c->state_dir.text, &c->next, &f) < 0)
        log_error("runtime", "container %s: its exit code %u could not be stored: %s", id_of(c),
                  (unsigned)code, f.text);
    else
        (void)unlink(exit_file.text); /* now the record has it */
}

int launch_remove(struct container *c, enum container_remove how, struct fault *f)
{
    struct path spec = path_of("%s/spec", c->state_dir.text);
    struct path exit_file = exit_path(c);
    struct path secrets = launch_secrets_dir(c);
    int rc;

    if (unlink(spec.text) < 0 && errno != ENOENT) /* from here on it is rubble */
        return fault_system(f, -errno, "container %s", id_of(c));
    launch_clean_up(c);
    (void)unlink(exit_file.text); /* usually taken already */
    rc = tree_remove(secrets.text);
    if (rc == 0)
        rc = tree_remove(c->state_dir.text);
    if (rc < 0)
        log_warn("runtime", "container %s: removing its files: %s; the next start tries again",
                 id_of(c), err_text(rc));
    detach_volumes(c, how);
    return 0;
}
