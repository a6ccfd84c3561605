/* Proposals and reads, from the call to the outcome. A follower forwards a proposal to the leader
 * and waits until it is applied here, too; what comes from another manager is proposed here or
 * refused, never forwarded again. What a leader refused because it is leaving is asked again of the
 * next one, by whom it was asked first; a leader's own plan is not: it was made from what that
 * leader knew. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "node/manager/manager_impl.h"

#define TRANSACTION_LEN_MAX (8 * MIB)

/* A manager that has just become one, or whose leader has just died, knows no leader for a moment:
 * requests wait for one, as long as an election may take with some patience. */
#define LEADER_WAIT_NS (3 * NS_PER_S)
#define RETRY_MS       50

/* Somebody who waits for the outcome of a proposal or a read. */
struct waiter {
    struct manager *manager;
    manager_done done;
    void *owner;
    struct forward_request *forwarded; /* answers another manager instead */
    uint64_t index;                    /* forwarded to the leader: applied there at */

    bool is_plan; /* of this leader's control: nobody else may make it */

    struct list link; /* in the manager's leaderless */
    mono_ns give_up_at;
    struct buf bytes; /* the proposal; empty: a read, or another manager's */
};

static const char no_leader[] =
    "The swarm does not have a leader. It's possible that too few managers are online. Make sure "
    "more than half of the managers are online.";

static void free_waiter(struct waiter *w)
{
    if (w == NULL)
        return;
    buf_deinit(&w->bytes);
    free(w);
}

static void answer(struct waiter *w, int err, const struct field_error *why, uint64_t index)
{
    if (w->forwarded != NULL)
        forward_answer(w->forwarded, err, why->text[0] != '\0' ? why->text : err_text(err), index);
    else
        w->done(w->owner, err, why);
    free_waiter(w);
}

static void answer_text(struct waiter *w, int err, const char *text)
{
    struct field_error why;

    (void)snprintf(why.text, sizeof(why.text), "%s", text);
    answer(w, err, &why, 0);
}

static void on_retry(uv_timer_t *timer);

/* Nothing of the request is on its way: it may be tried again, or refused, without a doubt. */
static void wait_for_leader(struct waiter *w)
{
    struct manager *m = w->manager;

    if (m->closing || manager_now().mono >= w->give_up_at) {
        answer_text(w, ERR_UNAVAILABLE, no_leader);
        return;
    }
    if (list_is_empty(&m->leaderless))
        CHECK(uv_timer_start(&m->retry, on_retry, RETRY_MS, 0) == 0);
    list_push_back(&m->leaderless, &w->link);
}

/* Refused before anything came of it, by a leader that is leaving or none any more. */
static bool may_try_again(const struct waiter *w, int err)
{
    return (err == ERR_NOT_LEADER || err == ERR_UNAVAILABLE) && w->bytes.len > 0 && !w->is_plan;
}

static void on_proposed(void *owner, int err, raft_index index, int apply_result)
{
    struct waiter *w = owner;
    struct field_error why = { "" };

    if (may_try_again(w, err)) {
        wait_for_leader(w);
        return;
    }
    if (err == 0 && apply_result < 0) {
        err = apply_result;
        why = machine_refusal(w->manager, index);
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

    if (may_try_again(w, err)) {
        wait_for_leader(w);
        return;
    }
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
    if (status.role == RAFT_LEADER || w->forwarded != NULL || w->is_plan)
        raft_driver_propose(m->raft, bytes, on_proposed, w);
    else if (!id_is_none(&m->leader))
        forward_propose(m->forward, &m->leader, bytes, on_forwarded, w);
    else
        wait_for_leader(w);
}

static struct waiter *new_waiter(struct manager *m, manager_done done, void *owner)
{
    struct waiter *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    *w = (struct waiter){ .manager = m,
                          .done = done,
                          .owner = owner,
                          .give_up_at = mono_after(manager_now().mono, LEADER_WAIT_NS) };
    buf_init(&w->bytes, TRANSACTION_LEN_MAX);
    return w;
}

static int encode(struct manager *m, struct transaction *t, struct buf *out,
                  struct field_error *why)
{
    int rc;

    t->at = manager_wall_now();
    t->author = m->cfg.node_id;
    rc = fields_encode(&transaction_type, t, out, why);
    fields_deinit(&transaction_type, t);
    return rc;
}

/* NULL: there is none, and `done` was told. */
static struct waiter *new_proposal(struct manager *m, struct transaction *t, manager_done done,
                                   void *owner)
{
    struct waiter *w = new_waiter(m, done, owner);
    struct field_error why = { "out of memory" };
    int rc = -ENOMEM;

    if (w != NULL)
        rc = encode(m, t, &w->bytes, &why);
    else
        fields_deinit(&transaction_type, t);
    if (rc == 0)
        return w;
    done(owner, rc, &why);
    free_waiter(w);
    return NULL;
}

void manager_propose(struct manager *m, struct transaction *t, manager_done done, void *owner)
{
    struct waiter *w = new_proposal(m, t, done, owner);

    if (w != NULL)
        propose_bytes(m, buf_slice(&w->bytes), w);
}

void request_propose_plan(struct manager *m, struct transaction *t, manager_done done, void *owner)
{
    struct waiter *w = new_proposal(m, t, done, owner);

    if (w == NULL)
        return;
    w->is_plan = true;
    propose_bytes(m, buf_slice(&w->bytes), w);
}

void request_on_forwarded(void *ctx, struct forward_request *request, struct slice bytes)
{
    struct manager *m = ctx;
    struct waiter *w = new_waiter(m, NULL, NULL);

    if (w == NULL || m->closing) {
        free(w); /* it holds nothing yet */
        forward_answer(request, ERR_UNAVAILABLE, "this manager is stopping", 0);
        return;
    }
    w->forwarded = request;
    propose_bytes(m, bytes, w);
}

static void on_read(void *owner, int err, raft_index index, int apply_result)
{
    struct waiter *w = owner;
    struct field_error nothing = { "" };

    (void)apply_result;
    if (err < 0)
        wait_for_leader(w); /* reading twice does no harm */
    else
        answer(w, 0, &nothing, index);
}

void manager_read(struct manager *m, manager_done done, void *owner)
{
    struct waiter *w = new_waiter(m, done, owner);
    struct field_error why = { "out of memory" };

    if (w == NULL)
        done(owner, -ENOMEM, &why);
    else
        raft_driver_read(m->raft, on_read, w);
}

static void try_again(struct waiter *w)
{
    if (w->bytes.len == 0)
        raft_driver_read(w->manager->raft, on_read, w);
    else
        propose_bytes(w->manager, buf_slice(&w->bytes), w);
}

static void on_retry(uv_timer_t *timer)
{
    struct manager *m = timer->data;
    struct list waiting, *link;

    list_init(&waiting);
    list_splice_back(&waiting, &m->leaderless);
    while ((link = list_pop_front(&waiting)) != NULL)
        try_again(CONTAINER_OF(link, struct waiter, link));
}

void request_give_up(struct manager *m)
{
    while (!list_is_empty(&m->leaderless))
        answer_text(CONTAINER_OF(list_pop_front(&m->leaderless), struct waiter, link),
                    ERR_UNAVAILABLE, "this manager is stopping");
}

void manager_admit(struct manager *m, struct admit *a, struct transaction *out,
                   struct field_error *err)
{
    *a = (struct admit){
        .store = m->store, .ids = &m->ids, .wall = manager_wall_now(), .out = out, .err = err
    };
}
