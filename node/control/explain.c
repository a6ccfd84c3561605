#include "node/control/explain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/control/explain_impl.h"

#define SENTENCE_LEN_MAX 1536
#define ERR_LEN_MAX      512 /* of an error inside a sentence */

FIELDS_ENUM_DEFINE(why_code, WHY_CODE_LIST);
FIELDS_ENUM_DEFINE(why_filter_kind, WHY_FILTER_KIND_LIST);
FIELDS_DEFINE(why_filter, WHY_FILTER_FIELDS);
FIELDS_DEFINE(why_reason, WHY_REASON_FIELDS);
FIELDS_DEFINE(service_why, SERVICE_WHY_FIELDS);

/* --- Words */

/* The length of `text` without a character that was cut at `max`. */
static size_t whole_len(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len <= max)
        return len;
    len = max;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

int explain_len(const char *text)
{
    return text == NULL ? 0 : (int)whole_len(text, ERR_LEN_MAX);
}

void explain_say(struct explainer *e, char **out, const char *format, ...)
{
    char text[SENTENCE_LEN_MAX + 2];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    text[whole_len(text, SENTENCE_LEN_MAX)] = '\0';
    if (str_set(out, text) < 0)
        e->p.err = -ENOMEM;
}

void explain_duration(int64_t ns, char out[DURATION_TEXT_MAX])
{
    int64_t second = (int64_t)NS_PER_S;

    duration_format(MAX(ns / second, 1) * second, out);
}

const char *explain_node_name(const struct node *n)
{
    if (n == NULL)
        return "a node that is gone";
    return n->description.hostname != NULL ? n->description.hostname : n->id.text;
}

struct why_reason *explain_service_reason(struct explainer *e, enum why_code code)
{
    struct why_reason *r = LIST_ADD(&e->out->reasons);

    if (r == NULL)
        e->p.err = -ENOMEM;
    else
        r->code = code;
    return r;
}

/* --- One place */

struct subject {
    const struct place *place;
    const struct task *task;     /* that is meant to run */
    const struct task *previous; /* of the same place, the newest that is not; NULL: none */
};

static bool is_missing_image(const char *err)
{
    return err != NULL && strncmp(err, "No such image", 13) == 0;
}

static const char *what_failed(const struct task *t)
{
    return t->status.err != NULL ? t->status.err
                                 : enum_text(&task_state_names, (int)t->status.state);
}

static void note_attempts(struct explainer *e, struct why_reason *r, uint64_t attempt)
{
    uint64_t max = restart_attempts_max(e->s);

    r->attempt = attempt;
    if (max == 0)
        return;
    r->attempts_left = malloc(sizeof(*r->attempts_left));
    if (r->attempts_left == NULL)
        e->p.err = -ENOMEM;
    else
        *r->attempts_left = max > attempt ? max - attempt : 0;
}

/* The task of the place failed, and is tried again at r->until. */
static void say_back_off(struct explainer *e, struct why_reason *r, const struct task *failed)
{
    char wait[DURATION_TEXT_MAX], left[64] = "";

    if (failed != NULL)
        explain_say(e, &r->err, "%s", what_failed(failed));
    r->code = is_missing_image(r->err) ? WHY_IMAGE_MISSING : WHY_BACKS_OFF;
    explain_duration(r->until - e->p.now.wall, wait);
    if (r->attempts_left != NULL)
        (void)snprintf(left, sizeof(left), ", %" PRIu64 " more after that", *r->attempts_left);
    explain_say(e, &r->message, "%.*s; it is tried again in %s (attempt %" PRIu64 "%s)",
                EXPLAIN_ERR(r->err == NULL ? "the task ended" : r->err), wait, r->attempt, left);
}

