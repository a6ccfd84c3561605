/* runtime/logfile.h - Log files as conmon writes them, and their rotation.
 *
 * One line per piece of output: "2026-11-23T01:02:03.456789012+00:00 stdout F text". F ends a
 * line of the container, P is a piece of a longer one. STATE/containers/ID/log is being written,
 * log.1 is the one before it, and so on. */
#ifndef RUNTIME_LOGFILE_H
#define RUNTIME_LOGFILE_H

#include "base/slice.h"
#include "runtime/file.h"
#include "runtime/runtime.h"

struct log_record {
    enum stream_source source;
    wall_ns time;
    bool partial;
    struct slice text; /* without the newline; borrows from the line */
};

/* `line` without its newline.  ERR_MALFORMED */
NODISCARD int log_parse(struct slice line, struct log_record *out);

struct log_rotation {
    const char *state_dir; /* of the container */
    const char *run_dir;   /* conmon's, where it listens */
    uint64_t bytes_max;
    uint32_t count_max;
};
/* Rotates if it is due: renames, and tells conmon to open a new file; keeps `count_max` files in
 * all. For a container that runs. Blocks. */
void log_rotate(const struct log_rotation *rotation);

struct path log_path(const char *state_dir, uint32_t number); /* 0 = log */
uint32_t log_oldest(const char *state_dir); /* number of the oldest file that is there */

#endif /* RUNTIME_LOGFILE_H */
