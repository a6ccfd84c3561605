/* runtime/caps.h - Capabilities as a set of bits, by name and by Docker's default. */
#ifndef RUNTIME_CAPS_H
#define RUNTIME_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/fields.h"

typedef uint64_t cap_set; /* bit n: capability number n of capability.h */

#define CAP_LIST(X)         \
    X(CHOWN, 0)             \
    X(DAC_OVERRIDE, 1)      \
    X(DAC_READ_SEARCH, 2)   \
    X(FOWNER, 3)            \
    X(FSETID, 4)            \
    X(KILL, 5)              \
    X(SETGID, 6)            \
    X(SETUID, 7)            \
    X(SETPCAP, 8)           \
    X(LINUX_IMMUTABLE, 9)   \
    X(NET_BIND_SERVICE, 10) \
    X(NET_BROADCAST, 11)    \
    X(NET_ADMIN, 12)        \
    X(NET_RAW, 13)          \
    X(IPC_LOCK, 14)         \
    X(IPC_OWNER, 15)        \
    X(SYS_MODULE, 16)       \
    X(SYS_RAWIO, 17)        \
    X(SYS_CHROOT, 18)       \
    X(SYS_PTRACE, 19)       \
    X(SYS_PACCT, 20)        \
    X(SYS_ADMIN, 21)        \
    X(SYS_BOOT, 22)         \
    X(SYS_NICE, 23)         \
    X(SYS_RESOURCE, 24)     \
    X(SYS_TIME, 25)         \
    X(SYS_TTY_CONFIG, 26)   \
    X(MKNOD, 27)            \
    X(LEASE, 28)            \
    X(AUDIT_WRITE, 29)      \
    X(AUDIT_CONTROL, 30)    \
    X(SETFCAP, 31)          \
    X(MAC_OVERRIDE, 32)     \
    X(MAC_ADMIN, 33)        \
    X(SYSLOG, 34)           \
    X(WAKE_ALARM, 35)       \
    X(BLOCK_SUSPEND, 36)    \
    X(AUDIT_READ, 37)       \
    X(PERFMON, 38)          \
    X(BPF, 39)              \
    X(CHECKPOINT_RESTORE, 40)

enum {
#define CAP_ENUM(name, number) CAP_BIT_##name = (number),
    CAP_LIST(CAP_ENUM)
#undef CAP_ENUM
        CAP_COUNT = 41
};

/* "CAP_NET_ADMIN" for 12. */
const char *cap_name(unsigned number);

/* Docker's default, then "ALL" or names added, then dropped; a drop wins over "ALL" added, an
 * added name over "ALL" dropped. ERR_INVALID: *out_unknown is the name that is none. */
NODISCARD int cap_set_of(const struct str_list *add, const struct str_list *drop, cap_set *out,
                         const char **out_unknown);

static inline bool cap_set_has(cap_set set, unsigned number)
{
    return (set >> number & 1) != 0;
}

#endif /* RUNTIME_CAPS_H */
