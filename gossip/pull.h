/* gossip/pull.h - Asking for metadata that did not come with its record. */
#ifndef GOSSIP_PULL_H
#define GOSSIP_PULL_H

#include "gossip/state.h"

void pull_wake(struct gossip *g); /* something has come without its metadata */
void pull_run(struct gossip *g);
mono_ns pull_deadline(const struct gossip *g);

#endif /* GOSSIP_PULL_H */
