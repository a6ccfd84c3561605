/* The pump. Order within one turn of the loop: frames and results have been noted; if rows
 * changed, they are written first and the turn comes when they are on disk; then the agent
 * decides, operations start, the report goes out. */
#include "node/agent/host.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/agent/host_impl.h"

wall_ns host_wall_now(void)
{
    uv_timeval64_t tv;

    if (uv_gettimeofday(&tv) != 0)
        return 0;
    return tv.tv_sec * INT64_C(1000000000) + (int64_t)tv.tv_usec * 1000;
}

static void wake(struct host *h)
{
    h->awake = true;
}

/* --- The file */

static void finish_close(struct host *h);

static void write_on_worker(uv_work_t *req)
{
    struct host *h = CONTAINER_OF(req, struct host, write);

    h->write_err = assignment_write(h->cfg.state_dir, h->write_bytes, h->write_len);
}

static void on_written(uv_work_t *req, int status)
{
    struct host *h = CONTAINER_OF(req, struct host, write);

    h->writing = false;
    free(h->write_bytes);
    h->write_bytes = NULL;
    if (status == 0 && h->write_err < 0) {
        log_error("agent",
                  "the assignment cannot be written to %s: %s; after a restart this node "
                  "asks the managers for all of it",
                  h->cfg.state_dir, err_text(h->write_err));
    }
    wake(h);
    if (h->closing)
        finish_close(h);
}

static int start_writing(struct host *h)
{
    int rc = assignment_seal(h, &h->write_bytes, &h->write_len);

    if (rc < 0)
        return rc;
    rc = uv_queue_work(h->cfg.loop, &h->write, write_on_worker, on_written);
    if (rc < 0) {
        free(h->write_bytes);
        h->write_bytes = NULL;
        return rc;
    }
    h->row_changed = false;
    h->writing = true;
    return 0;
}

/* --- The pump */

static void on_timer(uv_timer_t *timer)
{
    wake(timer->data);
}

static void set_deadline(struct host *h, mono_ns deadline)
{
    uint64_t now = uv_hrtime();

    if (deadline == MONO_NEVER) {
        (void)uv_timer_stop(&h->timer); /* fails only for handles that are closing */
        return;
    }
    (void)uv_timer_start(&h->timer, on_timer,
                         deadline <= now ? 0 : (deadline - now) / NS_PER_MS + 1, 0);
}

static void send_report(struct host *h, const struct report *report)
{
    struct report copy = *report; /* borrowed by the frame */
    struct dispatch frame = { .kind = DISPATCH_REPORT, .report = &copy };

    h->cfg.send(h->cfg.ctx, &frame);
}

/* Once an assignment is carried out, what the last run left and nobody asks for may go. */
static void settle(struct host *h)
{
    if (h->settled || h->operations > 0 || agent_version(h->agent) == 0)
        return;
    h->settled = true;
    overlay_settle(h->cfg.overlay);
    if (h->cfg.services != NULL)
        overlay_services_settle(h->cfg.services);
}

static void turn(struct host *h)
{
    struct agent_output out;

    h->awake = false;
    agent_turn(h->agent, uv_hrtime(), host_wall_now(), &out);
    if (out.report != NULL)
        send_report(h, out.report);
    for (size_t i = 0; i < out.operations.count; i++)
        host_operation_start(h, &out.operations.items[i]);
    settle(h);
    /* What ended within its start is looked at again at once: nothing else would wake the loop. */
    set_deadline(h, h->awake ? 0 : out.deadline_ns);
}

static void on_pump(uv_prepare_t *pump)
{
    struct host *h = pump->data;

    if (!h->awake || !h->started || h->writing || h->closing)
        return;
    if (h->row_changed && start_writing(h) == 0)
        return;
    turn(h);
}

/* --- Inputs */

int host_frame(struct host *h, const struct dispatch *frame)
{
    int rc;

    if (h->closing)
        return 0;
    if (frame->kind == DISPATCH_ACK && frame->ack != NULL) {
        agent_acknowledged(h->agent, frame->ack->sequence);
        return 0;
    }
    if (frame->kind != DISPATCH_ASSIGN || frame->assign == NULL)
        return ERR_MALFORMED;
    rc = agent_assign(h->agent, frame->assign);
    if (rc == ERR_MALFORMED)
        return rc;
    if (rc < 0) { /* ask anew, from where we are */
        log_warn("agent", "assignment refused: %s; asking for it again", err_text(rc));
        host_connected(h);
        return 0;
    }
    h->row_changed = true;
    wake(h);
    return 0;
}

void host_connected(struct host *h)
{
    struct hello hello = { .version = agent_version(h->agent), .boot = h->boot };
    struct dispatch frame = { .kind = DISPATCH_HELLO, .hello = &hello };

    hello.description = *h->cfg.description; /* borrowed for the call */
    agent_connected(h->agent, uv_hrtime());
    if (!h->shutting_down) /* else its goodbye is all that a manager needs to know */
        h->cfg.send(h->cfg.ctx, &frame);
    wake(h);
}

void host_disconnected(struct host *h)
{
    agent_disconnected(h->agent, uv_hrtime());
    wake(h);
}

void host_described(struct host *h)
{
    host_connected(h); /* HELLO carries it; the assignment continues from the same version */
}

void host_reachable(struct host *h, const struct id *node, bool reachable)
{
    if (h->cfg.services != NULL)
        overlay_services_reachable(h->cfg.services, node, reachable);
}

void host_shut_down(struct host *h)
{
    h->shutting_down = true;
    agent_shut_down(h->agent);
    wake(h);
}

static bool parse_task_id(const char *text, struct id *out)
{
    return id_parse(slice_of_str(text), out) == 0;
}

