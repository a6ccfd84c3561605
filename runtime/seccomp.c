/* Docker's profile (moby, profiles/seccomp) in the form of tables: what every container may call,
 * what a capability opens, and the few calls that depend on an argument. Left out of the list on
 * purpose: io_uring (its bugs reach around this very filter), keyctl and add_key (keyrings are not
 * namespaced), userfaultfd, kexec, and what only changes the host. An unlisted call fails with
 * EPERM, as if a capability were missing; clone3 with ENOSYS, so that libc falls back to clone,
 * whose flags a filter can see. */
#include "runtime/seccomp.h"

#include <errno.h>
#include <stddef.h>

#include <jansson.h>

/* A word list, not one name a line. */
/* clang-format off */
static const char *const allowed[] = {
    /* files */
    "_llseek", "access", "chdir", "chmod", "chown", "chown32", "close", "close_range",
    "copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
    "fadvise64_64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
    "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock",
    "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync",
    "ftruncate", "ftruncate64", "futimesat", "getcwd", "getdents", "getdents64", "getxattr",
    "ioctl", "lchown", "lchown32", "lgetxattr", "link", "linkat", "listxattr", "llistxattr",
    "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "mkdir", "mkdirat", "mknod",
    "mknodat", "name_to_handle_at", "newfstatat", "open", "openat", "openat2", "pread64",
    "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink",
    "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile",
    "sendfile64", "setxattr", "splice", "stat", "stat64", "statfs", "statfs64", "statx",
    "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "truncate64",
    "umask", "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64", "utimes", "vmsplice",
    "write", "writev",
    /* waiting */
    "_newselect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "fanotify_mark",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel",
    "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
    "io_submit", "pause", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64", "pselect6",
    "pselect6_time64", "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime",
    "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    /* sockets */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg",
    "sendto", "setsockopt", "shutdown", "socketcall", "socketpair",
    /* processes and threads */
    "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_time64",
    "futex_wait", "futex_waitv", "futex_wake", "get_robust_list", "get_thread_area", "getcpu",
    "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrlimit", "getrusage", "getsid",
    "gettid", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "membarrier", "pidfd_open", "pidfd_send_signal", "prctl",
    "prlimit64", "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace",
    "restart_syscall", "rseq", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr",
    "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "set_robust_list",
    "set_thread_area", "set_tid_address", "setpgid", "setpriority", "setrlimit", "setsid",
    "tgkill", "times", "tkill", "ugetrlimit", "vfork", "wait4", "waitid", "waitpid",
    /* users */
    "capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32",
    "getgroups", "getgroups32", "getresgid", "getresgid32", "getresuid", "getresuid32", "getuid",
    "getuid32", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32",
    "setgroups", "setgroups32", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid",
    "setresuid32", "setreuid", "setreuid32", "setuid", "setuid32",
    /* memory */
    "brk", "cachestat", "madvise", "map_shadow_stack", "memfd_create", "memfd_secret", "mincore",
    "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mremap", "mseal", "msync",
    "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
    "remap_file_pages",
    /* System V and POSIX queues */
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
    "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
    "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt",
    "shmget",
    /* signals */
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
    "sigaltstack", "sigprocmask", "sigreturn",
    /* time; the clock itself is guarded by a capability */
    "adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres",
    "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep", "setitimer", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
    "timer_settime", "timer_settime64",
    /* the machine */
    "getrandom", "sysinfo", "uname",
#if defined(__x86_64__)
    "arch_prctl", "modify_ldt",
#elif defined(__aarch64__)
    "arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls",
    "sync_file_range2",
#elif defined(__riscv)
    "riscv_flush_icache", "riscv_hwprobe",
#endif
};
/* clang-format on */

struct opened {
    unsigned cap;
    const char *names[24];
};

