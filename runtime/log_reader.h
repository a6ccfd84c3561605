/* runtime/log_reader.h - Reading one container's log files in the order in which they were written.
 *
 *     log_reader_init(&r, dir, tail)
 *     while (log_reader_fill(&r) == 0) {     blocks: on a thread
 *         while (log_reader_next(&r, &record)) ..
 *         if (r.at_end) ..                   all that there is now; fill again for what follows
 *     }
 *     log_reader_deinit(&r)
 *
 * A file is followed by its inode, so rotation does not disturb: at its end, if it is no longer
 * `log`, the next newer file is opened. conmon makes the new file itself and never again writes
 * to the old one, so what was read to the end after the new one existed is complete. */
#ifndef RUNTIME_LOG_READER_H
#define RUNTIME_LOG_READER_H

#include "runtime/file.h"
#include "runtime/logfile.h"

#define LOG_READER_CHUNK (64 * 1024)

struct log_reader {
    struct path dir; /* STATE/containers/ID */
    uint64_t tail;   /* begin with the last n records; LOGS_TAIL_ALL */
    int fd;          /* -1 before the first file */
    bool at_end;
    wall_ns last; /* time of the last record that was given out */
    size_t len, parsed;
    uint8_t buffer[LOG_READER_CHUNK + 1]; /* room for a newline that a record gets back */
};

void log_reader_init(struct log_reader *r, const char *dir, uint64_t tail);
void log_reader_deinit(struct log_reader *r);

/* Reads on; what next() has not given out yet stays. No file at all is an end, not an error. */
NODISCARD int log_reader_fill(struct log_reader *r);

/* The next whole record in the buffer; its text has its newline, unless it is partial. Borrows
 * until the next fill(). Lines that are no records are skipped. */
NODISCARD bool log_reader_next(struct log_reader *r, struct log_record *out);

bool log_record_is_wanted(const struct log_record *record, const struct logs_options *options);

#endif /* RUNTIME_LOG_READER_H */
