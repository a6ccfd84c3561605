#include "runtime/log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define TAIL_BLOCK    65536
#define OPEN_ATTEMPTS 16 /* each lost against a rotation */

void log_reader_init(struct log_reader *r, const char *dir, uint64_t tail)
{
    r->dir = path_of("%s", dir);
    r->tail = tail;
    r->fd = -1;
    r->at_end = false;
    r->last = 0;
    r->len = r->parsed = 0;
}

void log_reader_deinit(struct log_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

/* --- Which file */

static int open_number(const struct log_reader *r, uint32_t number)
{
    struct path p = log_path(r->dir.text, number);
    int fd = open(p.text, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return fd;
}

static void take_file(struct log_reader *r, int fd)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
}

/* Goes back through the file; true when the line was found whose end is the `*left`-th last. */
static bool find_in_file(int fd, uint64_t *left, off_t *out)
{
    uint8_t block[TAIL_BLOCK];
    off_t end = lseek(fd, 0, SEEK_END);

    while (end > 0) {
        size_t len = (size_t)MIN(end, TAIL_BLOCK);
        ssize_t n = pread(fd, block, len, end - (off_t)len);

        if (n != (ssize_t)len)
            return false;
        for (size_t i = len; i-- > 0;) {
            if (block[i] != '\n')
                continue;
            if (*left == 0) {
                *out = end - (off_t)len + (off_t)i + 1;
                return true;
            }
            --*left;
        }
        end -= (off_t)len;
    }
    return false;
}

static bool is_same_file(int a, int b)
{
    struct stat x, y;

    return a >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
           x.st_dev == y.st_dev;
}

/* Counts lines from the newest file back, and stays in the one where the tail begins. A file that
 * a rotation renames meanwhile is met twice, and counts once. */
static int open_tail(struct log_reader *r)
{
    uint32_t oldest = log_oldest(r->dir.text);
    uint64_t left = r->tail;
    off_t at = 0;
    bool found = false;

    for (uint32_t i = 0; i <= oldest && !found; i++) {
        int fd = open_number(r, i);

        if (fd < 0 || is_same_file(r->fd, fd)) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        take_file(r, fd);
        found = find_in_file(fd, &left, &at);
    }
    if (r->fd < 0)
        return -ENOENT;
    return lseek(r->fd, at, SEEK_SET) < 0 ? -errno : 0;
}

static int open_first(struct log_reader *r)
{
    int fd = -ENOENT;

    if (r->tail != LOGS_TAIL_ALL)
        return open_tail(r);
    for (int i = 0; i < OPEN_ATTEMPTS && fd == -ENOENT; i++)
        fd = open_number(r, log_oldest(r->dir.text));
    if (fd < 0)
        return fd;
    take_file(r, fd);
    return 0;
}

/* Our file has been rotated away altogether: the oldest that was written to after it. */
static uint32_t find_younger_than_last(const struct log_reader *r, uint32_t oldest)
{
    for (uint32_t i = oldest; i > 0; i--) {
        struct path p = log_path(r->dir.text, i);
        struct stat st;

        if (stat(p.text, &st) == 0 &&
            (wall_ns)st.st_mtim.tv_sec * (wall_ns)NS_PER_S + st.st_mtim.tv_nsec > r->last)
            return i;
    }
    return 0;
}

/* The number of the file that follows the open one; false: it is the newest. */
static bool find_newer(const struct log_reader *r, uint32_t *out)
{
    uint32_t oldest = log_oldest(r->dir.text);
    struct stat mine, st;

    if (fstat(r->fd, &mine) < 0)
        return false;
    for (uint32_t i = 0; i <= oldest; i++) {
        struct path p = log_path(r->dir.text, i);

        if (stat(p.text, &st) < 0 || st.st_ino != mine.st_ino || st.st_dev != mine.st_dev)
            continue;
        if (i == 0)
            return false;
        *out = i - 1;
        return access(log_path(r->dir.text, i - 1).text, F_OK) == 0;
    }
    *out = find_younger_than_last(r, oldest);
    return access(log_path(r->dir.text, *out).text, F_OK) == 0;
}

/* --- Reading */

static ssize_t read_more(struct log_reader *r)
{
    ssize_t n;

    do {
        n = read(r->fd, r->buffer + r->len, LOG_READER_CHUNK - r->len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void drop_parsed(struct log_reader *r)
{
    memmove(r->buffer, r->buffer + r->parsed, r->len - r->parsed);
    r->len -= r->parsed;
    r->parsed = 0;
    if (r->len == LOG_READER_CHUNK && memchr(r->buffer, '\n', LOG_READER_CHUNK) == NULL)
        r->len = 0; /* no line of ours is that long: something else wrote there */
}

int log_reader_fill(struct log_reader *r)
{
    uint32_t newer;
    ssize_t n;
    int rc;

    drop_parsed(r);
    r->at_end = false;
    if (r->fd < 0) {
        rc = open_first(r);
        r->at_end = rc == -ENOENT;
        if (rc < 0)
            return rc == -ENOENT ? 0 : rc;
    }
    for (;;) {
        bool has_newer = find_newer(r, &newer); /* asked before reading: see the header */
        int fd;

        n = read_more(r);
        if (n != 0 || !has_newer)
            break;
        fd = open_number(r, newer);
        if (fd < 0 && fd != -ENOENT)
            return fd;
        if (fd >= 0) /* else it has just got another number */
            take_file(r, fd);
    }
    if (n < 0)
        return (int)n;
    r->len += (size_t)n;
    r->at_end = n == 0;
    return 0;
}

bool log_reader_next(struct log_reader *r, struct log_record *out)
{
    while (r->parsed < r->len) {
        uint8_t *line = r->buffer + r->parsed;
        uint8_t *end = memchr(line, '\n', r->len - r->parsed);

        if (end == NULL)
            return false;
        r->parsed += (size_t)(end - line) + 1;
        if (log_parse(slice_of(line, (size_t)(end - line)), out) < 0)
            continue;
        if (!out->partial)
            out->text.len++; /* its newline is just behind it */
        r->last = out->time;
        return true;
    }
    return false;
}

bool log_record_is_wanted(const struct log_record *record, const struct logs_options *o)
{
    bool both = !o->out && !o->err;

    if (!both && !(record->source == STREAM_STDOUT ? o->out : o->err))
        return false;
    return record->time >= o->since && (o->until == 0 || record->time <= o->until);
}
