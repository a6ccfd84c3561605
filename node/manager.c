/* One pump, from uv_prepare: on the leader, one control turn, then the dispatcher's. Plans and
 * requests take the same way through the log. */
#include "node/manager.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "node/forward.h"
#include "node/membership.h"
#include "node/store/store_disk.h"

#define TRANSACTION_LEN_MAX  (8 * MIB)
#define UNREACHABLE_GRACE_NS (1 * NS_PER_S)
#define UNKNOWN_GRACE_NS     (10 * NS_PER_S)
#define SYNC_RETRY_NS        (1 * NS_PER_S)
#define ROUTE_LEN            8 /* the sender's raft id before each raft message on a link */

struct manager {
    struct manager_config cfg;
    struct raft_driver *raft;
    struct forward *forward;
    struct store *store;
    struct store_disk *disk;
    struct control *control;
    struct dispatcher *dispatcher;
    struct prng ids;

    uv_prepare_t pump;
    uv_timer_t timer;
    int open_handles;
    bool awake, leading, closing, raft_stopped;
    bool planning; /* a plan is under way */
    bool changing; /* a change of raft's members is under way */
    mono_ns change_retry_at;

    struct map routes; /* raft id -> struct id *, learned from messages */
    raft_node_id leader_raft_id;
    struct id leader; /* none: unknown */

    struct store_batch *gathering; /* applied since the last commit to disk */
    struct store_batch *committing;
    uv_work_t commit;
    bool writing;
    int commit_err;

