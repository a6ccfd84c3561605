/* node/api/container_wait.h - POST /containers/ID/wait. */
#ifndef NODE_API_CONTAINER_WAIT_H
#define NODE_API_CONTAINER_WAIT_H

#include "node/api/api.h"

/* Something happened to a container: whoever waited for that is answered. */
void waits_on_container(struct api *api, enum container_event_kind kind,
                        const struct container_info *info);

#endif /* NODE_API_CONTAINER_WAIT_H */
