/* A lane is a thread that sleeps on its semaphore:
 *
 *     submit: lane.job = job, post(wake) -> thread runs it -> done = true, uv_async_send
 *     on_async (loop): for each lane with done: on_done
 *
 * Open files are cached per lane, as two lanes never hold the same file open to write: the log lane
 * writes segments, which the spare lane has finished with, or not yet begun to remove. A file that
 * the spare lane removes under a descriptor of the log lane stays harmless; that descriptor is
 * replaced when the log lane next opens another file. */
#include "node/cluster/raft_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/units.h"

#define OPEN_FILES_MAX 4
#define FILL_PIECE_BYTES                                                        \
    ((size_t)MIB) /* written and synced in pieces: a flush of another lane then \
                   * never waits for a whole segment */

struct open_file {
    char name[DISK_NAME_CAP]; /* "" = unused */
    int fd;
};

struct lane {
    struct raft_disk *disk;
    unsigned number;
    uv_thread_t thread;
    uv_sem_t wake;
    bool has_thread;
    struct open_file files[OPEN_FILES_MAX];
    unsigned next_file; /* replaced next */
    struct disk_job job;
    int status;
    bool is_busy;     /* loop's thread only */
    atomic_bool done; /* the thread has set status */
    atomic_bool quit;
};

struct raft_disk {
    struct raft_disk_events events;
    uv_async_t async;
    int dir;
    struct lane lanes[RAFT_DISK_LANES];
    uint8_t *zeros; /* FILL_PIECE_BYTES */
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* --- Files. */

static int close_file(struct open_file *f)
{
    int rc = 0;

    if (f->name[0] != '\0' && close(f->fd) < 0)
        rc = -errno;
    f->name[0] = '\0';
    return rc;
}

static int forget_file(struct lane *l, const char *name)
{
    int rc = 0;

    for (size_t i = 0; i < OPEN_FILES_MAX; i++)
        if (strcmp(l->files[i].name, name) == 0)
            rc = close_file(&l->files[i]);
    return rc;
}

/* The descriptor of a file, created when `flags` say so. */
static int file_fd(struct lane *l, const char *name, int flags)
{
    struct open_file *f;
    int fd, rc;

    for (size_t i = 0; i < OPEN_FILES_MAX; i++)
        if (strcmp(l->files[i].name, name) == 0)
            return l->files[i].fd;
    fd = openat(l->disk->dir, name, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        return -errno;
    f = &l->files[l->next_file++ % OPEN_FILES_MAX];
    rc = close_file(f);
    if (rc < 0) {
        (void)close(fd); /* the first failure is the one to report */
        return rc;
    }
    memcpy(f->name, name, strlen(name) + 1);
    f->fd = fd;
    return fd;
}

static int write_all(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int sync_fd(int fd)
{
    return fdatasync(fd) < 0 ? -errno : 0; /* never repeated: see raft/disk.h */
}

static int write_file(struct lane *l, const struct disk_op *op)
{
    int fd = file_fd(l, op->file, O_CREAT);

    return fd < 0 ? fd : write_all(fd, op->data.ptr, op->data.len, op->offset);
}

/* Space is claimed first, so that a full disk is found before anything is written. */
static int fill_file(struct lane *l, const struct disk_op *op)
{
    int fd = file_fd(l, op->file, O_CREAT);
    int rc;

    if (fd < 0)
        return fd;
    rc = posix_fallocate(fd, 0, (off_t)op->len); /* returns the error */
    if (rc != 0 && rc != EOPNOTSUPP && rc != EINVAL)
        return -rc;
    if (ftruncate(fd, (off_t)op->len) < 0)
        return -errno;
    for (uint64_t at = 0; at < op->len; at += FILL_PIECE_BYTES) {
        size_t len = (size_t)MIN(op->len - at, (uint64_t)FILL_PIECE_BYTES);

        rc = write_all(fd, l->disk->zeros, len, at);
        if (rc == 0)
            rc = sync_fd(fd);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int sync_file(struct lane *l, const struct disk_op *op)
{
    int fd = file_fd(l, op->file, 0);

    return fd < 0 ? fd : sync_fd(fd);
}

static int rename_file(struct lane *l, const struct disk_op *op)
{
    int rc = forget_file(l, op->file);
    int rc_to = forget_file(l, op->to);

    if (rc < 0 || rc_to < 0)
        return MIN(rc, rc_to);
    return renameat(l->disk->dir, op->file, l->disk->dir, op->to) < 0 ? -errno : 0;
}

static int remove_file(struct lane *l, const struct disk_op *op)
{
    int rc = forget_file(l, op->file);

    if (rc < 0)
        return rc;
    return unlinkat(l->disk->dir, op->file, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int run_op(struct lane *l, const struct disk_op *op)
{
    switch (op->kind) {
    case DISK_WRITE:
        return write_file(l, op);
    case DISK_FILL:
        return fill_file(l, op);
    case DISK_SYNC:
        return sync_file(l, op);
    case DISK_RENAME:
        return rename_file(l, op);
    case DISK_REMOVE:
        return remove_file(l, op);
    case DISK_SYNC_DIR:
        return fsync(l->disk->dir) < 0 ? -errno : 0;
    }
    UNREACHABLE("every kind is handled");
}

static int run_job(struct lane *l, const struct disk_job *job)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < job->op_count; i++)
        rc = run_op(l, &job->ops[i]);
    return rc;
}

/* --- Reading. */

static int list_files(void *ctx, disk_on_file *on_file, void *arg)
{
    struct raft_disk *d = ctx;
    struct dirent *entry;
    struct stat st;
    DIR *dir;
    int fd = openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return -errno;
    dir = fdopendir(fd);
    if (dir == NULL) {
        rc = -errno;
        (void)close(fd); /* read only */
        return rc;
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strlen(entry->d_name) >= DISK_NAME_CAP ||
            fstatat(d->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue; /* not ours */
        rc = on_file(arg, entry->d_name, (uint64_t)st.st_size);
    }
    (void)closedir(dir); /* read only */
    return rc;
}

static int64_t read_file(void *ctx, const char *file, uint64_t offset, uint8_t *out, size_t len)
{
    struct raft_disk *d = ctx;
    int fd = openat(d->dir, file, O_RDONLY | O_CLOEXEC);
    size_t got = 0;
    int64_t rc = 0;

    if (fd < 0)
        return -errno;
    while (got < len) {
        ssize_t n = pread(fd, out + got, len - got, (off_t)(offset + got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = -errno;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    (void)close(fd); /* read only */
    return rc < 0 ? rc : (int64_t)got;
}

struct disk_reader raft_disk_reader(struct raft_disk *d)
{
    return (struct disk_reader){ .ctx = d, .list = list_files, .read = read_file };
}

/* --- Lanes. */

static void lane_main(void *arg)
{
    struct lane *l = arg;

    for (;;) {
        uv_sem_wait(&l->wake);
        if (atomic_load(&l->quit))
            return;
        l->status = run_job(l, &l->job);
        atomic_store(&l->done, true);
        (void)uv_async_send(&l->disk->async); /* fails only on a handle that is being closed */
    }
}

static void on_async(uv_async_t *async)
{
    struct raft_disk *d = async->data;

    for (unsigned i = 0; i < RAFT_DISK_LANES; i++) {
        struct lane *l = &d->lanes[i];

        if (!atomic_exchange(&l->done, false))
            continue;
        l->is_busy = false;
        d->events.on_done(d->events.ctx, i, l->status);
    }
}

int raft_disk_run(struct raft_disk *d, const struct disk_job *job)
{
    CHECK(!d->lanes[0].is_busy);
    return run_job(&d->lanes[0], job);
}

void raft_disk_submit(struct raft_disk *d, unsigned lane, const struct disk_job *job)
{
    struct lane *l = &d->lanes[lane];

    CHECK(!l->is_busy);
    l->is_busy = true;
    l->job = *job;
    uv_sem_post(&l->wake);
}

bool raft_disk_is_busy(const struct raft_disk *d, unsigned lane)
{
    return d->lanes[lane].is_busy;
}

/* --- Opening and closing. */

/* Also makes a new directory's own name durable. */
static int open_dir(const char *path, int *out)
{
    bool is_new = mkdir(path, 0700) == 0;
    int parent, rc = 0;

    if (!is_new && errno != EEXIST)
        return -errno;
    *out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out < 0)
        return -errno;
    if (!is_new)
        return 0;
    parent = openat(*out, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -errno;
    if (fsync(parent) < 0)
        rc = -errno;
    (void)close(parent); /* read only */
    return rc;
}

static void stop_lane(struct lane *l)
{
    if (l->has_thread) {
        atomic_store(&l->quit, true);
        uv_sem_post(&l->wake);
        (void)uv_thread_join(&l->thread); /* fails only for a thread that is not one */
        uv_sem_destroy(&l->wake);
    }
    for (size_t i = 0; i < OPEN_FILES_MAX; i++)
        (void)close_file(&l->files[i]); /* all that mattered was synced */
}

static void free_disk(struct raft_disk *d)
{
    if (d->dir >= 0)
        (void)close(d->dir); /* read only; gives the lock up */
    free(d->zeros);
    free(d);
}

static int start_lane(struct raft_disk *d, unsigned number)
{
    struct lane *l = &d->lanes[number];
    int rc;

    l->disk = d;
    l->number = number;
    rc = uv_sem_init(&l->wake, 0);
    if (rc < 0)
        return rc;
    rc = uv_thread_create(&l->thread, lane_main, l);
    if (rc < 0)
        uv_sem_destroy(&l->wake);
    l->has_thread = rc == 0;
    return rc;
}

static int lock_dir(struct raft_disk *d, const char *dir)
{
    int rc = open_dir(dir, &d->dir);

    if (rc < 0)
        return rc;
    return flock(d->dir, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

int raft_disk_open(uv_loop_t *loop, const char *dir, const struct raft_disk_events *events,
                   struct raft_disk **out)
{
    struct raft_disk *d = calloc(1, sizeof(*d));
    int rc = -ENOMEM;

    if (d == NULL)
        return -ENOMEM;
    d->dir = -1;
    d->events = *events;
    d->zeros = calloc(1, FILL_PIECE_BYTES);
    if (d->zeros != NULL)
        rc = lock_dir(d, dir);
    for (unsigned i = 0; rc == 0 && i < RAFT_DISK_LANES; i++)
        rc = start_lane(d, i);
    if (rc == 0)
        rc = uv_async_init(loop, &d->async, on_async);
    if (rc < 0) {
        for (unsigned i = 0; i < RAFT_DISK_LANES; i++)
            stop_lane(&d->lanes[i]);
        free_disk(d);
        return rc;
    }
    d->async.data = d;
    *out = d;
    return 0;
}

static void on_async_closed(uv_handle_t *handle)
{
    struct raft_disk *d = handle->data;
    void (*on_closed)(void *ctx) = d->on_closed;
    void *ctx = d->closed_ctx;

    free_disk(d);
    if (on_closed != NULL)
        on_closed(ctx);
}

void raft_disk_close(struct raft_disk *d, void (*on_closed)(void *ctx), void *ctx)
{
    for (unsigned i = 0; i < RAFT_DISK_LANES; i++) {
        CHECK(!d->lanes[i].is_busy);
        stop_lane(&d->lanes[i]);
    }
    d->on_closed = on_closed;
    d->closed_ctx = ctx;
    uv_close((uv_handle_t *)&d->async, on_async_closed);
}