    struct field_error last_refusal; /* of the entry applied last: for its proposer */

    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* Somebody who waits for the outcome of a proposal or a read. */
struct waiter {
    struct manager *manager;
    manager_done done;
    void *owner;
    struct forward_request *forwarded; /* answers another manager instead */
    uint64_t index;                    /* forwarded to the leader: applied there at */
};

static wall_ns wall_now(void)
{
    uv_timeval64_t tv;

    if (uv_gettimeofday(&tv) != 0)
        return 0;
    return tv.tv_sec * INT64_C(1000000000) + (int64_t)tv.tv_usec * 1000;
}

static struct control_time now_both(void)
{
    return (struct control_time){ .mono = uv_hrtime(), .wall = wall_now() };
}

static void wake(struct manager *m)
{
    m->awake = true;
}

/* --- The copy on disk */

static void start_commit(struct manager *m);

static void commit_on_worker(uv_work_t *req)
{
    struct manager *m = CONTAINER_OF(req, struct manager, commit);

    m->commit_err = store_disk_commit(m->disk, m->committing);
}

static void finish_close(struct manager *m);

static void on_committed(uv_work_t *req, int status)
{
    struct manager *m = CONTAINER_OF(req, struct manager, commit);
    uint64_t applied = store_batch_applied(m->committing);

    store_batch_free(m->committing);
    m->committing = NULL;
    m->writing = false;
    if (status == 0 && m->commit_err == 0 && m->raft != NULL && !m->raft_stopped)
        raft_driver_durable(m->raft, applied);
    if (m->commit_err < 0)
        log_error_limited("store", "store",
                          "the copy of the store cannot be written: %s; the log "
                          "keeps growing until it can",
                          err_text(m->commit_err));
    if (m->commit_err < 0 && m->gathering != NULL &&
        store_batch_replace(m->gathering, m->store) < 0)
        m->cfg.on_failed(m->cfg.ctx, -ENOMEM, "out of memory while copying the store to disk");
    if (m->closing)
        finish_close(m);
    else if (m->commit_err == 0)
        start_commit(m);
}

static void start_commit(struct manager *m)
{
    struct store_batch *next;

    if (m->writing || store_batch_is_empty(m->gathering) || store_batch_new(&next) < 0)
        return; /* tried again with the next entry */
    m->committing = m->gathering;
    m->gathering = next;
    if (uv_queue_work(m->cfg.loop, &m->commit, commit_on_worker, on_committed) < 0) {
        store_batch_free(next);
        m->gathering = m->committing;
        m->committing = NULL;
        return;
    }
    m->writing = true;
}

/* --- The state machine */

static int apply_transaction(struct manager *m, raft_index index, struct slice data)
{
    struct transaction t = { 0 };
    struct store_changes changes;
    int rc = fields_decode(&transaction_type, data, &t, &m->last_refusal);

    if (rc == 0) {
        rc = membership_check(m->store, &t, &m->last_refusal);
        if (rc < 0)
            fields_deinit(&transaction_type, &t);
    }
    if (rc < 0) {
        store_set_applied(m->store, index);
        return rc;
    }
    rc = store_apply(m->store, index, &t, &changes, &m->last_refusal);
    fields_deinit(&transaction_type, &t);
    if (rc < 0)
        return rc;
    rc = store_batch_add(m->gathering, &changes, index);
    if (rc < 0)
        return -ENOMEM;
    if (m->leading) {
        control_changed(m->control, &changes);
        dispatcher_changed(m->dispatcher, &changes);
    }
    m->cfg.on_changed(m->cfg.ctx, &changes);
    return 0;
}

static int on_apply(void *ctx, raft_index index, raft_term term, struct slice data)
{
    struct manager *m = ctx;

    (void)term;
    m->last_refusal.text[0] = '\0';
    if (index <= store_applied(m->store))
        return 0; /* the copy on disk was ahead of what the log knew */
    if (data.len == 0) {
        store_set_applied(m->store, index);
        return 0;
    }
    return apply_transaction(m, index, data);
}

static void on_applied(void *ctx, raft_index index)
{
    struct manager *m = ctx;

    (void)index;
    start_commit(m);
    wake(m);
}

static int save(void *ctx, struct buf *out)
{
    const struct manager *m = ctx;

    return store_snapshot(m->store, out);
}

static int restore(void *ctx, raft_index index, struct slice snapshot)
{
    struct manager *m = ctx;
    int rc = store_restore(m->store, snapshot);

    if (rc < 0)
        return rc;
    if (index > store_applied(m->store))
        store_set_applied(m->store, index);
    rc = store_batch_replace(m->gathering, m->store);
    if (rc < 0)
        return rc;
    if (m->leading) {
        control_reset(m->control);
        dispatcher_reset(m->dispatcher);
    }
    m->cfg.on_reset(m->cfg.ctx);
    start_commit(m);
    return 0;
}

/* --- Raft's messages on the links */

static const struct id *route_to(const struct manager *m, raft_node_id to)
{
    const struct raft_member *member = raft_conf_find(raft_driver_conf(m->raft), to);
    static struct id from_context;

    if (member != NULL &&
        id_parse(slice_of(member->context, member->context_len), &from_context) == 0)
        return &from_context;
    return map_get_u64(&m->routes, to);
}

static void send_raft(void *ctx, raft_node_id to, struct slice bytes)
{
    struct manager *m = ctx;
    const struct id *node = m->raft == NULL ? NULL : route_to(m, to);
    struct buf framed;
    int rc;

    if (node == NULL)
        return;
    buf_init(&framed, LINK_MESSAGE_LEN_MAX);
    rc = buf_append(&framed, &m->cfg.raft_id, ROUTE_LEN);
    if (rc == 0)
        rc = buf_append_slice(&framed, bytes);
    if (rc == 0)
        rc = link_send(m->cfg.links, node, LINK_RAFT, buf_slice(&framed));
    if (rc < 0)
        log_debug("raft", "message to %s is lost: %s", node->text, err_text(rc));
    buf_deinit(&framed);
}

static void learn_route(struct manager *m, raft_node_id raft_id, const struct id *node)
{
    struct id *known = map_get_u64(&m->routes, raft_id);

    if (known != NULL) {
        *known = *node;
        return;
    }
    known = malloc(sizeof(*known));
    if (known == NULL)
        return;
    *known = *node;
    if (map_set_u64(&m->routes, raft_id, known) < 0)
        free(known);
}

static void on_raft_message(void *ctx, const struct link_peer *from, enum link_channel channel,
                            struct slice message)
{
    struct manager *m = ctx;
    raft_node_id raft_id;

