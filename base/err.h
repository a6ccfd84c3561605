/* base/err.h - One namespace of error numbers.
 *
 * A function that can fail returns int: 0 or more is success, a negative errno is
 * what the system or libuv reported, and numbers from -20000 down are our own, all
 * of them in the list below. Codes of other libraries are translated on the line of
 * the call that returned them. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <errno.h>

/* X(name, number, text). Numbers are forever: they travel between nodes. */
#define ERR_LIST(X)                                                                               \
    X(ERR_MALFORMED, -20001, "malformed data")                                                    \
    X(ERR_STALE, -20002, "superseded by a newer version")                                         \
    X(ERR_NOT_LEADER, -20003, "this manager is not the leader")                                   \
    X(ERR_FULL, -20004, "a bounded resource is full")                                             \
    X(ERR_NOT_FOUND, -20005, "no such object")                                                    \
    X(ERR_EXISTS, -20006, "already exists")                                                       \
    X(ERR_INVALID, -20007, "invalid value")                                                       \
    X(ERR_UNAUTHENTICATED, -20008, "authentication failed")                                       \
    X(ERR_FORBIDDEN, -20009, "not permitted")                                                     \
    X(ERR_UNAVAILABLE, -20010, "temporarily unavailable")                                         \
    X(ERR_UNKNOWN_OUTCOME, -20011, "the outcome is unknown: it may or may not have been applied") \
    X(ERR_CORRUPT, -20012, "stored data is corrupt")                                              \
    X(ERR_TOO_LARGE, -20013, "larger than its limit")                                             \
    X(ERR_CLOSED, -20014, "closed")                                                               \
    X(ERR_TIMEOUT, -20015, "timed out")                                                           \
    X(ERR_CONFLICT, -20016, "conflicts with another object")                                      \
    X(ERR_IN_USE, -20017, "in use")                                                               \
    X(ERR_LOCKED, -20018, "locked: the unlock key is needed")                                     \
    X(ERR_WRONG_CLUSTER, -20019, "belongs to another cluster")                                    \
    X(ERR_REMOVED, -20020, "the node was removed from the cluster")                               \
    X(ERR_UNSUPPORTED, -20021, "not supported here")                                              \
    X(ERR_EXHAUSTED, -20022, "no free value is left")                                             \
    X(ERR_EXPIRED, -20023, "expired, or not valid yet")

enum {
#define ERR_ENUM(name, number, text) name = (number),
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

/* A static sentence for any code, without the subject: the caller names that.
 * Unknown codes get a generic text; never NULL. */
const char *err_text(int err);

/* The symbolic name ("ERR_STALE", "ENOENT"); "ERRNO" for a rare one of the system; never NULL. */
const char *err_name(int err);

/* What the system call that has just failed reported, as a result. Always negative; of a plain
 * -errno the compiler does not know that, and warns about the outputs of its caller. */
static inline int err_errno(void)
{
    int err = 0 - errno;

    return err < 0 ? err : -EIO;
}

#endif /* BASE_ERR_H */
