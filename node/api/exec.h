/* node/api/exec.h - Commands run in containers: made, then started, then asked about. */
#ifndef NODE_API_EXEC_H
#define NODE_API_EXEC_H

struct api;

#define EXECS_MAX 1024 /* kept; the oldest that has ended makes room */

void execs_free(struct api *api);

#endif /* NODE_API_EXEC_H */
