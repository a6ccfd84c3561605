/* Each kind of operation, one function: what it asks of the runtime or the overlay. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/agent/host_impl.h"
#include "node/agent/translate.h"

#define NETNS_PATH_MAX OVERLAY_PATH_MAX

static void on_done(void *owner, int err, const char *message)
{
    host_operation_done(owner, err, message);
}

static void on_host_image(void *owner, int err, const char *message)
{
    host_operation_done(owner, err, message);
}

/* --- Image: here, or fetched */

static void on_image_inspected(void *owner, int err, const char *message,
                               const struct image_info *image)
{
    struct host_operation *op = owner;
    struct host *h = op->host;

    (void)image;
    if (err != ERR_NOT_FOUND || h->closing) {
        host_operation_done(op, err, message);
        return;
    }
    h->cfg.fetch_image(h->cfg.ctx, op->task.spec.container->image, on_host_image, op);
}

static void ensure_image(struct host_operation *op)
{
    if (op->task.spec.container == NULL) {
        host_operation_done(op, ERR_INVALID, "the task has no ContainerSpec");
        return;
    }
    runtime_image_inspect(op->host->cfg.runtime, op->task.spec.container->image, on_image_inspected,
                          op);
}

/* --- Sandbox: the namespace, then resolver and virtual IPs in it */

static bool wants_host_network(const struct task *task)
{
    for (size_t i = 0; i < task->spec.networks.count; i++)
        if (strcmp(task->spec.networks.items[i].target, "host") == 0)
            return true;
    return false;
}

static void on_sandbox_made(void *owner, int err, const char *message)
{
    struct host_operation *op = owner;
    struct host_sandbox wanted;
    struct field_error why;

    if (err < 0 || op->host->closing || op->host->cfg.services == NULL ||
        host_sandbox_of(op->host, &op->task, &wanted, &why) < 0) {
        host_operation_done(op, err, message);
        return;
    }
    overlay_services_attach(op->host->cfg.services, &wanted.sandbox, on_done, op);
}

static void create_sandbox(struct host_operation *op)
{
    struct host_sandbox wanted;
    struct field_error why = { "" };
    int rc;

    if (wants_host_network(&op->task)) {
        host_operation_done(op, 0, "");
        return;
    }
    rc = host_sandbox_of(op->host, &op->task, &wanted, &why);
    if (rc < 0) {
        host_operation_done(op, rc, why.text);
        return;
    }
    overlay_sandbox_create(op->host->cfg.overlay, &wanted.sandbox, on_sandbox_made, op);
}

static void destroy_sandbox(struct host_operation *op)
{
    if (op->host->cfg.services != NULL)
        overlay_services_detach(op->host->cfg.services, &op->task_id);
    overlay_sandbox_destroy(op->host->cfg.overlay, &op->task_id, on_done, op);
}

/* --- Container */

static int translate(struct host_operation *op, struct container_spec *spec,
                     struct field_error *why)
{
    struct host *h = op->host;
    char netns[NETNS_PATH_MAX];
    bool host_network = wants_host_network(&op->task);
    struct translate_input in = {
        .context = { .task = &op->task, .node_id = &h->cfg.node_id, .node = h->cfg.description },
        .agent = h->agent,
        .netns_path = host_network ? "host" : netns,
        .resolver = host_network || h->cfg.services == NULL ? NULL : OVERLAY_RESOLVER_ADDRESS,
    };

    overlay_sandbox_netns(h->cfg.overlay, &op->task_id, netns);
    return translate_task(&in, spec, why);
}

static void create_container(struct host_operation *op)
{
    struct container_spec spec = { 0 };
    struct field_error why = { "" };
    int rc = translate(op, &spec, &why);

    if (rc < 0)
        host_operation_done(op, rc, why.text);
    else
        runtime_container_create(op->host->cfg.runtime, &spec, on_done, op);
    fields_deinit(&container_spec_type, &spec);
}

void host_operation_start(struct host *h, const struct agent_operation *request)
{
    struct host_operation *op;

    if (request->row != NULL) {
        host_network_row(h, request);
        return;
    }
    if (request->kind == AGENT_IMAGE_PULL_CANCEL)
        return; /* a fetch ends by itself; what it brought may be of use to the next task */
    op = calloc(1, sizeof(*op));
    if (op == NULL ||
        (request->task != NULL && fields_copy(&task_type, request->task, &op->task) < 0)) {
        struct agent_result r = { .token = request->token, .err = -ENOMEM };

        free(op);
        agent_result(h->agent, &r, uv_hrtime(), host_wall_now());
        h->awake = true;
        return;
    }
    op->host = h;
    op->token = request->token;
    op->kind = request->kind;
    op->task_id = request->task_id;
    h->operations++;
    switch (op->kind) {
    case AGENT_IMAGE_ENSURE:
        ensure_image(op);
        return;
    case AGENT_SANDBOX_CREATE:
        create_sandbox(op);
        return;
    case AGENT_CONTAINER_CREATE:
        create_container(op);
        return;
    case AGENT_CONTAINER_START:
        runtime_container_start(h->cfg.runtime, op->task_id.text, on_done, op);
        return;
    case AGENT_CONTAINER_STOP:
        runtime_container_stop(h->cfg.runtime, op->task_id.text, 0, UINT64_MAX, on_done, op);
        return;
    case AGENT_CONTAINER_REMOVE:
        runtime_container_remove(h->cfg.runtime, op->task_id.text, REMOVE_FORCE_VOLUMES, on_done,
                                 op);
        return;
    case AGENT_SANDBOX_DESTROY:
        destroy_sandbox(op);
        return;
    case AGENT_NETWORK_SET:
    case AGENT_NETWORK_REMOVE:
    case AGENT_IMAGE_PULL_CANCEL:
        break;
    }
    UNREACHABLE("handled above");
}
