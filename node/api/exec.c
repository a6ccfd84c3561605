/* node/api/exec.c - /exec and /containers/ID/exec.
 *
 * The connection that starts a command is taken over (session.h). The exit code is there for GET
 * /exec/ID/json before that connection closes. A command in a task of another node goes through the
 * program (api_backend.exec_open) and looks the same from here on. */
#include "node/api/exec.h"

#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "base/err.h"
#include "node/api/list_json.h"
#include "node/api/messages.h"
#include "node/api/session.h"
#include "node/api/target.h"

#define EXEC_ID_LEN 64

struct exec {
    struct list link;
    struct session session;
    char id[EXEC_ID_LEN + 1];
    char *container;
    struct id task, node; /* none: of this host */
    struct exec_create spec;
    bool started, detached;
};

static struct exec *find(const struct api *api, const char *id)
{
    LIST_EACH(it, &api->execs)
    {
        struct exec *e = CONTAINER_OF(it, struct exec, link);

        if (strcmp(e->id, id) == 0)
            return e;
    }
    return NULL;
}

static void free_exec(struct api *api, struct exec *e)
{
    list_remove(&e->link);
    api->exec_count--;
    fields_deinit(&exec_create_type, &e->spec);
    free(e->container);
    free(e);
}

/* --- The command ---------------------------------------------------------------------------- */

static int open_process(struct exec *e, const struct exec_spec *spec, void **out)
{
    const struct api *api = e->session.api;
    const struct api_backend *b = &api->cfg.backend;
    const struct stream_callbacks callbacks = { .owner = &e->session,
                                                .on_output = session_on_output,
                                                .on_end = session_on_end };

    if (id_is_none(&e->task)) {
        *out = runtime_exec(api->cfg.runtime, e->container, spec, &callbacks);
        return 0;
    }
    if (b->exec_open == NULL)
        return ERR_UNSUPPORTED;
    return b->exec_open(
        b->ctx,
        &(struct api_exec){
            .task = e->task, .node = e->node, .spec = *spec, .detach = e->detached },
        &callbacks, out);
}

static void run_argv(struct exec *e, const char **argv, const char **env)
{
    const struct exec_create *s = &e->spec;
    char why[256];
    void *process;
    int rc;

    for (size_t i = 0; i < s->argv.count; i++)
        argv[i] = s->argv.items[i];
    for (size_t i = 0; i < s->env.count; i++)
        env[i] = s->env.items[i];
    rc = open_process(e,
                      &(struct exec_spec){ .argv = argv,
                                           .env = env,
                                           .dir = s->dir,
                                           .user = s->user,
                                           .tty = s->tty,
                                           .open_stdin = s->attach_stdin },
                      &process);
    if (rc == ERR_TOO_LARGE)
        (void)snprintf(why, sizeof(why),
                       "the command with its environment is too long to travel to node %s; put it "
                       "into a file of the image",
                       e->node.text);
    else
        (void)snprintf(why, sizeof(why), "node %s cannot be asked: %s", e->node.text, err_text(rc));
    if (rc == 0)
        session_begun(&e->session,
                      id_is_none(&e->task) ? &session_local_ops
                                           : e->session.api->cfg.backend.exec_ops,
                      process);
    else
        session_not_begun(&e->session, rc, why);
}

/* Runs it. It may end only later than this returns. */
static void run(struct session *session)
{
    struct exec *e = CONTAINER_OF(session, struct exec, session);
    const char **argv = calloc(e->spec.argv.count + 1, sizeof(*argv));
    const char **env = calloc(e->spec.env.count + 1, sizeof(*env));

    session_begin(session, session->api);
    if (argv != NULL && env != NULL)
        run_argv(e, argv, env);
    else
        session_not_begun(session, -ENOMEM, NULL);
    free(argv);
    free(env);
    if (!e->spec.attach_stdin && session->process != NULL)
        session->ops->shut_input(session->process);
}

/* --- Requests ------------------------------------------------------------------------------- */

static struct exec *find_exec(struct request *r)
{
    struct exec *e = find(r->api, r->args[0]);

    if (e == NULL)
        reply_status(r, MHD_HTTP_NOT_FOUND, "No such exec instance: %s", r->args[0]);
    return e;
}

/* Makes room for one more. False: all are running. */
static bool make_room(struct api *api)
{
    if (api->exec_count < EXECS_MAX)
        return true;
    LIST_EACH_SAFE(it, &api->execs)
    {
        struct exec *e = CONTAINER_OF(it, struct exec, link);

        if (!e->session.listed) {
            free_exec(api, e);
            return true;
        }
    }
    return false;
}

/* Takes the contents of `spec`. NULL: no memory. */
static struct exec *new_exec(struct api *api, const struct target *at, struct exec_create *spec)
{
    struct exec *e = calloc(1, sizeof(*e));
    uint8_t random[EXEC_ID_LEN / 2];

