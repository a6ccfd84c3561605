/* node/api/detach_keys.h - The keys that let go of a terminal without ending what runs in it. Pure.
 *
 * A sequence is written as Docker's clients do: "ctrl-p,ctrl-q", "a", "ctrl-@,x". Input is looked
 * at byte by byte: what begins the sequence is kept back until it is known whether it ends it. */
#ifndef NODE_API_DETACH_KEYS_H
#define NODE_API_DETACH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

#define DETACH_KEYS_MAX     16
#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"

struct detach_keys {
    uint8_t keys[DETACH_KEYS_MAX];
    size_t count;   /* 0: nothing detaches */
    size_t matched; /* of them, at the end of the input so far */
};

/* NULL and "" are the default.  ERR_INVALID: no such key, or too many */
NODISCARD int detach_keys_parse(const char *text, struct detach_keys *out);

/* Appends to `out` what of the input is to be handed on; true when it ends with the sequence, the
 * rest is dropped then.  *rc: of buf_append */
bool detach_keys_filter(struct detach_keys *k, struct slice input, struct buf *out, int *rc);

#endif /* NODE_API_DETACH_KEYS_H */
