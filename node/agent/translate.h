/* node/agent/translate.h - From a task and what it refers to, to a container. Pure. */
#ifndef NODE_AGENT_TRANSLATE_H
#define NODE_AGENT_TRANSLATE_H

#include "node/agent/agent.h"
#include "node/agent/template.h"
#include "runtime/container_spec.h"

struct translate_input {
    struct template_context context;
    const struct agent *agent; /* secrets and configs are rows of it */
    const char *netns_path;    /* of the task's sandbox; "host" for the host's own */
    const char *resolver;      /* address of the resolver inside the sandbox; NULL = the host's. A
                                * task on no network that names its own is given those instead */
};

/* Fills *out (all zeros before); container_spec_type owned by the caller, also after an error.
 *   ERR_INVALID      a placeholder or value makes no sense: `err` names it
 *   ERR_UNAVAILABLE  a secret or config has not arrived: `err` names it
 *   -ENOMEM */
NODISCARD int translate_task(const struct translate_input *in, struct container_spec *out,
                             struct field_error *err);

#endif /* NODE_AGENT_TRANSLATE_H */
