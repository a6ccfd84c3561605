/* base/id.h - Object ids: 25 lower-case base-36 characters from 128 random bits.
 *
 * The bits come from the caller, so that pure code stays pure: a manager draws them when it
 * proposes, a simulation from its prng. The form is the one that users of Docker know. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/slice.h"

#define ID_LEN        25
#define ID_RANDOM_LEN 16

struct id {
    char text[ID_LEN + 1]; /* NUL-terminated; all zero = none */
};

struct id id_from_random(const uint8_t random[ID_RANDOM_LEN]);

/* Accepts exactly ID_LEN characters of 0-9a-z.  ERR_MALFORMED; writes *out only on success */
NODISCARD int id_parse(struct slice text, struct id *out);

static inline bool id_is_none(const struct id *id)
{
    return id->text[0] == '\0';
}

static inline bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->text, b->text, sizeof(a->text)) == 0;
}

static inline int id_cmp(const struct id *a, const struct id *b)
{
    return memcmp(a->text, b->text, sizeof(a->text));
}

/* Its characters; empty for none. Borrows `id`. */
static inline struct slice id_slice(const struct id *id)
{
    return slice_of(id->text, id_is_none(id) ? 0 : ID_LEN);
}

#endif /* BASE_ID_H */