    (void)channel;
    if (m->raft == NULL || message.len < ROUTE_LEN)
        return;
    memcpy(&raft_id, message.ptr, ROUTE_LEN);
    learn_route(m, raft_id, &from->node);
    if (raft_driver_receive(m->raft, raft_id,
                            slice_of(message.ptr + ROUTE_LEN, message.len - ROUTE_LEN)) < 0)
        log_warn_limited(from->node.text, "raft", "malformed message from %s", from->node.text);
}

/* --- Roles */

static void lead(struct manager *m)
{
    if (m->leading)
        return;
    log_info("manager", "this manager leads now");
    m->leading = true;
    m->planning = false;
    m->changing = false;
    control_start(m->control, m->store, now_both());
    dispatcher_reset(m->dispatcher);
    m->cfg.on_leader(m->cfg.ctx, &m->leader); /* again: now it takes what it is told */
    wake(m);
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

static void on_role(void *ctx, const struct raft_status *status)
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

static void on_conf(void *ctx, const struct raft_conf *conf)
{
    struct manager *m = ctx;

    if (raft_conf_is_removed(conf, m->cfg.raft_id))
        m->cfg.on_removed(m->cfg.ctx);
    wake(m);
}

static void on_refused(void *ctx, enum raft_refusal why)
{
    struct manager *m = ctx;

    if (why == RAFT_REFUSED_REMOVED)
        m->cfg.on_removed(m->cfg.ctx);
}

static void on_raft_failed(void *ctx, int err, const char *why)
{
    struct manager *m = ctx;

    m->cfg.on_failed(m->cfg.ctx, err, why);
}

/* --- Proposals */

static void answer(struct waiter *w, int err, const struct field_error *why, uint64_t index)
{
    if (w->forwarded != NULL)
        forward_answer(w->forwarded, err, why->text[0] != '\0' ? why->text : err_text(err), index);
    else
        w->done(w->owner, err, why);
    free(w);
}

static void on_proposed(void *owner, int err, raft_index index, int apply_result)
{
    struct waiter *w = owner;
    struct field_error why = { "" };

    if (err == 0 && apply_result < 0) {
        err = apply_result;
        why = w->manager->last_refusal;
    }
    if (err < 0 && why.text[0] == '\0')
        (void)snprintf(why.text, sizeof(why.text), "%s", err_text(err));
    answer(w, err, &why, index);
}

/* The leader has applied it; the caller may read here once this manager has, too. */
static void on_caught_up(void *owner, int err, raft_index index, int apply_result)
{
    struct waiter *w = owner;
    struct field_error nothing = { "" };

    (void)err; /* committed is committed: a failed read only means that we may lag */
    (void)apply_result;
    answer(w, 0, &nothing, index);
}

static void on_forwarded(void *owner, int err, const char *text, uint64_t index)
{
    struct waiter *w = owner;
    struct field_error why = { "" };

    w->index = index;
    if (err == 0 && !w->manager->closing) {
        raft_driver_read(w->manager->raft, on_caught_up, w);
        return;
    }
    (void)snprintf(why.text, sizeof(why.text), "%s", text);
    answer(w, err, &why, index);
}

static void propose_bytes(struct manager *m, struct slice bytes, struct waiter *w)
{
    struct raft_status status;

    raft_driver_status(m->raft, &status);
    if (status.role == RAFT_LEADER || w->forwarded != NULL) {
        raft_driver_propose(m->raft, bytes, on_proposed, w);
    } else if (!id_is_none(&m->leader)) {
        forward_propose(m->forward, &m->leader, bytes, on_forwarded, w);
    } else {
        struct field_error why;

        (void)snprintf(why.text, sizeof(why.text),
                       "The swarm does not have a leader. It's possible that too few managers are "
                       "online. Make sure more than half of the managers are online.");
        answer(w, ERR_UNAVAILABLE, &why, 0);
    }
}

void manager_propose(struct manager *m, struct transaction *t, manager_done done, void *owner)
{
    struct waiter *w = calloc(1, sizeof(*w));
    struct field_error why = { "out of memory" };
    struct buf bytes;
    int rc = w == NULL ? -ENOMEM : 0;

    buf_init(&bytes, TRANSACTION_LEN_MAX);
    t->at = wall_now();
    t->author = m->cfg.node_id;
    if (rc == 0)
        rc = fields_encode(&transaction_type, t, &bytes, &why);
    fields_deinit(&transaction_type, t);
    if (rc < 0) {
        free(w);
        done(owner, rc, &why);
    } else {
        *w = (struct waiter){ .manager = m, .done = done, .owner = owner };
        propose_bytes(m, buf_slice(&bytes), w);
    }
    buf_deinit(&bytes);
}

static void on_forward_request(void *ctx, struct forward_request *request, struct slice bytes)
{
    struct manager *m = ctx;
    struct waiter *w = calloc(1, sizeof(*w));

    if (w == NULL || m->closing) {
        free(w);
        forward_answer(request, ERR_UNAVAILABLE, "this manager is stopping", 0);
        return;
    }
    *w = (struct waiter){ .manager = m, .forwarded = request };
    propose_bytes(m, bytes, w);
}

static void on_read(void *owner, int err, raft_index index, int apply_result)
{
    struct waiter *w = owner;
    struct field_error why = { "" };

    (void)apply_result;
    if (err < 0)
        (void)snprintf(why.text, sizeof(why.text),
                       "The swarm does not have a leader. It's possible that too few managers are "
                       "online. Make sure more than half of the managers are online.");
    answer(w, err, &why, index);
}

void manager_read(struct manager *m, manager_done done, void *owner)
{
    struct waiter *w = calloc(1, sizeof(*w));
    struct field_error why = { "out of memory" };

    if (w == NULL) {
        done(owner, -ENOMEM, &why);
        return;
    }
    *w = (struct waiter){ .manager = m, .done = done, .owner = owner };
    raft_driver_read(m->raft, on_read, w);
}

void manager_admit(struct manager *m, struct admit *a, struct transaction *out,
                   struct field_error *err)
{
    *a = (struct admit){
        .store = m->store, .ids = &m->ids, .wall = wall_now(), .out = out, .err = err
    };
}

/* --- The leader's pump */

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
    wake(m);
}

static void turn_control(struct manager *m, mono_ns *deadline)
{
    struct control_output out;

    struct id node;
    uint64_t sequence;

    if (m->planning || control_turn(m->control, m->store, now_both(), &out) < 0)
        return;
    while (control_next_ack(m->control, &node, &sequence))
        acknowledge(m, &node, sequence);
    *deadline = MIN(*deadline, out.deadline_ns);
    if (out.plan.changes.count == 0) {
        fields_deinit(&transaction_type, &out.plan);
        return;
    }
    m->planning = true;
    manager_propose(m, &out.plan, on_planned, m);
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
    wake(m);
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

static void on_timer(uv_timer_t *timer)
{
    wake(timer->data);
}

static void on_pump(uv_prepare_t *pump)
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
        (void)uv_timer_start(&m->timer, on_timer,
                             deadline <= now ? 0 : (deadline - now) / NS_PER_MS + 1, 0);
}

/* --- What the program passes on */

void manager_heard(struct manager *m, const struct id *node, enum control_hearing what)
{
    if (!m->leading || m->closing)
        return;
    control_heard(m->control, node, what, now_both());
    dispatcher_reachable(m->dispatcher, node, what);
    wake(m);
}

static int take_report(struct manager *m, const struct id *from, const struct report *report)
{
    int rc = control_reported(m->control, from, report, now_both());

    if (rc == 0 && report->stopping)
        manager_heard(m, from, CONTROL_LEFT);
    if (rc < 0)
        log_warn_limited(from->text, "manager", "a report of node %s is refused: %s", from->text,
                         err_text(rc));
    wake(m);
    return 0;
}

static void take_hello(struct manager *m, const struct id *from, struct hello *hello)
{
    struct report description = { .description = &hello->description };

    if (dispatcher_hello(m->dispatcher, from, hello) < 0)
        log_warn("manager", "node %s cannot be served: out of memory", from->text);
    if (control_reported(m->control, from, &description, now_both()) < 0)
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
        wake(m);
    }
}

