/* node/control/admit_impl.h - Private to admit*.c. */
#ifndef NODE_CONTROL_ADMIT_IMPL_H
#define NODE_CONTROL_ADMIT_IMPL_H

#include "node/control/admit.h"

/* Fills err and returns `code`. */
int refuse(struct admit *a, int code, const char *format, ...) PRINTF_LIKE(3, 4);

struct id admit_fresh_id(struct admit *a);

/* "update out of sequence": the version given is not the stored one. */
NODISCARD int check_version(struct admit *a, const struct object *o, uint64_t version);

/* Letters, digits, '-', '_', '.', beginning and ending with a letter or digit. */
NODISCARD int check_name(struct admit *a, const char *what, const char *name);

/* The name is nobody else's. */
NODISCARD int check_free_name(struct admit *a, unsigned kind, const char *name);

#endif /* NODE_CONTROL_ADMIT_IMPL_H */
