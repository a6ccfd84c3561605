/* Field by field, in the order of the task's own spec. What both sides leave empty is the
 * image's or the runtime's default. */
#include "node/agent/translate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "node/object/log_options.h"

#define EXPANDED_LEN_MAX  (64 * KIB)
#define SECRETS_DIR       "/run/secrets/"
#define FILE_MODE_DEFAULT 0444

static int expand(const struct translate_input *in, const char *text, char **out,
                  struct field_error *err)
{
    struct buf b;
    int rc;

    buf_init(&b, EXPANDED_LEN_MAX);
    rc = template_expand(&in->context, text, &b, err);
    if (rc == 0)
        rc = buf_append_byte(&b, 0);
    if (rc == 0)
        rc = str_set(out, (const char *)b.ptr);
    buf_deinit(&b);
    return rc;
}

static int copy_strings(struct str_list *to, const struct str_list *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (str_list_append(to, from->items[i]) < 0)
            return -ENOMEM;
    return 0;
}

static int copy_map(struct str_map *to, const struct str_map *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (str_map_set(to, from->items[i].key, from->items[i].value) < 0)
            return -ENOMEM;
    return 0;
}

static int translate_process(const struct translate_input *in, const struct task_container *c,
                             struct container_spec *out, struct field_error *err)
{
    int rc = copy_strings(&out->command, &c->command);

    if (rc == 0)
        rc = copy_strings(&out->args, &c->args);
    for (size_t i = 0; i < c->env.count && rc == 0; i++) {
        char *expanded = NULL;

        rc = expand(in, c->env.items[i], &expanded, err);
        if (rc == 0)
            rc = str_list_append(&out->env, expanded);
        free(expanded);
    }
    if (rc == 0)
        rc = str_set(&out->dir, c->dir);
    if (rc == 0)
        rc = str_set(&out->user, c->user);
    if (rc == 0)
        rc = copy_strings(&out->groups, &c->groups);
    if (rc == 0)
        rc = str_set(&out->stop_signal, c->stop_signal);
    if (rc == 0 && c->stop_grace_period != NULL) {
        out->stop_grace = malloc(sizeof(*out->stop_grace));
        if (out->stop_grace == NULL)
            return -ENOMEM;
        *out->stop_grace = *c->stop_grace_period;
    }
    out->tty = c->tty;
    out->open_stdin = c->open_stdin;
    out->init = c->init != NULL && *c->init;
    out->read_only = c->read_only;
    out->no_new_privileges = c->privileges != NULL && c->privileges->no_new_privileges;
    out->oom_score_adj = c->oom_score_adj;
    return rc;
}

static int translate_health(const struct health_config *h, struct container_spec *out)
{
    if (h == NULL)
        return 0;
    out->health_check = calloc(1, sizeof(*out->health_check));
    if (out->health_check == NULL)
        return -ENOMEM;
    out->health_check->interval = h->interval;
    out->health_check->timeout = h->timeout;
    out->health_check->start_period = h->start_period;
    out->health_check->start_interval = h->start_interval;
    out->health_check->retries = (uint32_t)MIN(h->retries, 1000);
    return copy_strings(&out->health_check->test, &h->test);
}

