/* Calls about running containers that do not queue: counters, and the size of a terminal. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "runtime/job.h"

struct container_job {
    struct job job;
    char id[CONTAINER_ID_LEN_MAX + 1];
    char cgroup_path[384];
    struct path run_dir;
    pid_t pid;
    uint16_t rows, columns;
    struct container_stats stats;
    void (*stats_done)(void *owner, int err, const char *message,
                       const struct container_stats *stats);
    runtime_done done;
    void *owner;
};

static struct container_job *new_job(struct runtime *rt, const char *id, int (*run)(struct job *),
                                     void (*done)(struct job *), void *owner)
{
    struct container_job *j = job_new(rt, sizeof(*j), run, done);
    const struct container *c = runtime_find_id(rt, id);

    j->owner = owner;
    (void)snprintf(j->id, sizeof(j->id), "%s", id);
    if (c == NULL) {
        j->job.err =
            fault_set(&j->job.fault, ERR_NOT_FOUND, "container %.80s: no such container", id);
    } else if (c->info.pid == 0) {
        j->job.err = fault_set(&j->job.fault, ERR_CONFLICT, "container %s: is not running", id);
    } else {
        memcpy(j->cgroup_path, c->cgroup_path, sizeof(j->cgroup_path)); /* the same size */
        j->run_dir = c->run_dir;
        j->pid = c->info.pid;
    }
    return j;
}

/* Lines of /proc/PID/net/dev: "  eth0: rx bytes, packets, 6 more, tx bytes, packets ..". */
static void add_network(pid_t pid, struct container_stats *s)
{
    struct path p = path_of("/proc/%d/net/dev", (int)pid);
    char *line, *save = NULL;
    struct buf text;

    buf_init(&text, 256 * KIB);
    if (file_read(AT_FDCWD, p.text, &text) == 0 && buf_append_byte(&text, '\0') == 0) {
        for (line = strtok_r((char *)text.ptr, "\n", &save); line != NULL;
             line = strtok_r(NULL, "\n", &save)) {
            char name[64];
            uint64_t n[10];

            /* NOLINTNEXTLINE(cert-err34-c): the kernel writes these numbers */
            if (sscanf(line,
                       " %63[^:]: %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                       " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                       name, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8],
                       &n[9]) != 11 ||
                strcmp(name, "lo") == 0)
                continue;
            s->net_rx_bytes += n[0];
            s->net_rx_packets += n[1];
            s->net_tx_bytes += n[8];
            s->net_tx_packets += n[9];
        }
    }
    buf_deinit(&text);
}

static int run_stats(struct job *job)
{
    struct container_job *j = CONTAINER_OF(job, struct container_job, job);
    int rc = cgroup_stats(&job->rt->cgroup, j->cgroup_path, &j->stats);

    if (rc < 0)
        return fault_set(&job->fault, ERR_CONFLICT, "container %s: is not running", j->id);
    add_network(j->pid, &j->stats);
    return 0;
}

static void report_stats(struct job *job)
{
    struct container_job *j = CONTAINER_OF(job, struct container_job, job);

    j->stats_done(j->owner, job->err, job_message(job), job->err == 0 ? &j->stats : NULL);
    free(j);
}

void runtime_container_stats(struct runtime *rt, const char *id,
                             void (*done)(void *owner, int err, const char *message,
                                          const struct container_stats *stats),
                             void *owner)
{
    struct container_job *j = new_job(rt, id, run_stats, report_stats, owner);

    j->stats_done = done;
    job_start(&j->job, WORK_QUICK);
}

static int run_resize(struct job *job)
{
    struct container_job *j = CONTAINER_OF(job, struct container_job, job);
    struct path ctl = path_of("%s/ctl", j->run_dir.text);
    int fd = open(ctl.text, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    char order[64];
    int len, rc = 0;

    if (fd < 0)
        return fault_system(&job->fault, -errno, "container %s: resize", j->id);
    /* conmon's order 1: rows, columns */
    len = snprintf(order, sizeof(order), "1 %u %u\n", (unsigned)j->rows, (unsigned)j->columns);
    if (write(fd, order, (size_t)len) != len)
        rc = fault_system(&job->fault, -errno, "container %s: resize", j->id);
    close(fd);
    return rc;
}

static void report_resize(struct job *job)
{
    struct container_job *j = CONTAINER_OF(job, struct container_job, job);

    j->done(j->owner, job->err, job_message(job));
    free(j);
}

void runtime_container_resize(struct runtime *rt, const char *id, uint16_t rows, uint16_t columns,
                              runtime_done done, void *owner)
{
    struct container_job *j = new_job(rt, id, run_resize, report_resize, owner);

    j->rows = rows;
    j->columns = columns;
    j->done = done;
    job_start(&j->job, WORK_QUICK);
}