static struct container_status status_of(const struct container_info *info)
{
    union {
        const char *shared;
        char *member; /* a borrowed string in a struct that is only copied from */
    } id = { .shared = info->spec->id };

    return (struct container_status){ .container_id = id.member,
                                      .pid = info->pid,
                                      .exit_code = info->exit_code };
}

void host_container_found(struct host *h, const struct container_info *info)
{
    struct container_status status = status_of(info);
    struct agent_observed o = {
        .running = info->state == CONTAINER_RUNNING || info->state == CONTAINER_PAUSED,
        .started = info->state != CONTAINER_CREATED,
        .exit_code = info->exit_code,
        .oom_killed = info->oom_killed,
        .awaits_health = info->health == HEALTH_STARTING,
        .container = &status,
    };

    if (!parse_task_id(info->spec->id, &o.task_id))
        return; /* not a task's */
    if (agent_observe(h->agent, &o, host_wall_now()) < 0)
        log_error("agent", "container %s cannot be adopted: out of memory", info->spec->id);
}

void host_container_event(struct host *h, enum container_event_kind kind,
                          const struct container_info *info)
{
    struct agent_event e = { .exit_code = info->exit_code, .oom_killed = info->oom_killed };

    if (!h->started || !parse_task_id(info->spec->id, &e.task_id))
        return;
    if (kind == CONTAINER_EVENT_EXITED)
        e.kind = AGENT_EXITED;
    else if (kind == CONTAINER_EVENT_HEALTH && info->health == HEALTH_HEALTHY)
        e.kind = AGENT_HEALTHY;
    else if (kind == CONTAINER_EVENT_HEALTH && info->health == HEALTH_UNHEALTHY)
        e.kind = AGENT_UNHEALTHY;
    else
        return;
    agent_event(h->agent, &e, uv_hrtime(), host_wall_now());
    wake(h);
}

const struct task *host_task(const struct host *h, const char *task_id)
{
    const struct assigned *row;
    char key[64];

    (void)snprintf(key, sizeof(key), "task/%.50s", task_id);
    row = agent_row(h->agent, key);
    return row == NULL ? NULL : row->task;
}

/* --- Life */

static void load(struct host *h)
{
    struct assign rows = { 0 };
    int rc = assignment_load(h, &rows);

    if (rc == 0) {
        rc = agent_load(h->agent, &rows);
        fields_deinit(&assign_type, &rows);
    }
    if (rc < 0 && rc != -ENOENT)
        log_warn("agent",
                 "the assignment of the last run in %s is lost: %s; containers that run "
                 "stay until the managers say what should be here",
                 h->cfg.state_dir, err_text(rc));
}

int host_open(const struct host_config *cfg, struct host **out)
{
    struct host *h = calloc(1, sizeof(*h));
    int rc;

    if (h == NULL)
        return -ENOMEM;
    h->cfg = *cfg;
    h->state_dir = strdup(cfg->state_dir);
    h->cfg.state_dir = h->state_dir;
    if (h->state_dir == NULL) {
        free(h);
        return -ENOMEM;
    }
    randombytes_buf(&h->boot, sizeof(h->boot));
    rc = agent_new(&cfg->node_id, &h->agent);
    if (rc < 0) {
        free(h->state_dir);
        free(h);
        return rc;
    }
    load(h);
    CHECK(uv_prepare_init(cfg->loop, &h->pump) == 0); /* cannot fail */
    CHECK(uv_timer_init(cfg->loop, &h->timer) == 0);
    h->pump.data = h;
    h->timer.data = h;
    h->open_handles = 2;
    CHECK(uv_prepare_start(&h->pump, on_pump) == 0);
    *out = h;
    return 0;
}

void host_start(struct host *h)
{
    CHECK(!h->started);
    h->started = true;
    agent_started(h->agent, uv_hrtime());
    wake(h);
}

static void finish_close(struct host *h)
{
    void (*on_closed)(void *ctx) = h->on_closed;
    void *ctx = h->closed_ctx;

    if (h->open_handles > 0 || h->operations > 0 || h->writing)
        return;
    agent_free(h->agent);
    sodium_memzero(h->cfg.seal_key, sizeof(h->cfg.seal_key));
    free(h->state_dir);
    free(h);
    on_closed(ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct host *h = handle->data;

    h->open_handles--;
    finish_close(h);
}

void host_close(struct host *h, void (*on_closed)(void *ctx), void *ctx)
{
    h->closing = true;
    h->on_closed = on_closed;
    h->closed_ctx = ctx;
    uv_close((uv_handle_t *)&h->pump, on_handle_closed);
    uv_close((uv_handle_t *)&h->timer, on_handle_closed);
}

void host_operation_done(struct host_operation *op, int err, const char *message)
{
    struct host *h = op->host;

    h->operations--;
    if (!h->closing) {
        const struct container_info *info =
            runtime_container_inspect(h->cfg.runtime, op->task_id.text);
        struct container_status status = { 0 };
        struct agent_result r = { .token = op->token,
                                  .err = err,
                                  .message = err < 0 ? message : NULL };

        if (info != NULL && err == 0 &&
            (op->kind == AGENT_CONTAINER_CREATE || op->kind == AGENT_CONTAINER_START)) {
            status = status_of(info);
            r.container = &status;
            r.awaits_health = info->health == HEALTH_STARTING;
        }
        if (err < 0)
            log_warn("agent", "task %s: %s", op->task_id.text,
                     message == NULL ? err_text(err) : message);
        agent_result(h->agent, &r, uv_hrtime(), host_wall_now());
        if (op->kind == AGENT_SANDBOX_DESTROY)
            host_network_retry(h);
        wake(h);
    }
    fields_deinit(&task_type, &op->task);
    free(op);
    if (h->closing)
        finish_close(h);
}
