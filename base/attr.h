/* base/attr.h - What every file needs from the compiler and nothing more. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#include <stddef.h>

/* Ignoring the result is a bug; a deliberate one is written (void) with the reason. */
#define NODISCARD               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN                _Noreturn
#define FALLTHROUGH             __attribute__((fallthrough)) /* a comment is not enough for clang */
#define UNUSED                  __attribute__((unused))

#undef MIN /* a <sys/param.h> that came first has them too */
#undef MAX
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#undef MIN /* <sys/param.h>, which libuv includes, has them too */
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b)) /* evaluates twice: no side effects */
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct that embeds `member`, from a pointer to the member. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif /* BASE_ATTR_H */
