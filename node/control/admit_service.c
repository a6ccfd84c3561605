/* Requests about services. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "node/control/admit_impl.h"
#include "node/control/constraint.h"
#include "node/control/names.h"
#include "node/object/log_options.h"

#define MEMORY_MIN (INT64_C(4) * 1024 * 1024)
#define CPU_MIN    1000000

/* --- Checks */

static int check_limits(struct admit *a, int64_t cpus, int64_t memory, const char *what)
{
    if (cpus != 0 && cpus < CPU_MIN)
        return refuse(a, ERR_INVALID, "invalid cpu value %g of %s: must be at least %g",
                      (double)cpus / 1e9, what, 0.001);
    if (memory != 0 && memory < MEMORY_MIN)
        return refuse(a, ERR_INVALID, "invalid memory value %lld of %s: must be at least 4MiB",
                      (long long)memory, what);
    return 0;
}

static int check_resources(struct admit *a, const struct resource_requirements *r)
{
    int rc = 0;

    if (r != NULL && r->reservations != NULL && r->reservations->generic.count > 0)
        return refuse(a, ERR_INVALID,
                      "generic resources are not supported: label the nodes that have them, and "
                      "constrain the service to that label");
    if (r != NULL && r->limits != NULL)
        rc = check_limits(a, r->limits->nano_cpus, r->limits->memory_bytes, "limits");
    if (rc == 0 && r != NULL && r->reservations != NULL)
        rc = check_limits(a, r->reservations->nano_cpus, r->reservations->memory_bytes,
                          "reservations");
    return rc;
}

static int check_references(struct admit *a, const struct task_container *c)
{
    for (size_t i = 0; i < c->secrets.count; i++) {
        struct id id;

        if (id_parse(slice_of_str(c->secrets.items[i].secret_id), &id) < 0 ||
            store_secret(a->store, &id) == NULL)
            return refuse(a, ERR_INVALID, "secret not found: %.80s", c->secrets.items[i].secret_id);
    }
    for (size_t i = 0; i < c->configs.count; i++) {
        struct id id;

        if (id_parse(slice_of_str(c->configs.items[i].config_id), &id) < 0 ||
            store_config(a->store, &id) == NULL)
            return refuse(a, ERR_INVALID, "config not found: %.80s", c->configs.items[i].config_id);
    }
    return 0;
}

static int check_container(struct admit *a, const struct task_container *c)
{
    if (c == NULL)
        return refuse(a, ERR_INVALID, "TaskTemplate.ContainerSpec: is required");
    if (c->image == NULL || c->image[0] == '\0')
        return refuse(a, ERR_INVALID, "ContainerSpec: image reference must be provided");
    for (size_t i = 0; i < c->mounts.count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->mounts.items[i].target, c->mounts.items[j].target) == 0)
                return refuse(a, ERR_INVALID, "ContainerSpec: duplicate mount point: %.100s",
                              c->mounts.items[i].target);
    return check_references(a, c);
}

