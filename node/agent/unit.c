/* The steps of one task. Everything here is a function of the unit's fields, so any step may
 * be the first one after a restart. */
#include "node/agent/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define RETRY_FIRST_NS       (200 * NS_PER_MS)
#define RETRY_MAX_NS         (30 * NS_PER_S)
#define PREPARE_ATTEMPTS_MAX 10 /* then a passing reason is no longer believed to pass */

static void set_text(char **member, const char *text)
{
    if (str_set(member, text) == 0)
        return;
    free(*member); /* an old text would say something else */
    *member = NULL;
}

/* Reports a later state. Texts that cannot be copied for want of memory are left out: the
 * state matters more. */
static void set_state(struct unit *u, enum task_state state, const char *message, const char *err,
                      wall_ns wall)
{
    if (state <= u->status.state)
        return;
    u->status.state = state;
    u->status.timestamp = wall;
    u->status.healthy = state == TASK_RUNNING;
    set_text(&u->status.message, message);
    set_text(&u->status.err, err);
    u->dirty = true;
    u->acknowledged = false;
}

static void set_shutdown(struct unit *u, wall_ns wall)
{
    set_state(u, TASK_SHUTDOWN, u->cut_off != NULL ? u->cut_off : "shutdown", NULL, wall);
}

/* The same state, and what keeps it from going on. */
static void set_reason(struct unit *u, const char *err)
{
    if (u->status.err != NULL && strcmp(u->status.err, err) == 0)
        return;
    if (str_set(&u->status.err, err) < 0)
        return; /* said the next time */
    u->dirty = true;
    u->acknowledged = false;
}

static enum task_state desired(const struct unit *u)
{
    return u->task == NULL ? TASK_REMOVE : u->task->desired_state;
}

static bool is_over(const struct unit *u)
{
    return task_state_is_terminal(u->status.state);
}

/* --- What next */

static int next_preparation(struct unit *u, wall_ns wall)
{
    set_state(u, TASK_ACCEPTED, "accepted", NULL, wall);
    set_state(u, TASK_PREPARING, "preparing", NULL, wall);
    if (!u->has_image)
        return AGENT_IMAGE_ENSURE;
    if (!u->has_sandbox)
        return AGENT_SANDBOX_CREATE;
    if (!u->has_container)
        return AGENT_CONTAINER_CREATE;
    set_state(u, TASK_READY, "prepared", NULL, wall);
    return UNIT_NOTHING;
}

static int next_towards_running(struct unit *u, wall_ns wall)
{
    if (!u->started) {
        int op = next_preparation(u, wall);

        if (op != UNIT_NOTHING || desired(u) < TASK_RUNNING)
            return op;
        set_state(u, TASK_STARTING, "starting", NULL, wall);
        return AGENT_CONTAINER_START;
    }
    if (!u->has_sandbox)
        return AGENT_SANDBOX_CREATE; /* adopted: the overlay must know it again */
    return UNIT_NOTHING;
}

static int next_release(struct unit *u)
{
    if (u->running)
        return AGENT_CONTAINER_STOP;
    if (u->has_container && u->task == NULL)
        return AGENT_CONTAINER_REMOVE;
    if (u->has_sandbox)
        return AGENT_SANDBOX_DESTROY;
    return UNIT_NOTHING;
}

/* The first look at a task beside what was observed: whatever ran once and does not any more has
 * failed, and is not started a second time. */
static void settle(struct unit *u, wall_ns wall)
{
    u->settled = true;
    if (is_over(u))
        return;
    if (u->running)
        set_state(u, u->awaits_health ? TASK_STARTING : TASK_RUNNING, "adopted", NULL, wall);
    else if (!u->has_container && u->status.state >= TASK_STARTING)
        set_state(u, TASK_FAILED, "failed", "its container is gone from this host", wall);
}

int unit_next(struct unit *u, mono_ns now, wall_ns wall)
{
    bool unwanted = desired(u) >= TASK_SHUTDOWN || u->cut_off != NULL;

    if (!u->settled && u->task != NULL)
        settle(u, wall);
    if (u->token != 0) {
        bool pulls = u->operation == AGENT_IMAGE_ENSURE;

        return unwanted && pulls && !u->stopping ? AGENT_IMAGE_PULL_CANCEL : UNIT_NOTHING;
    }
    if (now < u->retry_at)
        return UNIT_NOTHING;
    if (unwanted && !is_over(u) && !u->running)
        set_shutdown(u, wall);
    if (unwanted || u->unhealthy || is_over(u))
        return next_release(u);
    return next_towards_running(u, wall);
}

bool unit_is_gone(const struct unit *u)
{
    return u->task == NULL && u->token == 0 && !u->running && !u->has_container && !u->has_sandbox;
}

/* --- What happened */

static bool is_passing(int err)
{
    return err == ERR_UNAVAILABLE || err == ERR_TIMEOUT || err == ERR_FULL || err == -EAGAIN ||
           err == -ENOMEM || err == -ETIMEDOUT || err == -ECONNREFUSED || err == -ENETUNREACH;
}

static mono_ns back_off(unsigned attempts)
{
    mono_ns delay = RETRY_FIRST_NS << MIN(attempts, 10u);

    return MIN(delay, RETRY_MAX_NS);
}

static void set_exit(struct unit *u, int64_t exit_code, bool oom_killed, wall_ns wall)
{
    char err[128] = "";

    u->running = false;
    u->awaits_health = false;
    if (u->status.container != NULL) {
        u->status.container->exit_code = exit_code;
        u->status.container->pid = 0;
    }
    if (u->unhealthy) {
        set_state(u, TASK_FAILED, "failed", "unhealthy container", wall);
    } else if (u->stopping || u->cut_off != NULL) {
        set_shutdown(u, wall);
    } else if (exit_code == 0 && !oom_killed) {
        set_state(u, TASK_COMPLETE, "finished", NULL, wall);
    } else {
        (void)snprintf(err, sizeof(err), "non-zero exit (%" PRId64 ")%s", exit_code,
                       oom_killed ? ": killed, out of memory" : "");
        set_state(u, TASK_FAILED, "failed", err, wall);
    }
}

