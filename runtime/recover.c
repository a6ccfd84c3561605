/* After a restart of the daemon: what is true of a container now, whatever its record says. On a
 * thread. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "runtime/launch.h"
#include "runtime/process.h"

static const char *text_of(const char *s)
{
    return s == NULL ? "" : s;
}

static const char *id_of(const struct container *c)
{
    return c->record.spec.id;
}

static void adopt_volume_refs(struct container *c, bool running)
{
    const struct container_spec *spec = &c->record.spec;
    struct fault ignored;

    for (size_t i = 0; i < spec->mounts.count; i++) {
        const struct container_mount *m = &spec->mounts.items[i];

        if (m->kind != CONTAINER_MOUNT_VOLUME || text_of(m->source)[0] == '\0')
            continue;
        (void)!volume_ref(&c->rt->volumes, m->source, &ignored); /* lost: a start will say so */
        if (running)
            volume_adopt_use(&c->rt->volumes, m->source);
    }
    for (size_t i = 0; i < c->record.volumes.count; i++) {
        (void)!volume_ref(&c->rt->volumes, c->record.volumes.items[i].value, &ignored);
        if (running)
            volume_adopt_use(&c->rt->volumes, c->record.volumes.items[i].value);
    }
}

/* A start that was cut off: it ran if the OCI runtime says so, else it never did. */
static void settle_start(struct container *c)
{
    enum oci_status status = oci_status(&c->rt->oci, id_of(c));
    uint32_t code;

    if (status == OCI_RUNNING || status == OCI_PAUSED || launch_read_exit_code(c, &code) == 0) {
        c->next.phase = PHASE_RUNNING;
        c->next.started = runtime_wall_now();
        return;
    }
    launch_mark_exited(c, CONTAINER_EXIT_UNKNOWN,
                       "the daemon was ended while it started; start it again");
}

/* Usually it is there already. Elsewhere it may end with this daemon, and its container with it. */
static void place_monitor(const struct container *c)
{
    struct fault f;
    int rc = conmon_cgroup_add(&c->rt->monitors, (pid_t)c->next.conmon_pid, &f);

    if (rc < 0 && rc != -ESRCH) /* -ESRCH: it has just ended */
        log_warn("runtime", "container %s: %s", id_of(c), f.text);
}

int launch_recover(struct container *c, enum recovered *out, struct fault *f)
{
    bool same_boot = strcmp(text_of(c->next.boot_id), c->rt->boot_id) == 0;
    uint32_t code;
    int conmon_fd = -1, rc;

    *out = RECOVERED_IDLE;
    if (c->next.phase == PHASE_STARTING) {
        if (same_boot)
            settle_start(c);
        else
            launch_mark_exited(c, CONTAINER_EXIT_UNKNOWN, "the host went down while it started");
        rc = record_write_state(c->state_dir.text, &c->next, f);
        if (rc < 0)
            return rc;
    }
    if (c->next.phase == PHASE_RUNNING) {
        if (same_boot && launch_read_exit_code(c, &code) < 0) /* else conmon is just leaving */
            conmon_fd = process_open((pid_t)c->next.conmon_pid, c->next.conmon_ticks);
        *out = conmon_fd >= 0 ? RECOVERED_RUNNING : RECOVERED_ENDED;
        if (conmon_fd >= 0) {
            place_monitor(c);
            close(conmon_fd);
        }
    }
    adopt_volume_refs(c, *out != RECOVERED_IDLE);
    if (*out == RECOVERED_IDLE)
        launch_clean_up(c);
    return 0;
}
