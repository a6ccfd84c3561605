/* node/api/logs.h - Logs of containers, tasks and services as one stream. */
#ifndef NODE_API_LOGS_H
#define NODE_API_LOGS_H

#include "node/object/task.h"

struct api;

/* A task may have begun to run: those who follow its service see it too. */
void logs_on_task(struct api *api, const struct task *task);

#endif /* NODE_API_LOGS_H */
