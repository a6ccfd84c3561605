/* base/utf8.h - UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Length of the valid sequence that `bytes` starts with, 1 to 4; 0 when there is none. */
size_t utf8_sequence_len(struct slice bytes);

bool utf8_is_valid(struct slice bytes);

#endif /* BASE_UTF8_H */
