/* node/api/events.h - What happened lately, and who listens. */
#ifndef NODE_API_EVENTS_H
#define NODE_API_EVENTS_H

#include <jansson.h>

#include "base/list.h"
#include "node/api/api.h"

struct events {
    json_t *kept[API_EVENTS_KEPT]; /* a ring; the oldest is dropped */
    size_t next;                   /* where the next goes */
};

void events_deinit(struct events *e);

#endif /* NODE_API_EVENTS_H */
