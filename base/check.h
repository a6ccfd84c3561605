/* base/check.h - Assertions that stay on in release builds.
 *
 * CHECK states what our own logic guarantees. A stopped node is a fault that the
 * cluster survives; a node that goes on with broken state is not. No byte sequence
 * from a peer, a client or the disk may reach a CHECK: validate first. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include "base/attr.h"

NORETURN void check_failed(const char *file, int line, const char *expr, const char *func);

#define CHECK(expr) ((expr) ? (void)0 : check_failed(__FILE__, __LINE__, #expr, __func__))

/* For checks that cost real time; off in release builds. */
#ifdef SHOAL_DCHECK
#define DCHECK(expr) CHECK(expr)
#else
#define DCHECK(expr) ((void)sizeof(expr))
#endif

#define UNREACHABLE(why) check_failed(__FILE__, __LINE__, "unreachable: " why, __func__)

/* Called once before the process stops; the program may set it to flush its log. */
extern void (*check_on_failure)(const char *message);

#endif /* BASE_CHECK_H */
