/* node/api/messages.c - The field tables of messages.h. */
#include "node/api/messages.h"

#include "base/fields_impl.h"

FIELDS_DEFINE(swarm_init, SWARM_INIT_FIELDS);
FIELDS_DEFINE(swarm_join, SWARM_JOIN_FIELDS);
FIELDS_DEFINE(swarm_unlock, SWARM_UNLOCK_FIELDS);
FIELDS_DEFINE(exec_create, EXEC_CREATE_FIELDS);
FIELDS_DEFINE(exec_start, EXEC_START_FIELDS);
FIELDS_DEFINE(volume_create, VOLUME_CREATE_FIELDS);
