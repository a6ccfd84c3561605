/* What only the leader does. One pump, from uv_prepare: a turn of control, then the dispatcher's,
 * then raft's members. Plans take the same way through the log as requests. */
#include "base/err.h"
#include "base/log.h"
#include "node/manager/manager_impl.h"
#include "node/manager/membership.h"

#define SYNC_RETRY_NS (1 * NS_PER_S)

/* --- Leading and following */

static void lead(struct manager *m)
{
    if (m->leading)
        return;
    log_info("manager", "this manager leads now");
    m->leading = true;
    m->planning = false;
    m->changing = false;
    control_start(m->control, m->store, manager_now());
    dispatcher_reset(m->dispatcher);
    m->cfg.on_leader(m->cfg.ctx, &m->leader); /* again: now it takes what it is told */
    manager_wake(m);
}

static void redirect(struct manager *m, const struct id *from)
{
    /* Elected but not ready yet: an agent that is sent to whom it asks would go on waiting. */
    bool is_self = id_equal(&m->leader, &m->cfg.node_id);
    struct redirect r = { .leader = is_self ? (struct id){ "" } : m->leader };
    struct dispatch frame = { .kind = DISPATCH_REDIRECT, .redirect = &r };

    m->cfg.send_dispatch(m->cfg.ctx, from, &frame);
}

/* Agents would wait here for ever: their link is up, and nobody else knows that they wait. */
static void redirect_all(struct manager *m)
{
    const struct id *node = NULL;

    while ((node = dispatcher_next(m->dispatcher, node)) != NULL)
        redirect(m, node);
}

static void follow(struct manager *m)
{
    if (!m->leading)
        return;
    log_info("manager", "this manager does not lead any more");
    m->leading = false;
    control_stop(m->control);
    redirect_all(m);
    dispatcher_clear(m->dispatcher);
}

/* Leadership counts once all that was committed before is applied here. */
static void on_lead_ready(void *owner, int err, raft_index index, int apply_result)
{
    struct manager *m = owner;
    struct raft_status status;

    (void)index;
    (void)apply_result;
    if (m->closing)
        return;
    raft_driver_status(m->raft, &status);
    if (status.role != RAFT_LEADER)
        return;
    if (err < 0)
        raft_driver_read(m->raft, on_lead_ready, m);
    else
        lead(m);
}

void leader_on_role(void *ctx, const struct raft_status *status)
{
    struct manager *m = ctx;
    const struct id *node =
        status->leader == 0 || m->raft == NULL ? NULL : route_to(m, status->leader);

    log_debug("manager", "raft: role %d term %llu leader %llx", (int)status->role,
              (unsigned long long)status->term, (unsigned long long)status->leader);
    m->leader_raft_id = status->leader;
    m->leader = node == NULL ? (struct id){ "" } : *node;
    if (status->leader == m->cfg.raft_id)
        m->leader = m->cfg.node_id;
    if (status->role != RAFT_LEADER)
        follow(m);
    else if (!m->leading)
        raft_driver_read(m->raft, on_lead_ready, m);
    m->cfg.on_leader(m->cfg.ctx, id_is_none(&m->leader) ? NULL : &m->leader);
}

/* --- One turn */

static void acknowledge(struct manager *m, const struct id *node, uint64_t sequence)
{
    struct ack ack = { .sequence = sequence };
    struct dispatch frame = { .kind = DISPATCH_ACK, .ack = &ack };

    m->cfg.send_dispatch(m->cfg.ctx, node, &frame);
}

static void on_planned(void *owner, int err, const struct field_error *why)
{
    struct manager *m = owner;

    m->planning = false;
    if (m->closing)
        return;
    if (err < 0 && err != ERR_STALE)
        log_warn("control", "a plan was not applied: %s", why->text);
    if (m->leading)
        control_planned(m->control, err);
    manager_wake(m);
}

static void turn_control(struct manager *m, mono_ns *deadline)
{
    struct control_output out;

    struct id node;
    uint64_t sequence;

    if (m->planning || control_turn(m->control, m->store, manager_now(), &out) < 0)
        return;
    while (control_next_ack(m->control, &node, &sequence))
        acknowledge(m, &node, sequence);
    *deadline = MIN(*deadline, out.deadline_ns);
    if (out.plan.changes.count == 0) {
        fields_deinit(&transaction_type, &out.plan);
        return;
    }
    m->planning = true;
    request_propose_plan(m, &out.plan, on_planned, m);
}

