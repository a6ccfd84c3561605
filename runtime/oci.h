/* runtime/oci.h - The OCI runtime and conmon, as commands. All functions block. */
#ifndef RUNTIME_OCI_H
#define RUNTIME_OCI_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/buf.h"
#include "runtime/conmon_cgroup.h"
#include "runtime/fault.h"
#include "runtime/file.h"
#include "runtime/program.h"

struct oci {
    struct program runtime;
    char conmon[512]; /* absolute path */
    char version[64]; /* "crun 1.8.1" */
    bool is_crun;
    struct path root; /* the OCI runtime's own state: RUN/oci */
};

/* Finds the programs; NULL names mean crun, else runc, and conmon. */
NODISCARD int oci_init(struct oci *oci, const char *runtime, const char *conmon,
                       const char *run_dir, struct fault *f);
void oci_deinit(struct oci *oci); /* also after a failed oci_init() */

/* A program in PATH, or an absolute path. False: not there. */
bool oci_find_program(const char *name, char *out, size_t cap);

struct oci_create {
    const char *id;
    const char *bundle;   /* directory with config.json */
    const char *log_path; /* NULL = no logs */
    const char *exit_dir; /* where the exit status is written, as a file named by the id */
    bool tty, open_stdin;
    bool stdin_once; /* its input ends with the first attached stream that ends its own */
    int lock_fd;     /* stays open in conmon, and with it the lock */
    const struct conmon_cgroup *monitors; /* where conmon will live */
};

struct oci_created {
    pid_t pid;        /* the container's first process, waiting to be started */
    pid_t conmon_pid; /* its monitor; outlives us */
};

/*   ERR_INVALID: the OCI runtime refused; the fault is its last words */
NODISCARD int oci_create(const struct oci *oci, const struct oci_create *args,
                         struct oci_created *out, struct fault *f);

/* Of a container that waits to be started. SIGPIPE must be ignored: it may just have died. */
NODISCARD int oci_start(const struct oci *oci, const char *id, struct fault *f);
/* `command` is pause, resume. */
NODISCARD int oci_command(const struct oci *oci, const char *command, const char *id,
                          struct fault *f);
/* Kills and forgets; success when it does not know the id. */
NODISCARD int oci_delete(const struct oci *oci, const char *id, struct fault *f);

enum oci_status { OCI_UNKNOWN, OCI_CREATED, OCI_RUNNING, OCI_PAUSED, OCI_STOPPED };
enum oci_status oci_status(const struct oci *oci, const char *id);

/* argv of an exec, for who handles its streams. The array borrows from `oci` and the arguments. */
#define OCI_EXEC_ARGV_MAX 14
#define OCI_EXEC_REFUSED  255 /* how it ends when it could not run the command */
struct oci_exec {
    const char *id;
    const char *process_path;   /* a file with the OCI process object */
    const char *pid_path;       /* a file that will hold the command's pid */
    const char *console_socket; /* NULL = no tty */
};
void oci_exec_argv(const struct oci *oci, const struct oci_exec *exec,
                   const char *argv[OCI_EXEC_ARGV_MAX]);

#endif /* RUNTIME_OCI_H */
