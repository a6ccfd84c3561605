/* Texts of our own codes come from the one list; those of the system from strerror. */
#include "base/err.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Those that the system calls we use can return; others are "ERRNO". */
#define ERRNO_LIST(X) \
    X(E2BIG)          \
    X(EACCES)         \
    X(EADDRINUSE)     \
    X(EADDRNOTAVAIL)  \
    X(EAGAIN)         \
    X(EBADF)          \
    X(EBUSY)          \
    X(ECANCELED)      \
    X(ECHILD)         \
    X(ECONNABORTED)   \
    X(ECONNREFUSED)   \
    X(ECONNRESET)     \
    X(EEXIST)         \
    X(EFAULT)         \
    X(EFBIG)          \
    X(EHOSTUNREACH)   \
    X(EINTR)          \
    X(EINVAL)         \
    X(EIO)            \
    X(EISDIR)         \
    X(ELOOP)          \
    X(EMFILE)         \
    X(EMSGSIZE)       \
    X(ENAMETOOLONG)   \
    X(ENETDOWN)       \
    X(ENETUNREACH)    \
    X(ENFILE)         \
    X(ENOBUFS)        \
    X(ENODEV)         \
    X(ENOENT)         \
    X(ENOEXEC)        \
    X(ENOMEM)         \
    X(ENOSPC)         \
    X(ENOSYS)         \
    X(ENOTCONN)       \
    X(ENOTDIR)        \
    X(ENOTEMPTY)      \
    X(ENOTSUP)        \
    X(ENXIO)          \
    X(EPERM)          \
    X(EPIPE)          \
    X(EPROTO)         \
    X(ERANGE)         \
    X(EROFS)          \
    X(ESRCH)          \
    X(ETIMEDOUT)      \
    X(EXDEV)

const char *err_text(int err)
{
    switch (err) {
#define ERR_CASE(name, number, text) \
    case name:                       \
        return text;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
    default:
        break;
    }
    if (err >= 0)
        return "success";
    if (err > -4096)
        return strerror(-err); /* NOLINT(concurrency-mt-unsafe): per thread since glibc 2.32 */
    return "unknown error";
}

const char *err_name(int err)
{
    switch (err) {
#define ERR_CASE(name, number, text) \
    case name:                       \
        return #name;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
#define ERRNO_CASE(name) \
    case -(name):        \
        return #name;
        ERRNO_LIST(ERRNO_CASE)
#undef ERRNO_CASE
    default:
        return err >= 0 ? "OK" : "ERRNO";
    }
}
