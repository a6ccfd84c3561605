/* node/control/names.h - Names for what users gave none: "brave_otter". Pure. */
#ifndef NODE_CONTROL_NAMES_H
#define NODE_CONTROL_NAMES_H

#include "base/prng.h"
#include "node/object/common.h"

#define NAMES_TRIES 64 /* of a name that is free, before digits make it so */

/* Attempt number `attempt`, from 0. */
void name_make(struct prng *random, unsigned attempt, char out[OBJECT_NAME_LEN_MAX + 1]);

#endif /* NODE_CONTROL_NAMES_H */
