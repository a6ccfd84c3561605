/* Leaving. A worker stops its tasks and is gone. A manager first ceases to be one, as long as it
 * can still help the others to agree on that:
 *
 *     LEAVE_DEMOTING   its role in the store becomes worker; refused for the last manager
 *     LEAVE_LET_GO     the leader takes it off raft's members; a leader hands over first
 *     LEAVE_STOPPING   its containers end
 *
 * then every part is closed and what is on disk removed. A manager that merely ended would take its
 * vote along: of two, the one that stays could not even decide that the other is gone. The last one
 * waits for those who are leaving at the same time, which need its vote. Managers that do not agree
 * within the time given cannot hold back whoever said --force. */
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "node/member_impl.h"

#define STEP_MS   100
#define DEMOTE_NS (5 * NS_PER_S)
#define LET_GO_NS (10 * NS_PER_S)
#define STOP_NS   (30 * NS_PER_S)

static void go_to(struct member *m, enum leave_step step, mono_ns time)
{
    m->leave.step = step;
    m->leave.deadline = mono_after(uv_hrtime(), time);
}

static bool is_too_late(const struct member *m)
{
    return uv_hrtime() >= m->leave.deadline;
}

/* --- The tasks: they are taken away as if the managers had said so */

static void begin_stopping(struct member *m)
{
    struct report farewell = { .sequence = 1, .stopping = true };
    struct dispatch goodbye = { .kind = DISPATCH_REPORT, .report = &farewell };
    struct assign nothing = { .version = 1 };
    struct dispatch frame = { .kind = DISPATCH_ASSIGN, .assign = &nothing };

    traffic_send(m, &goodbye);
    if (host_frame(m->host, &frame) < 0)
        log_error("member", "the tasks of this node cannot be stopped");
    go_to(m, LEAVE_STOPPING, STOP_NS);
}

static void count_task(void *owner, const struct container_info *info)
{
    size_t *count = owner;
    struct id task;

    if (id_parse(slice_of_str(info->spec->id), &task) == 0)
        ++*count;
}

static bool has_tasks(const struct member *m)
{
    size_t count = 0;

    runtime_container_list(m->cfg.runtime, count_task, &count);
    return count > 0;
}

/* --- A manager ceases to be one */

static bool is_last_manager(const struct member *m)
{
    struct store_iter it;

    STORE_EACH(&it, manager_store(m->manager), OBJECT_NODE, struct node, n)
    if (n->spec.role == ROLE_MANAGER && !id_equal(&n->id, &m->identity.cert.node))
        return false;
    return true;
}

static void on_demoted(void *owner, int err, const struct field_error *why)
{
    struct member *m = owner;

    m->leave.is_proposing = false;
    if (m->is_closing || m->leave.step != LEAVE_DEMOTING)
        return; /* it came too late */
    if (err == 0 || is_last_manager(m))
        go_to(m, LEAVE_LET_GO, LET_GO_NS);
    else
        log_info("member", "the other managers do not know yet that this one leaves: %s",
                 why->text);
}

static void demote_self(struct member *m)
{
    const struct node *n = store_node(manager_store(m->manager), &m->identity.cert.node);
    struct transaction t = { 0 };
    struct field_error why = { "" };
    struct node_spec spec;
    struct admit admit;
    int rc = n == NULL ? ERR_NOT_FOUND : fields_copy(&node_spec_type, &n->spec, &spec);

    manager_admit(m->manager, &admit, &t, &why);
    if (rc == 0) {
        spec.role = ROLE_WORKER;
        rc = admit_node_update(&admit, &n->id, n->version.index, &spec);
        fields_deinit(&node_spec_type, &spec);
    }
    m->leave.is_proposing = true;
    if (rc < 0) {
        fields_deinit(&transaction_type, &t);
        on_demoted(m, rc, &why);
        return;
    }
    manager_propose(m->manager, &t, on_demoted, m);
}

static void turn_demoting(struct member *m)
{
    if (is_too_late(m)) {
        log_warn("member", "leaving although the other managers could not be told");
        begin_stopping(m);
    } else if (!m->leave.is_proposing) {
        demote_self(m);
    }
}

static void turn_let_go(struct member *m)
{
    bool is_alone = is_last_manager(m) && manager_voter_count(m->manager) == 1;

    if (!m->leave.is_let_go && !is_alone && !is_too_late(m))
        return;
    if (!m->leave.is_let_go && !is_alone)
        log_warn("member", "leaving although the other managers still count on this one: too few "
                           "of them answer");
    begin_stopping(m);
}

/* --- The flow */

static void on_leave_timer(uv_timer_t *timer)
{
    struct member *m = timer->data;

    switch (m->leave.step) {
    case LEAVE_DEMOTING:
        turn_demoting(m);
        break;
    case LEAVE_LET_GO:
        turn_let_go(m);
        break;
    case LEAVE_STOPPING:
        if (!has_tasks(m) || is_too_late(m))
            member_close_parts(m);
        break;
    }
}

void leave_on_removed(struct member *m)
{
    m->leave.is_let_go = true;
}

void member_leave(struct member *m, enum member_leave_how how, member_done done, void *owner)
{
    bool is_manager = m->manager != NULL && !m->closing_manager;

    if (m->state != MEMBER_ACTIVE && (m->state != MEMBER_ERROR || how != LEAVE_FORCED)) {
        done(owner, ERR_NOT_FOUND, "This node is not part of a swarm");
        return;
    }
    if (is_manager && how != LEAVE_FORCED) {
        done(owner, ERR_FORBIDDEN,
             "You are attempting to leave the swarm on a node that is participating as a manager. "
             "Removing the last manager erases all current state of the swarm. Use `--force` to "
             "ignore this message. ");
        return;
    }
    member_finish(m, ERR_UNAVAILABLE, "the node leaves again"); /* a join that still waits */
    m->done = done;
    m->done_owner = owner;
    m->forgets = true;
    if (m->state == MEMBER_ERROR) { /* nothing is open but what could be */
        m->state = MEMBER_LEAVING;
        member_close_parts(m);
        return;
    }
    m->state = MEMBER_LEAVING;
    m->leave = (struct leave){ .step = LEAVE_DEMOTING };
    if (is_manager)
        go_to(m, LEAVE_DEMOTING, DEMOTE_NS);
    else
        begin_stopping(m);
    (void)uv_timer_start(&m->timer, on_leave_timer, 0, STEP_MS); /* fails for a closing handle */
}