/* Docker's form is "IP name.."; the older one of its API is "name:IP". */
static int translate_hosts(const struct str_list *hosts, struct container_spec *out)
{
    for (size_t i = 0; i < hosts->count; i++) {
        const char *line = hosts->items[i];
        const char *colon = strchr(line, ':');
        char turned[512];

        if (strchr(line, ' ') == NULL && colon != NULL) {
            (void)snprintf(turned, sizeof(turned), "%s %.*s", colon + 1, (int)(colon - line), line);
            line = turned;
        }
        if (str_list_append(&out->hosts, line) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Names of services are known to our resolver alone; who is on no network has none to ask for, and
 * may ask whom the user named. */
static bool wants_resolver(const struct translate_input *in, const struct task_container *c)
{
    bool names_others = c->dns != NULL && c->dns->nameservers.count > 0;

    return in->resolver != NULL && (!names_others || in->context.task->spec.networks.count > 0);
}

static int translate_names(const struct translate_input *in, const struct task_container *c,
                           struct container_spec *out, struct field_error *err)
{
    int rc = expand(in, c->hostname, &out->hostname, err);

    if (rc == 0)
        rc = translate_hosts(&c->hosts, out);
    if (rc == 0 && wants_resolver(in, c))
        rc = str_list_append(&out->dns_servers, in->resolver);
    if (rc == 0 && c->dns != NULL) {
        if (!wants_resolver(in, c))
            rc = copy_strings(&out->dns_servers, &c->dns->nameservers);
        if (rc == 0)
            rc = copy_strings(&out->dns_search, &c->dns->search);
        if (rc == 0)
            rc = copy_strings(&out->dns_options, &c->dns->options);
    }
    if (rc == 0)
        rc = str_set(&out->netns_path, in->netns_path);
    return rc;
}

static int translate_mount(const struct translate_input *in, const struct mount *m,
                           struct container_mount *out, struct field_error *err)
{
    static const enum container_mount_kind kinds[] = {
        [MOUNT_BIND] = CONTAINER_MOUNT_BIND,
        [MOUNT_VOLUME] = CONTAINER_MOUNT_VOLUME,
        [MOUNT_TMPFS] = CONTAINER_MOUNT_TMPFS,
    };
    static const enum container_propagation propagations[] = {
        [PROPAGATION_RPRIVATE] = CONTAINER_RPRIVATE, [PROPAGATION_PRIVATE] = CONTAINER_PRIVATE,
        [PROPAGATION_RSHARED] = CONTAINER_RSHARED,   [PROPAGATION_SHARED] = CONTAINER_SHARED,
        [PROPAGATION_RSLAVE] = CONTAINER_RSLAVE,     [PROPAGATION_SLAVE] = CONTAINER_SLAVE,
    };
    int rc = expand(in, m->source, &out->source, err);

    out->kind = kinds[m->type];
    out->read_only = m->read_only;
    if (rc == 0)
        rc = expand(in, m->target, &out->target, err);
    if (m->bind_options != NULL) {
        out->propagation = propagations[m->bind_options->propagation];
        out->non_recursive = m->bind_options->non_recursive;
        out->create_mountpoint = m->bind_options->create_mountpoint;
    }
    if (rc == 0 && m->volume_options != NULL) {
        out->no_copy = m->volume_options->no_copy;
        rc = str_set(&out->subpath, m->volume_options->subpath);
        if (rc == 0)
            rc = copy_map(&out->labels, &m->volume_options->labels);
        if (rc == 0 && m->volume_options->driver_config != NULL)
            rc = copy_map(&out->driver_options, &m->volume_options->driver_config->options);
    }
    if (m->tmpfs_options != NULL) {
        out->size_bytes = (uint64_t)m->tmpfs_options->size_bytes;
        out->mode = m->tmpfs_options->mode;
    }
    return rc;
}

static int translate_mounts(const struct translate_input *in, const struct task_container *c,
                            struct container_spec *out, struct field_error *err)
{
    for (size_t i = 0; i < c->mounts.count; i++) {
        struct container_mount *m = LIST_ADD(&out->mounts);
        int rc = m == NULL ? -ENOMEM : translate_mount(in, &c->mounts.items[i], m, err);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int parse_owner(const char *text, uint32_t *out)
{
    char *end;
    unsigned long value;

    if (text == NULL)
        return 0;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value > UINT32_MAX)
        return ERR_INVALID;
    *out = (uint32_t)value;
    return 0;
}

/* A secret or a config: what a task says of it, and what its row has. */
struct data_ref {
    const char *kind, *directory; /* where a file without a leading slash goes */
    const char *id, *name;
    const struct file_target *target;
};

static int find_data(const struct agent *agent, const struct data_ref *ref, const char **name,
                     struct slice *data, struct field_error *err)
{
    const struct assigned *row;
    char key[64];

    (void)snprintf(key, sizeof(key), "%s/%s", ref->kind, ref->id);
    row = agent_row(agent, key);
    if (row == NULL) {
        (void)snprintf(err->text, sizeof(err->text), "%s %.64s has not arrived on this node",
                       ref->kind, ref->name == NULL ? ref->id : ref->name);
        return ERR_UNAVAILABLE;
    }
    *name = row->secret != NULL ? row->secret->spec.name : row->config->spec.name;
    *data = bytes_slice(row->secret != NULL ? &row->secret->spec.data : &row->config->spec.data);
    return 0;
}

static int set_path(const struct data_ref *ref, const char *name, char **out,
                    struct field_error *err)
{
    char path[CONTAINER_PATH_LEN_MAX + 1];
    int len = snprintf(path, sizeof(path), "%s%s", name[0] == '/' ? "" : ref->directory, name);

    if (len < (int)sizeof(path))
        return str_set(out, path);
    (void)snprintf(err->text, sizeof(err->text),
                   "%s %.64s: the path of its file is longer than %d bytes", ref->kind,
                   ref->name == NULL ? ref->id : ref->name, CONTAINER_PATH_LEN_MAX);
    return ERR_INVALID;
}

static int set_owner(const struct file_target *target, struct container_file *out,
                     struct field_error *err)
{
    if (parse_owner(target->uid, &out->uid) == 0 && parse_owner(target->gid, &out->gid) == 0)
        return 0;
    (void)snprintf(err->text, sizeof(err->text), "%.200s: owner %.20s:%.20s is not numeric",
                   out->target, target->uid == NULL ? "" : target->uid,
                   target->gid == NULL ? "" : target->gid);
    return ERR_INVALID;
}

static int add_file(const struct translate_input *in, const struct data_ref *ref,
                    struct container_file_list *files, struct field_error *err)
{
    const struct file_target *target = ref->target;
    struct container_file *file;
    const char *name;
    struct slice data;
    int rc = find_data(in->agent, ref, &name, &data, err);

    if (rc < 0)
        return rc;
    file = LIST_ADD(files);
    if (file == NULL)
        return -ENOMEM;
    rc = set_path(ref, target != NULL && target->name != NULL ? target->name : name, &file->target,
                  err);
    if (rc == 0)
        rc = bytes_set(&file->bytes, data);
    file->mode = target != NULL && target->mode != 0 ? target->mode & 07777 : FILE_MODE_DEFAULT;
    return rc == 0 && target != NULL ? set_owner(target, file, err) : rc;
}

static int translate_files(const struct translate_input *in, const struct task_container *c,
                           struct container_spec *out, struct field_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < c->secrets.count && rc == 0; i++) {
        const struct secret_ref *s = &c->secrets.items[i];
        struct data_ref ref = { "secret", SECRETS_DIR, s->secret_id, s->secret_name, s->file };

        rc = add_file(in, &ref, &out->secrets, err);
    }
    for (size_t i = 0; i < c->configs.count && rc == 0; i++) {
        const struct config_ref *s = &c->configs.items[i];
        struct data_ref ref = { "config", "/", s->config_id, s->config_name, s->file };

        rc = add_file(in, &ref, &out->configs, err);
    }
    return rc;
}

static int translate_rights(const struct task *task, const struct task_container *c,
                            struct container_spec *out)
{
    const struct limit *limits = task->spec.resources == NULL ? NULL : task->spec.resources->limits;
    int rc = copy_strings(&out->cap_add, &c->capability_add);

    if (rc == 0)
        rc = copy_strings(&out->cap_drop, &c->capability_drop);
    if (rc == 0)
        rc = copy_map(&out->sysctls, &c->sysctls);
    for (size_t i = 0; i < c->ulimits.count && rc == 0; i++) {
        struct container_ulimit *u = LIST_ADD(&out->ulimits);

        if (u == NULL)
            return -ENOMEM;
        u->soft = c->ulimits.items[i].soft;
        u->hard = c->ulimits.items[i].hard;
        rc = str_set(&u->name, c->ulimits.items[i].name);
    }
    if (limits != NULL) {
        out->limits.nano_cpus = limits->nano_cpus;
        out->limits.memory_bytes = limits->memory_bytes;
        out->limits.pids = limits->pids;
    }
    return rc;
}

static int translate_log(const struct driver *d, struct container_spec *out,
                         struct field_error *err)
{
    struct log_options o;
    int rc = d == NULL ? 0 : log_options_read(d->name, &d->options, &o, err);

    if (d == NULL || rc < 0)
        return rc == ERR_UNSUPPORTED ? ERR_INVALID : rc;
    out->log_none = o.none;
    out->log_file_bytes_max = o.file_bytes_max;
    out->log_file_count_max = o.file_count_max;
    return 0;
}

/* The labels by which tools find the containers of a service. */
static int translate_labels(const struct translate_input *in, const struct task_container *c,
                            struct container_spec *out)
{
    const struct task *task = in->context.task;
    const struct {
        const char *key, *value;
    } own[] = {
        { "com.docker.swarm.task", "" },
        { "com.docker.swarm.task.id", task->id.text },
        { "com.docker.swarm.task.name", out->name },
        { "com.docker.swarm.node.id", in->context.node_id->text },
        { "com.docker.swarm.service.id", task->service_id.text },
        { "com.docker.swarm.service.name", task->service_name },
    };
    int rc = copy_map(&out->labels, &c->labels);

    for (size_t i = 0; i < ARRAY_LEN(own) && rc == 0; i++)
        rc = str_map_set(&out->labels, own[i].key, own[i].value == NULL ? "" : own[i].value);
    return rc;
}

static int translate_identity(const struct translate_input *in, const struct task_container *c,
                              struct container_spec *out)
{
    struct buf name;
    int rc;

    buf_init(&name, CONTAINER_NAME_LEN_MAX + 1);
    rc = task_full_name(in->context.task, in->context.node_id, &name);
    if (rc == 0)
        rc = buf_append_byte(&name, 0);
    if (rc == 0)
        rc = str_set(&out->name, (const char *)name.ptr);
    buf_deinit(&name);
    if (rc == 0)
        rc = str_set(&out->id, in->context.task->id.text);
    if (rc == 0)
        rc = str_set(&out->image, c->image);
    return rc;
}

int translate_task(const struct translate_input *in, struct container_spec *out,
                   struct field_error *err)
{
    const struct task_container *c = in->context.task->spec.container;
    int rc;

    if (c == NULL) {
        (void)snprintf(err->text, sizeof(err->text), "the task has no ContainerSpec");
        return ERR_INVALID;
    }
    rc = translate_identity(in, c, out);
    if (rc == 0)
        rc = translate_process(in, c, out, err);
    if (rc == 0)
        rc = translate_health(c->health, out);
    if (rc == 0)
        rc = translate_names(in, c, out, err);
    if (rc == 0)
        rc = translate_mounts(in, c, out, err);
    if (rc == 0)
        rc = translate_files(in, c, out, err);
    if (rc == 0)
        rc = translate_rights(in->context.task, c, out);
    if (rc == 0)
        rc = translate_log(in->context.task->spec.log_driver, out, err);
    if (rc == 0)
        rc = translate_labels(in, c, out);
    return rc;
}