static const struct opened opened[] = {
    { CAP_BIT_DAC_READ_SEARCH, { "open_by_handle_at" } },
    { CAP_BIT_SYS_ADMIN,
      { "bpf",           "clone",         "clone3",      "fanotify_init",   "fsconfig",
        "fsmount",       "fsopen",        "fspick",      "lookup_dcookie",  "mount",
        "mount_setattr", "move_mount",    "open_tree",   "perf_event_open", "quotactl",
        "quotactl_fd",   "setdomainname", "sethostname", "setns",           "syslog",
        "umount",        "umount2",       "unshare" } },
    { CAP_BIT_SYS_BOOT, { "reboot" } },
    { CAP_BIT_SYS_CHROOT, { "chroot" } },
    { CAP_BIT_SYS_MODULE, { "delete_module", "init_module", "finit_module" } },
    { CAP_BIT_SYS_PACCT, { "acct" } },
    { CAP_BIT_SYS_PTRACE, { "kcmp", "pidfd_getfd", "process_madvise" } },
    { CAP_BIT_SYS_RAWIO, { "iopl", "ioperm" } },
    { CAP_BIT_SYS_TIME, { "settimeofday", "stime", "clock_settime", "clock_settime64" } },
    { CAP_BIT_SYS_TTY_CONFIG, { "vhangup" } },
    { CAP_BIT_SYS_NICE, { "get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node" } },
    { CAP_BIT_SYSLOG, { "syslog" } },
    { CAP_BIT_BPF, { "bpf" } },
    { CAP_BIT_PERFMON, { "perf_event_open" } },
};

/* CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: a new namespace needs CAP_SYS_ADMIN. */
#define CLONE_NEW_MASK  INT64_C(0x7e020000)
#define AF_VSOCK_NUMBER 40 /* reaches the hypervisor past every network namespace */

/* personality(2): what it is, Linux 32 bits, no address randomisation, both, and "tell me". */
static const long long personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

static int add_rule(json_t *rules, json_t *names, const char *action, json_t *extra)
{
    json_t *rule = json_pack("{s:o, s:s}", "names", names, "action", action);
    int rc = rule == NULL ? -1 : 0;

    if (rc == 0 && extra != NULL)
        rc = json_object_update(rule, extra);
    json_decref(extra);
    return rc < 0 ? (json_decref(rule), -1) : json_array_append_new(rules, rule);
}

static int add_names(json_t *rules, const char *const *names, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count && names[i] != NULL; i++) {
        if (json_array_append_new(list, json_string(names[i])) < 0) {
            json_decref(list);
            return -1;
        }
    }
    return add_rule(rules, list, "SCMP_ACT_ALLOW", NULL);
}

static int add_argument(json_t *rules, const char *name, long long value, long long value_two,
                        const char *op)
{
    return add_rule(rules, json_pack("[s]", name), "SCMP_ACT_ALLOW",
                    json_pack("{s:[{s:i, s:I, s:I, s:s}]}", "args", "index", 0, "value",
                              (json_int_t)value, "valueTwo", (json_int_t)value_two, "op", op));
}

static int add_rules(json_t *rules, cap_set caps)
{
    int rc = add_names(rules, allowed, sizeof(allowed) / sizeof(allowed[0]));

    rc |= add_argument(rules, "socket", AF_VSOCK_NUMBER, 0, "SCMP_CMP_NE");
    for (size_t i = 0; i < sizeof(personalities) / sizeof(personalities[0]); i++)
        rc |= add_argument(rules, "personality", personalities[i], 0, "SCMP_CMP_EQ");
    for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
        if (cap_set_has(caps, opened[i].cap))
            rc |= add_names(rules, opened[i].names, sizeof(opened[i].names) / sizeof(char *));
    }
    if (!cap_set_has(caps, CAP_BIT_SYS_ADMIN)) {
        rc |= add_argument(rules, "clone", CLONE_NEW_MASK, 0, "SCMP_CMP_MASKED_EQ");
        rc |= add_rule(rules, json_pack("[s]", "clone3"), "SCMP_ACT_ERRNO",
                       json_pack("{s:i}", "errnoRet", ENOSYS));
    }
    return rc;
}

json_t *seccomp_default(cap_set caps)
{
    json_t *rules = json_array();
#if defined(__x86_64__)
    json_t *architectures =
        json_pack("[s,s,s]", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32");
#elif defined(__aarch64__)
    json_t *architectures = json_pack("[s,s]", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM");
#else
    json_t *architectures = json_pack("[s]", "SCMP_ARCH_RISCV64");
#endif

    if (rules == NULL || add_rules(rules, caps) < 0) {
        json_decref(rules);
        json_decref(architectures);
        return NULL;
    }
    return json_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet",
                     EPERM, "architectures", architectures, "syscalls", rules);
}