static void explain_lost(struct explainer *e, struct why_reason *r)
{
    const struct node *n = plan_get_node(&e->p, &r->node_id);
    const char *message = n == NULL ? NULL : n->status.message;

    r->code = WHY_NODE_LOST;
    r->since = n == NULL ? 0 : n->status.since;
    explain_say(e, &r->message, "%s is down (%.*s): %s", explain_node_name(n),
                EXPLAIN_ERR(message == NULL ? "it was removed" : message),
                service_is_global(&e->s->spec) ? "the task waits for the node to come back"
                                               : "the task is about to be replaced elsewhere");
}

static void say_given_up(struct explainer *e, struct why_reason *r, const struct task *dead)
{
    const struct restart_policy *policy = e->s->spec.task.restart;
    uint64_t max = restart_attempts_max(e->s);

    r->code = WHY_GIVEN_UP;
    explain_say(e, &r->err, "%s", dead->status.err == NULL ? "" : dead->status.err);
    if (policy != NULL && policy->condition != RESTART_NONE && max != 0 &&
        dead->status.state != TASK_COMPLETE)
        explain_say(e, &r->message,
                    "%.*s; all %" PRIu64 " attempts to restart it are used up: change the service",
                    EXPLAIN_ERR(what_failed(dead)), max);
    else
        explain_say(e, &r->message,
                    "the task has ended (%.*s) and is not restarted: the restart condition is %s",
                    EXPLAIN_ERR(what_failed(dead)),
                    enum_text(&restart_condition_names,
                              (int)(policy == NULL ? RESTART_ANY : policy->condition)));
}

/* It has ended, or its node is gone. */
static void explain_dead(struct explainer *e, struct why_reason *r, const struct subject *of)
{
    struct restart again = restart_decide(&e->p, e->s, of->task);

    if (!task_state_is_terminal(of->task->status.state)) {
        explain_lost(e, r);
        return;
    }
    if (!again.allowed) {
        say_given_up(e, r, of->task);
        return;
    }
    r->until = again.at;
    note_attempts(e, r, again.count);
    say_back_off(e, r, of->task);
}

static bool lacks_port(const struct service *s)
{
    for (size_t i = 0; i < s->endpoint.ports.count; i++)
        if (s->endpoint.ports.items[i].publish_mode == PUBLISH_INGRESS &&
            s->endpoint.ports.items[i].published_port == 0)
            return true;
    return false;
}

static void explain_allocation(struct explainer *e, struct why_reason *r, const struct task *t)
{
    if (t->status.err == NULL) {
        r->code = WHY_WAITS_FOR_MANAGERS;
        explain_say(e, &r->message, "is about to get its addresses");
        return;
    }
    explain_say(e, &r->err, "%s", t->status.err);
    r->code = lacks_port(e->s) ? WHY_NO_FREE_PORT : WHY_NO_FREE_ADDRESS;
    explain_say(e, &r->message, "%s: %.*s",
                lacks_port(e->s) ? "no port is left to publish" : "no address is to be had",
                EXPLAIN_ERR(t->status.err));
}

/* Many places wait for the same: the nodes are asked once. */
static void explain_pending(struct explainer *e, struct why_reason *r, const struct task *t)
{
    struct why_reason *like = NULL;
    const struct task *other = NULL;

    if (e->misplaced > 0) {
        like = &e->out->places.items[e->misplaced - 1];
        other = plan_get_task(&e->p, &like->task_id);
    }
    if (other == NULL || !id_is_none(&t->node_id) || !id_is_none(&other->node_id) ||
        other->spec_version != t->spec_version) {
        explain_placement(e, r, t);
        if (id_is_none(&t->node_id))
            e->misplaced = e->out->places.count;
        return;
    }
    r->code = like->code;
    explain_say(e, &r->message, "%s", like->message);
    for (size_t i = 0; i < like->filters.count; i++) {
        struct why_filter *f = LIST_ADD(&r->filters);

        if (f == NULL || fields_copy(&why_filter_type, &like->filters.items[i], f) < 0)
            e->p.err = -ENOMEM;
    }
}