    if (e != NULL)
        e->container = strdup(at->local != NULL ? at->local->spec->id : at->task->id.text);
    if (e == NULL || e->container == NULL) {
        free(e);
        return NULL;
    }
    if (at->local == NULL) {
        e->task = at->task->id;
        e->node = at->task->node_id;
    }
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(e->id, sizeof(e->id), random, sizeof(random));
    e->spec = *spec;
    *spec = (struct exec_create){ 0 };
    e->session = (struct session){
        .api = api, .tty = e->spec.tty, .input = e->spec.attach_stdin, .outlives_detach = true
    };
    list_push_back(&api->execs, &e->link);
    api->exec_count++;
    return e;
}

static bool is_running(const struct target *at)
{
    return at->local != NULL ? at->local->state == CONTAINER_RUNNING
                             : at->task->status.state == TASK_RUNNING;
}

static void create(struct request *r, const struct target *at, struct exec_create *spec)
{
    struct detach_keys keys;
    struct exec *e;

    if (spec->argv.count == 0) {
        reply_status(r, MHD_HTTP_BAD_REQUEST, "No exec command specified");
    } else if (detach_keys_parse(spec->detach_keys, &keys) < 0) {
        reply_status(r, MHD_HTTP_BAD_REQUEST,
                     "invalid DetachKeys '%.64s': give keys such as ctrl-p,ctrl-q or a",
                     spec->detach_keys);
    } else if (!is_running(at)) {
        reply_status(r, MHD_HTTP_CONFLICT, "container %s is not running", r->args[0]);
    } else if (!make_room(r->api)) {
        reply_status(r, MHD_HTTP_SERVICE_UNAVAILABLE, "%d commands run in containers already",
                     EXECS_MAX);
    } else {
        e = new_exec(r->api, at, spec);
        if (e == NULL) {
            reply_error(r, -ENOMEM, NULL);
        } else {
            e->session.keys = keys;
            reply_json(r, MHD_HTTP_CREATED, json_pack("{s:s}", "Id", e->id));
        }
    }
}

void handle_exec_create(struct request *r)
{
    struct exec_create spec = { 0 };
    struct target at;

    if (target_find(r, &at) && request_parse(r, &exec_create_type, &spec)) {
        create(r, &at, &spec);
        fields_deinit(&exec_create_type, &spec);
    }
}

void handle_exec_start(struct request *r)
{
    struct exec *e = find_exec(r);
    struct exec_start msg = { 0 };

    if (e == NULL || !request_parse(r, &exec_start_type, &msg))
        return;
    if (e->started) {
        reply_status(r, MHD_HTTP_CONFLICT, "exec %s has been started already", e->id);
        return;
    }
    e->started = true;
    e->detached = msg.detach;
    if (msg.detach) {
        run(&e->session);
        reply_empty(r, MHD_HTTP_OK);
        return;
    }
    session_take(r, &e->session, run);
}

void handle_exec_inspect(struct request *r)
{
    const struct exec *e = find_exec(r);
    json_t *arguments;

    if (e == NULL)
        return;
    arguments = json_array();
    for (size_t i = 1; i < e->spec.argv.count; i++)
        list_json_add(&arguments, json_string(e->spec.argv.items[i]));
    reply_json(r, MHD_HTTP_OK,
               json_pack("{s:s,s:b,s:o,s:{s:b,s:s,s:o,s:b,s:s},s:b,s:b,s:b,s:b,s:s,s:s,s:i}", "ID",
                         e->id, "Running", e->session.process != NULL, "ExitCode",
                         e->session.ended ? json_integer(e->session.exit_code) : json_null(),
                         "ProcessConfig", "tty", e->spec.tty, "entrypoint", e->spec.argv.items[0],
                         "arguments", arguments, "privileged", e->spec.privileged, "user",
                         e->spec.user != NULL ? e->spec.user : "", "OpenStdin",
                         e->spec.attach_stdin, "OpenStderr", e->spec.attach_stderr, "OpenStdout",
                         e->spec.attach_stdout, "CanRemove", 0, "ContainerID", e->container,
                         "DetachKeys", "", "Pid", 0));
}

void handle_exec_resize(struct request *r)
{
    const struct exec *e = find_exec(r);
    uint16_t rows, columns;

    if (e == NULL || !request_window(r, &rows, &columns))
        return;
    if (e->session.process != NULL)
        e->session.ops->resize(e->session.process, rows, columns);
    reply_empty(r, MHD_HTTP_OK);
}

/* --- Of the server -------------------------------------------------------------------------- */

void execs_free(struct api *api)
{
    LIST_EACH_SAFE(it, &api->execs)
    free_exec(api, CONTAINER_OF(it, struct exec, link));
}
