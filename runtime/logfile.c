#include "runtime/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/time_text.h"
#include "runtime/file.h"

#define FILES_MAX 1000

struct path log_path(const char *state_dir, uint32_t number)
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

uint32_t log_oldest(const char *state_dir)
{
    uint32_t n = 0;

    for (uint32_t i = 1; i <= FILES_MAX + 1; i++) {
        struct path p = log_path(state_dir, i);

        if (access(p.text, F_OK) < 0 && i > n + 2)
            break;
        if (access(p.text, F_OK) == 0)
            n = i;
    }
    return n;
}

/* Non-blocking: a conmon that just ended leaves a pipe that nobody reads. */
static void tell_conmon(const char *run_dir)
{
    struct path ctl = path_of("%s/ctl", run_dir);
    int fd = open(ctl.text, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "2 0 0\n", 6); /* its order to open the log anew */
    close(fd);
}

/* What the oldest ones are called depends on how many were kept before. */
static void remove_beyond(const struct log_rotation *r, uint32_t count)
{
    for (uint32_t i = log_oldest(r->state_dir); i >= count && i > 0; i--)
        (void)unlink(log_path(r->state_dir, i).text); /* there may be holes */
}

void log_rotate(const struct log_rotation *r)
{
    uint32_t count = r->count_max == 0 ? 1 : MIN(r->count_max, FILES_MAX);
    struct path log = log_path(r->state_dir, 0);
    struct stat st;

    if (stat(log.text, &st) < 0) {
        if (errno == ENOENT && log_oldest(r->state_dir) > 0)
            tell_conmon(r->run_dir); /* it goes on with log.1: nobody has told it, or not yet */
        return;
    }
    remove_beyond(r, count); /* also a log.1 when one is kept, as conmon is done with it */
    if ((uint64_t)st.st_size < r->bytes_max)
        return;
    for (uint32_t i = MAX(count - 1, 1); i > 0; i--)
        (void)rename(log_path(r->state_dir, i - 1).text, log_path(r->state_dir, i).text);
    tell_conmon(r->run_dir);
}