static bool waits_for_predecessor(struct explainer *e, const struct subject *of)
{
    return of->previous != NULL && of->previous->status.state >= TASK_ASSIGNED &&
           !task_is_dead(&e->p, of->previous);
}

static void explain_waiting(struct explainer *e, struct why_reason *r, const struct subject *of)
{
    const struct node *n;

    if (of->task->start_after > e->p.now.wall) {
        r->until = of->task->start_after;
        note_attempts(e, r, of->task->restart_count);
        say_back_off(e, r, of->previous);
        return;
    }
    n = plan_get_node(&e->p, &of->previous->node_id);
    r->code = WHY_WAITS_FOR_PREDECESSOR;
    explain_say(e, &r->message, "is prepared, and begins when the task before it has stopped on %s",
                explain_node_name(n));
}

static const char *operation_of(const struct task *t)
{
    bool probed = t->spec.container != NULL && t->spec.container->health != NULL;

    if (t->status.state < TASK_ACCEPTED)
        return "to be accepted";
    if (t->status.state < TASK_READY)
        return "to be prepared: image, networks, volumes";
    if (t->status.state < TASK_STARTING)
        return "to be started";
    return probed ? "to start and to pass its first health check" : "to start";
}

/* How the sentence goes on: why the place is not what it was. */
static void add_history(struct explainer *e, struct why_reason *r, const struct subject *of)
{
    const struct task *before = of->previous;
    const struct node *n = before == NULL ? NULL : plan_get_node(&e->p, &before->node_id);
    char sentence[SENTENCE_LEN_MAX];

    if (before == NULL || r->message == NULL || before->spec_version != of->task->spec_version)
        return;
    (void)snprintf(sentence, sizeof(sentence), "%s", r->message);
    if (!task_state_is_terminal(before->status.state) && task_is_dead(&e->p, before)) {
        r->code = r->code == WHY_WAITS_FOR_NODE ? WHY_NODE_LOST : r->code;
        explain_say(e, &r->message, "%s; it replaces the task that was lost with %s", sentence,
                    explain_node_name(n));
    } else if (before->status.err != NULL && r->err == NULL) {
        explain_say(e, &r->err, "%s", before->status.err);
        explain_say(e, &r->message, "%s; the task before it said: %.*s", sentence,
                    EXPLAIN_ERR(before->status.err));
    }
}

static void explain_node_work(struct explainer *e, struct why_reason *r, const struct task *t)
{
    char since[DURATION_TEXT_MAX];

    explain_duration(e->p.now.wall - t->status.timestamp, since);
    r->code = is_missing_image(t->status.err) ? WHY_IMAGE_MISSING : WHY_WAITS_FOR_NODE;
    if (t->status.err != NULL) {
        explain_say(e, &r->err, "%s", t->status.err);
        explain_say(e, &r->message, "%s keeps trying, since %s: %.*s", r->node, since,
                    EXPLAIN_ERR(t->status.err));
    } else {
        explain_say(e, &r->message, "waits on %s %s, since %s", r->node, operation_of(t), since);
    }
    if (restart_attempts_max(e->s) != 0 && t->restart_count > 0)
        note_attempts(e, r, t->restart_count);
}

static void explain_running(struct explainer *e, struct why_reason *r, const struct task *t)
{
    enum update_state state =
        e->s->update_status == NULL ? UPDATE_NONE : e->s->update_status->state;

    if (!t->status.healthy) {
        r->code = WHY_WAITS_FOR_HEALTH;
        explain_say(e, &r->message, "runs on %s, and its health check does not pass", r->node);
        return;
    }
    r->code = WHY_OUTDATED;
    explain_say(e, &r->message, "runs on %s with the spec of before; %s", r->node,
                state == UPDATE_PAUSED || state == UPDATE_ROLLBACK_PAUSED
                    ? "the update is paused"
                    : "it is replaced when its turn comes");
}

