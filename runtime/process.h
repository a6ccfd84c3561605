/* runtime/process.h - Child processes of the runtime's threads.
 *
 * The threads wait for their children by pid; libuv reaps only those that it started itself. */
#ifndef RUNTIME_PROCESS_H
#define RUNTIME_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"

struct process_fds {
    int child_fd; /* the number it gets */
    int our_fd;
};

/* Starts argv[0] (found in PATH) in the directory `dir` (NULL: ours) with the descriptors given,
 * /dev/null for those of 0 to 2 that are not, and nothing else open. Its environment is PATH,
 * LC_ALL=C and `variables` ("NAME=value", at most PROCESS_VARIABLES_MAX, then NULL; NULL = none):
 * what a service manager told us in ours is for nobody else.  -ENOENT, -EACCES, .. */
#define PROCESS_VARIABLES_MAX 2
NODISCARD int process_spawn(const char *const argv[], const char *dir, const char *const *variables,
                            const struct process_fds *fds, size_t fd_count, pid_t *out);

/* Waits for the end of our child and reaps it. After the time is up it is killed and -ETIMEDOUT
 * returned. *out_status is as waitpid(2) says. */
NODISCARD int process_wait(pid_t pid, uint64_t timeout_ms, int *out_status);

/* Runs to the end; collects stdout and stderr together in `output` as far as its limit goes.
 * Returns 0 or the cause why it could not be run; *out_status as above. */
NODISCARD int process_run(const char *const argv[], uint64_t timeout_ms, struct buf *output,
                          int *out_status);

/* When the process with that pid was started, in the kernel's ticks since boot: with the pid, a
 * name that is never reused during one boot.  -ESRCH */
NODISCARD int process_start_ticks(pid_t pid, uint64_t *out);

/* A descriptor of a child that has not been reaped. */
NODISCARD int process_open_child(pid_t pid);

/* A descriptor of the process if it is the one started then.  -ESRCH */
NODISCARD int process_open(pid_t pid, uint64_t start_ticks);
NODISCARD int process_signal(int pidfd, int signal);

/* Waits until the process of the descriptor has ended: 0, -ETIMEDOUT. */
NODISCARD int process_wait_fd(int pidfd, uint64_t timeout_ms);

#endif /* RUNTIME_PROCESS_H */