/* A step towards running failed for good. */
static void fail(struct unit *u, const char *message, wall_ns wall)
{
    if (u->status.state < TASK_STARTING)
        set_state(u, TASK_REJECTED, "preparing", message, wall);
    else
        set_state(u, TASK_FAILED, "starting", message, wall);
}

static void take_container(struct unit *u, const struct container_status *c)
{
    struct container_status *copy;

    if (c == NULL)
        return;
    copy = calloc(1, sizeof(*copy));
    if (copy == NULL || fields_copy(&container_status_type, c, copy) < 0) {
        free(copy);
        return; /* only for show */
    }
    if (u->status.container != NULL)
        fields_deinit(&container_status_type, u->status.container);
    free(u->status.container);
    u->status.container = copy;
}

static void operation_failed(struct unit *u, const struct agent_result *r, mono_ns now,
                             wall_ns wall)
{
    bool towards_running =
        u->operation == AGENT_IMAGE_ENSURE || u->operation == AGENT_SANDBOX_CREATE ||
        u->operation == AGENT_CONTAINER_CREATE || u->operation == AGENT_CONTAINER_START;

    if (u->stopping)
        return; /* a cancelled pull: what it was for is not wanted any more */
    u->attempts++;
    if (towards_running) {
        const char *why = r->message == NULL ? err_text(r->err) : r->message;

        if (!is_passing(r->err) || u->attempts >= PREPARE_ATTEMPTS_MAX) {
            u->attempts = 0;
            fail(u, why, wall);
            return;
        }
        set_reason(u, why);
    }
    u->retry_at = mono_after(now, back_off(u->attempts));
}

static void operation_succeeded(struct unit *u, const struct agent_result *r, wall_ns wall)
{
    switch (u->operation) {
    case AGENT_IMAGE_ENSURE:
        u->has_image = true;
        break;
    case AGENT_SANDBOX_CREATE:
        u->has_sandbox = true;
        break;
    case AGENT_CONTAINER_CREATE:
        u->has_container = true;
        take_container(u, r->container);
        break;
    case AGENT_CONTAINER_START:
        take_container(u, r->container);
        u->started = true;
        if (is_over(u)) /* its exit was reported first */
            break;
        u->running = true;
        u->awaits_health = r->awaits_health;
        if (!u->awaits_health)
            set_state(u, TASK_RUNNING, "started", NULL, wall);
        break;
    case AGENT_CONTAINER_STOP:
        if (u->running)
            set_exit(u, 0, false, wall);
        break;
    case AGENT_CONTAINER_REMOVE:
        u->has_container = false;
        break;
    case AGENT_SANDBOX_DESTROY:
        u->has_sandbox = false;
        break;
    case AGENT_NETWORK_SET:
    case AGENT_NETWORK_REMOVE:
    case AGENT_IMAGE_PULL_CANCEL:
        UNREACHABLE("no operation of a unit");
    }
}

/* Operations that have succeeded when there was nothing to do. */
static bool is_release(enum agent_operation_kind kind)
{
    return kind == AGENT_CONTAINER_STOP || kind == AGENT_CONTAINER_REMOVE ||
           kind == AGENT_SANDBOX_DESTROY;
}

void unit_begin(struct unit *u, enum agent_operation_kind kind, uint64_t token)
{
    if (kind == AGENT_CONTAINER_STOP || kind == AGENT_IMAGE_PULL_CANCEL)
        u->stopping = true;
    if (kind == AGENT_IMAGE_PULL_CANCEL)
        return; /* the pull itself stays the operation under way */
    CHECK(u->token == 0);
    u->token = token;
    u->operation = kind;
}

void unit_result(struct unit *u, const struct agent_result *r, mono_ns now, wall_ns wall)
{
    CHECK(r->token == u->token);
    u->token = 0;
    if (r->err < 0 && !(r->err == ERR_NOT_FOUND && is_release(u->operation))) {
        operation_failed(u, r, now, wall);
        return;
    }
    u->attempts = 0;
    u->retry_at = 0;
    operation_succeeded(u, r, wall);
}

void unit_event(struct unit *u, const struct agent_event *e, wall_ns wall)
{
    switch (e->kind) {
    case AGENT_EXITED:
        set_exit(u, e->exit_code, e->oom_killed, wall);
        break;
    case AGENT_HEALTHY:
        if (u->awaits_health && u->running) {
            u->awaits_health = false;
            set_state(u, TASK_RUNNING, "started", NULL, wall);
        }
        break;
    case AGENT_UNHEALTHY:
        if (u->running && !u->stopping)
            u->unhealthy = true; /* unit_next stops it; its exit makes it FAILED */
        break;
    }
}

/* --- At start */

void unit_observe(struct unit *u, const struct agent_observed *o, wall_ns wall)
{
    u->has_image = true;
    u->has_container = true;
    u->started = o->started;
    u->running = o->running;
    u->awaits_health = o->running && o->awaits_health;
    take_container(u, o->container);
    if (o->started && !o->running) {
        u->stopping = desired(u) >= TASK_SHUTDOWN;
        set_exit(u, o->exit_code, o->oom_killed, wall);
    }
}

void unit_cut_off(struct unit *u, const char *why)
{
    if (!is_over(u) && u->cut_off == NULL)
        u->cut_off = why;
}

void unit_deinit(struct unit *u)
{
    fields_deinit(&task_status_type, &u->status);
}