/* Of a place that is not as it should be. */
static void explain_place(struct explainer *e, struct why_reason *r, const struct subject *of)
{
    const struct task *t = of->task;
    bool held = t->desired_state == TASK_READY &&
                (t->start_after > e->p.now.wall || waits_for_predecessor(e, of));

    if (of->place->live_is_dead)
        explain_dead(e, r, of);
    else if (t->status.state < TASK_PENDING)
        explain_allocation(e, r, t);
    else if (t->status.state < TASK_ASSIGNED)
        explain_pending(e, r, t);
    else if (held)
        explain_waiting(e, r, of);
    else if (t->status.state < TASK_RUNNING)
        explain_node_work(e, r, t);
    else
        explain_running(e, r, t);
    if (!held && !of->place->live_is_dead && t->status.state < TASK_RUNNING)
        add_history(e, r, of);
}

static bool is_as_desired(const struct explainer *e, const struct place *place,
                          const struct task *t)
{
    if (place->is_done)
        return true;
    return !place->live_is_dead && t->status.state == TASK_RUNNING && t->status.healthy &&
           (service_is_job(&e->s->spec) || !update_is_dirty(e->s, t));
}

static void add_place(struct explainer *e, const struct subject *of)
{
    struct why_reason *r;

    if (e->out->places.count == WHY_PLACES_MAX) {
        e->out->places_left_out++;
        return;
    }
    r = LIST_ADD(&e->out->places);
    if (r == NULL) {
        e->p.err = -ENOMEM;
        return;
    }
    r->slot = of->task->slot;
    r->task_id = of->task->id;
    r->node_id = of->task->node_id;
    r->state = of->task->status.state;
    r->since = of->task->status.timestamp;
    if (!id_is_none(&r->node_id))
        explain_say(e, &r->node, "%s", explain_node_name(plan_get_node(&e->p, &r->node_id)));
    explain_place(e, r, of);
}

/* --- All places */

/* Of the tasks of one place, the oldest first, the newest that is not meant to run. */
static const struct task *previous_of(const struct task *const *tasks, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (!task_is_live(tasks[i - 1]))
            return tasks[i - 1];
    return NULL;
}

static bool is_of_place(const struct task *t, const struct place *place)
{
    return t->slot == place->slot && (t->slot != 0 || id_equal(&t->node_id, &place->node_id));
}

/* Places and tasks have the same order. */
static void explain_places(struct explainer *e, const struct places *places)
{
    size_t begin = 0;

    for (size_t i = 0; i < places->count && e->p.err == 0; i++) {
        struct subject of = { .place = &places->items[i] };
        size_t end;

        while (begin < e->tasks.count && !is_of_place(e->tasks.items[begin], of.place))
            begin++;
        if (begin == e->tasks.count)
            return;
        end = place_end(&e->tasks, begin);
        of.task = plan_get_task(&e->p, &of.place->live);
        of.previous = previous_of(e->tasks.items + begin, end - begin);
        if (of.task != NULL && !is_as_desired(e, of.place, of.task))
            add_place(e, &of);
        begin = end;
    }
}

/* --- The service */

static uint64_t count_live(const struct places *places)
{
    uint64_t live = 0;

    for (size_t i = 0; i < places->count; i++)
        live += !id_is_none(&places->items[i].live);
    return live;
}

/* Replicas that nobody has made yet, or too many of them. */
static void explain_replicas(struct explainer *e, const struct places *places)
{
    const struct replicated *mode = e->s->spec.mode.replicated;
    uint64_t wanted = mode == NULL || mode->replicas == NULL ? 1 : *mode->replicas;
    uint64_t live = count_live(places);
    struct why_reason *r;

    if (service_is_global(&e->s->spec) || service_is_job(&e->s->spec))
        return;
    if (wanted == 0) {
        r = explain_service_reason(e, WHY_SCALED_TO_ZERO);
        if (r != NULL)
            explain_say(e, &r->message, "the service is scaled to 0: it has no tasks");
    }
    if (live == wanted)
        return;
    r = explain_service_reason(e, WHY_WAITS_FOR_MANAGERS);
    if (r != NULL)
        explain_say(e, &r->message,
                    "%" PRIu64 " tasks are wanted and there are %" PRIu64
                    ": the leader of the managers is about to change it",
                    wanted, live);
}

