/* node/task_exec.h - Commands in tasks, wherever they run. Wire: exec_wire.h.
 *
 * Two ends of one stream on the EXEC channel. The asking end is an api_process of the API; the
 * serving end runs the command in this node's runtime. Both hand back pressure on: a terminal that
 * is read slowly holds its command, and nothing else. Only managers may ask, which the links see
 * to, and only for containers of tasks. */
#ifndef NODE_TASK_EXEC_H
#define NODE_TASK_EXEC_H

#include "node/api/api.h"
#include "node/cluster/link.h"

/* Commands that run for others at a time on one node: half of what the runtime takes. */
#define TASK_EXEC_SERVED_MAX 128

/* --- The asking end: api_backend.exec_open and exec_ops, whose process it is. */
struct task_exec;

/*   ERR_TOO_LARGE (the request does not fit into a stream's header), as link_stream_open() */
NODISCARD int task_exec_open(struct links *links, const struct api_exec *exec,
                             const struct stream_callbacks *callbacks, struct task_exec **out);
extern const struct api_process_ops task_exec_ops;

/* --- The serving end */
struct task_exec_server {
    uv_loop_t *loop;
    struct runtime *runtime;
    size_t count; /* commands whose asker is there */
};

/* Serves this node's tasks to managers. All are borrowed until the links are closed; the runtime
 * until the commands have ended, which closing it sees to. */
void task_exec_serve(struct task_exec_server *s, uv_loop_t *loop, struct links *links,
                     struct runtime *runtime);

#endif /* NODE_TASK_EXEC_H */
