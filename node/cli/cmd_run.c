/* Running a container at the terminal: attached first, then started, then its exit code is ours. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "node/cli/command.h"
#include "node/cli/container_spec.h"
#include "node/cli/exit_wait.h"
#include "node/cli/upgrade.h"

#define EXIT_NOT_STARTED 125 /* as Docker's: ours is not the command's own code */
#define DETACH_GRACE_MS  500 /* from the end of the output to that of the container */

/* What happens at the terminal. */
struct session {
    struct invocation *in;
    const char *id;
    bool start; /* it is to be started once we are attached */
    bool rm;    /* and removed when it has ended */
    bool tty, input, proxy;
    int wait; /* of exit_wait_begin; < 0: none */
    bool failed;
};

/* POST /containers/ID/<action>; quietly, when it may have just ended. */
static int tell(const struct session *s, const char *action)
{
    char path[256], why[256];

    (void)snprintf(path, sizeof(path), "/containers/%.100s/%s", s->id, action);
    return client_try(s->in->client, "POST", path, NULL, NULL, why, sizeof(why));
}

static void on_resize(void *ctx, int rows, int columns)
{
    char action[64];

    (void)snprintf(action, sizeof(action), "resize?h=%d&w=%d", rows, columns);
    (void)tell(ctx, action);
}

static void on_signal(void *ctx, int signal)
{
    char action[64];

    (void)snprintf(action, sizeof(action), "kill?signal=%d", signal);
    (void)tell(ctx, action);
}

static bool on_open(void *ctx)
{
    struct session *s = ctx;

    s->wait = exit_wait_begin(client_socket(s->in->client), s->id, s->rm);
    s->failed = s->wait < 0;
    if (s->start && !s->failed)
        s->failed =
            exit_of(call(s->in, "POST", NULL, NULL, "/containers/%s/start", s->id)) != EXIT_OK;
    return !s->failed;
}

/* Its exit code, or ours. */
static int finish(struct session *s)
{
    int code;

    if (s->wait < 0)
        return EXIT_OK;
    /* A terminal that was let go of looks like one whose container has ended, until it does not. */
    if (s->tty && s->input && !exit_wait_is_over(s->wait, DETACH_GRACE_MS)) {
        close(s->wait);
        return EXIT_OK;
    }
    code = exit_wait_end(s->wait);
    return code < 0 ? EXIT_NOT_STARTED : code;
}

static int attend(struct session *s)
{
    char *keys = client_escape(s->in->client, args_text(&s->in->args, "detach-keys", ""));
    struct upgrade u = { .socket = client_socket(s->in->client),
                         .input = s->input,
                         .tty = s->tty,
                         .on_resize = on_resize,
                         .on_open = on_open,
                         .on_signal = s->proxy ? on_signal : NULL,
                         .ctx = s };
    char path[PATH_MAX_LEN];
    int rc;

    (void)snprintf(path, sizeof(path),
                   "/containers/%s/attach?stream=1&stdout=1&stderr=1&stdin=%d&detachKeys=%s", s->id,
                   s->input, keys == NULL ? "" : keys);
    free(keys);
    u.path = path;
    s->wait = -1;
    rc = upgrade_run(&u);
    if (s->failed) {
        if (s->wait >= 0)
            close(s->wait);
        return EXIT_NOT_STARTED;
    }
    return rc < 0 ? EXIT_ERROR : finish(s);
}

/* --- Commands */

static int create(struct invocation *in, json_t **out)
{
    json_t *body = container_spec_of(&in->args);
    char *name = client_escape(in->client, args_text(&in->args, "name", ""));
    int status = 0;

    if (body != NULL)
        status =
            call(in, "POST", body, out, "/containers/create?name=%s", name == NULL ? "" : name);
    json_decref(body);
    free(name);
    return body == NULL ? EXIT_USAGE : exit_of(status);
}

static int run_create(struct invocation *in)
{
    json_t *created = NULL;
    int result = create(in, &created);

    if (result == EXIT_OK)
        (void)puts(text_at(created, "Id"));
    json_decref(created);
    return result;
}