/* --- Reading */

const struct store *manager_store(const struct manager *m)
{
    return m->store;
}

bool manager_is_leader(const struct manager *m)
{
    return m->leading;
}

const struct id *manager_leader(const struct manager *m)
{
    return id_is_none(&m->leader) ? NULL : &m->leader;
}

size_t manager_peer_count(const struct manager *m)
{
    const struct raft_conf *conf = raft_driver_conf(m->raft);

    return conf->member_count - (raft_conf_find(conf, m->cfg.raft_id) != NULL ? 1 : 0);
}

enum reachability manager_reachability(const struct manager *m, const struct id *node)
{
    const struct node *n = store_node(m->store, node);

    if (id_equal(node, &m->cfg.node_id))
        return REACHABILITY_REACHABLE;
    if (n == NULL || n->manager == NULL)
        return REACHABILITY_UNKNOWN;
    if (m->leading)
        return raft_driver_is_active(m->raft, n->manager->raft_id) ? REACHABILITY_REACHABLE
                                                                   : REACHABILITY_UNREACHABLE;
    return link_is_up(m->cfg.links, node) ? REACHABILITY_REACHABLE : REACHABILITY_UNREACHABLE;
}

/* --- Life */

static void free_manager(struct manager *m)
{
    struct map_iter it = { 0 };

    while (map_next(&m->routes, &it))
        free(it.value);
    map_deinit(&m->routes);
    forward_close(m->forward);
    store_batch_free(m->gathering);
    store_disk_close(m->disk);
    store_free(m->store);
    control_free(m->control);
    dispatcher_free(m->dispatcher);
    sodium_memzero(m->cfg.data_key, sizeof(m->cfg.data_key));
    free(m);
}

