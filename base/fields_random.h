/* base/fields_random.h - A valid object of any type, for tests, simulations and benchmarks. */
#ifndef BASE_FIELDS_RANDOM_H
#define BASE_FIELDS_RANDOM_H

#include "base/attr.h"
#include "base/fields.h"
#include "base/prng.h"

/* Fills *obj, which is overwritten and then owns what it points to: fields_deinit(). The result
 * passes fields_validate() for every type that has valid objects of a few levels, and favours the
 * ends of the allowed ranges. The same prng state gives the same object.  -ENOMEM */
NODISCARD int fields_random(const struct fields *type, struct prng *prng, void *obj);

#endif /* BASE_FIELDS_RANDOM_H */