static void turn_dispatcher(struct manager *m)
{
    struct dispatcher_output out;

    if (dispatcher_turn(m->dispatcher, m->store, &out) < 0)
        return;
    for (size_t i = 0; i < out.count; i++)
        m->cfg.send_dispatch(m->cfg.ctx, &out.items[i].node, &out.items[i].frame);
    dispatcher_output_deinit(&out);
}

static void on_changed_members(void *owner, int err, raft_index index, int apply_result)
{
    struct manager *m = owner;

    (void)index;
    (void)apply_result;
    m->changing = false;
    if (m->closing)
        return;
    if (err < 0) {
        m->change_retry_at = uv_hrtime() + SYNC_RETRY_NS;
        log_warn_limited("members", "manager", "the managers cannot be changed yet: %s",
                         err_text(err));
    }
    manager_wake(m);
}

static void turn_members(struct manager *m, mono_ns *deadline)
{
    struct raft_conf_op op;

    if (m->changing)
        return;
    if (uv_hrtime() < m->change_retry_at) {
        *deadline = MIN(*deadline, m->change_retry_at);
        return;
    }
    switch (membership_next(m->store, raft_driver_conf(m->raft), m->cfg.raft_id, &op)) {
    case MEMBERSHIP_CHANGE:
        m->changing = true;
        raft_driver_change(m->raft, &op, 1, on_changed_members, m);
        break;
    case MEMBERSHIP_TRANSFER:
        raft_driver_transfer(m->raft, 0);
        m->change_retry_at = uv_hrtime() + SYNC_RETRY_NS;
        *deadline = MIN(*deadline, m->change_retry_at);
        break;
    case MEMBERSHIP_DONE:
        break;
    }
}

void leader_on_timer(uv_timer_t *timer)
{
    manager_wake(timer->data);
}

void leader_on_pump(uv_prepare_t *pump)
{
    struct manager *m = pump->data;
    mono_ns deadline = MONO_NEVER;
    uint64_t now;

    if (!m->awake || !m->leading || m->closing)
        return;
    m->awake = false;
    turn_control(m, &deadline);
    turn_dispatcher(m);
    turn_members(m, &deadline);
    now = uv_hrtime();
    if (deadline != MONO_NEVER)
        (void)uv_timer_start(&m->timer, leader_on_timer,
                             deadline <= now ? 0 : (deadline - now) / NS_PER_MS + 1, 0);
}

/* --- What the program passes on */

void manager_heard(struct manager *m, const struct id *node, enum control_hearing what)
{
    if (!m->leading || m->closing)
        return;
    control_heard(m->control, node, what, manager_now());
    dispatcher_reachable(m->dispatcher, node, what);
    manager_wake(m);
}

static int take_report(struct manager *m, const struct id *from, const struct report *report)
{
    int rc;

    /* Its HELLO was lost. An acknowledgement would tell it that it is served, and it would wait
     * here for ever for what it is to do. */
    if (!dispatcher_is_connected(m->dispatcher, from) && !report->stopping) {
        redirect(m, from);
        return 0;
    }
    rc = control_reported(m->control, from, report, manager_now());
    if (rc == 0 && report->stopping)
        manager_heard(m, from, CONTROL_LEFT);
    if (rc < 0)
        log_warn_limited(from->text, "manager", "a report of node %s is refused: %s", from->text,
                         err_text(rc));
    manager_wake(m);
    return 0;
}

static void take_hello(struct manager *m, const struct id *from, struct hello *hello)
{
    struct report description = { .description = &hello->description };

    if (dispatcher_hello(m->dispatcher, from, hello) < 0)
        log_warn("manager", "node %s cannot be served: out of memory", from->text);
    if (control_reported(m->control, from, &description, manager_now()) < 0)
        log_warn("manager", "the description of node %s is lost; it is said again", from->text);
    manager_heard(m, from, CONTROL_ALIVE);
    acknowledge(m, from, control_acknowledged(m->control, from));
}

int manager_dispatch_frame(struct manager *m, const struct id *from, const struct dispatch *frame)
{
    if (m->closing)
        return 0;
    if (!m->leading) {
        redirect(m, from);
        return 0;
    }
    if (frame->kind == DISPATCH_HELLO && frame->hello != NULL) {
        take_hello(m, from, frame->hello);
        return 0;
    }
    if (frame->kind == DISPATCH_REPORT && frame->report != NULL)
        return take_report(m, from, frame->report);
    return ERR_MALFORMED;
}

void manager_link_down(struct manager *m, const struct id *node)
{
    if (m->leading && !m->closing) {
        dispatcher_gone(m->dispatcher, node);
        manager_wake(m);
    }
}
