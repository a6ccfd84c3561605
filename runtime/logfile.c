#include "runtime/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/time_text.h"
#include "runtime/file.h"

#define FILES_MAX  1000
#define TAIL_BLOCK 65536

static struct path file_path(const char *state_dir, uint32_t number)
{
    return number == 0 ? path_of("%s/log", state_dir) : path_of("%s/log.%u", state_dir, number);
}

/* Takes the word before the next space. */
static bool take_word(struct slice *rest, struct slice *out)
{
    const uint8_t *space = rest->len == 0 ? NULL : memchr(rest->ptr, ' ', rest->len);

    if (space == NULL)
        return false;
    *out = slice_of(rest->ptr, (size_t)(space - rest->ptr));
    rest->ptr += out->len + 1;
    rest->len -= out->len + 1;
    return true;
}

int log_parse(struct slice line, struct log_record *out)
{
    struct slice time, stream, flag;
    struct log_record r;

    if (!take_word(&line, &time) || !take_word(&line, &stream) || !take_word(&line, &flag))
        return ERR_MALFORMED;
    if (time_parse(time, &r.time) < 0)
        return ERR_MALFORMED;
    if (slice_equal(stream, slice_of_str("stdout")))
        r.source = STREAM_STDOUT;
    else if (slice_equal(stream, slice_of_str("stderr")))
        r.source = STREAM_STDERR;
    else
        return ERR_MALFORMED;
    if (flag.len == 0 || (flag.ptr[0] != 'F' && flag.ptr[0] != 'P'))
        return ERR_MALFORMED;
    r.partial = flag.ptr[0] == 'P';
    r.text = line;
    *out = r;
    return 0;
}

/* --- Rotation */

/* Non-blocking: a conmon that just ended leaves a pipe that nobody reads. */
static void tell_conmon(const char *run_dir)
{
    struct path ctl = path_of("%s/ctl", run_dir);
    int fd = open(ctl.text, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "2 0 0\n", 6); /* its order to open the log anew; else the next round */
    close(fd);
}

void log_rotate(const struct log_rotation *r)
{
    struct path log = file_path(r->state_dir, 0);
    uint32_t count = r->count_max == 0 ? 1 : MIN(r->count_max, FILES_MAX);
    struct path first = file_path(r->state_dir, 1), oldest;
    struct stat st;

    if (stat(log.text, &st) < 0 || (uint64_t)st.st_size < r->bytes_max)
        return;
    for (uint32_t i = count - 1; i >= 2; i--) {
        struct path from = file_path(r->state_dir, i - 1), to = file_path(r->state_dir, i);

        (void)rename(from.text, to.text); /* there may be fewer */
    }
    if (rename(log.text, first.text) < 0)
        return;
    tell_conmon(r->run_dir);
    /* Kept one longer than asked for while conmon still writes to it. */
    oldest = file_path(r->state_dir, count + 1);
    (void)unlink(oldest.text);
    if (count > 1)
        return;
    oldest = file_path(r->state_dir, 2);
    (void)rename(first.text, oldest.text);
}

/* --- Looking back */

uint32_t log_oldest(const char *state_dir)
{
    uint32_t n = 0;

    for (uint32_t i = 1; i <= FILES_MAX + 1; i++) {
        struct path p = file_path(state_dir, i);

        if (access(p.text, F_OK) < 0 && i > n + 2)
            break;
        if (access(p.text, F_OK) == 0)
            n = i;
    }
    return n;
}

/* Goes back through the file; true when the line was found whose end is the `*left`-th last. */
static bool find_in_file(int fd, uint64_t *left, uint64_t *out)
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
                *out = (uint64_t)end - len + i + 1;
                return true;
            }
            --*left;
        }
        end -= (off_t)len;
    }
    return false;
}

struct log_position log_find_tail(const char *state_dir, uint64_t count)
{
    struct log_position at = { 0, 0 };
    uint32_t oldest = log_oldest(state_dir);

    for (uint32_t i = 0; i <= oldest; i++) {
        struct path p = file_path(state_dir, i);
        int fd = open(p.text, O_RDONLY | O_CLOEXEC);
        bool found = fd >= 0 && find_in_file(fd, &count, &at.offset);

        at.file = i;
        if (fd >= 0)
            close(fd);
        if (found)
            return at;
    }
    at.offset = 0;
    return at;
}