static int run_run(struct invocation *in)
{
    struct session s = { .in = in,
                         .start = true,
                         .rm = args_flag(&in->args, "rm"),
                         .tty = args_flag(&in->args, "tty"),
                         .input = args_flag(&in->args, "interactive"),
                         .proxy = !args_flag(&in->args, "tty") };
    json_t *created = NULL;
    int result = create(in, &created);

    if (result != EXIT_OK)
        return result == EXIT_USAGE ? EXIT_USAGE : EXIT_NOT_STARTED;
    s.id = text_at(created, "Id");
    if (!args_flag(&in->args, "detach")) {
        result = attend(&s);
    } else if (exit_of(call(in, "POST", NULL, NULL, "/containers/%s/start", s.id)) == EXIT_OK) {
        (void)puts(s.id);
    } else {
        result = EXIT_NOT_STARTED;
    }
    json_decref(created);
    return result;
}

static const struct option_def attach_options[] = {
    { "no-stdin", 0, OPTION_FLAG, NULL, "do not send standard input" },
    { "detach-keys", 0, OPTION_TEXT, "KEYS", "that let go of a terminal (ctrl-p,ctrl-q)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

static const struct option_def start_options[] = {
    { "attach", 'a', OPTION_FLAG, NULL, "show its output, and end with its exit code" },
    { "interactive", 'i', OPTION_FLAG, NULL, "and send standard input" },
    { "detach-keys", 0, OPTION_TEXT, "KEYS", "that let go of a terminal (ctrl-p,ctrl-q)" },
    { NULL, 0, OPTION_FLAG, NULL, NULL },
};

/* The container, to attach to. NULL: it has been printed why not. */
static json_t *inspect(struct invocation *in, const char *name)
{
    char *escaped = client_escape(in->client, name);
    json_t *c = get_json(in, "/containers/%s/json", escaped == NULL ? "" : escaped);

    free(escaped);
    return c;
}

static bool is_set(const json_t *object, const char *path)
{
    return json_is_true(at(object, path));
}

static int attach_to(struct invocation *in, const json_t *container, bool input, bool start)
{
    struct session s = { .in = in,
                         .id = text_at(container, "Id"),
                         .start = start,
                         .rm = false,
                         .tty = is_set(container, "Config.Tty"),
                         .input = input && is_set(container, "Config.OpenStdin"),
                         .proxy = !is_set(container, "Config.Tty") };

    return attend(&s);
}

static int run_attach(struct invocation *in)
{
    json_t *container = inspect(in, in->args.positional[0]);
    int result = EXIT_ERROR;

    if (container != NULL && !is_set(container, "State.Running"))
        (void)fprintf(
            stderr,
            "shoal: container %s is not running: `shoal container start -a` starts it and "
            "attaches\n",
            in->args.positional[0]);
    else if (container != NULL)
        result = attach_to(in, container, !args_flag(&in->args, "no-stdin"), false);
    json_decref(container);
    return result;
}

static int start_each(struct invocation *in)
{
    int result = EXIT_OK;

    for (size_t i = 0; i < in->args.count; i++) {
        char *name = client_escape(in->client, in->args.positional[i]);
        int status = call(in, "POST", NULL, NULL, "/containers/%s/start", name == NULL ? "" : name);

        if (exit_of(status) == EXIT_OK)
            (void)puts(in->args.positional[i]);
        else
            result = EXIT_ERROR;
        free(name);
    }
    return result;
}

static int run_start(struct invocation *in)
{
    bool input = args_flag(&in->args, "interactive");
    json_t *container;
    int result;

    if (!input && !args_flag(&in->args, "attach"))
        return start_each(in);
    if (in->args.count > 1) {
        (void)fprintf(stderr, "shoal: container start: one at a time can be attached to\n");
        return EXIT_USAGE;
    }
    container = inspect(in, in->args.positional[0]);
    if (container == NULL)
        return EXIT_ERROR;
    result = attach_to(in, container, input, !is_set(container, "State.Running"));
    json_decref(container);
    return result;
}

const struct command run_commands[] = {
    { "container run", "IMAGE [COMMAND [ARG..]]", "run a container on its own, of no service",
      container_run_options, 1, 0, true, run_run },
    { "container create", "IMAGE [COMMAND [ARG..]]", "the same, without starting it",
      container_run_options, 1, 0, true, run_create },
    { "container start", "CONTAINER..", "start containers that have ended", start_options, 1, 64,
      false, run_start },
    { "container attach", "CONTAINER", "connect to the input and output of a running container",
      attach_options, 1, 1, false, run_attach },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL },
};
