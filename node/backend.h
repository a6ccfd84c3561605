/* node/backend.h - What the API knows of the cluster: this node's membership. */
#ifndef NODE_BACKEND_H
#define NODE_BACKEND_H

#include "node/api/api.h"
#include "node/member.h"

/* Fills the vtable; `m` is borrowed until the API is closed. */
void backend_init(struct api_backend *out, struct member *m);

#endif /* NODE_BACKEND_H */