static int check_placement(struct admit *a, const struct placement *p)
{
    for (size_t i = 0; p != NULL && i < p->constraints.count; i++) {
        struct constraint c;
        int rc = constraint_parse(p->constraints.items[i], &c, a->err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool same_port(const struct port *a, const struct port *b)
{
    return a->published_port != 0 && a->published_port == b->published_port &&
           a->protocol == b->protocol;
}

static int check_port_conflicts(struct admit *a, const struct endpoint_spec *e,
                                const struct id *self)
{
    struct store_iter it;

    STORE_EACH(&it, a->store, OBJECT_SERVICE, struct service, s)
    {
        if (id_equal(&s->id, self))
            continue;
        for (size_t i = 0; i < e->ports.count; i++)
            for (size_t j = 0; j < s->endpoint.ports.count; j++)
                if (same_port(&e->ports.items[i], &s->endpoint.ports.items[j]) &&
                    (e->ports.items[i].publish_mode == PUBLISH_INGRESS ||
                     s->endpoint.ports.items[j].publish_mode == PUBLISH_INGRESS))
                    return refuse(
                        a, ERR_INVALID,
                        "port '%u' is already in use by service '%s' (%s) as an ingress port",
                        e->ports.items[i].published_port, s->spec.name, s->id.text);
    }
    return 0;
}

static int check_endpoint(struct admit *a, const struct endpoint_spec *e, const struct id *self)
{
    if (e == NULL)
        return 0;
    for (size_t i = 0; i < e->ports.count; i++) {
        if (e->mode == ENDPOINT_DNSRR && e->ports.items[i].publish_mode == PUBLISH_INGRESS)
            return refuse(
                a, ERR_INVALID,
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode");
        for (size_t j = 0; j < i; j++)
            if (same_port(&e->ports.items[i], &e->ports.items[j]))
                return refuse(a, ERR_INVALID, "EndpointSpec: duplicate published ports provided");
    }
    return check_port_conflicts(a, e, self);
}

static int check_mode(struct admit *a, const struct service_spec *spec)
{
    const struct replicated_job *job = spec->mode.replicated_job;
    const uint64_t *replicas =
        spec->mode.replicated == NULL ? NULL : spec->mode.replicated->replicas;

    if (replicas != NULL && *replicas > SERVICE_TASKS_MAX)
        return refuse(a, ERR_INVALID, "Replicated.Replicas: must be at most %d", SERVICE_TASKS_MAX);
    if (job != NULL &&
        ((job->total_completions != NULL && *job->total_completions > SERVICE_TASKS_MAX) ||
         (job->max_concurrent != NULL && *job->max_concurrent > SERVICE_TASKS_MAX)))
        return refuse(a, ERR_INVALID,
                      "ReplicatedJob: TotalCompletions and MaxConcurrent must be at most %d",
                      SERVICE_TASKS_MAX);
    if (job != NULL && job->max_concurrent != NULL && *job->max_concurrent == 0)
        return refuse(a, ERR_INVALID, "ReplicatedJob.MaxConcurrent: must be at least 1");
    if (!service_is_job(spec))
        return 0;
    if (spec->update != NULL || spec->rollback != NULL)
        return refuse(a, ERR_INVALID, "Jobs may not have an update config");
    return 0;
}

static int check_log(struct admit *a, const struct driver *d)
{
    struct log_options o;
    struct field_error why = { "" };

    if (d == NULL || log_options_read(d->name, &d->options, &o, &why) == 0)
        return 0;
    return refuse(a, ERR_INVALID, "%s", why.text);
}

static int check_spec(struct admit *a, const struct service_spec *spec, const struct id *self)
{
    int rc = check_name(a, "service", spec->name);

    if (rc == 0)
        rc = check_mode(a, spec);
    if (rc == 0)
        rc = check_container(a, spec->task.container);
    if (rc == 0)
        rc = check_resources(a, spec->task.resources);
    if (rc == 0)
        rc = check_log(a, spec->task.log_driver);
    if (rc == 0)
        rc = check_placement(a, spec->task.placement);
    return rc < 0 ? rc : check_endpoint(a, spec->endpoint, self);
}

/* --- Names become ids, so that a later network of the same name is not meant */

static int resolve_targets(struct admit *a, struct network_target_list *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        const struct object *network;
        int rc;

        if (strcmp(targets->items[i].target, "host") == 0)
            continue;
        rc = admit_resolve(a->store, OBJECT_NETWORK, targets->items[i].target, &network, a->err);
        if (rc < 0)
            return rc;
        if (((const struct network *)(const void *)network)->spec.ingress)
            return refuse(a, ERR_INVALID,
                          "Service cannot be explicitly attached to the ingress network \"%s\"",
                          targets->items[i].target);
        rc = str_set(&targets->items[i].target, network->id.text);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Old clients put networks beside the template. */
static void move_networks(struct service_spec *spec)
{
    if (spec->task.networks.count > 0 || spec->networks.count == 0)
        return;
    spec->task.networks = spec->networks;
    spec->networks = (struct network_target_list){ 0 };
}

static int set_default(uint64_t **member, uint64_t value)
{
    if (*member != NULL)
        return 0;
    *member = malloc(sizeof(**member));
    if (*member == NULL)
        return -ENOMEM;
    **member = value;
    return 0;
}

/* Clients count on both numbers. */
static int complete_job(struct replicated_job *job)
{
    int rc = job == NULL ? 0 : set_default(&job->max_concurrent, 1);

    return job == NULL || rc < 0 ? rc : set_default(&job->total_completions, *job->max_concurrent);
}

/* Every change of a job runs it once more. */
static int begin_iteration(struct admit *a, struct service *s)
{
    if (!service_is_job(&s->spec))
        return 0;
    if (s->job_status != NULL) {
        s->job_status->iteration.index++;
    } else {
        s->job_status = calloc(1, sizeof(*s->job_status));
        if (s->job_status == NULL)
            return -ENOMEM;
    }
    s->job_status->last_execution = a->wall;
    return 0;
}

static int set_spec(struct admit *a, const struct service_spec *spec, struct service *s)
{
    int rc = fields_copy(&service_spec_type, spec, &s->spec);

    if (rc < 0)
        return rc;
    move_networks(&s->spec);
    s->spec_version++;
    rc = complete_job(s->spec.mode.replicated_job);
    if (rc == 0)
        rc = begin_iteration(a, s);
    return rc < 0 ? rc : resolve_targets(a, &s->spec.task.networks);
}

/* --- Requests */

/* A name that nobody has. One that is taken in the same moment is refused like any other. */
static void find_name(struct admit *a, char out[OBJECT_NAME_LEN_MAX + 1])
{
    unsigned attempt = 0;

    do {
        name_make(a->ids, attempt++, out);
    } while (store_find_name(a->store, OBJECT_SERVICE, out) != NULL);
}

int admit_service_create(struct admit *a, const struct service_spec *wanted, struct id *out_id)
{
    struct service_spec named = *wanted; /* borrowed */
    const struct service_spec *spec = &named;
    char name[OBJECT_NAME_LEN_MAX + 1];
    struct service s = { .id = admit_fresh_id(a) };
    int rc;

    if (wanted->name == NULL || wanted->name[0] == '\0') {
        find_name(a, name);
        named.name = name;
    }
    rc = check_spec(a, spec, &s.id);
    if (rc == 0)
        rc = check_free_name(a, OBJECT_SERVICE, spec->name);
    if (rc == 0)
        rc = set_spec(a, spec, &s);
    if (rc == 0)
        rc = transaction_create(a->out, OBJECT_SERVICE, (const struct object *)(const void *)&s);
    *out_id = s.id;
    fields_deinit(&service_type, &s);
    return rc;
}

static bool same_mode(const struct service_mode *a, const struct service_mode *b)
{
    return (a->global == NULL) == (b->global == NULL) &&
           (a->replicated_job == NULL) == (b->replicated_job == NULL) &&
           (a->global_job == NULL) == (b->global_job == NULL);
}

static int keep_previous(struct service *s)
{
    if (s->previous_spec != NULL)
        fields_deinit(&service_spec_type, s->previous_spec);
    else
        s->previous_spec = calloc(1, sizeof(*s->previous_spec));
    if (s->previous_spec == NULL)
        return -ENOMEM;
    *s->previous_spec = s->spec;
    s->spec = (struct service_spec){ 0 };
    return 0;
}

static void forget_update(struct service *s)
{
    if (s->update_status == NULL)
        return;
    fields_deinit(&update_status_type, s->update_status);
    free(s->update_status);
    s->update_status = NULL;
}

static int find(struct admit *a, const struct id *id, uint64_t version, const struct service **out)
{
    *out = store_service(a->store, id);
    if (*out == NULL)
        return refuse(a, ERR_NOT_FOUND, "service %s not found", id->text);
    return check_version(a, (const struct object *)(const void *)*out, version);
}

int admit_service_update(struct admit *a, const struct id *id, uint64_t version,
                         const struct service_spec *spec)
{
    const struct service *s;
    struct service copy;
    int rc = find(a, id, version, &s);

    if (rc == 0)
        rc = check_spec(a, spec, id);
    if (rc == 0 && strcmp(spec->name, s->spec.name) != 0)
        rc = refuse(a, ERR_INVALID, "renaming services is not supported");
    if (rc == 0 && !same_mode(&spec->mode, &s->spec.mode))
        rc = refuse(a, ERR_INVALID, "service mode change is not allowed");
    if (rc == 0)
        rc = fields_copy(&service_type, s, &copy);
    if (rc < 0)
        return rc;
    rc = keep_previous(&copy);
    forget_update(&copy);
    if (rc == 0)
        rc = set_spec(a, spec, &copy);
    if (rc == 0)
        rc = transaction_update(a->out, OBJECT_SERVICE, (const struct object *)(const void *)&copy);
    fields_deinit(&service_type, &copy);
    return rc;
}

static int begin_rollback(struct admit *a, struct service *s)
{
    s->update_status = calloc(1, sizeof(*s->update_status));
    if (s->update_status == NULL)
        return -ENOMEM;
    s->update_status->state = UPDATE_ROLLBACK_STARTED;
    s->update_status->started_at = s->update_status->progressed_at = a->wall;
    return str_set(&s->update_status->message, "rollback in progress");
}

int admit_service_rollback(struct admit *a, const struct id *id, uint64_t version)
{
    const struct service *s;
    struct service copy;
    struct service_spec previous;
    int rc = find(a, id, version, &s);

    if (rc == 0 && s->previous_spec == NULL)
        rc = refuse(a, ERR_INVALID, "service %s does not have a previous spec", id->text);
    if (rc == 0)
        rc = fields_copy(&service_type, s, &copy);
    if (rc < 0)
        return rc;
    previous = *copy.previous_spec;
    *copy.previous_spec = copy.spec; /* a second rollback comes back */
    copy.spec = previous;
    copy.spec_version++;
    forget_update(&copy);
    rc = service_is_job(&copy.spec) ? begin_iteration(a, &copy) : begin_rollback(a, &copy);
    if (rc == 0)
        rc = transaction_update(a->out, OBJECT_SERVICE, (const struct object *)(const void *)&copy);
    fields_deinit(&service_type, &copy);
    return rc;
}

/* Its tasks follow: tasks of a service that is gone are taken away. */
int admit_service_remove(struct admit *a, const struct id *id)
{
    const struct service *s = store_service(a->store, id);

    if (s == NULL)
        return refuse(a, ERR_NOT_FOUND, "service %s not found", id->text);
    return transaction_remove(a->out, OBJECT_SERVICE, (const struct object *)(const void *)s);
}