static int open_parts(struct manager *m, char *why, size_t why_len)
{
    struct control_config control = { .node_id = m->cfg.node_id,
                                      .unreachable_grace_ns = UNREACHABLE_GRACE_NS,
                                      .unknown_grace_ns = UNKNOWN_GRACE_NS };
    struct hash_seed seed;
    uint64_t ids;
    char path[4096];
    int rc;

    randombytes_buf(&seed, sizeof(seed));
    map_init(&m->routes, &seed, 4096);
    randombytes_buf(&ids, sizeof(ids));
    prng_init(&m->ids, ids);
    randombytes_buf(&control.seed, sizeof(control.seed));
    rc = store_new(&m->store);
    if (rc == 0)
        rc = store_batch_new(&m->gathering);
    if (rc == 0)
        rc = control_new(&control, &m->control);
    if (rc == 0)
        rc = dispatcher_new(&m->dispatcher);
    if (rc < 0) {
        (void)snprintf(why, why_len, "%s", err_text(rc));
        return rc;
    }
    (void)snprintf(path, sizeof(path), "%s/store", m->cfg.state_dir);
    rc = store_disk_open(path, m->cfg.data_key, &m->disk, why, why_len);
    return rc < 0 ? rc : store_disk_load(m->disk, m->store, why, why_len);
}

static int open_raft(struct manager *m, char *why, size_t why_len)
{
    struct raft_driver_config cfg = {
        .loop = m->cfg.loop,
        .cluster = m->cfg.cluster,
        .id = m->cfg.raft_id,
        .force_new_cluster = m->cfg.force_new_cluster,
        .applied = store_applied(m->store),
        .machine = { .ctx = m,
                     .on_apply = on_apply,
                     .on_applied = on_applied,
                     .save = save,
                     .restore = restore },
        .ctx = m,
        .send = send_raft,
        .on_role = on_role,
        .on_conf = on_conf,
        .on_refused = on_refused,
        .on_failed = on_raft_failed,
    };
    struct raft_conf conf;
    char path[4096];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/raft", m->cfg.state_dir);
    cfg.dir = path;
    memcpy(cfg.key, m->cfg.data_key, sizeof(cfg.key));
    if (m->cfg.bootstrap) {
        rc = raft_conf_init(&conf, m->cfg.raft_id, id_slice(&m->cfg.node_id));
        if (rc < 0)
            return rc;
        cfg.bootstrap = &conf;
    }
    rc = raft_driver_open(&cfg, &m->raft, why, why_len);
    sodium_memzero(cfg.key, sizeof(cfg.key));
    return rc;
}

int manager_open(const struct manager_config *cfg, struct manager **out, char *why, size_t why_len)
{
    struct manager *m = calloc(1, sizeof(*m));
    int rc;

    if (m == NULL)
        return -ENOMEM;
    m->cfg = *cfg;
    CHECK(uv_prepare_init(cfg->loop, &m->pump) == 0); /* cannot fail */
    CHECK(uv_timer_init(cfg->loop, &m->timer) == 0);
    m->pump.data = m;
    m->timer.data = m;
    m->open_handles = 2;
    rc = open_parts(m, why, why_len);
    if (rc == 0)
        rc = forward_open(cfg->links, on_forward_request, m, &m->forward);
    if (rc == 0)
        rc = open_raft(m, why, why_len);
    if (rc < 0) {
        m->raft_stopped = true;
        manager_close(m, NULL, NULL);
        return rc;
    }
    CHECK(uv_prepare_start(&m->pump, on_pump) == 0);
    links_handle(cfg->links, LINK_RAFT,
                 &(struct link_handler){ .ctx = m, .on_message = on_raft_message });
    *out = m;
    return 0;
}

static void finish_close(struct manager *m)
{
    void (*on_closed)(void *ctx) = m->on_closed;
    void *ctx = m->closed_ctx;

    if (m->open_handles > 0 || m->writing || !m->raft_stopped)
        return;
    free_manager(m);
    if (on_closed != NULL)
        on_closed(ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct manager *m = handle->data;

    m->open_handles--;
    finish_close(m);
}

static void on_raft_stopped(void *ctx)
{
    struct manager *m = ctx;

    links_handle(m->cfg.links, LINK_RAFT, &(struct link_handler){ 0 });
    forward_close(m->forward); /* all that it was asked is answered: raft's requests have ended */
    m->forward = NULL;
    m->raft_stopped = true;
    m->raft = NULL;
    finish_close(m);
}

void manager_close(struct manager *m, void (*on_closed)(void *ctx), void *ctx)
{
    m->closing = true;
    m->on_closed = on_closed;
    m->closed_ctx = ctx;
    uv_close((uv_handle_t *)&m->pump, on_handle_closed);
    uv_close((uv_handle_t *)&m->timer, on_handle_closed);
    if (m->raft != NULL)
        raft_driver_stop(m->raft, on_raft_stopped, m);
}
