/* A thin adapter: no decisions here. */
#include "node/backend.h"

#include <stdio.h>

#include "base/err.h"
#include "node/task_exec.h"
#include "node/task_logs.h"

static void status(void *ctx, struct api_status *out)
{
    static const enum api_membership membership[] = {
        [MEMBER_NONE] = API_INACTIVE, [MEMBER_PENDING] = API_PENDING,
        [MEMBER_ACTIVE] = API_ACTIVE, [MEMBER_LEAVING] = API_PENDING,
        [MEMBER_ERROR] = API_ERROR,
    };
    const struct member *m = ctx;
    const struct manager *manager = member_manager(m);
    const struct id *leader = manager == NULL ? NULL : manager_leader(manager);
    struct store_iter it;

    out->membership = membership[member_state(m)];
    out->is_manager = manager != NULL;
    (void)snprintf(out->error, sizeof(out->error), "%s", member_error(m));
    (void)snprintf(out->addr, sizeof(out->addr), "%s", member_address(m));
    if (member_node_id(m) != NULL)
        out->node_id = *member_node_id(m);
    if (leader != NULL)
        out->leader = *leader;
    if (manager == NULL) {
        out->remote_count = member_remotes(m, out->remotes, API_REMOTES_MAX);
        return;
    }
    STORE_EACH(&it, manager_store(manager), OBJECT_NODE, struct node, n)
    if (n->spec.role == ROLE_MANAGER && n->description.link_addrs.count > 0 &&
        out->remote_count < API_REMOTES_MAX) {
        struct api_remote *r = &out->remotes[out->remote_count++];

        r->node_id = n->id;
        (void)snprintf(r->addr, sizeof(r->addr), "%s", n->description.link_addrs.items[0]);
    }
}

static const struct node_description *description(void *ctx)
{
    return member_description(ctx);
}

static const struct store *store(void *ctx)
{
    const struct manager *manager = member_manager(ctx);

    return manager == NULL ? NULL : manager_store(manager);
}

static enum reachability reachability(void *ctx, const struct id *node)
{
    const struct manager *manager = member_manager(ctx);

    return manager == NULL ? REACHABILITY_UNKNOWN : manager_reachability(manager, node);
}

static void refuse(api_proposed done, void *owner)
{
    struct field_error why;

    (void)snprintf(why.text, sizeof(why.text), "This node is not a swarm manager.");
    done(owner, ERR_UNAVAILABLE, &why);
}

static void read_barrier(void *ctx, api_proposed done, void *owner)
{
    struct manager *manager = member_manager(ctx);

    if (manager == NULL)
        refuse(done, owner);
    else
        manager_read(manager, done, owner);
}

static void admit(void *ctx, struct admit *a, struct transaction *out, struct field_error *err)
{
    manager_admit(member_manager(ctx), a, out, err);
}

static void propose(void *ctx, struct transaction *t, api_proposed done, void *owner)
{
    struct manager *manager = member_manager(ctx);

    if (manager == NULL) {
        fields_deinit(&transaction_type, t);
        refuse(done, owner);
    } else {
        manager_propose(manager, t, done, owner);
    }
}

static void init(void *ctx, const struct api_init *request, api_done done, void *owner)
{
    struct member_init args = { .advertise = request->advertise,
                                .spec = request->spec,
                                .address_pools = request->address_pools,
                                .address_pool_count = request->address_pool_count,
                                .subnet_size = request->subnet_size,
                                .availability = request->availability };

    member_init(ctx, &args, done, owner);
}

static void join(void *ctx, const struct api_join *request, api_done done, void *owner)
{
    struct member_join args = { .advertise = request->advertise,
                                .remotes = request->remotes,
                                .remote_count = request->remote_count,
                                .token = request->token,
                                .availability = request->availability };

    member_join(ctx, &args, done, owner);
}

static void leave(void *ctx, enum api_leave how, api_done done, void *owner)
{
    member_leave(ctx, how == API_LEAVE_FORCED ? LEAVE_FORCED : LEAVE_CAREFULLY, done, owner);
}

static void *logs_open(void *ctx, const struct task *task, const struct logs_options *options,
                       const struct api_log_callbacks *callbacks)
{
    struct links *links = member_links(ctx);

    return links == NULL ? NULL : task_logs_open(links, task, options, callbacks);
}

static void logs_hold(void *ctx, void *logs)
{
    (void)ctx;
    task_logs_hold(logs);
}

static void logs_resume(void *ctx, void *logs)
{
    (void)ctx;
    task_logs_resume(logs);
}

static void logs_close(void *ctx, void *logs)
{
    (void)ctx;
    task_logs_close(logs);
}

static int exec_open(void *ctx, const struct api_exec *exec,
                     const struct stream_callbacks *callbacks, void **out)
{
    struct links *links = member_links(ctx);
    struct task_exec *process = NULL;
    int rc = links == NULL ? ERR_UNAVAILABLE : task_exec_open(links, exec, callbacks, &process);

    *out = process;
    return rc;
}

static void fetch_image(void *ctx, const char *reference, api_done done, void *owner)
{
    member_fetch_image(ctx, reference, done, owner);
}

void backend_init(struct api_backend *out, struct member *m)
{
    *out = (struct api_backend){ .ctx = m,
                                 .status = status,
                                 .description = description,
                                 .store = store,
                                 .reachability = reachability,
                                 .read = read_barrier,
                                 .admit = admit,
                                 .propose = propose,
                                 .init = init,
                                 .join = join,
                                 .leave = leave,
                                 .logs_open = logs_open,
                                 .logs_hold = logs_hold,
                                 .logs_resume = logs_resume,
                                 .logs_close = logs_close,
                                 .exec_open = exec_open,
                                 .exec_ops = &task_exec_ops,
                                 .fetch_image = fetch_image };
}