/* A global service without any place: which nodes it would have, were they not refused. */
static void explain_no_places(struct explainer *e, const struct places *places)
{
    struct task probe = { .service_id = e->s->id,
                          .spec = e->s->spec.task, /* borrowed, like the ports */
                          .ports = e->s->endpoint.ports };
    struct why_reason *r;

    if (!service_is_global(&e->s->spec) || count_live(places) > 0)
        return;
    r = explain_service_reason(e, WHY_NO_SUITABLE_NODE);
    if (r != NULL)
        explain_placement(e, r, &probe);
}

static void explain_stopping(struct explainer *e)
{
    const struct task *first = NULL;
    struct why_reason *r;
    size_t count = 0;

    for (size_t i = 0; i < e->tasks.count; i++) {
        const struct task *t = e->tasks.items[i];

        if (task_is_live(t) || t->status.state < TASK_ASSIGNED || task_is_dead(&e->p, t))
            continue;
        first = first == NULL ? t : first;
        count++;
    }
    r = count == 0 ? NULL : explain_service_reason(e, WHY_STOPPING);
    if (r == NULL)
        return;
    r->task_id = first->id;
    r->node_id = first->node_id;
    explain_say(e, &r->node, "%s", explain_node_name(plan_get_node(&e->p, &first->node_id)));
    explain_say(e, &r->message, "%zu task%s still to stop (such as one on %s)", count,
                count == 1 ? " is" : "s are", r->node);
}

static bool is_note(enum why_code code)
{
    return code == WHY_SCALED_TO_ZERO || code == WHY_ROLLED_BACK;
}

static void conclude(struct explainer *e, const struct places *places)
{
    struct service_why *out = e->out;
    uint64_t wrong = out->places.count + out->places_left_out;

    out->as_desired = wrong == 0;
    for (size_t i = 0; i < out->reasons.count; i++)
        out->as_desired = out->as_desired && is_note(out->reasons.items[i].code);
    if (out->as_desired)
        explain_say(e, &out->message, "everything is as it should be");
    else if (wrong == 0)
        explain_say(e, &out->message, "every task is as it should be, the service is not yet");
    else
        explain_say(e, &out->message, "%" PRIu64 " of %" PRIu64 " tasks %s not as %s should be",
                    wrong, count_live(places), wrong == 1 ? "is" : "are",
                    wrong == 1 ? "it" : "they");
}

int explain_service(const struct store *s, wall_ns now, const struct id *service,
                    struct service_why *out)
{
    struct service_why why = { 0 };
    struct explainer e = { .s = store_service(s, service), .out = &why };
    struct places places;
    int rc;

    if (e.s == NULL)
        return ERR_NOT_FOUND;
    plan_init(&e.p, s, (struct control_time){ .wall = now }, NULL); /* it makes nothing */
    why.service_id = e.s->id;
    explain_say(&e, &why.name, "%s", e.s->spec.name == NULL ? "" : e.s->spec.name);
    places = places_of(&e.p, e.s);
    e.tasks = tasks_by_place(&e.p, service);
    explain_replicas(&e, &places);
    explain_no_places(&e, &places);
    explain_update(&e, &places);
    explain_stopping(&e);
    if (e.p.err == 0)
        explain_places(&e, &places);
    conclude(&e, &places);
    rc = e.p.err;
    plan_deinit(&e.p);
    if (rc < 0)
        fields_deinit(&service_why_type, &why);
    else
        *out = why;
    return rc;
}
