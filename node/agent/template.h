/* node/agent/template.h - The placeholders of Docker in hostname, environment and mounts.
 *
 *     {{.Service.ID}} {{.Service.Name}} {{index .Service.Labels "key"}}
 *     {{.Node.ID}} {{.Node.Hostname}} {{.Node.Platform.Architecture}} {{.Node.Platform.OS}}
 *     {{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}
 *
 * .Task.Slot of a global service is the node's id. Nothing else of that template language
 * is known: it is an error that names the placeholder. Pure. */
#ifndef NODE_AGENT_TEMPLATE_H
#define NODE_AGENT_TEMPLATE_H

#include "base/buf.h"
#include "node/object/kind.h"

struct template_context {
    const struct task *task;
    const struct id *node_id;
    const struct node_description *node;
};

/* Appends `text` with its placeholders replaced.
 *   ERR_INVALID (`err` names the placeholder), ERR_TOO_LARGE (the buffer's limit), -ENOMEM */
NODISCARD int template_expand(const struct template_context *c, const char *text, struct buf *out,
                              struct field_error *err);

/* "<service>.<slot>.<task id>", of a global service "<service>.<node id>.<task id>".  -ENOMEM */
NODISCARD int task_full_name(const struct task *task, const struct id *node_id, struct buf *out);

#endif /* NODE_AGENT_TEMPLATE_H */
