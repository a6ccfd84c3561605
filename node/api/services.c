/* node/api/services.c - /services. */
#include "base/err.h"
#include "node/api/api_impl.h"
#include "node/api/defaults.h"
#include "node/api/list_json.h"
#include "node/control/explain.h"

/* What `service ls` prints. */
static json_t *status_json(const struct store *store, const struct service *s)
{
    const struct service_mode *m = &s->spec.mode;
    uint64_t running = 0, wanted = 0, completed = 0;
    struct store_iter it;

    STORE_EACH_OF_SERVICE(&it, store, &s->id, t)
    {
        bool current = t->job_iteration == NULL || t->job_iteration->index == service_iteration(s);
        bool meant = t->desired_state <= TASK_COMPLETE;

        running += meant && t->status.state == TASK_RUNNING;
        /* of a global service, what runs; of a global job, what has not completed */
        wanted += t->desired_state == TASK_RUNNING && !task_state_is_terminal(t->status.state);
        wanted += m->global_job != NULL && meant && current && t->status.state != TASK_COMPLETE;
        completed += current && t->status.state == TASK_COMPLETE;
    }
    if (m->replicated_job != NULL) {
        const struct replicated_job *j = m->replicated_job;
        const uint64_t *limit = j->max_concurrent;

        wanted = limit != NULL ? *limit : j->total_completions != NULL ? *j->total_completions : 1;
    } else if (m->global == NULL && m->global_job == NULL) {
        wanted =
            m->replicated != NULL && m->replicated->replicas != NULL ? *m->replicated->replicas : 1;
    }
    return json_pack("{s:I,s:I,s:I}", "RunningTasks", (json_int_t)running, "DesiredTasks",
                     (json_int_t)wanted, "CompletedTasks", (json_int_t)completed);
}

static json_t *service_json(const struct service *s)
{
    json_t *json = NULL;

    return fields_to_json(&service_type, s, FIELDS_JSON_PLAIN, &json) < 0 ? NULL : json;
}

static const char *mode_text(const struct service_mode *m)
{
    return m->global != NULL           ? "global"
           : m->replicated_job != NULL ? "replicated-job"
           : m->global_job != NULL     ? "global-job"
                                       : "replicated";
}

static bool is_wanted(const struct filters *f, const struct service *s)
{
    return !s->pending_delete && filters_prefix(f, "id", s->id.text) &&
           filters_prefix(f, "name", s->spec.name) &&
           filters_exact(f, "mode", mode_text(&s->spec.mode)) &&
           filters_exact(f, "runtime", "container") && filters_labels(f, "label", &s->spec.labels);
}

void handle_service_list(struct request *r)
{
    static const char *const known[] = { "id", "label", "mode", "name", "runtime", NULL };
    const struct store *store = request_store(r);
    bool with_status = request_flag(r, "status");
    struct filters f;
    struct store_iter it;
    json_t *list;

    if (!request_filters(r, &f, known))
        return;
    list = json_array();
    STORE_EACH(&it, store, OBJECT_SERVICE, struct service, s)
    {
        json_t *json;

        if (!is_wanted(&f, s))
            continue;
        json = service_json(s);
        if (with_status && json_object_set_new(json, "ServiceStatus", status_json(store, s)) < 0) {
            json_decref(json);
            json = NULL;
        }
        list_json_add(&list, json);
    }
    filters_deinit(&f);
    reply_json(r, MHD_HTTP_OK, list);
}

void handle_service_create(struct request *r)
{
    struct service_spec spec = { 0 };
    struct admit a = { 0 };
    struct id id = { 0 };
    int rc;

    if (!request_parse(r, &service_spec_type, &spec))
        return;
    request_admit(r, &a);
    rc = admit_service_create(&a, &spec, &id);
    fields_deinit(&service_spec_type, &spec);
    request_commit(r, rc, MHD_HTTP_CREATED, json_pack("{s:s}", "ID", id.text));
}

static const struct service *find_service(struct request *r)
{
    return (const struct service *)(const void *)request_object(r, OBJECT_SERVICE);
}

void handle_service_inspect(struct request *r)
{
    const struct service *s = find_service(r);
    json_t *json;

    if (s == NULL)
        return;
    json = service_json(s);
    if (json != NULL && request_flag(r, "insertDefaults") && defaults_insert(json) < 0) {
        json_decref(json);
        json = NULL;
    }
    reply_json(r, MHD_HTTP_OK, json);
}

void handle_service_update(struct request *r)
{
    const char *rollback = request_query(r, "rollback");
    const struct service *s = find_service(r);
    struct service_spec spec = { 0 };
    struct admit a = { 0 };
    uint64_t version;
    int rc;

    if (s == NULL || !request_version(r, &version))
        return;
    if (rollback != NULL && rollback[0] != '\0') {
        if (strcmp(rollback, "previous") != 0) {
            reply_status(r, MHD_HTTP_BAD_REQUEST, "unrecognized rollback option %.64s", rollback);
            return;
        }
        request_admit(r, &a);
        rc = admit_service_rollback(&a, &s->id, version);
    } else {
        if (!request_parse(r, &service_spec_type, &spec))
            return;
        request_admit(r, &a);
        rc = admit_service_update(&a, &s->id, version, &spec);
        fields_deinit(&service_spec_type, &spec);
    }
    request_commit(r, rc, MHD_HTTP_OK, json_pack("{s:n}", "Warnings"));
}

void handle_service_remove(struct request *r)
{
    const struct service *s = find_service(r);
    struct admit a = { 0 };

    if (s == NULL)
        return;
    request_admit(r, &a);
    request_commit(r, admit_service_remove(&a, &s->id), MHD_HTTP_OK, NULL);
}

/* Ours: what keeps it from being as it should be. */
void handle_service_why(struct request *r)
{
    const struct service *s = find_service(r);
    struct service_why why;
    int rc;

    if (s == NULL)
        return;
    rc = explain_service(request_store(r), api_wall_now(), &s->id, &why);
    if (rc < 0) {
        reply_error(r, rc, NULL);
        return;
    }
    reply_object(r, &service_why_type, &why);
    fields_deinit(&service_why_type, &why);
}
